"""Timers shared by all rooms: one task for their deadlines, one for the patience of frames.

A task or a scope for each room would cost memory and a wake-up where a heap entry does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

import trio

from roomguard.runtime.room import LiveRoom
from roomguard.runtime.tickets import Ticket


class RoomTimer:
    """Calls rooms when a deadline of theirs is due. One entry a room counts, the one in `room.due`.

    Bounded: an entry is added only where a room is due earlier than before, and when stale ones outnumber the rooms
    (`live()`), the heap is built anew.
    """

    def __init__(
        self, clock: Callable[[], float], due: Callable[[LiveRoom], None], live: Callable[[], int], turn: int
    ) -> None:
        self._clock = clock
        self._due = due
        self._live = live
        self._turn = turn
        self._heap: list[tuple[float, int, LiveRoom]] = []
        self._serial = 0
        self._sleep: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def arm(self, room: LiveRoom, due: float) -> None:
        """Call for `room` at `due`, a time of the clock; replaces an earlier wish."""
        room.due = due
        self._serial += 1
        heappush(self._heap, (due, self._serial, room))
        if self._heap[0][2] is room and self._sleep is not None:
            self._sleep.deadline = self._until(due)
        if len(self._heap) > 2 * self._live() + 1_000:
            self._rebuild()

    async def run(self) -> None:
        """Call rooms as they become due, some at a time; until cancelled."""
        heap = self._heap
        while True:
            now = self._clock()
            for _ in range(self._turn):
                if not heap or heap[0][0] > now:
                    break
                due, _, room = heappop(heap)
                if room.due == due:
                    self._due(room)
            else:
                await trio.lowlevel.checkpoint()
                continue
            with trio.CancelScope(deadline=self._until(heap[0][0]) if heap else float("inf")) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None

    def _until(self, due: float) -> float:
        return trio.current_time() + max(0.0, due - self._clock())

    def _rebuild(self) -> None:
        wanted = {id(room): (due, serial, room) for due, serial, room in self._heap if room.due == due}
        self._heap[:] = sorted(wanted.values(), key=lambda entry: entry[:2])


class Patience:
    """Gives up on frames that have waited too long in mailboxes, so that one stuck room stops no connection.

    First in, first out, because everybody waits equally long: `within` seconds. What is decided leaves the queue's
    front whenever something is added, and at its deadline at the latest.
    """

    def __init__(self, within: float, given_up: Callable[[Ticket], None]) -> None:
        self._within = within
        self._given_up = given_up
        self._queue: deque[tuple[float, Ticket]] = deque()
        self._some = trio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, ticket: Ticket) -> None:
        """Mind this ticket from now on."""
        queue = self._queue
        while queue and queue[0][1].closed:
            queue.popleft()
        if queue and queue[-1][1] is ticket:
            return
        queue.append((trio.current_time() + self._within, ticket))
        self._some.set()

    async def run(self) -> None:
        """Give up on tickets as their time runs out; until cancelled."""
        queue = self._queue
        while True:
            if not queue:
                self._some = trio.Event()
                await self._some.wait()
            deadline, ticket = queue[0]
            if ticket.closed:
                queue.popleft()
            elif deadline <= trio.current_time():
                queue.popleft()
                self._given_up(ticket)
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep_until(deadline)
