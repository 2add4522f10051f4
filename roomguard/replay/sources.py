"""Recordings as streams of records: one file as it stands, several merged by time."""

from __future__ import annotations

import gzip
import heapq
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import attrs

from roomguard.errors import RecordingError
from roomguard.model.events import Control, Event
from roomguard.wire.recording import decode_line

Record = Event | Control


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

    def records(self) -> Iterator[Record]:
        """The records in file order. Raises RecordingError with file, line and field."""
        number = 0
        for line in self.lines:
            number += 1
            self.read += len(line)
            if line.isspace():
                continue
            record = decode_line(line, file=self.name, number=number)
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
            return Source(path, cast("BinaryIO", gzip.open(path, "rb")))
        file = Path(path).open("rb")  # noqa: SIM115 - read to its end by the player, closed with the process
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from None
    return Source(path, file, Path(path).stat().st_size)


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
