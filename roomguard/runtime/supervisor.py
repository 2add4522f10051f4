"""What happens when a room crashes: that room loses its window, and nobody else notices.

This module holds the only broad `except`s of the package. Whoever runs a room's step runs it through here: its task, a
connection's reader, the timer. A crashed room pauses (0.1 s, doubling to 5 s), then starts again from what survived;
the event it crashed on gets a second try and is then set aside as a dead letter. Too many restarts in a short time
quarantine the room. Too many crashes of all rooms together make the process say it is not ready; it goes on anyway.
`Cancelled` is no Exception and always passes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

import attrs
import trio

from roomguard.engine.outcome import ALLOW, Outcome
from roomguard.model.events import AnyEvent, Control
from roomguard.runtime.hub import RoomState
from roomguard.runtime.room import NEVER_DUE, LiveRoom
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import Batch, Ticket

log = logging.getLogger("roomguard.rooms")

MAX_ERROR = 200
SLICE_EVENTS = 32
"""Events of a frame decided one after the other, some 0.4 ms, before others may say what cannot wait for the rest."""
LATER: Literal["later"] = "later"
DUE: Literal["due"] = "due"
Cause = Outcome | Exception | Literal["later", "due"]
"""What is with an event: it caused something, its room crashed on it, decides it later, or has a deadline before it."""


@attrs.frozen
class DeadLetter:
    """An event or control record that made its room crash twice and was set aside. `at` is room time, Unix seconds."""

    room: str
    event: str
    """The event's id; of a control record its type."""
    kind: str
    at: float
    error: str


@attrs.frozen
class SupervisorStatistics:
    """What went wrong in rooms since the start, and what is wrong now."""

    crashes: int
    restarts: int
    quarantines: int
    quarantined_now: int
    dead_letters: int
    degraded: bool


