"""A pace: a burst is free, then messages go out one by one until there was a pause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.pace import MOST_WAIT_S
from roomguard.engine.program import RuleErrors
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings, CapSettings, HypeSettings, TierSettings
from roomguard.testing import START, Scene, chat, control, limit, program, rule

SLOW = rule("slow", 'wait_s("talk") > 0', "delay", reason="flood", strike=False)
PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)


def paced(rate: str = "2/1s", burst: int = 3, cooldown_s: float = 1.0, *more: Any, **settings: Any) -> Scene:
    limits = {"talk": limit(rate, algorithm="pace", burst=burst, cooldown_s=cooldown_s)}
    return Scene(program(SLOW, *more, limits=limits, budget=PLENTY, **settings))


def wait_of(scene: Scene, at: float, user: str = "ann") -> float:
    """How long a message at `at` is held back, to the millisecond; it is taken while nothing else waits."""
    outcome = scene.chat(user, f"at {at}", at=at)
    due = scene.guard.next_deadline()
    assert ("hold" if due else "allow") == outcome.verdict
    if due is None:
        return 0.0
    (action,) = scene.guard.expire(due).actions
    assert ("release", (f"e{scene._events}",)) == (action.kind, action.events)
    return round(action.at - START - at, 3)


def test_a_burst_then_half_a_second_each() -> None:
    """Three are free; the fourth waits 400 ms, one right after it 500 ms; in step nobody waits; a pause frees all."""
    scene = paced()

    assert [0, 0, 0, 0.4] == [wait_of(scene, at) for at in (0, 0.1, 0.2, 0.3)]
    assert 0.5 == wait_of(scene, 0.7)
    assert [0, 0.2] == [wait_of(scene, at) for at in (1.8, 2.1)]
    assert [0, 0, 0, 0.5] == [wait_of(scene, at) for at in (4.3, 4.3, 4.3, 4.3)]


@pytest.mark.parametrize(
    ("rate", "burst", "cooldown_s", "times", "expected"),
    [
        ("1/1s", 1, 2.0, (0, 0.25, 2, 4.1), (0, 0.75, 0, 0)),
        ("5/10s", 5, 10.0, (0, 0, 0, 0, 0, 0.5, 2.0), (0, 0, 0, 0, 0, 1.5, 2.0)),
        ("4/1s", 2, 0.5, (0, 0, 0.1, 0.3, 0.7, 1.3, 1.3), (0, 0, 0.15, 0.2, 0.05, 0, 0)),
    ],
)  # fmt: skip
def test_other_paces(rate: str, burst: int, cooldown_s: float, times: Any, expected: Any) -> None:
    """The wait is what is missing to the gap after the message before, wherever that stands when it goes out."""
    scene = paced(rate, burst, cooldown_s)

    assert list(expected) == [wait_of(scene, at) for at in times]


def test_they_go_out_in_order() -> None:
    """Messages that come at once wait for one another, each released by its own deadline, none twice."""
    scene = paced(burst=1)
    for number in range(5):
        scene.chat("ann", f"m{number}", at=0)
    scene.expire(10)

    assert [(0.5, "e2"), (1.0, "e3"), (1.5, "e4"), (2.0, "e5")] == [
        (round(action.at - START, 3), (action.events or ("",))[0]) for action in scene.actions
    ]
    assert ({"release"}, {"flood"}) == ({a.kind for a in scene.actions}, {a.reason for a in scene.actions})


def test_everybody_has_their_own_pace() -> None:
    """What one user waits for is nothing to another."""
    scene = paced(burst=1)
    verdicts = [scene.chat(f"u{number % 3}", f"m{number}", at=0).verdict for number in range(6)]

    assert ["allow"] * 3 + ["hold"] * 3 == verdicts


def test_what_waits_of_a_muted_user_is_deleted() -> None:
    """A mute reaches what was sent before it and is not out yet."""
    scene = paced("2/1s", 1, 1.0, rule("hammer", 'wait_s("talk") > 1.2', "mute"))
    verdicts = [scene.chat("ann", f"m{number}", at=0).verdict for number in range(5)]
    scene.expire(10)

    assert ["allow", "hold", "hold", "drop", "drop"] == verdicts
    assert ["mute", "delete", "delete"] == scene.kinds()
    assert scene.actions[0].evidence["wait_s(talk)"] == 1.5


@pytest.mark.parametrize(
    ("action", "verdict"), [("delete", "drop"), ("hold", "hold"), ("kick", "drop"), ("warn", "hold")]
)
def test_a_wait_gives_way(action: str, verdict: str) -> None:
    """A message that is hidden or waits for a human has no turn to wait for; a warning changes nothing about it."""
    scene = paced("1/1s", 1, 1.0, rule("second", "contains(text, 'bad')", action), hold_s=7.0, hold_fail="delete")
    scene.chat("ann", "good", at=0)

    assert verdict == scene.chat("ann", "bad", at=0.5).verdict
    scene.expire(20)
    released = [a for a in scene.actions if a.kind == "release"]
    assert (1 if action == "warn" else 0) == len(released)


def test_no_rule_in_shadow_makes_anybody_wait() -> None:
    """In shadow it is only counted how often somebody would have had to wait."""
    scene = Scene(
        program(
            rule("slow", 'wait_s("talk") > 0', "delay", mode="shadow"),
            limits={"talk": limit("1/1s", algorithm="pace", burst=1)},
        )
    )
    verdicts = [scene.chat("ann", f"m{number}", at=0).verdict for number in range(3)]

    assert (["allow"] * 3, {"shadow": 2}) == (verdicts, scene.hits("slow"))


def test_nobody_waits_for_ever() -> None:
    """Whoever hammers is told their wait, which ends at its bound, and so does what is remembered of it."""
    scene = paced("1/10s", 1, 10.0)
    for number in range(20):
        scene.chat("ann", f"m{number}", at=number / 100)
    scene.expire(100)

    assert 19 == len(scene.actions)
    assert max(action.at - START for action in scene.actions) <= MOST_WAIT_S + 0.2
    assert "allow" == scene.chat("ann", "later", at=MOST_WAIT_S + 11).verdict


def test_waits_have_a_cap() -> None:
    """At the cap of held messages the one due first goes out at once."""
    scene = paced("1/1s", 1, 1.0, caps=CapSettings(holds=2))
    for number in range(5):
        scene.chat("ann", f"m{number}", at=0)

    assert ["e2", "e3"] == [(action.events or ("",))[0] for action in scene.actions]


def test_waiting_survives_a_snapshot() -> None:
    """A restored room releases what waits at the same moments and goes on alike; one that crashed releases it too."""
    scene = paced("1/1s", 1, 1.0)
    for number in range(3):
        scene.chat("ann", f"m{number}", at=0)
    restored = RoomGuard.restore("r1", scene.guard.program, scene.guard.snapshot())
    crashed = RoomGuard("r1", scene.guard.program)
    crashed.control(control("reset", state=scene.guard.survivors()), START)

    expected = scene.guard.expire(START + 10).actions
    assert 2 == len(expected)
    assert expected == restored.expire(START + 10).actions == crashed.expire(START + 10).actions
    assert scene.chat("ann", "next", at=10.5) == restored.receive(chat("ann", "next", at=10.5, id="e4"), START + 10.5)


@settings(max_examples=80, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 1.1, 3.0]), min_size=1, max_size=40),
    burst=st.integers(1, 4),
    cooldown_s=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_equal_to_a_queue(gaps: list[float], burst: int, cooldown_s: float) -> None:
    """Messages leave in order; each leaves at once or exactly a gap after the one before, which had used the burst."""
    scene = paced("2/1s", burst, cooldown_s)
    at, before, free = 0.0, None, 0
    for gap in gaps:
        at += gap
        if before is None or at - before > cooldown_s + 1e-6:
            leaves, free = at, burst - 1
        elif free:
            leaves, free = at, free - 1
        else:
            leaves = max(at, min(before + 0.5, at + MOST_WAIT_S))
        outcome = scene.chat("ann", "x", at=at)
        assert ("hold" if leaves > at + 1e-6 else "allow") == outcome.verdict
        before = leaves
    scene.expire(at + 100)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"key": "room"}, "is for one user's chat"),
        ({"events": ("chat", "like")}, "is for one user's chat"),
        ({"weights": {"chat": 2.0}}, "is for one user's chat"),
        ({"cooldown_s": 4_000.0}, "longer than engine.caps.window_s (3600 s)"),
    ],
)
def test_what_is_no_pace(more: dict[str, Any], message: str) -> None:
    """A pace that could not be kept is refused when it is read."""
    with pytest.raises(RuleErrors) as caught:
        program(limits={"talk": limit("2/1s", algorithm="pace", **more)})
    assert message in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("delaying", "message"),
    [
        (rule("r", "length > 3", "delay"), 'a `when` that asks wait_s("LIMIT") how long'),
        (rule("r", 'wait_s("tlk") > 0', "delay"), "is named 'tlk' (did you mean 'talk'?)"),
        (rule("r", 'wait_s("plain") > 0', "delay"), "no limit with algorithm = \"pace\" is named 'plain'"),
        (rule("r", 'wait_s("talk")', "delay"), "a number is no condition"),
        (rule("r", 'wait_s("talk") > 0', "delay", on=("chat", "like")), 'delay goes with on = ["chat"]'),
    ],
)  # fmt: skip
def test_what_cannot_delay(delaying: Any, message: str) -> None:
    """A rule that delays says how long, by a limit that knows it."""
    limits = {"talk": limit("2/1s", algorithm="pace"), "plain": limit("2/1s")}
    with pytest.raises(RuleErrors) as caught:
        program(delaying, limits=limits)
    assert any(message in problem.message for problem in caught.value.problems)


@pytest.mark.parametrize("place", ["tiers", "hype"])
def test_only_rules_ask_for_waits(place: str) -> None:
    """Tiers and hype are looked at beside rules and know no limits."""
    asks = 'wait_s("talk") > 0'
    more: dict[str, Any] = (
        {"tiers": {"t": TierSettings(when=asks)}}
        if place == "tiers"
        else {"hype": HypeSettings(when=asks, scale={"t": 2})}
    )
    with pytest.raises(RuleErrors, match=r"can only be asked in a rule|no limit"):
        program(limits={"talk": limit("2/1s", algorithm="pace")}, thresholds={"t": 1.0}, **more)
