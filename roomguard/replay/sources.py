"""Recordings as streams of records: one file as it stands, several merged by time."""

from __future__ import annotations

import gzip
import heapq
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import attrs

from roomguard.errors import RecordingError
from roomguard.model.events import Control, Event
from roomguard.wire.recording import decode_events, decode_line

Record = Event | Control
Item = TypeVar("Item")
CHUNK_LINES = 256
"""Lines decoded at once."""
_BROKEN = (OSError, EOFError, zlib.error)


@attrs.define
class Source:
    """One recording: its name for messages, its lines, and how far it has been read."""

    name: str
    lines: Iterable[bytes]
    size: int | None = None
    """Bytes in all, where that is known before reading."""
    read: int = 0
    """Bytes read so far."""
    unknown: int = 0
    """Events of kinds this version does not know; they are skipped."""
    close: Callable[[], object] | None = None
    """Called when all is read, or reading stopped."""

    def records(self) -> Iterator[Record]:
        """The records in file order, once. Raises RecordingError with file, line and field."""
        return chain.from_iterable(self._parts())

    def _parts(self) -> Iterator[list[Record]]:
        """Some records at a time: a list is read on at half the cost of a generator."""
        number = 0
        try:
            for chunk in chunked(self.lines, CHUNK_LINES):
                self.read += sum(map(len, chunk))
                events = decode_events(chunk)
                if events is not None:
                    yield cast("list[Record]", events)
                else:
                    yield from chunked(self._one_by_one(chunk, number), CHUNK_LINES)
                number += len(chunk)
        except _BROKEN as error:
            # A truncated or damaged archive, a disk that fails: what was read until here has been judged.
            raise RecordingError(f"{self.name}:{number + 1}: cannot be read: {error}") from None
        finally:
            if self.close is not None:
                self.close()

    def _one_by_one(self, chunk: Sequence[bytes], number: int) -> Iterator[Record]:
        """A chunk with more in it than good events, after so many lines."""
        for at, line in enumerate(chunk, number + 1):
            if line.isspace():
                continue
            record = decode_line(line, file=self.name, number=at)
            if record is None:
                self.unknown += 1
            else:
                yield record


def open_source(path: str) -> Source:
    """A recording on disk, compressed if it ends in .gz, or standard input for "-". Raises RecordingError."""
    if path == "-":
        return Source("standard input", sys.stdin.buffer)
    try:
        if path.endswith(".gz"):
            packed = cast("BinaryIO", gzip.open(path, "rb"))  # noqa: SIM115 - closed by `records`
            return Source(path, packed, close=packed.close)
        file = Path(path).open("rb")  # noqa: SIM115 - closed by `records`
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    return Source(path, file, Path(path).stat().st_size, close=file.close)


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time; what could be read before a fault comes before the fault."""
    iterator = iter(items)
    while True:
        chunk: list[Item] = []
        try:
            chunk.extend(islice(iterator, size))
        except Exception:
            if chunk:
                yield chunk
            raise
        if not chunk:
            return
        yield chunk


def merged(sources: Sequence[Source]) -> Iterator[Record]:
    """All records by time, then file order, then line."""
    if len(sources) == 1:
        return sources[0].records()
    return (record for _, _, record in heapq.merge(*(_keyed(i, s) for i, s in enumerate(sources)), key=_order))


def _keyed(index: int, source: Source) -> Iterator[tuple[float, int, Record]]:
    for record in source.records():
        yield record.ts, index, record


def _order(item: tuple[float, int, Record]) -> tuple[float, int]:
    return item[0], item[1]
