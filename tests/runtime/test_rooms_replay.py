"""What rooms recorded, run through the engine again, gives the same actions."""

# ruff: noqa: ARG001 - the clock is asked for by naming it

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock

from roomguard.engine.program import Program, compile_program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import EngineSettings, LimitSettings, RuleSettings
from roomguard.model.actions import Action, to_dict
from roomguard.model.events import AnyEvent, Chat, Control
from roomguard.runtime import slices
from roomguard.runtime.hub import RoomPorts
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import Ticket
from roomguard.wire import Events
from tests.runtime.room_fakes import Answer, FakeBus, MemoryStore, clock, hand_over

SETTINGS = EngineSettings(
    limits={
        "burst": LimitSettings(rate="3/10s"),
        "pair": LimitSettings(rate="1/2s"),
        "talk": LimitSettings(rate="4/1s", algorithm="pace", burst=1),
    },
    rules=(
        RuleSettings(name="burst", when='over("burst")', action=("ladder",), mode="enforce"),
        RuleSettings(name="ask", when='over("pair") and length > 5', action=("hold",), mode="enforce"),
        RuleSettings(name="slow", when='wait_s("talk") > 0', action=("delay",), mode="enforce", strike=False),
    ),
    hold_s=5.0,
)
STRICTER = attrs.evolve(SETTINGS, limits={**SETTINGS.limits, "burst": LimitSettings(rate="2/10s")})


class Fragile(RoomGuard):
    """The real guard, but for one text that makes it crash."""

    def receive(self, event: AnyEvent, now: float) -> object:  # type: ignore[override]
        if isinstance(event, Chat) and event.text == "boom":
            raise LookupError("boom")
        return super().receive(event, now)


def replay(records: Sequence[AnyEvent | Control], programs: dict[str, Program], first: Program) -> list[Action]:
    """What the engine alone makes of a recording."""
    guards: dict[str, RoomGuard] = {}
    actions: list[Action] = []
    for record in records:
        guard = guards.setdefault(record.room, RoomGuard(record.room, first))
        if isinstance(record, Control):
            if record.type == "expire":
                outcome = guard.expire(record.ts)
            else:
                if record.type == "config":
                    assert record.config is not None
                    guard.configure(programs[record.config])
                outcome = guard.control(record, record.ts)
        else:
            outcome = guard.receive(record, record.ts)
        actions += outcome.actions
    return actions


@pytest.mark.parametrize("slice_s", [0.0, slices.SLICE_S])
@pytest.mark.parametrize("seed", range(6))
async def test_live_and_replay_agree(
    seed: int, slice_s: float, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through batches, deadlines, reloads, crashes, room_close and rooms that were put away and came back.

    With slices of no time at all others have their turn between any two portions of a snapshot.
    """
    monkeypatch.setattr(slices, "SLICE_S", slice_s)
    rng = random.Random(seed)
    first, later = compile_program(SETTINGS), compile_program(STRICTER)
    bus = FakeBus()
    records: list[AnyEvent | Control] = []
    ports = RoomPorts(
        new_guard=Fragile,
        restore_guard=Fragile.restore_in_portions,
        publish=bus.publish,
        ended=bus.ended,
        store=MemoryStore(),
        record=lambda record: records.append(msgspec.structs.replace(record)),
    )
    rooms = Rooms(RoomSettings(idle_s=20, sweep_s=5, turn_events=4), first, ports, clock)
    answer = Answer()
    known: dict[str, LiveRoom] = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(rooms.run)
        for number in range(150):
            await _send(rooms, answer, known, rng, number)
            if rng.random() < 0.05:
                await rooms.configure(rng.choice((first, later)))
            if rng.random() < 0.05:
                rooms.control(Control(type="expect_raid", room="r1", ts=0.0, size=5, ttl_s=20.0))
            await trio.sleep(rng.choice((0.0, 0.01, 0.3, 2.0)))
            if rng.random() < 0.01:
                await trio.sleep(8_000)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    programs = {program.version: program for program in (first, later)}
    again = replay(records, programs, first)

    assert rooms.statistics().put_away or rooms.statistics().supervisor.crashes
    assert {"burst", "ask", "slow"} == {action.rule for action in bus.actions}
    for room in ("r0", "r1", "r2"):
        live = [to_dict(action) for action in bus.actions if action.room == room]
        assert live == [to_dict(action) for action in again if action.room == room]


async def _send(rooms: Rooms, answer: Answer, known: dict[str, LiveRoom], rng: random.Random, number: int) -> None:
    texts = ["hello", "so it is", *(["boom"] if number % 40 == 0 else [])]
    events: list[AnyEvent] = [
        Chat(
            id=f"e{number}-{place}",
            room=f"r{rng.randrange(3)}",
            user=f"u{rng.randrange(6)}",
            text=rng.choice(texts),
            ts=clock() - rng.random(),
        )
        for place in range(rng.randrange(1, 8))
    ]
    frame = Events(number + 1, False, len(events), events, range(len(events)))
    await hand_over(rooms, Ticket(answer, frame, clock(), "allow"), known)
