"""What the guard remembers of an edge beyond one connection: which frames it took, and what it answered.

A frame is taken once: its `seq` is the next one. A `seq` taken before is answered again and never judged again, a later
one is a gap. A frame is settled when every event of it is decided and every action it caused is durable; only then it
is acknowledged, and only the unbroken run of settled frames counts for `resume_after`. No trio here: `now` is an
argument and what has to be sent goes to the session's link.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol

import attrs

from roomguard.runtime.clock import SessionClock
from roomguard.runtime.metrics import Histogram, HistogramStatistics
from roomguard.runtime.settings_rooms import FailMode
from roomguard.runtime.tickets import Ticket
from roomguard.wire import Events, encode_ack, encode_verdicts

Standing = Literal["new", "repeat", "gap"]

MAX_AHEAD = 16_384
"""Frames settled behind one that is not, as on a full disk; at this many, or up to `max_unacked` more where they passed
by, the session's connection is not read."""


class Link(Protocol):
    """A session's connection, while it has one."""

    def say(self, message: bytes) -> None:
        """Send a message soon."""

    def say_all(self, messages: Sequence[bytes]) -> None:
        """Send these messages soon, in this order; there is one at least."""

    def settled(self) -> None:
        """One frame less waits for its ack."""

    def replaced(self) -> None:
        """Another connection took the session over."""


class Durability(Protocol):
    """What acks wait for; the action bus is one."""

    @property
    def durable(self) -> int:
        """The position up to which everything is durable."""
        ...

    @property
    def failed(self) -> Exception | None:
        """Why nothing becomes durable any more."""
        ...

    def when_durable(self, position: int, callback: Callable[[], None]) -> None:
        """Call back once everything up to `position` is durable; never if that fails."""


@attrs.define
class SessionCounters:
    """What all sessions count together."""

    acks: int = 0
    repeats: int = 0
    """Frames that were answered again instead of being judged again."""
    repeated_events: int = 0
    gaps: int = 0
    takeovers: int = 0
    forgotten: int = 0
    refused: int = 0
    decide_seconds: Histogram = attrs.field(factory=Histogram)
    ack_seconds: Histogram = attrs.field(factory=Histogram)


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """Sessions in numbers; counts are since the start."""

    sessions: int
    connected: int
    unacked: int
    acks: int
    repeats: int
    repeated_events: int
    gaps: int
    takeovers: int
    forgotten: int
    """Sessions forgotten because of their age or because there were too many."""
    refused: int
    decide_seconds: HistogramStatistics
    """From a frame's arrival to the decision of its last event."""
    ack_seconds: HistogramStatistics
    """From a frame's arrival to its ack."""


_Answer = tuple[bytes | None, bytes]
"""Verdicts and ack of a settled frame, to say them again."""


