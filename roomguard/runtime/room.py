"""One live room: its guard, its time, its mailbox and the synchronous step that its task or a reader runs.

The step is all the work there is for an event, so the one who has the event may run it: where the mailbox is empty and
the task parked (`direct`), a connection's reader calls `step` itself. Everything else waits in the mailbox.
A step never sends and never waits. What it raises goes to the supervisor, whoever ran it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec
import trio

from roomguard.engine.outcome import ALLOW, Outcome
from roomguard.engine.portions import Portions
from roomguard.errors import RoomguardError
from roomguard.model.actions import Action
from roomguard.model.events import NEVER, AnyEvent, Control, Event, Moderation, RoomClose, RoomOpen
from roomguard.runtime.hub import Guard, Hub, RoomState
from roomguard.runtime.mailbox import Mailbox, ShedCause
from roomguard.runtime.slices import in_slices
from roomguard.runtime.tickets import Batch, RejectCode, Ticket

NEVER_DUE = float("inf")


@attrs.define(eq=False, repr=False)
class LiveRoom:
    """One room while it lives. All of its methods but `serve` are synchronous and belong to the trio thread."""

    name: str
    hub: Hub
    record: Callable[[AnyEvent | Control], None] | None = attrs.field(
        default=attrs.Factory(lambda room: room.hub.ports.record, takes_self=True)
    )
    """Gets what the room takes, as it takes it; here because every event asks for it."""
    guard: Guard | None = None
    state: RoomState = RoomState.OPENING
    direct: bool = False
    """Running, nothing queued, task parked: whoever has events may call `step`."""
    time: float = NEVER
    """Room time, Unix seconds."""
    lag: float = 0.0
    """How far room time is behind the shell's clock, seconds; constant between inputs."""
    due: float = NEVER_DUE
    """When the shared timer calls, by the shell's clock."""
    version: str = attrs.field(default=attrs.Factory(lambda room: room.hub.first_version, takes_self=True))
    """What the room is judged by, as far as its recording knows."""
    position: int = 0
    """The bus position of the room's latest actions."""
    mailbox: Mailbox | None = None
    sheds: dict[str, int] | None = None
    """Events shed since the last turn, by kind."""
    waiting: list[Callable[[], None]] | None = None
    """Who wants to know when there is a guard."""
    closing: bool = False
    """A `room_close` came: put the room away as soon as nothing is left to do."""
    saved: bytes | None = None
    """The `state` that the next guard is reset to; empty or None for none."""
    reset: bool = False
    """Whether the next guard has a past to be told of in a `reset` record."""
    preface: bool = False
    """Whether that, or a configuration, is still to be told, before the first input."""
    task: trio.lowlevel.Task | None = None
    """The room's task while it is parked."""
    fault: Exception | None = None
    """What was raised by a step that somebody else ran, until the task takes it."""
    cursor: int = -1
    """The place of the event a step was at when it raised."""
    item: Batch | Control | None = None
    """What a turn was at when it raised."""
    suspect: object = None
    """What the room crashed on last: an event's id or a control record."""
    pause: trio.CancelScope | None = None
    """Cancel it to end a pause or quarantine."""
    resume_at: float = 0.0
    """When a pause ends, by the shell's clock."""

    def __repr__(self) -> str:
        return f"<LiveRoom {self.name!r} {self.state.value} queued={len(self)}>"

    def __len__(self) -> int:
        return 0 if self.mailbox is None else self.mailbox.events

    @property
    def used_at(self) -> float:
        """When the last input came, by the shell's clock; -inf before the first."""
        return self.time + self.lag

    # What comes in

    def step(self, ticket: Ticket, places: Sequence[int]) -> None:
        """Decide these events of a frame."""
        guard = self.guard
        if guard.deadline == NEVER_DUE:  # type: ignore[union-attr]
            self._decide(ticket, places)
            return
        for place in places:
            at = ticket.events[place].ts
            if guard.deadline <= at:  # type: ignore[union-attr]
                # What a deadline caused must not be lost if the event after it makes the room crash.
                self.cursor = place
                before = self.position
                self._expire_until(at, most=self.hub.settings.turn_events)
                if self.position != before:
                    ticket.position = max(ticket.position, self.position)
            self._decide(ticket, (place,))

    def _decide(self, ticket: Ticket, places: Sequence[int]) -> None:
        """Decide, with no deadline due. `Supervisor.decide` does the same for a reader, event by event."""
        guard = self.guard
        receive = guard.receive  # type: ignore[union-attr]
        record = self.record
        events = ticket.events
        time = self.time
        place = -1
        try:
            for place in places:
                event = events[place]
                if event.ts > time:
                    time = event.ts
                else:
                    event.ts = time
                outcome = receive(event, time)
                if outcome is not ALLOW:
                    self.answer(ticket, place, outcome)
                if record is not None:
                    record(event)
        finally:
            self.cursor = place
            self.time = time
            self.lag = ticket.arrival - time
        self.cursor = -1
        if guard.deadline + self.lag < self.due:  # type: ignore[union-attr]
            self.mind_deadline()

    def mind_deadline(self) -> None:
        """Have the shared timer call for the guard's next deadline, unless it calls sooner already."""
        deadline = self.guard.next_deadline()  # type: ignore[union-attr]
        if deadline is not None and deadline + self.lag < self.due:
            self.hub.arm(self, deadline + self.lag)

    def offer(self, ticket: Ticket, places: list[int]) -> None:
        """Take events for later, or say at once why not."""
        state = self.state
        if state is RoomState.QUARANTINED:
            self._refuse(ticket, places, "quarantined")
        elif state is RoomState.RESTARTING and self.resume_at - self.hub.clock() > self.hub.settings.restart_hold_s:
            self._refuse(ticket, places, "overload")
        else:
            self.direct = False
            mailbox = self._box()
            mailbox.put(Batch(ticket, places))
            counters = self.hub.counters
            counters.peak_mailbox = max(counters.peak_mailbox, mailbox.peak)
            self.hub.queued(ticket)
            self.wake()

    def tell(self, record: Control) -> bool:
        """Take a control record for the room's next turn, in order with its events; False where too many wait."""
        if not self._box().put_control(record):
            self.hub.counters.controls_refused += 1
            return False
        self.direct = False
        self.wake()
        return True

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once there is a guard; at once where there is one."""
        if self.guard is not None and self.state is RoomState.RUNNING:
            callback()
        elif self.waiting is None:
            self.waiting = [callback]
        else:
            self.waiting.append(callback)

    def penalties(self) -> list[Action]:
        """What is in force. Only once the room is ready."""
        if self.guard is None:
            return []
        if not self.preface or not self.saved:
            return self.guard.in_force()
        # Nothing has come yet that says what room time it is, so the guard itself cannot start from its past.
        probe = self.hub.ports.new_guard(self.name, self.hub.program)
        now = self.hub.clock()
        probe.control(Control(type="reset", room=self.name, ts=now, state=msgspec.Raw(self.saved)), now)
        return probe.in_force()

    def step_special(self, ticket: Ticket, places: Sequence[int]) -> None:
        """`step`, with an eye on events that say more: a room that closes, a human who ends a penalty early."""
        kinds = {type(ticket.events[place]) for place in places}
        if Moderation in kinds:
            before = {action.id for action in self.guard.in_force()}  # type: ignore[union-attr]
            self.step(ticket, places)
            if over := before.difference(action.id for action in self.guard.in_force()):  # type: ignore[union-attr]
                self.hub.ports.ended(over)
        else:
            self.step(ticket, places)
        if RoomOpen in kinds:
            self.closing = False
        if RoomClose in kinds:
            self.closing = True
            self.hub.ending(self)

    # Time

    def room_now(self) -> float:
        """Room time now: what the last input said and what has passed since."""
        return max(self.time, self.hub.clock() - self.lag)

    def expire_due(self, most: int) -> None:
        """Run the guard's deadlines due by now, each at its own time, at most `most` of them; then arm the next."""
        guard = self.guard
        self.due = NEVER_DUE
        if guard is None or self.state is not RoomState.RUNNING:
            return
        self._expire_until(self.hub.clock() - self.lag, most)
        deadline = guard.next_deadline()
        if deadline is not None:
            self.hub.arm(self, deadline + self.lag)

    def _expire_until(self, now: float, most: int) -> None:
        """Run the deadlines due by room time `now`, each at its own time, at most `most` of them."""
        guard = self.guard
        for _ in range(most):
            deadline = guard.next_deadline()  # type: ignore[union-attr]
            if deadline is None or deadline > now:
                return
            at = max(deadline, self.time)
            outcome = guard.expire(at)  # type: ignore[union-attr]
            self.time = at
            self.hub.counters.deadlines += 1
            if outcome is not ALLOW:
                # Only then: a deadline that did nothing but pass is run again by the next record of a replay.
                self._emit(outcome)
                self._record(Control(type="expire", room=self.name, ts=at))
            following = guard.next_deadline()  # type: ignore[union-attr]
            if following is not None and following <= deadline:
                raise RuntimeError(f"deadline {deadline} did not go by when it was run at {at}")

    def configure(self) -> None:
        """Judge by the registry's program from here on."""
        guard, program = self.guard, self.hub.program
        if guard is None or self.version == program.version:
            return
        guard.configure(program)
        if self.time == NEVER:
            # No input has said yet what time it is here: told before the first one.
            self.preface = True
            self.direct = False
            return
        self.version = program.version
        self.apply(Control(type="config", room=self.name, ts=0.0, config=program.version))

    def apply(self, record: Control) -> None:
        """Give a control record to the guard now, at room time, and record it."""
        if record.type == "enforced":
            # It decides nothing, so it takes no time: a room whose time it moved would judge otherwise than a replay of
            # what the edges sent. A room that had no input since the start has nothing to put it behind.
            if self.time == NEVER:
                return
            record.ts = self.time
        else:
            record.ts = self.room_now()
        if self.preface:
            self._tell_preface(record.ts)
        self._tell(record)

    def _tell(self, record: Control) -> None:
        outcome = self.guard.control(record, record.ts)  # type: ignore[union-attr]
        self.time = record.ts
        self.hub.counters.controls[record.type] += 1
        self._record(record)
        if outcome is not ALLOW:
            self._emit(outcome)
        self.mind_deadline()

    # The task

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do but to wait."""
        return self.guard is not None and not self.mailbox and self.fault is None

    def park(self) -> None:
        """The room's task waits for something to do. From here on others may call `step`."""
        self.direct = not self.preface
        self.task = trio.lowlevel.current_task()

    def unpark(self, _: object) -> trio.lowlevel.Abort:
        """It is cancelled: trio's `abort_fn`."""
        self.task = None
        self.direct = False
        return trio.lowlevel.Abort.SUCCEEDED

    async def work(self) -> None:
        """Do what there is to do. Raises what a step raised, whoever ran it."""
        while not self.idle and self.state is not RoomState.ENDED:
            if self.fault is not None:
                fault, self.fault = self.fault, None
                try:
                    raise fault
                finally:
                    del fault  # else its traceback would hold it, and only the garbage collector could free them
            if self.guard is None:
                await self._open()
                continue
            self.turn()
            await trio.lowlevel.checkpoint()

    def turn(self) -> None:
        """Do what waits, at most `turn_events` events of it."""
        mailbox = self.mailbox
        left = self.hub.settings.turn_events
        if self.sheds and not self.preface:
            self._tell_sheds()
        while left > 0 and mailbox and (item := mailbox.take(left)) is not None:
            self.item = item
            if isinstance(item, Control):
                left -= 1
                self.apply(item)
            else:
                places = item.left()
                left -= len(places)
                if self.preface and places:
                    self._tell_preface(item.ticket.events[places[0]].ts)
                (self.step_special if item.ticket.special else self.step)(item.ticket, places)
                item.finish()
            self.item = None

    def begin(self, guard: Guard | None = None) -> None:
        """Let the room run, with this guard or a new one."""
        hub = self.hub
        if guard is None and self.saved is None and (state := hub.past(self.name)) is not None:
            self.reset, self.saved = True, state
        self.guard = hub.ports.new_guard(self.name, hub.program) if guard is None else guard
        self.preface = self.reset or self.version != hub.program.version
        if self.preface and self.time > NEVER:
            self._tell_preface(self.time)
        self.state = RoomState.RUNNING
        self.direct = not self.mailbox and not self.preface
        waiting, self.waiting = self.waiting, None
        for callback in waiting or ():
            callback()

    def _tell_preface(self, at: float) -> None:
        """What a guard with a past, or under a later configuration, has to be told before its first input at `at`.

        At the time of that input, not of the clock: only the input knows what time it is in the room.
        """
        first = self.time == NEVER
        self.time = at
        program = self.hub.program
        if self.version != program.version:
            self.version = program.version
            self._tell(Control(type="config", room=self.name, ts=at, config=program.version))
        if self.reset:
            state = msgspec.Raw(self.saved or b"")
            self._tell(Control(type="reset", room=self.name, ts=at, state=state))
            if first and (ttl_s := self.hub.grace()) > 0:
                self._tell(Control(type="grace", room=self.name, ts=at, ttl_s=ttl_s))
        self.reset, self.saved, self.preface = False, None, False

    def wake(self) -> None:
        """Let the task run if it is parked."""
        task, self.task = self.task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def end(self) -> None:
        """The room is over: its task returns. What still waits is rejected `overload`."""
        self.refuse_all("overload")
        self.state = RoomState.ENDED
        self.direct = False
        self.guard = None
        if self.pause is not None:
            self.pause.cancel()
        self.wake()

    # For the registry

    def may_go(self) -> bool:
        """Whether nothing is lost if the room is put away now: no work, no deadline, windows run out or room closed."""
        guard = self.guard
        if guard is None or not self.untouched():
            return False
        return guard.next_deadline() is None and (self.closing or self.room_now() >= guard.idle_at())

    def untouched(self) -> bool:
        """Whether its task is parked with nothing to do."""
        return self.state is RoomState.RUNNING and self.task is not None and not self.mailbox

    def put_aside(self) -> Portions[bytes | None]:
        """What must be kept of the room; nothing where it has had no input yet."""
        if self.guard is None or self.time == NEVER:
            return None
        return (yield from self.guard.snapshot_in_portions())

    # For the supervisor

    def keep(self, guard: Guard) -> None:
        """Save what of a guard outlives it."""
        self.saved = None
        self.saved = guard.survivors()

    def requeue(self, item: Batch | Control) -> None:
        """Put back what a crash interrupted, in front of everything else."""
        if isinstance(item, Batch):
            if not item.left():
                item.finish()
                return
            self.hub.queued(item.ticket)
        self._box().put_back(item)

    def refuse_all(self, code: RejectCode) -> None:
        """Reject every event that waits; control records stay."""
        mailbox = self.mailbox
        if not mailbox:
            return
        self.hub.counters.rejected[code] += mailbox.events
        for record in mailbox.clear(code):
            mailbox.put_control(record)

    async def _open(self) -> None:
        """Find out what is known of the room, and begin."""
        hub = self.hub
        if self.reset or not hub.ports.store.has_snapshot(self.name):
            self.begin()
            return
        data = None
        try:
            data = await hub.ports.store.load_snapshot(self.name)
        except (RoomguardError, OSError):
            # A guard without its past is better than no guard; what was lost is counted.
            hub.counters.states_lost += 1
        if self.state is RoomState.ENDED:
            return
        version = hub.put_away(self.name)
        if data is not None and version is not None:
            self.version = version
            if await self._restore(data):
                return
        self.reset = True
        self.begin()

    async def _restore(self, data: bytes) -> bool:
        """Begin with the guard of a snapshot; False where it is none."""
        hub, program = self.hub, self.hub.program
        portions = hub.ports.restore_guard(self.name, program, data)
        try:
            guard = await in_slices(portions)
        except ValueError:
            hub.counters.states_lost += 1
            return False
        if hub.program is not program:
            guard.configure(hub.program)
        if self.state is not RoomState.ENDED:
            self.begin(guard)
        return True

    # What goes out

    def answer(self, ticket: Ticket, place: int, outcome: Outcome) -> None:
        """Put on its way what the event at this place of a frame caused."""
        if outcome.verdict != "allow":
            self.hub.counters.verdicts[outcome.verdict] += 1
            ticket.answer(place, outcome.verdict)
        position = self._emit(outcome)
        ticket.position = max(ticket.position, position)

    def _emit(self, outcome: Outcome) -> int:
        """Put what a decision caused on its way; the position on the bus, 0 for none."""
        hub = self.hub
        for alert in outcome.alerts:
            hub.counters.alerts += 1
            if hub.ports.alert is not None:
                hub.ports.alert(alert)
        if not outcome.actions:
            return 0
        hub.counters.actions += len(outcome.actions)
        self.position = hub.ports.publish(outcome.actions)
        return self.position

    def _record(self, record: Control) -> None:
        if self.record is not None:
            self.record(record)

    def _refuse(self, ticket: Ticket, places: Sequence[int], code: RejectCode) -> None:
        self.hub.counters.rejected[code] += len(places)
        for place in places:
            ticket.reject(place, code)

    def _box(self) -> Mailbox:
        if self.mailbox is None:
            settings = self.hub.settings
            self.mailbox = Mailbox(settings.mailbox_events, settings.mailbox_controls, self._shed)
        return self.mailbox

    def _shed(self, event: Event, cause: ShedCause) -> None:
        kind = str(event.__struct_config__.tag)
        self.hub.counters.shed[kind, cause] += 1
        self.hub.counters.rejected["shed"] += 1
        if self.sheds is None:
            self.sheds = {}
        self.sheds[kind] = self.sheds.get(kind, 0) + 1

    def _tell_sheds(self) -> None:
        sheds, self.sheds = self.sheds, None
        for kind, count in (sheds or {}).items():
            self.apply(Control(type="shed", room=self.name, ts=0.0, kind=kind, count=count))
