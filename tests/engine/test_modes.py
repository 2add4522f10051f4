"""Room modes step up when many new users are hit, down by themselves, and mean nobody but the wave."""

from __future__ import annotations

from typing import Any

import pytest

from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import (
    BudgetSettings,
    ElevatedSettings,
    ModesSettings,
    RaidSettings,
    StrategySettings,
)
from roomguard.model.events import RoomOpen
from roomguard.testing import Scene, control, feature, program, rule

MODES = ModesSettings(
    elevated=ElevatedSettings(hits=4, dwell_s=30.0),
    raid=RaidSettings(hits=8, dwell_s=60.0, scale={"size": 0.5}),
    window_s=60.0, new_s=100.0, settle_s=0.0,
)  # fmt: skip


def room(*rules: Any, modes: ModesSettings = MODES, **more: Any) -> Scene:
    """A room with one known user, ann, that has been open for ten minutes."""
    wall = rule("wall", "length > size", "delete")
    budget = BudgetSettings(actions_per_room_minute=1_000, actions_per_rule_minute=1_000)
    fields = {"thresholds": {"size": 20}, "modes": modes, "budget": budget, **more}
    scene = Scene(program(wall, *rules, **fields))
    scene.chat("ann", "hi", at=-600)
    return scene


def raid(scene: Scene, count: int, at: float = 0.0, text: str = "x" * 30) -> None:
    """So many new users write a wall each, a tenth of a second apart."""
    for number in range(count):
        scene.chat(f"new{number}", text, at=at + number / 10)


@pytest.mark.parametrize(("count", "mode"), [(3, "calm"), (4, "elevated"), (7, "elevated"), (8, "raid"), (30, "raid")])
def test_steps_up(count: int, mode: str) -> None:
    """So many different new users hit within a minute make a mode: the n-th, not one before."""
    scene = room()
    raid(scene, count)

    assert mode == scene.guard.stance.mode
    assert {"calm": 0, "elevated": 1, "raid": 2}[mode] == len(scene.alerts)
    assert all(alert.code == "room_mode" for alert in scene.alerts)


def test_only_the_wave_is_meant() -> None:
    """Who was there before is judged as always; who came with the wave or later, by its numbers."""
    scene = room()
    raid(scene, 8)
    for user in ("ann", "late", "new3"):
        scene.chat(user, "y" * 15, at=5)

    assert [] == scene.kinds("ann")
    assert ["delete"] == scene.kinds("late")
    assert ["delete", "delete"] == scene.kinds("new3")
    assert ["default.raid"] == [a.strategy for a in scene.actions if a.user == "late"]


def test_steps_down_at_its_own_deadline() -> None:
    """A mode ends when the hits have left the window and its least time is over, one level at a time."""
    scene = room()
    raid(scene, 8)  # the last at 0.7
    first = scene.guard.next_deadline()
    assert pytest.approx(scene.guard.stance.wave.entered + 60.4 - 0.7) == pytest.approx(first, abs=1.0)
    seen = []
    while (deadline := scene.guard.next_deadline()) is not None:
        scene.guard.expire(deadline)
        seen.append(scene.guard.stance.mode)

    assert ["elevated", "calm"] == seen
    assert scene.chat("late", "y" * 15, at=300).actions == ()
    assert ["calm", "elevated", "raid"] == sorted(scene.guard.tally.modes)


def test_it_holds_while_the_wave_goes_on() -> None:
    """New hits put the end off, and a short pause does not end a mode."""
    scene = room()
    for start in range(0, 200, 20):
        raid(scene, 8, at=start, text=f"{start} " + "x" * 30)
        assert ("calm", "raid")[start >= 0] == scene.guard.stance.mode

    assert scene.guard.next_deadline() > scene.guard.now


def test_regulars_are_no_raid() -> None:
    """Hits on users of the room make no mode, and neither does one spammer with many messages."""
    scene = room()
    for number in range(30):
        scene.chat(f"new{number}", "hi", at=-200)
    raid(scene, 30)
    for number in range(50):
        scene.chat("spammer", "z" * 30, at=10 + number / 10)

    assert "calm" == scene.guard.stance.mode


