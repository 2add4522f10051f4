"""Sessions: any interleaving of frames, reconnects and resends judges each frame exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roomguard.model.events import Chat
from roomguard.runtime.clock import SessionClock
from roomguard.runtime.sessions import MAX_AHEAD, Session, Sessions
from roomguard.runtime.tickets import Ticket
from roomguard.wire import Events
from tests.runtime.room_fakes import FakeBus

MAX_UNACKED = 4


class Wire:
    """A session's connection: it remembers what was said, until it is cut."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.settled_frames = 0
        self.was_replaced = False

    def say(self, message: bytes) -> None:
        assert not self.was_replaced
        self.said.append(msgspec.json.decode(message))

    def say_all(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.say(message)

    def settled(self) -> None:
        self.settled_frames += 1

    def replaced(self) -> None:
        self.was_replaced = True

    def of(self, kind: str) -> list[int]:
        return [one["seq"] for one in self.said if one["type"] == kind]


def frame(seq: int, gate: bool = False) -> Events:
    events = [Chat(id=f"e{seq}", room="r", user="u", text="t", ts=1.0)]
    return Events(seq, gate, 1, events, range(1))  # type: ignore[arg-type]


def new_sessions(bus: FakeBus, now: list[float], most: int = 100) -> Sessions:
    return Sessions(
        bus,
        epoch="E",
        max_unacked=MAX_UNACKED,
        max_sessions=most,
        ttl_s=600.0,
        new_clock=lambda: SessionClock(5.0, 1.0),
        now=lambda: now[0],
    )


def connect(sessions: Sessions, key: str | None = "s") -> tuple[Session, Wire]:
    attached = sessions.attach(key)
    assert attached is not None
    wire = Wire()
    attached.session.link = wire
    if attached.previous is not None:
        attached.previous.replaced()
    return attached.session, wire


class TestAnswers:
    def test_verdicts_are_remembered_for_the_last_gated_frames(self) -> None:
        """Frames that are not gated do not push the verdicts of gated ones out."""
        session, wire = connect(new_sessions(FakeBus(), [0.0]))
        for seq in range(1, 10):
            session.take(frame(seq, gate=seq <= 2), 0.0, "allow").release()
        wire.said.clear()
        for seq in (1, 2, 3, 9):
            assert "repeat" == session.standing(seq)
            session.repeat(frame(seq, gate=seq <= 2))

        assert [1, 2] == wire.of("verdicts")
        assert [1, 2, 3, 9] == wire.of("ack")

    def test_a_repeat_of_an_undecided_frame_is_answered_when_it_is_decided(self) -> None:
        """Nothing is said twice before there is something to say."""
        session, wire = connect(new_sessions(FakeBus(), [0.0]))
        ticket = session.take(frame(1, gate=True), 0.0, "allow")
        session.repeat(frame(1, gate=True))
        assert [] == wire.said

        ticket.release()
        assert ["verdicts", "ack"] == [one["type"] for one in wire.said]

    def test_a_frame_that_is_never_durable_does_not_fill_the_memory(self) -> None:
        """Behind a frame that the disk does not take, only so many others are taken."""
        bus = FakeBus()
        bus.instantly = False
        session, _ = connect(new_sessions(bus, [0.0]))
        stuck = session.take(frame(1), 0.0, "allow")
        stuck.position = 1
        stuck.release()
        seq = 1
        while session.has_room:
            seq += 1
            session.take(frame(seq), 0.0, "allow").release()

        assert MAX_AHEAD + 1 == seq
        assert 0 == session.resume_after

    def test_frames_that_pass_by_are_acknowledged_in_front_of_others(self) -> None:
        """Acks leave in the order of the frames, also where one of those behind is taken or comes again."""
        session, wire = connect(new_sessions(FakeBus(), [0.0]))
        session.pass_by([frame(1), frame(2)])
        session.take(frame(3), 0.0, "allow").release()
        session.pass_by([frame(4)])
        session.repeat(frame(4))
        session.take_bad(5)
        session.pass_by([frame(6)])
        assert session.unacked == 1
        session.turn_over()

        assert wire.of("ack") == [1, 2, 3, 4, 4, 6]
        assert session.resume_after == 6

    def test_frames_that_passed_by_before_the_bus_failed_wait_for_ever(self) -> None:
        """They are decided, but nobody hears of it: the edge sends them again to whoever comes next."""
        bus = FakeBus()
        session, wire = connect(new_sessions(bus, [0.0]))
        session.pass_by([frame(1), frame(2)])
        bus.failed = RuntimeError("disk")  # type: ignore[assignment]
        session.turn_over()

        assert wire.said == []
        assert session.unacked == 2

    def test_nothing_is_acknowledged_once_the_bus_failed(self) -> None:
        """A frame without actions is not acknowledged either."""
        bus = FakeBus()
        session, wire = connect(new_sessions(bus, [0.0]))
        bus.failed = RuntimeError("disk")  # type: ignore[assignment]
        session.take(frame(1), 0.0, "allow").release()

        assert [] == wire.said
        assert session.unacked == 1


class AnEdge(RuleBasedStateMachine):
    """An edge that loses its connection, resends, repeats and skips, against the sessions of the guard."""

    @initialize(begins=st.integers(1, 1_000))
    def start(self, begins: int) -> None:
        self.bus = FakeBus()
        self.bus.instantly = False
        self.now = [0.0]
        self.sessions = new_sessions(self.bus, self.now)
        self.first = begins
        self.next = begins
        self.judged: list[int] = []
        self.open: dict[int, Ticket] = {}
        self.acked: set[int] = set()
        self.gated: set[int] = set()
        self.wires: list[Wire] = []
        self.session, self.wire = connect(self.sessions)
        self.sent_on_wire = begins

    def deliver(self, seq: int, gate: bool) -> str:
        standing = self.session.standing(seq)
        if standing == "new":
            self.judged.append(seq)
            self.open[seq] = self.session.take(frame(seq, gate), self.now[0], "allow")
        elif standing == "repeat":
            self.session.repeat(frame(seq, gate))
        return standing

    @precondition(lambda self: self.session.has_room)
    @rule(gate=st.booleans())
    def send_the_next(self, gate: bool) -> None:
        """The next frame is new."""
        if gate:
            self.gated.add(self.next)
        assert "new" == self.deliver(self.next, gate)
        self.next += 1

    @precondition(lambda self: self.session.has_room)
    @rule(data=st.data())
    def send_some_of_which_nothing_comes(self, data: st.DataObject) -> None:
        """Frames decided at once: they are acknowledged at the end of the turn at the latest."""
        seqs = range(self.next, self.next + data.draw(st.integers(1, self.session.room_left)))
        assert "new" == self.session.standing(self.next)
        self.session.pass_by([frame(seq) for seq in seqs])
        self.judged += seqs
        self.next = seqs.stop

    @rule()
    def end_the_turn(self) -> None:
        """Whatever passed by is acknowledged."""
        self.session.turn_over()
        assert self.passed() == set()

    def passed(self) -> set[int]:
        return set(range(self.next - len(self.session._passed), self.next))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A frame sent before is a repeat."""
        if self.next == self.first:
            return
        seq = data.draw(st.integers(self.first, self.next - 1))
        assert "repeat" == self.deliver(seq, seq in self.gated)

    @precondition(lambda self: self.next > self.first)
    @rule(ahead=st.integers(1, 10**9))
    def skip(self, ahead: int) -> None:
        """A frame further ahead is a gap."""
        assert "gap" == self.deliver(self.next + ahead, gate=False)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), acts=st.booleans())
    def decide(self, data: st.DataObject, acts: bool) -> None:
        """A room decides, with or without an action."""
        ticket = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        if acts:
            ticket.position = self.bus.publish([None])  # type: ignore[list-item]
        ticket.release()

    @rule()
    def commit(self) -> None:
        """The disk catches up."""
        self.bus.commit()

    @rule(seconds=st.floats(0, 500))
    def reconnect(self, seconds: float) -> None:
        """The connection ends; a while later the edge is back and sends again what came after `resume_after`."""
        self.session.turn_over()
        self.sessions.detach("s", self.session, self.wire)
        self.now[0] += seconds
        self.come_back()

    @rule()
    def take_over(self) -> None:
        """A second connection appears while the first is still there."""
        self.session.turn_over()
        old = self.wire
        self.come_back()
        assert old.was_replaced
        self.sessions.detach("s", self.session, old)
        assert self.session.link is self.wire

    def come_back(self) -> None:
        before = self.session
        self.acked |= set(self.wire.of("ack"))
        self.wires.append(self.wire)
        self.session, self.wire = connect(self.sessions)
        assert before is self.session
        for seq in range(max(self.session.resume_after + 1, self.first), self.next):
            assert "repeat" == self.deliver(seq, seq in self.gated)

    @invariant()
    def each_frame_is_judged_once(self) -> None:
        """Whatever happens, in order and without a hole."""
        assert list(range(self.first, self.next)) == self.judged

    @invariant()
    def resume_after_claims_no_more_than_is_settled(self) -> None:
        """Every frame up to it is decided and durable."""
        unsettled = set(self.open) | set(self.session._pending) | self.passed()
        assert all(seq > self.session.resume_after for seq in unsettled)
        if self.next > self.first:
            assert min(unsettled, default=self.next) == self.session.resume_after + 1

    @invariant()
    def memory_is_bounded(self) -> None:
        """Answers are kept for the last frames only."""
        assert len(self.session._answers) <= MAX_UNACKED
        assert len(self.session._gated) <= MAX_UNACKED
        assert self.session.unacked <= MAX_UNACKED

    @invariant()
    def acks_are_of_settled_frames(self) -> None:
        """No frame is acknowledged before it is decided and durable."""
        assert not set(self.wire.of("ack")) & (set(self.open) | set(self.session._pending))

    def teardown(self) -> None:
        """In the end every frame that was sent is acknowledged on some connection, its verdicts before it."""
        if not hasattr(self, "open"):
            return
        for ticket in self.open.values():
            ticket.release()
        self.open = {}
        self.session.turn_over()
        self.bus.commit()
        acked = self.acked | set(self.wire.of("ack"))
        # A frame whose ack got lost with its connection is covered by `resume_after`.
        assert all(seq in acked or seq <= self.session.resume_after for seq in self.judged)
        for wire in [*self.wires, self.wire]:
            for position, said in enumerate(wire.said):
                if said["type"] == "ack" and said["seq"] in self.gated and said["seq"] not in acked - self.gated:
                    earlier = [one["seq"] for one in wire.said[:position] if one["type"] == "verdicts"]
                    forgotten = said["seq"] not in self.session._gated
                    assert said["seq"] in earlier or forgotten or wire is not self.wire


AnEdge.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnEdge = AnEdge.TestCase
