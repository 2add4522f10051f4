"""The player: records in, one line an action out. The same records and program give the same bytes.

A room's outcomes follow from its own records alone, so the records of each room are judged one after the other, many at
a time, and what comes of them is written in the order of the recording. A room and its users are then still in the
processor's caches: with thousands of rooms an event takes a tenth less than where they take turns.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter, itemgetter
from typing import Protocol, cast

import attrs

from roomguard.engine.outcome import ALLOW, Outcome
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.model.actions import encode_halves, join
from roomguard.model.events import Control, Event, room_of
from roomguard.replay.sources import chunked

CHUNK = 65_536
"""Records that are judged before anything of them is written, and kept in memory until then: some 40 MB. With a quarter
of them an event takes a twentieth more."""
_ts_of = attrgetter("ts")


def take(guard: RoomGuard, record: Event | Control) -> Outcome:
    """Let a room have one record of a recording, at the record's own time."""
    if not isinstance(record, Control):
        return guard.receive(record, record.ts)
    if record.type == "expire":
        return guard.expire(record.ts)
    return guard.control(record, record.ts)


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage collection: judging makes no cycles, so that memory stays the same, and it takes a twelfth less."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class Sink(Protocol):
    """Where action lines go."""

    def write(self, data: bytes, /) -> object:
        """Take whole lines."""


@attrs.define
class Summary:
    """What a replay did."""

    events: int = 0
    controls: int = 0
    rooms: int = 0
    actions: int = 0
    first_ts: float | None = None
    last_ts: float | None = None
    other_config: str = ""
    """A configuration version the recording was judged by that is not this one, if there was any."""
    tally: Tally = attrs.field(factory=Tally)


class Player:
    """Judges records in order. No grace, no eviction, no shedding but what the recording itself says."""

    def __init__(self, program: Program, out: Sink) -> None:
        self.program = program
        self.summary = Summary()
        self._out = out
        self._rooms: dict[str, RoomGuard] = {}

    def play(self, records: Iterable[Event | Control], progress: Callable[[Summary], None] | None = None) -> Summary:
        """Judge all records, and call `progress` after each `CHUNK`. Where reading fails, all before it is judged."""
        summary = self.summary
        with _without_collector():
            for chunk in chunked(records, CHUNK):
                if summary.first_ts is None:
                    summary.first_ts = chunk[0].ts
                self._judge(chunk)
                summary.last_ts = chunk[-1].ts
                if progress is not None:
                    progress(summary)
        return summary

    def _judge(self, chunk: Sequence[Event | Control]) -> None:
        """Judge records room by room, and write what comes of them in their own order."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, room in enumerate(map(room_of, chunk)):
            places[room].append(place)
        spoken: list[tuple[int, Outcome]] = []
        for room, own in places.items():
            outcomes = self._outcomes(self._guard(room), [chunk[place] for place in own])
            if outcomes.count(ALLOW) < len(outcomes):
                spoken += [pair for pair in zip(own, outcomes, strict=True) if pair[1].actions]
        spoken.sort(key=itemgetter(0))
        for _, outcome in spoken:
            self._write(outcome)

    def _guard(self, room: str) -> RoomGuard:
        guard = self._rooms.get(room)
        if guard is None:
            guard = self._rooms[room] = RoomGuard(room, self.program, self.summary.tally)
            self.summary.rooms += 1
        return guard

    def _outcomes(self, guard: RoomGuard, records: Sequence[Event | Control]) -> list[Outcome]:
        """What comes of each of some records of a room."""
        if Control not in map(type, records):
            events = cast("Sequence[Event]", records)
            self.summary.events += len(events)
            return list(map(guard.receive, events, map(_ts_of, events)))
        for record in records:
            self._count(record)
        return [take(guard, record) for record in records]

    def _count(self, record: Event | Control) -> None:
        if not isinstance(record, Control):
            self.summary.events += 1
            return
        self.summary.controls += 1
        if record.type == "config" and record.config not in (None, self.program.version):
            self.summary.other_config = record.config or ""

    def _write(self, outcome: Outcome) -> None:
        summary = self.summary
        for action in outcome.actions:
            summary.actions += 1
            self._out.write(join(encode_halves(action), summary.actions) + b"\n")
