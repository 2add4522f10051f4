"""The player: records in, one line an action out. The same records and program give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from roomguard.engine.outcome import ALLOW, DROP, Outcome
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.model.actions import encode_halves, join
from roomguard.model.events import Control, Event

PROGRESS_EVERY = 16_384
"""Records between two calls of the progress callback."""


def take(guard: RoomGuard, record: Event | Control) -> Outcome:
    """Let a room have one record of a recording, at the record's own time."""
    if not isinstance(record, Control):
        return guard.receive(record, record.ts)
    if record.type == "expire":
        return guard.expire(record.ts)
    return guard.control(record, record.ts)


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
        """Judge all records; call `progress` now and then."""
        summary, rooms = self.summary, self._rooms
        left = PROGRESS_EVERY
        record: Event | Control | None = None
        for record in records:
            guard = rooms.get(record.room)
            if guard is None:
                guard = rooms[record.room] = RoomGuard(record.room, self.program, summary.tally)
                summary.rooms += 1
            if isinstance(record, Control):
                outcome = self._control(guard, record)
            else:
                summary.events += 1
                outcome = guard.receive(record, record.ts)
            if outcome is not ALLOW and outcome is not DROP:
                self._write(outcome)
            if summary.first_ts is None:
                summary.first_ts = record.ts
            left -= 1
            if not left:
                left = PROGRESS_EVERY
                summary.last_ts = record.ts
                if progress is not None:
                    progress(summary)
        if record is not None:
            summary.last_ts = record.ts
        return summary

    def _control(self, guard: RoomGuard, record: Control) -> Outcome:
        self.summary.controls += 1
        if record.type == "config" and record.config not in (None, self.program.version):
            self.summary.other_config = record.config or ""
        return take(guard, record)

    def _write(self, outcome: Outcome) -> None:
        summary = self.summary
        for action in outcome.actions:
            summary.actions += 1
            self._out.write(join(encode_halves(action), summary.actions) + b"\n")
