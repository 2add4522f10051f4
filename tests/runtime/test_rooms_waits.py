"""Messages that wait their turn, through rooms, timers and verdicts as they run."""

# ruff: noqa: ARG001 - the clock is asked for by naming it

from __future__ import annotations

import trio
from trio.testing import MockClock

from roomguard.engine.program import compile_program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import EngineSettings, LimitSettings, RuleSettings
from roomguard.runtime.hub import RoomPorts
from roomguard.runtime.room import LiveRoom
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.tickets import Ticket
from roomguard.wire import Events
from tests.runtime.room_fakes import EPOCH, Answer, FakeBus, MemoryStore, chat, clock, hand_over

PACED = EngineSettings(
    limits={"talk": LimitSettings(rate="2/1s", algorithm="pace", burst=3)},
    rules=(RuleSettings(name="slow", when='wait_s("talk") > 0', action=("delay",), mode="enforce", strike=False),),
)


async def test_each_is_released_when_it_is_its_turn(autojump_clock: MockClock) -> None:
    """The edge is told `hold` at once, and `release` 400 ms later for the fourth, half a second later for the fifth."""
    bus, answer = FakeBus(), Answer()
    known: dict[str, LiveRoom] = {}
    ports = RoomPorts(
        new_guard=RoomGuard,
        restore_guard=RoomGuard.restore_in_portions,
        publish=bus.publish,
        ended=bus.ended,
        store=MemoryStore(),
        record=lambda _record: None,
    )
    rooms = Rooms(RoomSettings(), compile_program(PACED), ports, clock)
    released: list[tuple[float, tuple[str, ...] | None]] = []
    ids: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(rooms.run)
        for number in range(5):
            event = chat(f"message {number}")
            ids.append(event.id)
            frame = Events(number + 1, True, 1, [event], range(1))
            await hand_over(rooms, Ticket(answer, frame, clock(), "allow"), known)
            await trio.sleep(0.1)
        for _ in range(200):
            await trio.sleep(0.01)
            released += [(round(clock() - EPOCH, 2), action.events) for action in bus.actions[len(released) :]]
        nursery.cancel_scope.cancel()

    assert [["allow"], ["allow"], ["allow"], ["hold"], ["hold"]] == [ticket.verdicts for ticket in answer.tickets]
    assert [(ids[3],), (ids[4],)] == [events for _, events in released]
    assert all(0 <= at - due <= 0.02 for (at, _), due in zip(released, (0.7, 1.2), strict=True))
    assert {"release"} == {action.kind for action in bus.actions}
