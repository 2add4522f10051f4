"""From hits to actions: ladders, exemptions, modes, breakers, and what one event may cause at most."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.decision import MAX_RESTRICT_S, RESTRICT_S, bucket
from roomguard.engine.program import RuleErrors
from roomguard.engine.settings import BudgetSettings, ExemptSettings, LadderSettings, RuleSettings, StrategySettings
from roomguard.model.actions import action_id
from roomguard.model.events import RoomOpen
from roomguard.testing import START, Scene, chat, feature, limit, program, rule

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)
ALWAYS = "length > 0"


def scene(*rules: RuleSettings, room: str = "r1", **more: Any) -> Scene:
    return Scene(program(*rules, **{"budget": PLENTY, **more}), room)


def durations(scene: Scene, user: str = "ann") -> list[float | None]:
    return [action.duration_s for action in scene.actions if action.user == user]


# The action


def test_an_action_says_everything() -> None:
    """An action carries its causes, the values behind it, and an id made of what it is."""
    room = scene(rule("flood", 'over("chat") and chats > 1', "mute", duration_s=90.0, reason="spam"),
                 features={"chats": feature("count")}, limits={"chat": limit("2/10s")})  # fmt: skip
    for at in (1, 2, 3.5):
        room.chat("ann", at=at)
    (action,) = room.actions
    assert action_id("r1", "ann", "mute", "flood", "e3") == action.id
    assert ("mute", "r1", "ann", START + 3.5) == (action.kind, action.room, action.user, action.at)
    assert (90.0, START + 93.5) == (action.duration_s, action.until)
    assert ("spam", "flood", "default", room.guard.program.version) == (
        action.reason, action.rule, action.strategy, action.config,
    )  # fmt: skip
    assert ("e3", "e1", "e2") == action.causes
    assert {"over(chat)": True, "chats": 3} == action.evidence
    assert (None, None, None) == (action.events, action.cluster, action.undoes)
    assert action.message


def test_causes_are_what_the_rule_looked_at() -> None:
    """A rule on one message names that one; a rule over time names the user's latest; of other kinds only the event."""
    room = scene(
        rule("long", "length > 5", "delete"),
        rule("many", "chats > 1", "warn"), rule("joins", "comes > 1", on=("join",)),
        features={"chats": feature("count"), "comes": feature("count", events=("join",))},
    )  # fmt: skip
    room.chat("ann", "hi")
    room.chat("ann", "hello there", at=1)
    room.join("ann", at=2)
    room.join("ann", at=3)
    assert {"long": ("e2",), "many": ("e2", "e1"), "joins": ("e4",)} == {a.rule: a.causes for a in room.actions}
    assert ("e2",) == room.actions[0].events


def test_unknown_is_not_zero() -> None:
    """A rule about what the edge did not tell does not fire; one that can do without it does."""
    room = scene(
        rule("young", "account_age_s < 60", "warn"), rule("either", "account_age_s < 60 or length > 3", "delete")
    )
    assert ["delete"] == [a.kind for a in room.chat("ann").actions]
    assert ["delete", "warn"] == [a.kind for a in room.chat("ann", at=1, who={"account_age_s": 5}).actions]


# Ladders


def test_a_ladder_climbs_and_decays() -> None:
    """First offence 5 s, the second within the hour 600 s, the last step repeats, and an hour of quiet begins anew."""
    room = scene(
        rule("r", ALWAYS, "ladder"), ladders={"default": LadderSettings(steps=("mute 5", "mute 600"), decay_s=3600)}
    )
    for at in (0, 10, 1000, 4599.5, 8200):
        room.chat("ann", at=at)
    assert [5, 600, 600, 600, 5] == durations(room)
    room.chat("ben", at=8201)
    assert [5] == durations(room, "ben")


def test_steps_of_a_ladder() -> None:
    """Each kind of step does what it says: warn, delete, mute for a time, kick for a time, kick until the next join."""
    room = scene(
        rule("r", ALWAYS, "ladder", ladder="l"),
        ladders={"l": LadderSettings(steps=("warn", "delete", "mute 5", "kick 60", "kick"))},
    )
    for at in (0, 1, 2, 8, 100):
        room.chat("ann", at=at)
    assert ["warn", "delete", "mute", "kick", "kick"] == room.kinds()
    assert [None, None, 5, 60, None] == durations(room)
    assert ["allow", "drop", "drop", "drop", "drop"] == room.verdicts


