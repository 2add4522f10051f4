"""Payload text to frame.

The short way: one msgspec call decodes a whole frame, events and all. If that fails, the events are taken apart and
each is judged alone, so that one bad event costs its frame nothing but itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, cast

import msgspec

from roomguard.errors import FrameError
from roomguard.model.events import KINDS, AnyEvent, Id, room_of
from roomguard.wire.faults import MAX_DETAIL, UNREADABLE, explain, explain_frame
from roomguard.wire.frames import (
    ConsumerAck,
    EdgeFrame,
    Enforced,
    Events,
    ExpectRaid,
    Rejection,
    Seq,
    Subscribe,
    Unsubscribe,
)
from roomguard.wire.ids import all_sound, check_id, fault_of, has_escapes, is_plain


class _Whole(msgspec.Struct, tag_field="type", tag="events", gc=False):
    seq: Seq
    events: list[AnyEvent]
    gate: bool = False


class _Parts(msgspec.Struct, tag_field="type", tag="events"):
    seq: Seq
    events: list[msgspec.Raw]
    gate: bool = False


class _Untagged(msgspec.Struct, tag_field="type", tag=""):
    """Never comes. Only in a union of two does msgspec insist that `type` is there."""


class _Stranger(msgspec.Struct):
    """An event of a kind this version does not know: what every event has is still checked."""

    id: Id
    kind: str
    ts: float
    room: str = ""


class _Seq(msgspec.Struct):
    seq: msgspec.Raw = msgspec.Raw(b"null")


_WHOLE = msgspec.json.Decoder(_Whole | Subscribe | Unsubscribe | Enforced | ExpectRaid)
_PARTS = msgspec.json.Decoder(_Parts | _Untagged)
_EVENT: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(cast("Any", AnyEvent))
_STRANGER = msgspec.json.Decoder(_Stranger)
_SEQ = msgspec.json.Decoder(_Seq)
_SEQ_VALUE = msgspec.json.Decoder(Seq)
_CONSUMER = msgspec.json.Decoder(ConsumerAck | _Untagged)

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""Every escape of a JSON text; group 1 is a surrogate without its other half."""

Payload = str | bytes
"""The text of a frame; bytes are UTF-8."""
P = ParamSpec("P")

_Other = Subscribe | Unsubscribe | Enforced | ExpectRaid


