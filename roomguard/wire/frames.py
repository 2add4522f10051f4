"""The frames of the wire as values.

What an edge may send is `EdgeFrame`; a consumer sends `ConsumerAck`. All of them are msgspec Structs that are never
changed after decoding.

Why one event may be refused, the rest of its frame standing (`Rejection.code`; the codes are part of the contract):

    bad_event       it is no JSON object; `detail` says what it is
    missing_field   a field that its kind needs is not there; `detail` is the field's name
    bad_field       a field has a wrong type, range, length or character; `detail` is "FIELD: what was expected"
    wrong_room      the connection belongs to another room; `detail` names that room

Why a whole message may be refused (`FrameError.code`):

    bad_frame         no JSON, no object, unknown `type`, a field of the frame is missing or wrong
    too_many_events   more events than `max_events`
    wrong_room        a frame about another room on a connection of one room

The runtime adds codes of its own (`overload`, `shed`, `quarantined`, `room_limit`, `seq_gap`, ...): an event that was
well-formed and is not judged is not this package's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from roomguard.model.events import AnyEvent, Id

MAX_SEQ = 2**53 - 1
"""Largest `seq` and `offset`: what a double holds exactly, so that every JSON library reads the same number."""

Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """One event of a frame that was not taken: `index` in the frame, stable `code`, `detail` for the human."""

    index: int
    code: str
    detail: str = ""


class Events(msgspec.Struct, frozen=True, gc=False):
    """A frame of events after decoding.

    `events` holds the accepted ones in order and `indexes` where each stood in the frame; `zip(indexes, events)`
    gives the pairs. `size` is the length of the frame as sent: the number of verdicts a gated frame wants.
    `unknown` counts accepted events of a kind this version does not know: there is nothing in `events` for them.
    `repaired` tells that lone surrogates in texts were replaced by U+FFFD. An `ordinary` frame is not gated, has events
    in it, and nothing was wrong with any of them.
    """

    seq: int
    gate: bool
    size: int
    events: list[AnyEvent]
    indexes: Sequence[int]
    rejected: tuple[Rejection, ...] = ()
    unknown: int = 0
    repaired: bool = False
    ordinary: bool = False

    @property
    def accepted(self) -> int:
        """How many events were taken, those of an unknown kind included: `accepted` of the ack."""
        return len(self.events) + self.unknown


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", frozen=True):
    """The connection wants the actions of these rooms."""

    rooms: list[Id]


class Unsubscribe(msgspec.Struct, tag_field="type", tag="unsubscribe", frozen=True):
    """The connection gives these rooms up."""

    rooms: list[Id]


class Enforced(msgspec.Struct, tag_field="type", tag="enforced", frozen=True):
    """The edge carried these actions (ids) out."""

    actions: list[Id]


class ExpectRaid(msgspec.Struct, tag_field="type", tag="expect_raid", frozen=True):
    """A host announced a wave into `room`: `size` people within `ttl_s` seconds. `from_room` None is unknown."""

    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)]
    room: Annotated[str, msgspec.Meta(max_length=128)] = ""
    from_room: Id | None = None


class ConsumerAck(msgspec.Struct, tag_field="type", tag="ack", frozen=True):
    """A consumer of the bus has processed everything up to `offset`, itself included."""

    offset: Offset


class Welcome(msgspec.Struct, tag_field="type", tag="welcome", frozen=True, omit_defaults=True, kw_only=True):
    """The guard's first frame on every connection; `first_offset` only on `/v1/actions`."""

    protocol: str
    node: str
    epoch: str
    config: str
    resume_after: int | None = None
    max_unacked: int | None = None
    max_frame_bytes: int | None = None
    max_events: int | None = None
    first_offset: int | None = None


EdgeFrame = Events | Subscribe | Unsubscribe | Enforced | ExpectRaid