def test_one_step_an_event() -> None:
    """Several rules at once are one strike: a user does not fall down the ladder by one message."""
    room = scene(*(rule(f"r{i}", ALWAYS, "ladder") for i in range(4)))
    room.chat("ann")
    room.chat("ann", at=10)
    assert [5, 600] == durations(room)


def test_no_strike_without_a_deed() -> None:
    """No strike: for a rule that gives none, a hold, a restriction of the room, a hit on what is in force already."""
    for action, more in (("mute", {"strike": False, "duration_s": 1.0}), ("hold", {}), ("restrict", {})):
        room = scene(rule("r", ALWAYS, action, **more))
        room.chat("ann")
        assert room.actions or action == "hold"
        assert 0 == room.guard.statistics().strikes
    room = scene(rule("r", "user_age_s >= 0", on=("chat", "like")))
    room.chat("ann")
    for second in range(10):
        room.like("ann", at=second)
    assert ["mute"] == room.kinds()
    assert room.guard.strikes_of("ann") == 1
    assert {"enforce": 1, "in_force": 10} == room.hits("r")


def test_a_default_ladder_is_always_there() -> None:
    """Rules that only mute work where the configuration names other ladders alone."""
    room = scene(rule("r", f"{ALWAYS} and user_strikes < 5"), ladders={"other": LadderSettings()})
    assert ["mute"] == [action.kind for action in room.chat("ann").actions]


# What stands, of what several rules ask


STANDS: list[tuple[list[tuple[str, float]], list[tuple[str, float | None]]]] = [
    ([("warn", 0), ("mute", 60)], [("mute", 60)]),
    ([("warn", 0), ("mute", 60), ("kick", 0)], [("kick", None)]),
    ([("delete", 0), ("warn", 0)], [("delete", None), ("warn", None)]),
    ([("delete", 0), ("mute", 5), ("kick", 5)], [("kick", 5), ("delete", None)]),
    ([("mute", 5), ("mute", 600), ("mute", 60)], [("mute", 600)]),
    ([("kick", 0), ("kick", 600)], [("kick", 600)]),
    ([("kick", 0), ("kick", 5)], [("kick", None)]),
    ([("hold", 0), ("delete", 0)], [("delete", None)]),
    ([("hold", 0), ("mute", 5)], [("mute", 5)]),
    ([("hold", 0), ("warn", 0)], [("warn", None)]),
]


@pytest.mark.parametrize(("asked", "expected"), STANDS)
def test_the_strongest_stands(asked: list[tuple[str, float]], expected: list[tuple[str, float | None]]) -> None:
    """A lower action is ignored when a higher one fired, a delete stands beside them, the longest of a kind wins."""
    for order in itertools.permutations(asked):
        room = scene(*(rule(f"{kind}_{s:g}", ALWAYS, kind, duration_s=float(s)) for kind, s in order))
        outcome = room.chat("ann")
        assert expected == [(action.kind, action.duration_s) for action in outcome.actions]
        held = ("hold", 0) in asked and "warn" in room.kinds()
        assert (None if not held else START + 30) == room.guard.next_deadline()


ACTIONS = ("delete", "warn", "mute", "kick", "hold", "restrict", "ladder")


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_order_of_rules_cannot_matter(data: st.DataObject) -> None:
    """However rules are ordered, a room does the same, near the end of its budget too, with the same ids and texts."""
    rules = [
        rule(
            f"r{index}",
            data.draw(st.sampled_from([ALWAYS, "length > 6", 'over("chat")', "users > 2", "user_chats > 2"])),
            *data.draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=2, unique=True)),
            duration_s=data.draw(st.sampled_from([0.0, 3.0, 50.0])),
            ladder=data.draw(st.sampled_from(["default", "other"])),
            cluster=data.draw(st.sampled_from(["", "users"])),
            restrict_mode=data.draw(st.sampled_from(["slow", "closed"])),
            strike=data.draw(st.booleans()),
        )
        for index in range(data.draw(st.integers(2, 5)))
    ]
    events = [
        chat(data.draw(st.sampled_from("abcd")), data.draw(st.sampled_from(["hi all", "hello all"])), at, id=f"e{at}")
        for at in range(0, 60, 3)
    ]
    answers = []
    for order in (rules, rules[::-1], random.Random(1).sample(rules, len(rules))):
        room = scene(
            *order, budget=BudgetSettings(actions_per_room_minute=12, actions_per_rule_minute=4),
            features={"users": feature("distinct", key="near", of="user")}, limits={"chat": limit("2/10s")},
            ladders={"default": LadderSettings(), "other": LadderSettings(steps=("warn", "mute 7"), decay_s=20)},
        )  # fmt: skip
        for event in events:
            room.take(event)
        plain = [{**vars_of(action), "config": ""} for action in room.actions]
        answers.append((room.verdicts, plain, room.alerts, sorted(room.guard.tally.hits.items())))
    assert answers[0] == answers[1] == answers[2]


