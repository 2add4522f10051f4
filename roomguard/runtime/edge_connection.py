"""One connection of an edge: its reader, its sender, and the rooms it has.

The reader takes frames and hands them to rooms; it never waits for a room, only for acks (`max_unacked`) and for a disk
that is behind. One sender sends everything that waits at once. What waits to be sent is bounded in bytes: an edge that
does not read is cut, and comes back to its session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import filterfalse, islice
from typing import Protocol

import attrs
import trio

from roomguard.errors import FrameError, JournalFailed
from roomguard.model.actions import Action, encode_halves
from roomguard.model.events import AnyEvent, Control, Event, Moderation, RoomClose, RoomOpen, room_of
from roomguard.runtime.clock import frame_skew, set_right
from roomguard.runtime.delivery import Subscription
from roomguard.runtime.resender import Sent
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.sessions import Attached, Durability, Session
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.slices import Slices
from roomguard.runtime.tickets import Run, Ticket
from roomguard.runtime.transport import Connection, ConnectionClosed
from roomguard.runtime.turnstile import Turnstile
from roomguard.wire import (
    EdgeFrame,
    Enforced,
    Events,
    ExpectRaid,
    FrameDecoder,
    Subscribe,
    Unsubscribe,
    encode_error,
    encode_state,
    split_actions,
)

REPLACED, RESTART = 4409, 1012

AHEAD_BYTES = 64 * 1024
"""Bytes of frames that are decoded, then decided, then answered, each for all of them, so that the code for it stays in
the processor's caches. Beside a guard that took frame by frame, on the same core in one sitting, an event alone in its
frame took 19 % less CPU with a quarter of this; with all of it 2 % less again, and one of sixteen 2 to 3 %."""
RUN_EVENTS = 256
"""Events of one read, of any number of frames, that are decided together and answered before more of it is decided:
some three milliseconds. A frame of 128 alone took 3 % more CPU an event, at once on one core: an answer is a write.
With 400 it was 1 to 2 % less again, and the first of them waits for all."""
NEW_ROOM_EVENTS = 4
"""As many events take as long as a room that is new to a connection: its guard, its task, and its state said. Where an
edge came with hundreds of them a turn was 13 to 21 ms long, and not 7."""

MAX_HELD = 8_192
"""Actions held back for rooms whose state is not said yet; beyond it the connection is cut."""

_SPECIAL = frozenset({Moderation, RoomOpen, RoomClose})
"""Kinds that concern the room as well as its guard."""

Locate = Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]
"""The JSON of actions on disk, `offset` included, by id; those it does not know are absent."""


class EdgeBus(Durability, Protocol):
    """The action bus as an edge connection needs it."""

    @property
    def has_room(self) -> bool:
        """Whether the disk keeps up."""
        ...

    async def wait_room(self) -> None:
        """Until it does. Raises JournalFailed."""

    def subscribe(self, rooms: Collection[str] = (), wake: Callable[[], None] | None = None) -> Subscription:
        """A subscription of an edge connection."""
        ...

    def turn_begins(self) -> None:
        """Steps of rooms are run from here on, until `turn_over`."""

    def turn_over(self, *, others: bool = False) -> None:
        """Steps of rooms have been run: begin a commit, or take in what the one under way has become."""

    def poll(self) -> None:
        """In the midst of steps: take in what the commit under way has become."""

    @property
    def handing_out(self) -> bool:
        """Whether what a commit let go is just being handed out."""
        ...

    def after_hand_out(self, work: Callable[[], None]) -> bool:
        """Have `work` done once, behind the hand-out under way; False where there is none."""
        ...


@attrs.define
class EdgeCounters:
    """What all edge connections count together."""

    opened: int = 0
    event_frames: int = 0
    frames: Counter[str] = attrs.field(factory=Counter)
    """Other frames by type."""
    bad_frames: Counter[str] = attrs.field(factory=Counter)
    """Messages refused, by code."""
    malformed: Counter[str] = attrs.field(factory=Counter)
    """Events refused by the decoder, by code."""
    unknown_kinds: int = 0
    repaired_frames: int = 0
    gated_frames: int = 0
    clamped: int = 0
    corrected: int = 0
    """Frames whose session's clock offset was taken out."""
    slow: int = 0
    """Connections cut because they did not read."""
    states: int = 0
    enforced: int = 0


@attrs.frozen(kw_only=True)
class EdgeHouse:
    """What every edge connection shares."""

    settings: ListenSettings
    rooms: Rooms
    bus: EdgeBus
    counters: EdgeCounters
    locate: Locate | None
    turnstile: Turnstile = attrs.field(factory=Turnstile)


