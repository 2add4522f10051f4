"""What an id is: a string of 1 to 128 bytes of UTF-8 without control characters (C0, DEL, C1).

msgspec has counted code points already. Most frames need no further look at each event: in a payload that is ASCII,
has no backslash and no DEL, no string can hold a control character and every code point is one byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, get_args

from roomguard.model.events import AnyEvent

MAX_ID_BYTES = 128

_BACKSLASH, _DEL = 0x5C, 0x7F
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_REQUIRED = ("id", "user", "target", "action")
_OPTIONAL = ("room", "target_event", "streak", "gift", "reply_to", "host")
"""References that may be empty or absent; what is there must be an id. `room` is checked to be there elsewhere."""


def check_id(value: str) -> str | None:
    """What is wrong with `value` as an id, in the words of a `bad_field` detail; None if nothing is."""
    if not value:
        return "expected str of length >= 1"
    if len(value) > MAX_ID_BYTES or len(value.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        return f"expected at most {MAX_ID_BYTES} bytes"
    if _CONTROL.search(value):
        return "control characters are not allowed"
    return None


def is_plain(payload: str | bytes) -> bool:
    """Whether no id in this payload can break the rule, whatever the events say (see above)."""
    return payload.isascii() and not has_escapes(payload)


def has_escapes(payload: str | bytes) -> bool:
    """Whether a control character may be in a text of this payload."""
    if isinstance(payload, str):
        return "\\" in payload or "\x7f" in payload
    # As numbers: bytes in bytes are first taken for a number that they are not, which takes five times as long.
    return _BACKSLASH in payload or _DEL in payload


def _fields(kind: type) -> tuple[str, ...]:
    names = kind.__struct_fields__  # type: ignore[attr-defined]
    return tuple(name for name in (*_REQUIRED, *_OPTIONAL) if name in names)


_FIELDS: dict[type, tuple[str, ...]] = {kind: _fields(kind) for kind in get_args(AnyEvent)}
_GETTERS: dict[type, Callable[[Any], tuple[str | None, ...]]] = {
    kind: attrgetter(*names) for kind, names in _FIELDS.items()
}


def all_sound(events: Iterable[AnyEvent], *, escapes: bool = True) -> bool:
    """A cheap yes for a whole frame: every id is printable ASCII. False only means: look at each with `fault_of`.

    Without `escapes` in the payload, no id can have a control character, and only ASCII is looked for.
    """
    getters = _GETTERS
    joined = "".join([part for event in events for part in getters[type(event)](event) if part])
    return joined.isascii() and (not escapes or joined.isprintable())


def fault_of(event: AnyEvent) -> tuple[str, str] | None:
    """The first id of the event that breaks the rule as (field, what is wrong), or None."""
    kind = type(event)
    for name, value in zip(_FIELDS[kind], _GETTERS[kind](event), strict=True):
        if not value:
            continue
        if (wrong := check_id(value)) is not None:
            return name, wrong
    return None
