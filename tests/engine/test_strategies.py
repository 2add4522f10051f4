"""Which strategy a room is judged by: what it is, its size, the hour, and what an operator sets for a while."""

from __future__ import annotations

from typing import Any

import pytest

from roomguard.engine.overrides import MAX_OVERRIDE_S, MAX_OVERRIDES, Wish, problems_of
from roomguard.engine.program import HEADROOM, RuleErrors
from roomguard.engine.room import RoomGuard
from roomguard.engine.rules.language import RuleError
from roomguard.engine.schedule import DAY_S, Hours, parse_hours
from roomguard.engine.settings import StrategySettings
from roomguard.engine.variants import MAX_VARIANTS
from roomguard.model.events import RoomOpen, Viewers
from roomguard.testing import START, Scene, control, feature, program, rule

MIDNIGHT = START // DAY_S * DAY_S - START
"""`at` of the midnight (UTC) before START."""
STRATEGIES = {
    "kids": StrategySettings(tags=("kids",)),
    "night": StrategySettings(hours="22:00-06:00+09:00", viewers_min=10),
    "tiny": StrategySettings(viewers_max=9),
    "brazil": StrategySettings(langs=("pt",), regions=("BR",), viewers_min=1_000),
    "unnamed": StrategySettings(thresholds={"most": 2}),
}
PROGRAM = program(
    rule("flood", "chats > most", "warn"), rule("long", "length > most_chars", "delete"),
    rule("idle", "length > 500", "delete", mode="off"),
    features={"chats": feature("count"), "longs": feature("count", where="length > counted")},
    thresholds={"most": 5, "most_chars": 50, "counted": 10},
    strategies=STRATEGIES,
)  # fmt: skip


def opened(at: float, viewers: int | None = None, **about: Any) -> Scene:
    """A room that opened at `at` as `about` says."""
    scene = Scene(PROGRAM)
    scene.take(RoomOpen(id="open", ts=START + at, room="r1", **about))
    if viewers is not None:
        scene.take(Viewers(id="viewers", ts=START + at, room="r1", count=viewers))
    return scene


@pytest.mark.parametrize(
    ("about", "viewers", "hour", "expected"),
    [
        ({}, None, 2, "default"),
        ({"tags": ["fun", "kids"]}, None, 2, "kids"),
        ({"tags": ["kids"]}, 5, 14, "kids"),
        ({}, 9, 2, "tiny"),
        ({}, 10, 2, "default"),
        ({}, 10, 13, "night"),
        ({}, 10, 20, "night"),
        ({}, 10, 21, "default"),
        ({}, 5, 14, "tiny"),
        ({"lang": "pt-BR"}, 999, 2, "default"),
        ({"lang": "pt-BR"}, 1_000, 2, "brazil"),
        ({"region": "BR"}, 1_000, 2, "brazil"),
        ({"region": "BR"}, None, 2, "default"),
        ({"region": "BR"}, 1_000, 14, "night"),
    ],
)
def test_the_first_that_fits(about: dict[str, Any], viewers: int | None, hour: float, expected: str) -> None:
    """The first strategy whose tags, language or region, size and hour fit is the room's; unknown size fits no size."""
    scene = opened(MIDNIGHT + hour * 3_600, viewers, **about)

    assert expected == scene.guard.strategy.name


def test_a_forced_strategy_stands_before_all() -> None:
    """What is forced holds for every room, whatever it is, whatever an override names."""
    forced = program(rule("flood", "length > 5"), strategies=STRATEGIES, thresholds={"most": 5}, force_strategy="tiny")
    scene = Scene(forced)
    scene.take(RoomOpen(id="open", ts=START, room="r1", tags=["kids"]))
    scene.control("override", 1, settings={"strategy": "kids"}, ttl_s=60.0)

    assert "tiny" == scene.guard.strategy.name


def test_the_hour_changes_at_its_moment() -> None:
    """A room goes over with the first input at or after the hour, and no timer is wanted for it."""
    scene = opened(MIDNIGHT + 12 * 3_600, 50)
    seen = []
    for at in (13 * 3_600 - 0.001, 13 * 3_600, 21 * 3_600 - 0.001, 21 * 3_600, 10 * DAY_S + 14 * 3_600):
        scene.chat("ann", at=MIDNIGHT + at)
        seen.append(scene.guard.strategy.name)

    assert ["default", "night", "night", "default", "night"] == seen
    assert scene.guard.next_deadline() is None