class Supervisor:
    """Contains every room of a registry. All times are of trio's clock, seconds."""

    def __init__(self, settings: RoomSettings) -> None:
        self._settings = settings
        self._crashes: deque[float] = deque(maxlen=settings.crash_budget + 1)
        self._history: dict[str, deque[float]] = {}
        self.quarantined: set[str] = set()
        self.dead_letters: deque[DeadLetter] = deque(maxlen=settings.dead_letters)
        self._count = 0
        self._restarts = 0
        self._quarantines = 0
        self._set_aside = 0

    @property
    def degraded(self) -> bool:
        """More crashes of all rooms than the budget allows: the process should not call itself ready."""
        crashes = self._crashes
        return len(crashes) == crashes.maxlen and crashes[0] > trio.current_time() - self._settings.restart_window_s

    def statistics(self) -> SupervisorStatistics:
        """Counts since the start."""
        return SupervisorStatistics(
            crashes=self._count,
            restarts=self._restarts,
            quarantines=self._quarantines,
            quarantined_now=len(self.quarantined),
            dead_letters=self._set_aside,
            degraded=self.degraded,
        )

    @staticmethod
    def decide_quiet(
        events: Sequence[AnyEvent],
        begin: int,
        arrival: float,
        rooms: Mapping[str, LiveRoom],
        between: Callable[[], None],
    ) -> tuple[int, Cause]:
        """Decide events from place `begin` on while nothing comes of them; where that ends, and why.

        `between` is called after every `SLICE_EVENTS` events but the last.

        The hot path of the whole guard, one event after the other without a call but the guard's own: some 128 events
        of a frame are for 74 rooms, so that sorting them first and a step a room cost twice as much as this.
        """
        place, end = begin, len(events)
        while place < end:
            try:
                for place in range(place, min(end, place + SLICE_EVENTS)):  # noqa: B020 - from where the last one ended
                    event = events[place]
                    room = rooms.get(event.room)
                    if room is None or not room.direct:
                        return place, LATER
                    guard = room.guard
                    now = event.ts
                    if guard.deadline <= now:  # type: ignore[union-attr]
                        return place, DUE
                    if now > room.time:
                        room.time = now
                    else:
                        event.ts = now = room.time
                    room.lag = lag = arrival - now
                    outcome = guard.receive(event, now)  # type: ignore[union-attr]
                    if outcome is not ALLOW:
                        return place, outcome
                    if room.record is not None:
                        room.record(event)
                    deadline = guard.deadline  # type: ignore[union-attr]
                    if deadline != NEVER_DUE and deadline + lag < room.due:
                        room.mind_deadline()
            except Exception as fault:  # noqa: BLE001 - one room's fault stays in that room
                return place, fault
            place += 1
            if place < end:
                between()
        return end, ALLOW

    def decide(
        self,
        ticket: Ticket,
        rooms: Mapping[str, LiveRoom],
        between: Callable[[], None],
        place: int = 0,
        cause: Cause | None = None,
    ) -> dict[str, list[int]]:
        """Decide what of a frame can be decided here and now; the places left over, by room and in order.

        With a `cause` it begins where `decide_quiet` stopped, and why. Left over are events for rooms that are not
        `direct` or not in `rooms`, and those behind one that made its room crash.
        """
        events, arrival = ticket.events, ticket.arrival
        left: dict[str, list[int]] = {}
        while place < len(events):
            if cause is None:
                place, cause = self.decide_quiet(events, place, arrival, rooms, between)
            else:
                self._deal_with(ticket, place, cause, rooms, left)
                place, cause = place + 1, None
        return left

    def _deal_with(
        self, ticket: Ticket, place: int, cause: Cause, rooms: Mapping[str, LiveRoom], left: dict[str, list[int]]
    ) -> None:
        """An event of which something comes, as `decide_quiet` says."""
        event = ticket.events[place]
        room = rooms.get(event.room)
        if room is None or cause is LATER:
            left.setdefault(event.room, []).append(place)
            return
        if isinstance(cause, Exception):
            fault = cause
        else:
            try:
                if isinstance(cause, Outcome):
                    room.answer(ticket, place, cause)
                    if room.record is not None:
                        room.record(event)
                    room.mind_deadline()
                else:
                    room.step(ticket, (place,))
            except Exception as raised:  # noqa: BLE001 - as above
                fault = raised
            else:
                return
        room.cursor = place
        self._crashed_at(room, ticket, [place], fault)

    def step(self, room: LiveRoom, ticket: Ticket, places: Sequence[int]) -> None:
        """Run a room's step on its behalf; its room must be `direct`."""
        try:
            (room.step_special if ticket.special else room.step)(ticket, places)
        except Exception as fault:  # noqa: BLE001 - one room's fault stays in that room
            self._crashed_at(room, ticket, list(places), fault)

    def _crashed_at(self, room: LiveRoom, ticket: Ticket, places: list[int], fault: Exception) -> None:
        room.item = Batch(ticket, places)
        self._raise_in_task(room, fault)

    def run(self, room: LiveRoom, work: Callable[[], None]) -> None:
        """Run any other synchronous piece of a room's work on its behalf."""
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - one room's fault stays in that room
            self._raise_in_task(room, fault)

    def apply(self, room: LiveRoom, record: Control) -> None:
        """Give a `direct` room a control record now."""
        room.item = record
        self.run(room, partial(room.apply, record))
        if room.fault is None:
            room.item = None

    async def supervise(self, room: LiveRoom) -> None:
        """The life of a room's task: until the room ends, through every crash."""
        while room.state is not RoomState.ENDED:
            if room.idle:
                # Here, and not in a coroutine of the room's: each more that a parked task is in takes 225 bytes.
                room.park()
                await trio.lowlevel.wait_task_rescheduled(room.unpark)
                continue
            try:
                await room.work()
            except Exception as fault:  # noqa: BLE001 - one room's fault stays in that room
                await self._recover(room, fault)
        self._history.pop(room.name, None)
        self.quarantined.discard(room.name)

    async def _recover(self, room: LiveRoom, fault: Exception) -> None:
        """The pause after a crash."""
        pause = self._crashed(room, fault)
        room.resume_at = room.hub.clock() + pause
        with trio.move_on_after(pause) as room.pause:
            await trio.sleep_forever()
        room.pause = None
        self._resume(room)

    @staticmethod
    def release(room: LiveRoom) -> bool:
        """End a room's pause or quarantine now; False if it is in none."""
        if room.pause is None:
            return False
        room.pause.cancel()
        return True

    @staticmethod
    def _raise_in_task(room: LiveRoom, fault: Exception) -> None:
        """Hand a fault to the room's task, as if it had been raised there."""
        room.fault = fault
        room.direct = False
        room.resume_at = 0.0
        if room.state is not RoomState.ENDED:
            room.state = RoomState.RESTARTING
        room.wake()

    def _crashed(self, room: LiveRoom, fault: Exception) -> float:
        """Note a crash, save what can be saved; how long the room pauses, seconds."""
        now = trio.current_time()
        self._count += 1
        self._crashes.append(now)
        quiet = self.degraded
        log.error("room %r crashed: %s", room.name, _describe(fault), exc_info=None if quiet else fault)
        room.state = RoomState.RESTARTING
        room.direct = False
        room.fault = None
        self._salvage(room)
        self._mend(room, fault)
        history = self._history.setdefault(room.name, deque())
        while history and history[0] <= now - self._settings.restart_window_s:
            history.popleft()
        history.append(now)
        if len(history) > self._settings.restart_count:
            return self._quarantine(room)
        self._restarts += 1
        pause: float = min(self._settings.restart_first_s * 2.0 ** (len(history) - 1), self._settings.restart_most_s)
        if pause > self._settings.restart_hold_s:
            self._let_go(room)
        return pause

    def _salvage(self, room: LiveRoom) -> None:
        """Keep penalties, strikes and baselines for the next guard; what cannot be saved is counted as lost."""
        guard, room.guard = room.guard, None
        if not room.reset and guard is not None:
            with suppress(Exception):  # it has just crashed, so this may fail too; then the store is asked
                room.keep(guard)
        elif room.saved:
            # It crashed while starting from what was saved, so that is what is wrong with it: start from nothing.
            room.saved = b""
            room.hub.counters.states_lost += 1
        room.reset = True

    def _mend(self, room: LiveRoom, fault: Exception) -> None:
        """Put back what was left to do; set aside what the room crashed on if this was the second time."""
        item, room.item = room.item, None
        if item is None:
            return
        if isinstance(item, Control):
            if room.suspect is item:
                self._set_apart(room, item.type, item.type, fault)
                return
            room.suspect = item
            room.requeue(item)
            return
        cursor, room.cursor = room.cursor, -1
        if cursor < 0:
            item.finish()
            return
        item.next = item.places.index(cursor)
        event = item.ticket.events[cursor]
        if room.suspect == event.id:
            self._set_apart(room, event.id, _kind(event), fault)
            item.ticket.reject(cursor, "quarantined", "set aside")
            room.hub.counters.rejected["quarantined"] += 1
            item.next += 1
        else:
            room.suspect = event.id
        room.requeue(item)

    def _set_apart(self, room: LiveRoom, ident: str, kind: str, fault: Exception) -> None:
        room.suspect = None
        self._set_aside += 1
        letter = DeadLetter(room.name, ident, kind, room.time, _describe(fault))
        self.dead_letters.append(letter)
        log.error("room %r: event %r (%s) set aside after its second crash: %s", room.name, ident, kind, letter.error)

    def _quarantine(self, room: LiveRoom) -> float:
        self._quarantines += 1
        self.quarantined.add(room.name)
        room.state = RoomState.QUARANTINED
        room.suspect = None
        room.refuse_all("quarantined")
        log.error("room %r is in quarantine for %g s", room.name, self._settings.quarantine_s)
        return self._settings.quarantine_s

    @staticmethod
    def _let_go(room: LiveRoom) -> None:
        """Before a long pause: what waits may be sent again later, all but the event that needs its second try."""
        mailbox = room.mailbox
        suspect = None
        if mailbox and room.suspect is not None:
            suspect = mailbox.take(1)
        room.refuse_all("overload")
        if suspect is not None:
            room.requeue(suspect)

    def _resume(self, room: LiveRoom) -> None:
        if room.state is RoomState.QUARANTINED:
            self.quarantined.discard(room.name)
            self._history.pop(room.name, None)
        if room.state is not RoomState.ENDED:
            room.state = RoomState.OPENING


def _describe(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"[:MAX_ERROR]


def _kind(event: AnyEvent) -> str:
    return str(event.__struct_config__.tag)
