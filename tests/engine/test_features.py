"""Declared features, each kind and key, against counting over all events; and what cannot be declared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.features import JUDGED_KINDS, MOST_USER_ENTRIES
from roomguard.engine.program import HEADROOM, RuleErrors
from roomguard.engine.settings import (
    BudgetSettings,
    CapSettings,
    ExemptSettings,
    FeatureKey,
    FeatureKind,
    FeatureSettings,
    StrategySettings,
)
from roomguard.engine.sketch import MOST
from roomguard.engine.text.facts import Facts
from roomguard.engine.traces import MOST_SAID
from roomguard.model.actions import EvidenceValue
from roomguard.model.events import Chat, Gift, Like, Report, UserEvent
from roomguard.testing import START, Scene, chat, feature, gift, join, like, program, report, rule

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)
NOBODY = ExemptSettings(roles=())


def watching(*names: str, on: Sequence[str] = ("chat",), **more: Any) -> Scene:
    """A room that warns at every event, so that the evidence tells each feature; what is unknown is absent."""
    when = "True" + "".join(f" or known({name})" for name in names)
    return Scene(program(rule("watch", when, "warn", on=tuple(on), strike=False), budget=PLENTY, exempt=NOBODY, **more))


def seen(scene: Scene, event: UserEvent) -> dict[str, EvidenceValue]:
    """The features at this event."""
    (action,) = scene.take(event).actions
    return dict(action.evidence)


# Every kind and key, against a model

EVENTS = ("chat", "join", "like", "report")
TEXT_KEYS = ("text", "near", "domain", "user_text", "user_near")
OF = {"sum": "user_chats + 1", "ratio": "user_age_s < 20"}


def possible(kind: str, key: str) -> bool:
    """Which kinds go with which keys."""
    if key in ("user_text", "user_near"):
        return kind == "count"
    if key == "user":
        return kind not in ("ewma", "zscore")
    return kind not in ("age", "gap", "regularity")


PAIRS = [(kind, key) for kind in get_args(FeatureKind) for key in get_args(FeatureKey)]
MODELLED = [(kind, key) for kind, key in PAIRS if possible(kind, key) and kind not in ("ewma", "zscore")]


def declared(kind: Any, key: Any) -> FeatureSettings:
    events = ("chat",) if key in TEXT_KEYS else ("chat", "join") if key in ("device", "net") else EVENTS
    return feature(kind, 30.0, key=key, events=events, of=OF.get(kind, ""))


@attrs.define
class Model:
    """Keeps every event with what a window needs of it."""

    facts: Any
    past: list[dict[str, Any]] = attrs.field(factory=list)
    first: dict[str, float] = attrs.field(factory=dict)
    chats: dict[str, int] = attrs.field(factory=dict)

    def take(self, event: Any) -> None:
        subject = event.target if isinstance(event, Report) else event.user
        self.first.setdefault(subject, event.ts)
        talks = isinstance(event, Chat)
        self.chats[subject] = self.chats.get(subject, 0) + talks
        facts: Facts = self.facts(event.text) if isinstance(event, Chat) else Facts()
        keys = {
            "user": subject, "room": "", "text": facts.skeleton or None, "near": facts.near_skeleton or None,
            "domain": facts.domains[0] if facts.domains else None,
            "device": event.who.device if event.who else None, "net": event.who.net if event.who else None,
            "user_text": (subject, facts.skeleton) if facts.skeleton else None,
            "user_near": (subject, facts.near_skeleton) if facts.near_skeleton else None,
        }  # fmt: skip
        self.past.append(
            {
                **keys, "kind": event.__struct_config__.tag, "at": event.ts, "who": event.user,
                "sum": self.chats[subject] + 1, "ratio": event.ts - self.first[subject] < 20,
            }
        )  # fmt: skip

    def value(self, settings: FeatureSettings) -> float | None:
        now = self.past[-1]
        key = now[settings.key]
        if key is None:
            return None
        same = [e for e in self.past if e["kind"] in settings.events and e[settings.key] == key]
        if settings.kind == "age":
            return now["at"] - same[0]["at"] if same else None
        inside = [e for e in same if e["at"] > now["at"] - settings.window_s]
        gaps = [later["at"] - earlier["at"] for earlier, later in pairwise(inside)]
        match settings.kind:
            case "count":
                return len(inside)
            case "rate":
                return len(inside) / settings.window_s
            case "sum":
                return float(sum(e["sum"] for e in inside))
            case "distinct":
                return len({e["who"] for e in inside})
            case "ratio":
                return sum(e["ratio"] for e in inside) / len(inside) if inside else None
            case "gap":
                return fmean(gaps) if len(gaps) >= 3 else None
        return pstdev(gaps) / fmean(gaps) if len(gaps) >= 3 and fmean(gaps) > 0 else None


users = st.sampled_from(["ann", "ben", "cem"])
texts = st.sampled_from(["hello all", "HELLO   all!!", "all hello", "see spam.com", "see ham.com spam.com", "...", ""])
people = st.none() | st.fixed_dictionaries(
    {"device": st.sampled_from([None, "d1", "d2"]), "net": st.sampled_from([None, "n1"])}
)


@st.composite
def rooms(draw: st.DrawFn) -> list[UserEvent]:
    """Events of a small room over some minutes, with boundaries of 30 s met exactly."""
    at, found = 0.0, list[UserEvent]()
    for number in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0.0, 0.5, 2.0, 14.5, 30.0, 31.0]))
        user, more = draw(users), {"id": f"e{number}", "who": draw(people)}
        match draw(st.sampled_from(["chat", "chat", "chat", "join", "like", "report"])):
            case "chat":
                found.append(chat(user, draw(texts), at, **more))
            case "join":
                found.append(join(user, at, **more))
            case "like":
                found.append(like(user, 3, at, **more))
            case _:
                others = [name for name in ("ann", "ben", "cem") if name != user]
                found.append(report(user, draw(st.sampled_from(others)), at, **more))
    return found


@given(events=rooms())
@settings(max_examples=60, deadline=None)
def test_every_kind_and_key(events: list[UserEvent]) -> None:
    """Each kind of feature for each key it goes with says what counting over all events says, unknown included."""
    features = {f"{kind}_{key}": declared(kind, key) for kind, key in MODELLED}
    shared = {name: one for name, one in features.items() if one.key in ("user", "room")}
    scene = Scene(
        program(
            rule("chats", "True" + "".join(f" or known({name})" for name in features), "warn", strike=False),
            rule(
                "others", "True" + "".join(f" or known({name})" for name in shared), "warn", strike=False,
                on=("join", "like", "report"),
            ),
            features=features, budget=PLENTY,
        )
    )  # fmt: skip
    model = Model(scene.guard.program.analyser.facts)
    for event in events:
        evidence = seen(scene, event)
        model.take(event)
        for name, settings_ in (features if isinstance(event, Chat) else shared).items():
            expected = model.value(settings_)
            assert (name in evidence) == (expected is not None), name
            if expected is not None:
                assert expected == pytest.approx(evidence[name]), name


@pytest.mark.parametrize(("kind", "key"), PAIRS)
def test_what_goes_together(kind: Any, key: Any) -> None:
    """Each kind and key either works together, with nothing raised on any event, or is refused when it is read."""
    settings_ = declared(kind, key)
    if not possible(kind, key):
        with pytest.raises(RuleErrors, match="goes with"):
            program(features={"f": settings_})
        return
    scene = watching("f", features={"f": settings_})
    for number in range(60):
        for user in ("ann", "ben"):
            who = {"device": "d", "net": "n"} if number % 2 else None
            scene.chat(user, "see spam.com", number * 6.0, who=who)
            scene.join(user, number * 6.0, who=who)
    assert isinstance(scene.actions[-1].evidence["f"], (int, float))


CHAT_ONLY = "goes with events = ["
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("f", {"events": ("chat", "moderation")}, "must be some of chat, gift"),
    ("f", {"events": ()}, "must be some of"),
    ("f", {"window_s": 0.0}, "must be at most 3600"),
    ("f", {"window_s": float("nan")}, "and at least 0.001"),
    ("f", {"window_s": 3601.0}, "must be at most 3600 (engine.caps.window_s) and at least 0.001"),
    ("f", {"key": "text", "events": ("chat", "join")}, CHAT_ONLY),
    ("f", {"key": "user_near", "events": ("join",)}, CHAT_ONLY),
    ("f", {"kind": "distinct", "of": "text", "events": ("gift",)}, CHAT_ONLY),
    ("f", {"kind": "distinct", "of": "domain", "key": "room", "events": ("join",)}, CHAT_ONLY),
    ("f", {"kind": "distinct", "of": "level"}, "of must be one of user, text, near, domain, device, net"),
    ("f", {"key": "net", "events": ("report",)}, "a report says nothing of its target's device or net"),
    ("f", {"kind": "sum"}, 'kind = "sum" needs an expression in `of`'),
    ("f", {"kind": "ratio", "of": " "}, 'kind = "ratio" needs an expression in `of`'),
    ("f", {"kind": "sum", "of": "text"}, "a number is needed here"),
    ("f", {"kind": "sum", "of": "gift_count"}, "no feature is named 'gift_count' here"),
    ("f", {"kind": "ratio", "of": "length"}, "a number is no condition"),
    ("f", {"where": "lenght > 3"}, "no feature is named 'lenght' here (did you mean 'length'?)"),
    ("f", {"where": "user_strikes > 3"}, "no feature is named 'user_strikes' here"),
    ("f", {"where": "f > 3"}, "no feature is named 'f' here"),
    ("length", {}, "'length' is already the name of a built-in feature or a threshold"),
    ("flood", {}, "'flood' is already the name"),
    ("my-count", {}, "'my-count' cannot be written in a rule"),
    ("lambda", {}, "'lambda' cannot be written in a rule"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "message"), WRONG)
def test_what_cannot_be_declared(name: str, more: dict[str, Any], message: str) -> None:
    """A feature that could not be kept is refused when it is read, in words; windows longer than what is kept too."""
    with pytest.raises(RuleErrors) as caught:
        program(
            features={name: feature(more.pop("kind", "count"), more.pop("window_s", 60.0), **more)},
            thresholds={"flood": 3},
        )
    assert f"features.{name}" == caught.value.problems[0].table
    assert message in caught.value.problems[0].message


# What counts


def test_where() -> None:
    """`where` lets only events count for which it is certainly true."""
    scene = watching(
        "long", "young",
        features={
            "long": feature("count", where='length > 3 and not contains(text, "!")'),
            "young": feature("count", where="not account_age_s > 60"),
        },
    )  # fmt: skip
    for text, who in (("hi", None), ("hello", {"account_age_s": 5}), ("hello!", {"account_age_s": 90}), ("hello", {})):
        scene.chat("ann", text, who=who)
    assert [(0, 0), (1, 1), (1, 1), (2, 1)] == [(a.evidence["long"], a.evidence["young"]) for a in scene.actions]


def test_a_quotient_cannot_poison_a_sum() -> None:
    """A sum leaves out what is no finite number, so that it stays one."""
    scene = watching("f", features={"f": feature("sum", of="1 / account_age_s")})
    for age in (5e-324, 0, 2):
        scene.chat("ann", who={"account_age_s": age})
    assert 0.5 == scene.actions[-1].evidence["f"]


def test_a_streak_is_one_gift() -> None:
    """Counts, rates and shares of gifts see a streak once, when it begins; sums of gift_count see what is new."""
    kinds = {"counted": "count", "per_s": "rate", "share": "ratio", "each": "sum"}
    features = {
        name: feature(
            kind, key=key, events=("gift",), of={"ratio": "gift_count < 9", "sum": "gift_count"}.get(kind, "")
        )
        for key in ("user", "room")
        for name, kind in ((f"{name}_{key}", kind) for name, kind in kinds.items())
    }
    scene = watching(*features, on=("gift",), features=features)
    for total in (1, 2, 2, 30, 100):
        scene.take(gift("ann", total, total / 10, streak="s", id=f"e{total}"))
    scene.take(gift("ann", 10, 11, id="single"))
    evidence = scene.actions[-1].evidence
    for key in ("user", "room"):
        assert 2 == evidence[f"counted_{key}"]
        assert pytest.approx(2 / 60, rel=1e-5) == evidence[f"per_s_{key}"]
        assert 0.5 == evidence[f"share_{key}"]
        assert 110 == evidence[f"each_{key}"]


def test_room_facts() -> None:
    """What the room knows by itself: ages, sums of gifts, viewers, restrictions, announced waves."""
    names = ["user_age_s", "user_chats", "user_gifted", "user_strikes", "room_age_s", "room_users", "viewers",
             "restricted", "raid_expected"]  # fmt: skip
    scene = watching(*names)
    scene.take(gift("ben", 3, value=2.5))
    first = seen(scene, chat("ann", at=10))
    scene.control("expect_raid", 11, from_room="r2", size=50, ttl_s=60)
    scene.guard.viewers = 40
    second = seen(scene, chat("ann", at=30))
    third = seen(scene, chat("ben", at=90))
    assert first == {
        "user_age_s": 0, "user_chats": 1, "user_gifted": 0, "user_strikes": 0, "room_age_s": 10, "room_users": 2,
        "restricted": False, "raid_expected": False,
    }  # fmt: skip
    assert second == {
        **first,
        "user_age_s": 20,
        "user_chats": 2,
        "room_age_s": 30,
        "viewers": 40,
        "raid_expected": True,
    }
    assert (90, 7.5, False) == (third["user_age_s"], third["user_gifted"], third["raid_expected"])


def test_age_at_time_zero() -> None:
    """An age counts from the first event even where that is at time zero."""
    scene = watching("f", features={"f": feature("age", where="length > 3")})
    assert "f" not in seen(scene, chat("ann", "hi", -START, id="a"))
    assert 0 == seen(scene, chat("ann", "hello", -START, id="b"))["f"]
    assert 7 == seen(scene, chat("ann", "hi", 7 - START, id="c"))["f"]


# Exactness


@pytest.mark.parametrize("most", [1, 9, 255, 256, 300, MOST_USER_ENTRIES - 1])
def test_exact_up_to_what_it_is_compared_with(most: int) -> None:
    """More than T is exact for every T that is accepted, whatever the cap: T pass and the next one fires."""
    scene = Scene(program(rule("r", f"chats > {most}", "warn"), features={"chats": feature("count")}, budget=PLENTY))
    for number in range(most):
        assert not scene.chat("ann", at=number * 1e-3).actions
    assert scene.chat("ann", at=1.5).actions
    (stream,) = scene.guard.program.streams.values()
    assert most + 2 == stream.cap


def test_the_largest_threshold_counts() -> None:
    """A window serves the largest number any rule or strategy asks for; of thresholds, with room to raise them."""
    compiled = program(
        rule("a", "chats > 5"), rule("b", "chats > most"), rule("c", "10 > chats_10s"),
        features={"chats": feature("count"), "chats_10s": feature("count", 10.0)}, thresholds={"most": 7},
        strategies={"strict": StrategySettings(thresholds={"most": 20})},
    )  # fmt: skip
    (stream,) = compiled.streams.values()
    assert (60.0, HEADROOM * 20 + 2) == (stream.horizon, stream.cap)


def test_a_use_without_a_constant_keeps_the_usual_cap() -> None:
    """Where a count is used in any other way, or its window serves a rhythm too, it is kept up to the usual cap."""
    for when in ("chats / 2 > 3", "chats > length", "chats > 3 and gaps < 1", "chats > 3 and shares < 1"):
        compiled = program(
            rule("a", when),
            features={"chats": feature("count"), "gaps": feature("gap"), "shares": feature("ratio", of="length > 3")},
        )
        assert CapSettings().user_window in {stream.cap for stream in compiled.streams.values()}


POINTLESS: list[tuple[dict[str, Any], float]] = [
    ({"kind": "count"}, MOST_USER_ENTRIES),
    ({"kind": "distinct", "of": "text"}, 256),
    ({"kind": "rate"}, 256 / 60),
    ({"kind": "count", "key": "user_text"}, MOST_SAID),
    ({"kind": "count", "key": "room"}, 4096),
    ({"kind": "count", "key": "text"}, 4096),
    ({"kind": "distinct", "key": "room"}, MOST),
    ({"kind": "distinct", "key": "near"}, MOST),
    ({"kind": "rate", "key": "room"}, 4096 / 60),
]


@pytest.mark.parametrize(("settings_", "reach"), POINTLESS)
def test_a_comparison_beyond_a_cap_is_refused(settings_: dict[str, Any], reach: float) -> None:
    """A rule that a cap would keep from ever firing is refused when it is read, not silent for ever."""
    features = {"f": feature(**settings_)}
    program(rule("r", f"f > {reach - 0.01}"), features=features)
    program(rule("r", "f > 10 * 1000"), features=features)
    for when in (f"f > {reach}", f"{reach + 1} <= f", "f >= most"):
        with pytest.raises(RuleErrors, match=r"rules0.when: f is counted up to [\d.]+ only") as caught:
            program(rule("r", when), features=features, thresholds={"most": 100_000})
        assert len(caught.value.problems) == 1


@pytest.mark.parametrize("key", ["user", "room", "text"])
def test_window_edge(key: Any) -> None:
    """A window is half-open: what happened exactly its length ago is out, a moment later it is in."""
    scene = watching("f", features={"f": feature("count", 60.0, key=key)})
    assert seen(scene, chat("ann", at=0))["f"] == 1
    assert 2 == seen(scene, chat("ann", at=59.5))["f"]
    assert 2 == seen(scene, chat("ann", at=60))["f"]
    assert 3 == seen(scene, chat("ann", at=60.5))["f"]


def test_unused_features_cost_nothing() -> None:
    """A feature that no rule asks for is not kept at all."""
    compiled = program(rule("r", "a > 3"), features={"a": feature("count"), "b": feature("count", key="room")})
    assert {"a"} == {name for name, item in compiled.catalogue.declared.items() if item.stream.name in compiled.streams}


def test_judged_kinds_are_what_rules_hear() -> None:
    """A rule may listen to each judged kind, and what it reads of the edge's knowledge is there for all but reports."""
    for kind in JUDGED_KINDS:
        program(rule("r", "user_age_s > 3", on=(kind,)))
        if kind != "report":
            program(rule("r", 'role == "viewer"', on=(kind,)))
    with pytest.raises(RuleErrors, match="no feature is named 'role' here"):
        program(rule("r", 'role == "viewer"', on=("report",)))


def test_kinds_of_events_are_not_mixed_up() -> None:
    """A like weighs its count only where likes are asked for, and a gift its new ones."""
    features = {"likes": feature("sum", events=("like",), of="like_count"), "chats": feature("count")}
    scene = watching("likes", "chats", on=("chat", "like", "gift"), features=features)
    event: Like | Gift
    for event in (like("ann", 7, id="a"), like("ann", 5, id="b"), gift("ann", 9, id="c")):
        scene.take(event)
    assert {"likes": 12, "chats": 1} == seen(scene, chat("ann"))
