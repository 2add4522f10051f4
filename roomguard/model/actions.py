"""What goes out: actions, each with its causes.

An action is a value: built once by the engine, written once to the journal, sent many times. Its JSON keys stand in
the order of PROTOCOL.md; what is absent is absent; floats in `evidence` have 6 significant digits. The bus gives it an
offset, so the bytes are made in two halves around it (`encode_halves`) and never encoded twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import msgspec

ActionKind = Literal["mute", "kick", "delete", "warn", "restrict", "release", "unmute", "readmit", "restore", "lift"]
EvidenceValue = str | int | float | bool

INVERSES: Mapping[str, ActionKind] = {"mute": "unmute", "kick": "readmit", "delete": "restore", "restrict": "lift"}
"""What takes an action of a kind back."""


@attrs.frozen(kw_only=True, slots=True)
class Action:
    """One thing the guard asks the edges to do. `at` and `until` are room time in Unix seconds."""

    id: str
    kind: ActionKind
    room: str
    user: str | None = None
    at: float
    reason: str
    message: str
    rule: str
    strategy: str
    config: str
    causes: tuple[str, ...]
    evidence: Mapping[str, EvidenceValue] = attrs.field(factory=dict)
    cluster: str | None = None
    undoes: str | None = None
    duration_s: float | None = None
    until: float | None = None
    events: tuple[str, ...] | None = None
    mode: str | None = None
    cohort: str | None = None
    public: bool | None = None
    """True on the one action of a room and interval that may be told to all; absent otherwise."""


_ORDER = tuple(field.name for field in attrs.fields(Action) if field.name not in ("id", "evidence"))
_encode = msgspec.json.Encoder().encode


def action_id(room: str, user: str | None, kind: str, rule: str, first_cause: str) -> str:
    """The id of an action: the same cause gives the same id on every machine and after every restart.

    Parts are length-prefixed, so that no two different tuples join to the same bytes.
    """
    user = user or ""
    joined = f"{len(room)}:{room}{len(user)}:{user}{len(kind)}:{kind}{len(rule)}:{rule}{len(first_cause)}:{first_cause}"
    return hashlib.blake2b(joined.encode(), digest_size=12).hexdigest()


def round6(value: EvidenceValue) -> EvidenceValue:
    """A float with 6 significant digits, whole ones as ints; anything else as it is."""
    if isinstance(value, float):
        value = float(f"{value:.6g}")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def to_dict(action: Action) -> dict[str, Any]:
    """The wire form without the offset, keys in fixed order."""
    out: dict[str, Any] = {"id": action.id}
    for name in _ORDER:
        if name == "cluster" and action.evidence:
            out["evidence"] = {key: round6(value) for key, value in action.evidence.items()}
        value = getattr(action, name)
        if value is not None:
            out[name] = value
    return out


def encode_halves(action: Action) -> tuple[bytes, bytes]:
    """The JSON of an action in two halves; `join(halves, offset)` makes it whole."""
    whole = _encode(to_dict(action))
    cut = len(_encode(action.id)) + len(b'{"id":')
    return whole[:cut], whole[cut:]


def join(halves: tuple[bytes, bytes], offset: int) -> bytes:
    """One action as it goes out, `offset` in its place."""
    return b'%b,"offset":%d%b' % (halves[0], offset, halves[1])
