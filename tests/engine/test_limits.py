"""Rate limits: the n-th passes and the next is over, by sliding window or by continuous refill."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.features import MOST_USER_ENTRIES, parse_rate
from roomguard.engine.program import RuleErrors
from roomguard.engine.rules.language import RuleError
from roomguard.engine.settings import BudgetSettings
from roomguard.testing import START, Scene, chat, gift, like, limit, program, rule

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)
KINDS = ("chat", "like", "gift", "join")


def scene(rate: str, *, on: tuple[str, ...] = KINDS, **more: Any) -> Scene:
    events = more.setdefault("events", ("chat",))
    listening = tuple(kind for kind in on if kind in events)
    compiled = program(
        rule("r", 'over("l")', "warn", on=listening, strike=False), limits={"l": limit(rate, **more)}, budget=PLENTY
    )
    return Scene(compiled)


def over(scene: Scene, *times: float, user: str = "ann") -> list[bool]:
    """Which of the messages at these times are over the limit."""
    return [bool(scene.chat(user, at=at).actions) for at in times]


PRESETS = [("5/10s", 5), ("5/5s", 5), ("30/30s", 30), ("10/60s", 10), ("3/2s", 3), ("20/30s", 20), ("1/1s", 1)]


@pytest.mark.parametrize("key", ["user", "room"])
@pytest.mark.parametrize("algorithm", ["window", "gcra"])
@pytest.mark.parametrize(("rate", "most"), PRESETS)
def test_the_presets_of_the_field(rate: str, most: int, algorithm: Any, key: Any) -> None:
    """More than N within W: the N-th passes and the next is over, for each preset, algorithm and key."""
    _, seconds = parse_rate(rate)
    times = [seconds / 100 * i / (most + 1) for i in range(most + 1)]
    assert [*[False] * most, True] == over(scene(rate, algorithm=algorithm, key=key), *times)


def test_no_edge_between_two_windows() -> None:
    """Nine at 59.9 s and nine at 60.1 s are eighteen within a minute: there is no calendar in a window."""
    room = scene("17/60s")
    assert [False] * 17 + [True] == over(room, *[59.9] * 9, *[60.1] * 9)


def test_boundary() -> None:
    """An event exactly a window ago is out."""
    assert [False, False, False] == over(scene("2/60s"), 0, 10, 60)
    assert [False, False, True] == over(scene("2/60s"), 0, 10, 59.5)


def test_over_counts_too() -> None:
    """A window counts what was over as well: who does not stop stays over."""
    assert [False, True, True, True, False] == over(scene("1/10s"), 0, 6, 12, 18, 28)


def test_burst_and_refill() -> None:
    """Gcra: a burst of three is free, the fourth waits for half a second of refill, and rest gives the burst back."""
    room = scene("2/1s", algorithm="gcra", burst=3)
    assert [False, False, False, True, True] == over(room, 0, 0.1, 0.2, 0.3, 0.31)
    assert [False, True] == over(room, 0.5, 0.6)
    assert [False, True] == over(room, 1.0, 1.1)
    assert [False, False, False, True] == over(room, 9, 9.1, 9.2, 9.3)


def test_a_leaky_bucket_leaks_from_the_start() -> None:
    """Fifty an hour leaks one every 72 s from the first interval on, not all at the end of the hour."""
    room = scene("50/60m", algorithm="gcra")
    assert [False] * 50 + [True] == over(room, *[0.0] * 51)
    assert [True, False, True, False] == over(room, 71.9, 72.1, 143.9, 144.1)


def test_what_is_over_does_not_fill_a_bucket() -> None:
    """Gcra: hammering at a full bucket does not keep it full."""
    room = scene("1/10s", algorithm="gcra")
    assert [False, *[True] * 9, False] == over(room, *[float(i) for i in range(11)])


@pytest.mark.parametrize("start", [0.0, START, 4e9])
@pytest.mark.parametrize("rate", ["10/1s", "3/7s", "1000/1s", "7/3m"])
def test_gcra_is_exact_at_any_hour(rate: str, start: float) -> None:
    """Exactly the burst passes at one moment, and afterwards exactly one an interval, however large the clock is."""
    count, seconds = parse_rate(rate)
    room = scene(rate, algorithm="gcra")
    base = start - START
    assert int(count) == over(room, *[base] * (int(count) + 5)).count(False)
    for index in range(1, 50):
        at = base + index * seconds / count
        assert [False, True] == over(room, at, at)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 5.0]), min_size=1, max_size=60),
    count=st.sampled_from([1, 2, 5]),
    burst=st.sampled_from([0, 1, 4]),
)  # fmt: skip
def test_gcra_equals_a_bucket(gaps: list[float], count: int, burst: int) -> None:
    """Gcra is a bucket of `burst` events that drains at the rate, without a timer."""
    room = scene(f"{count}/4s", algorithm="gcra", burst=burst)
    size, level, at = float(burst or count), 0.0, 0.0
    for gap in gaps:
        at += gap
        level = max(0.0, level - gap * count / 4)
        expected = level + 1 > size
        level += 0 if expected else 1
        assert [expected] == over(room, at)


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 3.0, 10.0]),
            st.sampled_from(["chat", "like", "gift", "join"]),
            st.sampled_from(["ann", "ben"]),
            st.integers(1, 3),
        ),
        max_size=40,
    ),
    key=st.sampled_from(["user", "room", "device"]),
)  # fmt: skip
def test_weights(events: list[tuple[float, str, str, int]], key: Any) -> None:
    """Each event costs its kind's weight, a like its count times it, a kind of weight 0 nothing."""
    weights = {"like": 0.25, "gift": 2.0, "join": 0.0}
    room = scene("4/10s", events=KINDS, weights=weights, key=key)
    past: list[tuple[float, str, float]] = []
    at = 0.0
    for number, (gap, kind, user, count) in enumerate(events):
        at += gap
        more: dict[str, Any] = {"id": f"e{number}", "who": {"device": "d"} if key == "device" else None}
        match kind:
            case "chat":
                event: Any = chat(user, "hi", at, **more)
            case "like":
                event = like(user, count, at, **more)
            case "gift":
                event = gift(user, count, at, **more)
            case _:
                continue
        past.append((at, user, 1.0 if kind == "chat" else weights[kind] * (count if kind == "like" else 1)))
        total = sum(cost for time, who, cost in past if time > at - 10 and (key != "user" or who == user))
        assert (total > 4) == bool(room.take(event).actions)