class Session:
    """One edge's frames. Bounded: it remembers the answers to the last `max_unacked` frames, gated ones apart.

    `begins` is the first `seq` it accepts; None accepts any, for an edge that may have been here before its memory
    was lost. `turn_began` is the arrival of the read that is being dealt with; whoever sets it calls `turn_over`.
    """

    def __init__(
        self,
        epoch: str,
        bus: Durability,
        max_unacked: int,
        counters: SessionCounters,
        clock: SessionClock,
        *,
        now: Callable[[], float],
        begins: int | None = None,
    ) -> None:
        self.epoch = epoch
        self.clock = clock
        self.link: Link | None = None
        self.left_at: float | None = None
        self.resume_after = 0 if begins is None else begins - 1
        self.expected = begins
        self._first = begins
        self._bus = bus
        self._max_unacked = max_unacked
        self._counters = counters
        self._now = now
        self.turn_began: float | None = None
        self._decided = self._acked = 0
        self._passed: list[int] = []
        """Events of each frame that passed by and is not acknowledged yet: the latest up to `expected`."""
        self._pending: dict[int, bytes | None] = {}
        self._ahead: set[int] = set()
        # By the remainder of `seq`, so that the answer to one frame takes the place of the one `max_unacked` before it.
        self._answers: dict[int, tuple[int, bytes]] = {}
        self._gated: OrderedDict[int, _Answer] = OrderedDict()

    @property
    def unacked(self) -> int:
        """Frames taken and not acknowledged yet."""
        return len(self._pending) + len(self._passed)

    @property
    def room_left(self) -> int:
        """How many frames may be taken before one has to be acknowledged."""
        return self._max_unacked - self.unacked

    @property
    def has_room(self) -> bool:
        """Whether another frame may be read: fewer than `max_unacked` wait, none of them for very long."""
        return self.room_left > 0 and len(self._ahead) < MAX_AHEAD

    def standing(self, seq: int) -> Standing:
        """What a frame of this `seq` is."""
        if self.expected is None or seq == self.expected:
            return "new"
        if self._first is not None and self._first <= seq < self.expected:
            return "repeat"
        self._counters.gaps += 1
        return "gap"

    def take(self, frame: Events, arrival: float, fail_mode: FailMode) -> Ticket:
        """Take a new frame; its ticket settles it."""
        self.acknowledge_passed()
        seq = frame.seq
        self._next(seq)
        self._pending[seq] = None
        return Ticket(self, frame, arrival, fail_mode)

    def pass_by(self, frames: Sequence[Events]) -> None:
        """The next frames, in sequence, were decided in this turn and nothing came of them: they wait for nothing.

        They are acknowledged together, at the end of the turn or in front of one that was taken: one by one that took a
        tenth of what a frame of one event costs. Nothing was wrong with any event of theirs, so their answers need not
        be remembered either: the frame that comes again says it, like one of long ago.
        """
        if frames:
            self._next(frames[0].seq)
            self.expected = frames[-1].seq + 1
            self._passed += [frame.size for frame in frames]

    def acknowledge_passed(self) -> None:
        """Acknowledge the frames that passed by."""
        passed = self._passed
        if not passed or self.expected is None:
            return
        self._passed = []
        seqs = range(self.expected - len(passed), self.expected)
        if self._bus.failed is not None:
            self._pending.update(dict.fromkeys(seqs))
            return
        self._decided += len(passed)
        self._acked += len(passed)
        self._counters.acks += len(passed)
        if seqs.start == self.resume_after + 1:
            self.resume_after = seqs.stop - 1
        else:
            self._ahead.update(seqs)
        if self.link is not None:
            self.link.say_all(list(map(encode_ack, seqs, passed)))
            self.link.settled()

    def take_bad(self, seq: int) -> None:
        """A bad frame takes its `seq`, and is settled with that. No ack: its error has been said."""
        if self.standing(seq) == "new":
            self.acknowledge_passed()
            self._next(seq)
            self._settle(seq, None, encode_ack(seq, 0))

    def repeat(self, frame: Events) -> None:
        """Answer a frame again that was taken before. One still undecided is answered when it is."""
        self.acknowledge_passed()
        self._counters.repeats += 1
        self._counters.repeated_events += frame.size
        seq = frame.seq
        if seq in self._pending:
            self._say(self._pending[seq])
            return
        for message in self._gated.get(seq) or self._plain_answer(frame):
            self._say(message)

    def _plain_answer(self, frame: Events) -> _Answer:
        settled, ack = self._answers.get(frame.seq % self._max_unacked, (0, b""))
        if settled == frame.seq:
            return None, ack
        # Longer ago than is remembered: it was decided, and that is all there is to say.
        return None, encode_ack(frame.seq, frame.accepted, frame.rejected)

    def decided(self, ticket: Ticket) -> None:
        """Every event is decided: verdicts go now, the ack when the journal has what the frame caused."""
        frame = ticket.frame
        if ticket.arrival == self.turn_began:
            self._decided += 1
        else:
            self._counters.decide_seconds.observe(self._now() - ticket.arrival)
        if ticket.verdicts is not None:
            verdicts = encode_verdicts(frame.seq, ticket.verdicts)
            self._pending[frame.seq] = verdicts
            self._say(verdicts)
        if self._bus.failed is not None:
            return
        if ticket.position <= self._bus.durable:
            self._acknowledge(ticket)
        else:
            self._bus.when_durable(ticket.position, partial(self._acknowledge, ticket))

    def turn_over(self) -> None:
        """What one read brought is dealt with: the frames that needed no waiting are counted, all as taking that long.

        A look at the clock for each would cost more than its ack, and their acks leave together anyway.
        """
        self.acknowledge_passed()
        began, self.turn_began = self.turn_began, None
        if began is not None and (self._decided or self._acked):
            took_s = self._now() - began
            self._counters.decide_seconds.observe(took_s, self._decided)
            self._counters.ack_seconds.observe(took_s, self._acked)
            self._decided = self._acked = 0

    def _acknowledge(self, ticket: Ticket) -> None:
        frame = ticket.frame
        seq = frame.seq
        if ticket.refused is None:
            ack = encode_ack(seq, frame.accepted, frame.rejected)
        else:
            ack = encode_ack(seq, ticket.accepted, ticket.rejections())
        if ticket.arrival == self.turn_began:
            self._acked += 1
        else:
            self._counters.ack_seconds.observe(self._now() - ticket.arrival)
        self._answer(seq, self._pending.pop(seq), ack)

    def _answer(self, seq: int, verdicts: bytes | None, ack: bytes) -> None:
        self._counters.acks += 1
        self._settle(seq, verdicts, ack)
        if self.link is not None:
            self.link.say(ack)
            self.link.settled()

    def _settle(self, seq: int, verdicts: bytes | None, ack: bytes) -> None:
        if verdicts is None:
            self._answers[seq % self._max_unacked] = (seq, ack)
        else:
            self._gated[seq] = (verdicts, ack)
            if len(self._gated) > self._max_unacked:
                self._gated.popitem(last=False)
        if seq != self.resume_after + 1:
            self._ahead.add(seq)
            return
        self.resume_after = seq
        if self._ahead:
            while self.resume_after + 1 in self._ahead:
                self.resume_after += 1
                self._ahead.discard(self.resume_after)

    def _next(self, seq: int) -> None:
        if self._first is None:
            self._first = seq
            self.resume_after = seq - 1
        self.expected = seq + 1

    def _say(self, message: bytes | None) -> None:
        if message is not None and self.link is not None:
            self.link.say(message)


