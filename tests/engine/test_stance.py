"""Jitter, notices, languages, and taking back: what goes with an action once it is decided."""

from __future__ import annotations

from typing import Any

import pytest

from roomguard.engine.jitter import delay_s
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import CapSettings, LadderSettings
from roomguard.model.actions import INVERSES, to_dict
from roomguard.testing import START, Scene, feature, program, rule

WALL = "x" * 30


def jittery(*action: str, **more: Any) -> Scene:
    return Scene(program(rule("r", "length > 20", *action, jitter_s=10.0, duration_s=60.0), **more))


def test_a_delay_follows_from_the_action() -> None:
    """Delays spread over the whole time, and are the same for an action for ever."""
    delays = [delay_s(f"act{number}", 10.0) for number in range(200)]

    assert delays == [delay_s(f"act{number}", 10.0) for number in range(200)]
    assert 0 <= min(delays) < 1
    assert 9 < max(delays) <= 10
    assert delay_s("act1", 20.0) == pytest.approx(2 * delay_s("act1", 10.0), abs=0.002)


@pytest.mark.parametrize("kind", ["mute", "kick", "warn"])
def test_an_action_waits_its_time(kind: str) -> None:
    """It is decided once, goes out at its own deadline, is in force from then on, and lasts as long as ever."""
    scene = jittery(kind)
    first = scene.chat("ann", WALL, at=0)
    assert ("allow", ()) == (first.verdict, first.actions)
    due = scene.guard.next_deadline()
    assert START < due <= START + 10
    assert ("allow", ()) == (scene.chat("ann", WALL, at=0).verdict, scene.chat("ann", WALL, at=0).actions)
    (action,) = scene.guard.expire(due).actions
    assert (kind, due, ("e1",)) == (action.kind, action.at, action.causes)
    assert due == START + delay_s(action.id, 10.0)
    if kind != "warn":
        assert (due + 60, "drop") == (action.until, scene.chat("ann", "hi", at=due - START + 1).verdict)


def test_a_message_is_hidden_at_once() -> None:
    """Only what befalls the user waits; what would be read does not."""
    scene = jittery("mute", "delete")

    assert (["delete"], ["drop"]) == ([a.kind for a in scene.chat("ann", WALL).actions], scene.verdicts)


def test_a_pardon_ends_what_waits() -> None:
    """A human who lets the user speak ends a mute that has not gone out, and takes its strike back."""
    scene = jittery("mute")
    scene.chat("ann", WALL, at=0)
    assert scene.guard.strikes_of("ann") == 1
    scene.moderation("mod", "unmute", "ann", at=0)

    assert (None, 0) == (scene.guard.next_deadline(), scene.guard.strikes_of("ann"))
    assert [] == scene.expire(100).actions or scene.actions == []


def test_what_has_become_needless_is_not_sent() -> None:
    """A mute of a human's in the meantime makes ours needless."""
    scene = jittery("mute")
    scene.chat("ann", WALL, at=0)
    scene.moderation("mod", "mute", "ann", at=0, duration_s=500.0)
    scene.expire(100)

    assert ([], {"enforce": 1, "in_force": 1}) == (scene.actions, scene.hits("r"))


def test_what_waits_is_kept_and_bounded() -> None:
    """A restored room sends the same at the same time; at the cap the next one due goes out at once."""
    one = jittery("mute")
    for user in ("ann", "ben", "cat"):
        one.chat(user, WALL, at=0)
    other = RoomGuard.restore("r1", one.guard.program, one.guard.snapshot())
    assert one.guard.expire(START + 20).actions == other.expire(START + 20).actions != ()
    small = jittery("mute", caps=CapSettings(holds=2))
    for user in ("ann", "ben", "cat", "dan"):
        small.chat(user, WALL, at=0)
    assert (2, ["mute", "mute"]) == (len(small.guard.stance.pending), small.kinds())
    assert ["allow"] * 4 == small.verdicts


