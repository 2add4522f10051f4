"""One line of a recording, there and back."""

from __future__ import annotations

import json

import pytest

from roomguard.errors import RecordingError
from roomguard.model.events import Chat, Control
from roomguard.wire import decode_line, encode_line


@pytest.mark.parametrize(
    "record",
    [
        Chat(id="1", room="r", user="u", ts=1.25, text="日本\n"),
        Control(type="undo", room="r", ts=2.0, action="a", kind="mute", user="u"),
        Control(type="shed", room="r", ts=2.0, kind="like", count=3),
        Control(type="override", room="r", ts=2.0, settings={"a": 1.5, "b": True, "c": "x"}),
    ],
)
def test_lines_go_there_and_back(record: Chat | Control) -> None:
    """Writing and reading gives the same record; a control record may have a `kind`."""
    line = encode_line(record)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert record == decode_line(line)


def test_an_unknown_kind_is_none() -> None:
    """An event of a later version is counted by whoever reads, not refused."""
    assert decode_line(b'{"kind":"poll","id":"1","room":"r","ts":1}') is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"kind":"chat","id":"1","room":"r","ts":1,"text":""}', "user: missing"),
        ('{"kind":"chat","id":"1","user":"u","ts":1,"text":""}', "room: missing"),
        ('{"kind":"chat","id":"\\n","room":"r","user":"u","ts":1,"text":""}', "id: control characters"),
        ('{"kind":"like","id":"1","room":"r","user":"u","ts":1,"count":0}', "count: expected int >= 1"),
        ('{"type":"surprise","room":"r","ts":1}', "type: invalid enum value"),
        ('{"type":"shed","ts":1}', "room: missing"),
        ('{"type":"shed","room":"\\n","ts":1}', "room: control characters"),
        ("{}", "kind: missing"),
        ("[]", "expected object"),
        ("", "truncated"),
        ("\ufeff{}", "malformed"),
        ('{"kind":"x","id":' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_names_file_line_and_field(line: str, message: str) -> None:
    """What cannot be replayed says where it stands and what is wrong."""
    with pytest.raises(RecordingError) as caught:
        decode_line(line.encode(), file="day.jsonl", number=7)

    assert str(caught.value).startswith("day.jsonl:7: ")
    assert message in str(caught.value)


def test_bad_utf8_is_a_recording_error() -> None:
    """Bytes that are no text are refused like any other bad line."""
    with pytest.raises(RecordingError):
        decode_line(json.dumps({"kind": "chat"}).encode() + b"\xff")
