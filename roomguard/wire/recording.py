"""One line of a recording (JSONL): an event as the room took it, or a control record between events.

A control record has `type`, an event has `kind`; a control record may have a `kind` too (what an undone action was),
so the event is tried first: no control record has an `id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from roomguard.errors import RecordingError
from roomguard.model.events import KINDS, AnyEvent, Control, room_of
from roomguard.wire.faults import UNREADABLE, explain
from roomguard.wire.ids import all_sound, check_id, fault_of, has_escapes


class _Tags(msgspec.Struct):
    type: str | None = None
    kind: str | None = None
    id: msgspec.Raw = msgspec.Raw(b"")


_EVENT: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(cast("Any", AnyEvent))
_CONTROL = msgspec.json.Decoder(Control)
_TAGS = msgspec.json.Decoder(_Tags)
_encode = msgspec.json.Encoder().encode


def decode_line(line: bytes | str, *, file: str = "recording", number: int = 0) -> AnyEvent | Control | None:
    """The event or control record of one line; None for an event of a kind this version does not know (count it).

    Raises RecordingError "FILE:NUMBER: FIELD: what is wrong" for anything else.
    """
    try:
        event = _EVENT.decode(line)
    except UNREADABLE as error:
        return _control(line, error, file, number)
    if not event.room:
        raise _error(file, number, "room: missing")
    if (fault := fault_of(event)) is not None:
        raise _error(file, number, f"{fault[0]}: {fault[1]}")
    return event


def decode_events(lines: Sequence[bytes]) -> list[AnyEvent] | None:
    """Many lines at half the cost of `decode_line`: their events, if every line is one and none has a fault.

    None only means: look at each.
    """
    decode = _EVENT.decode
    try:
        events = [decode(line) for line in lines]
    except UNREADABLE:
        return None
    if not all(map(room_of, events)):
        return None
    if has_escapes(b"".join(lines)):
        return events if all_sound(events) else None
    odd = [event for event, line in zip(events, lines, strict=True) if not line.isascii()]
    return events if all_sound(odd, escapes=False) else None


def encode_line(record: AnyEvent | Control) -> bytes:
    """The line of an event or control record, line feed included; `decode_line` gives an equal one back."""
    return _encode(record) + b"\n"


def _control(line: bytes | str, error: BaseException, file: str, number: int) -> Control | None:
    """A line that is no event: a control record, an event of an unknown kind, or a fault (`error`)."""
    try:
        tags = _TAGS.decode(line)
    except UNREADABLE as broken:
        raise _error(file, number, _describe(broken)) from None
    if tags.type is None or bytes(tags.id):
        if tags.kind is not None and tags.kind not in KINDS:
            return None
        if tags.kind is None and tags.type is None:
            raise _error(file, number, "kind: missing (an event has `kind`, a control record has `type`)")
        raise _error(file, number, _describe(error)) from None
    try:
        record = _CONTROL.decode(line)
    except UNREADABLE as broken:
        raise _error(file, number, _describe(broken)) from None
    if (wrong := check_id(record.room)) is not None:
        raise _error(file, number, f"room: {wrong}")
    return record


def _describe(error: BaseException) -> str:
    code, detail, _ = explain(error)
    return f"{detail}: missing" if code == "missing_field" else detail


def _error(file: str, number: int, message: str) -> RecordingError:
    return RecordingError(f"{file}:{number}: {message}")