def test_a_mixed_crowd_is_no_raid() -> None:
    """Less than `new_share` of new users among those hit is the room's own."""
    scene = room()
    for number in range(4):
        scene.chat(f"old{number}", "hi", at=-300)
    for number in range(4):
        scene.chat(f"old{number}", "x" * 30, at=-1)
    raid(scene, 11)
    assert "calm" == scene.guard.stance.mode
    scene.chat("new11", "x" * 30, at=2)
    assert "raid" == scene.guard.stance.mode


def test_inert_until_there_is_somebody_to_compare_with() -> None:
    """While the room is younger than `settle_s` everybody is new, and only a rule may ask for a mode."""
    scene = Scene(
        program(
            rule("wall", "length > 20", "delete"), rule("flag", "length > 100", "warn", raises="elevated"),
            modes=ModesSettings(elevated=ElevatedSettings(hits=2), settle_s=60.0),
        )
    )  # fmt: skip
    raid(scene, 20)
    assert "calm" == scene.guard.stance.mode
    scene.chat("ann", "x" * 101, at=5)
    assert "elevated" == scene.guard.stance.mode


@pytest.mark.parametrize(
    ("size", "ttl_s", "count", "at", "mode"),
    [
        (50, 120.0, 30, 0, "calm"),
        (20, 120.0, 40, 0, "raid"),
        (50, 120.0, 30, 130, "raid"),
        (None, 120.0, 99, 0, "calm"),
    ],
)
def test_an_expected_wave_passes(size: int | None, ttl_s: float, count: int, at: float, mode: str) -> None:
    """Up to the announced size, within its time, a wave is no raid; each is still judged by what they do."""
    scene = room()
    scene.control("expect_raid", -1, size=size, ttl_s=ttl_s, from_room="r9")
    raid(scene, count, at=at)

    assert (mode, count) == (scene.guard.stance.mode, len(scene.kinds()))


def test_a_new_host_brings_their_own() -> None:
    """After a hand-over a wave is expected; the first host of a room hands nothing over."""
    for hosts, mode in ((["ann"], "raid"), (["ann", "ann"], "raid"), (["ann", "eve"], "calm")):
        scene = room()
        for host in hosts:
            scene.take(RoomOpen(id=f"open-{host}", ts=scene.guard.now, room="r1", host=host))
        at = scene.guard.now - 1_700_000_000
        raid(scene, 10, at=at + 1)
        assert mode == scene.guard.stance.mode


def test_grace_steps_nothing_up() -> None:
    """While a room has just come back, windowed rules only count, and so they make no mode."""
    scene = room(rule("w", "chats > 0", "warn"), features={"chats": feature("count")}, thresholds={"size": 9_999})
    scene.control("grace", -1, ttl_s=30.0)
    raid(scene, 20)

    assert "calm" == scene.guard.stance.mode


RESTRICTING = ModesSettings(
    elevated=ElevatedSettings(hits=4, dwell_s=30.0),
    raid=RaidSettings(hits=8, dwell_s=60.0, restrict="followers", restrict_s=600.0),
    settle_s=0.0,
)


def test_a_restriction_comes_and_goes_with_its_mode() -> None:
    """A mode that restricts says so once, and lifts it when it is over before the time is up."""
    scene = room(modes=RESTRICTING)
    raid(scene, 30)
    (restrict,) = [action for action in scene.actions if action.kind == "restrict"]
    assert ("followers", "new_users", 600.0, "raid", "modes.raid") == (
        restrict.mode, restrict.cohort, restrict.duration_s, restrict.reason, restrict.rule,
    )  # fmt: skip
    assert restrict.message.endswith("This applies to new accounts only.")
    scene.expire(400)
    (lift,) = [action for action in scene.actions if action.kind == "lift"]
    assert (restrict.id, "expired") == (lift.undoes, lift.reason)
    assert [] == scene.guard.in_force()


def test_a_restriction_by_a_rule_that_asks_for_a_mode_ends_with_it() -> None:
    """The rule's own restriction is lifted when the room is calm again; one by another rule stays."""
    for raises, kinds in (("raid", ["restrict", "lift"]), ("", ["restrict"])):
        scene = room(rule("wave", "length > 100", "restrict", duration_s=3_000.0, raises=raises))
        scene.chat("eve", "x" * 101, at=0)
        scene.expire(1_000)
        assert kinds == [kind for kind in scene.kinds() if kind in ("restrict", "lift")]


