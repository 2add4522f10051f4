"""Why each rule did or did not fire on one event."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from roomguard.configure import configure
from roomguard.engine.explaining import Explanation, RuleExplanation
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import (
    BudgetSettings,
    ElevatedSettings,
    HypeSettings,
    ModesSettings,
    StrategySettings,
    TierSettings,
)
from roomguard.model.actions import encode_halves, join as join_halves
from roomguard.model.events import AnyEvent, Who
from roomguard.testing import START, chat, control, feature, gift, join, like, limit, moderation, program, report, rule


def explain(guard: RoomGuard, event: AnyEvent) -> Explanation:
    return guard.explain(event, event.ts)


def of(explanation: Explanation, name: str) -> RuleExplanation:
    return next(rule for rule in explanation.rules if rule.rule == name)


def told(compiled: Program, *events: AnyEvent) -> RuleExplanation:
    """The first rule on the last of the events."""
    guard = RoomGuard("r1", compiled)
    for event in events[:-1]:
        guard.receive(event, event.ts)
    return explain(guard, events[-1]).rules[0]


def test_each_rule_says_why() -> None:
    """Hit, false, unknown, off and other kinds are told apart; parts say what holds, with features and thresholds."""
    compiled = program(
        rule("loud", "caps_ratio > most_caps and length >= 5", "delete"),
        rule("long", "length > 100 and caps_ratio > most_caps", "delete"),
        rule("young", "account_age_s < 60 and length >= 5", "delete"),
        rule("gone", "length > 0", "delete", mode="off"),
        rule("liked", "like_count > 5", "warn", on=("like",)),
        thresholds={"most_caps": 0.7},
    )
    explanation = explain(RoomGuard("r1", compiled), chat("ann", "HELLO", id="e1"))

    assert ("e1", "chat", "r1", "ann", START, "default", "calm", "") == (
        explanation.event, explanation.kind, explanation.room, explanation.user, explanation.at,
        explanation.strategy, explanation.mode, explanation.unjudged,
    )  # fmt: skip
    assert {"loud": "hit", "long": "false", "young": "unknown", "gone": "off", "liked": "other kind"} == {
        rule.rule: rule.answer for rule in explanation.rules
    }
    assert [("caps_ratio > most_caps", True), ("length >= 5", True)] == [
        (part.text, part.holds) for part in of(explanation, "loud").parts
    ]
    assert {"caps_ratio": 1.0, "most_caps": 0.7} == of(explanation, "loud").parts[0].values
    assert [False, True] == [part.holds for part in of(explanation, "long").parts]
    assert ([None, True], ("account_age_s",)) == (
        [part.holds for part in of(explanation, "young").parts],
        of(explanation, "young").missing,
    )
    assert (("enforce",), ()) == (of(explanation, "loud").outcomes, of(explanation, "long").outcomes)
    assert ("drop", ["delete"]) == (explanation.outcome.verdict, [a.kind for a in explanation.outcome.actions])


@pytest.mark.parametrize(
    ("who", "when", "answer"),
    [
        (None, "account_age_s < 60", "unknown"), (None, "not account_age_s < 60", "unknown"),
        (Who(account_age_s=5), "account_age_s < 60", "hit"), (Who(account_age_s=90), "account_age_s < 60", "false"),
        (None, "account_age_s < 60 and length > 99", "false"), (None, "account_age_s < 60 or length > 1", "hit"),
        (None, "account_age_s < 60 or length > 99", "unknown"), (None, "not known(level)", "hit"),
        (Who(level=3), "level > 2 and not follower", "unknown"), (None, "length / (length - 5) > 1", "unknown"),
    ],
)  # fmt: skip
def test_missing_is_not_false(who: Who | None, when: str, answer: str) -> None:
    """What would be decided by a value nobody sent is unknown; what is decided without it is not."""
    assert answer == told(program(rule("r", when)), chat("ann", "hello", who=who)).answer


OUTCOMES: dict[str, tuple[str, dict[str, Any], list[AnyEvent]]] = {
    "shadow": ("length > 3", {"mode": "shadow"}, [chat("ann")]),
    "exempt": ("length > 3", {}, [chat("ann", who=Who(role="moderator"))]),
    "in_force": ("length >= 3", {"on": ("chat", "like")}, [chat("ann"), like("ann", at=1)]),
    "budget": ("length > 3", {}, [chat(f"u{number}", at=20 + number) for number in range(4)]),
    "tier": ("chats > most", {}, [chat("ann", at=number, who=Who(role="vip")) for number in range(4)]),
    "rollout": ("length > 3", {"rollout": 0}, [chat("ann")]),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_became_of_a_hit(outcome: str) -> None:
    """A hit that did not act says what kept it from acting, by the names that are counted."""
    when, more, events = OUTCOMES[outcome]
    rules = [rule("r", when, **{**more, "on": ("chat",)})]
    if outcome == "in_force":
        rules = [rule("r", "like_count > 0", on=("like",)), rule("first", when)]
    compiled = program(
        *rules,
        features={"chats": feature("count")},
        thresholds={"most": 3.0},
        tiers={"vip": TierSettings(when='role == "vip"', scale={"most": 2.0})},
        budget=BudgetSettings(actions_per_rule_minute=3, actions_per_room_minute=60),
    )
    explained = told(compiled, *events)

    assert ("hit", (outcome,)) == (explained.answer, explained.outcomes)


def test_grace_and_hype() -> None:
    """A room that has just come back, and one that cheers, say so."""
    compiled = program(
        rule("flood", "chats > most"),
        features={"chats": feature("count"), "crowd": feature("count", key="room")},
        thresholds={"most": 2.0},
        hype=HypeSettings(when="crowd >= 4", scale={"most": 5.0}),
    )
    guard = RoomGuard("r1", compiled)
    guard.control(control("grace", ttl_s=5.0), START)
    outcomes = [explain(guard, chat("ann", at=at)).rules[0].outcomes for at in (1, 2, 3, 6)]

    assert [(), (), ("grace",), ("hype",)] == outcomes


def test_why_no_rule_was_asked() -> None:
    """A muted user's message, one that came before, and a kind nobody listens to are not judged, and say why."""
    guard = RoomGuard("r1", program(rule("r", "length > 99")))
    explain(guard, chat("ann", at=0, id="e1"))
    again = explain(guard, chat("ann", at=1, id="e1"))
    other = explain(guard, join("ann", at=2))
    human = explain(guard, moderation("mod", "mute", "ann", at=3))
    muted = explain(guard, chat("ann", at=4))

    assert ["it was taken before", "no rule listens to its kind", "no rule listens to its kind"] == [
        explanation.unjudged.rpartition("or ")[2] for explanation in (again, other, human)
    ]
    assert ("a penalty in force drops it", "drop", ()) == (muted.unjudged, muted.outcome.verdict, muted.rules)


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_a_limit_is_asked_as_it_was(weight: float) -> None:
    """A refilling limit says for each event whether that one was over, also where the rule did not hit."""
    compiled = program(
        rule("r", 'over("l") and length > 99', "warn"),
        rule("g", 'over("l")', "warn", on=("gift",)),
        limits={"l": limit("2/10s", algorithm="gcra", events=("chat", "gift"), weights={"gift": weight})},
    )
    guard = RoomGuard("r1", compiled)
    chats = [of(explain(guard, chat("ann", at=at)), "r").parts[0] for at in (0, 1, 2, 6, 7)]
    gifts = [of(explain(guard, gift("ann", at - 7, at, streak="s")), "g").parts[0] for at in (8, 9)]

    assert [False, False, True, False, True] == [part.holds for part in chats]
    assert [{"over(l)": over} for over in (False, False, True, False, True)] == [part.values for part in chats]
    assert [bool(weight), False] == [part.holds for part in gifts]


