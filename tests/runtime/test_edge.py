"""Edge connections: sessions, acks, verdicts, rooms, and how a connection ends."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from roomguard.engine.snapshot import survivors
from roomguard.errors import JournalFailed
from roomguard.model.events import Control
from roomguard.runtime import slices
from roomguard.runtime.edge_connection import NEW_ROOM_EVENTS, RUN_EVENTS
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.supervisor import SLICE_EVENTS
from tests.runtime.edge_fakes import a_desk, events, say
from tests.runtime.room_fakes import EPOCH, PROGRAM, MemoryStore, action, clock


class TestWelcome:
    async def test_it_comes_first_and_says_the_limits(self, autojump_clock: MockClock) -> None:
        """The first frame of a connection is `welcome`, with everything an edge has to know."""
        async with a_desk() as desk:
            edge = await desk.connect()

            assert {
                "type": "welcome",
                "protocol": "roomguard.v1",
                "node": "n1",
                "epoch": "E.1",
                "config": PROGRAM.version,
                "resume_after": 0,
                "max_unacked": 64,
                "max_frame_bytes": 1_048_576,
                "max_events": 4_096,
            } == edge.said[0]


class TestFrames:
    async def test_a_frame_is_acknowledged_once_decided(self, autojump_clock: MockClock) -> None:
        """The ack counts what was judged and names what was not, by index."""
        async with a_desk() as desk:
            edge = await desk.connect()
            bad = say()
            del bad["user"]
            edge.send_to_guard(events(1, say(), bad, say(kind="confetti")))
            await wait_all_tasks_blocked()

            rejected = [{"index": 1, "code": "missing_field", "detail": "user"}]
            assert [{"type": "ack", "seq": 1, "accepted": 2, "rejected": rejected}] == edge.of("ack")

    async def test_verdicts_come_before_the_ack_and_do_not_wait_for_the_disk(self, autojump_clock: MockClock) -> None:
        """A gated frame gets its verdicts as soon as it is judged, its ack once its actions are durable."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            edge = await desk.connect()
            bad = say()
            del bad["id"]
            edge.send_to_guard(events(1, say(), bad, say("drop"), say("hold"), say("mute"), gate=True))
            await wait_all_tasks_blocked()
            verdicts = ["allow", "drop", "drop", "hold", "allow"]
            assert [{"type": "verdicts", "seq": 1, "verdicts": verdicts}] == edge.of("verdicts")
            assert [] == edge.of("ack")

            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert ["welcome", "state", "verdicts", "ack", "actions"] == edge.types()

    async def test_what_a_commit_lets_go_leaves_with_it(self, autojump_clock: MockClock) -> None:
        """Acks and actions that waited for one commit are one write, done before any other task has its turn."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")))
            edge.send_to_guard(events(2, say("mute")))
            await wait_all_tasks_blocked()
            writes = edge.writes

            desk.bus.commit()
            assert ["ack", "ack", "actions"] == edge.types()[-3:]
            assert edge.writes == writes + 1

    async def test_much_of_a_read_is_answered_before_the_rest_of_it(self, autojump_clock: MockClock) -> None:
        """Frames of one read are answered together, but no more than `RUN_EVENTS` wait for each other."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            writes = edge.writes
            for seq in (2, 3, 4):
                edge.send_to_guard(events(seq, say()))
            await wait_all_tasks_blocked()
            assert edge.writes == writes + 1

            for seq in range(5, 11):
                edge.send_to_guard(events(seq, *(say() for _ in range(RUN_EVENTS // 2))))
            await wait_all_tasks_blocked()
            assert edge.writes == writes + 1 + 3

    async def test_edges_that_are_behind_take_turns(self, autojump_clock: MockClock) -> None:
        """However many edges have events waiting, everybody else gets a turn after each `turn_events` of them."""
        async with a_desk(settings=RoomSettings(turn_events=5)) as desk:
            edges = [await desk.connect(f"s{number}") for number in range(6)]
            edges[0].send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            seen = desk.house.guard().seen
            for edge in edges:
                first = 2 if edge is edges[0] else 1
                edge.send_to_guard(*(events(seq, *(say() for _ in range(5))) for seq in range(first, first + 10)))
            taken, before = list[int](), len(seen)
            while len(seen) < before + 300:
                begun = len(seen)
                await trio.lowlevel.checkpoint()
                taken.append(len(seen) - begun)

            assert max(taken) <= 2 * 5  # whose turn is first in a pass of the loop is a matter of chance

    async def test_an_edge_that_waits_for_acks_stops_no_other(self, autojump_clock: MockClock) -> None:
        """Whoever may not read on leaves the turn to others."""
        async with a_desk(ListenSettings(max_unacked=3)) as desk:
            desk.bus.instantly = False
            stuck, other = await desk.connect("s1"), await desk.connect("s2")
            stuck.send_to_guard(*(events(seq, say("mute")) for seq in range(1, 8)))
            await wait_all_tasks_blocked()
            other.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()

            assert [1] == [ack["seq"] for ack in other.of("ack")]

    async def test_other_frames_are_not_held_up_by_the_disk(self, autojump_clock: MockClock) -> None:
        """A frame that caused nothing is acknowledged while another one waits; `resume_after` waits for both."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")), events(2, say()))
            await wait_all_tasks_blocked()
            assert [2] == [ack["seq"] for ack in edge.of("ack")]
            edge.hang_up()
            again = await desk.connect()
            assert 0 == again.said[0]["resume_after"]

            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert [1] == [ack["seq"] for ack in again.of("ack")]
            assert 2 == (await desk.connect()).said[0]["resume_after"]

    async def test_nothing_is_acknowledged_after_the_journal_failed(self, autojump_clock: MockClock) -> None:
        """With a failed journal no frame is acknowledged, not even one that caused nothing."""
        async with a_desk() as desk:
            edge = await desk.connect()
            desk.bus.failed = JournalFailed("disk")
            edge.send_to_guard(events(1, say(), gate=True))
            await wait_all_tasks_blocked()

            assert ["welcome", "state", "verdicts"] == edge.types()

    async def test_everything_that_waits_goes_out_in_one_write(self, autojump_clock: MockClock) -> None:
        """Answers to frames that came together leave together."""
        async with a_desk() as desk:
            edge = await desk.connect()
            writes = edge.writes
            edge.send_to_guard(*(events(seq, say("mute")) for seq in range(1, 21)))
            await wait_all_tasks_blocked()

            assert 20 == len(edge.of("ack"))
            assert edge.writes - writes == 1

    async def test_a_connection_with_too_many_unacknowledged_frames_is_not_read(
        self, autojump_clock: MockClock
    ) -> None:
        """At `max_unacked` the guard takes no further frame until one is acknowledged."""
        async with a_desk(ListenSettings(max_unacked=3)) as desk:
            desk.bus.instantly = False
            edge = await desk.connect()
            edge.send_to_guard(*(events(seq, say("mute")) for seq in range(1, 8)))
            await wait_all_tasks_blocked()
            assert 3 == len(desk.house.guard().seen)

            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert 6 == len(desk.house.guard().seen)

    async def test_a_disk_that_is_behind_stops_reading(self, autojump_clock: MockClock) -> None:
        """While too many actions wait for the disk no edge is read."""
        async with a_desk() as desk:
            edge = await desk.connect()
            desk.bus.full = True
            edge.send_to_guard(events(1, say()))
            await trio.sleep(1)
            assert [] == edge.of("ack")

            desk.bus.full = False
            await trio.sleep(1)
            assert len(edge.of("ack")) == 1

    @pytest.mark.parametrize("fail_mode", ["allow", "drop"])
    async def test_what_is_not_judged_gets_the_fail_mode(self, fail_mode: Any, autojump_clock: MockClock) -> None:
        """A gated event that no room could judge gets the configured verdict and is in `rejected`."""
        async with a_desk(settings=RoomSettings(fail_mode=fail_mode, max_rooms=1)) as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(), say(room="r2"), gate=True))
            await wait_all_tasks_blocked()

            assert ["allow", fail_mode] == edge.of("verdicts")[0]["verdicts"]
            assert [{"index": 1, "code": "room_limit", "detail": ""}] == edge.of("ack")[0]["rejected"]
            assert edge.of("ack")[0]["accepted"] == 1


class TestFramesOfOne:
    """An event that comes alone takes a shorter way where its room is known: nobody may be able to tell."""

    WORDS = ("hello", "mute", "drop", "hold", "later 0.2", "hello", "boom", "hello", "boom", "hello")
    """To one room, each once the one before has been dealt with: see `ObedientGuard`."""

    async def came_of(self, *, alone: bool) -> dict[str, Any]:
        """All that can be told from outside after the words, sent alone or beside an event for another room."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(id="r1-first"), say(id="r2-first", room="r2")))
            so_far: list[tuple[int, int]] = []
            for seq, word in enumerate(self.WORDS, 2):
                beside = [] if alone else [say(id=f"r2-{seq}", room="r2")]
                said = say(word, id=f"r1-{seq}", user=f"u{seq}", ts=clock() - 0.3)
                edge.send_to_guard(events(seq, said, *beside))
                for seconds in (0.1, 0.9):
                    await trio.sleep(seconds)
                    so_far.append((len(edge.of("ack")), len(edge.of("actions"))))
            counters, sessions = desk.house.rooms.counters, desk.desk.sessions.counters
            return {
                "acks": [(ack["seq"], [one["code"] for one in ack["rejected"]]) for ack in edge.of("ack")],
                "actions": [
                    one["id"].partition("-")[0] for message in edge.of("actions") for one in message["actions"]
                ],
                "seen": [guard.seen for guard in desk.house.guards["r1"]],
                "recorded": [
                    one.type if isinstance(one, Control) else one.id for one in desk.house.record if one.room == "r1"
                ],
                "so_far": so_far, "verdicts": counters.verdicts, "deadlines": counters.deadlines,
                "crashes": desk.house.rooms.supervisor.statistics().crashes,
                "counted": [sessions.acks, *(
                    sum(one.statistics().counts) for one in (sessions.decide_seconds, sessions.ack_seconds)
                )],
            }  # fmt: skip

    async def test_the_same_comes_of_it(self, autojump_clock: MockClock) -> None:
        """Acks, actions, what rooms see and what is recorded are as in a frame of more: crashes and deadlines too."""
        alone = await self.came_of(alone=True)
        assert alone == await self.came_of(alone=False)
        assert [seq for seq, _ in alone["acks"]] == [*range(1, 12)]
        assert ["mute", "timed"] == alone["actions"]
        assert 4 == alone["crashes"]

    async def test_nothing_is_acknowledged_after_the_journal_failed(self, autojump_clock: MockClock) -> None:
        """Not even a frame that caused nothing: it waits for ever, and counts as unacknowledged."""
        async with a_desk(ListenSettings(max_unacked=3)) as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            desk.bus.failed = JournalFailed("disk")
            edge.send_to_guard(*(events(seq, say()) for seq in range(2, 9)))
            await wait_all_tasks_blocked()

            assert [1] == [ack["seq"] for ack in edge.of("ack")]
            assert len(desk.house.guard().seen) == 4  # the first, and as many as may be unacknowledged

    async def test_it_waits_for_nothing_that_others_caused(self, autojump_clock: MockClock) -> None:
        """Its ack may come before that of an earlier frame whose action is not on disk yet; a session resumes there."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            desk.bus.instantly = False
            edge.send_to_guard(events(2, say("mute")), events(3, say()), events(3, say()))
            await wait_all_tasks_blocked()

            assert [1, 3, 3] == [ack["seq"] for ack in edge.of("ack")]
            assert 3 == len(desk.house.guard().seen)
            again = await desk.connect()
            assert again.said[0]["resume_after"] == 1
            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert 3 == (await desk.connect()).said[0]["resume_after"]


SAID = st.fixed_dictionaries({
    "id": st.just("e"),
    "kind": st.just("chat"),
    "room": st.sampled_from(("r1", "r1", "r2", "r3")),
    "user": st.sampled_from(("ann", "bob")),
    "text": st.sampled_from(("hello", "hello", "hello", "mute", "drop", "hold")),
    "ts": st.just(EPOCH),
})  # fmt: skip
ODD = st.sampled_from((
    {"kind": "confetti"}, {"id": ""}, {"kind": "moderation", "verb": "unmute", "target": "ann"}, {"kind": "room_open"},
    {"ts": 1.0}, {"room": ""},
))  # fmt: skip
FRAMES = st.lists(
    st.tuples(
        st.lists(SAID | st.tuples(SAID, ODD).map(lambda pair: {**pair[0], **pair[1]}), max_size=3),
        st.sampled_from((False, False, True)),
        st.sampled_from((1, 1, 2)),
    ),
    max_size=12,
)
"""The events of each frame, whether it is gated, and how often it is sent."""


class TestFramesOfOneRead:
    """Frames that come together are decided together where they can be: nobody may be able to tell."""

    async def came_of(self, frames: Sequence[Mapping[str, Any]], *, together: bool) -> dict[str, Any]:
        """All that can be told from outside and from a recording."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(id="first")))
            await wait_all_tasks_blocked()
            for some in (frames,) if together else [(frame,) for frame in frames]:
                edge.send_to_guard(*some)
                await wait_all_tasks_blocked()
            counters, sessions = desk.house.rooms.counters, desk.desk.sessions.counters
            return {
                "acks": [(ack["seq"], ack["accepted"], ack["rejected"]) for ack in edge.of("ack")],
                "verdicts": edge.of("verdicts"),
                "states": [state["room"] for state in edge.of("state")],
                "actions": [one["id"] for message in edge.of("actions") for one in message["actions"]],
                "seen": {room: [guard.seen for guard in guards] for room, guards in desk.house.guards.items()},
                "recorded": [(one.room, one.id) for one in desk.house.record if not isinstance(one, Control)],
                "counted": (counters.kinds, counters.verdicts, counters.rejected),
                "sessions": (sessions.acks, sessions.repeats, sessions.gaps),
                "edges": attrs.asdict(desk.desk.counters),
            }  # fmt: skip

    @given(FRAMES)
    def test_the_same_comes_of_them(self, sent: list[tuple[list[dict[str, Any]], bool, int]]) -> None:
        """Acks in their order, verdicts, actions, what rooms see and what is counted are as in a read for each."""
        frames: list[dict[str, Any]] = []
        for seq, (some, gate, times) in enumerate(sent, 2):
            named = [{**one, "id": one["id"] and f"{one['id']}{seq}-{place}"} for place, one in enumerate(some)]
            frames += times * [events(seq, *named, gate=gate)]
        came = [
            trio.run(partial(self.came_of, frames, together=together), clock=MockClock(autojump_threshold=0))
            for together in (True, False)
        ]

        assert came[0] == came[1]

    async def test_a_crash_costs_the_frames_beside_it_nothing(self, autojump_clock: MockClock) -> None:
        """Its room decides what came behind it when it has started again; other rooms do so at once."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(), say(room="r2")))
            await wait_all_tasks_blocked()
            words = [("hello", "r1"), ("boom", "r1"), ("hello", "r2"), ("hello", "r1"), ("hello", "r2")]
            edge.send_to_guard(*(events(seq, say(word, room)) for seq, (word, room) in enumerate(words, 2)))
            await wait_all_tasks_blocked()
            assert [1, 2, 4, 6] == [ack["seq"] for ack in edge.of("ack")]

            await trio.sleep(1.0)
            acks = edge.of("ack")
            assert [ack["seq"] for ack in acks] == [1, 2, 4, 6, 3, 5]
            assert [ack["accepted"] for ack in acks] == [2, 1, 1, 1, 0, 1]


class TestSequence:
    async def test_a_repeated_frame_is_answered_again_and_not_judged_again(self, autojump_clock: MockClock) -> None:
        """A `seq` taken before gets the same verdicts and the same ack."""
        async with a_desk() as desk:
            edge = await desk.connect()
            frame = events(1, say("drop"), say(), gate=True)
            edge.send_to_guard(frame, frame)
            await wait_all_tasks_blocked()

            assert len(desk.house.guard().seen) - 1 == 1
            first, second = edge.of("verdicts")
            assert first == second
            assert 2 == len(edge.of("ack"))
            assert desk.desk.statistics().sessions.repeats == 1

    async def test_a_gap_is_an_error(self, autojump_clock: MockClock) -> None:
        """A `seq` that is too high is not judged, and the error says which one is expected."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()), events(3, say()), events(2, say()))
            await wait_all_tasks_blocked()

            (error,) = edge.of("error")
            assert ("seq_gap", 3, 2) == (error["code"], error["seq"], error["expected"])
            assert [1, 2] == [ack["seq"] for ack in edge.of("ack")]

    async def test_without_a_session_a_connection_begins_at_one(self, autojump_clock: MockClock) -> None:
        """A connection without a session has no past to begin elsewhere from."""
        async with a_desk() as desk:
            edge = await desk.connect(session=None)
            edge.send_to_guard(events(2, say()), events(1, say()))
            await wait_all_tasks_blocked()

            assert edge.of("error")[0]["expected"] == 1
            assert [1] == [ack["seq"] for ack in edge.of("ack")]

    async def test_a_new_session_begins_anywhere(self, autojump_clock: MockClock) -> None:
        """An edge whose session was forgotten goes on where it was; before that there is nothing."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(41, say()), events(42, say()), events(40, say()))
            await wait_all_tasks_blocked()

            assert [41, 42] == [ack["seq"] for ack in edge.of("ack")]
            assert 43 == edge.of("error")[0]["expected"]
            assert 42 == (await desk.connect()).said[0]["resume_after"]

    async def test_a_bad_frame_takes_its_seq(self, autojump_clock: MockClock) -> None:
        """A frame that cannot be used but has a `seq` takes it; the next one follows."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(
                events(1, say()), {"type": "events", "seq": 2, "events": 5}, events(3, say()), "nonsense"
            )
            await wait_all_tasks_blocked()

            assert [1, 3] == [ack["seq"] for ack in edge.of("ack")]
            assert [("bad_frame", 2), ("bad_frame", None)] == [(e["code"], e.get("seq")) for e in edge.of("error")]
            edge.hang_up()
            assert 3 == (await desk.connect()).said[0]["resume_after"]

    async def test_a_session_is_forgotten_after_its_time(self, autojump_clock: MockClock) -> None:
        """Ten minutes after its last connection a session is gone, and its epoch with it."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            edge.hang_up()
            await trio.sleep(599)
            edge = await desk.connect()
            assert ("E.1", 1) == (edge.said[0]["epoch"], edge.said[0]["resume_after"])

            edge.hang_up()
            await trio.sleep(601)
            edge = await desk.connect()
            assert ("E.2", 0) == (edge.said[0]["epoch"], edge.said[0]["resume_after"])

    async def test_sessions_are_bounded(self, autojump_clock: MockClock) -> None:
        """At the cap the session left longest ago is forgotten; where all are in use a connection is refused."""
        async with a_desk(ListenSettings(max_sessions=2)) as desk:
            one, two = await desk.connect("a"), await desk.connect("b")
            refused = await desk.connect("c")
            assert (1013, "too many sessions") == refused.closed

            one.hang_up()
            await wait_all_tasks_blocked()
            assert "welcome" == (await desk.connect("c")).types()[0]
            assert two.closed is None
            assert desk.desk.statistics().sessions.forgotten == 1

    async def test_a_second_connection_takes_the_session_over(self, autojump_clock: MockClock) -> None:
        """The first connection is closed with 4409; what it had not been told the second one is."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            first = await desk.connect()
            first.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            second = await desk.connect()
            desk.bus.commit()
            await wait_all_tasks_blocked()

            assert 4409 == first.closed[0]  # type: ignore[index]
            assert ["welcome", "ack"] == second.types()
            assert second.closed is None

    async def test_one_session_name_on_connections_of_different_rooms(self, autojump_clock: MockClock) -> None:
        """An edge that keeps a connection a room may use one session name on all of them."""
        async with a_desk() as desk:
            one, two = await desk.connect("s", room="a"), await desk.connect("s", room="b")
            for edge in (one, two):
                edge.send_to_guard(events(1, say(room=None)))
            await wait_all_tasks_blocked()

            assert one.closed is None
            assert [1], [1] == ([len(edge.of("ack")) for edge in (one, two)])


class TestRooms:
    async def test_a_room_is_taken_with_the_first_event(self, autojump_clock: MockClock) -> None:
        """The penalties in force come first, then every action of the room, in order."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute", user="a")), events(2, say("mute", user="b")))
            await wait_all_tasks_blocked()

            assert ["welcome", "state"] == edge.types()[:2]
            assert {"type": "state", "room": "r1", "actions": []} == edge.of("state")[0]
            sent = [one for frame in edge.of("actions") for one in frame["actions"]]
            assert [1, 2] == [one["offset"] for one in sent]

    async def test_subscribe_tells_what_is_in_force(self, autojump_clock: MockClock) -> None:
        """Another connection that takes the room hears of its penalties, offsets included, then of what comes."""
        async with a_desk() as desk:
            one, two = await desk.connect("a"), await desk.connect("b")
            one.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            two.send_to_guard({"type": "subscribe", "rooms": ["r1"]})
            await wait_all_tasks_blocked()
            one.send_to_guard(events(2, say("mute")))
            await wait_all_tasks_blocked()

            assert ["welcome", "state", "actions"] == two.types()
            assert [1] == [found["offset"] for found in two.of("state")[0]["actions"]]
            assert [2] == [found["offset"] for found in two.of("actions")[0]["actions"]]

    async def test_many_rooms_are_taken_in_slices(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others have their turn in the midst of a `subscribe`, and what comes behind it waits for all of it."""
        monkeypatch.setattr(slices, "SLICE_S", 0.0)
        async with a_desk() as desk:
            one, two = await desk.connect("a"), await desk.connect("b")
            await wait_all_tasks_blocked()
            two.send_to_guard(
                {"type": "subscribe", "rooms": [f"r{number}" for number in range(100)]},
                {"type": "unsubscribe", "rooms": ["r99"]},
                events(1, say("mute", room="r98")),
            )
            one.send_to_guard(events(1, say(room="other")))
            while not one.of("ack"):
                await trio.lowlevel.checkpoint()
            assert 0 < len(desk.house.rooms) < 100

            await wait_all_tasks_blocked()
            assert len(desk.house.rooms) == 101
            assert {state["room"] for state in two.of("state")} == {f"r{number}" for number in range(99)}
            assert [found["room"] for found in two.of("actions")[0]["actions"]] == ["r98"]

    @pytest.mark.parametrize("gate", [False, True])
    async def test_all_rooms_of_a_read_are_there_before_it_is_decided(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, *, gate: bool
    ) -> None:
        """A room opened for the last event of a frame is open at the first, and each opens once."""
        async with a_desk() as desk:
            edge = await desk.connect()
            opened: list[int] = []
            monkeypatch.setattr(desk.bus, "poll", lambda: opened.append(len(desk.house.rooms)))
            edge.send_to_guard(events(1, *(say(room=f"r{n % 50}") for n in range(2 * SLICE_EVENTS)), gate=gate))
            await wait_all_tasks_blocked()

            assert opened == [50]
            assert desk.house.rooms.statistics().opened == 50

    async def test_rooms_that_are_new_make_a_turn_shorter(self, autojump_clock: MockClock) -> None:
        """A read full of them leaves others their turn long before as many events of known rooms would."""
        most = RoomSettings().turn_events
        frames, size = 16, most // 16
        async with a_desk() as desk:
            edge = await desk.connect()
            seen: list[int] = []
            for first in (1, 1 + frames):
                edge.send_to_guard(
                    *(events(first + n, *(say(room=f"r{n}-{m}") for m in range(size))) for n in range(frames))
                )
                before = len(desk.house.record)
                while len(desk.house.record) == before:
                    await trio.lowlevel.checkpoint()
                seen.append(len(desk.house.record) - before)
                await wait_all_tasks_blocked()

            assert seen[0] <= 2 * (most / NEW_ROOM_EVENTS + size) < most  # two, if by chance it is last in a pass
            assert seen[1] == most

    async def test_nobody_hears_of_an_action_that_is_not_durable(self, autojump_clock: MockClock) -> None:
        """A `state` waits until what it says is on disk, and actions of its room wait behind it."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            one, two = await desk.connect("a"), await desk.connect("b")
            one.send_to_guard(events(1, say("mute", user="a")))
            await wait_all_tasks_blocked()
            two.send_to_guard({"type": "subscribe", "rooms": ["r1"]})
            await wait_all_tasks_blocked()
            one.send_to_guard(events(2, say("mute", user="b")))
            await wait_all_tasks_blocked()
            assert ["welcome"] == two.types()

            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert ["welcome", "state", "actions"] == two.types()
            assert ["a"] == [found["user"] for found in two.of("state")[0]["actions"]]
            assert {"b"} <= {found["user"] for found in two.of("actions")[0]["actions"]}

    async def test_unsubscribe_gives_the_room_up(self, autojump_clock: MockClock) -> None:
        """Actions of a room that was given up do not come, until it is taken again."""
        async with a_desk() as desk:
            one, two = await desk.connect("a"), await desk.connect("b")
            two.send_to_guard({"type": "subscribe", "rooms": ["r1"]}, {"type": "unsubscribe", "rooms": ["r1"]})
            one.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()

            assert [] == two.of("actions")

    async def test_a_connection_of_one_room(self, autojump_clock: MockClock) -> None:
        """On `/v1/rooms/{room}` the room may be left out, and another one is rejected alone."""
        async with a_desk() as desk:
            edge = await desk.connect(room="r1")
            edge.send_to_guard(events(1, say(room=None), say(room="r2"), say(room="r1"), gate=True))
            await wait_all_tasks_blocked()

            (ack,) = edge.of("ack")
            assert [(1, "wrong_room")] == [(one["index"], one["code"]) for one in ack["rejected"]]
            assert ["allow", "drop", "allow"] == edge.of("verdicts")[0]["verdicts"]
            assert 2 == len(desk.house.guard("r1").seen)

    async def test_rooms_of_one_connection_are_bounded(self, autojump_clock: MockClock) -> None:
        """A room more than a connection may have is refused to it, in events and in `subscribe`."""
        async with a_desk(ListenSettings(max_rooms_per_connection=2)) as desk:
            edge = await desk.connect()
            edge.send_to_guard(
                events(1, say(room="a"), say(room="b"), say(room="c")), {"type": "subscribe", "rooms": ["d"]}
            )
            await wait_all_tasks_blocked()

            assert [(2, "room_limit")] == [(one["index"], one["code"]) for one in edge.of("ack")[0]["rejected"]]
            assert ["room_limit"] == [error["code"] for error in edge.of("error")]

    async def test_state_waits_for_a_room_that_is_read_from_disk(self, autojump_clock: MockClock) -> None:
        """The penalties in force are said once they are known."""
        store = MemoryStore(kept={"r1": b"{}"}, gate=trio.Event())
        past = {"r1": survivors([action("m1", user="bob")])}
        async with a_desk(past=past, store=store) as desk:
            edge = await desk.connect()
            edge.send_to_guard({"type": "subscribe", "rooms": ["r1"]})
            await wait_all_tasks_blocked()
            assert ["welcome"] == edge.types()

            store.gate.set()  # type: ignore[union-attr]
            await wait_all_tasks_blocked()
            assert ["bob"] == [found["user"] for found in edge.of("state")[0]["actions"]]

    async def test_enforced_stops_repeats_and_reaches_the_room(self, autojump_clock: MockClock) -> None:
        """An action called enforced is told to its room as a control record, once."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            ident = edge.of("actions")[0]["actions"][0]["id"]
            edge.send_to_guard(*[{"type": "enforced", "actions": [ident, "never-sent"]}] * 2)
            await wait_all_tasks_blocked()

            records = [one for one in desk.house.record if isinstance(one, Control)]
            assert [("enforced", [ident])] == [(one.type, one.actions) for one in records]

    async def test_enforced_takes_no_time(self, autojump_clock: MockClock) -> None:
        """When an action was enforced decides nothing, so it does not move room time: what a replay cannot know."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            taken = desk.house.record[-1].ts
            await trio.sleep(0.5)
            edge.send_to_guard({"type": "enforced", "actions": [edge.of("actions")[0]["actions"][0]["id"]]})
            await wait_all_tasks_blocked()

            assert ("enforced", taken) == (desk.house.record[-1].type, desk.house.record[-1].ts)  # type: ignore[union-attr]

    async def test_expect_raid_reaches_the_room(self, autojump_clock: MockClock) -> None:
        """An announced raid is a control record of the room, which is opened for it."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard({"type": "expect_raid", "room": "r1", "from_room": "r9", "size": 700, "ttl_s": 120})
            await wait_all_tasks_blocked()

            (record,) = desk.house.record
            assert isinstance(record, Control)
            assert ("expect_raid", "r9", 700, 120) == (record.type, record.from_room, record.size, record.ttl_s)
            assert ["welcome"] == edge.types()


class TestTime:
    @pytest.mark.parametrize(
        ("ts", "taken", "clamped"),
        [(-1.0, -1.0, 0), (0.5, 0.5, 0), (-60.0, 0.0, 0), (300.0, 0.0, 0)],
    )
    async def test_a_session_whose_clock_is_off_is_corrected(
        self, ts: float, taken: float, clamped: int, autojump_clock: MockClock
    ) -> None:
        """A skew inside the clamp stays as it is; one outside is taken out."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(ts=EPOCH + ts)))
            await wait_all_tasks_blocked()

            assert [EPOCH + taken] == [one.ts for one in desk.house.record]
            assert clamped == desk.desk.statistics().clamped

    async def test_one_wild_time_does_not_move_the_others(self, autojump_clock: MockClock) -> None:
        """A single `ts` far off is clamped and counted; its neighbours keep theirs."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say(ts=EPOCH - 1), say(room="r2", ts=EPOCH + 1e7), say(ts=EPOCH - 0.5)))
            await wait_all_tasks_blocked()

            times = {(one.room, one.ts) for one in desk.house.record}
            assert {("r1", EPOCH - 1), ("r1", EPOCH - 0.5), ("r2", EPOCH + 1)} == times
            assert desk.desk.statistics().clamped == 1

    async def test_grace_after_an_absence(self, autojump_clock: MockClock) -> None:
        """Rooms of an edge that was gone for a while get grace when it comes back, others do not."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say()))
            await wait_all_tasks_blocked()
            for absence, records in ((1, 0), (6, 1)):
                edge.hang_up()
                await trio.sleep(absence)
                edge = await desk.connect()
                edge.send_to_guard({"type": "subscribe", "rooms": ["r1", f"new{absence}"]})
                await wait_all_tasks_blocked()
                assert ["grace"] * records == desk.house.types()


class TestEnds:
    async def test_an_edge_that_does_not_read_is_cut(self, autojump_clock: MockClock) -> None:
        """What waits to be sent is bounded; beyond it the connection is aborted and counted, its session stays."""
        async with a_desk(ListenSettings(outbox_bytes=2_000)) as desk:
            edge = await desk.connect()
            edge.stuck = True
            edge.send_to_guard(*(events(seq, say()) for seq in range(1, 100)))
            await wait_all_tasks_blocked()

            assert edge.aborted
            assert desk.desk.statistics().slow == 1
            assert (await desk.connect()).said[0]["resume_after"] > 10

    async def test_drain_says_when_to_come_back_and_closes_with_1012(self, autojump_clock: MockClock) -> None:
        """A planned end: `drain`, acks for everything read, close 1012; nobody is let in any more."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            edge, idle = await desk.connect("a"), await desk.connect("b")
            edge.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            desk.nursery.start_soon(desk.desk.drain, 5.0)
            await wait_all_tasks_blocked()
            assert {"type": "drain", "reconnect_s": 2.5} == edge.said[-1]
            assert edge.closed is None
            assert 1012 == idle.closed[0]  # type: ignore[index]

            desk.bus.commit()
            await wait_all_tasks_blocked()
            assert len(edge.of("ack")) == 1
            assert 1012 == edge.closed[0]  # type: ignore[index]
            assert 1013 == (await desk.connect("c")).closed[0]  # type: ignore[index]

    async def test_drain_does_not_wait_for_ever(self, autojump_clock: MockClock) -> None:
        """A frame that cannot be acknowledged does not keep the process."""
        async with a_desk() as desk:
            desk.bus.instantly = False
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            await desk.desk.drain(5.0)

            assert EPOCH + 5 == clock()
            assert 1012 == edge.closed[0]  # type: ignore[index]

    async def test_a_connection_that_ends_leaves_nothing(self, autojump_clock: MockClock) -> None:
        """After it there is no task, no subscription and no count of it."""
        async with a_desk() as desk:
            edge = await desk.connect()
            edge.send_to_guard(events(1, say("mute")))
            await wait_all_tasks_blocked()
            edge.hang_up()
            await wait_all_tasks_blocked()

            assert 0 == desk.desk.statistics().connections
            assert 0 == desk.bus.delivery.statistics().subscriptions
            assert 0 == desk.desk.statistics().sessions.connected