def test_size_changes_with_the_viewers() -> None:
    """The latest count of viewers decides."""
    scene = opened(MIDNIGHT, 5)
    names = [scene.guard.strategy.name]
    for count in (10, 9, 2_000):
        scene.take(Viewers(id=f"v{count}", ts=START, room="r1", count=count))
        names.append(scene.guard.strategy.name)

    assert ["tiny", "default", "tiny", "default"] == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00-06:00", Hours(79_200, 21_600, 0)),
        ("22:00 - 06:00 UTC+05:30", Hours(79_200, 21_600, 19_800)),
        ("0:00-24:00-03:00", None),
        ("0:00-12:30Z", Hours(0, 45_000, 0)),
        ("20:00-24:00-8", Hours(72_000, 0, -28_800)),
        ("8-9", None), ("25:00-26:00", None), ("08:61-09:00", None), ("08:00-08:00", None), ("", None),
        ("08:00-09:00+15:00", None),
    ],
)  # fmt: skip
def test_hours(text: str, expected: Hours | None) -> None:
    """Hours say from, to and their offset; what is no time of day, always or never is refused."""
    if expected is None:
        with pytest.raises(RuleError):
            parse_hours(text)
    else:
        assert expected == parse_hours(text)


def test_edges_of_hours() -> None:
    """The next edge is the next moment at which an answer changes, at any offset, before and after midnight."""
    for text in ("22:00-06:00+09:00", "00:00-12:00-05:00", "13:00-14:00"):
        hours = parse_hours(text)
        now = START
        for _ in range(6):
            edge = hours.next_edge(now)
            assert now < edge <= now + DAY_S
            assert hours.hold(edge - 0.5) != hours.hold(edge)
            now = edge


def test_wrong_names_are_refused_where_they_stand() -> None:
    """Hours, tiers, modes and hype are checked with the rules, each problem at its place."""
    with pytest.raises(RuleErrors) as caught:
        program(rule("a", "length > 5"), strategies={"late": StrategySettings(hours="late")})
    assert [("strategies.late", "hours")] == [(one.table, one.key) for one in caught.value.problems]


# Overrides


def flood(scene: Scene, user: str, at: float) -> int:
    """How many messages in a row a user may send from `at` on before something happens; 20 at most."""
    for number in range(20):
        if scene.chat(user, at=at + number * 0.01).actions:
            return number
    return 20


def test_an_override_ends_by_itself() -> None:
    """An override holds from its record until `ttl_s` later, to the moment, and a timer is wanted for its end."""
    scene = Scene(PROGRAM)
    scene.chat("ann", at=0)
    scene.control("override", 10, settings={"most": 8}, ttl_s=100.0)

    assert START + 110 == scene.guard.next_deadline()
    assert (8, "default+override") == (flood(scene, "ben", 10), scene.guard.strategy.name)
    assert 8 == flood(scene, "cat", 109)
    scene.expire(110)
    assert ("default", None) == (scene.guard.strategy.name, scene.guard.next_deadline())
    assert 5 == flood(scene, "dan", 110)
    assert {"taken": 1, "expired": 1, "ignored": 0, "forgotten": 0} == scene.guard.tally.overrides


def test_what_an_override_cannot_set_is_counted() -> None:
    """Unknown names, a rule that is off, numbers out of reach and values of another kind change nothing."""
    for settings, ignored in (
        ({"nonsense": 5.0}, 1),
        ({"most": True, "flood": "loud", "most_chars": "20"}, 3),
        ({"idle": "enforce"}, 1),
        ({"counted": 3.0}, 1),
        ({"most": HEADROOM * 5.0 + 2}, 1),
        ({"most": float(2**60)}, 1),
        ({"strategy": "none", "room_mode": "panic"}, 2),
        ({"most": 6.0, "nonsense": "off"}, 1),
    ):
        scene = Scene(PROGRAM)
        scene.control("override", 0, settings=settings, ttl_s=60.0)
        assert ignored == scene.guard.tally.overrides["ignored"], settings
        assert (6 if ignored < len(settings) else 5) == flood(scene, "ann", 1)