def test_a_wait_is_told() -> None:
    """A pace says for how long."""
    compiled = program(rule("slow", 'wait_s("l") > 0', "delay"), limits={"l": limit("1/2s", algorithm="pace")})

    assert {"wait_s(l)": 1.5} == told(compiled, chat("ann", at=0), chat("ann", at=0.5)).parts[0].values


def test_parts_are_what_must_all_hold() -> None:
    """A condition is taken apart at its `and`s, over lines and comments, and at the `or`s of what must not hold."""
    when = """
    length > 2   # long enough
    and not (links > 1 or "x" == text) and (words > 5 or  contains(text, "a  b"))
    """
    parts = told(program(rule("r", when)), chat("ann", "a  b")).parts

    assert [
        ("length > 2", True), ("not (links > 1)", True), ('not ("x" == text)', True),
        ('words > 5 or contains(text, "a b")', True),
    ] == [(part.text, part.holds) for part in parts]  # fmt: skip


def test_the_numbers_that_hold_for_the_user() -> None:
    """Thresholds are those of the room's strategy, of an override, and of the wave for who is of it."""
    compiled = program(
        rule("r", "length > most", "warn"),
        thresholds={"most": 100.0},
        strategies={"kids": StrategySettings(tags=("kids",), thresholds={"most": 50.0})},
        modes=ModesSettings(elevated=ElevatedSettings(thresholds={"most": 5.0}), new_s=60.0),
    )
    guard = RoomGuard("r1", compiled)
    seen = [explain(guard, chat("old", "hello there", at=0)).rules[0].parts[0].values["most"]]
    guard.control(control("override", 1, ttl_s=10.0, settings={"most": 70.0}), START + 1)
    seen.append(explain(guard, chat("old", "hello there", at=2)).rules[0].parts[0].values["most"])
    guard.control(control("override", 100, ttl_s=300.0, settings={"room_mode": "elevated"}), START + 100)
    wave = explain(guard, chat("new", "hello there", at=200))

    assert [100.0, 70.0] == seen
    assert ("default.elevated", "elevated", True, 5.0, "hit") == (
        wave.strategy, wave.mode, wave.cohort, wave.rules[0].parts[0].values["most"], wave.rules[0].answer,
    )  # fmt: skip
    assert not explain(guard, chat("old", "hello there", at=201)).cohort


