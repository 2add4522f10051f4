"""The registry: hand-over, time, timers, eviction, reload."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from roomguard.engine.outcome import ALLOW
from roomguard.engine.portions import Portions
from roomguard.engine.snapshot import survivors
from roomguard.model.events import Control
from roomguard.runtime import rooms, slices
from roomguard.runtime.hub import RoomState
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.supervisor import SLICE_EVENTS
from tests.runtime.room_fakes import (
    EPOCH,
    LATER_PROGRAM,
    PROGRAM,
    MemoryStore,
    a_house,
    action,
    chat,
    clock,
    close,
    hand_over,
    unmute,
)


class TestHandOver:
    async def test_a_parked_room_decides_at_once(self, autojump_clock: MockClock) -> None:
        """Where nothing waits, the frame is decided before `hand_over` returns, without the room's task."""
        async with a_house() as house:
            ticket = await house.send(chat("mute"), chat("drop"), chat("hold"), chat(), gate=True)

            assert ticket.closed
            assert ["allow", "drop", "hold", "allow"] == ticket.verdicts
            assert 4 == ticket.accepted
            assert ticket.position == len(house.bus.actions) == 1
            assert [ticket] == house.answers.tickets

    async def test_a_large_batch_is_cut_into_turns(self, autojump_clock: MockClock) -> None:
        """A room decides at most `turn_events` events a turn; the rest waits for its task, in order."""
        async with a_house(RoomSettings(turn_events=10)) as house:
            events = [chat() for _ in range(35)]
            ticket = await house.send(*events)

            seen = house.guard().seen
            assert len(seen) in (10, 20)  # the reader's turn, and perhaps one of the task
            assert [event.id for event in events[: len(seen)]] == seen
            assert 35 - len(seen) == len(house.rooms.get("r1"))  # type: ignore[arg-type]

            await trio.testing.wait_all_tasks_blocked()

            assert [event.id for event in events] == house.guard().seen
            assert ticket.closed
            assert house.rooms.get("r1").direct  # type: ignore[union-attr]

    async def test_others_may_speak_between_slices(self, autojump_clock: MockClock) -> None:
        """After every slice of a frame but the last, events before it decided and none behind, `between` is called."""
        async with a_house() as house:
            await house.send(chat())
            seen: list[int] = []
            frame = [chat() for _ in range(2 * SLICE_EVENTS + 1)]
            await hand_over(
                house.rooms, house.ticket(*frame), house.known, between=lambda: seen.append(len(house.guard().seen))
            )
            assert seen == [1 + SLICE_EVENTS, 1 + 2 * SLICE_EVENTS]
            assert len(house.guard().seen) == 1 + len(frame)

    async def test_a_task_bears_the_name_of_its_room(self, autojump_clock: MockClock) -> None:
        """Whoever looks at the tasks of a guard sees which room is which."""
        async with a_house() as house:
            await house.send(chat(room="r7"))
            await trio.testing.wait_all_tasks_blocked()
            room = house.rooms.get("r7")

            assert room is not None
            assert room.task is not None
            assert room.task.name == "r7"

    async def test_an_idle_room_sheds_nothing_of_one_large_frame(self, autojump_clock: MockClock) -> None:
        """A frame larger than the mailbox is decided whole where nothing else waits."""
        async with a_house(RoomSettings(turn_events=10, mailbox_events=20)) as house:
            ticket = await house.send(*(chat() for _ in range(200)))
            await trio.testing.wait_all_tasks_blocked()

            assert 200 == ticket.accepted
            assert {} == house.rooms.statistics().shed

    async def test_a_flood_is_shed_inside_its_room(self, autojump_clock: MockClock) -> None:
        """What a busy room cannot hold is rejected `shed`, recorded and counted; other rooms lose nothing."""
        async with a_house(RoomSettings(turn_events=10, mailbox_events=20)) as house:
            await house.send(*(chat() for _ in range(15)))
            ticket = await house.send(*(chat() for _ in range(40)), *(chat(room="r2") for _ in range(10)))
            await trio.testing.wait_all_tasks_blocked()

            codes = {one.code for one in ticket.rejections()}
            shed = len(ticket.rejections())
            assert {"shed"} == codes
            assert {("chat", "full"): shed} == house.rooms.statistics().shed
            assert 10 == len(house.guard("r2").seen)
            records = [one for one in house.record if isinstance(one, Control)]
            assert shed == sum(one.count or 0 for one in records)
            assert {("shed", "r1", "chat")} == {(one.type, one.room, one.kind) for one in records}

    async def test_order_holds_when_direct_and_queued_mix(self, autojump_clock: MockClock) -> None:
        """Events of one room are decided in the order they were handed over, whoever runs the step."""
        async with a_house(RoomSettings(turn_events=3)) as house:
            events = [chat() for _ in range(20)]
            for start in (0, 7, 8, 15):
                stop = {0: 7, 7: 8, 8: 15, 15: 20}[start]
                await house.send(*events[start:stop])
            await trio.testing.wait_all_tasks_blocked()

            assert [event.id for event in events] == house.guard().seen

    async def test_one_room_more_than_the_cap(self, autojump_clock: MockClock) -> None:
        """At the cap on rooms an event for one more is rejected `room_limit`, the rest of its frame stands."""
        async with a_house(RoomSettings(max_rooms=2)) as house:
            ticket = await house.send(chat(room="a"), chat(room="b"), chat(room="c"), gate=True)

            assert [(2, "room_limit")] == [(one.index, one.code) for one in ticket.rejections()]
            assert 2 == ticket.accepted
            assert {"room_limit": 1} == house.rooms.statistics().rejected

    async def test_a_cancelled_reader_hands_the_whole_frame_over(self, autojump_clock: MockClock) -> None:
        """A frame that was taken reaches all its rooms even if its reader is cancelled half way."""
        async with a_house(RoomSettings(turn_events=1)) as house:
            with trio.CancelScope() as scope:
                scope.cancel()
                ticket = await house.send(*(chat(room=f"r{n}") for n in range(20)))

            assert ticket.closed
            assert 20 == len(house.rooms)

    async def test_statistics_count_controls_and_verdicts(self, autojump_clock: MockClock) -> None:
        """What was decided is counted."""
        async with a_house() as house:
            await house.send(chat("drop"), chat("drop"), chat("mute"))
            stats = house.rooms.statistics()

            assert {"drop": 2} == stats.verdicts
            assert stats.actions == 1
            assert stats.rooms == stats.opened == 1

    async def test_a_human_who_ends_a_penalty_ends_it_for_good(self, autojump_clock: MockClock) -> None:
        """What a moderator takes back is told to the bus, so that no restart brings it back."""
        async with a_house() as house:
            event = chat("mute", user="bob")
            await house.send(event)
            await house.send(unmute("bob"))

            assert {f"mute-{event.id}"} == house.bus.ended_ids


