"""Reading the journal: pages for consumers, penalties for a restart, look-ups for an undo.

It has its own connection, so that someone catching up never holds back a commit. One thread at a time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from roomguard.errors import JournalCorrupt, JournalFailed, OffsetGone
from roomguard.store.records import COLUMNS, Stored, checked, checksum
from roomguard.store.schema import connect, read_state

IN_FORCE = (
    "kind IN ('mute', 'kick', 'restrict') "
    "AND coalesce(until, CASE kind WHEN 'kick' THEN at + :open_kick_s ELSE at END) > :now "
    "AND id NOT IN (SELECT id FROM ended)"
)
"""A penalty that has not run out and that nobody ended; a kick without an end has one soon after `at`."""

_SELECT = f"SELECT {COLUMNS} FROM actions "  # noqa: S608  # made of our own constants, as everything below


@attrs.frozen
class Page:
    """Actions in offset order; everything up to `upto` was looked at, so the next page begins after it."""

    actions: tuple[Stored, ...]
    upto: int


class JournalReader:
    """Questions to the journal. Every row's checksum is verified before it is handed out.

    All methods raise JournalCorrupt where a row is not what was written, and JournalFailed where the disk cannot
    be read.
    """

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._db.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def page(self, after: int, limit: int, rooms: Collection[str] | None = None) -> Page:
        """At most `limit` actions after offset `after`, all rooms or some; looks at no more than 8 times `limit`.

        Raises:
            OffsetGone: actions after `after` were dropped already.
        """
        with self._reading() as db:
            state = read_state(db)
            if after < state.pruned_to:
                raise OffsetGone(state.pruned_to + 1)
            upto = min(state.last_offset, after + (limit if rooms is None else 8 * limit))
            wanted: dict[str, object] = {"after": after, "upto": upto, "limit": limit}
            filtered = ""
            if rooms is not None:
                filtered = "AND room IN (SELECT value FROM json_each(:rooms)) "
                wanted["rooms"] = json.dumps(list(rooms))
            found = db.execute(
                f"{_SELECT} WHERE offset > :after AND offset <= :upto {filtered}ORDER BY offset LIMIT :limit", wanted
            )
            actions = tuple(map(checked, found))
        if len(actions) == limit:
            upto = actions[-1].offset
        return Page(actions, max(upto, after))

    def penalties_in_force(self, now: float, open_kick_s: float = 60.0) -> list[Stored]:
        """Mutes, kicks and restricts whose `until` is after `now` and that nothing ended, in offset order.

        A kick without `until` counts for `open_kick_s` seconds.
        """
        return self._all(f"WHERE {IN_FORCE} ORDER BY offset", now=now, open_kick_s=open_kick_s)

    def action(self, action_id: str) -> Stored | None:
        """The action of this id, None if it was never written or is dropped."""
        found = self._all("WHERE id = :id", id=action_id)
        return found[0] if found else None

    def by_rule(self, rule: str, since: float, limit: int) -> list[Stored]:
        """The oldest `limit` actions of a rule with room time `since` or later that can be and are not yet undone."""
        return self._all(
            "WHERE rule = :rule AND at >= :since AND kind IN ('mute', 'kick', 'restrict', 'delete') "
            "AND id NOT IN (SELECT id FROM ended) ORDER BY offset LIMIT :limit",
            rule=rule,
            since=since,
            limit=limit,
        )

    def written_since(self, wall: float, limit: int) -> list[Stored]:
        """The latest actions written after `wall` (Unix seconds), at most `limit`, oldest first."""
        return self._all(
            "WHERE offset > (SELECT last_offset FROM state) - :limit AND wall > :wall ORDER BY offset",
            wall=wall,
            limit=limit,
        )

    def snapshot(self, room: str) -> bytes | None:
        """What was put aside for this room, None if nothing was."""
        with self._reading() as db:
            row = db.execute("SELECT room, data, updated, crc FROM snapshots WHERE room = ?", (room,)).fetchone()
        if row is None:
            return None
        if checksum(*row[:-1]) != row[-1]:
            raise JournalCorrupt(f"the snapshot of room {room!r} does not match its checksum")
        return bytes(row[1])

    def snapshot_rooms(self) -> set[str]:
        """The rooms of which something was put aside."""
        with self._reading() as db:
            return {room for (room,) in db.execute("SELECT room FROM snapshots")}

    def consumers(self) -> dict[str, int]:
        """The offset each named consumer acknowledged last."""
        with self._reading() as db:
            rows = db.execute('SELECT name, "offset", seen, crc FROM consumers').fetchall()
        for *values, crc in rows:
            if checksum(*values) != crc:
                raise JournalCorrupt(f"the offset of consumer {values[0]!r} does not match its checksum")
        return {name: offset for name, offset, _, _ in rows}

    def _all(self, where: str, **wanted: object) -> list[Stored]:
        with self._reading() as db:
            return [checked(row) for row in db.execute(_SELECT + where, wanted)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view: what is dropped meanwhile is still there until the end of it."""
        try:
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise JournalCorrupt(f"the journal cannot be read: {error}") from error
            raise JournalFailed(f"the journal cannot be read: {error}") from error