class FrameDecoder:
    """Decodes what one edge connection sends.

    `room` is set on a connection of one room: events may leave it out, and another room is refused. `max_events` is
    the most events a frame may have. The decoder keeps no state between frames.
    """

    __slots__ = ("_max_events", "_room")

    def __init__(self, *, room: str | None = None, max_events: int = 4096) -> None:
        self._room = room
        self._max_events = max_events

    def decode(self, payload: Payload) -> EdgeFrame:
        """The frame in `payload`. Raises FrameError, with `seq` where it could be read, and nothing else."""
        try:
            frame = _WHOLE.decode(payload)
        except UNREADABLE as error:
            return self._take_apart(payload, error)
        return self._check(frame, payload)

    def decode_all(self, payloads: Sequence[Payload]) -> list[EdgeFrame | FrameError]:
        """What `decode` gives, or raises, for each of these payloads.

        For frames that come many at a time, with few events in each: what has to be looked at is looked at for all of
        them together, and the decoder's code stays in the processor's caches.
        """
        decode = _WHOLE.decode
        frames: list[_Whole | _Other | Events | FrameError] = []
        for payload in payloads:
            try:
                frames.append(decode(payload))
            except UNREADABLE as error:
                frames.append(_raised(self._take_apart, payload, error))
        if len(frames) > 1 and set(map(type, frames)) == {_Whole}:
            wholes = cast("list[_Whole]", frames)
            if self._all_good(wholes, payloads):
                return [_events(frame) for frame in wholes]
        return [
            frame if isinstance(frame, (Events, FrameError)) else _raised(self._check, frame, payload)
            for frame, payload in zip(frames, payloads, strict=True)
        ]

    def _check(self, frame: _Whole | _Other, payload: Payload) -> EdgeFrame:
        """What has the right shape: ids and rooms, and how much there is."""
        return self._judge(frame, payload) if type(frame) is _Whole else self._other(cast("_Other", frame), payload)

    def _all_good(self, frames: list[_Whole], payloads: Sequence[Payload]) -> bool:
        """A cheap yes for many frames, as `_judge` gives it for one; False only means: look at each."""
        if self._room is not None:
            return False
        events = [event for frame in frames for event in frame.events]
        if max([len(frame.events) for frame in frames]) > self._max_events or not all(map(room_of, events)):
            return False
        odd = [
            event
            for frame, payload in zip(frames, payloads, strict=True)
            if not is_plain(payload)
            for event in frame.events
        ]
        return all_sound(odd)

    def _judge(self, frame: _Whole, payload: Payload) -> Events:
        """A frame whose events all have the right shape: rooms and ids are left to look at."""
        events = frame.events
        size = len(events)
        if size > self._max_events:
            raise self._too_many(size, frame.seq)
        escapes = has_escapes(payload)
        plain = payload.isascii() and not escapes
        if self._rooms_fit(events) and (plain or all_sound(events, escapes=escapes)):
            return _events(frame)
        kept: list[AnyEvent] = []
        indexes: list[int] = []
        rejected: list[Rejection] = []
        for index, event in enumerate(events):
            refused = self._refuse(index, event)
            if refused is not None:
                rejected.append(refused)
            else:
                kept.append(event)
                indexes.append(index)
        if not rejected:
            return _events(frame)
        return Events(frame.seq, frame.gate, size, kept, indexes, tuple(rejected))

    def _rooms_fit(self, events: list[AnyEvent]) -> bool:
        own = self._room
        fits = True
        if own is None:
            for event in events:
                if not event.room:
                    fits = False
            return fits
        for event in events:
            if not event.room:
                event.room = own
            elif event.room != own:
                fits = False
        return fits

    def _refuse(self, index: int, event: AnyEvent, *, repaired: bool = False) -> Rejection | None:
        """Fills the room in; the rejection if the event may not be taken."""
        if (wrong := self._wrong_room(index, event.room)) is not None:
            return wrong
        if not event.room:
            event.room = cast("str", self._room)
        fault = fault_of(event)
        if fault is None and repaired:
            fault = _replaced(event)
        return None if fault is None else Rejection(index, "bad_field", f"{fault[0]}: {fault[1]}")

    def _wrong_room(self, index: int, room: str) -> Rejection | None:
        if not room:
            return None if self._room is not None else Rejection(index, "missing_field", "room")
        if self._room is not None and room != self._room:
            return Rejection(index, "wrong_room", f"this connection is for {self._room}"[:MAX_DETAIL])
        return None

    def _take_apart(self, payload: Payload, error: BaseException) -> Events:
        """The long way, for a payload that is no flawless frame: `error` is what the short way said."""
        repaired = False
        if isinstance(error, ValueError) and not isinstance(error, msgspec.ValidationError):
            payload, repaired = _repair(payload)
            if not repaired:
                raise FrameError("bad_frame", explain_frame(error)) from None
        try:
            frame = _PARTS.decode(payload)
        except UNREADABLE as broken:
            if repaired or not isinstance(broken, msgspec.ValidationError):
                error = broken  # no JSON further on, whatever was wrong with the first event
            raise FrameError("bad_frame", explain_frame(error), _readable_seq(payload)) from None
        if not isinstance(frame, _Parts):
            raise FrameError("bad_frame", explain_frame(error), _readable_seq(payload))
        if len(frame.events) > self._max_events:
            raise self._too_many(len(frame.events), frame.seq)
        return self._one_by_one(frame, repaired=repaired)

    def _one_by_one(self, frame: _Parts, *, repaired: bool) -> Events:
        kept: list[AnyEvent] = []
        indexes: list[int] = []
        rejected: list[Rejection] = []
        unknown = 0
        for index, raw in enumerate(frame.events):
            taken = self._one(index, raw, repaired=repaired)
            if taken is None:
                unknown += 1
            elif isinstance(taken, Rejection):
                rejected.append(taken)
            else:
                kept.append(taken)
                indexes.append(index)
        size = len(frame.events)
        return Events(frame.seq, frame.gate, size, kept, indexes, tuple(rejected), unknown, repaired)

    def _one(self, index: int, raw: msgspec.Raw, *, repaired: bool) -> AnyEvent | Rejection | None:
        """One event alone; None for one of an unknown kind."""
        try:
            event = _EVENT.decode(raw)
        except UNREADABLE as error:
            code, detail, field = explain(error)
            if field == "kind" and code == "bad_field" and (kind := _kind_of(raw)) is not None:
                return self._stranger(index, raw, kind)
            return Rejection(index, code, detail)
        return self._refuse(index, event, repaired=repaired) or event

    def _stranger(self, index: int, raw: msgspec.Raw, kind: str) -> Rejection | None:
        if kind in KINDS:  # two `kind` keys that differ: which one did the edge mean?
            return Rejection(index, "bad_field", "kind: given twice")
        try:
            event = _STRANGER.decode(raw)
        except UNREADABLE as error:
            code, detail, _ = explain(error)
            return Rejection(index, code, detail)
        for name, value in (("id", event.id), ("room", event.room)):
            if value and (wrong := check_id(value)) is not None:
                return Rejection(index, "bad_field", f"{name}: {wrong}")
        return self._wrong_room(index, event.room)

    def _other(self, frame: _Other, payload: Payload) -> _Other:
        """Subscribe and its like: ids whole, rooms ours, lists not longer than a frame of events."""
        if isinstance(frame, ExpectRaid):
            return self._raid(frame)
        ids: Sequence[str] = frame.actions if isinstance(frame, Enforced) else frame.rooms
        name = "actions" if isinstance(frame, Enforced) else "rooms"
        if len(ids) > self._max_events:
            raise FrameError("bad_frame", f"{name}: {len(ids)} entries, at most {self._max_events}")
        if not is_plain(payload):
            for value in ids:
                if (wrong := check_id(value)) is not None:
                    raise FrameError("bad_frame", f"{name}: {wrong}")
        if self._room is not None and name == "rooms" and any(room != self._room for room in ids):
            raise FrameError("wrong_room", f"this connection is for {self._room}"[:MAX_DETAIL])
        return frame

    def _raid(self, frame: ExpectRaid) -> ExpectRaid:
        room = frame.room or self._room
        if room is None:
            raise FrameError("bad_frame", "room: missing")
        if self._room is not None and room != self._room:
            raise FrameError("wrong_room", f"this connection is for {self._room}"[:MAX_DETAIL])
        for name, value in (("room", room), ("from_room", frame.from_room)):
            if value is not None and (wrong := check_id(value)) is not None:
                raise FrameError("bad_frame", f"{name}: {wrong}")
        return msgspec.structs.replace(frame, room=room)

    def _too_many(self, size: int, seq: int) -> FrameError:
        return FrameError("too_many_events", f"events: {size} in one frame, at most {self._max_events}", seq)


