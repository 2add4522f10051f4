"""One event of a recording explained: everything before it is judged as in any replay, then it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roomguard.engine.explaining import Explanation
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.model.events import Control, Event
from roomguard.replay.player import take


def explained(
    records: Iterable[Event | Control], program: Program, event_id: str, room: str | None = None
) -> Iterator[Explanation]:
    """Every event of that id, in this room or in any: ids are unique in a room, and one may be sent twice."""
    guards: dict[str, RoomGuard] = {}
    for record in records:
        if room is not None and record.room != room:
            continue
        guard = guards.get(record.room)
        if guard is None:
            guard = guards[record.room] = RoomGuard(record.room, program)
        if isinstance(record, Event) and record.id == event_id:
            yield guard.explain(record, record.ts)
        else:
            take(guard, record)
