"""Crashes: one room pays with its window, and nobody else notices."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from roomguard.model.events import Control
from roomguard.runtime.hub import RoomState
from roomguard.runtime.settings_rooms import RoomSettings
from tests.runtime.room_fakes import (
    EPOCH,
    House,
    MemoryStore,
    ObedientGuard,
    a_house,
    chat,
    clock,
    like,
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "roomguard.rooms")


def state(house: House, room: str = "r1") -> RoomState:
    live = house.rooms.get(room)
    assert live is not None
    return live.state


class TestCrash:
    async def test_a_crash_in_the_readers_hands_is_the_rooms_own(self, autojump_clock: MockClock) -> None:
        """A step that the reader ran and that raised is a crash of the room: the frame's other rooms decide."""
        async with a_house() as house:
            ticket = await house.send(chat("boom"), chat(room="r2"), chat(room="r3"))

            assert len(house.guard("r2").seen) == len(house.guard("r3").seen) == 1
            assert not ticket.closed
            assert RoomState.RESTARTING is state(house)

    async def test_a_poison_event_is_set_aside_after_its_second_try(self, autojump_clock: MockClock) -> None:
        """It is rejected `quarantined` and kept as a dead letter; everything before and after it is decided."""
        async with a_house() as house:
            before, poison, after = chat(), chat("boom"), chat()
            ticket = await house.send(before, poison, after)
            await trio.sleep(0.15)
            assert not ticket.closed
            await trio.sleep(0.2)

            assert ticket.closed
            assert [(1, "quarantined", "set aside")] == [(r.index, r.code, r.detail) for r in ticket.rejections()]
            assert [[before.id], [], [after.id]] == [guard.seen for guard in house.guards["r1"]]
            (letter,) = house.rooms.supervisor.dead_letters
            assert ("r1", poison.id, "chat") == (letter.room, letter.event, letter.kind)
            assert "LookupError: boom" in letter.error
            assert [before.id, after.id] == [one.id for one in house.record if not isinstance(one, Control)]

    async def test_an_event_that_crashes_once_is_judged_at_its_second_try(self, autojump_clock: MockClock) -> None:
        """A crash that does not repeat costs no event."""
        async with a_house() as house:
            house.rooms.open("r1")
            real = ObedientGuard.receive
            tries = iter([True])

            def receive(self: ObedientGuard, event: object, now: float) -> object:
                if next(tries, False):
                    raise LookupError("once")
                return real(self, event, now)  # type: ignore[arg-type]

            ObedientGuard.receive = receive  # type: ignore[assignment,method-assign]
            try:
                ticket = await house.send(chat())
                await trio.sleep(0.15)
            finally:
                ObedientGuard.receive = real  # type: ignore[method-assign]

            assert ticket.closed
            assert [] == ticket.rejections()
            assert 0 == house.rooms.statistics().supervisor.dead_letters

    async def test_what_it_crashed_on_is_known_again_when_it_is_sent_again(self, autojump_clock: MockClock) -> None:
        """The second try may come in another frame: the event is known by its id."""
        async with a_house(RoomSettings(restart_first_s=2.0)) as house:
            poison = chat("boom")
            first = await house.send(poison)
            await trio.sleep(1.05)  # given up after a second, before the restart
            assert ["overload"] == [one.code for one in first.rejections()]
            await trio.sleep(1)
            second = await house.send(poison)
            await trio.sleep(0.01)
            await wait_all_tasks_blocked()

            assert ["quarantined"] == [one.code for one in second.rejections()]

    async def test_penalties_survive_and_the_recording_says_so(self, autojump_clock: MockClock) -> None:
        """The restarted room gets a `reset` with the penalties in force, at the time of the crash."""
        async with a_house() as house:
            await house.send(chat("mute", user="bob"))
            await trio.sleep(1)
            await house.send(chat("boom", ts=clock()))
            await trio.sleep(0.15)

            assert ["bob"] == list(house.guard().muted)
            record = house.record[-1]
            assert isinstance(record, Control)
            assert ("reset", EPOCH + 1) == (record.type, record.ts)

    async def test_a_guard_that_cannot_say_what_is_in_force(self, autojump_clock: MockClock) -> None:
        """The room starts again all the same."""
        async with a_house() as house:
            await house.send(chat())
            house.guard().in_force = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            await house.send(chat("boom"))
            await trio.sleep(0.5)
            ticket = await house.send(chat())

            assert ticket.closed
            assert [] == ticket.rejections()

    async def test_a_deadline_that_crashes(self, autojump_clock: MockClock) -> None:
        """The timer goes on for the other rooms."""
        async with a_house() as house:
            await house.send(chat("later 5"), chat("later 6", room="r2"))
            house.guard().on_deadline = lambda _: 1 // 0  # type: ignore[assignment,return-value]
            await trio.sleep(10)

            assert ["r2"] == [one.room for one in house.bus.actions]
            assert house.rooms.statistics().supervisor.crashes == 1
            assert RoomState.RUNNING is state(house)

    async def test_a_control_record_that_crashes(self, autojump_clock: MockClock) -> None:
        """It gets a second try, then it is set aside like an event."""
        async with a_house() as house:
            await house.send(chat())
            house.rooms.control(Control(type="override", room="r1", ts=0.0))
            await trio.sleep(1)

            assert ["override"] == [letter.kind for letter in house.rooms.supervisor.dead_letters]
            assert (await house.send(chat())).closed

    async def test_a_reload_that_crashes_one_room(self, autojump_clock: MockClock) -> None:
        """The others are swapped, and the crashed one starts again under the new program."""
        from tests.runtime.room_fakes import LATER_PROGRAM  # noqa: PLC0415

        async with a_house() as house:
            await house.send(chat(room="a"), chat(room="b"), chat(room="c"))
            house.guard("b").configure = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            await house.rooms.configure(LATER_PROGRAM)
            await trio.sleep(1)

            assert all(guards[-1].program is LATER_PROGRAM for guards in house.guards.values())

    async def test_a_past_that_crashes_the_room_is_given_up(self, autojump_clock: MockClock) -> None:
        """A room that cannot start from what was saved starts from nothing, and that is counted."""
        async with a_house(past={"r1": b'{"no actions": 1}'}) as house:
            ticket = await house.send(chat())
            await trio.sleep(1)

            assert ticket.closed
            assert [] == ticket.rejections()
            assert house.rooms.statistics().states_lost == 1


