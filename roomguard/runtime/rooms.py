"""The registry of live rooms: one supervised task a room, in one nursery, created on the first event for it.

It hands frames to rooms, serves their deadlines from one timer, puts idle rooms away and brings them back, and swaps
what rooms are judged by. Work over all rooms, and over all users of a large one, goes in slices with a checkpoint
between, so that nobody waits long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, islice

import attrs
import trio

from roomguard.engine.portions import Portions
from roomguard.engine.program import Program
from roomguard.errors import RoomguardError
from roomguard.model.events import Control
from roomguard.runtime.hub import Hub, RoomPorts
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.slices import Slices
from roomguard.runtime.supervisor import Supervisor, SupervisorStatistics
from roomguard.runtime.tickets import FrameTaker, RejectCode, Run, Ticket, by_room
from roomguard.runtime.timers import Patience, RoomTimer

CLOSING_S = 0.25
"""How soon a room that closed and still has something to do is looked at again."""
SAVE_BYTES = 4 * 1024 * 1024
"""Bytes of snapshots beyond which no more are gathered for one save; a room of 20,000 users has twice as many."""

Admit = Callable[[str], bool]
"""Whether whoever hands over may have this room; it is among its rooms then."""
GiveWay = Callable[[], Awaitable[None]]
"""Lets others have a turn. A checkpoint at which being cancelled ends nothing."""


@attrs.frozen(kw_only=True)
class RoomsStatistics:
    """All rooms in numbers; counts are since the start."""

    rooms: int
    opened: int
    put_away: int
    closed: int
    events: Mapping[str, int]
    """Events handed to rooms, by kind."""
    verdicts: Mapping[str, int]
    """Verdicts other than `allow`."""
    actions: int
    alerts: int
    rejected: Mapping[str, int]
    """Events not judged, by code."""
    shed: Mapping[tuple[str, str], int]
    """Events shed, by kind and cause."""
    controls: Mapping[str, int]
    """Control records taken, by type."""
    controls_refused: int
    deadlines: int
    peak_mailbox: int
    states_lost: int
    """Rooms that came back without what was saved of them."""
    saves_failed: int
    timers: int
    patience: int
    """Frames whose waiting time is minded."""
    supervisor: SupervisorStatistics


@attrs.define(eq=False)
class _Aside:
    """A room on its way out, and what is kept of it."""

    room: LiveRoom
    version: str = attrs.field(init=False)
    portions: Portions[bytes | None] = attrs.field(init=False)
    data: bytes | None = None
    done: bool = False

    def __attrs_post_init__(self) -> None:
        """Begin."""
        self.version, self.portions = self.room.version, self.room.put_aside()

    def go_on(self) -> None:
        """One portion more."""
        try:
            next(self.portions)
        except StopIteration as end:
            self.data, self.done = end.value, True

    def stands(self) -> bool:
        """Whether the room is still what it was at the beginning: it has had no input, and no other program."""
        return not self.room.direct and self.room.untouched() and self.room.version == self.version


class Rooms:
    """All live rooms of one process. Everything runs in the trio thread; `run` must be running.

    `clock` gives Unix seconds and never goes back. `past` maps rooms to the `state` (penalties in force) they start
    from when they first open in this process.
    """

    def __init__(
        self,
        settings: RoomSettings,
        program: Program,
        ports: RoomPorts,
        clock: Callable[[], float],
        past: Mapping[str, bytes] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._rooms: dict[str, LiveRoom] = {}
        self._past = dict(past or {})
        self._away: dict[str, str] = {}
        self._closing: dict[LiveRoom, None] = {}
        self._nursery: trio.Nursery | None = None
        self._look = trio.Event()
        self._crowded = False
        self._started = clock()
        self.supervisor = Supervisor(settings)
        self._timer = RoomTimer(clock, self._expire, self._rooms.__len__, settings.turn_events)
        self._patience = Patience(settings.decide_within_s, self._give_up)
        self._gate_patience = Patience(settings.gate_within_s, self._give_up)
        self._hub = Hub(
            settings=settings,
            program=program,
            first_version=program.version,
            ports=ports,
            clock=clock,
            arm=self._timer.arm,
            queued=self._mind,
            ending=self._closed,
            grace=self._grace,
            past=lambda room: self._past.pop(room, None),
            put_away=self._away.get,
        )
        self.counters = self._hub.counters

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def program(self) -> Program:
        """What rooms are judged by."""
        return self._hub.program

    @property
    def degraded(self) -> bool:
        """So many rooms crash that the process should not call itself ready."""
        return self.supervisor.degraded

    def get(self, name: str) -> LiveRoom | None:
        """The live room of this name."""
        return self._rooms.get(name)

    def live(self) -> list[LiveRoom]:
        """All live rooms."""
        return list(self._rooms.values())

    def statistics(self) -> RoomsStatistics:
        """All rooms in numbers."""
        counters = self.counters
        return RoomsStatistics(
            rooms=len(self._rooms),
            opened=counters.opened,
            put_away=counters.put_away,
            closed=counters.closed,
            events={str(kind.__struct_config__.tag): count for kind, count in counters.kinds.items()},
            verdicts=dict(counters.verdicts),
            actions=counters.actions,
            alerts=counters.alerts,
            rejected=dict(counters.rejected),
            shed=dict(counters.shed),
            controls=dict(counters.controls),
            controls_refused=counters.controls_refused,
            deadlines=counters.deadlines,
            peak_mailbox=counters.peak_mailbox,
            states_lost=counters.states_lost,
            saves_failed=counters.saves_failed,
            timers=len(self._timer),
            patience=len(self._patience) + len(self._gate_patience),
            supervisor=self.supervisor.statistics(),
        )

    # The work

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep rooms until cancelled. `aclose` first, so that cancelling finds no rooms to end."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._timer.run)
            nursery.start_soon(self._patience.run)
            nursery.start_soon(self._gate_patience.run)
            nursery.start_soon(self._keep_looking)
            task_status.started()

    def open(self, name: str) -> LiveRoom | None:
        """The live room of this name, a new one if need be; None where there are too many or the end has begun."""
        room = self._rooms.get(name)
        if room is not None:
            return room
        if self._nursery is None:
            return None
        if len(self._rooms) >= self.settings.max_rooms:
            self._crowded = True
            self._look.set()
            return None
        room = self._rooms[name] = LiveRoom(name, self._hub)
        self.counters.opened += 1
        if not self._hub.ports.store.has_snapshot(name):
            self.supervisor.run(room, room.begin)
        self._nursery.start_soon(self.supervisor.supervise, room, name=name)
        return room

    def hand_over(self, ticket: Ticket, known: dict[str, LiveRoom], admit: Admit, between: Callable[[], None]) -> None:
        """Hand a frame's events to their rooms; a room that is idle decides here and now.

        `known` are the rooms that whoever hands over has; `admit` adds one to them, or says that it may not be had.
        `between` is called now and then in the midst of it, and must not touch rooms.
        For at most `turn_events` events; `hand_over_in_turns` takes any number.
        """
        left = by_room(ticket.events) if ticket.special else self.supervisor.decide(ticket, known, between)
        self._hand_over_left(ticket, left, known, admit)

    def hand_over_run(
        self, taker: FrameTaker, run: Run, known: dict[str, LiveRoom], admit: Admit, between: Callable[[], None]
    ) -> None:
        """`hand_over` for frames of which `taker` takes those that something comes of; at most `turn_events` events."""
        frames, events = run.frames, run.events
        ends = list(accumulate([frame.size for frame in frames]))
        first = place = 0
        while first < len(frames):
            place, cause = self.supervisor.decide_quiet(events, place, run.arrival, known, between)
            loud = bisect_right(ends, place)
            taker.pass_by(frames[first:loud])
            first = loud + 1
            if loud < len(frames):
                ticket = taker.take(frames[loud], run.arrival, self.settings.fail_mode)
                begin, place = place, ends[loud]
                left = self.supervisor.decide(ticket, known, between, begin - place + frames[loud].size, cause)
                self._hand_over_left(ticket, left, known, admit)
                ticket.release()

    def _hand_over_left(
        self, ticket: Ticket, left: Mapping[str, list[int]], known: dict[str, LiveRoom], admit: Admit
    ) -> None:
        for name, places in left.items():
            room = self._room_for(name, ticket, places, known, admit)
            if room is None:
                continue
            if room.direct:
                self.supervisor.step(room, ticket, places)
            else:
                room.offer(ticket, places)

    async def hand_over_in_turns(
        self, ticket: Ticket, known: dict[str, LiveRoom], admit: Admit, give_way: GiveWay
    ) -> None:
        """`hand_over` for a frame of any size: gives way after every `turn_events` events."""
        turn = self.settings.turn_events
        spent = 0
        for name, places in by_room(ticket.events).items():
            room = self._room_for(name, ticket, places, known, admit)
            if room is None:
                continue
            if not room.direct:
                room.offer(ticket, places)
                continue
            spent += len(places)
            if len(places) <= turn:
                self.supervisor.step(room, ticket, places)
            else:
                await self._hand_over_long(room, ticket, places, give_way)
            if spent >= turn:
                spent = 0
                await give_way()

    def _room_for(
        self, name: str, ticket: Ticket, places: Sequence[int], known: dict[str, LiveRoom], admit: Admit
    ) -> LiveRoom | None:
        """The live room of this name, now among the `known` ones; without it the events at `places` are rejected."""
        if name not in known and not admit(name):
            self._reject(ticket, places, "room_limit")
            return None
        room = self.open(name)
        if room is None:
            self._reject(ticket, places, "overload" if self._nursery is None else "room_limit")
            return None
        known[name] = room  # another one than before, if it was put away and came back
        return room

    async def _hand_over_long(self, room: LiveRoom, ticket: Ticket, places: list[int], give_way: GiveWay) -> None:
        """More than a turn's events for one idle room: a turn at once, the rest in its mailbox where that has the room.

        A frame is never shed by an idle room just because it is larger than the mailbox.
        """
        turn = self.settings.turn_events
        while places and room.direct:
            self.supervisor.step(room, ticket, places[:turn])
            places = places[turn:]
            if len(places) <= self.settings.mailbox_events // 2:
                break
            await give_way()
        if places:
            room.offer(ticket, places)

    def control(self, record: Control) -> bool:
        """Give a control record to its room, which is opened for it; False where that cannot be done."""
        room = self.open(record.room)
        if room is None:
            return False
        if room.direct:
            self.supervisor.apply(room, record)
            return True
        return room.tell(record)

    async def configure(self, program: Program) -> None:
        """Judge every room by another program: each between two of its events, some at a time."""
        self._hub.program = program
        slices = Slices()
        for chunk in self._chunks(list(self._rooms.values())):
            for room in chunk:
                self.supervisor.run(room, room.configure)
                if slices.spent:
                    await slices.give_way()
            await slices.give_way()

    async def drain(self) -> None:
        """Until no event waits in any mailbox. The caller sets a deadline."""
        for chunk in self._chunks(list(self._rooms.values())):
            for room in chunk:
                while len(room):  # noqa: ASYNC110 - an Event a room would cost all rooms for a rare moment
                    await trio.sleep(0.005)
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Put every room away and end its task. No new rooms from here on."""
        nursery, self._nursery = self._nursery, None
        for chunk in self._chunks(list(self._rooms.values())):
            await self._put_away(chunk, closing=True)
            await trio.lowlevel.checkpoint()
        if nursery is not None:
            nursery.cancel_scope.cancel()

    def release(self, name: str) -> bool:
        """End a room's quarantine or pause now; False if it is in none."""
        room = self._rooms.get(name)
        return room is not None and self.supervisor.release(room)

    # Putting rooms away

    async def _keep_looking(self) -> None:
        next_sweep = trio.current_time() + self.settings.sweep_s
        while True:
            # A room that closed may still have work or deadlines: it is looked at again soon.
            with trio.move_on_at(min(next_sweep, trio.current_time() + CLOSING_S) if self._closing else next_sweep):
                await self._look.wait()
            self._look = trio.Event()
            closing, self._closing = self._closing, {}
            await self._put_away(closing)
            self._closing.update(
                (room, None) for room in closing if self._rooms.get(room.name) is room and room.closing
            )
            if self._crowded or trio.current_time() >= next_sweep:
                await self.sweep()
                next_sweep = trio.current_time() + self.settings.sweep_s
            await trio.sleep(0.05)

    async def sweep(self) -> None:
        """Look all rooms over once and put away those that may go."""
        crowded, self._crowded = self._crowded, False
        idle_s = 0.0 if crowded else self.settings.idle_s
        for chunk in self._chunks(list(self._rooms.values())):
            now = self.clock()
            await self._put_away([room for room in chunk if now - room.used_at >= idle_s])
            await trio.lowlevel.checkpoint()

    def _may_go(self, room: LiveRoom) -> bool:
        may = False

        def judge() -> None:
            nonlocal may
            may = room.may_go()

        self.supervisor.run(room, judge)
        return may

    async def _put_away(self, rooms: Iterable[LiveRoom], *, closing: bool = False) -> None:
        """Save those of these rooms that may go and end them; all of them when `closing`."""
        asides: list[_Aside] = []
        size, slices = 0, Slices()
        for room in rooms:
            aside = await self._put_aside(room, slices, closing=closing)
            if aside is not None:
                asides.append(aside)
                size += len(aside.data or b"")
            if size >= SAVE_BYTES:
                await self._save(asides, closing=closing)
                asides, size = [], 0
            if slices.spent:
                await slices.give_way()
        await self._save(asides, closing=closing)

    async def _put_aside(self, room: LiveRoom, slices: Slices, *, closing: bool) -> _Aside | None:
        """What must be kept of a room; None if it may not go, or got something to do meanwhile."""
        if not closing and not self._may_go(room):
            return None
        room.direct = False
        aside = _Aside(room)
        while True:
            self.supervisor.run(room, aside.go_on)
            if aside.done or room.fault is not None:
                return aside
            # At the end of the process a room is written down in one go: what comes to it must not keep it.
            if slices.spent and not closing:
                await slices.give_way()
                if not aside.stands():
                    self._take_up(room)
                    return None

    async def _save(self, asides: Collection[_Aside], *, closing: bool) -> None:
        """Save rooms and end them, but for those that got something to do meanwhile (unless `closing`)."""
        snapshots = {aside.room.name: aside.data for aside in asides if aside.data is not None}
        saved = True
        if snapshots:
            try:
                await self._hub.ports.store.save_snapshots(snapshots)
            except (RoomguardError, OSError):
                # They stay, and are tried again; at the end of the process the journal is what remains.
                saved = False
                self.counters.saves_failed += len(snapshots)
        for aside in asides:
            room = aside.room
            if self._rooms.get(room.name) is not room:
                continue
            if closing or (saved and aside.stands()):
                self._end(room, kept=saved and room.name in snapshots)
            else:
                self._take_up(room)

    @staticmethod
    def _take_up(room: LiveRoom) -> None:
        """Let a room go on that was not put away after all; one that has got something to do does so by itself."""
        if room.untouched():
            room.direct = not room.preface

    def _end(self, room: LiveRoom, *, kept: bool) -> None:
        del self._rooms[room.name]
        if kept:
            # Bounded: a room forgotten here comes back as if from an earlier run of the process.
            if len(self._away) >= self.settings.max_rooms:
                del self._away[next(iter(self._away))]
            self._away[room.name] = room.version
        elif room.preface and room.saved:
            self._past[room.name] = room.saved
        if room.closing:
            self.counters.closed += 1
        else:
            self.counters.put_away += 1
        room.end()

    def _chunks(self, rooms: Iterable[LiveRoom]) -> Iterator[list[LiveRoom]]:
        iterator = iter(rooms)
        while chunk := list(islice(iterator, self.settings.chunk_rooms)):
            yield chunk

    # What rooms ask for

    def _closed(self, room: LiveRoom) -> None:
        self._closing[room] = None
        self._look.set()

    def _grace(self) -> float:
        return max(0.0, self._started + self.settings.grace_start_s - self.clock())

    def _mind(self, ticket: Ticket) -> None:
        (self._patience if ticket.verdicts is None else self._gate_patience).add(ticket)

    def _give_up(self, ticket: Ticket) -> None:
        self.counters.rejected["overload"] += ticket.abandon()

    def _expire(self, room: LiveRoom) -> None:
        self.supervisor.run(room, partial(room.expire_due, self.settings.turn_events))

    def _reject(self, ticket: Ticket, places: Sequence[int], code: RejectCode) -> None:
        self.counters.rejected[code] += len(places)
        for place in places:
            ticket.reject(place, code)
