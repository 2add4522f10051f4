"""More situations in virtual time: whole rooms and raids, actions and their brakes, changes of the configuration.

As in `test_scenarios`, with other numbers, texts and orders.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from roomguard.configure import configure
from roomguard.engine.program import Program, RuleErrors, compile_program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings, LadderSettings, StrategySettings
from roomguard.errors import ConfigError
from roomguard.model.actions import INVERSES, Action
from roomguard.model.events import Chat, Who
from roomguard.testing import START, Scene, chat, control, feature, limit, program, rule
from roomguard.wire.recording import decode_line

HOUR = 3_600.0
PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)


# Whole rooms and raids


@pytest.mark.parametrize(("most", "window", "settle"), [(20, 60.0, 600.0), (5, 10.0, 60.0), (60, 15.0, 900.0)])
def test_new_users_are_limited_and_known_ones_never(most: int, window: float, settle: float) -> None:
    """In a room that knows its people one stranger too many is turned away, known ones never; a new one lets all in."""
    strangers = feature("count", window, key="room", events=("join",), where="user_age_s == 0")
    limited = rule("wave", f"room_age_s > {settle} and n > {most} and user_age_s == 0", "kick", on=("join",))
    scene = Scene(program(limited, features={"n": strangers}, budget=PLENTY))
    for number in range(3 * most):
        scene.join(f"old{number}", at=number / 100)
    for number in range(3 * most):
        scene.join(f"old{number}", at=settle + 100 + number / 100)
    assert [] == scene.actions
    for number in range(most + 2):
        scene.join(f"new{number}", at=settle + 105 + number / 100)
        scene.join(f"old{number}", at=settle + 105 + number / 100)

    assert [f"new{most}", f"new{most + 1}"] == [action.user for action in scene.actions]


@pytest.mark.parametrize("most", [1, 3, 12, 50])
@pytest.mark.parametrize("named", ["text", "list"])
def test_as_many_mentions_as_are_set(most: int, named: str) -> None:
    """Any limit on mentions from 1 to 50 lets that many pass and not one more, written out or told by the edge."""
    asks = f"mentions > {most}" if named == "text" else f"tagged > {most}"
    ladders = {"default": LadderSettings(steps=("warn", "mute 300"), decay_s=1_800.0)}
    scene = Scene(program(rule("names", asks, "delete", "ladder"), ladders=ladders))

    def call(count: int, at: float) -> None:
        names = [f"u{number}" for number in range(count)]
        if named == "text":
            scene.chat("ann", " ".join(f"@{name}" for name in names), at=at)
        else:
            scene.chat("ann", "look", at=at, mentions=names)

    for at in (0, 600, 600 + 300 + 1_801):
        call(most, at)
        call(most + 1, at + 1)

    assert ["delete", "warn", "mute", "delete", "delete", "warn"] == scene.kinds()


@pytest.mark.parametrize(
    ("when", "thresholds", "strategies"),
    [
        ("mentions > 51", {}, {}),
        ("mentions >= 100", {}, {}),
        ("tagged > 51", {}, {}),
        ("mentions > most", {"most": 51.0}, {}),
        ("mentions > most", {"most": 5.0}, {"wild": StrategySettings(tags=("wild",), thresholds={"most": 60.0})}),
    ],
)
def test_no_more_than_fifty_mentions(when: str, thresholds: Any, strategies: Any) -> None:
    """A limit of more than fifty mentions is a slip, wherever it is set; fifty can be asked for."""
    with pytest.raises(RuleErrors, match="can be compared with 50 at most"):
        program(rule("names", when), thresholds=thresholds, strategies=strategies)
    program(rule("names", "mentions > 50 and tagged > 50"))


def test_no_override_lifts_the_limit_on_mentions() -> None:
    """A running room cannot be told to let more pass either."""
    scene = Scene(program(rule("names", "mentions > most", "delete"), thresholds={"most": 3.0}))
    for value in (50.0, 51.0):
        scene.control("override", 0, ttl_s=60.0, settings={"most": value})

    assert 50.0 == scene.guard.strategy.thresholds["most"]
    assert scene.guard.tally.overrides["ignored"] == 1


@pytest.mark.parametrize(("asked", "expected"), [(0.0, 600.0), (30.0, 30.0), (3_600.0, 3_600.0), (86_400.0, 3_600.0)])
def test_a_room_is_itself_again(asked: float, expected: float) -> None:
    """A restriction ends by itself, an hour later at most; a second wave restricts anew, as another action."""
    full = rule("full", "n > 40", "restrict", duration_s=asked)
    scene = Scene(program(full, features={"n": feature("count", 15.0, key="room")}))
    for wave in range(2):
        for number in range(60):
            scene.chat(f"u{number}", at=wave * 8_000 + number / 10)
    first, second = scene.actions

    assert (expected, expected) == (first.duration_s, second.duration_s)
    assert (first.at + expected, True) == (first.until, first.id != second.id)


# Actions and their brakes


def test_one_who_is_kicked_already_stops_nobody() -> None:
    """In a wave that is thrown out, those who are gone, exempt or muted keep nobody else from being met."""
    wave = rule("wave", "users >= 20", "kick", cluster="users", duration_s=60.0)
    scene = Scene(program(wave, features={"users": feature("distinct", 60.0, key="text")}, budget=PLENTY))
    scene.chat("u7", "hi", at=-1, who=Who(role="moderator"))
    for number in range(20):
        scene.chat(f"u{number}", "all together now", at=number / 10)
        if number == 3:
            scene.moderation("mod", "kick", "u3", at=0.35, duration_s=600.0)
        if number == 5:
            scene.moderation("mod", "mute", "u5", at=0.55, duration_s=600.0)

    assert {f"u{number}" for number in range(20)} - {"u3", "u7"} == {action.user for action in scene.actions}
    assert len(scene.actions) == len({action.id for action in scene.actions})


def test_taking_one_back_leaves_the_rest() -> None:
    """Each user of a batch has an action of their own, which can fail, be sent again and be taken back alone."""
    wave = rule("wave", "users >= 5", "kick", cluster="users", duration_s=60.0)
    scene = Scene(program(wave, features={"users": feature("distinct", 60.0, key="text")}, budget=PLENTY))
    for number in range(5):
        scene.chat(f"u{number}", "all together now", at=number)
    third = next(action for action in scene.actions if action.user == "u2")
    scene.undo(third, at=10)

    assert ["allow" if n == 2 else "drop" for n in range(5)] == [
        scene.chat(f"u{n}", f"hello from {n}", at=11).verdict for n in range(5)
    ]


@pytest.mark.parametrize(("first", "second"), [(5.0, 600.0), (30.0, 90.0)])
@pytest.mark.parametrize("decay_s", [600.0, HOUR, 86_400.0])
def test_quiet_is_counted_from_the_last_offence(first: float, second: float, decay_s: float) -> None:
    """Who offends again just before the quiet time is over climbs on; a moment after it they begin anew."""
    ladders = {"default": LadderSettings(steps=(f"mute {first}", f"mute {second}"), decay_s=decay_s)}
    scene = Scene(program(rule("wall", "length > 20", "ladder"), ladders=ladders))
    at, lasted = 0.0, []
    for pause in (0.0, decay_s - 1, decay_s - 1, decay_s + 1):
        at += max(pause, second + 1) if pause else 0.0
        lasted.append(scene.chat("ann", "x" * 30, at=at).actions[0].duration_s)

    assert [first, second if decay_s > second + 1 else first] == lasted[:2]
    assert first == lasted[3]


@pytest.mark.parametrize("quota", [1, 5, 20])
def test_a_quota_is_for_a_rule_and_a_minute(quota: int) -> None:
    """Each minute gives a rule its quota again, each room its own; another rule is not cut off with it."""
    compiled = program(
        rule("all", "length > 0", "warn"), rule("links", "links > 0", "delete"),
        budget=BudgetSettings(actions_per_rule_minute=quota, actions_per_room_minute=1_000),
    )  # fmt: skip
    scenes = [Scene(compiled, room) for room in ("r1", "r2")]
    for scene in scenes:
        for minute in range(3):
            for number in range(2 * quota):
                scene.chat(f"u{minute}-{number}", at=minute * 60 + 20 + number / 10)
            scene.chat(f"v{minute}", "see example.com", at=minute * 60 + 30)

    for scene in scenes:
        by_rule = [action.rule for action in scene.actions]
        assert (3 * quota, 3) == (by_rule.count("all"), by_rule.count("links"))
        assert 3 == len([alert for alert in scene.alerts if alert.rule == "all"])


@pytest.mark.parametrize("notice_s", [10.0, 45.0, 600.0])
def test_a_notice_to_all_is_rare(notice_s: float) -> None:
    """Of many mutes at most one in `notice_s` is fit to be told to all; each user reads their own reason anyway."""
    scene = Scene(program(rule("wall", "length > 20", "mute"), notice_s=notice_s, budget=PLENTY))
    for number in range(200):
        scene.chat(f"u{number}", "x" * 30, at=number * notice_s / 20)
    public = [action.at for action in scene.actions if action.public]

    assert 200 == len([action for action in scene.actions if "Reason: " in action.message])
    assert len(public) == 10
    assert all(later - earlier >= notice_s - 1e-6 for earlier, later in pairwise(public))


@pytest.mark.parametrize("silence", [0.5, 3.0, 29.0])
def test_an_edge_that_does_not_answer(silence: float) -> None:
    """However long nobody says that a mute is in force, what still comes is dropped and there is one mute."""
    scene = Scene(program(rule("flood", 'over("chat")', duration_s=30.0), limits={"chat": limit("3/10s")}))
    for number in range(4):
        scene.chat("ann", f"m{number}", at=number / 10)
    late = [scene.chat("ann", f"late {number}", at=0.3 + silence * number / 20).verdict for number in range(1, 21)]
    scene.control("enforced", 0.3 + silence, actions=[scene.actions[0].id])

    assert (["drop"] * 20, ["mute"]) == (late, scene.kinds())
    assert [scene.actions[0]] == scene.guard.in_force()


@pytest.mark.parametrize("kind", sorted(INVERSES))
def test_taken_back_twice_and_after_a_crash(kind: Any) -> None:
    """Every kind of action has an inverse that comes once, before and after the room lost its memory."""
    compiled = program(rule("r", "length > 20", kind, duration_s=0.0 if kind == "delete" else 600.0))
    for crash in (False, True):
        scene = Scene(compiled)
        scene.chat("ann", "x" * 30)
        (action,) = scene.actions
        if crash:
            state = scene.guard.survivors()
            scene.guard = RoomGuard("r1", compiled)
            scene.guard.control(control("reset", 5, state=state), START + 5)
        inverses = [found for at in (7, 8, 9) for found in scene.undo(action, at=at).actions]

        assert [(INVERSES[kind], action.id)] == [(inverse.kind, inverse.undoes) for inverse in inverses]
        assert [] == scene.guard.in_force()
        assert "allow" == scene.chat("ann", "hello again", at=10).verdict


# Changes of the configuration


def stricter(compiled: Program, **changes: Any) -> Program:
    rules = tuple(attrs.evolve(one, **changes) for one in compiled.settings.rules)
    return compile_program(attrs.evolve(compiled.settings, rules=rules))


@pytest.mark.parametrize("at", range(1, 9))
def test_promotion_is_between_two_events(at: int) -> None:
    """A rule counts in shadow up to one event and acts from the next on, with all that its windows have seen."""
    shadow = program(rule("many", "chats > 5", "warn", mode="shadow"), features={"chats": feature("count")})
    enforced = stricter(shadow, mode="enforce")
    scene = Scene(shadow)
    for number in range(10):
        if number == at:
            scene.guard.configure(enforced)
        scene.chat("ann", f"m{number}", at=number)

    assert [f"e{number + 1}" for number in range(max(at, 5), 10)] == [action.causes[0] for action in scene.actions]
    assert max(at - 5, 0) == scene.hits("many").get("shadow", 0)
    assert {enforced.version} >= {action.config for action in scene.actions}


def test_shadow_tells_what_enforcing_would_do() -> None:
    """Shadow and enforced rules see the same windows: what one counts is what the other does."""
    rules = [rule(f"over{most}", f"chats > {most}", "warn", strike=False) for most in (1, 3, 5)]
    features = {"chats": feature("count", 20.0)}
    live = Scene(program(*rules, features=features, budget=PLENTY))
    shadow = Scene(program(*(attrs.evolve(one, mode="shadow") for one in rules), features=features, budget=PLENTY))
    for number in range(300):
        for scene in (live, shadow):
            scene.chat(f"u{number * 7 % 11}", f"m{number}", at=number * 0.3)

    for one in rules:
        assert live.hits(one.name)["enforce"] == shadow.hits(one.name)["shadow"] > 0
    assert [] == shadow.actions


def test_rollouts_of_several_rules() -> None:
    """From 10 to 100 percent rooms only join in; which they are differs from rule to rule, and never by the day."""

    def chosen(name: str, percent: int, at: float = 0.0) -> set[str]:
        compiled = program(rule(name, "length > 0", "warn", rollout=percent))
        return {f"room{n}" for n in range(200) if Scene(compiled, f"room{n}").chat("ann", at=at).actions}

    for name in ("one", "two"):
        steps = [chosen(name, percent) for percent in (0, 10, 20, 50, 100)]
        assert all(few <= more for few, more in pairwise(steps))
        assert (0, 200) == (len(steps[0]), len(steps[-1]))
        assert steps[2] == chosen(name, 20, at=1e6)
    assert chosen("one", 50) != chosen("two", 50)


@pytest.mark.parametrize(
    "wrong", ["when = 'chats > '", "when = 'chts > 1'", "when = 'chats > 1'\nrollout = 300", "wen = 'chats > 1'"]
)
def test_a_candidate_that_is_wrong_changes_nothing(tmp_path: Path, wrong: str) -> None:
    """A configuration with an error is refused with file, line and key, and the room goes on as before."""
    path = tmp_path / "c.toml"
    good = "[features.chats]\nkind = 'count'\n[[rules]]\nname = 'r'\naction = ['warn']\nmode = 'enforce'\n"
    path.write_text(f"{good}when = 'chats > 2'\n")
    scene = Scene(configure(path).program)
    path.write_text(f"{good}{wrong}\n")
    with pytest.raises(ConfigError) as caught:
        configure(path)
    for number in range(4):
        scene.chat("ann", f"m{number}", at=number)

    assert {str(path)} == {problem.file for problem in caught.value.problems}
    assert all(problem.line and problem.key for problem in caught.value.problems)
    assert ["e3", "e4"] == [action.causes[0] for action in scene.actions]
    path.write_text(f"{good}when = 'chats > 2'\n")
    assert configure(path).program.version == scene.guard.program.version


NUMBERS = (
    "level",
    "account_age_s",
    "user_chats",
    "user_age_s",
    "length",
    "caps_ratio",
    "repeat_share",
    "tagged",
    "n",
    "z",
)


@st.composite
def candidates(draw: st.DrawFn, depth: int = 3) -> str:
    """A number out of features and signs, some of it nonsense that divides by what may be nothing."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([*NUMBERS, "0", "1", "9007199254740991", "0.1"]))
    left, right = draw(candidates(depth=depth - 1)), draw(candidates(depth=depth - 1))
    sign = draw(st.sampled_from(["+", "-", "*", "/", "min", "max"]))
    return f"{sign}({left}, {right})" if sign in ("min", "max") else f"({left} {sign} {right})"


