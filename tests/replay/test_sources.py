"""Recordings as they lie on disk: plain, compressed, from standard input, several at once, damaged."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.errors import RecordingError
from roomguard.model.events import Control, UserEvent
from roomguard.replay import Source, merged, open_source, sources
from roomguard.testing import chat, control, join
from roomguard.wire.recording import encode_line

LINES = [encode_line(chat("ann", "hello", at, id=f"e{at}")) for at in range(5)]
UNKNOWN = b'{"kind":"wink","id":"w","room":"r1","user":"ann","ts":3,"power":9}\n'


def ids(source: Source) -> list[str]:
    return [record.id for record in source.records() if isinstance(record, UserEvent)]


def plain(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def packed(path: Path, data: bytes) -> str:
    path = path.with_suffix(".jsonl.gz")
    path.write_bytes(gzip.compress(data))
    return str(path)


@pytest.mark.parametrize("write", [plain, packed])
def test_files(tmp_path: Path, write: Callable[[Path, bytes], str]) -> None:
    """A file is read line by line, unpacked if its name says so; blank lines and a missing last line feed are fine."""
    data = b"\n".join([LINES[0].strip(), b"", b"  \r", LINES[1].strip() + b"\r", UNKNOWN.strip(), LINES[2].strip()])
    source = open_source(write(tmp_path / "a.jsonl", data))
    assert ["e0", "e1", "e2"] == ids(source)
    assert (1, len(data)) == (source.unknown, source.read)
    assert source.size == (len(data) if write is plain else None)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard input, which stays open."""
    stdin = io.TextIOWrapper(io.BytesIO(b"".join(LINES)))
    monkeypatch.setattr(sys, "stdin", stdin)
    source = open_source("-")
    assert ("standard input", None) == (source.name, source.size)
    assert 5 == len(ids(source))
    assert not stdin.buffer.closed


BROKEN = [
    (b"nonsense\n", "JSON is malformed"),
    (b"[1]\n", "object"),
    (b'{"kind":"chat"', "JSON is malformed"),
    (b"\xff\xfe\n", ""),
    (b'{"kind":"chat","id":"x","room":"r1","user":"ann","ts":1}\n', "text: missing"),
    (b'{"kind":"chat","id":"x","user":"ann","ts":1,"text":"a"}\n', "room: missing"),
    (b'{"kind":"chat","id":"x","room":"r1","user":"ann","ts":"1","text":"a"}\n', "ts"),
    (b'{"kind":"like","id":"x","room":"r1","user":"ann","ts":1,"count":true}\n', "count"),
    (b'{"kind":"like","id":"x","room":"r1","user":"ann","ts":NaN,"count":1}\n', ""),
    (b'{"id":"x","room":"r1","ts":1}\n', "kind: missing"),
    (b'{"type":"nonsense","room":"r1","ts":1}\n', "type"),
    (b'{"type":"grace","ts":1}\n', "room: missing"),
    (b'{"type":"grace","room":"","ts":1}\n', "room"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    """A line that is no record stops the replay with file, line and field; what came before has been read."""
    path = plain(tmp_path / "a.jsonl", LINES[0] + b"\n" + line + LINES[1])
    source = open_source(path)
    records = source.records()
    assert "e0" == next(records).id  # type: ignore[union-attr]
    with pytest.raises(RecordingError) as caught:
        next(records)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.jsonl.gz", ""])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    """A file that cannot be opened is named with the system's reason."""
    with pytest.raises(RecordingError, match=f"{tmp_path / name}: (No such file|Is a directory)"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-9], lambda data: data[:40] + b"\x00\xff" + data[42:], lambda _: b"".join(LINES)],
    ids=["cut", "flipped", "not compressed"],
)  # fmt: skip
def test_a_damaged_archive_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A compressed file that breaks off or was damaged is an error of the recording, with its line."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b"".join(LINES) * 50)))
    source = open_source(str(path))
    with pytest.raises(RecordingError, match=r"a\.jsonl\.gz:\d+: cannot be read: "):
        ids(source)


GOOD = [
    *LINES,
    encode_line(join("bob", 7)),
    encode_line(chat("wörld", "日本", 8, id="ü8")),
    b'{"kind":"chat","id":"\\u0041","room":"r1","user":"u","ts":9,"text":"\\n"}\n',
]
ODD = [
    encode_line(control("expire", 2)),
    UNKNOWN,
    b"\n",
    b" \r\n",
    b"{}\n",
    b'{"kind":"like","id":"1","user":"u","ts":1}\n',
    b'{"kind":"like","id":"\\n","room":"r1","user":"u","ts":1}\n',
    b'{"kind":"like","id":"\x7f","room":"r1","user":"u","ts":1}\n',
    '{"kind":"like","id":"a\u0085","room":"r1","user":"u","ts":1}\n'.encode(),
    b'{"kind":"like","id":"%s","room":"r1","user":"u","ts":1}\n' % ("ü" * 100).encode(),
    LINES[0].rstrip() + b" " + LINES[1],
    LINES[0].rstrip() + LINES[1],
    LINES[2].rstrip() + b"\r\n",
    b" " + LINES[2],
    b"\xff\n",
    LINES[3].replace(b"hello", b"\xc3\x28"),
]


def told(source: Source) -> tuple[list[Any], str]:
    """What comes of a source: its records, and the words it ends with."""
    found: list[Any] = []
    try:
        found.extend(source.records())
    except RecordingError as error:
        return found, str(error)
    return found, f"{source.unknown} unknown"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(GOOD) | st.sampled_from(GOOD) | st.sampled_from(ODD), max_size=12), st.integers(1, 5))
def test_many_lines_at_once_are_what_each_is(lines: list[bytes], at_once: int) -> None:
    """Decoding lines in chunks gives the records, the counts and the words that decoding each alone gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK_LINES", at_once)
        found = told(Source("day.jsonl", lines))
        patch.setattr(sources, "decode_events", lambda _lines: None)
        assert told(Source("day.jsonl", lines)) == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 6), max_size=8).map(sorted), min_size=1, max_size=4))
def test_merging(files: list[list[int]]) -> None:
    """Several recordings are merged by time, then by the order of the files, then by line."""
    files_read = [
        Source(f"f{index}", [encode_line(join("u", at, id=f"{index}-{line}")) for line, at in enumerate(times)])
        for index, times in enumerate(files)
    ]
    expected = sorted((at, index, line) for index, times in enumerate(files) for line, at in enumerate(times))
    found: list[Any] = list(merged(files_read))
    assert [f"{index}-{line}" for _, index, line in expected] == [record.id for record in found]


def test_controls_are_merged_too() -> None:
    """Control records stand where their time puts them, between the events of any file."""
    one = Source("a", [encode_line(control("grace", 2, ttl_s=5)), encode_line(control("expire", 2))])
    two = Source("b", [encode_line(chat("ann", at=1)), encode_line(chat("ann", at=2)), encode_line(chat("ann", at=3))])
    found = [record.type if isinstance(record, Control) else "chat" for record in merged([one, two])]
    assert ["chat", "grace", "expire", "chat", "chat"] == found
