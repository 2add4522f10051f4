"""More situations in virtual time: rates and their edges, kinds of events, texts that are the same.

As in `test_scenarios`, with other numbers, texts and orders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roomguard.configure import configure
from roomguard.engine.features import JUDGED_KINDS
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings, ExemptSettings, WordSettings
from roomguard.errors import ConfigError, FrameError
from roomguard.model.events import RoomOpen, Who
from roomguard.testing import START, Scene, feature, like, limit, program, rule
from roomguard.wire.decode import FrameDecoder
from roomguard.wire.frames import Events

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)


def first_hit(scene: Scene, times: list[float], users: int = 1) -> int | None:
    """Which of the messages at these times, from 1, is the first that is acted on; users take turns."""
    for number, at in enumerate(times):
        if scene.chat(f"u{number % users}", f"message {number}", at=at).actions:
            return number + 1
    return None


# Rates and windows


@pytest.mark.parametrize("count", [1, 3, 10, 57])
@pytest.mark.parametrize(
    ("kind", "key", "of"),
    [
        ("count", "user", ""),
        ("count", "room", ""),
        ("distinct", "room", "text"),
        ("distinct", "user", "text"),
        ("sum", "user", "1"),
    ],
)
def test_more_than_n_lets_the_nth_pass(kind: str, key: Any, of: str, count: int) -> None:
    """Whatever is counted, and for whom: the n-th passes and the next is one too many."""
    counted = feature(kind, 60.0, key=key, of=of)
    scene = Scene(program(rule("r", f"n > {count}", "warn"), features={"n": counted}))

    assert count + 1 == first_hit(scene, [number / 100 for number in range(70)])


@pytest.mark.parametrize("seconds", [60.0, 3_600.0])
@pytest.mark.parametrize("unit", [60, 3_600, 86_400])
def test_no_calendar(unit: int, seconds: float) -> None:
    """Nine just before and nine just after a full minute, hour or day count eighteen together."""
    edge = -START % unit + unit
    scene = Scene(program(rule("r", "n >= 18", "warn"), features={"n": feature("count", seconds)}))

    assert 18 == first_hit(scene, [edge - 0.1] * 9 + [edge + 0.1] * 9)


FIELD = """
[features.in_5s]
kind = "count"
window_s = 5
[features.in_10s]
kind = "count"
window_s = 10
[features.in_30s]
kind = "count"
window_s = 30

[[rules]]
name = "in_10s_too_many"
when = "in_10s > 5"
action = ["mute"]
duration_s = 300
mode = "enforce"
[[rules]]
name = "in_5s_too_many"
when = "in_5s > 5"
action = ["mute"]
duration_s = 60
mode = "off"
[[rules]]
name = "in_30s_too_many"
when = "in_30s > most"
action = ["mute"]
duration_s = 5
mode = "off"

[thresholds]
most = 30

[strategies.five]
tags = ["five"]
modes = { in_10s_too_many = "off", in_5s_too_many = "enforce" }
[strategies.thirty]
tags = ["thirty"]
modes = { in_10s_too_many = "off", in_30s_too_many = "enforce" }
[strategies.twenty]
tags = ["twenty"]
modes = { in_10s_too_many = "off", in_30s_too_many = "enforce" }
thresholds = { most = 20 }
"""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Program:
    path = tmp_path_factory.mktemp("field") / "config.toml"
    path.write_text(FIELD)
    return configure(path).program


@pytest.mark.parametrize(
    ("tag", "gap", "expected", "duration_s"),
    [
        ("", 0.1, 6, 300.0), ("", 1.9, 6, 300.0), ("", 2.0, None, None), ("five", 0.1, 6, 60.0), ("five", 0.9, 6, 60.0),
        ("five", 1.0, None, None), ("thirty", 0.1, 31, 5.0), ("thirty", 0.99, 31, 5.0), ("thirty", 1.0, None, None),
        ("twenty", 0.1, 21, 5.0), ("twenty", 1.5, None, None),
    ],
)  # fmt: skip
def test_presets_as_profiles(
    field: Program, tag: str, gap: float, expected: int | None, duration_s: float | None
) -> None:
    """One configuration holds the rates of several guards, a strategy each; a room's tag says which trips, and when."""
    scene = Scene(field)
    scene.take(RoomOpen(id="open", ts=START - 1, room="r1", tags=[tag] if tag else None))

    assert expected == first_hit(scene, [number * gap for number in range(90)])
    assert [duration_s] * len(scene.actions) == [action.duration_s for action in scene.actions]
    assert {tag or "default"} >= {action.strategy for action in scene.actions}


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", "10 seconds"), ("de", "10 Sekunden"), ("ru", "10 секунд"), ("ja", "10秒"), ("ar", "10 ثوانٍ")],
)
def test_blocked_and_told_in_their_language(lang: str, words: str) -> None:
    """Who is blocked for ten seconds reads why and for how long, whatever they speak."""
    scene = Scene(program(rule("flood", 'over("chat")', duration_s=10.0), limits={"chat": limit("3/2s")}))
    for number in range(4):
        scene.chat("ann", f"m{number}", at=number / 10, lang=lang)

    (mute,) = scene.actions
    assert words in mute.message
    assert ["drop", "allow"] == [scene.chat("ann", at=at).verdict for at in (10.2, 10.3)]