def vars_of(action: Any) -> dict[str, Any]:
    return {name: getattr(action, name) for name in action.__slots__ if name != "__weakref__"}


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_one_action_of_a_kind_for_a_user(data: st.DataObject) -> None:
    """One event causes at most one action of each kind for each user, whatever hits, and no id appears twice."""
    kinds = st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3, unique=True)
    rules = [
        rule(f"r{i}", ALWAYS, *data.draw(kinds), cluster=data.draw(st.sampled_from(["", "near", "all"])))
        for i in range(4)
    ]
    room = scene(
        *rules,
        features={
            "near": feature("distinct", key="near", of="user"),
            "all": feature("distinct", key="room", of="user"),
        },
    )
    ids: list[str] = []
    for at in range(25):
        user, text = data.draw(st.sampled_from("abcde")), data.draw(st.sampled_from(["hi all", "hello all"]))
        outcome = room.chat(user, text, at * 20.0)
        done = [(action.user, action.kind) for action in outcome.actions if action.reason != "fail_mode"]
        assert len(set(done)) == len(done)
        ids += [action.id for action in outcome.actions]
    assert len(set(ids)) == len(ids)


# Who is left alone


@pytest.mark.parametrize("role", ["moderator", "host"])
def test_exempt_by_role(role: str) -> None:
    """Moderators and hosts are never acted on; hits on them are counted as such."""
    room = scene(rule("r", ALWAYS))
    room.chat("mod", who={"role": role})
    assert ["allow"] == room.verdicts
    room.chat("mod", at=1)
    assert ([], {"exempt": 2}) == (room.kinds(), room.hits("r"))


def test_exempt_by_name_host_and_deed() -> None:
    """Exempt as well: users of the configuration, the room's host, and whoever moderated in this room."""
    room = scene(rule("r", ALWAYS), exempt=ExemptSettings(users=("vera",)))
    room.take(RoomOpen(id="o", ts=START, room="r1", host="hanna"))
    room.moderation("max", "delete", "ann")
    for user in ("vera", "hanna", "max"):
        room.chat(user, at=1)
    assert {"exempt": 3} == room.hits("r")
    room.chat("ann", at=2)
    assert ["mute"] == room.kinds()


@pytest.mark.parametrize("first", ["chat", "join", "like", "report"])
def test_a_moderator_seen_once_is_known(first: str) -> None:
    """A moderator heard once is safe from reports about them, also where somebody reported them before."""
    room = scene(rule("r", "reporters > 2", "kick", on=("report",)),
                 features={"reporters": feature("distinct", events=("report",))})  # fmt: skip
    who = {"role": "moderator"}
    if first == "report":
        room.report("troll0", "mod")
        room.chat("mod", who=who)
    elif first == "chat":
        room.chat("mod", who=who)
    elif first == "join":
        room.join("mod", who=who)
    else:
        room.like("mod", who=who)
    for number in range(5):
        room.report(f"troll{number}", "mod", at=1)
        room.report(f"troll{number}", "ann", at=1)
    assert ["ann"] == [action.user for action in room.actions]


def test_moderation_never_counts() -> None:
    """Fifty messages deleted by a moderator in ten seconds are nothing the moderator did wrong."""
    kinds = ("chat", "join", "leave", "like", "gift", "follow", "unfollow", "share", "report")
    room = scene(
        rule("r", "all_events > 0 or user_age_s >= 0", on=kinds),
        features={"all_events": feature("count", events=kinds)},
    )
    for number in range(50):
        room.moderation("max", "delete", f"u{number}", at=number / 5, target_event=f"m{number}")
    assert ([], {}) == (room.kinds(), room.hits("r"))
    assert 0 == room.guard.statistics().users


