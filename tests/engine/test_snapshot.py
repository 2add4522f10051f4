"""A room at rest: saved, restored, reloaded under another program, forgotten when idle."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from roomguard.engine.room import EVICTED_AT_ONCE, RoomGuard
from roomguard.engine.settings import BudgetSettings, CapSettings, StrategySettings
from roomguard.engine.snapshot import USERS_A_PORTION, survivors
from roomguard.model.events import RoomOpen
from roomguard.testing import START, Scene, chat, control, feature, limit, program, rule

KINDS = ("count", "sum", "distinct", "ratio", "rate", "age", "gap", "regularity", "ewma", "zscore")
KEYS = ("user", "room", "text", "near", "domain", "device", "net", "user_text", "user_near")
PLENTY = BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9)


def everything(caps: CapSettings | None = None, **more: Any) -> Any:
    """A program with every kind of window there is."""
    features = {}
    for kind in KINDS:
        for key in KEYS:
            one = feature(kind, 30.0, key=key, of={"sum": "length", "ratio": "length > 5"}.get(kind, ""))
            try:
                program(features={"f": one})
            except Exception:  # noqa: BLE001 - what does not go together is another test
                continue
            features[f"{kind}_{key}"] = one
    limits = {
        "a": limit("3/10s"),
        "b": limit("9/10s", key="room", algorithm="gcra"),
        "c": limit("5/9s", algorithm="gcra"),
    }
    return program(
        *(rule(f"see_{name}", f"{name} > 1", mode="shadow") for name in features),
        *(rule(f"over_{name}", f'over("{name}")', "warn") for name in limits),
        rule("wave", "distinct_text > 3", "mute", "delete", cluster="distinct_text", duration_s=5.0),
        rule("flood", 'over("a")', "ladder"),
        rule("held", 'contains(text, "held")', "hold"),
        rule("slow", "count_room > 20", "restrict", duration_s=20.0),
        features=features, limits=limits, caps=caps or CapSettings(), budget=BudgetSettings(), **more,
    )  # fmt: skip


EVERYTHING = everything()


def busy(scene: Scene, start: int, stop: int) -> None:
    for number in range(start, stop):
        who = {"device": f"d{number % 3}", "net": "n", "role": "viewer"}
        text = ("hello all of you", "see spam.com", "held back", "hi")[number % 7 % 4]
        scene.chat(f"u{number * 7 % 11}", text, number / 3, id=f"e{number}", who=who)
        scene.gift(f"u{number % 5}", number + 1, number / 3, id=f"g{number}", streak="s")


@pytest.mark.parametrize("cut", [0, 1, 30, 77, 150])
def test_restoring_changes_nothing(cut: int) -> None:
    """Whatever a room knows, a snapshot holds: what is restored goes on to the same actions, byte for byte."""
    whole, first = Scene(EVERYTHING), Scene(EVERYTHING)
    for scene in (whole, first):
        scene.take(RoomOpen(id="o", ts=START, room="r1", host="u3", lang="de", tags=["x"]))
        scene.control("expect_raid", 0, size=3, ttl_s=20)
        scene.moderation("max", "mute", "u4", 0)
        busy(scene, 0, cut)
    second = Scene(EVERYTHING)
    second.guard = RoomGuard.restore("r1", EVERYTHING, first.guard.snapshot())
    before = len(whole.actions)
    hits = whole.guard.tally.hits.copy()
    for scene in (whole, second):
        busy(scene, cut, 200)
        scene.expire(1000)
    assert whole.actions[before:] == second.actions
    assert whole.guard.tally.hits - hits == second.guard.tally.hits
    assert {"warn", "mute", "delete", "restrict", "release"} <= set(whole.kinds())
    assert whole.guard.snapshot() == second.guard.snapshot()
    assert whole.guard.in_force() == second.guard.in_force()


def test_a_snapshot_of_nothing() -> None:
    """A room that has seen nothing can be saved, restored and used."""
    guard = RoomGuard.restore("r1", EVERYTHING, RoomGuard("r1", EVERYTHING).snapshot())
    assert "hold" == guard.receive(chat("ann", "held"), START).verdict
    assert START == guard.opened


def test_in_portions() -> None:
    """Written down and read back in portions of so many users a room is the same as all at once."""
    scene = Scene(EVERYTHING)
    for number in range(3 * USERS_A_PORTION):
        scene.chat(f"user {number}", "hello", at=number / 10)
    portions = scene.guard.snapshot_in_portions()
    written = sum(1 for _ in portions)
    data = scene.guard.snapshot()
    read = sum(1 for _ in RoomGuard.restore_in_portions("r1", EVERYTHING, data))

    assert min(written, read) >= 3
    assert data == RoomGuard.restore("r1", EVERYTHING, data).snapshot()
    assert list(msgspec.json.decode(data)) == list(msgspec.json.decode(RoomGuard("r1", EVERYTHING).snapshot()))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"1", b"{}", b'{"version": 2}', b'{"version": 1}', b"\xff", b'{"version": 1, "now": 1}', b"null"],
)
def test_what_is_no_snapshot(data: bytes) -> None:
    """Data that is no snapshot is refused with a ValueError."""
    with pytest.raises(ValueError, match="snapshot"):
        RoomGuard.restore("r1", EVERYTHING, data)


def test_damaged_snapshots() -> None:
    """A snapshot with any one part missing or of another shape is refused, never half used."""
    scene = Scene(EVERYTHING)
    busy(scene, 0, 40)
    good = msgspec.json.decode(scene.guard.snapshot())
    for key in good:
        if key in ("slots", "users"):
            continue
        for value in ("missing", "nonsense"):
            bad = dict(good)
            if value == "missing":
                del bad[key]
            elif key in ("now", "opened", "viewers", "grace", "restricted", "staff", "undone", "fields"):
                continue  # any text would do there
            else:
                bad[key] = 5
            with pytest.raises(ValueError, match="snapshot"):
                RoomGuard.restore("r1", EVERYTHING, msgspec.json.encode(bad))


# Reload


def test_a_reload_keeps_what_both_programs_know() -> None:
    """After a reload windows, strikes and penalties go on; only what the new program counts anew starts empty."""
    shared = {"chats": feature("count", 60.0), "users": feature("distinct", 60.0, key="room")}
    one = program(rule("r", "chats > 3 and users > 1", "warn"), features=shared)
    two = program(
        rule("r", "chats > 3 and users > 1", "warn"), rule("new", "said > 0", "delete"),
        features={**shared, "said": feature("count", key="room")}, mute_s=5.0,
    )  # fmt: skip
    room, other = Scene(one), Scene(one)
    for scene in (room, other):
        scene.chat("ben")
        for at in range(3):
            scene.chat("ann", at=at)
    room.guard.configure(two)
    assert ["warn"] == [action.kind for action in other.chat("ann", at=3).actions]
    assert ["delete", "warn"] == [action.kind for action in room.chat("ann", at=3).actions]
    assert (one.version, two.version) == (other.actions[0].config, room.actions[0].config)
    (fresh,) = set(room.guard.slots.__struct_fields__) - set(other.guard.slots.__struct_fields__)
    assert getattr(room.guard.slots, fresh).value(START + 3) == 1


@pytest.mark.parametrize("causes", [3, 20])
def test_users_are_carried_over_as_if_written_down(causes: int) -> None:
    """What a reload makes of a user equals what their row would have become, whatever either program keeps."""
    features = {
        "said": feature("count", 60.0, key="user"), "likes": feature("count", 60.0, events=("like",), key="user"),
        "talk": feature("count", 60.0, events=("chat", "like"), key="user"),
    }  # fmt: skip
    some = program(rule("r", "said > 30 and likes > 30"), features=features, caps=CapSettings(causes=causes))
    other = program(rule("r", "talk > 30"), features=features)
    for before, after in itertools.permutations((EVERYTHING, some, other), 2):
        scene = Scene(before)
        busy(scene, 0, 120)
        for user in scene.guard.users.values():
            old, new = before.people, after.people
            written = new.user(old.names, old.row(user))
            carried = new.carrier(old)(user)
            assert new.row(written) == new.row(carried)
            assert (written.used(), written.recent, written.times) == (carried.used(), carried.recent, carried.times)
            assert (written.more is None) == (carried.more is None)


def test_a_reload_that_leaves_windows_alone_is_as_if_written_down() -> None:
    """A window that both programs make alike goes on as it is, and behaves as one that was saved and restored."""
    other = everything(mute_s=77.0)
    kept, restored = Scene(EVERYTHING), Scene(EVERYTHING)
    for scene in (kept, restored):
        busy(scene, 0, 120)
    data = restored.guard.snapshot()
    restored.guard = RoomGuard.restore("r1", other, data, restored.guard.tally)
    kept.guard.configure(other)
    before = len(kept.actions), len(restored.actions)
    for scene in (kept, restored):
        busy(scene, 120, 240)
        scene.expire(1000)

    assert kept.actions[before[0] :] == restored.actions[before[1] :]
    assert kept.guard.snapshot() == restored.guard.snapshot()


def test_a_reload_may_lengthen_and_shorten() -> None:
    """A window keeps what it has when its length changes: a shorter one forgets, a longer one has yet to fill."""

    def counting(window: float, most: int) -> Any:
        return program(rule("r", f"chats > {most}", "warn"), features={"chats": feature("count", window)})  # fmt: skip

    room = Scene(counting(60.0, 30))
    for at in range(20):
        room.chat("ann", at=at)
    room.guard.configure(counting(5.0, 3))
    assert {"chats": 5} == room.chat("ann", at=20).actions[0].evidence
    room.guard.configure(counting(60.0, 4))
    assert {"chats": 6} == room.chat("ann", at=21).actions[0].evidence


def test_a_reload_with_smaller_caps_frees_at_once() -> None:
    """Smaller caps hold from the first event after a reload, and what is forgotten is counted."""
    features = {"users": feature("distinct", key="text"), "copies": feature("count", key="text")}
    rules = (rule("r", 'users > 1 and copies > 1 or contains(text, "bad")', "mute", duration_s=900.0),)
    room = Scene(program(*rules, features=features, budget=PLENTY))
    for number in range(100):
        room.chat(f"u{number}", f"bad text {number:x}", at=number / 100)
    assert 100 == room.guard.statistics().penalties
    small = CapSettings(users=20, texts=10, penalties=5, distinct=3)
    room.guard.configure(program(*rules, features=features, budget=PLENTY, caps=small))
    room.chat("v", "bad thing", at=2)
    numbers = room.guard.statistics()
    assert (5, 5) == (numbers.penalties, numbers.strikes)
    assert 96 == room.guard.tally.forgotten_penalties
    for slot in (getattr(room.guard.slots, name) for name in room.guard.slots.__struct_fields__):
        assert len(slot.entries) <= 10
    for number in range(50):
        room.chat(f"w{number}", "hello", at=3)
    assert room.guard.statistics().users <= 20


def test_a_much_smaller_room_empties_some_users_at_a_time() -> None:
    """Where the cap fell by more than go at once, each new user takes the place of so many, until it holds."""
    rules = (rule("r", "user_chats > 50"),)
    room = Scene(program(*rules))
    for number in range(3 * EVICTED_AT_ONCE):
        room.chat(f"u{number}", at=number / 100)
    room.guard.configure(program(*rules, caps=CapSettings(users=20)))
    left = []
    for number in range(4):
        room.chat(f"v{number}", at=10 + number)
        left.append(len(room.guard.users))

    assert [2 * EVICTED_AT_ONCE + 1, EVICTED_AT_ONCE + 2, 20, 20] == left
    assert {"v0", "v3", f"u{3 * EVICTED_AT_ONCE - 1}"} < set(room.guard.users)
    assert 3 * EVICTED_AT_ONCE + 4 - 20 == room.guard.tally.evicted_users


def test_a_reload_moves_the_strategy_along() -> None:
    """After a reload a room is judged by the strategy the new program has for it."""
    room = Scene(program(rule("r", "length > 0", mode="shadow")))
    room.take(RoomOpen(id="o", ts=START, room="r1", tags=["kids"]))
    room.chat("ann")
    strict = StrategySettings(tags=("kids",), modes={"r": "enforce"})
    room.guard.configure(program(rule("r", "length > 0", mode="shadow"), strategies={"strict": strict}))
    room.chat("ann", at=1)
    assert ["strict"] == [action.strategy for action in room.actions]


# Idle, reset


def test_an_idle_room_can_be_forgotten() -> None:
    """From `idle_at` on every window has run out: a new guard counts what the old one counts."""
    compiled = program(
        rule("watch", 'True or known(a) or known(b) or known(c) or known(d) or over("l")', "warn", strike=False),
        features={
            "a": feature("count", 60.0), "b": feature("distinct", 45.0, key="room"),
            "c": feature("ratio", 30.0, of="length > 3"), "d": feature("gap", 50.0),
        },
        limits={"l": limit("3/40s")},
    )  # fmt: skip
    old = Scene(compiled)
    for at in range(10):
        old.chat("ann", at=at)
    assert START + 9 + 60 == old.guard.idle_at()
    new = Scene(compiled)
    new.chat("ann", at=69, id="later")
    assert new.actions[0].evidence == old.chat("ann", at=69, id="later").actions[0].evidence


def test_a_reset_forgets_all_but_what_the_journal_keeps() -> None:
    """A room that lost its memory starts anew, in grace, with the penalties and the restriction of the journal."""
    scene = Scene(
        program(
            rule("bad", 'contains(text, "bad")', "mute", duration_s=100.0),
            rule("out", 'contains(text, "out")', "kick"),
            rule("wave", "said > 3", "restrict", duration_s=50.0), rule("many", "said > 0", "delete"),
            features={"said": feature("count", key="room")}, budget=PLENTY,
        )
    )  # fmt: skip
    for at, (user, text) in enumerate([("ann", "bad"), ("ben", "out"), ("cem", "hi"), ("dan", "hi")]):
        scene.chat(user, text, at=at)
    kept = scene.guard.in_force()
    assert ["mute", "kick", "restrict"] == [action.kind for action in kept]
    state = msgspec.Raw(survivors(kept))
    scene.control("reset", 10, state=state, ttl_s=5)
    assert kept == scene.guard.in_force()
    assert (0, START + 10) == (scene.guard.statistics().users, scene.guard.opened)
    assert ["drop", "drop", "allow"] == [scene.chat(user, at=11).verdict for user in ("ann", "ben", "cem")]
    assert {"grace": 1} == {k: v for k, v in scene.hits("many").items() if k == "grace"}
    scene.join("ben", at=12)
    assert "drop" == scene.chat("cem", at=15).verdict
    assert "drop" == scene.chat("ben", at=15).verdict
    assert sum(action.kind == "restrict" for action in scene.actions) == 1
    late = Scene(scene.guard.program)
    late.control("reset", 90, state=state)
    assert ["ann"] == [action.user for action in late.guard.in_force()]


def test_a_crash_forgets_windows_and_nothing_else() -> None:
    """What outlives a crash: people, penalties (a human's too), strikes, budgets and held messages."""
    compiled = program(
        rule("bad", 'contains(text, "bad")', "ladder"), rule("held", 'contains(text, "held")', "hold"),
        rule("many", "said > 2", "delete"), features={"said": feature("count", key="room")},
        budget=BudgetSettings(actions_per_rule_minute=2),
    )  # fmt: skip
    before = Scene(compiled)
    before.take(RoomOpen(id="o", ts=START, room="r1", host="hanna", tags=["x"]))
    before.moderation("max", "mute", "zoe", 0)
    before.chat("ann", "bad", at=1)
    before.chat("ben", "held", at=2)
    after = Scene(compiled)
    after.control("reset", 3, state=msgspec.Raw(before.guard.survivors()))
    assert before.guard.in_force() == after.guard.in_force()
    assert ["drop", "drop", "allow"] == [
        after.chat(user, at=3, id=f"n{user}").verdict for user in ("ann", "zoe", "ben")
    ]
    after.chat("ann", "bad", at=6.5, id="later")
    assert 600 == after.actions[-1].duration_s
    after.chat("cem", "bad", at=7, id="third")
    assert {"enforce": 1, "budget": 1} == after.hits("bad")
    for user in ("max", "hanna"):
        after.chat(user, "bad", at=8, id=f"n{user}")
    assert 2 == after.hits("bad")["exempt"]
    after.expire(100)
    assert ("release", ("e3",), START + 32) == (after.actions[-1].kind, after.actions[-1].events, after.actions[-1].at)


def test_controls_without_meaning_for_the_engine() -> None:
    """A control record that changes nothing here only moves time."""
    scene = Scene(EVERYTHING)
    for at, type_ in enumerate(("config", "shed", "override", "enforced")):
        assert () == scene.control(type_, at).actions
        assert START + at == scene.guard.now
    scene.guard.control(control("grace", -50, ttl_s=1), START - 50)
    assert START + 3 == scene.guard.now