@pytest.mark.parametrize(
    ("field_", "value"),
    [
        ("value", "NaN"), ("value", "Infinity"), ("value", "-Infinity"), ("value", "true"), ("value", "1e999"),
        ("value", '"5"'), ("count", "true"), ("count", "NaN"), ("count", "1.5"), ("count", "-1"), ("ts", "NaN"),
        ("ts", "Infinity"), ("ts", "true"),
    ],
)  # fmt: skip
def test_what_is_no_number_reaches_no_window(field_: str, value: str) -> None:
    """NaN, the infinities, truth and texts in a number's place are refused before anything is counted."""
    numbers = {"ts": "1700000000.0", "count": "3", "value": "2.5", field_: value}
    plain = ", ".join(f'"{name}": {number}' for name, number in numbers.items())
    event = f'{{"id": "g1", "kind": "gift", "room": "r1", "user": "u", "gift": "rose", {plain}}}'
    frame = f'{{"type": "events", "seq": 1, "events": [{event}]}}'
    if value in ("NaN", "Infinity", "-Infinity"):  # no JSON, so nothing of the frame can be trusted
        with pytest.raises(FrameError, match="bad_frame"):
            FrameDecoder().decode(frame)
        return
    taken = FrameDecoder().decode(frame)

    assert isinstance(taken, Events)
    assert ([], 1) == (taken.events, len(taken.rejected))


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[thresholds]\nmost = nan", "c.toml:2: thresholds.most: must be a finite number"),
        ("[thresholds]\nmost = inf", "c.toml:2: thresholds.most: must be a finite number"),
        ("[thresholds]\nmost = true", "c.toml:2: thresholds.most: expected a number, got true"),
        ('[limits.l]\nrate = "nan/5s"', "c.toml:2: limits.l.rate: "),
        ('[limits.l]\nrate = "5/2h"', "c.toml:2: limits.l.rate: the window is longer than engine.caps.window_s"),
        ('[features.f]\nkind = "count"\nwindow_s = 7200', "c.toml:3: features.f.window_s: must be at most 3600"),
        ('[features.f]\nkind = "count"\nwindow_s = nan', "c.toml:3: features.f.window_s: must be a finite number"),
        (
            '[engine.caps]\nwindow_s = 300\n[features.f]\nkind = "count"\nwindow_s = 301',
            "c.toml:5: features.f.window_s: must be at most 300 (engine.caps.window_s)",
        ),
        ('[ladders.default]\nsteps = ["mute nan"]', "c.toml:2: ladders.default.steps: "),
    ],
)  # fmt: skip
def test_what_is_no_number_or_too_long_is_no_setting(tmp_path: Path, toml: str, complaint: str) -> None:
    """A window longer than what is remembered, and what is no number, are refused with the line they stand in."""
    path = tmp_path / "c.toml"
    path.write_text(toml + "\n")
    with pytest.raises(ConfigError) as caught:
        configure(path)

    assert any(str(problem).removeprefix(f"{tmp_path}/").startswith(complaint) for problem in caught.value.problems)


