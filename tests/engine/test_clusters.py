"""One message by many accounts: one decision, one id, one action an account; and crowds that are no attack."""

from __future__ import annotations

from typing import Any

import pytest

from roomguard.engine.program import RuleErrors
from roomguard.engine.settings import BudgetSettings, LadderSettings, RuleSettings
from roomguard.testing import Scene, feature, moderation, program, rule

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)
USERS = {"users": feature("distinct", 10.0, key="text", of="user")}
SPAM = "cheap coins for all of you"


def cluster(*action: str, most: int = 9, **more: Any) -> RuleSettings:
    return rule("wave", f"users > {most}", *action, cluster="users", **more)


def scene(*rules: RuleSettings, features: Any = None, **more: Any) -> Scene:
    return Scene(program(*rules, features=features or USERS, **{"budget": PLENTY, **more}))


def test_fifty_accounts_one_message() -> None:
    """Fifty accounts with one message each within ten seconds are one cluster: one id, all fifty named, each once."""
    room = scene(cluster("mute", "delete"))
    for number in range(50):
        room.chat(f"u{number}", SPAM, at=number / 5)
    for kind in ("mute", "delete"):
        users = [action.user for action in room.actions if action.kind == kind]
        assert sorted(f"u{number}" for number in range(50)) == sorted(str(user) for user in users)
    assert len({action.cluster for action in room.actions}) == 1
    assert room.actions[0].cluster is not None
    deleted = [event for action in room.actions for event in action.events or ()]
    assert sorted(f"e{number}" for number in range(1, 51)) == sorted(deleted)
    for action in room.actions:
        own = f"e{int(str(action.user)[1:]) + 1}"
        assert own in action.causes
        assert {"users": max(10, int(action.causes[0][1:]))} == action.evidence
    assert ["allow"] * 9 + ["drop"] * 41 == room.verdicts


@pytest.mark.parametrize("key", ["text", "near", "room", "device", "net"])
def test_every_key_of_a_cluster(key: Any) -> None:
    """Accounts may be tied together by text, near text, room, device or network; others are left alone."""
    room = scene(cluster("mute", most=2), features={"users": feature("distinct", 10.0, key=key)})
    same = {"device": "d", "net": "n"}
    room.chat("other", "something else entirely", who={"device": "x", "net": "y"})
    for number in range(4):
        room.chat(f"u{number}", SPAM, at=number, who=same)
    expected = {"u0", "u1", "u2", "u3"} | ({"other"} if key == "room" else set())
    assert expected == {action.user for action in room.actions}
    assert len({action.cluster for action in room.actions}) == 1


def test_it_hides_what_was_sent_into_it() -> None:
    """A cluster hides the messages that made it, every copy, and none that an account sent before or after."""
    room = scene(cluster("delete", most=2))
    room.chat("ann", "good evening", id="before")
    room.chat("ann", SPAM, at=1, id="copy1")
    room.chat("ann", SPAM.upper(), at=1.5, id="copy2")
    room.chat("ann", "what a game", at=2, id="after")
    room.chat("ben", SPAM, at=3, id="b")
    room.chat("cem", SPAM, at=4, id="c")
    assert {"cem": ("c",), "ann": ("copy1", "copy2"), "ben": ("b",)} == {a.user: a.events for a in room.actions}
    room.chat("ann", "good night", at=5)
    assert "allow" == room.verdicts[-1]


def test_each_message_is_punished_once() -> None:
    """Who was acted on for a message is not acted on for it again when the next account joins in."""
    room = scene(cluster("mute", most=2, duration_s=1.0))
    for number in range(8):
        room.chat(f"u{number}", SPAM, at=number * 1.5)
    assert [f"u{number}" for number in range(7)] == sorted({str(action.user) for action in room.actions})[:7]
    assert len(room.actions) == len({action.user for action in room.actions})
    room.chat("u7", SPAM, at=12)
    assert "u7" == room.actions[-1].user


def test_each_account_by_its_own_ladder() -> None:
    """Everybody in a cluster takes their own step, and a strike of their own that an undo takes back."""
    room = scene(rule("word", 'contains(text, "bad")', "ladder"), cluster("ladder", most=2),
                 ladders={"default": LadderSettings(steps=("warn", "mute 60"))})  # fmt: skip
    room.chat("ann", "bad word")
    for at, user in enumerate(("ann", "ben", "cem"), start=1):
        room.chat(user, SPAM, at=at)
    done = {action.user: action.kind for action in room.actions if action.rule == "wave"}
    assert {"cem": "warn", "ben": "warn", "ann": "mute"} == done
    assert {"ann": 2, "ben": 1, "cem": 1} == {user: room.guard.strikes_of(user) for user in ("ann", "ben", "cem")}
    room.undo(next(action for action in room.actions if action.user == "ben"), at=5)
    assert 0 == room.guard.strikes_of("ben")


