"""More care for some users, and a larger allowance for an excited crowd."""

from __future__ import annotations

from typing import Any

import pytest

from roomguard.engine.settings import HypeSettings, TierSettings
from roomguard.model.events import Who
from roomguard.testing import Scene, feature, program, rule

CHATS = {"chats": feature("count", 10.0)}
FLOOD = "chats > most"
VIP = Who(role="vip")


def tiered(*rules: Any, **tiers: TierSettings) -> Scene:
    return Scene(program(*rules, features=CHATS, thresholds={"most": 3, "size": 20}, tiers=tiers))


@pytest.mark.parametrize(
    ("tier", "step", "expected", "verdict"),
    [
        ({"action": "same"}, "kick", ["kick"], "drop"),
        ({"action": "milder"}, "kick", ["mute"], "drop"),
        ({"action": "milder"}, "mute", ["delete"], "drop"),
        ({"action": "milder"}, "delete", ["warn"], "allow"),
        ({"action": "milder"}, "warn", [], "allow"),
        ({"action": "milder"}, "restrict", ["restrict"], "allow"),
        ({"action": "warn"}, "kick", ["warn"], "allow"),
        ({"action": "warn"}, "delete", ["warn"], "allow"),
        ({"action": "review"}, "mute", [], "hold"),
        ({"action": "review"}, "kick", [], "hold"),
        ({"action": "review"}, "warn", ["warn"], "allow"),
        ({"action": "review"}, "hold", [], "hold"),
    ],
)
def test_what_a_tier_makes_of_an_action(tier: dict[str, Any], step: Any, expected: list[str], verdict: str) -> None:
    """A tier says what becomes of each kind of action for its users; for everybody else it stays."""
    scene = tiered(rule("r", "length > size", step, duration_s=100.0), vips=TierSettings(when='role == "vip"', **tier))
    outcome = scene.chat("ann", "x" * 30, who=VIP)
    assert (expected, verdict) == ([action.kind for action in outcome.actions], outcome.verdict)
    plain = tiered(rule("r", "length > size", step, duration_s=100.0))
    plain.chat("ann", "x" * 30, who=VIP)
    assert ([step] if step != "hold" else []) == plain.kinds()


def test_durations_and_the_first_tier() -> None:
    """The first tier whose condition holds counts, and scales the length of mutes and kicks."""
    scene = tiered(
        rule("r", "length > size", "mute", duration_s=100.0),
        gifter=TierSettings(when="user_gifted >= 10", action="same", duration_factor=0.25),
        vip=TierSettings(when='role == "vip" or user_age_s > 60', action="same", duration_factor=2.0),
    )
    scene.gift("ann", 10)
    for user, who in (("ann", VIP), ("ben", VIP), ("cat", None)):
        scene.chat(user, "x" * 30, at=1, who=who)

    assert [25.0, 200.0, 100.0] == [action.duration_s for action in scene.actions]


def test_a_tier_raises_limits() -> None:
    """Below the raised limit a hit is none and is counted as the tier's; beyond it nobody is immune."""
    scene = tiered(rule("r", FLOOD), vip=TierSettings(when="follower", action="same", scale={"most": 2.0}))
    for number in range(7):
        scene.chat("ann", at=number * 0.1, who=Who(follower=True))
        scene.chat("ben", at=number * 0.1)

    assert (["ben", "ann"], {"tier": 3, "enforce": 2}) == ([a.user for a in scene.actions], scene.hits("r"))
    assert 7 == scene.actions[1].evidence["chats"]


def test_unknown_is_no_tier() -> None:
    """What the edge does not say of a user puts them into no tier."""
    scene = tiered(
        rule("r", "length > size"), new=TierSettings(when="account_age_s > 5 or not follower", action="warn")
    )
    scene.chat("ann", "x" * 30)
    scene.chat("ben", "x" * 30, who=Who(follower=False))

    assert ["mute", "warn"] == scene.kinds()


def test_others_of_a_cluster_by_what_the_room_knows() -> None:
    """Of a cluster's other users the tier is told from memory, not from the event of the one who tipped it."""
    scene = Scene(
        program(
            rule("wave", "users >= 3", "mute", cluster="users"),
            features={"users": feature("distinct", 60.0, key="text")},
            tiers={"gifter": TierSettings(when='user_gifted >= 5 or role == "vip"', action="milder")},
        )
    )
    scene.gift("ann", 5)
    for user, who in (("ann", None), ("ben", None), ("cat", VIP)):
        scene.chat(user, "the same", at=1, who=who)

    assert {"ann": ["delete"], "ben": ["mute"], "cat": ["delete"]} == {u: scene.kinds(u) for u in ("ann", "ben", "cat")}


def test_reported_users_are_told_from_memory() -> None:
    """A report is about its target: the reporter's role is not theirs."""
    scene = tiered(
        rule("r", "user_chats >= 0", "mute", on=("report",)), vip=TierSettings(when='role == "vip"', action="warn")
    )
    scene.report("ann", "ben", who=VIP)

    assert ["mute"] == scene.kinds("ben")


HYPE = program(
    rule("flood", FLOOD),
    features={
        **CHATS,
        "known": feature("count", 10.0, key="room", where="user_age_s >= 300"),
        "room_chats": feature("count", 300.0, key="room"),
    },
    thresholds={"most": 3},
    hype=HypeSettings(when="user_age_s >= 300 and known >= 20 and known >= 0.1 * room_chats", scale={"most": 2.0}),
)


def room_of(crowd: int, age_s: float) -> Scene:
    """A room in which so many users, first seen `age_s` ago, all write within the last second."""
    scene = Scene(HYPE)
    for number in range(crowd):
        scene.join(f"u{number}", at=-age_s)
    scene.join("ann", at=-age_s)
    scene.join("stranger", at=0)
    for number in range(crowd):
        scene.chat(f"u{number}", f"wow {number}", at=1)
    return scene


@pytest.mark.parametrize(
    ("crowd", "age_s", "user", "expected"),
    [
        (100, 600, "ann", 6),
        (100, 600, "stranger", 3),
        (100, 10, "ann", 3),
        (5, 600, "ann", 3),
    ],
)
def test_hype_raises_the_rooms_own_allowance(crowd: int, age_s: float, user: str, expected: int) -> None:
    """An excited crowd of known users may write more; strangers in it, and crowds made of strangers, may not."""
    scene = room_of(crowd, age_s)
    allowed = 0
    while not scene.chat(user, f"go {allowed}", at=1.5).actions:
        allowed += 1

    assert expected == allowed


def test_what_is_unused_is_not_compiled() -> None:
    """Without tiers and hype a program has nothing to look at when a rule hits."""
    plain = program(rule("r", "length > 5"))

    assert ((), None) == (plain.tiers, plain.hype)
