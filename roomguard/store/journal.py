"""The action journal: one SQLite file, one writer, and the promise behind every ack.

What `append` has returned for survives kill -9 and a power cut. After an I/O error the journal is latched failed and
writes nothing more until the process is started again: SQLite would go on, and a second fsync of the same pages may
report success for what the disk never took. Offsets grow by one an action and are never given out twice.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import chain, takewhile
from pathlib import Path
from typing import TypeVar

import attrs

from roomguard.errors import JournalCorrupt, JournalError, JournalFailed
from roomguard.store import schema
from roomguard.store.files import DirectoryLock, Mark, Reserve
from roomguard.store.reader import IN_FORCE, JournalReader
from roomguard.store.records import Draft, Stored, checked, checksum, stored
from roomguard.store.schema import State
from roomguard.store.settings import BusSettings

T = TypeVar("T")
FILE_NAME = "journal.db"
"""Of the database, in the data folder."""
_PAGE = 4096
_CHECKPOINT_BYTES = 4 * 2**20
"""Size of the log, about, at which it is folded into the file first. Smaller than the reserve by default."""
_IDLE_CHECKPOINT_BYTES = _CHECKPOINT_BYTES // 2
"""... and from which on `rest` does it, so that hardly any commit has to wait those milliseconds."""
_DAY = 86_400.0

# Whole batches in few statements: each costs some 5 us before it writes anything.
_SIZES = (512, 128, 32, 8, 1)
_ROW = "(" + ", ".join("?" * len(Stored._fields)) + ")"
_INSERTS = tuple((size, f"INSERT INTO actions VALUES {', '.join([_ROW] * size)}") for size in _SIZES)  # noqa: S608


class JournalStalled(JournalError):
    """Nothing was written, but it may be tried again: the disk is full, or another program locks the file."""

    def __init__(self, message: str, *, full: bool) -> None:
        super().__init__(message)
        self.full = full


class _RepeatedError(Exception):
    """An id of the batch is in the journal already; nothing of the batch was written."""


@attrs.frozen
class JournalStatistics:
    """What the journal did since it was opened, and how it stands."""

    commits: int
    actions: int
    repeats: int
    """Actions not written again because their id was there."""
    pruned: int
    stalls: int
    """Transactions given up because the disk was full or the file locked."""
    checkpoints: int
    last_offset: int
    first_offset: int
    reserve_held: bool


@attrs.define
class _Counters:
    commits: int = 0
    actions: int = 0
    repeats: int = 0
    pruned: int = 0
    stalls: int = 0
    checkpoints: int = 0


class Journal:
    """The writing side; `reader` is the reading side. Each may be used by one thread at a time."""

    def __init__(self, settings: BusSettings, patience_s: float = 0.0, holder: int | None = None) -> None:
        """Open the journal in `settings.data_dir`, or make it, and check all of it.

        A folder that another process uses is waited for, up to `patience_s` seconds. `holder`: see `DirectoryLock`.

        Raises:
            JournalCorrupt: what is there does not add up.
            JournalError: another process uses the folder, or the file system cannot do what is needed.
        """
        self._settings = settings
        self._failed: JournalFailed | None = None
        self._counters = _Counters()
        self._unsynced = 0
        self._wall = 0.0
        self._low = False  # the disk was full, and the reserve could not be set aside again
        folder = Path(settings.data_dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / FILE_NAME
        with ExitStack() as undo:
            self._lock = DirectoryLock(folder, patience_s, holder)
            undo.callback(self._lock.release)
            self._mark = Mark(folder / "journal.mark")
            undo.callback(self._mark.close)
            self._db, self._state = _open(path, self._mark.read())
            undo.callback(self._db.close)
            _fold_long_log(self._db, path)
            self.reader = JournalReader(path)
            undo.pop_all()
        self._reserve = Reserve(folder / "reserve", settings.reserve_bytes)
        self._reserve.take()

    @property
    def failed(self) -> JournalFailed | None:
        """The error that latched it, None while it is well."""
        return self._failed

    @property
    def last_offset(self) -> int:
        """The highest offset given out."""
        return self._state.last_offset

    @property
    def first_offset(self) -> int:
        """The lowest offset that can be read on from; `last_offset + 1` if there is none."""
        return self._state.pruned_to + 1

    def append(
        self,
        drafts: Sequence[Draft],
        wall: float,
        acks: Mapping[str, int] | None = None,
        ended: Collection[str] = (),
    ) -> list[int]:
        """Write actions, consumers' offsets and ids of penalties ended by a human, all or nothing, and sync them.

        Returns the offset of each draft, in order. An id that is there already is not written again and gets its old
        offset. An action with `undoes` ends the penalty of that id.

        Raises:
            JournalStalled: the disk is full or the file is locked; nothing was written, try again later.
            JournalFailed: the disk failed, now or earlier; nothing may be acknowledged any more.
        """
        self._wall = wall
        acks = acks or {}
        try:
            return self._write(lambda db, state: self._append(db, state, drafts, wall, acks, ended, known={}))
        except _RepeatedError:
            # Rare: after a restart. To look for them in each batch took an eighth of a commit.
            return self._write(
                lambda db, state: self._append(db, state, drafts, wall, acks, ended, known=_offsets(db, drafts))
            )

    def save_snapshots(self, snapshots: Mapping[str, bytes], wall: float) -> None:
        """Put rooms aside, each in place of what was there before. Raises as `append` does."""
        rows = [(room, wall, checksum(room, data, wall), data) for room, data in snapshots.items()]

        def change(db: sqlite3.Connection, state: State) -> tuple[None, State]:
            db.executemany("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", rows)
            return None, state

        self._unsynced += sum(map(len, snapshots.values()))
        self._write(change)

    def drop_snapshots(self, rooms: Collection[str]) -> None:
        """Forget what was put aside for these rooms. Raises as `append` does."""

        def change(db: sqlite3.Connection, state: State) -> tuple[None, State]:
            db.executemany("DELETE FROM snapshots WHERE room = ?", [(room,) for room in rooms])
            return None, state

        self._write(change)

    def prune(self, now: float) -> bool:
        """Drop a few of the actions, snapshots and names that are too old or too many; True if there are more.

        Penalties in force at `now` (Unix seconds) stay whatever their age. Raises as `append` does.
        """
        self._wall = now
        self._low = not self._reserve.take() and self._low
        return self._write(lambda db, state: self._prune(db, state, now))

    def rest(self) -> None:
        """Nobody asks for anything now: fold the log into the file if it is long. What fails is said to the next."""
        if self._failed is not None or self._unsynced <= _IDLE_CHECKPOINT_BYTES:
            return
        try:
            self._checkpoint()
        except sqlite3.Error as error:
            self._give_up(error)

    def statistics(self) -> JournalStatistics:
        """Counters since opening, and how the journal stands."""
        return JournalStatistics(
            **attrs.asdict(self._counters),
            last_offset=self.last_offset,
            first_offset=self.first_offset,
            reserve_held=self._reserve.held,
        )

    def close(self) -> None:
        """Fold the log into the file and let go of the folder. A journal that failed is left as it is."""
        self.reader.close()
        if self._failed is None:
            with suppress(sqlite3.Error):  # all that was acknowledged is in the log; the next start reads it there
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(sqlite3.Error):
            self._db.close()
        self._mark.close()
        self._lock.release()

    # The one way to write -----------------------------------------------------------------------------------------

    def _write(self, change: Callable[[sqlite3.Connection, State], tuple[T, State]]) -> T:
        if self._low:
            self._make_space()
        try:
            return self._attempt(change)
        except JournalStalled as stalled:
            self._counters.stalls += 1
            if not stalled.full or not self._reserve.give():
                raise
            self._low = True
            self._make_space()
            return self._attempt(change)

    def _attempt(self, change: Callable[[sqlite3.Connection, State], tuple[T, State]]) -> T:
        if self._failed is not None:
            raise JournalFailed(str(self._failed)) from self._failed
        db = self._db
        try:
            if self._unsynced > _CHECKPOINT_BYTES:
                self._checkpoint()
            db.execute("BEGIN IMMEDIATE")
            result, state = change(db, self._state)
            state = attrs.evolve(state, commits=state.commits + 1)
            db.execute("UPDATE state SET last_offset = ?, pruned_to = ?, commits = ?, bytes = ?, crc = ?", state.row())
            db.execute("COMMIT")
            self._mark.write(state.commits)
        except (sqlite3.Error, OSError) as error:
            raise self._give_up(error) from error
        except BaseException:
            self._roll_back()
            raise
        self._state = state
        self._counters.commits += 1
        return result

    def _give_up(self, error: sqlite3.Error | OSError) -> JournalError:
        """What to raise for an error of a transaction: try again later, or never again."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY) and self._roll_back():
            return JournalStalled(f"the journal cannot be written now: {error}", full=code == sqlite3.SQLITE_FULL)
        self._failed = JournalFailed(f"the journal failed and writes nothing more until a restart: {error}")
        return self._failed

    def _roll_back(self) -> bool:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._failed = JournalFailed(f"the journal failed while taking a transaction back: {error}")
            return False
        return True

    def _checkpoint(self) -> None:
        """Fold the log into the file. A full disk is no reason to stop: the log keeps everything meanwhile."""
        self._unsynced = 0
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                raise
            self._counters.stalls += 1
        self._counters.checkpoints += 1

    def _make_space(self) -> None:
        """The reserve is spent: drop the oldest actions, so that what comes fits into what the file already has."""
        with suppress(JournalStalled):
            while self._short_of_space and self._attempt(lambda db, state: self._prune(db, state, self._wall)):
                self._checkpoint()

    @property
    def _short_of_space(self) -> bool:
        """Whether the disk was full and the file itself has less room left than the reserve had."""
        if not self._low:
            return False
        free, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
        return bool(free * size < self._settings.reserve_bytes)

    # What is written ----------------------------------------------------------------------------------------------

    def _append(
        self,
        db: sqlite3.Connection,
        state: State,
        drafts: Sequence[Draft],
        wall: float,
        acks: Mapping[str, int],
        ended: Collection[str],
        *,
        known: dict[str, int],
    ) -> tuple[list[int], State]:
        """`known` are the offsets of ids that are there already."""
        last = state.last_offset
        offsets: list[int] = []
        rows: list[Stored] = []
        for entry in drafts:
            offset = known.get(entry.id)
            if offset is None:
                last += 1
                offset = known[entry.id] = last
                rows.append(stored(entry, offset, wall))
            offsets.append(offset)
        _insert(db, rows)
        over = [*ended, *(entry.undoes for entry in drafts if entry.undoes)]
        if over:
            _end(db, over)
        if acks:
            named = [(name, offset, wall, checksum(name, offset, wall)) for name, offset in acks.items()]
            db.executemany("INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?)", named)
        self._counters.actions += len(rows)
        self._counters.repeats += len(drafts) - len(rows)
        written = sum(row.size for row in rows)
        self._unsynced += written + _PAGE * (3 + len(rows))  # counters, actions, consumers; a page of ids an action
        return offsets, attrs.evolve(state, last_offset=last, bytes=state.bytes + written)

    def _prune(self, db: sqlite3.Connection, state: State, now: float) -> tuple[bool, State]:
        settings = self._settings
        wanted = {
            "pruned_to": state.pruned_to,
            "limit": settings.prune_actions,
            "now": now,
            "open_kick_s": settings.open_kick_s,
        }
        found = db.execute(
            f"SELECT * FROM actions WHERE offset > :pruned_to AND NOT ({IN_FORCE}) ORDER BY offset LIMIT :limit",  # noqa: S608
            wanted,
        )
        going = [checked(row) for row in found]
        if state.bytes <= settings.keep_bytes and not self._short_of_space:
            old = now - settings.keep_days * _DAY
            going = list(takewhile(lambda record: record.wall < old, going))
        upto = going[-1].offset if going else state.pruned_to
        found = db.execute(
            f"SELECT * FROM actions WHERE offset <= :pruned_to AND NOT ({IN_FORCE}) LIMIT :limit",  # noqa: S608
            wanted,
        )
        going += [checked(row) for row in found]
        db.executemany("DELETE FROM actions WHERE offset = ?", [(record.offset,) for record in going])
        db.executemany("DELETE FROM ended WHERE id = ?", [(record.id,) for record in going])
        db.execute("DELETE FROM consumers WHERE seen < ?", (now - settings.consumer_days * _DAY,))
        rooms = _prunable_rooms(db, settings, now)
        db.executemany("DELETE FROM snapshots WHERE room = ?", rooms)
        self._counters.pruned += len(going)
        self._unsynced += _PAGE * (3 + len(going) + len(rooms))
        more = max(len(going), len(rooms)) >= settings.prune_actions
        return more, attrs.evolve(state, pruned_to=upto, bytes=state.bytes - sum(record.size for record in going))


