"""Penalties in force, by us or by a human: what they drop, how they end, how they are taken back."""

from __future__ import annotations

from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.penalties import Penalties, Penalty
from roomguard.engine.settings import BudgetSettings, CapSettings, LadderSettings, RuleSettings
from roomguard.engine.snapshot import survivors
from roomguard.model.actions import Action, action_id
from roomguard.model.events import Appeal, Control
from roomguard.testing import START, Scene, chat, feature, program, rule

PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)
BAD = 'contains(text, "bad")'
KINDS = ("chat", "gift", "like", "join", "leave", "follow", "unfollow", "share", "report")


def scene(*rules: RuleSettings, **more: Any) -> Scene:
    return Scene(program(*rules, **{"budget": PLENTY, **more}))


def say(room: Scene, kind: str, user: str, at: float) -> str:
    """The verdict of an event of this kind."""
    if kind == "moderation":
        return room.moderation(user, "delete", "x", at).verdict
    if kind == "appeal":
        event = Appeal(id=f"a{at}", ts=START + at, room="r1", user=user, action="x")
        return room.guard.receive(event, event.ts).verdict
    if kind in ("chat", "gift", "like"):
        return getattr(room, kind)(user, at=at).verdict  # type: ignore[no-any-return]
    return (room.report(user, "x", at) if kind == "report" else room.plain(kind, user, at)).verdict


@pytest.mark.parametrize("kind", [*KINDS, "moderation", "appeal"])
@pytest.mark.parametrize(("action", "passes"), [("mute", None), ("kick", ("appeal", "leave", "moderation"))])
def test_what_a_penalty_drops(kind: str, action: str, passes: tuple[str, ...] | None) -> None:
    """A mute drops chat, a kick everything but appeal, leave and moderation; what is dropped counts nowhere."""
    room = scene(
        rule("r", BAD, action, duration_s=60.0), rule("all", "everything > 1", "warn", on=KINDS),
        features={"everything": feature("count", events=KINDS)},
    )  # fmt: skip
    room.chat("ann", "bad")
    dropped = kind == "chat" if passes is None else kind not in passes
    for at in (1, 2, 59.9):
        assert ("drop" if dropped else "allow") == say(room, kind, "ann", at)
    assert 3 * dropped == room.guard.tally.dropped
    assert "allow" == say(room, "chat", "ben", 3)
    assert "allow" == say(room, "chat", "ann", 60)


def test_no_second_action_while_muted() -> None:
    """What still arrives after a mute is dropped and causes no second action, whatever the rules think of it."""
    room = scene(rule("r", BAD, "mute", "delete", duration_s=10.0))
    for at in range(10):
        room.chat("ann", "bad", at=at)
    assert ["mute", "delete"] == room.kinds()
    room.chat("ann", "bad", at=10)
    assert ["mute", "delete"] * 2 == room.kinds()
    assert 4 == len({action.id for action in room.actions})


def test_a_kick_without_end_ends_at_the_next_join() -> None:
    """A kick without a duration ends when its user joins again; one with a duration does not."""
    for duration, verdict in ((0.0, "allow"), (30.0, "drop")):
        room = scene(rule("r", BAD, "kick", duration_s=duration))
        room.chat("ann", "bad")
        assert "drop" == say(room, "chat", "ann", 1)
        assert "allow" == say(room, "leave", "ann", 2)
        assert verdict == say(room, "join", "ann", 3)
        assert verdict == say(room, "chat", "ann", 4)
        assert bool(room.guard.in_force()) == (verdict == "drop")


def test_a_kick_without_end_ends_after_a_while() -> None:
    """Without a join it ends after the time that is set."""
    room = scene(rule("r", BAD, "kick"), kick_s=40.0)
    room.chat("ann", "bad")
    assert (None, None) == (room.actions[0].duration_s, room.actions[0].until)
    assert ["drop", "allow"] == [say(room, "like", "ann", 39.9), say(room, "like", "ann", 40)]


