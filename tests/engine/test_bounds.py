"""A long room and a hostile one: memory and time stay bounded whatever comes."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from roomguard.engine.room import MAX_STAFF, MAX_TEXT, MAX_UNDONE, RoomGuard
from roomguard.engine.settings import BudgetSettings, CapSettings
from roomguard.model.events import AnyEvent
from roomguard.testing import START, Scene, chat, feature, join, like, limit, program, rule
from roomguard.wire.recording import decode_line, encode_line

CAPS = CapSettings(users=400, texts=100, room_window=200, user_window=20, distinct=50, penalties=100, holds=20)
EVERY_KIND = ("chat", "gift", "like", "join", "leave", "follow", "unfollow", "share", "report")
FEATURES = {
    "same": feature("count", key="user_text"),
    "users": feature("distinct", key="text"),
    "same_domain": feature("count", key="domain"),
    "crowd": feature("distinct", key="room", events=EVERY_KIND),
    "events": feature("count", key="room", events=EVERY_KIND),
    "gaps": feature("gap", events=EVERY_KIND),
    "share": feature("ratio", key="device", of="length > 5"),
    "wave": feature("zscore", 10.0, key="room", events=("join",)),
}
RULES = (
    rule("copies", "same > 2 or gaps < 0.5", "mute", duration_s=600.0),
    rule("users", "users > 3 and same_domain > 0 and share > 0", "kick", cluster="users"),
    rule("odd", 'contains(text, "bad")', "hold", "ladder"),
    rule("crowd", "crowd > 5 and events > 100 and wave > 3", "restrict", on=("join",)),
    rule("over", 'over("any")', "warn", on=("like",)),
)
PROGRAM = program(
    *RULES, features=FEATURES, limits={"any": limit("5/10s", events=EVERY_KIND, weights={"like": 0.5})}, caps=CAPS,
    budget=BudgetSettings(actions_per_room_minute=10**9, actions_per_rule_minute=10**9),
)  # fmt: skip


def size_of(room: RoomGuard) -> int:
    """Bytes of a room at rest: everything it knows."""
    return len(room.snapshot())


def test_a_day_of_strangers() -> None:
    """Sixty thousand accounts through a room with small caps leave its tables at their caps and its memory flat."""
    room, sizes = RoomGuard("r1", PROGRAM), []
    for number in range(60_000):
        user = f"u{number:08}"
        text = ("bad", f"see {number}.com")[number % 2] if number % 5 == 0 else f"number {number} says hello"
        at = number * 1.44
        event: Any = join(user, at) if number % 3 == 0 else like(user, 9, at) if number % 3 == 1 else None
        room.receive(event or chat(user, text, at), START + at)
        room.receive(chat(user, text, at, id=f"x{number}", who={"device": user}), START + at)
        if number % 10_000 == 9_999:
            sizes.append(size_of(room))
            numbers = room.statistics()
            assert CAPS.users * 15 // 16 <= numbers.users <= CAPS.users
            assert numbers.penalties <= CAPS.penalties
            assert numbers.strikes <= CAPS.penalties
            assert numbers.holds <= CAPS.holds
    assert max(sizes) < 1.1 * sizes[0]
    assert 60_000 - CAPS.users <= room.tally.evicted_users
    for slot in (getattr(room.slots, name) for name in room.slots.__struct_fields__):
        assert len(slot.dump() or ()) <= max(CAPS.room_window, CAPS.texts)


def test_who_stays_is_remembered() -> None:
    """At the cap those unused for longest go; who is active stays, with all their windows."""
    scene = Scene(PROGRAM)
    for number in range(5_000):
        scene.join(f"u{number}", at=number / 10)
        if number % 100 == 0:
            scene.chat("regular", f"I am here {number}", at=number / 10)
    assert 50 == scene.guard.users["regular"].chats
    assert [] == scene.actions


def test_the_longest_unused_go_first() -> None:
    """A table at its cap loses whoever was unused for longest for each that comes; among equals the one met first."""
    scene = Scene(program(caps=CapSettings(users=48)))
    for number in range(48):
        scene.join(f"u{number}", at=0)
    for number in range(46):
        scene.like(f"u{number}", at=1)
    for number, gone in enumerate(["u46", "u47", "u0", "u1"]):
        scene.join(f"late{number}", at=2)
        assert (48, number + 1) == (len(scene.guard.users), scene.guard.tally.evicted_users)
        assert gone not in scene.guard.users


def test_small_tables_are_bounded() -> None:
    """Staff, undone actions, streaks and a user's latest ids each have a bound."""
    scene = Scene(PROGRAM)
    for number in range(MAX_STAFF + 50):
        scene.moderation(f"m{number}", "delete", "x")
    for number in range(MAX_UNDONE + 50):
        scene.control("undo", 1, action=f"a{number}", kind="warn")
    for number in range(100):
        scene.chat("ann", f"text {number}", at=2 + number * 2)
        scene.gift("ann", 1, at=2 + number * 2, streak=f"s{number}")
    assert (MAX_STAFF, MAX_UNDONE) == (len(scene.guard.staff), len(scene.guard._undone))
    ann = scene.guard.users["ann"]
    assert CAPS.causes == len(ann.recent)
    assert size_of(scene.guard) < 200_000