def _raised(call: Callable[P, EdgeFrame], *args: P.args, **kwargs: P.kwargs) -> EdgeFrame | FrameError:
    """What a call gives, or the error it raises."""
    try:
        return call(*args, **kwargs)
    except FrameError as error:
        return error


def _events(frame: _Whole) -> Events:
    """A frame with nothing wrong in it."""
    events = frame.events
    size = len(events)
    return Events(frame.seq, frame.gate, size, events, range(size), ordinary=size > 0 and not frame.gate)


def decode_consumer(payload: Payload) -> ConsumerAck:
    """What a consumer of `/v1/actions` sends. Raises FrameError and nothing else."""
    try:
        frame = _CONSUMER.decode(payload)
    except UNREADABLE as error:
        raise FrameError("bad_frame", explain_frame(error)) from None
    if not isinstance(frame, ConsumerAck):
        raise FrameError("bad_frame", "type: expected ack")
    return frame


def _kind_of(raw: msgspec.Raw) -> str | None:
    """The kind of an event that says an unknown one, or None where `kind` is no string."""
    try:
        return msgspec.json.decode(raw, type=_Kind).kind
    except UNREADABLE:
        return None


class _Kind(msgspec.Struct):
    kind: str


def _readable_seq(payload: Payload) -> int | None:
    """The `seq` of a bad frame, if it is an object and its `seq` a good one: the frame then takes it."""
    try:
        return _SEQ_VALUE.decode(_SEQ.decode(payload).seq)
    except UNREADABLE:
        return None


def _repair(payload: Payload) -> tuple[str, bool]:
    """The payload with every lone surrogate escape replaced by U+FFFD, and whether there was one.

    A client that cuts a text in the middle of an emoji sends half of it as an escape. JSON has no such character, but
    a viewer must not be able to keep a whole frame, or only their own message, from being judged that way.
    """
    text = payload if isinstance(payload, str) else payload.decode(errors="replace")
    if "\\u" not in text:
        return text, False
    found = False

    def whole(match: re.Match[str]) -> str:
        nonlocal found
        if match[1] is None:
            return match[0]
        found = True
        return "\\ufffd"

    return _ESCAPE.sub(whole, text), found


def _replaced(event: AnyEvent) -> tuple[str, str] | None:
    """In a repaired frame an id with U+FFFD in it may be another id: nobody is muted by a guess."""
    for name in ("id", "room", "user", "target", "action"):
        if "\ufffd" in getattr(event, name, ""):
            return name, "lone surrogate"
    return None
