"""From a decoded frame to its rooms: our hand-over beside a memory channel and a task a room, nothing decided."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial

import attrs
import trio

from loadtest.bench.stages.stage import Stage
from loadtest.bench.stages.work import START, Traffic
from roomguard.engine.outcome import ALLOW, Outcome
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.model.actions import Action
from roomguard.model.events import AnyEvent, Control
from roomguard.runtime.clock import set_right
from roomguard.runtime.hub import Guard, RoomPorts
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.settings_rooms import FailMode, RoomSettings
from roomguard.runtime.tickets import Run, Ticket
from roomguard.testing import program
from roomguard.wire import Events, FrameDecoder

ROUNDS = 8
"""How often all frames are handed over: a loop and its rooms begin and end once, which is no part of it, and takes as
long as a fifth of a round."""
AHEAD = 1e9
"""Seconds around arrival that `ts` may lie: as recorded."""


class Idle:
    """A guard that has nothing to say: what is left is the way to it."""

    deadline = math.inf

    def receive(self, event: AnyEvent, now: float) -> Outcome:  # noqa: ARG002 - the interface
        """Let it pass."""
        return ALLOW

    def control(self, record: Control, now: float) -> Outcome:  # noqa: ARG002 - the interface
        """Take note of nothing."""
        return ALLOW

    def expire(self, now: float) -> Outcome:  # noqa: ARG002 - the interface
        """Nothing is ever due."""
        return ALLOW

    def next_deadline(self) -> float | None:
        """Never."""
        return None

    def in_force(self) -> list[Action]:
        """Nothing."""
        return []

    def survivors(self) -> bytes:
        """Nothing."""
        return b""

    def snapshot_in_portions(self) -> Generator[None, None, bytes]:
        """Nothing."""
        yield
        return b"{}"

    def configure(self, program: Program) -> None:
        """It has no use for one."""

    def idle_at(self) -> float:
        """At once."""
        return START


class Nowhere:
    """A store that keeps nothing."""

    def has_snapshot(self, room: str) -> bool:  # noqa: ARG002 - the interface
        """No."""
        return False

    async def load_snapshot(self, room: str) -> bytes | None:  # noqa: ARG002 - the interface
        """Nothing."""
        return None

    async def save_snapshots(self, snapshots: Mapping[str, bytes]) -> None:
        """Not kept."""


@attrs.define
class Counting:
    """Who has sent all frames: counts what is decided."""

    events: int = 0

    def take(self, frame: Events, arrival: float, fail_mode: FailMode) -> Ticket:
        """See `FrameTaker`."""
        return Ticket(self, frame, arrival, fail_mode)

    def pass_by(self, frames: Sequence[Events]) -> None:
        """See `FrameTaker`."""
        self.events += sum([frame.accepted for frame in frames])

    def decided(self, ticket: Ticket) -> None:
        """See `TicketOwner`."""
        self.events += ticket.accepted


def _frames(payloads: Sequence[str]) -> list[Events]:
    decode = FrameDecoder().decode
    return [frame for frame in map(decode, payloads) if isinstance(frame, Events)]


def _ports(new_guard: Callable[[str, Program], Guard]) -> RoomPorts:
    """Ways out of rooms that lead nowhere."""
    return RoomPorts(
        new_guard=new_guard,
        restore_guard=partial(_restored, new_guard),
        publish=lambda _actions: 0,
        ended=lambda _ids: None,
        store=Nowhere(),
    )


def _restored(
    new_guard: Callable[[str, Program], Guard], room: str, program: Program, _data: bytes
) -> Generator[None, None, Guard]:
    """Not asked for: nothing was ever put aside."""
    yield
    return new_guard(room, program)


def _nothing() -> None:
    """What a connection does between two slices of a frame while no commit is under way."""


async def _handed(frames: list[Events]) -> int:
    """All frames through `Rooms`, as a connection does it where each comes in a read of its own: a checkpoint each."""
    ports = _ports(lambda _room, _program: Idle())
    rooms = Rooms(RoomSettings(), program(), ports, clock=lambda: START)
    owner = Counting()
    known: dict[str, LiveRoom] = {}

    def admit(name: str) -> bool:
        room = rooms.open(name)
        if room is not None:
            known[name] = room
        return room is not None

    async with trio.open_nursery() as nursery:
        await nursery.start(rooms.run)
        for frame in frames * ROUNDS:
            set_right(frame.events, offset=0.0, earliest=START - AHEAD, latest=START + AHEAD)
            rooms.hand_over_run(owner, Run((frame,), frame.events, START), known, admit, _nothing)
            await trio.lowlevel.checkpoint()
        await rooms.drain()
        await rooms.aclose()
        nursery.cancel_scope.cancel()
    return owner.events


async def _opened(count: int, compiled: Program) -> int:
    """Rooms of the shipped engine, each opened, its task begun, and ended again."""
    tally = Tally()  # one for all rooms, as in a guard
    ports = _ports(lambda room, program: RoomGuard(room, program, tally))
    rooms = Rooms(RoomSettings(), compiled, ports, clock=lambda: START)
    async with trio.open_nursery() as nursery:
        await nursery.start(rooms.run)
        for number in range(count):
            rooms.open(f"r{number}")
            if not number % 64:
                await trio.lowlevel.checkpoint()
        opened = len(rooms)
        await rooms.aclose()
        nursery.cancel_scope.cancel()
    return opened


async def _channelled(frames: list[Events]) -> int:
    """The idiomatic way: a task and a memory channel a room."""
    done = 0
    senders: dict[str, trio.MemorySendChannel[AnyEvent]] = {}

    async def room(receive: trio.MemoryReceiveChannel[AnyEvent]) -> None:
        nonlocal done
        async for _event in receive:
            done += 1

    async with trio.open_nursery() as nursery:
        for frame in frames * ROUNDS:
            for event in frame.events:
                sender = senders.get(event.room)
                if sender is None:
                    sender, receive = trio.open_memory_channel[AnyEvent](128)
                    senders[event.room] = sender
                    nursery.start_soon(room, receive)
                await sender.send(event)
        for sender in senders.values():
            sender.close()
    return done


def _ran(way: Callable[[list[Events]], Awaitable[int]], frames: list[Events], size: int) -> Callable[[], object]:
    def work() -> None:
        got = trio.run(way, frames)
        if got != size:
            raise ValueError(f"{got} of {size} events arrived")

    return work


def stages(traffic: Traffic) -> list[Stage]:
    """Both ways, frames of one event and of more."""
    out = []
    size = ROUNDS * len(traffic)
    for batch in (1, 16, 128):
        frames = partial(_frames, traffic.payloads(batch))
        out += [
            Stage(
                f"channel_hop_{batch}", f"a memory channel and a task a room, {batch} a frame", size,
                lambda frames=frames: _ran(_channelled, frames(), size),  # type: ignore[misc]
            ),
            Stage(
                f"hand_over_{batch}", f"events to their rooms, {batch} a frame", size,
                lambda frames=frames: _ran(_handed, frames(), size),  # type: ignore[misc]
                beside=f"channel_hop_{batch}", most_ratio=0.1 if batch >= 16 else None,
            ),
        ]  # fmt: skip
    count = min(2_000, len(traffic))
    out.append(
        Stage(
            "room_open", "a room opened, its task begun and ended", count,
            lambda: lambda: trio.run(_opened, count, program()), "us/room",
        )
    )  # fmt: skip
    return out
