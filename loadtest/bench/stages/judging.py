"""Features, limits, rules and decisions: each as what it adds to rooms that judge the same events without it."""

from __future__ import annotations

import functools
import io
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import limits
import orjson

from loadtest.bench.generated import conditions
from loadtest.bench.stages.stage import Stage
from loadtest.bench.stages.work import Traffic, judged, looped, repeated
from loadtest.bench.yardsticks.rules import Rules
from roomguard.cli.common import config_path
from roomguard.configure import configure
from roomguard.engine.program import Program, compile_program
from roomguard.engine.settings import BudgetSettings, EngineSettings, HypeSettings, RuleSettings
from roomguard.model.events import AnyEvent, Chat, Like, Share
from roomguard.replay import Player, Source
from roomguard.testing import feature, limit, program, rule

NEVER = "user_chats < 0"
WINDOW = 60.0
TIMES = 5
"""Likes are few: they come again so often, each time later."""
MOST_REPLAY = 1e6 / 150_000
"""Microseconds an event of a recording may take."""
LIMIT = "30/60s"
"""Nobody of the crowd comes to it: what is timed is the question, not the answer."""


@attrs.frozen
class Asked:
    """A feature, and a comparison that is never true."""

    kind: str
    more: dict[str, Any]
    when: str
    note: str = ""


USERS = {
    "user_count": Asked("count", {}, "f > 30"),
    "user_sum": Asked("sum", {"of": "like_count"}, "f > 1e6"),
    "user_gap": Asked("gap", {}, "f < 0"),
    "room_count": Asked("count", {"key": "room"}, "f > 4000"),
    "room_sum": Asked("sum", {"key": "room", "of": "like_count"}, "f > 1e9"),
    "room_distinct": Asked("distinct", {"key": "room", "of": "user"}, "f > 255"),
    "room_ratio": Asked("ratio", {"key": "room", "of": "like_count >= 5"}, "f > 1"),
    "room_ewma": Asked("ewma", {"key": "room"}, "f > 1e9"),
    "room_zscore": Asked("zscore", {"key": "room", "window_s": 1.0}, "f > 1e9", "; bins of 1 s, most of them empty"),
}
"""Kept over likes: nothing else happens to a like, so that little is taken off."""
KEYED = {
    "user_distinct": Asked("distinct", {"key": "user", "of": "text"}, "f > 200"),
    "text_count": Asked("count", {"key": "text"}, "f > 4000"),
    "near_users": Asked("distinct", {"key": "near", "of": "user"}, "f > 255"),
    "user_near": Asked("count", {"key": "user_near"}, "f > 30"),
}
"""Kept over chats whose texts are remembered."""


@functools.cache
def shipped() -> EngineSettings:
    """The judging settings of config.toml."""
    return configure(config_path(None)).settings.engine


def _feature_stages(traffic: Traffic) -> list[Stage]:
    likes, chats = repeated(traffic.of(Like), TIMES), traffic.of(Chat)
    bare = program(rule("never", NEVER, on=("like",)))
    out = [
        Stage("deque_floor", "a deque a user of a room in a dict: the plain count", len(likes), lambda: _deques(likes)),
        Stage("like_base", "a like through a room of one rule, no window", len(likes), lambda: judged(bare, likes)),
    ]
    for name, asked in USERS.items():
        out.append(_feature(name, asked, likes, "like", "like_base"))
    known = program(rule("never", NEVER))
    out.append(Stage("chat_base", "a remembered text through one rule, no window", len(chats), _warm(known, chats)))
    for name, asked in KEYED.items():
        out.append(_feature(name, asked, chats, "chat", "chat_base"))
    return out


def _feature(name: str, asked: Asked, inputs: Sequence[AnyEvent], kind: str, base: str) -> Stage:
    @functools.cache
    def compiled() -> Program:
        kept = feature(asked.kind, **{"window_s": WINDOW, **asked.more, "events": (kind,)})
        return program(rule("never", asked.when, on=(kind,)), features={"f": kept})

    def prepare() -> Callable[[], object]:
        return _warm(compiled(), inputs)()

    floor = "deque_floor" if name == "user_count" else ""
    what = f"{name.replace('_', ' ')}: kept, read and compared{asked.note}"
    return Stage(f"feature_{name}", what, len(inputs), prepare, over=base, beside=floor)


def _warm(compiled: Program, inputs: Sequence[AnyEvent]) -> Callable[[], Callable[[], object]]:
    """Rooms that judge after their texts have been looked at twice, so that short ones are remembered."""

    def prepare() -> Callable[[], object]:
        for event in (*inputs, *inputs):
            if type(event) is Chat:
                compiled.analyser.facts(event.text, event.emotes or ()).near_skeleton  # noqa: B018
        return judged(compiled, inputs)

    return prepare


def _deques(inputs: Sequence[AnyEvent]) -> Callable[[], object]:
    def work() -> None:
        kept: dict[tuple[str, str], deque[float]] = {}
        for event in inputs:
            key = (event.room, event.user)  # type: ignore[union-attr]
            times = kept.get(key)
            if times is None:
                times = kept[key] = deque()
            times.append(event.ts)
            cutoff = event.ts - WINDOW
            while times[0] <= cutoff:
                times.popleft()

    return work