def test_a_cluster_ends_with_its_window() -> None:
    """A wave after a pause is another cluster with another id."""
    room = scene(cluster("warn", most=1))
    for at in (0, 1, 9, 30, 31):
        room.chat(f"u{at}", SPAM, at=at)
    first, second = room.actions[:3], room.actions[3:]
    assert (1, 1) == (len({action.cluster for action in first}), len({action.cluster for action in second}))
    assert first[0].cluster != second[0].cluster


def test_nobody_exempt_is_in_it() -> None:
    """Moderators, hosts and exempt users in the middle of a wave are left alone, known by their role or not before."""
    room = scene(cluster("kick", most=4))
    room.take(moderation("max", "delete", "x"))
    room.chat("moderator", SPAM, at=1, who={"role": "moderator"})
    room.chat("promoted", "hello", at=1)
    room.chat("promoted", SPAM, at=1.5, who={"role": "moderator"})
    room.chat("max", SPAM, at=2)
    for number in range(3):
        room.chat(f"u{number}", SPAM, at=3)
    assert {"u0", "u1", "u2"} == {action.user for action in room.actions}


def test_who_left_the_table_is_still_hit() -> None:
    """An account that the room forgot for want of space is still part of its cluster."""
    room = scene(cluster("mute", "delete", most=2))
    room.chat("ann", SPAM)
    del room.guard.users["ann"]
    room.chat("ben", SPAM, at=1)
    room.chat("cem", SPAM, at=2)
    assert {"ann", "ben", "cem"} == {action.user for action in room.actions if action.kind == "delete"}


def test_the_budget_holds_for_a_cluster() -> None:
    """A cluster larger than the budget is hit account by account up to it; the rest follows in the next minute."""
    room = scene(cluster("mute", most=19), budget=BudgetSettings(actions_per_rule_minute=12))
    for number in range(25):
        room.chat(f"u{number}", SPAM, at=number / 10)
    assert 12 == len({action.user for action in room.actions}) == len(room.actions)
    assert ["rule_budget"] == [alert.code for alert in room.alerts]
    last = len(room.actions)
    for number in range(25, 47):
        room.chat(f"u{number}", SPAM, at=57 + number / 10)
    fresh = {action.user for action in room.actions[last:]}
    assert fresh
    assert not fresh & {action.user for action in room.actions[:last]}


def test_two_clusters_at_once() -> None:
    """An account in two clusters gets the stronger action of each kind, once."""
    features = {**USERS, "everybody": feature("distinct", 10.0, key="room")}
    room = scene(
        cluster("mute", most=2), rule("crowd", "everybody > 2", "kick", cluster="everybody"), features=features
    )
    for at, user in enumerate(("ann", "ben", "cem")):
        room.chat(user, SPAM, at=at)
    assert [("cem", "kick"), ("ann", "kick"), ("ben", "kick")] == [(a.user, a.kind) for a in room.actions]


@pytest.mark.parametrize("text", ["gg", "GG", "ggggg", "gg!!!", "well played"])
def test_a_crowd_that_cheers(text: str) -> None:
    """Three hundred accounts that write the same short cheer at the end of a match are the room at its best."""
    sensible = rule("wave", "users > 9 and length > 16", "mute", "delete", cluster="users")
    features = {**USERS, "same": feature("count", 60.0, key="user_text")}
    crowd = scene(sensible, rule("copies", "same > 2 and length > 12"), features=features)
    for number in range(300):
        crowd.chat(f"u{number}", text, at=number / 50)
        crowd.chat(f"u{number}", text, at=number / 50)
    assert [] == crowd.actions
    assert {} == crowd.hits("wave") == crowd.hits("copies")


@pytest.mark.parametrize(
    ("features", "rule_", "message"),
    [
        ({"users": feature("count")}, cluster(most=2), "must be a distinct count of users"),
        ({"users": feature("distinct", of="text")}, cluster(most=2), "must be a distinct count of users"),
        ({"users": feature("distinct", key="room", of="text")}, cluster(most=2), "must be a distinct count of users"),
        ({"users": feature("distinct", key="user")}, cluster(most=2), "must be a distinct count of users"),
        (USERS, rule("r", "user_age_s > 1", cluster="users", on=("chat", "join")),
         "'users' says nothing of a join event"),
        (
            {"users": feature("distinct", key="room", events=("join",))},
            rule("r", "users > 1", "delete", cluster="users"),
            "a rule that deletes needs a count over chat alone",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_a_cluster(features: Any, rule_: RuleSettings, message: str) -> None:
    """A cluster is a distinct count of users over something they share, which the rule's events have."""
    with pytest.raises(RuleErrors) as caught:
        program(rule_, features=features)
    assert message in str(caught.value)