@pytest.mark.parametrize("algorithm", ["window", "gcra"])
def test_a_free_kind_is_never_over(algorithm: Any) -> None:
    """A kind of weight 0 fills nothing; whether it is over depends on what the others filled."""
    room = scene("1/10s", events=("chat", "join"), weights={"join": 0.0}, algorithm=algorithm)
    for second in range(5):
        assert not room.join("ann", second).actions
    assert [False, True] == over(room, 5, 6)


@pytest.mark.parametrize("algorithm", ["window", "gcra"])
def test_a_streak_costs_one(algorithm: Any) -> None:
    """A gift streak costs one event however often it re-sends itself, and a lone gift one."""
    room = scene("2/60s", events=("gift",), algorithm=algorithm)
    for total in range(1, 101):
        event = gift("ann", total, total / 10, streak="s", streak_end=total == 100, id=f"e{total}")
        assert not room.take(event).actions
    assert not room.gift("ann", 5, 11).actions
    assert room.gift("ann", 5, 12).actions


@pytest.mark.parametrize("key", ["device", "net"])
def test_many_accounts_behind_one_device(key: Any) -> None:
    """A limit by device or network counts its accounts together, and says nothing of an event that names none."""
    room = scene("3/60s", key=key)
    results = [bool(room.chat(f"u{i}", at=i, who={key: "same"}).actions) for i in range(5)]
    assert [False, False, False, True, True] == results
    assert not room.chat("u9", at=6, who={key: "other"}).actions
    assert not room.chat("u9", at=6).actions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8/10s", (8, 10)), ("300/5m", (300, 300)), ("1/h", (1, 3600)), ("20/75", (20, 75)), ("2.5/0.5s", (2.5, 0.5)),
        ("3 / 2 s", (3, 2)),
    ],
)  # fmt: skip
def test_rates(text: str, expected: tuple[float, float]) -> None:
    """A rate is COUNT/WINDOW in seconds, minutes or hours."""
    assert expected == parse_rate(text)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/5s", "0/5s", "-1/5s", "5/0s", "5/-1s", "nan/5s", "5/nans", "inf/1s", "5/5d", "a/b"]
)
def test_no_rates(text: str) -> None:
    """What is no rate is refused with an example."""
    with pytest.raises(RuleError, match=r'is no rate; write COUNT/WINDOW such as "8/10s"'):
        parse_rate(text)


@pytest.mark.parametrize(
    ("rate", "more", "message"),
    [
        ("5/2h", {}, "the window is longer than engine.caps.window_s (3600 s)"),
        ("5/0.0001s", {}, "the window is shorter than 0.001 s"),
        ("5/10s", {"events": ("chat", "viewers")}, "'viewers' is no event kind a limit can count"),
        ("5/10s", {"events": ()}, "events must name at least one kind"),
        ("5/10s", {"weights": {"gift": 2.0}}, "weights: 'gift' is not among the events of this limit"),
        ("5/10s", {"weights": {"chat": -1.0}}, "a weight must be at least 0"),
        ("5/10s", {"weights": {"chat": float("nan")}}, "a weight must be at least 0"),
        ("5/10s", {"key": "device", "events": ("report",)}, "a report says nothing of its target's device"),
        ("5/10s", {"key": "device", "algorithm": "gcra"}, 'algorithm = "gcra" goes with key = "user" or "room"'),
        (f"{MOST_USER_ENTRIES}/1h", {}, 'use algorithm = "gcra"'),
        ("50/1h", {"events": ("like",), "weights": {"like": 0.01}}, 'use algorithm = "gcra"'),
        ("5000/1h", {"key": "room"}, 'use algorithm = "gcra"'),
    ],
)  # fmt: skip
def test_what_cannot_be_a_limit(rate: str, more: dict[str, Any], message: str) -> None:
    """A limit that could not be kept exactly is refused when it is read, with what to do."""
    with pytest.raises(RuleErrors) as caught:
        program(limits={"l": limit(rate, **more)})
    assert "limits.l" == caught.value.problems[0].table
    assert message in caught.value.problems[0].message


@pytest.mark.parametrize(("rate", "key"), [(f"{MOST_USER_ENTRIES - 2}/1h", "user"), ("4094/1h", "room")])
def test_the_largest_limits_are_exact(rate: str, key: Any) -> None:
    """The largest limit that is accepted still lets its N-th pass and stops the next."""
    count = int(parse_rate(rate)[0])
    room = scene(rate, key=key)
    assert not any(over(room, *[0.0] * count))
    assert [True] == over(room, 0.0)
