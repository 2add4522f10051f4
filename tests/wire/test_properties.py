"""Whatever comes in, the wire answers with a frame or a declared error; what it takes is sound."""

from __future__ import annotations

import contextlib
import json
import unicodedata

import msgspec
from hypothesis import given, settings, strategies as st

from roomguard.errors import FrameError, RecordingError
from roomguard.model.events import KINDS, AnyEvent
from roomguard.wire import Events, FrameDecoder, decode_consumer, decode_line, encode_line

IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=32)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LOOSE_EVENT = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from((*KINDS, "new")) | ANY_JSON,
        "id": st.text() | ANY_JSON,
        "room": st.text() | ANY_JSON,
        "user": st.text() | ANY_JSON,
        "ts": st.floats() | st.integers() | ANY_JSON,
        "text": st.text() | ANY_JSON,
        "count": st.integers() | ANY_JSON,
        "gift": st.text() | ANY_JSON,
        "value": st.floats() | ANY_JSON,
        "target": st.text() | ANY_JSON,
        "verb": st.sampled_from(("mute", "kick")) | ANY_JSON,
        "who": ANY_JSON,
    },
)


def events() -> st.SearchStrategy[AnyEvent]:
    chat = st.fixed_dictionaries(
        {"kind": st.just("chat"), "id": IDS, "room": IDS, "user": IDS, "ts": st.floats(0, 2e9), "text": st.text()}
    )
    like = st.fixed_dictionaries(
        {
            "kind": st.just("like"),
            "id": IDS,
            "room": IDS,
            "user": IDS,
            "ts": st.floats(0, 2e9),
            "count": st.integers(1, 9),
        }
    )
    return (chat | like).map(lambda fields: msgspec.convert(fields, AnyEvent))


def sound(value: str) -> bool:
    return 1 <= len(value.encode()) <= 128 and not any(unicodedata.category(char) == "Cc" for char in value)


@given(st.lists(events(), max_size=5), st.booleans())
def test_good_frames_round_trip(sent: list[AnyEvent], escaped: bool) -> None:
    """Every sound event arrives as it was sent, whether the client escapes non-ASCII or not."""
    body = json.loads(msgspec.json.encode({"type": "events", "seq": 1, "events": sent}))

    decoded = FrameDecoder().decode(json.dumps(body, ensure_ascii=escaped))

    assert isinstance(decoded, Events)
    assert decoded.rejected == ()
    assert sent == decoded.events


@given(events())
def test_lines_round_trip(event: AnyEvent) -> None:
    """A recording gives back the event that was written."""
    assert event == decode_line(encode_line(event))


@settings(max_examples=300)
@given(st.lists(LOOSE_EVENT | ANY_JSON, max_size=5), st.booleans(), st.sampled_from((None, "r")))
def test_loose_events_are_taken_or_refused(sent: list[object], escaped: bool, room: str | None) -> None:
    """Each event of a frame is accepted, unknown or rejected; what is accepted has sound ids and a room."""
    payload = json.dumps({"type": "events", "seq": 3, "events": sent}, ensure_ascii=escaped)
    try:
        decoded = FrameDecoder(room=room).decode(payload)
    except FrameError:
        return

    assert isinstance(decoded, Events)
    assert len(sent) == decoded.size == decoded.accepted + len(decoded.rejected)
    indexes = [*decoded.indexes, *(rejection.index for rejection in decoded.rejected)]
    assert len(set(indexes)) == len(indexes) == len(sent) - decoded.unknown
    for event in decoded.events:
        assert sound(event.id)
        assert sound(event.room)
        assert sound(getattr(event, "user", "x"))
        assert room in {None, event.room}


@settings(max_examples=300)
@given(st.text(st.characters()) | ANY_JSON.map(lambda value: json.dumps(value)))  # noqa: PLW0108
def test_any_text_gives_a_declared_error(payload: str) -> None:
    """Arbitrary text raises only what the wire declares."""
    for read, declared in (
        (FrameDecoder().decode, FrameError),
        (decode_consumer, FrameError),
        (decode_line, RecordingError),
    ):
        with contextlib.suppress(declared):
            read(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_a_recording_error(line: bytes) -> None:
    """Arbitrary bytes in a recording raise only RecordingError."""
    with contextlib.suppress(RecordingError):
        decode_line(line)


@given(st.data())
def test_mutilated_frames(data: st.DataObject) -> None:
    """A good frame with characters cut out or put in is still a frame or a FrameError."""
    payload = (
        '{"type":"events","seq":1,"events":[{"kind":"chat","id":"a","ts":1.5,'
        '"room":"r","user":"u","text":"\\ud83d\\udc00x"}]}'
    )
    at = data.draw(st.integers(0, len(payload)))
    cut = data.draw(st.integers(0, 8))
    put = data.draw(st.text(alphabet='"\\{}[],:u d8c01eE-+.\x00\x7f\ufeff', max_size=4))
    with contextlib.suppress(FrameError):
        FrameDecoder().decode(payload[:at] + put + payload[at + cut :])


PAYLOADS = st.one_of(
    st.lists(events(), max_size=3).map(lambda some: _frame_of(*map(msgspec.json.encode, some))),
    st.lists(LOOSE_EVENT, min_size=1, max_size=2).map(lambda some: _frame_of(*(json.dumps(one) for one in some))),
    st.sampled_from(('{"type":"subscribe","rooms":["r"]}', '{"type":"enforced","actions":["\n"]}', "[", "")),
)


def _frame_of(*events: str | bytes) -> str:
    texts = [one if isinstance(one, str) else one.decode() for one in events]
    return f'{{"type":"events","seq":7,"events":[{",".join(texts)}],"gate":{"true" if len(texts) == 2 else "false"}}}'


@given(payloads=st.lists(PAYLOADS, max_size=6), room=st.none() | IDS, most=st.integers(1, 3))
def test_frames_together_are_decoded_as_alone(payloads: list[str], room: str | None, most: int) -> None:
    """Whatever stands beside a frame, as a string or in UTF-8, it is what `decode` gives or raises."""
    decoder = FrameDecoder(room=room, max_events=most)
    alone: list[object] = []
    for payload in payloads:
        try:
            alone.append(decoder.decode(payload))
        except FrameError as error:
            alone.append((error.code, error.detail, error.seq))

    for together in (decoder.decode_all(payloads), decoder.decode_all([payload.encode() for payload in payloads])):
        assert [(one.code, one.detail, one.seq) if isinstance(one, FrameError) else one for one in together] == alone