class TestTime:
    async def test_room_time_never_goes_back(self, autojump_clock: MockClock) -> None:
        """An event older than the last one is taken at the last one's time, and recorded so."""
        async with a_house() as house:
            await house.send(chat(ts=EPOCH + 5), chat(ts=EPOCH + 3), chat(ts=EPOCH + 6))

            assert [EPOCH + 5, EPOCH + 5, EPOCH + 6] == [record.ts for record in house.record]

    async def test_a_deadline_runs_at_its_own_time(self, autojump_clock: MockClock) -> None:
        """The shared timer runs a deadline when it is due by room time, and records that it did something."""
        async with a_house() as house:
            await house.send(chat("later 5", ts=clock() - 2))
            await trio.sleep(4.9)
            assert [] == house.bus.actions

            await trio.sleep(0.2)

            assert [f"timed-{EPOCH + 3}"] == [one.id for one in house.bus.actions]
            last = house.record[-1]
            assert isinstance(last, Control)
            assert ("expire", EPOCH + 3) == (last.type, last.ts)

    async def test_a_deadline_that_did_nothing_is_not_recorded(self, autojump_clock: MockClock) -> None:
        """A replay runs such a deadline by itself with the next record."""
        async with a_house() as house:
            await house.send(chat("later 5"))
            house.guard().on_deadline = lambda _: ALLOW
            await trio.sleep(10)

            assert [] == house.types()
            assert EPOCH + 5 == house.rooms.get("r1").time  # type: ignore[union-attr]

    async def test_events_before_a_deadline_leave_it_where_it_is(self, autojump_clock: MockClock) -> None:
        """What comes before it is decided as ever; what comes at it or later finds it run, by whichever way it came."""
        async with a_house() as house:
            await house.send(chat("later 5"), chat(ts=EPOCH + 4.9))
            assert [] == house.bus.actions

            await house.send(chat(ts=EPOCH + 5), chat(ts=EPOCH + 6))

            assert [f"timed-{EPOCH + 5}"] == [one.id for one in house.bus.actions]
            assert [EPOCH, EPOCH + 4.9, EPOCH + 5, EPOCH + 5, EPOCH + 6] == [record.ts for record in house.record]

    async def test_an_edge_that_lags_less_brings_a_deadline_forward(self, autojump_clock: MockClock) -> None:
        """The timer goes by the latest event: what it said of room time moves the deadline by the shell's clock."""
        async with a_house() as house:
            await house.send(chat("later 5", ts=clock() - 2))
            await trio.sleep(1)
            await house.send(chat(ts=clock()))
            await trio.sleep(2.1)

            assert [f"timed-{EPOCH + 3}"] == [one.id for one in house.bus.actions]

    async def test_ten_thousand_deadlines_are_all_served(self, autojump_clock: MockClock) -> None:
        """One timer serves every room, however many are due at once."""
        async with a_house() as house:
            for chunk in range(10):
                await house.send(*(chat("later 5", room=f"r{chunk}-{n}") for n in range(100)))
            await trio.sleep(5.1)

            assert 1000 == len(house.bus.actions)
            assert 0 == house.rooms.statistics().timers