def test_a_report_is_about_its_target() -> None:
    """Reports count for their target and act on it; who reports themselves reports nobody."""
    room = scene(
        rule("r", "reporters > 2", "mute", on=("report",)),
        features={"reporters": feature("distinct", events=("report",), of="user")},
    )
    room.report("ann", "ann")
    for at, user in enumerate(["ben", "ben", "ben", "cem", "dan"]):
        room.report(user, "ann", at=at)
    (action,) = room.actions
    assert ("ann", {"reporters": 3}) == (action.user, action.evidence)
    assert "e6" == action.causes[0]


# Modes


def test_shadow_only_counts() -> None:
    """A rule in shadow, and every rule where all is in shadow, is counted and does nothing."""
    room = scene(rule("r", ALWAYS, "delete", mode="shadow"), rule("off", ALWAYS, mode="off"))
    dark = scene(rule("r", ALWAYS, "delete"), mode="shadow")
    for one in (room, dark):
        assert "allow" == one.chat("ann").verdict
        assert ([], {"shadow": 1}, {}) == (one.kinds(), one.hits("r"), one.hits("off"))


def test_strategies_set_modes_and_thresholds() -> None:
    """A room is judged by the first strategy that fits its tags, language or region, else by `default`."""
    compiled = program(
        rule("r", "length > most", "warn", mode="shadow"),
        thresholds={"most": 5},
        strategies={
            "kids": StrategySettings(tags=("kids",), thresholds={"most": 1}, modes={"r": "enforce"}),
            "german": StrategySettings(langs=("de",), modes={"r": "enforce"}),
            "default": StrategySettings(regions=("nowhere",)),
        },
    )
    opens: list[tuple[dict[str, Any], str, str, list[str]]] = [
        ({}, "default", "hello there", []),
        ({"tags": ["music", "kids"], "lang": "de"}, "kids", "hey", ["warn"]),
        ({"lang": "de-AT"}, "german", "hey", []),
        ({"lang": "de-AT"}, "german", "hello there", ["warn"]),
        ({"region": "eu"}, "default", "hello there", []),
    ]
    for more, strategy, text, expected in opens:
        room = Scene(compiled)
        room.guard.receive(RoomOpen(id="o", ts=START, room="r1", **more), START)
        room.chat("ann", text)
        assert (strategy, expected) == (room.guard.strategy.name, room.kinds())
        assert all(strategy == action.strategy for action in room.actions)


def test_rollout_only_ever_adds_rooms() -> None:
    """Raising a rollout keeps every room that had the rule; in the others it runs in shadow."""
    rooms = [f"room-{i}" for i in range(300)]
    before: set[str] = set()
    for percent in (0, 10, 20, 50, 100):
        compiled = program(rule("r", ALWAYS, "warn", rollout=percent))
        acting = set()
        for name in rooms:
            room = Scene(compiled, name)
            room.chat("ann")
            acting |= {name} if room.actions else set()
            assert ("enforce" if room.actions else "rollout") in room.hits("r")
        assert before <= acting
        assert acting == {name for name in rooms if bucket(name, "r") < percent}
        assert abs(len(acting) - 3 * percent) <= 30
        before = acting


def test_grace_spares_what_looks_back() -> None:
    """In grace no rule over time acts, since the room does not know its past; a rule about one message does."""
    room = scene(
        rule("many", "chats > 0", "warn"), rule("limit", 'over("chat")', "warn"), rule("word", ALWAYS, "delete"),
        features={"chats": feature("count")}, limits={"chat": limit("1/10s")},
    )  # fmt: skip
    room.control("grace", 0, ttl_s=10)
    room.control("grace", 1, ttl_s=2)
    room.chat("ann", at=9)
    room.chat("ann", at=9.5)
    assert ["delete", "delete"] == room.kinds()
    assert ({"grace": 2}, {"grace": 1}) == (room.hits("many"), room.hits("limit"))
    room.chat("ann", at=10)
    assert ["delete", "warn"] == [action.kind for action in room.actions[2:]]


# Breakers


@pytest.mark.parametrize("quota", [1, 7, 30])
def test_a_breaker_gives_exactly_its_quota(quota: int) -> None:
    """A rule that always fires, on twice its quota of events, acts exactly quota times, then counts, with one alert."""
    room = scene(rule("r", ALWAYS, "delete"), rule("other", ALWAYS, "warn"),
                 budget=BudgetSettings(actions_per_rule_minute=quota, actions_per_room_minute=10**6))  # fmt: skip
    for number in range(2 * quota):
        room.chat(f"u{number}", at=number / 100)
    assert {"delete": quota, "warn": quota} == {kind: room.kinds().count(kind) for kind in ("delete", "warn")}
    assert {"enforce": quota, "budget": quota} == room.hits("r")
    assert [("rule_budget", "other"), ("rule_budget", "r")] == [(alert.code, alert.rule) for alert in room.alerts]
    assert ["drop"] * quota + ["allow"] * quota == room.verdicts