def test_a_human_mutes_and_unmutes() -> None:
    """A human's mute or kick holds like ours until its end, or for good, and a human's word ends ours and theirs."""
    room = scene(rule("r", BAD, "mute", duration_s=100.0))
    room.moderation("max", "mute", "ann", 0, duration_s=10)
    room.moderation("max", "mute", "ben", 0)
    room.moderation("max", "kick", "cem", 0)
    room.moderation("max", "kick", "dan", 0, duration_s=500)
    assert ["drop"] * 4 == [say(room, "chat", user, 9.9) for user in ("ann", "ben", "cem", "dan")]
    assert "allow" == say(room, "chat", "ann", 10)
    assert ["drop", "allow"] == [say(room, "chat", user, 60) for user in ("ben", "cem")]
    assert "drop" == say(room, "chat", "ben", 1e6)
    room.moderation("max", "unmute", "ben", 1e6)
    assert "allow" == say(room, "chat", "ben", 1e6)
    room.chat("ann", "bad", at=1e6)
    assert ["ann"] == [action.user for action in room.guard.in_force()]
    room.moderation("max", "unmute", "ann", 1e6 + 1)
    assert [] == room.guard.in_force()
    assert "allow" == say(room, "chat", "ann", 1e6 + 2)
    assert ["mute"] == room.kinds()


def test_the_later_end_wins() -> None:
    """Of two mutes of one user the one that ends later stands, whoever set it, and ours is no longer ours to undo."""
    room = scene(rule("r", BAD, "mute", duration_s=100.0))
    room.chat("ann", "bad")
    room.moderation("max", "mute", "ann", 1, duration_s=5)
    assert "drop" == say(room, "chat", "ann", 50)
    room.moderation("max", "mute", "ann", 51, duration_s=500)
    assert () == room.undo(room.actions[0], 52).actions
    assert ["drop", "allow"] == [say(room, "chat", "ann", 550.9), say(room, "chat", "ann", 551)]


# Strikes and undo


@pytest.mark.parametrize("kind", ["mute", "kick", "delete", "warn", "restrict"])
def test_undo(kind: str) -> None:
    """An undo emits the inverse, ends what was in force, takes the strike back, and is safe to repeat."""
    room = scene(rule("r", BAD, kind, duration_s=60.0))
    room.chat("ann", "bad")
    (action,) = room.actions
    first = room.undo(action, 1).actions
    assert [[], []] == [list(room.undo(action, at).actions) for at in (2, 3)]
    inverse = {"mute": "unmute", "kick": "readmit", "delete": "restore", "restrict": "lift", "warn": None}[kind]
    assert ([inverse] if inverse else []) == [one.kind for one in first]
    for one in first:
        assert (action.id, action.user, "undo", "r") == (one.undoes, one.user, one.reason, one.rule)
        assert action_id("r1", action.user, one.kind, "r", action.id) == one.id
        assert one.events == (action.events if kind == "delete" else None)
    assert [] == room.guard.in_force()
    assert 0 == room.guard.statistics().strikes
    assert "allow" == say(room, "chat", "ann", 4)
    room.chat("ann", "bad", at=5)
    assert kind == room.actions[-1].kind


@pytest.mark.parametrize("kind", ["mute", "kick", "delete", "restrict"])
@pytest.mark.parametrize("memory", ["snapshot", "journal", "none"])
def test_undo_after_a_restart(kind: str, memory: str) -> None:
    """An undo needs nothing but its own record: after a restart, with any memory or none, it gives the same inverse."""
    before = scene(rule("r", BAD, kind, duration_s=60.0))
    before.chat("ann", "bad")
    (action,) = before.actions
    after = Scene(before.guard.program)
    if memory == "snapshot":
        after.guard = type(after.guard).restore("r1", after.guard.program, before.guard.snapshot())
    elif memory == "journal":
        state = survivors(before.guard.in_force())
        after.guard.control(Control(type="reset", room="r1", ts=START + 1, state=msgspec.Raw(state)), START + 1)
    if memory != "none" and kind in ("mute", "kick"):
        assert "drop" == say(after, "chat", "ann", 2)
    (inverse,) = after.undo(action, 3).actions
    (expected,) = before.undo(action, 3).actions
    assert expected == inverse
    assert [] == list(after.undo(action, 4).actions)
    assert ([], "allow") == (after.guard.in_force(), say(after, "chat", "ann", 5))


def test_a_strike_is_taken_back_once() -> None:
    """One action is one strike: a human's word, an undo after it and an undo of another rule's take no second one."""
    ladder = {"default": LadderSettings(steps=("mute 5", "mute 60", "mute 600"))}
    room = scene(
        rule("r", BAD, "ladder"), rule("free", 'contains(text, "free")', strike=False, duration_s=5.0), ladders=ladder
    )
    room.chat("ann", "bad")
    room.chat("ann", "bad", at=10)
    assert 2 == room.guard.strikes_of("ann")
    room.moderation("max", "unmute", "ann", 11)
    assert room.guard.strikes_of("ann") == 1
    assert [] == list(room.undo(room.actions[1], 12).actions)
    room.moderation("max", "unmute", "ann", 13)
    assert room.guard.strikes_of("ann") == 1
    room.chat("ann", "free", at=14)
    room.undo(room.actions[-1], 15)
    assert ("unmute", 1) == (room.kinds()[-1], room.guard.strikes_of("ann"))
    room.undo(room.actions[0], 16)
    assert 0 == room.guard.strikes_of("ann")