class TestControl:
    async def test_a_record_reaches_its_room_in_room_time(self, autojump_clock: MockClock) -> None:
        """A control record is taken at the room's time, moves it, and is recorded."""
        async with a_house() as house:
            await house.send(chat(ts=clock() - 3))
            await trio.sleep(1)

            assert house.rooms.control(Control(type="expect_raid", room="r1", ts=0.0, size=5, ttl_s=60.0))
            assert [("r1", "expect_raid", EPOCH - 2)] == [(room, one.type, one.ts) for room, one in house.told]
            assert ["expect_raid"] == house.types()

    async def test_a_busy_room_takes_it_in_order(self, autojump_clock: MockClock) -> None:
        """Where events wait the record waits behind them."""
        async with a_house(RoomSettings(turn_events=2)) as house:
            await house.send(*(chat() for _ in range(5)))
            house.rooms.control(Control(type="expect_raid", room="r1", ts=0.0))
            await house.send(chat())
            await trio.testing.wait_all_tasks_blocked()

            kinds = [record.type if isinstance(record, Control) else "event" for record in house.record]
            assert ["event"] * 5 + ["expect_raid", "event"] == kinds


class TestReload:
    async def test_every_room_is_swapped_between_two_events(self, autojump_clock: MockClock) -> None:
        """A reload reaches live rooms at once, with a `config` record each, and rooms of later the same way."""
        async with a_house(RoomSettings(chunk_rooms=3)) as house:
            await house.send(*(chat(room=f"r{n}") for n in range(10)))
            await house.rooms.configure(LATER_PROGRAM)

            assert all(guards[-1].program is LATER_PROGRAM for guards in house.guards.values())
            assert ["config"] * 10 == house.types()

            await house.send(chat(room="new"))
            await trio.testing.wait_all_tasks_blocked()

            assert LATER_PROGRAM is house.guard("new").program
            assert "config" == house.types()[-1]
            assert house.record[-2].ts == house.record[-1].ts

    async def test_the_same_program_again_changes_nothing(self, autojump_clock: MockClock) -> None:
        """A reload without a change is not recorded."""
        async with a_house() as house:
            await house.send(chat())
            await house.rooms.configure(PROGRAM)

            assert [] == house.types()