def test_a_room_has_a_budget_too() -> None:
    """All rules together stay within the room's budget, with one alert; a new minute of room time is a new budget."""
    room = scene(*(rule(f"r{i}", f"length == {i}", "warn") for i in range(1, 4)),
                 budget=BudgetSettings(actions_per_rule_minute=4, actions_per_room_minute=10))  # fmt: skip
    minute = 60 - START % 60
    for at in (minute, minute + 59.9, minute + 60):
        for length in (1, 2, 3):
            for number in range(5):
                room.chat(f"u{number}", "x" * length, at=at)
    assert 20 == len(room.actions)
    alerts = [("rule_budget", "r1"), ("rule_budget", "r2"), ("room_budget", "")]
    assert alerts * 2 == [(alert.code, alert.rule) for alert in room.alerts]


def test_what_is_in_force_costs_no_budget() -> None:
    """A restriction in force, hit by every message, neither uses the budget up nor raises an alert."""
    room = scene(rule("wave", "everybody > 2", "restrict"), rule("word", 'contains(text, "bad")', "delete"),
                 features={"everybody": feature("count", key="room")}, budget=BudgetSettings())  # fmt: skip
    for number in range(200):
        room.chat(f"u{number}", at=number / 10)
    room.chat("ann", "bad", at=20)
    assert ["restrict", "delete"] == room.kinds()
    assert [] == room.alerts


# Restrictions


def test_a_restriction_comes_once_and_ends_by_itself() -> None:
    """Forty messages in 15 s do nothing, the 41st restricts the room, once until it ends, then it may come again."""
    room = scene(rule("wave", "everybody > 40", "restrict", restrict_mode="followers", cohort="new_users"),
                 features={"everybody": feature("count", 15.0, key="room")})  # fmt: skip
    for number in range(60):
        room.chat(f"u{number}", at=number / 5)
    (action,) = room.actions
    assert ("restrict", None, RESTRICT_S, "followers", "new_users") == (
        action.kind, action.user, action.duration_s, action.mode, action.cohort,
    )  # fmt: skip
    assert (START + 8, START + 8 + RESTRICT_S) == (action.at, action.until)
    assert [action] == room.guard.in_force()
    assert ["allow"] * 60 == room.verdicts
    for number in range(60):
        room.chat(f"u{number}", at=600 + number / 5)
    assert ["restrict", "restrict"] == room.kinds()
    assert START + 8 + RESTRICT_S <= room.actions[1].at


def test_the_strictest_restriction_wins() -> None:
    """Of several rules that restrict at once the strictest mode stands, then the widest cohort, then the longest."""
    asked: list[dict[str, Any]] = [
        {"restrict_mode": "slow", "duration_s": 3000.0},
        {"restrict_mode": "closed", "cohort": "new_users", "duration_s": 9.0},
        {"restrict_mode": "closed", "duration_s": 5.0},
        {"restrict_mode": "closed", "duration_s": 7.0},
        {"restrict_mode": "known_users"},
    ]
    for order in itertools.islice(itertools.permutations(range(5)), 0, None, 7):
        room = scene(*(rule(f"r{i}", ALWAYS, "restrict", **asked[i]) for i in order))
        (action,) = room.chat("ann").actions
        assert ("closed", "all", 7.0) == (action.mode, action.cohort, action.duration_s)


def test_no_restriction_is_forever() -> None:
    """A restriction lasts an hour at most, whatever its rule says."""
    room = scene(rule("r", ALWAYS, "restrict", duration_s=86_400.0))
    assert MAX_RESTRICT_S == room.chat("ann").actions[0].duration_s


# Duplicates


def test_the_same_event_five_times_is_one() -> None:
    """An event delivered five times counts once, causes one action, and has its verdict each time."""
    for action, verdict in (("delete", "drop"), ("hold", "hold"), ("warn", "allow"), ("mute", "drop")):
        room = scene(rule("r", "chats > 0", action), features={"chats": feature("count")})
        event = chat("ann", id="same")
        verdicts = [room.guard.receive(event, START + at) for at in range(5)]
        assert [verdict] * 5 == [outcome.verdict for outcome in verdicts]
        assert (0 if action == "hold" else 1) == sum(len(outcome.actions) for outcome in verdicts)
        assert 4 == room.guard.tally.duplicates + room.guard.tally.dropped
    room = scene(rule("r", "chats > 1"), features={"chats": feature("count")})
    for at in range(5):
        room.take(chat("ann", at=at, id="same"))
    assert ([], 4) == (room.kinds(), room.guard.tally.duplicates)