def test_a_mute_that_is_over_cannot_be_pardoned() -> None:
    """A human's unmute after the mute ran out by itself is no judgement of it: the strike stays."""
    room = scene(rule("r", BAD, "mute", duration_s=5.0))
    room.chat("ann", "bad")
    room.moderation("max", "unmute", "ann", 6)
    assert room.guard.strikes_of("ann") == 1


def test_lift() -> None:
    """A restriction that was undone is over, and the room may be restricted anew."""
    room = scene(rule("wave", "everybody > 2", "restrict"), features={"everybody": feature("count", key="room")})
    for at in range(5):
        room.chat(f"u{at}", at=at)
    (action,) = room.actions
    assert ["lift"] == [one.kind for one in room.undo(action, 5).actions]
    room.chat("ann", at=6)
    assert ["restrict", "lift", "restrict"] == room.kinds()


@pytest.mark.parametrize(
    "more", [{}, {"action": "x"}, {"action": "x", "kind": "nonsense"}, {"action": "x", "kind": "release"}]
)
def test_undo_of_nothing(more: dict[str, Any]) -> None:
    """An undo that names nothing to take back does nothing."""
    assert [] == list(scene().control("undo", 1, **more).actions)


# Holds


@pytest.mark.parametrize("fail", ["release", "delete"])
def test_a_hold_gets_the_fail_mode_at_its_own_time(fail: Any) -> None:
    """A held message nobody decided gets the fail mode at its own deadline, by a timer or by the next input."""
    compiled = program(rule("r", BAD, "hold"), hold_s=20.0, hold_fail=fail, budget=PLENTY)
    late, timed = Scene(compiled), Scene(compiled)
    for room in (late, timed):
        assert "hold" == room.chat("ann", "bad", id="h1").verdict
        assert "hold" == room.chat("ben", "bad", at=5, id="h2").verdict
        assert START + 20 == room.guard.next_deadline()
    timed.expire(19.9)
    assert [] == timed.actions
    timed.expire(20)
    timed.expire(24)
    assert (START + 20, START + 25) == (timed.guard.now, timed.guard.next_deadline())
    timed.expire(30)
    assert (START + 25, None) == (timed.guard.now, timed.guard.next_deadline())
    outcome = late.chat("cem", at=100)
    assert ("allow", timed.actions) == (outcome.verdict, late.actions)
    assert [(fail, ("h1",), START + 20), (fail, ("h2",), START + 25)] == [
        (a.kind, a.events, a.at) for a in late.actions
    ]
    assert {"fail_mode"} == {action.reason for action in late.actions}
    assert ["ann", "ben"] == [action.user for action in late.actions]


def test_holds_have_a_cap() -> None:
    """At the cap the message held longest gets the fail mode at once."""
    room = scene(rule("r", BAD, "hold"), caps=CapSettings(holds=2))
    for number in range(4):
        room.chat(f"u{number}", "bad", at=number, id=f"h{number}")
    assert [("release", ("h0",)), ("release", ("h1",))] == [(a.kind, a.events) for a in room.actions]
    assert 2 == room.guard.statistics().holds


def test_a_human_who_deletes_a_held_message_has_decided() -> None:
    """A held message that a moderator deletes is not released later."""
    room = scene(rule("r", BAD, "hold"))
    room.chat("ann", "bad", id="h1")
    room.chat("ben", "bad", id="h2")
    room.moderation("max", "delete", "ann", 1, target_event="h1")
    room.moderation("max", "delete", "zoe", 1)
    room.expire(100)
    assert [("h2",)] == [action.events for action in room.actions]


# Gifts


def test_a_streak_is_one_gift_of_its_total() -> None:
    """A streak from 1 to 100 with its end is one gift of 100; sent twice, or late, it counts once; no flood."""
    room = scene(
        rule("flood", "gifts > 1", "mute", on=("gift",)),
        rule("rich", "user_gifted > 99 and sent == 100", "warn", on=("gift",)),
        features={
            "gifts": feature("count", events=("gift",)),
            "sent": feature("sum", events=("gift",), of="gift_count"),
        },
    )  # fmt: skip
    for total in (*range(1, 100), 50, 100, 100):
        room.gift("ann", total, total / 10, streak="s", streak_end=total == 100)
    assert ["warn"] == room.kinds()
    assert 100 == room.guard.users["ann"].gifted
    room.gift("ben", 1, 20, streak="t")
    room.gift("ben", 1, 20.1, streak="t", streak_end=True)
    assert room.guard.users["ben"].gifted == 1


