"""The player: records in, one line an action out. The same records and program give the same bytes.

A room's outcomes follow from its own records alone, so the records of each room are judged one after the other, many at
a time, and what comes of them is written in the order of the recording. A room and its users are then still in the
processor's caches: an event takes an eighth less than where rooms take turns.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
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
        of_room: defaultdict[str, list[Event | Control]] = defaultdict(list)
        for room, record in zip(map(room_of, chunk), chunk, strict=True):
            of_room[room].append(record)
        spoken: list[tuple[Event | Control, Outcome]] = []
        for room, records in of_room.items():
            outcomes = self._outcomes(self._guard(room), records)
            if outcomes.count(ALLOW) < len(outcomes):
                spoken += [pair for pair in zip(records, outcomes, strict=True) if pair[1].actions]
        if spoken:
            place = {id(record): number for number, record in enumerate(chunk)}
            spoken.sort(key=lambda pair: place[id(pair[0])])
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
        self.summary.events += len(records)
        if Control in map(type, records):
            self._note([record for record in records if isinstance(record, Control)])
            return [take(guard, record) for record in records]
        events = cast("Sequence[Event]", records)
        return list(map(guard.receive, events, map(_ts_of, events)))

    def _note(self, controls: Sequence[Control]) -> None:
        self.summary.events -= len(controls)
        self.summary.controls += len(controls)
        for record in controls:
            if record.type == "config" and record.config not in (None, self.program.version):
                self.summary.other_config = record.config or ""

    def _write(self, outcome: Outcome) -> None:
        summary = self.summary
        for action in outcome.actions:
            summary.actions += 1
            self._out.write(join(encode_halves(action), summary.actions) + b"\n")