EVENTS = st.lists(
    st.fixed_dictionaries(
        {"text": st.text(max_size=40)},
        optional={
            "who": st.fixed_dictionaries(
                {},
                optional={
                    "level": st.sampled_from([0, 1, 2**53 - 1]),
                    "account_age_s": st.sampled_from([0.0, 1e-300, 1e300]),
                    "follower": st.booleans(),
                },
            ),
            "mentions": st.lists(st.just("u"), max_size=3),
        },
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(number=candidates(), sign=st.sampled_from(["<", ">", "==", "!="]), events=EVENTS)
def test_a_candidate_cannot_fail(number: str, sign: str, events: list[dict[str, Any]]) -> None:
    """No rule that is accepted raises on an event: on trial beside others it hits or does not, and they do as ever."""
    features = {"n": feature("count"), "z": feature("zscore", 1.0, key="room")}
    control_rule = rule("control", "n > 2 or length > 30", "warn")
    try:
        both = program(
            control_rule, rule("candidate", f"{number} {sign} 1", "mute", mode="shadow"), features=features
        )  # fmt: skip
    except RuleErrors:
        return  # refused when it is read, which is where mistakes belong
    alone, beside = Scene(program(control_rule, features=features)), Scene(both)
    for place, event in enumerate(events):
        fields = {"id": f"e{place}", "kind": "chat", "room": "r1", "user": "u", "ts": START + place, **event}
        for scene in (alone, beside):
            taken = decode_line(msgspec.json.encode(fields))
            assert isinstance(taken, Chat)
            scene.take(taken)

    def done(scene: Scene) -> list[Action]:
        # A count is kept up to what rules ask of it, so its evidence may go further beside another rule.
        return [attrs.evolve(action, config="", evidence={}) for action in scene.actions]

    assert done(alone) == done(beside)
    assert alone.hits("control") == beside.hits("control")


def test_what_could_fail_is_guarded() -> None:
    """Division by nothing is unknown, not an error, and the largest numbers are compared, not overflowed."""
    scene = Scene(
        program(
            rule("r", "1 / (user_chats - 1) > 0", "warn"), rule("s", "level * level * level > 9007199254740991", "warn")
        )
    )
    scene.chat("ann", at=0, who=Who(level=2**53 - 1))
    scene.chat("ann", at=1)

    assert ["s", "r"] == [action.rule for action in scene.actions]
    with pytest.raises(RuleErrors, match="division by zero"):
        program(rule("r", "length / 0 > 1"))


def test_what_if() -> None:
    """The same events under another threshold give other actions, and the same ones where nothing changed."""
    features = {"chats": feature("count", 10.0)}
    events = [chat(f"u{number % 3}", f"m{number}", at=number * 0.4, id=f"e{number}") for number in range(80)]

    def actions(most: float) -> list[tuple[str, str | None]]:
        guard = RoomGuard(
            "r1",
            program(
                rule("r", "chats > most", "warn"), features=features, thresholds={"most": most}, budget=PLENTY
            ),
        )  # fmt: skip
        return [(a.causes[0], a.user) for event in events for a in guard.receive(event, event.ts).actions]

    assert actions(5) == actions(5)
    assert set(actions(7)) < set(actions(5))
