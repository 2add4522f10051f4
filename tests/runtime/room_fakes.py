"""Named doubles for everything around rooms: a guard that does what texts say, a bus, a store, and builders."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import attrs
import trio

from roomguard.engine.outcome import ALLOW, DROP, Outcome
from roomguard.engine.portions import Portions
from roomguard.engine.program import Program, compile_program
from roomguard.engine.settings import EngineSettings
from roomguard.engine.snapshot import survivors
from roomguard.errors import JournalFailed
from roomguard.model.actions import Action
from roomguard.model.events import AnyEvent, Chat, Control, Event, Like, Moderation, Report, RoomClose, RoomOpen
from roomguard.runtime.hub import RoomPorts
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import Ticket
from roomguard.wire import Events

EPOCH = 1_700_000_000.0
PROGRAM = compile_program(EngineSettings())
LATER_PROGRAM = compile_program(EngineSettings(kick_s=61.0))


def clock() -> float:
    """Unix seconds that follow the test's clock."""
    return EPOCH + trio.current_time()


def action(ident: str, room: str = "r1", user: str = "u", kind: Any = "mute", at: float = EPOCH) -> Action:
    return Action(
        id=ident, kind=kind, room=room, user=user, at=at, reason="test", message="", rule="test", strategy="default",
        config="v", causes=("e",), duration_s=60.0, until=at + 60.0,
    )  # fmt: skip


class ObedientGuard:
    """Does what a chat's text says: `mute`, `drop`, `hold`, `boom` (raises), `later N` (a deadline in N s)."""

    def __init__(self, room: str, program: Program, log: list[tuple[str, Any]]) -> None:
        self.room = room
        self.program = program
        self.log = log
        self.now = float("-inf")
        self.seen: list[str] = []
        self.muted: dict[str, Action] = {}
        self.deadline = inf
        self.on_deadline: Callable[[float], Outcome] = lambda at: Outcome(actions=(action(f"timed-{at}", self.room),))

    def receive(self, event: AnyEvent, now: float) -> Outcome:
        self.now = max(self.now, now)
        word = event.text.partition(" ")[0] if isinstance(event, Chat) else ""
        if word == "boom":
            raise LookupError(f"boom at {event.id}")
        self.seen.append(event.id)
        if isinstance(event, Moderation) and event.verb == "unmute":
            self.muted.pop(event.target, None)
        if word == "mute":
            assert isinstance(event, Chat)
            muted = self.muted[event.user] = action(f"mute-{event.id}", self.room, event.user, at=now)
            return Outcome(actions=(muted,))
        if word == "drop":
            return DROP
        if word == "hold":
            return Outcome(verdict="hold")
        if word == "later":
            assert isinstance(event, Chat)
            self.deadline = now + float(event.text.partition(" ")[2])
        return ALLOW

    def control(self, record: Control, now: float) -> Outcome:
        self.now = max(self.now, now)
        self.log.append((self.room, record))
        if record.type == "override":
            raise LookupError("boom at override")
        if record.type == "reset" and bytes(record.state):
            for data in json.loads(bytes(record.state))["actions"]:
                self.muted[data["user"]] = Action(**{**data, "causes": tuple(data["causes"])})
        return ALLOW

    def expire(self, now: float) -> Outcome:
        if self.deadline > now:
            return ALLOW
        at, self.deadline, self.now = self.deadline, inf, now
        return self.on_deadline(at)

    def next_deadline(self) -> float | None:
        return None if self.deadline == inf else self.deadline

    def in_force(self) -> list[Action]:
        return list(self.muted.values())

    def survivors(self) -> bytes:
        return survivors(self.muted.values())

    def snapshot_in_portions(self) -> Portions[bytes]:
        parts = []
        for seen in self.seen:
            parts.append(json.dumps(seen))
            yield
        return f'{{"seen": [{", ".join(parts)}]}}'.encode()

    def configure(self, program: Program) -> None:
        self.program = program

    def idle_at(self) -> float:
        return self.now + 60.0