class EdgeConnection:
    """One connection and its session. `room` is set on a connection of one room."""

    def __init__(self, house: EdgeHouse, connection: Connection, attached: Attached, room: str | None) -> None:
        self._house = house
        self._connection = connection
        self._session: Session = attached.session
        self._room = room
        self._decoder = FrameDecoder(room=room, max_events=house.settings.max_events)
        self._grace_s = (
            house.rooms.settings.grace_reconnect_s
            if attached.absence_s >= house.rooms.settings.grace_absence_s and attached.absence_s > 0
            else 0.0
        )
        self._rooms: dict[str, LiveRoom] = {}
        self._wanted: list[str] = []
        """Rooms of a `subscribe`, to be had before the next frame is looked at."""
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._outbox_limit = house.settings.outbox_bytes
        self._states: list[tuple[str, list[Action]]] = []
        self._held: dict[str, list[Sent]] = {}
        self._inside = self._in_turn = False
        self._spent = 0
        """What this turn took so far, in events."""
        self._owed = 0
        """Events handed over and not answered."""
        self._kinds: list[type[Event]] = []
        """Of the events of this turn, to be counted at its end."""
        self._sending = False
        self._something = trio.Event()
        self._relief: trio.Event | None = None
        self._closing: tuple[int, str] | None = None
        self._draining = False
        self._reading = trio.CancelScope()
        self._living = trio.CancelScope()
        self._subscription = house.bus.subscribe(wake=self._soon)

    # What others call

    def say(self, message: bytes) -> None:
        """Send a message soon; an edge that is too far behind is cut instead."""
        self.say_all((message,))

    def say_all(self, messages: Sequence[bytes]) -> None:
        """Send these messages soon, in this order; an edge that is too far behind is cut instead."""
        bus = self._house.bus
        if bus.handing_out:
            bus.after_hand_out(self._send_from_here)
        elif not (self._in_turn or self._outbox):
            self._something.set()
        self._outbox += messages
        self._outbox_bytes += sum(map(len, messages))
        if self._outbox_bytes > self._outbox_limit:
            self._cut()

    def settled(self) -> None:
        """A frame was acknowledged: there may be room to read on, or nothing left to wait for."""
        if self._relief is not None:
            self._relief.set()
        if self._draining and not self._session.unacked:
            self.end(RESTART, "restart")

    def replaced(self) -> None:
        """Another connection has the session now."""
        # At once, and not when the close is answered: what this one was sent and nobody enforced has to wait for the
        # other to take the rooms.
        self._subscription.close()
        self.end(REPLACED, "another connection took this session over")

    def end(self, code: int, reason: str) -> None:
        """Send what waits, then close. The first reason stands."""
        if self._closing is None:
            self._closing = (code, reason)
        self._reading.cancel()
        self._something.set()

    def drain(self, notice: bytes) -> None:
        """A planned end: say `notice`, read no more, close once everything read is acknowledged."""
        self.say(notice)
        self._draining = True
        self._reading.cancel()
        self.settled()

    # The life

    async def run(self) -> None:
        """Serve until either side ends it."""
        with self._living:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send)
                    await self._read()
                    # From here on the sender alone says when it is over: it has acks to send first.
            finally:
                self._subscription.close()
                self._held.clear()

    async def _read(self) -> None:
        rooms, connection = self._house.rooms, self._connection
        with self._reading:
            try:
                while self._session.link is self:
                    messages = await connection.receive()
                    await self._take_all(messages, rooms.clock())
            except ConnectionClosed:
                self._living.cancel()

    async def _take_all(self, messages: Sequence[bytes], arrival: float) -> None:
        """What one read brought. Nothing is awaited but turns and room to go on."""
        share = max(1, AHEAD_BYTES * len(messages) // max(1, sum(map(len, messages))))
        self._spent = 0
        await self._turn_begins(arrival)
        try:
            for first in range(0, len(messages), share):
                if not await self._take_frames(self._decoder.decode_all(messages[first : first + share]), arrival):
                    return
        finally:
            self._turn_ends()

    async def _take_frames(self, frames: Sequence[EdgeFrame | FrameError], arrival: float) -> bool:
        """False where another connection has taken the session over: the rest is its business."""
        at = 0
        while at < len(frames):
            # Two turns in one took 2 to 3 % less CPU an event, and a loop that was behind stalled for 30 ms, not 15.
            if self._spent >= self._house.rooms.settings.turn_events:
                await self._next_turn(arrival)
            if not (self._session.has_room and self._house.bus.has_room):
                await self._make_room(arrival)
            if self._session.link is not self:
                return False
            if self._owed >= RUN_EVENTS:
                self._answer()
                self._go_on(arrival)
            if some := self._gather(frames, at):
                self._take_run(some, arrival)
            else:
                await self._take_one(frames[at], arrival)
            at += len(some) or 1
        return True

    async def _next_turn(self, arrival: float) -> None:
        """Let others have theirs."""
        self._spent = 0
        self._answer()
        await self._house.turnstile.give_way()
        self._go_on(arrival)

    def _gather(self, frames: Sequence[EdgeFrame | FrameError], at: int) -> list[Events]:
        """The frames from `at` on that may be decided together, and all their rooms taken.

        Ordinary ones in sequence, no more than a turn takes, and none that concerns more than guards.
        """
        some: list[Events] = []
        before, most = self._spent, self._house.rooms.settings.turn_events
        seq, size = self._session.expected, 0
        is_known = self._rooms.__contains__
        for frame in islice(frames, at, at + self._session.room_left):
            if type(frame) is not Events or frame.seq != seq or not frame.ordinary:
                break
            if not _SPECIAL.isdisjoint(map(type, frame.events)):
                break
            size += frame.size
            if size > most or (some and (size > RUN_EVENTS or size + self._spent - before > most)):
                break
            if not all(map(is_known, map(room_of, frame.events))):  # a call less for nearly every frame of one event
                self._take_rooms(frame.events)
            some.append(frame)
            seq += 1
        return some

    def _take_run(self, frames: Sequence[Events], arrival: float) -> None:
        """Those of which nothing comes are acknowledged at the end of the turn, and nobody has to take care of them."""
        house, known = self._house, self._rooms
        events = frames[0].events if len(frames) == 1 else [event for frame in frames for event in frame.events]
        self._kinds += map(type, events)
        house.counters.event_frames += len(frames)
        self._set_right(frames, events, arrival)
        house.rooms.hand_over_run(self._session, Run(frames, events, arrival), known, self._take_room, house.bus.poll)
        self._taken(len(events))

    async def _take_one(self, frame: EdgeFrame | FrameError, arrival: float) -> None:
        """Any frame, alone."""
        rooms, known = self._house.rooms, self._rooms
        ticket = self._take(frame, arrival)
        if ticket is None:
            self._spent += 1
            if self._wanted:
                await self._take_wanted(arrival)
            return
        size = len(ticket.events)
        if size > rooms.settings.turn_events:
            self._answer()
            await rooms.hand_over_in_turns(ticket, known, self._take_room, self._house.turnstile.give_way)
        else:
            self._take_rooms(ticket.events)
            rooms.hand_over(ticket, known, self._take_room, self._house.bus.poll)
        ticket.release()
        self._taken(size)

    def _taken(self, events: int) -> None:
        """So many events were handed over."""
        self._spent += events
        self._owed += events

    async def _take_wanted(self, arrival: float) -> None:
        """Have the rooms of a `subscribe`: four thousand new ones take some tens of milliseconds."""
        wanted, self._wanted = self._wanted, []
        slices = Slices()
        for room in wanted:
            if slices.spent:
                self._answer()
                await self._house.turnstile.give_way()
                slices.begin()
                self._go_on(arrival)
            if self._session.link is not self:
                return
            if not self._take_room(room):
                self.say(encode_error("room_limit", f"room {room}: too many rooms"))

    async def _turn_begins(self, arrival: float) -> None:
        await self._house.turnstile.enter()
        self._inside = True
        self._go_on(arrival)

    def _turn_ends(self) -> None:
        self._answer()
        if self._inside:
            self._inside = False
            self._house.turnstile.leave()

    def _go_on(self, arrival: float) -> None:
        self._session.turn_began = arrival
        self._house.bus.turn_begins()
        self._in_turn = True

    def _answer(self) -> None:
        """Send what the frames so far are answered with; what comes after it, and before we go on, is the sender's."""
        self._owed = 0
        self._session.turn_over()
        self._house.bus.turn_over(others=self._house.turnstile.wanted)
        self._in_turn = False
        if self._kinds:
            self._house.rooms.counters.kinds.update(self._kinds)
            self._kinds.clear()
        self._send_from_here()

    def _soon(self) -> None:
        """Actions wait to be sent: what a commit lets go is sent with the last of it, all else by the sender."""
        if not self._house.bus.after_hand_out(self._send_from_here):
            self._something.set()

    def _send_from_here(self) -> None:
        """Send what waits, if that takes no waiting: the sender sleeps on."""
        if self._states or self._sending or self._closing or self._subscription.behind:
            self._something.set()
            return
        if actions := self._take_actions():
            for message in split_actions(actions, self._house.settings.max_frame_bytes):
                self._outbox.append(message)
                self._outbox_bytes += len(message)
        if not self._outbox:
            return
        if self._connection.send_now(self._outbox):
            self._outbox, self._outbox_bytes = [], 0
        else:
            self._something.set()

    async def _make_room(self, arrival: float) -> None:
        session, bus = self._session, self._house.bus
        session.acknowledge_passed()
        if not (session.has_room and bus.has_room):
            self._turn_ends()
            await self._wait_room()
            await self._turn_begins(arrival)

    async def _wait_room(self) -> None:
        while not self._session.has_room:
            self._relief = trio.Event()
            await self._relief.wait()
            self._relief = None
        try:
            await self._house.bus.wait_room()
        except JournalFailed:
            # Nothing will be acknowledged any more; the process is on its way out.
            await trio.sleep_forever()

    # What comes in

    def _take(self, frame: EdgeFrame | FrameError, arrival: float) -> Ticket | None:
        """The ticket of a frame of new events; what needs none is dealt with here."""
        if type(frame) is Events:
            return self._take_events(frame, arrival)
        if isinstance(frame, FrameError):
            self._refuse(frame)
        else:
            self._take_other(frame)
        return None

    def _take_events(self, frame: Events, arrival: float) -> Ticket | None:
        session, seq = self._session, frame.seq
        self._house.counters.event_frames += 1
        if seq != session.expected and (standing := session.standing(seq)) != "new":
            if standing == "repeat":
                session.repeat(frame)
            else:
                detail = f"expected {session.expected}, got {seq}"
                self.say(encode_error("seq_gap", detail, seq=seq, expected=session.expected))
            return None
        self._count(frame)
        if frame.events:
            self._set_right((frame,), frame.events, arrival)
        ticket = session.take(frame, arrival, self._house.rooms.settings.fail_mode)
        kinds: list[type[Event]] = list(map(type, frame.events))
        self._kinds += kinds
        ticket.special = not _SPECIAL.isdisjoint(kinds)
        return ticket

    def _set_right(self, frames: Sequence[Events], events: list[AnyEvent], arrival: float) -> None:
        """Make the edge's times ours: without its clock's offset, and around the arrival. `events` are all of them."""
        settings, counters = self._house.settings, self._house.counters
        earliest, latest = arrival - settings.clamp_back_s, arrival + settings.clamp_ahead_s
        skews = [frame_skew(frame.events, arrival, latest - earliest) for frame in frames]
        offsets = self._session.clock.offsets(skews, arrival)
        if any(offsets):
            counters.corrected += len(offsets) - offsets.count(0.0)
            for frame, offset in zip(frames, offsets, strict=True):
                counters.clamped += set_right(frame.events, offset=offset, earliest=earliest, latest=latest)
        else:
            counters.clamped += set_right(events, offset=0.0, earliest=earliest, latest=latest)

    def _count(self, frame: Events) -> None:
        counters = self._house.counters
        counters.gated_frames += frame.gate
        counters.malformed.update(rejection.code for rejection in frame.rejected)
        counters.unknown_kinds += frame.unknown
        counters.repaired_frames += frame.repaired

    def _take_other(self, frame: EdgeFrame) -> None:
        counters = self._house.counters
        if isinstance(frame, Subscribe):
            counters.frames["subscribe"] += 1
            self._wanted = frame.rooms
        elif isinstance(frame, Unsubscribe):
            counters.frames["unsubscribe"] += 1
            for room in frame.rooms:
                self._leave_room(room)
        elif isinstance(frame, Enforced):
            counters.frames["enforced"] += 1
            self._enforced(frame.actions)
        elif isinstance(frame, ExpectRaid):
            counters.frames["expect_raid"] += 1
            record = Control(
                type="expect_raid",
                room=frame.room,
                ts=0.0,
                from_room=frame.from_room,
                size=frame.size,
                ttl_s=frame.ttl_s,
            )
            if not self._house.rooms.control(record):
                self.say(encode_error("overload", f"room {frame.room}: expect_raid was not taken, send it again"))

    def _refuse(self, error: FrameError) -> None:
        self._house.counters.bad_frames[error.code] += 1
        self.say(encode_error(error.code, error.detail, seq=error.seq))
        if error.seq is not None:
            self._session.take_bad(error.seq)

    def _enforced(self, ids: list[str]) -> None:
        """The edge carried actions out: the bus stops repeating them, their rooms hear of it."""
        rooms = self._house.rooms
        by_room: dict[str, list[str]] = {}
        for sent in self._subscription.enforced(ids):
            by_room.setdefault(sent.room, []).append(sent.id)
        for room, enforced in by_room.items():
            self._house.counters.enforced += len(enforced)
            if rooms.get(room) is not None:
                rooms.control(Control(type="enforced", room=room, ts=0.0, actions=enforced))

    # Rooms

    def _take_rooms(self, events: Sequence[AnyEvent]) -> None:
        """Have the rooms of these events, but for those that cannot be had.

        All of them before anything is decided: opened between two events, a room cost both their code in the caches,
        8 % of the CPU of an event where one in six was for a new room.
        """
        before = len(self._rooms)
        for name in filterfalse(self._rooms.__contains__, map(room_of, events)):
            self._take_room(name)
        self._spent += NEW_ROOM_EVENTS * (len(self._rooms) - before)

    def _take_room(self, name: str) -> bool:
        """Have a room from now on: its penalties in force first, then its actions. False at the cap."""
        if name in self._rooms:
            return True
        rooms = self._house.rooms
        if len(self._rooms) >= self._house.settings.max_rooms_per_connection:
            return False
        known = rooms.get(name)
        room = rooms.open(name)
        if room is None:
            return False
        self._rooms[name] = room
        self._held[name] = []
        self._subscription.add_room(name)
        room.when_ready(partial(self._room_ready, room))
        if known is not None and self._grace_s:
            rooms.control(Control(type="grace", room=name, ts=0.0, ttl_s=self._grace_s))
        return True

    def _room_ready(self, room: LiveRoom) -> None:
        """Note what is in force now, to be said once it is durable."""
        if room.name in self._held:
            state = (room.name, room.penalties())
            self._house.bus.when_durable(room.position, partial(self._state_durable, state))

    def _state_durable(self, state: tuple[str, list[Action]]) -> None:
        if state[0] in self._held:
            self._states.append(state)
            self._something.set()

    def _leave_room(self, name: str) -> None:
        self._rooms.pop(name, None)
        self._held.pop(name, None)
        self._subscription.remove_room(name)

    # What goes out

    async def _send(self) -> None:
        connection = self._connection
        try:
            while True:
                await self._something.wait()
                self._something = trio.Event()
                if self._subscription.behind:
                    self._cut()
                    return
                self._sending = True
                messages, self._outbox, self._outbox_bytes = self._outbox, [], 0
                actions: list[bytes] = []
                if self._states:
                    # Before everything else: what they answer was taken before it was decided.
                    states, actions = await self._encode_states()
                    messages[:0] = states
                actions += self._take_actions()
                if actions:
                    messages += split_actions(actions, self._house.settings.max_frame_bytes)
                if messages:
                    await connection.send_many(messages)
                elif self._closing is not None:
                    await connection.aclose(*self._closing)
                    self._living.cancel()
                self._sending = False
                if self._closing is not None:
                    self._something.set()
        except ConnectionClosed:
            self._living.cancel()

    def _take_actions(self) -> list[bytes]:
        """Actions to send; those of a room whose state has not been said yet are held back."""
        held = self._held
        if not held:
            return self._subscription.take()
        ready: list[bytes] = []
        for sent in self._subscription.take_sent():
            behind = held.get(sent.room)
            if behind is None:
                ready.append(sent.data)
            else:
                behind.append(sent)
        if sum(map(len, held.values())) > MAX_HELD:
            self._cut()
        return ready

    async def _encode_states(self) -> tuple[list[bytes], list[bytes]]:
        """The states that are due, and the actions held back for them."""
        states, self._states = self._states, []
        ids = [action.id for _, actions in states for action in actions]
        on_disk: Mapping[str, bytes] = {}
        if ids and self._house.locate is not None:
            on_disk = await self._house.locate(ids)
        messages: list[bytes] = []
        released: list[bytes] = []
        for room, actions in states:
            held = self._held.pop(room, None)
            if held is None:
                continue  # it left the room meanwhile
            self._house.counters.states += 1
            encoded = [on_disk.get(action.id) or b"".join(encode_halves(action)) for action in actions]
            messages.append(encode_state(room, encoded))
            released += [sent.data for sent in held]
        return messages, released

    def _cut(self) -> None:
        """The edge does not read: end the TCP connection, it comes back."""
        if not self._living.cancel_called:
            self._house.counters.slow += 1
            self._connection.abort()
            self._living.cancel()
