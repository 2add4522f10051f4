"""RoomGuard as a whole against a model that keeps everything, while it is saved, restored, reloaded and timed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule as step

from roomguard.engine.outcome import Outcome
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings, CapSettings
from roomguard.model.events import Chat, Event, Join, Like
from roomguard.testing import START, chat, feature, join, like, limit, program, rule

MUTE_S = 7.0
CAPS = CapSettings(users=50, texts=50, penalties=50)
PROGRAM = program(
    rule("flood", 'over("chat")', "mute", "delete", duration_s=MUTE_S),
    rule("bucket", 'over("room")', mode="shadow"),
    rule("likes", 'over("likes")', mode="shadow", on=("like",)),
    rule("copies", "copies > 2", mode="shadow"),
    rule("crowd", "users > 2 and users <= 4", mode="shadow", on=("chat", "join")),
    rule("words", "long_share > 0.5 or not known(rhythm)", mode="shadow"),
    rule("held", 'contains(text, "held")', "hold"),
    features={
        "copies": feature("count", 20.0, key="user_text"),
        "users": feature("distinct", 15.0, key="room", events=("chat", "join")),
        "long_share": feature("ratio", 10.0, key="room", of="length > 5"),
        "rhythm": feature("gap", 30.0),
    },
    limits={
        "chat": limit("3/10s"),
        "room": limit("2/4s", key="room", algorithm="gcra", burst=3),
        "likes": limit("10/10s", events=("like",)),
    },
    budget=BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9),
    caps=CAPS,
    hold_s=6.0,
)
USERS = st.sampled_from(["ann", "ben", "cem", "dan", "eve"])
TEXTS = st.sampled_from(["hi", "hello there", "held back"])
GAPS = st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 7.0, 10.0, 20.0])


@attrs.define
class Model:
    """What the rules above mean, by counting over everything that ever counted."""

    chats: list[tuple[float, str, str]] = attrs.field(factory=list)
    likes: list[tuple[float, str, int]] = attrs.field(factory=list)
    present: list[tuple[float, str]] = attrs.field(factory=list)
    muted: dict[str, float] = attrs.field(factory=dict)
    bucket: float = 0.0
    bucket_at: float = 0.0
    hits: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    actions: list[tuple[str, str, str]] = attrs.field(factory=list)
    """(kind, user, event)."""
    holds: list[tuple[float, str, str]] = attrs.field(factory=list)

    def expire(self, now: float) -> None:
        due = [hold for hold in self.holds if hold[0] <= now]
        self.holds = [hold for hold in self.holds if hold[0] > now]
        self.actions += [
            ("release", user, event) for _, user, event in sorted(due, key=lambda hold: (hold[0], hold[2]))
        ]

    def crowd(self, now: float) -> None:
        if 2 < len({user for at, user in self.present if at > now - 15}) <= 4:
            self.hits["crowd", "shadow"] += 1

    def chat(self, event: Chat, now: float) -> str:
        if self.muted.get(event.user, 0.0) > now:
            return "drop"
        self.chats.append((now, event.user, event.text))
        self.present.append((now, event.user))
        own = [(at, text) for at, user, text in self.chats if user == event.user]
        self.bucket = max(0.0, self.bucket - (now - self.bucket_at) / 2)
        self.bucket_at = now
        if self.bucket + 1 > 3:
            self.hits["bucket", "shadow"] += 1
        else:
            self.bucket += 1
        if sum(at > now - 20 and text == event.text for at, text in own) > 2:
            self.hits["copies", "shadow"] += 1
        self.crowd(now)
        lengths = [len(text) for at, _, text in self.chats if at > now - 10]
        few = sum(at > now - 30 for at, _ in own) < 4
        if sum(length > 5 for length in lengths) / len(lengths) > 0.5 or few:
            self.hits["words", "shadow"] += 1
        held = "held" in event.text
        self.hits["held", "enforce"] += held
        if sum(at > now - 10 for at, _ in own) > 3:
            self.hits["flood", "enforce"] += 1
            self.muted[event.user] = now + MUTE_S
            self.actions += [("mute", event.user, event.id), ("delete", event.user, event.id)]
            return "drop"
        if held:
            self.holds.append((now + 6, event.user, event.id))
        return "hold" if held else "allow"

    def like(self, event: Like, now: float) -> str:
        self.likes.append((now, event.user, event.count))
        if sum(count for at, user, count in self.likes if at > now - 10 and user == event.user) > 10:
            self.hits["likes", "shadow"] += 1
        return "allow"

    def join(self, event: Join, now: float) -> str:
        self.present.append((now, event.user))
        self.crowd(now)
        return "allow"


class RoomMachine(RuleBasedStateMachine):
    """Two guards and a model: one guard is disturbed at every turn, the other gets events late and in batches."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = RoomGuard("r1", PROGRAM)
        self.patient = RoomGuard("r1", PROGRAM)
        self.model = Model()
        self.at = 0.0
        self.number = 0
        self.last: Chat | None = None
        self.outcomes: list[Outcome] = []
        self.late: list[Outcome] = []
        self.waiting: list[Event] = []

    @initialize()
    def first(self) -> None:
        """A gcra limit counts from the room's first event: let there be one that nothing counts."""
        self._take(join("nobody", 0.0, id="first"))

    def _take(self, event: Any) -> None:
        now = self.at
        self.model.expire(now)
        verdict: str = getattr(self.model, event.__struct_config__.tag)(event, now)
        outcome = self.guard.receive(event, event.ts)
        assert verdict == outcome.verdict
        self.outcomes.append(outcome)
        self.waiting.append(event)

    def _next(self, gap: float) -> dict[str, Any]:
        self.at += gap
        self.number += 1
        return {"at": self.at, "id": f"e{self.number}"}

    @step(user=USERS, text=TEXTS, gap=GAPS)
    def chats(self, user: str, text: str, gap: float) -> None:
        """Somebody writes."""
        self.last = chat(user, text, **self._next(gap))
        self._take(self.last)

    @step(user=USERS, count=st.integers(1, 8), gap=GAPS)
    def likes(self, user: str, count: int, gap: float) -> None:
        """Somebody likes."""
        self._take(like(user, count, **self._next(gap)))

    @step(user=USERS, gap=GAPS)
    def joins(self, user: str, gap: float) -> None:
        """Somebody comes."""
        self._take(join(user, **self._next(gap)))

    @precondition(lambda self: self.last is not None)
    @step()
    def again(self) -> None:
        """The latest message is delivered once more: nothing counts it."""
        assert self.last is not None
        before = len(self.guard.tally.hits)
        outcome = self.guard.receive(self.last, START + self.at)
        assert not outcome.actions
        assert before == len(self.guard.tally.hits)

    @step(gap=GAPS)
    def time_passes(self, gap: float) -> None:
        """A timer runs what is due; room time itself moves to the deadlines and no further."""
        self.at += gap
        self.model.expire(self.at)
        before = self.guard.now
        self.outcomes.append(self.guard.expire(START + self.at))
        assert before <= self.guard.now <= max(before, START + self.at)
        assert (self.guard.next_deadline() or START + self.at + 1) > START + self.at

    @step()
    def saved_and_restored(self) -> None:
        """A snapshot and what is restored from it are the same room, to the byte."""
        data = self.guard.snapshot()
        self.guard = RoomGuard.restore("r1", PROGRAM, data, self.guard.tally)
        assert data == self.guard.snapshot()

    @step()
    def reloaded(self) -> None:
        """A reload of the same program changes nothing."""
        data = self.guard.snapshot()
        self.guard.configure(PROGRAM)
        assert data == self.guard.snapshot()

    @step()
    def the_batch_arrives(self) -> None:
        """What was held up until now is judged at its own times and comes out the same."""
        for event in self.waiting:
            self.late.append(self.patient.receive(event, event.ts))
        self.waiting.clear()
        self.late.append(self.patient.expire(START + self.at))
        done, late = ([action for outcome in one for action in outcome.actions] for one in (self.outcomes, self.late))
        assert done == late
        assert self.patient.in_force() == self.guard.in_force()

    @invariant()
    def equal_to_the_model(self) -> None:
        """Every hit and action is the model's."""
        assert +self.model.hits == +self.guard.tally.hits
        done = [(a.kind, a.user, (a.events or a.causes)[0]) for outcome in self.outcomes for a in outcome.actions]
        assert self.model.actions == done

    @invariant()
    def within_bounds(self) -> None:
        """What the room holds stays within what its settings and its events allow."""
        numbers = self.guard.statistics()
        assert numbers.users <= min(CAPS.users, 6)
        assert numbers.penalties <= numbers.users
        assert numbers.strikes <= numbers.users
        assert numbers.holds == len(self.model.holds)
        assert numbers.now <= START + self.at

    def teardown(self) -> None:
        """Whatever is still held up is judged at the end."""
        self.the_batch_arrives()


TestRoom = RoomMachine.TestCase
TestRoom.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