def test_modes_of_rules_and_strategies() -> None:
    """An override may put a rule in shadow, switch it off, or name another strategy."""
    scene = Scene(PROGRAM)
    scene.control("override", 0, settings={"long": "off", "flood": "shadow"}, ttl_s=60.0)
    assert (20, "allow") == (flood(scene, "ann", 1), scene.chat("ben", "x" * 60, at=2).verdict)
    assert {"shadow": 15} == scene.hits("flood")
    assert {} == scene.hits("long")
    scene.control("override", 3, settings={"strategy": "unnamed"}, ttl_s=60.0)
    assert "unnamed+override" == scene.guard.strategy.name
    scene.control("override", 4, settings={})
    assert ("default", None) == (scene.guard.strategy.name, scene.guard.next_deadline())


def test_later_ones_stand_before_earlier_ones() -> None:
    """Each name has the value of the latest override that sets it and has not ended."""
    scene = Scene(PROGRAM)
    scene.control("override", 0, settings={"most": 10.0, "most_chars": 5.0}, ttl_s=100.0)
    scene.control("override", 0, settings={"most": 7.0}, ttl_s=50.0)

    assert 0 == flood(scene, "ann", 1)  # "hello there" is longer than 5
    scene.control("override", 2, settings={"long": "off"}, ttl_s=1_000.0)
    assert [7, 10, 5] == [flood(scene, f"u{at}", at) for at in (3, 60, 120)]


def test_overrides_are_bounded() -> None:
    """A room has at most so many overrides, each at most so long, and their variants are shared and bounded."""
    scene = Scene(PROGRAM)
    for number in range(MAX_VARIANTS + 50):
        scene.control("override", number, settings={"most_chars": 100.0 + number}, ttl_s=1e9)

    assert MAX_OVERRIDES == len(scene.guard.stance.overrides)
    assert START + MAX_VARIANTS + 50 - MAX_OVERRIDES + MAX_OVERRIDE_S == scene.guard.next_deadline()
    assert MAX_VARIANTS == len(PROGRAM.variants)
    again = Scene(PROGRAM)
    again.control("override", 0, settings={"most_chars": 100.0 + MAX_VARIANTS + 49}, ttl_s=60.0)
    assert again.guard.strategy.rules[0].settings is scene.guard.strategy.rules[0].settings


def test_an_override_outlives_what_a_room_outlives() -> None:
    """Snapshots, survivors of a crash and reloads keep an override to its end."""
    scene = Scene(PROGRAM)
    scene.chat("ann", at=0)
    scene.control("override", 1, settings={"most": 8}, ttl_s=100.0)
    restored = RoomGuard.restore("r1", PROGRAM, scene.guard.snapshot())
    assert (scene.guard.next_deadline(), scene.guard.strategy) == (restored.next_deadline(), restored.strategy)
    assert scene.guard.snapshot() == restored.snapshot()
    fallen = Scene(PROGRAM)
    fallen.guard.control(control("reset", 2, state=scene.guard.survivors()), START + 2)
    assert (8, START + 101) == (flood(fallen, "ben", 3), fallen.guard.next_deadline())
    scene.guard.configure(program(rule("other", "length > 5"), thresholds={"most": 1}))
    assert START + 101 == scene.guard.next_deadline()
    scene.expire(101)
    assert "default" == scene.guard.strategy.name