def test_explaining_changes_nothing() -> None:
    """A room of which every event is explained sends the same bytes as one that only judges, and counts the same."""
    compiled = configure(Path(__file__).parents[2] / "config.toml").program
    events: list[AnyEvent] = []
    for number in range(600):
        user, at = f"u{number * 7 % 13}", number * 0.4
        text = ("cheap viewers at bigviews.example now", "gg", f"what a play {number}", "AAAAAAAAAAAAAAAAAAAAAAAA no")
        events.append(chat(user, text[number * 11 % 17 % 4], at, id=f"e{number}"))
        if number % 9 == 0:
            events.append(join(f"new{number}", at, id=f"j{number}", who=Who(account_age_s=60)))
        if number % 50 == 0:
            events.append(report(user, f"u{number % 3}", at, id=f"r{number}"))
            events.append(gift(user, number + 1, at, id=f"g{number}", streak="s"))

    def play(*, explaining: bool) -> tuple[bytes, RoomGuard]:
        guard, out = RoomGuard("r1", compiled), io.BytesIO()
        for event in events:
            outcome = guard.explain(event, event.ts).outcome if explaining else guard.receive(event, event.ts)
            for action in outcome.actions:
                out.write(join_halves(encode_halves(action), 1))
        return out.getvalue(), guard

    (plain, judged), (told_too, explained) = play(explaining=False), play(explaining=True)
    assert plain
    assert plain == told_too
    assert judged.tally == explained.tally