# What is wrong with a program


@pytest.mark.parametrize(
    ("rules", "more", "problem"),
    [
        ([rule("r", "lenght > 3")], {},
         "rules0.when: column 1: no feature is named 'lenght' here (did you mean 'length'?)"),
        ([rule("r", ALWAYS), rule("r", ALWAYS)], {}, "rules1.name: 'r' is taken by another rule"),
        ([rule("r", ALWAYS, on=("chats",))], {},
         "rules0.on: 'chats' is no event kind rules can listen to (did you mean 'chat'?)"),
        ([rule("r", ALWAYS, on=())], {}, "rules0.on: name at least one event kind"),
        ([rule("r", ALWAYS, "ladder", ladder="defualt")], {},
         "rules0.ladder: there is no ladder 'defualt' (did you mean 'default'?)"),
        ([rule("r", ALWAYS, cluster="users")], {}, "rules0.cluster: no declared feature is named 'users'"),
        ([], {"ladders": {"l": LadderSettings(steps=("mut 5",))}}, "ladders.l.steps: 'mut 5' is no step"),
        ([], {"ladders": {"l": LadderSettings(steps=("mute",))}}, "mute needs a number of seconds"),
        ([], {"ladders": {"l": LadderSettings(steps=("kick -1",))}}, "'-1' is no number of seconds"),
        ([], {"ladders": {"l": LadderSettings(steps=("kick nan",))}}, "'nan' is no number of seconds"),
        ([], {"ladders": {"l": LadderSettings(steps=())}}, "a ladder needs at least one step"),
        ([], {"thresholds": {"length": 3.0}}, "thresholds.length: is the name of a built-in feature"),
        ([], {"thresholds": {"a-b": 3.0}}, "thresholds.a-b: cannot be written in a rule"),
        ([], {"thresholds": {"a": float("inf")}}, "thresholds.a: must be a number within 2**53"),
        ([], {"thresholds": {"a": float("nan")}}, "thresholds.a: must be a number within 2**53"),
        ([], {"strategies": {"s": StrategySettings(modes={"x": "off"})}}, "strategies.s.modes: there is no rule 'x'"),
        ([], {"strategies": {"s": StrategySettings(thresholds={"x": 1})}},
         "strategies.s.thresholds: there is no threshold 'x'"),
        (
            [],
            {
                "strategies": {"s": StrategySettings(thresholds={"x": 1})}, "thresholds": {"x": 2},
                "features": {"f": feature("count", where="length > x")},
            },
            "strategies.s.thresholds: 'x' decides what a feature counts, which all strategies share",
        ),
        ([], {"force_strategy": "strict"}, "force_strategy: there is no strategy 'strict'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(rules: list[RuleSettings], more: dict[str, Any], problem: str) -> None:
    """A program that would not do what its author means is refused, with where, and what was meant."""
    with pytest.raises(RuleErrors) as caught:
        program(*rules, **more)
    assert problem in str(caught.value)


def test_every_problem_at_once() -> None:
    """All that is wrong is said together, each problem once however many strategies and kinds meet it."""
    with pytest.raises(RuleErrors) as caught:
        program(
            rule("a", "x > 1", on=("chat", "join")), rule("b", "y > 1"), features={"f": feature("count", 0.0)},
            limits={"l": limit("no")}, strategies={"s": StrategySettings(), "t": StrategySettings()},
        )  # fmt: skip
    assert ["features.f", "limits.l", "rules", "rules"] == sorted(problem.table for problem in caught.value.problems)
    assert 4 == len(caught.value.problems)


def test_the_version_follows_what_decides() -> None:
    """The configuration's version is the same for the same settings in any order, and another for any other."""
    versions = [
        program(thresholds={"a": 1, "b": 2}).version,
        program(thresholds={"b": 2, "a": 1}).version,
        program(thresholds={"a": 1, "b": 3}).version,
        program(rule("r", ALWAYS), thresholds={"a": 1, "b": 2}).version,
    ]
    assert versions[0] == versions[1]
    assert 3 == len(set(versions))