def _open(path: Path, acknowledged: int) -> tuple[sqlite3.Connection, State]:
    """The database, checked, and its counters; an empty one is made where none was ever acknowledged."""
    new = not path.exists() or path.stat().st_size == 0
    if new and acknowledged:
        raise JournalCorrupt(
            f"{path.name} is missing or empty but {acknowledged} commits were acknowledged: restore it, "
            "or remove journal.mark to start with an empty journal"
        )
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
    db = schema.connect(path)
    try:
        if new and schema.is_empty(db):
            schema.create(db, path.parent)
        return db, schema.verify(db, acknowledged)
    except sqlite3.Error as error:
        db.close()
        raise JournalError(f"{path.name} cannot be made: {error}") from error
    except BaseException:
        db.close()
        raise


def _fold_long_log(db: sqlite3.Connection, path: Path) -> None:
    """Fold what earlier runs left in the log: a process that is killed again and again never lives to do it.

    Raises:
        JournalError: the disk failed; a full one is no reason not to start.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size <= _CHECKPOINT_BYTES:
        return
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            raise JournalError(f"the log of {path.name} cannot be folded into it: {error}") from error


def _offsets(db: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, int]:
    """Offsets of those ids that are there."""
    ids = [entry.id for entry in drafts]
    return dict(
        db.execute("SELECT id, offset FROM actions WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
    )


def _prunable_rooms(db: sqlite3.Connection, settings: BusSettings, now: float) -> list[tuple[str]]:
    """A few rooms put aside too long ago, or the oldest of too many."""
    extra = db.execute("SELECT count(*) FROM snapshots").fetchone()[0] - settings.snapshot_rooms
    return db.execute(
        "SELECT room FROM snapshots WHERE updated < ? UNION SELECT * FROM "
        "(SELECT room FROM snapshots ORDER BY updated LIMIT ?) LIMIT ?",
        (now - settings.snapshot_days * _DAY, max(0, extra), settings.prune_actions),
    ).fetchall()


def _insert(db: sqlite3.Connection, rows: Sequence[Stored]) -> None:
    """Raises _RepeatedError where an id is there already."""
    begin = 0
    try:
        for size, sql in _INSERTS:
            while len(rows) - begin >= size:
                db.execute(sql, tuple(chain.from_iterable(rows[begin : begin + size])))
                begin += size
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise _RepeatedError from None
        raise


def _end(db: sqlite3.Connection, ids: Collection[str]) -> None:
    """Note penalties that are over early; ids that are not in the journal say nothing and are not kept."""
    db.executemany(
        "INSERT OR IGNORE INTO ended SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM actions WHERE id = ?1)",
        [(ident, checksum(ident)) for ident in ids],
    )
