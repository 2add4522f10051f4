"""Recordings as load: lines of JSON, one event each, several files merged by time.

A recording is what PROTOCOL describes: events in time order. A bare chat log, whose lines carry only `ts`, `user` and
`text`, is taken too: each line becomes a chat in a room named after its file. Control records are left out and
counted: they are the guard's own notes, not something an edge sends.

With `speed` 20 a recording of an hour takes three minutes, and its `ts` keep their spacing, because a room's decisions
follow from them: the last event is stamped with the time it is sent, the first lies in the past. The guard's clamp on
`ts` must be wide enough for that. `keep_ts` leaves `ts` as recorded.
"""

from __future__ import annotations

import gzip
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from loadtest.options import Load, Playback
from loadtest.stream import Frame

ODD_SIZES = (1, 3, 7, 17, 41, 127)
"""Batches of a playback, in turn: nothing may depend on how events are cut into frames."""


class RecordingError(Exception):
    """A recording cannot be played; the message names file and line."""


@attrs.frozen
class Line:
    """One event of a recording."""

    ts: float
    room: str
    id: str
    event: dict[str, Any]


def _open(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def read(path: Path, skipped: Counter[str]) -> Iterator[Line]:
    """The events of one file. Control records go into `skipped` by type.

    Raises:
        RecordingError: a line is no JSON object, or neither an event nor a control record.
        OSError: the file cannot be read.
    """
    name = path.name.split(".")[0]
    for number, raw in enumerate(_open(path), 1):
        if not raw.strip():
            continue
        try:
            event = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise RecordingError(f"{path}:{number}: {error}") from error
        if "type" in event and "kind" not in event:
            skipped[str(event["type"])] += 1
            continue
        line = _line(event, name, number)
        if line is None:
            raise RecordingError(
                f"{path}:{number}: no event: it needs a number `ts` and a `kind`, or `user` and `text`"
            )
        yield line


def _line(event: dict[str, Any], name: str, number: int) -> Line | None:
    ts = event.get("ts")
    if not isinstance(ts, (int, float)):
        return None
    if "kind" not in event:
        if not isinstance(event.get("text"), str) or not isinstance(event.get("user"), str):
            return None
        event = {"kind": "chat", "user": event["user"], "ts": ts, "text": event["text"]}
    event.setdefault("id", f"{name[:80]}-{number}")
    event.setdefault("room", name[:80])
    return Line(float(ts), str(event["room"]), str(event["id"]), event)


class PlayedStream:
    """The share of a recording that one edge carries, in odd batches."""

    def __init__(self, lines: Sequence[Line], first_ts: float, last_ts: float, playback: Playback, load: Load) -> None:
        self.rooms: Sequence[str] = list(dict.fromkeys(line.room for line in lines))
        self._lines = lines
        self._keep = playback.keep_ts
        self._length = (last_ts - first_ts) / playback.speed
        self._last_ts = last_ts
        self._dues: list[float] = []
        self._cuts: list[int] = [0]
        sizes = [size for size in ODD_SIZES if size <= load.batch] or [1]
        opened = 0.0
        for position, line in enumerate(lines):
            due = (line.ts - first_ts) / playback.speed
            taken = position - self._cuts[-1]
            if taken and (taken >= sizes[len(self._dues) % len(sizes)] or due - opened > load.linger):
                self._close(position, first_ts, playback.speed)
                taken = 0
            if not taken:
                opened = due
        if lines:
            self._close(len(lines), first_ts, playback.speed)
        self.frames = len(self._dues)
        self._frame_of: dict[str, int] = {}

    def _close(self, position: int, first_ts: float, speed: float) -> None:
        """End a frame before `position`; it goes out when its last event is due."""
        self._dues.append((self._lines[position - 1].ts - first_ts) / speed)
        self._cuts.append(position)

    def due(self, index: int) -> float:
        """See `Stream`."""
        return self._dues[index]

    def make(self, index: int, start: float, wall: float) -> Frame:  # noqa: ARG002 - the seam's signature
        """See `Stream`."""
        lines = self._lines[self._cuts[index] : self._cuts[index + 1]]
        # A recording's last event is stamped with the moment it is sent.
        shift = 0.0 if self._keep else wall + self._length - self._last_ts
        out = []
        for line in lines:
            self._frame_of[line.id] = index
            out.append(msgspec.json.encode({**line.event, "ts": round(line.ts + shift, 6)}).decode())
        return Frame(",".join(out), len(lines), gate=False)

    def frame_of(self, event_id: str) -> int | None:
        """See `Stream`."""
        return self._frame_of.get(event_id)

    def titles(self) -> Sequence[str]:
        """See `Stream`. A recording opens its rooms itself, or not at all."""
        return ()


@attrs.frozen
class Played:
    """A recording ready to play: a stream an edge, how long it takes, how much there is, and what was left out."""

    streams: list[PlayedStream]
    seconds: float
    events: int
    rooms: int
    users: int
    skipped: dict[str, int]


def played_streams(playback: Playback, load: Load) -> Played:
    """Read all files and deal their rooms out to the edges. All of it is held in memory.

    Raises:
        RecordingError: a file cannot be used, or there is no event in any.
        OSError: a file cannot be read.
    """
    skipped: Counter[str] = Counter()
    files = [read(path, skipped) for path in playback.files]
    lines = list(heapq.merge(*files, key=lambda line: line.ts))  # stable: ties keep file order
    if not lines:
        raise RecordingError("the recordings hold no event")
    by_room = Counter(line.room for line in lines)
    edge_of: dict[str, int] = {}
    carried = [0] * load.edges
    for room, count in sorted(by_room.items(), key=lambda item: (-item[1], item[0])):
        edge_of[room] = carried.index(min(carried))
        carried[edge_of[room]] += count
    dealt: list[list[Line]] = [[] for _ in range(load.edges)]
    for line in lines:
        dealt[edge_of[line.room]].append(line)
    first, last = lines[0].ts, max(line.ts for line in lines)
    return Played(
        streams=[PlayedStream(part, first, last, playback, load) for part in dealt],
        seconds=(last - first) / playback.speed,
        events=len(lines),
        rooms=len(by_room),
        users=len({line.event.get("user") for line in lines}),
        skipped=dict(skipped),
    )
