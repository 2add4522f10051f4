"""What a frame waits for: the ticket counts the rooms that have still to decide some of its events.

When the count reaches zero the frame is decided and its owner hears of it, exactly once. A ticket never waits for the
journal; `position` tells its owner which place on the bus has to be durable before the frame may be acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from roomguard.model.events import AnyEvent
from roomguard.runtime.settings_rooms import FailMode
from roomguard.wire import Events, Rejection

RejectCode = Literal["overload", "shed", "quarantined", "room_limit"]
"""Why a well-formed event was not judged; only `overload` invites the edge to send it again later."""


class TicketOwner(Protocol):
    """Whoever sent the frame and answers for it; a session, in the edge handler."""

    def decided(self, ticket: Ticket) -> None:
        """Take note that every event of the frame is decided or rejected. Called once, synchronously."""


class FrameTaker(Protocol):
    """Who gives frames their tickets, those that need one; a session, in the edge handler."""

    def pass_by(self, frames: Sequence[Events]) -> None:
        """Take note that the next frames are decided, and that nothing came of them."""

    def take(self, frame: Events, arrival: float, fail_mode: FailMode) -> Ticket:
        """Take a new frame; its ticket settles it."""
        ...


class Ticket:
    """One frame on its way through the rooms; a *place* is a position in `frame.events`.

    `verdicts` has one word an event of the frame as sent if it is gated, and is None otherwise. `arrival` is Unix
    seconds; `special` tells that an event is among them that concerns the room, not only its guard (`room_close`,
    `moderation`). The creator holds one count itself until `release`, so that rooms that decide at once cannot finish
    a frame that is still being handed out.
    """

    __slots__ = (
        "arrival",
        "closed",
        "events",
        "fail_mode",
        "frame",
        "owner",
        "parts",
        "position",
        "refused",
        "special",
        "verdicts",
        "waiting",
    )

    def __init__(self, owner: TicketOwner, frame: Events, arrival: float, fail_mode: FailMode) -> None:
        self.owner = owner
        self.frame = frame
        self.events: list[AnyEvent] = frame.events
        self.arrival = arrival
        self.fail_mode = fail_mode
        self.refused: list[Rejection] | None = None
        self.position = 0
        self.waiting = 1
        self.closed = False
        self.special = False
        self.parts: list[Batch] | None = None
        self.verdicts: list[str] | None = None
        if frame.gate:
            self.verdicts = ["allow"] * frame.size
            for rejection in frame.rejected:
                self.verdicts[rejection.index] = "drop"

    @property
    def accepted(self) -> int:
        """Events that were judged, those of an unknown kind included."""
        return self.frame.accepted - len(self.refused or ())

    def rejections(self) -> list[Rejection]:
        """Everything that was not judged, malformed or refused, by index."""
        if self.refused is None:
            return list(self.frame.rejected)
        return sorted((*self.frame.rejected, *self.refused), key=lambda rejection: rejection.index)

    def answer(self, place: int, verdict: str) -> None:
        """Note a verdict other than `allow`."""
        if self.verdicts is not None and not self.closed:
            self.verdicts[self.frame.indexes[place]] = verdict

    def reject(self, place: int, code: RejectCode, detail: str = "") -> None:
        """Say that the event at `place` was not judged; a gated one gets the fail mode."""
        if self.closed:
            return
        index = self.frame.indexes[place]
        if self.refused is None:
            self.refused = []
        self.refused.append(Rejection(index, code, detail))
        if self.verdicts is not None:
            self.verdicts[index] = self.fail_mode

    def release(self) -> None:
        """One of those who held the ticket is done; the last one closes it."""
        if self.closed:
            return
        self.waiting -= 1
        if not self.waiting:
            self._close()

    def abandon(self) -> int:
        """Give up on what still waits in mailboxes: rejected `overload`. Return how many events that were."""
        if self.closed:
            return 0
        before = self.accepted
        for batch in self.parts or ():
            if not batch.dropped:
                batch.dropped = True
                for place in batch.left():
                    self.reject(place, "overload")
        self._close()
        return before - self.accepted

    def _close(self) -> None:
        self.closed = True
        self.parts = None
        self.owner.decided(self)


class Run(msgspec.Struct, frozen=True, gc=False):
    """Frames of one session in sequence that are decided together, and each taken only where something comes of it.

    None of them is gated, and no event concerns more than its room's guard. `events` are those of all frames, in order.
    """

    frames: Sequence[Events]
    events: list[AnyEvent]
    arrival: float
    """When they were read, Unix seconds."""


class Batch:
    """A frame's events for one room while they wait there: places in the frame, -1 where one was shed.

    `next` is the first not yet decided. A dropped batch was finished, or given up by its ticket: the room skips it.
    """

    __slots__ = ("dropped", "next", "places", "size", "ticket")

    def __init__(self, ticket: Ticket, places: list[int]) -> None:
        self.ticket = ticket
        self.places = places
        self.next = 0
        self.size = len(places)
        self.dropped = False
        ticket.waiting += 1
        if ticket.parts is None:
            ticket.parts = [self]
        else:
            ticket.parts.append(self)

    def left(self) -> list[int]:
        """The places still to decide."""
        return [place for place in self.places[self.next :] if place >= 0]

    def finish(self) -> None:
        """All of it is decided."""
        if not self.dropped:
            self.dropped = True
            self.ticket.release()


def by_room(events: Iterable[AnyEvent]) -> dict[str, list[int]]:
    """The places of a frame's events by room, in order."""
    groups: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        groups.setdefault(event.room, []).append(place)
    return groups