class TestPuttingAway:
    async def test_an_idle_room_leaves_and_comes_back_as_it_was(self, autojump_clock: MockClock) -> None:
        """After `idle_s` and its windows a room is put aside; the next event finds it as it was, without a record."""
        async with a_house(RoomSettings(idle_s=30, sweep_s=5)) as house:
            first = chat()
            await house.send(first)
            await trio.sleep(50)
            assert len(house.rooms) == 1  # windows run out at 60 s

            await trio.sleep(20)
            assert 0 == len(house.rooms)

            again = chat()
            ticket = await house.send(again)
            await trio.testing.wait_all_tasks_blocked()

            assert ticket.closed
            assert [first.id, again.id] == house.guard().seen
            assert [] == house.types()

    async def test_a_room_with_a_deadline_stays(self, autojump_clock: MockClock) -> None:
        """What still has to happen in a room keeps it alive."""
        async with a_house(RoomSettings(idle_s=30, sweep_s=5)) as house:
            await house.send(chat("later 200"))
            await trio.sleep(150)

            assert len(house.rooms) == 1

    async def test_an_event_during_the_save_keeps_the_room(self, autojump_clock: MockClock) -> None:
        """A room that gets something to do while it is saved is not put away, and loses nothing."""
        store = MemoryStore(gate=trio.Event())
        async with a_house(RoomSettings(idle_s=1, sweep_s=5), store=store) as house:
            await house.send(chat())
            await trio.sleep(70)
            ticket = await house.send(chat())
            await trio.testing.wait_all_tasks_blocked()
            store.gate.set()  # type: ignore[union-attr]
            await trio.sleep(1)

            assert ticket.closed
            assert len(house.rooms) == 1
            assert house.rooms.get("r1").direct  # type: ignore[union-attr]

    @pytest.mark.parametrize("what", ["an event", "a record", "a reload"])
    async def test_what_comes_between_two_portions_of_a_snapshot_keeps_the_room(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        """A room that is written down in slices goes on when something comes meanwhile, and nothing of it is saved."""
        monkeypatch.setattr(slices, "SLICE_S", 0.0)
        store = MemoryStore()
        async with a_house(RoomSettings(idle_s=1, sweep_s=5), store=store) as house:
            await house.send(*(chat() for _ in range(50)))
            guard, turns, begun = house.guard("r1"), 0, trio.Event()
            write = guard.snapshot_in_portions

            def watched() -> Portions[bytes]:
                nonlocal turns
                for _ in write():
                    turns += 1
                    if turns == 10:
                        begun.set()
                    yield
                return b""

            monkeypatch.setattr(guard, "snapshot_in_portions", watched)
            await begun.wait()
            seen = len(guard.seen)
            if what == "an event":
                await house.send(chat())
            elif what == "a record":
                house.rooms.control(Control(type="expect_raid", room="r1", ts=0.0))
            else:
                await house.rooms.configure(LATER_PROGRAM)
            for _ in range(10):  # and not until all are blocked: the clock would jump to the next sweep
                await trio.lowlevel.checkpoint()

            assert 10 <= turns < 20
            assert store.kept == {}
            assert house.rooms.get("r1").direct  # type: ignore[union-attr]
            assert len(guard.seen) == seen + (what == "an event")

    async def test_what_comes_while_a_room_is_read_back(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others have their turn between the portions; its events wait, and it is judged by what is in force then."""
        monkeypatch.setattr(slices, "SLICE_S", 0.0)
        async with a_house(RoomSettings(idle_s=1, sweep_s=5)) as house:
            first = [chat() for _ in range(50)]
            await house.send(*first)
            await trio.sleep(100)
            assert len(house.rooms) == 0

            ticket = await house.send(chat())
            while len(house.guard("r1").seen) < 10:
                await trio.lowlevel.checkpoint()
            other = await house.send(chat(room="other"))
            await trio.lowlevel.checkpoint()
            assert other.closed
            assert not ticket.closed
            await house.rooms.configure(LATER_PROGRAM)
            await trio.testing.wait_all_tasks_blocked()

            assert ticket.closed
            assert [event.id for event in first] == house.guard("r1").seen[:-1]
            assert house.guard("r1").program is LATER_PROGRAM

    async def test_large_rooms_are_not_gathered_for_one_save(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waits to be saved has a bound in bytes."""
        monkeypatch.setattr(rooms, "SAVE_BYTES", 100)
        store = MemoryStore()
        async with a_house(RoomSettings(idle_s=1, sweep_s=5), store=store) as house:
            await house.send(*(chat(room=f"r{n}") for n in range(20) for _ in range(10)))
            await trio.sleep(100)

            assert len(store.kept) == 20
            assert store.saves == 20

    async def test_a_room_that_cannot_be_saved_stays(self, autojump_clock: MockClock) -> None:
        """Where the store fails the room is kept, counted, and goes on."""
        async with a_house(RoomSettings(idle_s=1, sweep_s=5), store=MemoryStore(broken=True)) as house:
            await house.send(chat())
            await trio.sleep(100)

            assert len(house.rooms) == 1
            assert house.rooms.statistics().saves_failed
            ticket = await house.send(chat())
            await trio.testing.wait_all_tasks_blocked()
            assert ticket.closed

    async def test_room_close_ends_the_room(self, autojump_clock: MockClock) -> None:
        """A room that closes is put away once everything before and beside it is decided."""
        async with a_house(RoomSettings(turn_events=2)) as house:
            ticket = await house.send(chat(), chat(), chat(), close(), chat())
            await trio.sleep(1)

            assert ticket.closed
            assert 5 == ticket.accepted
            assert 0 == len(house.rooms)
            assert house.rooms.statistics().closed == 1

    async def test_a_crowd_is_thinned_when_the_cap_is_reached(self, autojump_clock: MockClock) -> None:
        """At the cap rooms whose windows have run out go at once, though not idle for long."""
        async with a_house(RoomSettings(max_rooms=5, idle_s=10_000, sweep_s=3_000)) as house:
            await house.send(*(chat(room=f"old{n}") for n in range(5)))
            await trio.sleep(61)
            refused = await house.send(chat(room="new"))
            await trio.sleep(1)
            taken = await house.send(chat(room="new"))

            assert "room_limit" == refused.rejections()[0].code
            assert [] == taken.rejections()

    async def test_the_end_puts_everything_away(self, autojump_clock: MockClock) -> None:
        """`aclose` saves every room, ends its task, and takes no more."""
        async with a_house(RoomSettings(chunk_rooms=7)) as house:
            await house.send(*(chat(room=f"r{n}") for n in range(50)))
            await house.rooms.aclose()

            assert 50 == len(house.store.kept)
            assert 0 == len(house.rooms)
            assert "overload" == (await house.send(chat())).rejections()[0].code


class TestComingBack:
    async def test_penalties_of_the_journal_are_restored_with_the_first_event(self, autojump_clock: MockClock) -> None:
        """A room known to the journal starts with a `reset` and grace at the time of its first event."""
        past = {"r1": survivors([action("m1", user="bob")])}
        async with a_house(past=past) as house:
            await trio.sleep(10)
            event = chat(ts=clock() - 1)
            ticket = await house.send(event)
            await trio.testing.wait_all_tasks_blocked()

            assert ticket.closed
            assert ["bob"] == list(house.guard().muted)
            assert ["reset", "grace"] == house.types()
            assert [event.ts] * 3 == [record.ts for record in house.record]
            assert 20.0 == house.record[1].ttl_s  # type: ignore[union-attr]

    async def test_a_new_room_has_no_grace(self, autojump_clock: MockClock) -> None:
        """What never had a past acts from its first event on."""
        async with a_house() as house:
            await house.send(chat())

            assert [] == house.types()

    async def test_state_before_the_first_event(self, autojump_clock: MockClock) -> None:
        """An edge that subscribes hears of the penalties before anything happens in the room."""
        past = {"r1": survivors([action("m1", user="bob")])}
        async with a_house(past=past) as house:
            room = house.rooms.open("r1")
            assert room is not None
            ready: list[str] = []
            room.when_ready(lambda: ready.extend(one.id for one in room.penalties()))

            assert ["m1"] == ready
            assert [] == house.record

    async def test_a_snapshot_of_an_earlier_run_is_a_reset(self, autojump_clock: MockClock) -> None:
        """What another run of the process put aside cannot be replayed, so the room starts anew and says so."""
        async with a_house(store=MemoryStore(kept={"r1": b'{"seen":["old"]}'})) as house:
            await house.send(chat())
            await trio.testing.wait_all_tasks_blocked()

            assert "old" not in house.guard().seen
            assert ["reset", "grace"] == house.types()

    async def test_a_store_that_fails_does_not_stop_the_room(self, autojump_clock: MockClock) -> None:
        """A guard without its past is better than none."""
        async with a_house(store=MemoryStore(kept={"r1": b"{}"}, broken=True)) as house:
            ticket = await house.send(chat())
            await trio.testing.wait_all_tasks_blocked()

            assert ticket.closed
            assert house.rooms.statistics().states_lost == 1
            assert RoomState.RUNNING is house.rooms.get("r1").state  # type: ignore[union-attr]

    @pytest.mark.parametrize(("gate", "within"), [(True, 0.2), (False, 1.0)])
    async def test_a_slow_store_holds_no_frame_up(self, gate: bool, within: float, autojump_clock: MockClock) -> None:
        """A frame waits for a stuck room only so long; then the fail mode applies and the event may be sent again."""
        store = MemoryStore(kept={"r1": b"{}"}, gate=trio.Event())
        async with a_house(RoomSettings(fail_mode="drop"), store=store) as house:
            ticket = await house.send(chat("hold"), chat(room="quick"), gate=gate)
            await trio.sleep(within - 0.01)
            assert not ticket.closed
            await trio.sleep(0.02)

            assert ticket.closed
            assert [(0, "overload")] == [(one.index, one.code) for one in ticket.rejections()]
            assert (["drop", "allow"] if gate else None) == ticket.verdicts

            store.gate.set()  # type: ignore[union-attr]
            await trio.sleep(1)

            assert [] == house.guard().seen
            assert 0 == len(house.rooms.get("r1"))  # type: ignore[arg-type]