def test_re_muting_does_not_grow() -> None:
    """A moderator bot that renews a long mute every second leaves one entry."""
    scene = Scene(PROGRAM)
    for at in range(2_000):
        scene.moderation("bot", "mute", "ann", at, duration_s=86_400)
    assert len(scene.guard.penalties._by_end or ()) == 1


def test_long_texts_are_cut() -> None:
    """A text is judged up to its bound; what is cut is counted, and what is dropped anyway is not even cut."""
    scene = Scene(program(rule("long", f"length > {MAX_TEXT - 1}", "mute")))
    scene.chat("ann", "x" * (MAX_TEXT + 1))
    assert {"length": MAX_TEXT} == scene.actions[0].evidence
    scene.chat("ann", "x" * 10_000, at=1)
    assert (1, 1) == (scene.guard.tally.cut, scene.guard.tally.dropped)


def test_evidence_is_short() -> None:
    """A text in evidence is cut to a hundred characters, a list of texts too."""
    scene = Scene(program(rule("r", 'text != "" and count(domains) >= 0 and "a.com" not in domains', "warn")))
    scene.chat("ann", " ".join(f"see{i}.com" for i in range(100)))
    (action,) = scene.actions
    assert all(len(str(value)) <= 100 for value in action.evidence.values())
    assert sys.getsizeof(action.evidence) < 2_000


identity = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
who = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["viewer", "subscriber", "vip", "moderator", "host"]),
        "account_age_s": st.floats(0, 1e300),
        "follower": st.booleans(),
        "level": st.integers(0, 2**53 - 1),
        "device": identity,
        "net": identity,
    },
)
common = {"id": identity, "room": st.just("r1"), "user": identity, "ts": st.floats(-1e9, 4e9), "who": who}
count = st.integers(1, 2**53 - 1)


def kind(name: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    optional = {key: more.pop(key) for key in list(more) if key.startswith("_")}
    return st.fixed_dictionaries(
        {"kind": st.just(name), **common, **more}, optional={key[1:]: value for key, value in optional.items()}
    )


ANY_EVENT = st.one_of(
    kind("chat", text=st.text(max_size=50), _lang=identity, _mentions=st.lists(identity, max_size=3),
         _emotes=st.lists(identity, max_size=3), _reply_to=identity),
    kind("gift", gift=identity, count=count, value=st.floats(0, 2**53 - 1), _streak=identity,
         _streak_end=st.booleans()),
    kind("like", count=count),
    *(kind(name) for name in ("join", "leave", "follow", "unfollow", "share")),
    kind("report", target=identity, _reason=st.text(max_size=9)),
    kind("moderation", verb=st.sampled_from(["mute", "unmute", "kick", "readmit", "delete"]), target=identity,
         _duration_s=st.floats(0, 2**53 - 1), _target_event=identity),
    kind("appeal", action=identity, text=st.text(max_size=9)),
    kind("room_open", _tags=st.lists(identity, max_size=3), _lang=identity, _host=identity),
    kind("room_close"),
    kind("viewers", count=st.integers(0, 2**53 - 1)),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.lists(ANY_EVENT, max_size=30))
def test_no_event_of_the_protocol_raises(events: list[dict[str, Any]]) -> None:
    """Whatever the protocol allows in, in any order and at any time, is judged; and the room can be saved after it."""
    room = RoomGuard("r1", PROGRAM)
    for event in events:
        record: AnyEvent = decode_line(msgspec.json.encode(event))  # type: ignore[assignment]
        assert record == decode_line(encode_line(record))
        room.receive(record, record.ts)
    data = room.snapshot()
    assert data == RoomGuard.restore("r1", PROGRAM, data).snapshot()