@pytest.mark.parametrize(("rate", "interval"), [("50/60m", 72.0), ("6/60s", 10.0), ("1/30s", 30.0), ("120/60s", 0.5)])
def test_other_buckets_drain_one_by_one(rate: str, interval: float) -> None:
    """After a burst that fills it a bucket takes exactly one more an interval, from the first one on."""
    scene = Scene(
        program(
            rule("full", 'over("l")', "warn", strike=False),
            limits={"l": limit(rate, algorithm="gcra")},
            budget=PLENTY,
        )
    )
    count = int(rate.partition("/")[0])
    assert count + 1 == first_hit(scene, [0.0] * (count + 1))
    for number in range(1, 6):
        assert scene.chat("u0", "x", at=number * interval - 0.01).actions
        assert not scene.chat("u0", "x", at=number * interval + 0.01).actions


# Kinds of events


def test_likes_weigh_what_they_count() -> None:
    """Three thousand likes in one event or in two hundred are the same; messages are not counted with them."""
    one, many = (
        Scene(
            program(
                rule("r", "likes > 2999", "warn", on=("like",)),
                features={"likes": feature("sum", 60.0, events=("like",), of="like_count")},
            )
        )
        for _ in range(2)
    )
    one.like("ann", 3_000)
    for number in range(200):
        many.take(like("ann", 15, number / 10, id=f"l{number}"))
        many.chat("ann", at=number / 10)

    assert (1, 1, "l199") == (len(one.actions), len(many.actions), many.actions[0].causes[0])


def test_streaks_of_two_users_do_not_mix() -> None:
    """Streaks belong to their user, whatever ids they have; a late, lower total is nothing new."""
    features = {"worth": feature("sum", 600.0, events=("gift",), of="gift_count")}
    scene = Scene(program(rule("r", "worth >= 30", "warn", on=("gift",)), features=features))
    for count in (1, 5, 3, 9, 9):
        scene.gift("ann", count, at=count, streak="s")
        scene.gift("ben", 2 * count, at=count, streak="s", streak_end=count == 9)

    assert [] == scene.actions
    scene.gift("ben", 12, at=20, streak="t")
    assert [("ben", 30)] == [(action.user, action.evidence["worth"]) for action in scene.actions]


@pytest.mark.parametrize("gap", [0.2, 5.0])
@pytest.mark.parametrize("verb", ["delete", "mute", "kick", "unmute"])
def test_staff_are_never_met(gap: float, verb: Any) -> None:
    """Whoever has acted as a moderator is not acted on, whatever they do and whatever the rules say of anybody."""
    everything = rule("all", "user_age_s >= 0", "kick", on=JUDGED_KINDS)
    scene = Scene(program(everything, exempt=ExemptSettings(roles=())))
    for number in range(50):
        scene.moderation("mod", verb, f"u{number}", at=number * gap)
    for kind in ("join", "leave", "follow"):
        scene.plain(kind, "mod", at=300)
    scene.chat("mod", at=300)
    scene.gift("mod", 5, at=301)
    scene.like("mod", 5, at=301)
    scene.report("ann", "mod", at=302)

    assert (0, 7) == (len([action for action in scene.actions if action.user == "mod"]), scene.hits("all")["exempt"])


@pytest.mark.parametrize(("first", "second"), [("follow", "unfollow"), ("join", "leave")])
@pytest.mark.parametrize(("rate", "most"), [("6/60s", 6), ("12/60s", 12)])
def test_back_and_forth(first: str, second: str, rate: str, most: int) -> None:
    """Coming and going counts together and trips on the first too many; one that stays is not met."""
    churn = limit(rate, events=(first, second))
    scene = Scene(program(rule("r", 'over("c")', "kick", on=(first, second), duration_s=60.0), limits={"c": churn}))
    for number in range(most + 4):
        scene.plain((first, second)[number % 2], "ann", at=number)
        if number < 2:
            scene.plain((first, second)[number % 2], "ben", at=number)

    assert [("ann", f"e{most + 3}")] == [(action.user, action.causes[0]) for action in scene.actions]