WRONG = [
    ({}, "nothing is set"),
    ({"thresholds": {"mots": 8}}, "thresholds.mots: no threshold is named 'mots' (did you mean 'most'?)"),
    ({"thresholds": {"counted": 3}}, "thresholds.counted: a feature counts by it"),
    (
        {"thresholds": {"most": HEADROOM * 5.0 + 2}},
        "thresholds.most: rule 'flood' asks chats for it, which is kept up to",
    ),
    ({"thresholds": {"most": float("nan")}}, "thresholds.most: must be a number"),
    ({"thresholds": {"most": 2.0**60}}, "thresholds.most: must be a number"),
    ({"rules": {"floood": "off"}}, "rules.floood: no rule is named 'floood' (did you mean 'flood'?)"),
    (
        {"rules": {"flood": "enfroce"}},
        "rules.flood: 'enfroce' is none of off, shadow, enforce (did you mean 'enforce'?)",
    ),
    ({"rules": {"idle": "enforce"}}, "rules.idle: it is off in the configuration"),
    ({"strategy": "kid"}, "strategy: no strategy is named 'kid' (did you mean 'kids'?)"),
    ({"mode": "riad"}, "mode: 'riad' is none of calm, elevated, raid (did you mean 'raid'?)"),
    ({"mode": "raid", "ttl_s": 0.0}, "ttl_s: must be more than 0"),
    ({"mode": "raid", "ttl_s": float("nan")}, "ttl_s: must be more than 0"),
    ({"mode": "raid", "ttl_s": MAX_OVERRIDE_S + 1}, "ttl_s: must be more than 0 and at most 86400 seconds"),
]


@pytest.mark.parametrize(("wish", "problem"), WRONG)
def test_what_is_wrong_with_a_wish_is_said(wish: dict[str, Any], problem: str) -> None:
    """Each problem names its field and the nearest right name."""
    (found,) = problems_of(Wish(**wish), PROGRAM)

    assert found.startswith(problem)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nothing is tried one by one."""
    wish = Wish(thresholds={"mots": 1, "most": 6}, rules={"a": "b"}, strategy="c", mode="d", ttl_s=-1)

    assert ["ttl_s", "mode", "strategy", "thresholds.mots", "rules.a", "rules.a"] == [
        problem.partition(":")[0] for problem in problems_of(wish, PROGRAM)
    ]


@pytest.mark.parametrize(
    "wish",
    [
        {"thresholds": {"most": 8.0, "most_chars": 0.0}},
        {"rules": {"flood": "off", "long": "shadow"}},
        {"strategy": "unnamed", "mode": "elevated", "ttl_s": MAX_OVERRIDE_S},
        {"mode": "calm", "ttl_s": 0.5},
    ],
)
def test_a_wish_without_problems_is_applied_whole(wish: dict[str, Any]) -> None:
    """What is let through is never passed over by the room."""
    asked = Wish(**wish)
    assert [] == problems_of(asked, PROGRAM)
    scene = Scene(PROGRAM)
    scene.control("override", 0, settings=asked.settings(), ttl_s=asked.ttl_s)

    assert (1, 0) == (scene.guard.tally.overrides["taken"], scene.guard.tally.overrides["ignored"])


def test_what_was_switched_off_can_be_switched_on() -> None:
    """Whether a rule can be enforced depends on the configuration, not on overrides that stand already."""
    scene = Scene(PROGRAM)
    scene.control("override", 0, settings={"flood": "off"}, ttl_s=60.0)
    wish = Wish(rules={"flood": "enforce"})
    assert [] == problems_of(wish, PROGRAM, scene.guard.stance.usual(scene.guard))
    scene.control("override", 1, settings=wish.settings(), ttl_s=60.0)

    assert (5, 0) == (flood(scene, "ann", 2), scene.guard.tally.overrides["ignored"])


def test_a_rule_that_is_off_in_one_strategy() -> None:
    """It can be switched on where it is on somewhere and the room's strategy is not known, not where it is."""
    off = {"calmer": StrategySettings(modes={"long": "off"})}
    judging = program(rule("long", "length > 5", "delete"), strategies=off)
    wish = Wish(rules={"long": "enforce"})

    assert [] == problems_of(wish, judging)
    assert [] == problems_of(wish, judging, judging.strategies["default"])
    assert len(problems_of(wish, judging, judging.strategies["calmer"])) == 1
    assert len(problems_of(Wish(rules={"long": "enforce"}, strategy="calmer"), judging)) == 1


def test_a_forced_strategy_cannot_be_left() -> None:
    """Where one strategy is forced on all rooms a wish for another is refused, not forgotten."""
    forced = program(rule("long", "length > 5"), strategies=STRATEGIES, thresholds={"most": 1}, force_strategy="kids")

    assert ["strategy: 'kids' is forced on all rooms (engine.force_strategy)"] == problems_of(
        Wish(strategy="tiny"), forced
    )