def test_streaks_side_by_side() -> None:
    """A user's streaks of several gifts may alternate without counting anything twice."""
    room = scene()
    for total in range(1, 11):
        for streak in ("roses", "stars", "cats"):
            room.gift("ann", total, total, streak=streak)
    assert 30 == room.guard.users["ann"].gifted
    for number in range(50):
        room.gift("ann", 1, 20, streak=f"s{number}")
    assert 8 == len(room.guard.users["ann"].streaks)


# The table


def mute(user: str, until: float, kind: Any = "mute") -> Penalty:
    return Penalty(kind, user, until, f"{kind}-{user}-{until}", 0.0)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "end", "purge", "limit"]), st.sampled_from(["mute", "kick"]),
            st.sampled_from("abcde"), st.sampled_from([1.0, 5.0, 9.0, 20.0, inf]),
        )
    )
)  # fmt: skip
def test_penalties_equal_a_model(steps: list[tuple[str, str, str, float]]) -> None:
    """A user has at most one mute and one kick, the later end wins, at the cap what ends first goes, and is counted."""
    table, model, now, cap, forgotten = Penalties(4), dict[tuple[str, str], float](), 0.0, 4, 0

    def forget() -> int:
        if len(model) <= cap:
            return 0
        del model[min(model, key=lambda key: (model[key], key))]
        return 1

    for what, kind, user, number in steps:
        if what == "add":
            until = now + number
            if until > model.get((kind, user), -inf):
                if (kind, user) not in model and len(model) >= cap:
                    del model[min(model, key=lambda key: (model[key], key))]
                    forgotten += 1
                model[kind, user] = until
            table.add(mute(user, until, kind))
        elif what == "end":
            ended = table.end(user, kind)
            assert model.pop((kind, user), None) == (None if ended is None else ended.until)
        elif what == "purge":
            now += min(number, 9.0)
            table.purge(now)
            model = {key: until for key, until in model.items() if until > now}
        else:
            cap = 2 + int(min(number, 9.0)) % 4
            table.limit(cap)
            while len(model) > cap:
                forgotten += forget()
        assert model == {(penalty.kind, penalty.user): penalty.until for penalty in table}
        assert (len(model), forgotten) == (len(table), table.forgotten)
        assert len(table._by_end or ()) == len(table), "the order of ends holds nothing else"
        for other in "abcde":
            for kind_, found in (("mute", table.mute_of(other, now)), ("kick", table.kick_of(other, now))):
                assert (model.get((kind_, other), -inf) > now) == (found is not None)
        assert table.latest_end() == max((until for until in model.values() if until < inf), default=-inf)
    copy = Penalties(cap)
    copy.load(msgspec.json.decode(msgspec.json.encode(table.dump())))
    assert list(table) == list(copy)


def test_penalties_in_force_are_ours_oldest_first() -> None:
    """What an edge is told on taking a room: our penalties in force, oldest first; a human's it knows."""
    room = scene(rule("r", BAD, "mute", duration_s=60.0))
    for at, user in ((0, "cem"), (10, "ann"), (20, "ben")):
        room.chat(user, "bad", at=at)
    room.moderation("max", "mute", "dan", 21)
    found: list[Action] = room.guard.in_force()
    assert ["cem", "ann", "ben"] == [action.user for action in found]
    room.chat("eve", at=60)
    assert ["ann", "ben"] == [action.user for action in room.guard.in_force()]


def test_a_room_forgets_penalties_at_its_cap() -> None:
    """At the cap on penalties the one that ends first is forgotten, counted, and its user may speak again."""
    caps = CapSettings(penalties=3)
    room = scene(rule("r", BAD, "mute", duration_s=60.0), caps=caps)
    for number in range(5):
        room.take(chat(f"u{number}", "bad", number, id=f"b{number}"))
    assert (3, 2) == (room.guard.statistics().penalties, room.guard.tally.forgotten_penalties)
    assert ["allow", "drop"] == [say(room, "chat", user, 6) for user in ("u0", "u4")]
    assert 3 >= room.guard.statistics().strikes