def test_one_loud_reporter_is_one() -> None:
    """Five people who report somebody are five; one who reports five times is one, and nobody reports themselves."""
    reporters = {"reporters": feature("distinct", 600.0, events=("report",))}
    scene = Scene(program(rule("r", "reporters >= 5", "mute", on=("report",)), features=reporters))
    for number in range(20):
        scene.report("foe", "ann", at=number)
        scene.report("ann", "ann", at=number)
    for number in range(3):
        scene.report(f"u{number}", "ann", at=30 + number)
    assert [] == scene.actions
    scene.report("u9", "ann", at=40)

    assert [("ann", 5)] == [(action.user, action.evidence["reporters"]) for action in scene.actions]


# The same, or not


CHEER = 'not matches(skeleton, "^(g+|g+ wp|wp|well? played)$")'


@pytest.mark.parametrize(
    "text", ["gg", "GG!!", "ggggg", "gg wp", "Well played", "WELL  PLAYED!!", "wellll played.", "wp"]
)
def test_allowed_phrases_never_count(text: str) -> None:
    """What is on the list of allowed phrases is never a repetition, in whatever dress; all else is at the fifth."""
    copies = {"copies": feature("count", 1_800.0, key="user_text", where=CHEER)}
    scene = Scene(program(rule("same", "copies >= 5", "mute"), features=copies))
    for number in range(30):
        scene.chat("ann", text, at=number * 10)
    assert [] == scene.actions
    for number in range(5):
        scene.chat("ann", f"{text} everybody", at=400 + number)

    assert ["e35"] == [action.causes[0] for action in scene.actions]


@pytest.mark.parametrize(("users", "seconds"), [(50, 10.0), (200, 4.0), (12, 60.0)])
def test_waves_in_disguise(users: int, seconds: float) -> None:
    """Accounts that each write one text with other digits, marks and order are one wave, and all of it is named."""
    features = {"users": feature("distinct", 120.0, key="near")}
    scene = Scene(
        program(rule("wave", f"users >= {users}", "delete", cluster="users"), features=features, budget=PLENTY)
    )
    texts = (
        "join my channel for free coins {}",
        "FREE coins, join my channel {}",
        "{} j\u200boin my channel for free coins!!",
        "\uff4aoin my channel for free coins {}",
        "join my channel for free co\u0301\u0301ins {}",
    )
    for number in range(users):
        scene.chat("fan", f"nothing like it {number}", at=number * seconds / users)
        scene.chat(f"bot{number}", texts[number % 5].format(10 + number % 90), at=number * seconds / users)

    assert {f"bot{number}" for number in range(users)} == {action.user for action in scene.actions}
    assert (users, 1) == (len(scene.actions), len({action.cluster for action in scene.actions}))


@pytest.mark.parametrize(
    "listed", ["hello", "h\u0435ll\u043e", "\uff28\uff25\uff2c\uff2c\uff2f", "he\u0301llo", "HELLO"]
)
@pytest.mark.parametrize(
    "said",
    [
        "hello", "h\u0435ll\u043e", "\uff48\uff45\uff4c\uff4c\uff4f", "h\u200bello", "HeLLo", "heeeello", "h3ll0",
        "\U0001d4f1\U0001d4ee\U0001d4f5\U0001d4f5\U0001d4f8", "h\u0336e\u0336l\u0336l\u0336o\u0336",
    ],
)  # fmt: skip
def test_lookalikes_on_both_sides(listed: str, said: str) -> None:
    """A word is found whether the list or the message writes it in letters drawn alike."""
    scene = Scene(program(rule("word", 'blocked != ""', "delete"), words=WordSettings(block=(listed,))))
    scene.chat("ann", f"well {said} you")
    scene.chat("ann", "well shallow you", at=1)

    assert ["delete"] == scene.kinds()


def test_devices_nobody_told_us_of() -> None:
    """What the edge does not send is unknown: neither a rule nor its opposite fires, for anybody."""
    features = {"sharing": feature("distinct", 60.0, key="device")}
    guard = RoomGuard("r1", program(rule("r", "sharing >= 2"), rule("s", "not sharing >= 2"), features=features))
    scene = Scene(guard.program)
    for number in range(5):
        scene.chat(f"u{number}", at=number)
    assert [] == scene.actions
    scene.chat("v0", at=6, who=Who(device="d"))
    scene.chat("v1", at=7, who=Who(device="d"))

    assert [("s", "v0"), ("r", "v1")] == [(action.rule, action.user) for action in scene.actions]