def _limit_stages(traffic: Traffic) -> list[Stage]:
    shares = [_share(event) for event in repeated(traffic.of(Like), TIMES)]
    size = len(shares)
    bare = program(rule("never", NEVER, on=("share",)))
    out = [
        Stage("limits_moving", "`limits` in memory, moving window", size, lambda: _others(shares)),
        Stage("share_base", "a share through a room of one rule, no window", size, lambda: judged(bare, shares)),
    ]
    for name in ("window", "gcra"):
        asked = limit(LIMIT, algorithm=name, events=("share",))
        compiled = program(rule("never", 'over("l")', on=("share",)), limits={"l": asked})
        prepare = functools.partial(judged, compiled, shares)
        out += [
            Stage(
                f"limit_{name}", f"over() of a {name} limit, what it adds", size, prepare, over="share_base",
                beside="limits_moving", most_ratio=0.1,
            ),
            Stage(
                f"limit_{name}_whole", f"the same with the room and the user looked up ({name})", size, prepare,
                beside="limits_moving",
            ),
        ]  # fmt: skip
    return out


def _share(event: AnyEvent) -> Share:
    """An event that counts as one, by the same user at the same time."""
    return Share(id=event.id, room=event.room, user=event.user, ts=event.ts)  # type: ignore[union-attr]


def _others(inputs: Sequence[AnyEvent]) -> Callable[[], object]:
    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.parse("30 per 60 seconds")

    def work() -> None:
        for event in inputs:
            limiter.hit(item, event.room, event.user)  # type: ignore[union-attr]

    return work


def generated(count: int) -> list[RuleSettings]:
    """So many rules that are never true."""
    return [rule(f"generated_{one}", when, "delete") for one, when in enumerate(conditions(count))]


def _rule_stages(traffic: Traffic) -> list[Stage]:
    """N rules over features that are kept and read anyway."""
    chats = traffic.of(Chat)
    base = rule(
        "base",
        "length > 1999 or user_10s > 900 or user_30s > 900 or near_users > 255 or room_chats < 0 or caps_ratio > 2",
    )
    settings = attrs.evolve(shipped(), tiers={}, hype=HypeSettings(), strategies={})

    @functools.cache
    def compiled(count: int) -> Program:
        return compile_program(attrs.evolve(settings, rules=(base, *generated(count))))

    return [
        Stage(
            f"rules_{count}", f"{count} rules on features that are there", len(chats),
            lambda count=count: _warm(compiled(count), chats)(), over="rules_0" if count else "", most=most,  # type: ignore[misc]
        )
        for count, most in ((0, None), (10, None), (30, 0.6), (100, 1.5))
    ]  # fmt: skip


def _decision_stages(traffic: Traffic) -> list[Stage]:
    chats = traffic.of(Chat)
    ample = BudgetSettings(actions_per_room_minute=10**6, actions_per_rule_minute=10**6)
    out = []
    for name, mode in (("shadow", "shadow"), ("enforced", "enforce")):
        hitting = program(rule("hits", "length >= 1", "delete", mode=mode), budget=ample)
        what = f"a hit, {name}: from the rule's index to the outcome"
        out.append(Stage(f"decision_{name}", what, len(chats), _warm(hitting, chats), "us/hit", over="chat_base"))
    return out


_sizes = itertools.count(8_192)


def _forgetful() -> Program:
    """The shipped program with an empty memo of texts: programs of the same words share theirs."""
    settings = shipped()
    return compile_program(attrs.evolve(settings, words=attrs.evolve(settings.words, cache_texts=next(_sizes))))


def _whole_stages(traffic: Traffic) -> list[Stage]:
    """The shipped configuration, and the yardstick's rules, on the same events."""
    parsed = [orjson.loads(one) for one in traffic.json]
    compiled = compile_program(shipped())
    out = [
        Stage("judge_y1", "Y1's rules on decoded events, mixed", len(parsed), lambda: looped(Rules().judge, parsed)),
        Stage(
            "judge_mixed", "RoomGuard as shipped, mixed, texts mostly remembered", len(traffic),
            _warm(compiled, list(traffic.decoded)), beside="judge_y1",
        ),
    ]  # fmt: skip
    out.insert(
        1,
        Stage(
            "judge_fresh", "RoomGuard as shipped, mixed, no text seen before the run", len(traffic),
            lambda: judged(_forgetful(), traffic.decoded), beside="judge_y1",
        ),
    )  # fmt: skip
    lines = [f"{one}\n".encode() for one in traffic.json]
    out.append(
        Stage(
            "replay",
            "a recording replayed, no text seen before",
            len(lines),
            lambda: _replayed(lines),
            most=MOST_REPLAY,
        )
    )
    for kind in (Chat, Like):
        inputs = traffic.of(kind)
        name = kind.__struct_config__.tag
        out.append(Stage(f"judge_{name}", f"RoomGuard as shipped, {name} alone", len(inputs), _warm(compiled, inputs)))
    return out


def _replayed(lines: Sequence[bytes]) -> Callable[[], object]:
    player = Player(_forgetful(), io.BytesIO())
    return lambda: player.play(Source("traffic", lines).records())


def stages(traffic: Traffic) -> list[Stage]:
    """All that happens inside a room."""
    return [
        *_feature_stages(traffic),
        *_limit_stages(traffic),
        *_rule_stages(traffic),
        *_decision_stages(traffic),
        *_whole_stages(traffic),
    ]