def test_one_notice_in_an_interval() -> None:
    """One action of a room in `notice_s` is marked public, the first; everybody is told why all the same."""
    scene = Scene(program(rule("r", "length > 20", "mute"), rule("w", "length > 10", "warn"), notice_s=45.0))
    for number, at in enumerate((0, 1, 44.999, 45, 46, 90)):
        scene.chat(f"u{number}", WALL, at=at)
    mutes = [action for action in scene.actions if action.kind == "mute"]

    assert [True, None, None, True, None, True] == [action.public for action in mutes]
    assert all(action.message for action in mutes)
    assert "public" not in to_dict(mutes[1])
    quiet = Scene(program(rule("r", "length > 20", "mute")))
    assert [None] == [action.public for action in quiet.chat("ann", WALL).actions]


def test_users_are_spoken_to_in_their_language() -> None:
    """A user is told in the language of the message that hit, later in that of the last one, else in the room's."""
    scene = Scene(program(rule("r", "length > 20", "mute", duration_s=10.0)))
    scene.chat("ann", WALL, at=0, lang="de")
    scene.chat("ben", WALL, at=0)
    (undo,) = scene.undo(scene.actions[0], at=1).actions

    assert "kannst" in scene.actions[0].message
    assert scene.actions[1].message.startswith("You cannot chat")
    assert "wieder" in undo.message
    restored = RoomGuard.restore("r1", scene.guard.program, scene.guard.snapshot())
    assert ("de", None) == (restored.lang_of("ann"), restored.lang_of("ben"))


@pytest.mark.parametrize("kind", sorted(INVERSES))
def test_every_action_can_be_taken_back(kind: str) -> None:
    """Each kind has its inverse, which ends what is in force, returns the strike, and comes once."""
    scene = Scene(program(rule("r", "length > 20", kind, duration_s=100.0)))  # type: ignore[arg-type]
    scene.chat("ann", WALL, at=0)
    (action,) = scene.actions
    strikes = 0 if kind == "restrict" else 1
    assert strikes == scene.guard.strikes_of("ann")
    (back,) = scene.undo(action, at=1).actions
    scene.undo(action, at=2)

    assert (INVERSES[kind], action.id, 2) == (back.kind, back.undoes, len(scene.actions))
    assert (0, []) == (scene.guard.strikes_of("ann"), scene.guard.in_force())
    assert "allow" == scene.chat("ann", WALL, at=0, id="e1").verdict


@pytest.mark.parametrize("kind", ["mute", "kick", "delete"])
def test_a_cluster_is_taken_back_one_by_one(kind: str) -> None:
    """Every user of a cluster has an action of their own, and so an inverse and a strike of their own."""
    scene = Scene(
        program(
            rule("wave", "users >= 5", kind, duration_s=100.0, cluster="users"),
            features={"users": feature("distinct", 60.0, key="text")},
        )
    )
    for number in range(5):
        scene.chat(f"u{number}", "the same advert", at=number)
    taken = list(scene.actions)
    assert 5 == len(taken)
    for action in taken[:3]:
        scene.undo(action, at=10)

    inverse = INVERSES[kind]
    assert [a.user for a in taken[:3]] == [a.user for a in scene.actions if a.kind == inverse]
    strikes = {f"u{number}": scene.guard.strikes_of(f"u{number}") for number in range(5)}
    assert {a.user: 0 for a in taken[:3]} | {a.user: 1 for a in taken[3:]} == strikes


def test_one_decision_is_one_strike() -> None:
    """Where a hit both mutes and hides, taking back the mute takes back the strike; the hiding takes none."""
    ladders = {"default": LadderSettings(steps=("mute 10", "mute 100"))}
    scene = Scene(program(rule("r", "length > 20", "mute", "delete", duration_s=5.0), ladders=ladders))
    scene.chat("ann", WALL, at=0)
    scene.chat("ann", WALL, at=10)
    assert 2 == scene.guard.strikes_of("ann")
    mute, delete = scene.actions[2:]
    scene.undo(delete, at=11)
    assert 2 == scene.guard.strikes_of("ann")
    scene.undo(mute, at=12)
    assert scene.guard.strikes_of("ann") == 1