class FakeBus:
    """A bus that is durable when the test says so."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.ended_ids: set[str] = set()
        self.durable = 0
        self.instantly = True
        self.failed: JournalFailed | None = None
        self.waiting: list[tuple[int, Callable[[], None]]] = []

    def publish(self, actions: Sequence[Action]) -> int:
        self.actions.extend(actions)
        if self.instantly:
            self.durable = len(self.actions)
        return len(self.actions)

    def ended(self, ids: Collection[str]) -> None:
        self.ended_ids.update(ids)

    def when_durable(self, position: int, callback: Callable[[], None]) -> None:
        if position <= self.durable:
            callback()
        else:
            self.waiting.append((position, callback))

    def commit(self) -> None:
        """Everything published so far is durable."""
        self.durable = len(self.actions)
        due = [callback for position, callback in self.waiting if position <= self.durable]
        self.waiting = [entry for entry in self.waiting if entry[0] > self.durable]
        for callback in due:
            callback()


@attrs.define
class MemoryStore:
    """Snapshots in a dict; `gate` holds loads up, `broken` makes everything fail."""

    kept: dict[str, bytes] = attrs.field(factory=dict)
    broken: bool = False
    gate: trio.Event | None = None
    saves: int = 0

    def has_snapshot(self, room: str) -> bool:
        return room in self.kept

    async def load_snapshot(self, room: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise JournalFailed("disk")
        return self.kept.get(room)

    async def save_snapshots(self, snapshots: Mapping[str, bytes]) -> None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise JournalFailed("disk")
        self.kept.update(snapshots)
        self.saves += 1


@attrs.define
class Answer:
    """Whoever sent a frame, and what came of it."""

    tickets: list[Ticket] = attrs.field(factory=list)

    def decided(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)


async def hand_over(
    rooms: Rooms, ticket: Ticket, known: dict[str, LiveRoom], between: Callable[[], None] = lambda: None
) -> None:
    """Hand a frame over as an edge's connection does that has these rooms and may have any other."""
    if len(ticket.events) > rooms.settings.turn_events:
        await rooms.hand_over_in_turns(ticket, known, lambda _: True, trio.lowlevel.cancel_shielded_checkpoint)
    else:
        rooms.hand_over(ticket, known, lambda _: True, between)
    ticket.release()


@attrs.define
class House:
    """A registry with its surroundings."""

    rooms: Rooms
    bus: FakeBus
    store: MemoryStore
    record: list[AnyEvent | Control]
    told: list[tuple[str, Any]]
    guards: dict[str, list[ObedientGuard]]
    answers: Answer = attrs.field(factory=Answer)
    known: dict[str, LiveRoom] = attrs.field(factory=dict)
    """The rooms of whoever sends."""
    seq: int = 0

    def guard(self, room: str = "r1") -> ObedientGuard:
        return self.guards[room][-1]

    async def send(self, *events: Event, gate: bool = False) -> Ticket:
        """One frame with these events; its ticket, decided or not."""
        ticket = self.ticket(*events, gate=gate)
        await hand_over(self.rooms, ticket, self.known)
        return ticket

    def ticket(self, *events: Event, gate: bool = False) -> Ticket:
        """That of a frame with these events."""
        self.seq += 1
        frame = Events(self.seq, gate, len(events), list(events), range(len(events)))  # type: ignore[arg-type]
        ticket = Ticket(self.answers, frame, clock(), self.rooms.settings.fail_mode)
        ticket.special = any(isinstance(event, (RoomClose, RoomOpen, Moderation)) for event in events)
        return ticket

    def types(self) -> list[str]:
        """Control records in the recording, by type."""
        return [record.type for record in self.record if isinstance(record, Control)]


@asynccontextmanager
async def a_house(
    settings: RoomSettings | None = None,
    past: Mapping[str, bytes] | None = None,
    store: MemoryStore | None = None,
    bus: FakeBus | None = None,
) -> AsyncIterator[House]:
    """A running registry; ends without a word."""
    bus = bus or FakeBus()
    record: list[AnyEvent | Control] = []
    told: list[tuple[str, Any]] = []
    guards: dict[str, list[ObedientGuard]] = {}

    def new_guard(room: str, program: Program) -> ObedientGuard:
        guard = ObedientGuard(room, program, told)
        guards.setdefault(room, []).append(guard)
        return guard

    def restore_guard(room: str, program: Program, data: bytes) -> Portions[ObedientGuard]:
        guard = new_guard(room, program)
        for seen in json.loads(data)["seen"]:
            guard.seen.append(seen)
            yield
        return guard

    store = store or MemoryStore()
    ports = RoomPorts(
        new_guard=new_guard,
        restore_guard=restore_guard,
        publish=bus.publish,
        ended=bus.ended,
        store=store,
        record=record.append,
    )
    rooms = Rooms(settings or RoomSettings(), PROGRAM, ports, clock, past)
    async with trio.open_nursery() as nursery:
        await nursery.start(rooms.run)
        yield House(rooms, bus, store, record, told, guards)
        nursery.cancel_scope.cancel()


_serial = iter(range(10**9))


def chat(text: str = "hello", room: str = "r1", ts: float | None = None, user: str = "u") -> Chat:
    return Chat(id=f"e{next(_serial)}", room=room, user=user, text=text, ts=clock() if ts is None else ts)


def like(room: str = "r1") -> Like:
    return Like(id=f"e{next(_serial)}", room=room, user="u", count=1, ts=clock())


def report(room: str = "r1") -> Report:
    return Report(id=f"e{next(_serial)}", room=room, user="u", target="v", ts=clock())


def close(room: str = "r1") -> RoomClose:
    return RoomClose(id=f"e{next(_serial)}", room=room, ts=clock())


def unmute(target: str, room: str = "r1") -> Moderation:
    return Moderation(id=f"e{next(_serial)}", room=room, user="mod", verb="unmute", target=target, ts=clock())
