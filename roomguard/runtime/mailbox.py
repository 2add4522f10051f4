"""A room's mailbox: what waits until its task has a turn, bounded in events.

When it is full the room sheds by class (`CLASSES`): an arriving event pushes out a queued one of a lower class, and is
shed itself where there is none. The highest class alone may use the last tenth. Control records wait in the same order
as events under a bound of their own and are never shed: one too many is refused to whoever brought it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from roomguard.model.events import (
    Appeal,
    Chat,
    Control,
    Event,
    Follow,
    Gift,
    Join,
    Leave,
    Like,
    Moderation,
    Report,
    RoomClose,
    RoomOpen,
    Share,
    Unfollow,
    Viewers,
)
from roomguard.runtime.tickets import Batch, RejectCode

ShedCause = Literal["full", "pushed_out"]
"""full: the event arrived and found no place; pushed_out: it waited and had to go for one of a higher class."""

HIGHEST = 4
CLASSES: Mapping[type[Event], int] = {
    Like: 0,
    Viewers: 0,
    Join: 1,
    Leave: 1,
    Follow: 1,
    Unfollow: 1,
    Share: 1,
    Chat: 2,
    Gift: 3,
    Report: HIGHEST,
    Appeal: HIGHEST,
    Moderation: HIGHEST,
    RoomOpen: HIGHEST,
    RoomClose: HIGHEST,
}
"""Kind to class; a lower class is shed first. A kind that is not here belongs to the lowest."""


@attrs.frozen
class MailboxStatistics:
    """What waits in one room."""

    events: int
    controls: int
    peak_events: int


class Mailbox:
    """What waits for one room. `shed(event, cause)` is called for each event that was given up."""

    __slots__ = (
        "_controls",
        "_lower",
        "_lower_capacity",
        "_queue",
        "_shed",
        "_stacks",
        "capacity",
        "control_capacity",
        "events",
        "peak",
    )

    def __init__(self, capacity: int, control_capacity: int, shed: Callable[[Event, ShedCause], None]) -> None:
        self.capacity = capacity
        self.control_capacity = control_capacity
        self.events = 0
        self.peak = 0
        self._controls = 0
        self._lower_capacity = capacity - capacity // 10
        self._shed = shed
        self._queue: deque[Batch | Control] = deque()
        # Only while full: for each class the places of queued events, newest last, and how many are below the highest.
        self._stacks: list[list[tuple[Batch, int]]] | None = None
        self._lower = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    def statistics(self) -> MailboxStatistics:
        """What waits now."""
        return MailboxStatistics(events=self.events, controls=self._controls, peak_events=self.peak)

    def put(self, batch: Batch) -> None:
        """Queue a batch, shedding where it does not fit. Its ticket hears of every event given up."""
        if self.events + batch.size > self._lower_capacity:
            self._pass_over_dropped()
        if self._stacks is None and self.events + batch.size <= self._lower_capacity:
            self._queue.append(batch)
            self.events += batch.size
        else:
            self._put_full(batch)
        self.peak = max(self.peak, self.events)

    def put_control(self, record: Control) -> bool:
        """Queue a control record; False when too many wait already."""
        if self._controls >= self.control_capacity:
            return False
        self._controls += 1
        self._queue.append(record)
        return True

    def put_back(self, item: Batch | Control) -> None:
        """Return what was taken to the front, after a crash. May exceed the capacity by one turn's events."""
        if isinstance(item, Control):
            self._controls += 1
        else:
            item.size = len(item.left())
            self.events += item.size
            self._stacks = None
        self._queue.appendleft(item)

    def take(self, most: int) -> Batch | Control | None:
        """The next thing to do, at most `most` events of it; None when nothing waits."""
        queue = self._queue
        while queue:
            item = queue[0]
            if isinstance(item, Control):
                self._controls -= 1
                queue.popleft()
                return item
            if item.size <= most or item.dropped:
                queue.popleft()
                self._count_out(item)
                if item.size and not item.dropped:
                    return item
                item.finish()
            else:
                return self._split(item, most)
        self._stacks = None
        return None

    def clear(self, code: RejectCode) -> list[Control]:
        """Empty it: every event is rejected with `code`. Return the control records that waited."""
        controls: list[Control] = []
        while (item := self.take(2 * self.capacity)) is not None:
            if isinstance(item, Control):
                controls.append(item)
                continue
            for place in item.left():
                item.ticket.reject(place, code)
            item.finish()
        return controls

    def _pass_over_dropped(self) -> None:
        """Free the places of frames that were given up; the oldest are given up first."""
        queue = self._queue
        while queue and isinstance(first := queue[0], Batch) and first.dropped:
            queue.popleft()
            self._count_out(first)

    def _split(self, batch: Batch, most: int) -> Batch:
        """Cut the first `most` events off a batch too large for one turn."""
        start = batch.next
        batch.next = min(start + most, len(batch.places))
        part = Batch(batch.ticket, [place for place in batch.places[start : batch.next] if place >= 0])
        self._count_out(part)
        batch.size -= part.size
        return part

    def _count_out(self, batch: Batch) -> None:
        self.events -= batch.size
        if self._stacks is not None:
            classes = CLASSES
            events = batch.ticket.events
            self._lower -= sum(classes.get(type(events[place]), 0) < HIGHEST for place in batch.left())

    def _put_full(self, batch: Batch) -> None:
        """Queue a batch event by event, by class, pushing out what counts less."""
        stacks = self._index()
        events = batch.ticket.events
        places = batch.places
        batch.size = 0
        self._queue.append(batch)
        for at, place in enumerate(places):
            event = events[place]
            rank = CLASSES.get(type(event), 0)
            lower = rank < HIGHEST
            fits = self.events < self.capacity and (not lower or self._lower < self._lower_capacity)
            if not fits and not self._push_out(stacks[:rank]):
                places[at] = -1
                batch.ticket.reject(place, "shed")
                self._shed(event, "full")
                continue
            batch.size += 1
            self.events += 1
            self._lower += lower
            stacks[rank].append((batch, at))

    def _push_out(self, lower_stacks: list[list[tuple[Batch, int]]]) -> bool:
        """Give up the newest queued event of the lowest class there is; False when there is none."""
        for stack in lower_stacks:
            while stack:
                batch, at = stack.pop()
                place = batch.places[at]
                if place < 0 or at < batch.next or batch.dropped:
                    continue
                batch.places[at] = -1
                batch.size -= 1
                batch.ticket.reject(place, "shed")
                self.events -= 1
                self._lower -= 1
                self._shed(batch.ticket.events[place], "pushed_out")
                return True
        return False

    def _index(self) -> list[list[tuple[Batch, int]]]:
        """The queued events by class; built when the mailbox fills up, kept until it is empty or grown stale."""
        stacks = self._stacks
        if stacks is not None and sum(map(len, stacks)) <= 2 * self.capacity:
            return stacks
        stacks = [[] for _ in range(HIGHEST + 1)]
        self._lower = 0
        for item in self._queue:
            if isinstance(item, Control):
                continue
            events = item.ticket.events
            for at in range(item.next, len(item.places)):
                place = item.places[at]
                if place < 0:
                    continue
                rank = CLASSES.get(type(events[place]), 0)
                # A dropped batch counts until it leaves the queue, as it does in `events`.
                self._lower += rank < HIGHEST
                if not item.dropped:
                    stacks[rank].append((item, at))
        self._stacks = stacks
        return stacks