class TestRestarts:
    async def test_pauses_double_and_too_many_restarts_quarantine(self, autojump_clock: MockClock) -> None:
        """Five restarts in ten seconds, 0.1 s apart and doubling; the next crash quarantines the room."""
        async with a_house() as house:
            for _ in range(400):
                await house.send(chat("boom"), chat(room="calm"))
                await trio.sleep(0.05)
                if state(house) is RoomState.QUARANTINED:
                    break
            stats = house.rooms.statistics().supervisor

            assert (6, 5, 1, 1) == (stats.crashes, stats.restarts, stats.quarantines, stats.quarantined_now)
            assert 3.1 < trio.current_time() < 3.6
            assert len(house.guards["calm"]) == 1

    async def test_a_quarantined_room_rejects_and_is_released_in_time(self, autojump_clock: MockClock) -> None:
        """Everything is `quarantined` for a while, then the room is tried again."""
        async with a_house(RoomSettings(restart_count=1, quarantine_s=60)) as house:
            await house.send(chat("boom"))
            await trio.sleep(0.5)
            refused = await house.send(chat(), chat(room="r2"), gate=True)
            assert [(0, "quarantined")] == [(one.index, one.code) for one in refused.rejections()]
            assert refused.closed

            await trio.sleep(60)
            assert [] == (await house.send(chat())).rejections()
            assert 0 == house.rooms.statistics().supervisor.quarantined_now

    async def test_an_operator_releases_a_room_early(self, autojump_clock: MockClock) -> None:
        """`release` ends a quarantine now."""
        async with a_house(RoomSettings(restart_count=1)) as house:
            await house.send(chat("boom"))
            await trio.sleep(0.5)
            assert house.rooms.release("r1")
            await wait_all_tasks_blocked()

            assert RoomState.RUNNING is state(house)
            assert not house.rooms.release("r1")

    async def test_events_wait_through_a_short_pause_only(self, autojump_clock: MockClock) -> None:
        """In a long pause an event is rejected `overload` at once, so that no connection is held up."""
        async with a_house() as house:
            await house.send(chat("boom 1"))
            await wait_all_tasks_blocked()
            waits = await house.send(chat())
            assert not waits.closed
            await trio.sleep(0.4)  # 0.1 s, then 0.2 s
            assert waits.closed
            assert [] == waits.rejections()

            await house.send(chat("boom 2"))  # the third crash within ten seconds
            await wait_all_tasks_blocked()
            assert ["overload"] == [one.code for one in (await house.send(chat())).rejections()]

    async def test_a_crash_now_and_then_is_no_reason_for_quarantine(self, autojump_clock: MockClock) -> None:
        """Crashes far apart pause the room shortly each time."""
        async with a_house() as house:
            for _ in range(20):
                await house.send(chat("boom"))
                await trio.sleep(11)

            assert 0 == house.rooms.statistics().supervisor.quarantines
            assert 20 == house.rooms.statistics().supervisor.dead_letters

    async def test_many_crashing_rooms_make_the_process_not_ready(self, autojump_clock: MockClock) -> None:
        """Beyond the budget of all rooms the registry is degraded; it goes on, and recovers."""
        async with a_house(RoomSettings(crash_budget=10)) as house:
            await house.send(*(chat("boom", room=f"r{n}") for n in range(10)))
            await wait_all_tasks_blocked()
            assert not house.rooms.degraded

            await house.send(chat("boom", room="last"), chat(room="calm"))
            await wait_all_tasks_blocked()
            assert house.rooms.degraded
            assert len(house.guard("calm").seen) == 1

            await trio.sleep(30)
            assert not house.rooms.degraded

    async def test_the_end_does_not_wait_for_a_pause(self, autojump_clock: MockClock) -> None:
        """A room in quarantine ends with the others."""
        async with a_house(RoomSettings(restart_count=1, quarantine_s=3600)) as house:
            await house.send(chat("boom"))
            await trio.sleep(0.5)
            await house.rooms.aclose()
            await wait_all_tasks_blocked()

            assert clock() < EPOCH + 1
            assert 0 == len(house.rooms)

    async def test_cancelling_passes(self, autojump_clock: MockClock) -> None:
        """Cancelling the registry ends every room's task, whatever it is doing."""
        with trio.fail_after(1):
            async with a_house(store=MemoryStore(kept={"slow": b""}, gate=trio.Event())) as house:
                await house.send(chat(), chat("boom", room="b"), like(room="slow"))
                await wait_all_tasks_blocked()
