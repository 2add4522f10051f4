"""Payload text to frames: what is taken, what is refused alone, what costs the whole message."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from roomguard.errors import FrameError
from roomguard.model.events import Chat, Join
from roomguard.wire import (
    ConsumerAck,
    Enforced,
    Events,
    ExpectRaid,
    FrameDecoder,
    Rejection,
    Subscribe,
    Unsubscribe,
    decode_consumer,
)

CHAT: dict[str, Any] = {"kind": "chat", "id": "e1", "room": "r", "user": "u", "ts": 1.5, "text": "hi"}
GIFT = {**CHAT, "kind": "gift", "gift": "rose", "count": 1, "value": 2.5}


def frame(*events: Any, seq: Any = 1, **more: Any) -> str:
    return json.dumps({"type": "events", "seq": seq, "events": list(events), **more})


def decode(payload: str, *, room: str | None = None, max_events: int = 4096) -> Events:
    decoded = FrameDecoder(room=room, max_events=max_events).decode(payload)
    assert isinstance(decoded, Events)
    assert FrameDecoder(room=room, max_events=max_events).decode(payload.encode()) == decoded
    return decoded


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in names}


BAD_EVENTS: list[tuple[str, Any, str, str]] = [
    ("number", 1, "bad_event", "expected object, got int"),
    ("null", None, "bad_event", "expected object, got null"),
    ("list", [CHAT], "bad_event", "expected object, got array"),
    ("empty object", {}, "missing_field", "kind"),
    ("no kind", without(CHAT, "kind"), "missing_field", "kind"),
    ("no id", without(CHAT, "id"), "missing_field", "id"),
    ("no user", without(CHAT, "user"), "missing_field", "user"),
    ("no ts", without(CHAT, "ts"), "missing_field", "ts"),
    ("no text", without(CHAT, "text"), "missing_field", "text"),
    ("no room", without(CHAT, "room"), "missing_field", "room"),
    ("empty room", {**CHAT, "room": ""}, "missing_field", "room"),
    ("room null", {**CHAT, "room": None}, "bad_field", "room: expected str, got null"),
    ("kind of int", {**CHAT, "kind": 5}, "bad_field", "kind: expected str"),
    ("user of int", {**CHAT, "user": 1}, "bad_field", "user: expected str, got int"),
    ("user of bool", {**CHAT, "user": True}, "bad_field", "user: expected str, got bool"),
    ("user of float", {**CHAT, "user": 1.0}, "bad_field", "user: expected str, got float"),
    ("huge user", {**CHAT, "user": 10**400}, "bad_field", "user: number out of range"),
    ("empty user", {**CHAT, "user": ""}, "bad_field", "user: expected str of length >= 1"),
    ("long id", {**CHAT, "id": "x" * 129}, "bad_field", "id: expected str of length <= 128"),
    ("129 bytes", {**CHAT, "id": "é" * 64 + "x"}, "bad_field", "id: expected at most 128 bytes"),
    ("NUL", {**CHAT, "user": "a\0"}, "bad_field", "user: control characters are not allowed"),
    ("line feed", {**CHAT, "room": "a\nb"}, "bad_field", "room: control characters are not allowed"),
    ("DEL", {**CHAT, "id": "a\x7f"}, "bad_field", "id: control characters are not allowed"),
    ("C1", {**CHAT, "id": "a\x85"}, "bad_field", "id: control characters are not allowed"),
    ("reply_to", {**CHAT, "reply_to": "a\r"}, "bad_field", "reply_to: control characters are not allowed"),
    ("ts of str", {**CHAT, "ts": "1"}, "bad_field", "ts: expected float, got str"),
    ("count 0", {**GIFT, "count": 0}, "bad_field", "count: expected int >= 1"),
    ("count -1", {**GIFT, "count": -1}, "bad_field", "count: expected int >= 1"),
    ("count 2^53", {**GIFT, "count": 2**53}, "bad_field", "count: expected int <= 9007199254740991"),
    ("count 2^63", {**GIFT, "count": 2**63}, "bad_field", "count: expected int <= 9007199254740991"),
    ("count str", {**GIFT, "count": "1"}, "bad_field", "count: expected int, got str"),
    ("count bool", {**GIFT, "count": True}, "bad_field", "count: expected int, got bool"),
    ("ts bool", {**CHAT, "ts": True}, "bad_field", "ts: expected float, got bool"),
    ("count float", {**GIFT, "count": 1.5}, "bad_field", "count: expected int, got float"),
    ("value 1e308", {**GIFT, "value": 1e308}, "bad_field", "value: expected float <= 9007199254740991.0"),
    ("role", {**CHAT, "who": {"role": "king"}}, "bad_field", "who.role: invalid enum value 'king'"),
    ("level", {**CHAT, "who": {"level": -1}}, "bad_field", "who.level: expected int >= 0"),
    ("mention", {**CHAT, "mentions": [1]}, "bad_field", "mentions[0]: expected str, got int"),
    ("unknown kind, no id", {"kind": "new", "room": "r", "ts": 1}, "missing_field", "id"),
    ("unknown kind, no ts", {"kind": "new", "room": "r", "id": "1"}, "missing_field", "ts"),
    ("unknown kind, no room", {"kind": "new", "id": "1", "ts": 1}, "missing_field", "room"),
    (
        "unknown kind, bad id",
        {"kind": "new", "id": "\n", "room": "r", "ts": 1},
        "bad_field",
        "id: control characters are not allowed",
    ),
]


@pytest.mark.parametrize(("event", "code", "detail"), [case[1:] for case in BAD_EVENTS], ids=[c[0] for c in BAD_EVENTS])
@pytest.mark.parametrize("escaped", [False, True], ids=("utf8", "escapes"))
def test_a_bad_event_is_refused_alone(event: Any, code: str, detail: str, escaped: bool) -> None:
    """A bad event is rejected by index with a stable code; its neighbours are taken."""
    good = {**CHAT, "id": "e2"}
    payload = json.dumps({"type": "events", "seq": 7, "events": [CHAT, event, good]}, ensure_ascii=escaped)

    decoded = decode(payload)

    assert (Rejection(1, code, detail),) == decoded.rejected
    assert [event.id for event in decoded.events] == ["e1", "e2"]
    assert list(decoded.indexes) == [0, 2]
    assert (decoded.seq, decoded.size, decoded.accepted) == (7, 3, 2)


def test_a_flawless_frame_goes_the_short_way() -> None:
    """All events accepted: indexes are those of the frame and nothing is rejected."""
    decoded = decode(frame(CHAT, GIFT, gate=True))

    assert list(decoded.indexes) == [0, 1]
    assert decoded.rejected == ()
    assert decoded.gate
    assert decoded.events[0] == Chat(id="e1", room="r", user="u", ts=1.5, text="hi")


ORDINARY = [
    ("good", frame(CHAT, GIFT), True),
    ("of one", frame(CHAT), True),
    ("beyond ASCII", frame({**CHAT, "text": "ünd", "user": "é"}), True),
    ("gated", frame(CHAT, gate=True), False),
    ("empty", frame(), False),
    ("one refused", frame(CHAT, {**CHAT, "id": ""}), False),
    ("one unknown", frame(CHAT, {**CHAT, "kind": "dance"}), False),
    ("repaired", frame({**CHAT, "text": "\ud83d"}), False),
]


@pytest.mark.parametrize(("payload", "ordinary"), [case[1:] for case in ORDINARY], ids=[c[0] for c in ORDINARY])
def test_an_ordinary_frame_is_one_with_nothing_to_see_to(payload: str, ordinary: bool) -> None:
    """Not gated, not empty, and nothing was wrong with any event of it."""
    assert decode(payload).ordinary == ordinary
    together = FrameDecoder().decode_all([payload, payload])
    assert [ordinary, ordinary] == [isinstance(one, Events) and one.ordinary for one in together]


@pytest.mark.parametrize("text", ["日本語", 'a\\b"c\n', "\x00", "\u202e", "\ufdfa" * 10_000, "<script>", "x" * 100_000])
def test_texts_are_taken_as_they_are(text: str) -> None:
    """The wire judges no text: hostile characters reach the engine as they were sent."""
    for escaped in (False, True):
        payload = json.dumps({"type": "events", "seq": 1, "events": [{**CHAT, "text": text}]}, ensure_ascii=escaped)

        event = decode(payload).events[0]

        assert isinstance(event, Chat)
        assert text == event.text


def test_ids_of_128_bytes_are_taken() -> None:
    """The limit counts bytes and is inclusive."""
    decoded = decode(frame({**CHAT, "id": "é" * 64, "user": "🌹" * 32}))

    assert decoded.rejected == ()


def test_an_unknown_kind_is_counted_and_accepted() -> None:
    """A kind of a later version gives no event, but belongs to the accepted ones."""
    decoded = decode(frame(CHAT, {"kind": "poll", "id": "p", "room": "r", "ts": 1, "votes": [1]}))

    assert (len(decoded.events), decoded.unknown, decoded.accepted) == (1, 1, 2)


def test_unknown_fields_are_ignored() -> None:
    """An edge may send more than this version knows, everywhere."""
    decoded = decode(frame({**CHAT, "colour": {"deep": [1]}, "who": {"level": 1, "x": 2}}, trace="abc"))

    assert decoded.accepted == 1


def test_two_kinds_in_one_event_are_refused() -> None:
    """Where a doubled `kind` says two things, the event is refused; any other doubled key: the last one counts."""
    doubled = json.dumps(CHAT)[:-1] + ',"kind":"like"}'
    last_wins = json.dumps(CHAT)[:-1] + ',"user":"u2","room":"r2"}'

    decoded = decode(f'{{"type":"events","seq":1,"events":[{doubled},{last_wins}]}}')

    assert (Rejection(0, "bad_field", "kind: given twice"),) == decoded.rejected
    assert (decoded.events[0].user, decoded.events[0].room) == ("u2", "r2")  # type: ignore[union-attr]


def test_a_connection_of_one_room_fills_the_room_in() -> None:
    """On /v1/rooms/{room} the room may be left out or empty; another room is refused as wrong_room."""
    decoded = decode(frame(without(CHAT, "room"), {**CHAT, "room": ""}, CHAT, {**CHAT, "room": "other"}), room="r")

    assert [event.room for event in decoded.events] == ["r", "r", "r"]
    assert (Rejection(3, "wrong_room", "this connection is for r"),) == decoded.rejected


def test_the_long_way_fills_the_room_in_too() -> None:
    """A bad neighbour changes nothing for the others: room filled in, other rooms refused."""
    stranger = {"kind": "poll", "id": "p", "ts": 1}
    decoded = decode(
        frame(1, without(CHAT, "room"), stranger, {**stranger, "room": "x"}, {**CHAT, "room": "x"}), room="r"
    )

    assert [event.room for event in decoded.events] == ["r"]
    assert decoded.unknown == 1
    assert [rejection.code for rejection in decoded.rejected] == ["bad_event", "wrong_room", "wrong_room"]


def test_half_an_emoji_does_not_hide_a_text() -> None:
    """A lone surrogate escape in a text is replaced and judged; pairs and escaped backslashes stay."""
    text = r'"cut \ud83d \udc00 \ud83c\udf39 \\ud83d \n"'
    payload = frame(CHAT, {**CHAT, "id": "e2", "text": "@"}).replace('"@"', text)

    decoded = decode(payload)

    assert decoded.repaired
    assert [event.text for event in decoded.events if isinstance(event, Chat)] == [
        "hi",
        "cut \ufffd \ufffd 🌹 \\ud83d \n",
    ]


@pytest.mark.parametrize("field", ["id", "room", "user"])
def test_half_an_emoji_in_an_id_is_refused(field: str) -> None:
    """Nobody is muted by a guessed id: a lone surrogate in an id refuses that event."""
    payload = frame(CHAT, {**CHAT, field: "@"}).replace('"@"', r'"x\ud83d"')

    assert (Rejection(1, "bad_field", f"{field}: lone surrogate"),) == decode(payload).rejected


BAD_FRAMES: list[tuple[str, str, str, int | None]] = [
    ("empty", "", "bad_frame", None),
    ("space", " ", "bad_frame", None),
    ("null", "null", "bad_frame", None),
    ("list", "[]", "bad_frame", None),
    ("string", '"x"', "bad_frame", None),
    ("number", "1", "bad_frame", None),
    ("empty object", "{}", "bad_frame", None),
    ("trailing garbage", frame(CHAT) + "x", "bad_frame", None),
    ("two documents", frame(CHAT) * 2, "bad_frame", None),
    ("truncated", frame(CHAT)[:-2], "bad_frame", None),
    ("BOM", "\ufeff" + frame(CHAT), "bad_frame", None),
    ("NaN", frame(CHAT).replace("1.5", "NaN"), "bad_frame", None),
    ("infinity", frame(CHAT).replace("1.5", "Infinity"), "bad_frame", None),
    ("minus infinity", frame(CHAT).replace("1.5", "-Infinity"), "bad_frame", None),
    ("raw surrogate", frame(CHAT).replace("hi", "\ud800"), "bad_frame", None),
    ("broken escape", frame(CHAT).replace("hi", r"\ud8 \ud800"), "bad_frame", None),
    ("raw control character", frame(CHAT).replace("hi", "\x01"), "bad_frame", None),
    ("deep", frame(CHAT, seq=4).replace("1.5", "[" * 100_000 + "]" * 100_000), "bad_frame", None),
    ("deep, unclosed", "[" * 100_000, "bad_frame", None),
    ("unknown type", '{"type":"hello","seq":3}', "bad_frame", 3),
    ("type of int", '{"type":1,"seq":3}', "bad_frame", 3),
    ("empty type", '{"type":"","seq":3,"events":[]}', "bad_frame", 3),
    ("half an emoji in a room", r'{"type":"subscribe","rooms":["\ud83d"]}', "bad_frame", None),
    ("no type", '{"seq":3,"events":[]}', "bad_frame", 3),
    ("no seq", '{"type":"events","events":[]}', "bad_frame", None),
    ("seq 0", frame(CHAT, seq=0), "bad_frame", None),
    ("seq -1", frame(CHAT, seq=-1), "bad_frame", None),
    ("seq float", frame(CHAT, seq=1.5), "bad_frame", None),
    ("seq str", frame(CHAT, seq="1"), "bad_frame", None),
    ("seq bool", frame(CHAT, seq=True), "bad_frame", None),
    ("seq 2^53", frame(CHAT, seq=2**53), "bad_frame", None),
    ("seq 10^400", frame(CHAT, seq=10**400), "bad_frame", None),
    ("no events", '{"type":"events","seq":5}', "bad_frame", 5),
    ("events object", '{"type":"events","seq":5,"events":{}}', "bad_frame", 5),
    ("gate str", frame(CHAT, seq=5, gate="yes"), "bad_frame", 5),
    ("too many", frame(*[CHAT] * 11, seq=9), "too_many_events", 9),
    ("too many, one bad", frame(*[CHAT] * 10, 1, seq=9), "too_many_events", 9),
    ("subscribe without rooms", '{"type":"subscribe"}', "bad_frame", None),
    ("subscribe to a number", '{"type":"subscribe","rooms":[1]}', "bad_frame", None),
    ("subscribe to nothing", '{"type":"subscribe","rooms":[""]}', "bad_frame", None),
    ("subscribe to a control character", '{"type":"subscribe","rooms":["a\\n"]}', "bad_frame", None),
    ("subscribe to many", json.dumps({"type": "subscribe", "rooms": ["r"] * 11}), "bad_frame", None),
    ("enforced many", json.dumps({"type": "enforced", "actions": ["a"] * 11}), "bad_frame", None),
    ("raid without room", '{"type":"expect_raid","size":1,"ttl_s":1}', "bad_frame", None),
    ("raid of nobody", '{"type":"expect_raid","room":"r","size":0,"ttl_s":1}', "bad_frame", None),
    ("raid for ever", '{"type":"expect_raid","room":"r","size":1,"ttl_s":1e9}', "bad_frame", None),
    ("raid in a bad room", '{"type":"expect_raid","room":"\\n","size":1,"ttl_s":1}', "bad_frame", None),
]


@pytest.mark.parametrize(("payload", "code", "seq"), [case[1:] for case in BAD_FRAMES], ids=[c[0] for c in BAD_FRAMES])
def test_a_bad_frame_is_a_frame_error(payload: str, code: str, seq: int | None) -> None:
    """What is no frame raises FrameError, with the seq wherever the message is an object that has a good one."""
    with pytest.raises(FrameError) as caught:
        decode(payload, max_events=10)

    assert (code, seq) == (caught.value.code, caught.value.seq)
    assert caught.value.detail
    assert len(caught.value.detail) <= 200


def test_a_long_unknown_value_is_cut_in_the_detail() -> None:
    """What the peer sent is quoted, but never at length."""
    with pytest.raises(FrameError) as caught:
        decode(json.dumps({"type": "x" * 100_000}))

    assert len(caught.value.detail) == 200


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"type":"subscribe","rooms":["a","é"]}', Subscribe(rooms=["a", "é"])),
        ('{"type":"unsubscribe","rooms":[]}', Unsubscribe(rooms=[])),
        ('{"type":"enforced","actions":["1"]}', Enforced(actions=["1"])),
        (
            '{"type":"expect_raid","room":"a","from_room":"b","size":700,"ttl_s":120}',
            ExpectRaid(room="a", from_room="b", size=700, ttl_s=120.0),
        ),
    ],
)
def test_other_frames(payload: str, expected: object) -> None:
    """Frames without events decode to their own Structs."""
    assert expected == FrameDecoder().decode(payload)


def test_frames_about_another_room_are_refused_on_a_room_connection() -> None:
    """/v1/rooms/{room} speaks of its room only; expect_raid may leave it out."""
    decoder = FrameDecoder(room="r")

    assert ExpectRaid(room="r", size=1, ttl_s=1.0) == decoder.decode('{"type":"expect_raid","size":1,"ttl_s":1}')
    for payload in ('{"type":"subscribe","rooms":["x"]}', '{"type":"expect_raid","room":"x","size":1,"ttl_s":1}'):
        with pytest.raises(FrameError, match="wrong_room"):
            decoder.decode(payload)


def test_consumers_acknowledge_offsets() -> None:
    """A consumer's only frame is an ack of an offset from 0 on; everything else is a bad frame."""
    assert ConsumerAck(offset=0) == decode_consumer('{"type":"ack","offset":0}')
    for payload in (
        "",
        "[]",
        '{"type":"ack"}',
        '{"offset":1}',
        '{"type":"","offset":1}',
        '{"type":"ack","offset":-1}',
        '{"type":"events"}',
        "\ud800",
    ):
        with pytest.raises(FrameError):
            decode_consumer(payload)


def test_an_empty_frame_is_a_frame() -> None:
    """No events: nothing to judge, and an ack all the same."""
    decoded = decode(frame())

    assert (decoded.size, decoded.accepted, decoded.rejected) == (0, 0, ())


def test_kinds_without_a_user_need_none() -> None:
    """room_open, room_close and viewers are events of the room."""
    events = [
        {"kind": "room_open", "id": "1", "room": "r", "ts": 1, "host": "h", "tags": ["a"]},
        {"kind": "room_close", "id": "2", "room": "r", "ts": 1},
        {"kind": "viewers", "id": "3", "room": "r", "ts": 1, "count": 0},
    ]

    assert decode(frame(*events)).accepted == 3


def test_event_structs_are_as_the_model_says() -> None:
    """The wire adds nothing to an event: it equals the one built by hand."""
    event = decode(frame({"kind": "join", "id": "j", "room": "r", "user": "u", "ts": 3})).events[0]

    assert Join(id="j", room="r", user="u", ts=3.0) == event
    assert msgspec.json.decode(msgspec.json.encode(event), type=Join) == event