def test_shadow_restricts_nothing() -> None:
    """In global shadow mode the room's mode is followed and nothing is sent."""
    scene = room(modes=RESTRICTING, mode="shadow")
    raid(scene, 30)

    assert ("raid", []) == (scene.guard.stance.mode, scene.actions)


def test_symbols_of_the_mode() -> None:
    """Rules may ask for the room's mode and whether a user is of the wave."""
    scene = room(rule("locked", 'mode == "raid" and cohort', "mute"))
    scene.chat("eve", "hi", at=-1)
    assert [] == scene.kinds()
    raid(scene, 8)
    for user in ("ann", "eve", "late"):
        scene.chat(user, "hello", at=3)

    assert (["late"], []) == (
        [a.user for a in scene.actions if a.rule == "locked" and a.user == "late"],
        scene.kinds("ann"),
    )
    assert ["mute"] == scene.kinds("eve")  # she came just before the wave was noticed


def test_a_strategy_of_the_modes_name() -> None:
    """Where there is a strategy NAME.MODE the wave is judged by it."""
    scene = room(strategies={"default.raid": StrategySettings(thresholds={"size": 3})})
    raid(scene, 8)
    scene.chat("late", "four", at=3)

    assert ("default.raid", ["delete"]) == (scene.actions[-1].strategy, scene.kinds("late"))


def test_an_operator_holds_a_mode() -> None:
    """`room_mode` in an override steps up at once, holds to its end, and `calm` steps down at once."""
    scene = room(modes=RESTRICTING)
    scene.control("override", 0, settings={"room_mode": "raid"}, ttl_s=300.0)
    assert (["restrict"], "raid") == (scene.kinds(), scene.guard.stance.mode)
    scene.expire(299)
    assert "raid" == scene.guard.stance.mode
    scene.expire(1_000)
    assert (["restrict", "lift"], "calm") == (scene.kinds(), scene.guard.stance.mode)
    raid(scene, 8, at=1_001)
    scene.control("override", 1_003, settings={"room_mode": "calm"}, ttl_s=60.0)
    assert "calm" == scene.guard.stance.mode


def test_an_operator_keeps_a_room_calm() -> None:
    """While `calm` is held nothing steps up; when it ends, the next hits do."""
    scene = room(rule("alarm", 'text == "fire"', "warn", raises="raid"))
    scene.control("override", 0, settings={"room_mode": "calm"}, ttl_s=60.0)
    raid(scene, 20, at=1)
    scene.chat("zoe", "fire", at=10)
    assert "calm" == scene.guard.stance.mode
    restored = RoomGuard.restore("r1", scene.guard.program, scene.guard.snapshot())
    assert restored.stance.held_calm()
    scene.expire(60)
    scene.chat("zed", "fire", at=61)
    assert "raid" == scene.guard.stance.mode


@pytest.mark.parametrize(("at", "after"), [(20, "raid"), (70, "elevated")])
def test_letting_go_of_a_mode(at: float, after: str) -> None:
    """Ending all overrides leaves a mode to itself: it stays for its dwell, and goes at once if that is over."""
    scene = room(modes=RESTRICTING)
    scene.control("override", 0, settings={"room_mode": "raid"}, ttl_s=3_600.0)
    scene.control("override", at, settings={})

    assert after == scene.guard.stance.mode
    scene.expire(400)
    assert ("calm", ["restrict", "lift"]) == (scene.guard.stance.mode, scene.kinds())
    assert None is scene.guard.next_deadline()


def test_a_raid_outlives_a_restore_and_batching() -> None:
    """A restored room, a crashed one and one that is asked for its deadlines all the time go the same way."""
    one, other = room(modes=RESTRICTING), room(modes=RESTRICTING)
    raid(one, 9)
    raid(other, 9)
    restored = RoomGuard.restore("r1", other.guard.program, other.guard.snapshot())
    assert restored.snapshot() == other.guard.snapshot()
    other.guard = restored
    for at in range(10, 300, 7):
        other.expire(at - 3)
        for scene in (one, other):
            scene.chat("late", "hello", at=at)
    assert one.actions == other.actions
    fallen = room(modes=RESTRICTING)
    raid(fallen, 9)
    state = fallen.guard.survivors()
    again = Scene(fallen.guard.program)
    again.guard.control(control("reset", 5, state=state), fallen.guard.now)
    assert ("raid", fallen.guard.next_deadline()) == (again.guard.stance.mode, again.guard.next_deadline())