@attrs.frozen
class Attached:
    """What a connection gets: its session, who had it until now, and how long nobody had (seconds, 0 if new)."""

    session: Session
    previous: Link | None
    absence_s: float


class Sessions:
    """All sessions of one process, by key. `now` is any clock that only moves forward, seconds.

    Bounded: at `max_sessions` the one without a connection for longest is forgotten; where all have one, another is
    refused. A forgotten session that comes back finds a new epoch.
    """

    def __init__(
        self,
        bus: Durability,
        *,
        epoch: str,
        max_unacked: int,
        max_sessions: int,
        ttl_s: float,
        new_clock: Callable[[], SessionClock],
        now: Callable[[], float],
    ) -> None:
        self.counters = SessionCounters()
        self._bus = bus
        self._epoch = epoch
        self._max_unacked = max_unacked
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._new_clock = new_clock
        self._now = now
        self._serial = 0
        self._sessions: dict[str, Session] = {}
        self._left: OrderedDict[str, Session] = OrderedDict()
        self._anonymous: set[Session] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def attach(self, key: str | None) -> Attached | None:
        """The session of a new connection; None where there are too many. Without a key it is nobody else's.

        The caller sets `session.link` before anything else happens.
        """
        self.sweep()
        if key is None:
            session = self._new(begins=1)
            self._anonymous.add(session)
            return Attached(session, None, 0.0)
        known = self._sessions.get(key)
        if known is None and not self._make_room():
            self.counters.refused += 1
            return None
        session = self._sessions.setdefault(key, known or self._new(begins=None))
        self._left.pop(key, None)
        previous = session.link
        absence_s = 0.0 if session.left_at is None else self._now() - session.left_at
        session.left_at = None
        self.counters.takeovers += previous is not None
        return Attached(session, previous, absence_s)

    def detach(self, key: str | None, session: Session, link: Link) -> None:
        """A connection ended. Its session is remembered for `ttl_s`, unless another connection has it by now."""
        self._anonymous.discard(session)
        if session.link is not link:
            return
        session.link = None
        session.left_at = self._now()
        if key is not None and self._sessions.get(key) is session:
            self._left[key] = session

    def sweep(self) -> None:
        """Forget sessions that nobody came back to."""
        now = self._now()
        while self._left:
            key, session = next(iter(self._left.items()))
            if session.left_at is not None and now - session.left_at < self._ttl_s:
                return
            self._forget(key)

    def statistics(self) -> SessionStatistics:
        """All sessions in numbers."""
        counters = self.counters
        sessions = [*self._sessions.values(), *self._anonymous]
        return SessionStatistics(
            sessions=len(self._sessions),
            connected=sum(session.link is not None for session in sessions),
            unacked=sum(session.unacked for session in sessions),
            acks=counters.acks,
            repeats=counters.repeats,
            repeated_events=counters.repeated_events,
            gaps=counters.gaps,
            takeovers=counters.takeovers,
            forgotten=counters.forgotten,
            refused=counters.refused,
            decide_seconds=counters.decide_seconds.statistics(),
            ack_seconds=counters.ack_seconds.statistics(),
        )

    def _make_room(self) -> bool:
        if len(self._sessions) < self._max_sessions:
            return True
        if not self._left:
            return False
        self._forget(next(iter(self._left)))
        return True

    def _forget(self, key: str) -> None:
        del self._left[key], self._sessions[key]
        self.counters.forgotten += 1

    def _new(self, begins: int | None) -> Session:
        self._serial += 1
        return Session(
            f"{self._epoch}.{self._serial}",
            self._bus,
            self._max_unacked,
            self.counters,
            self._new_clock(),
            now=self._now,
            begins=begins,
        )
