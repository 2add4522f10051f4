"""The journal's database: how it is opened, what it must look like, and the check of everything in it.

Nothing is started on top of a journal that does not add up: a wrong version, a missing table, a row that is not what
was written, a hole between offsets, or fewer commits than were acknowledged (see `files.Mark`).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import attrs

from roomguard.errors import JournalCorrupt, JournalError
from roomguard.store.records import COLUMNS, checked, checksum

APPLICATION = 0x524D4744  # "RMGD", in the file's header
VERSION = 1

TABLES = {
    "actions": (
        "CREATE TABLE actions (offset INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, room TEXT NOT NULL, user TEXT, "
        "kind TEXT NOT NULL, rule TEXT NOT NULL, at REAL NOT NULL, until REAL, wall REAL NOT NULL, "
        "head BLOB NOT NULL, tail BLOB NOT NULL, crc INTEGER NOT NULL)"
    ),
    "ended": "CREATE TABLE ended (id TEXT PRIMARY KEY, crc INTEGER NOT NULL)",
    "consumers": (
        'CREATE TABLE consumers (name TEXT PRIMARY KEY, "offset" INTEGER NOT NULL, seen REAL NOT NULL, '
        "crc INTEGER NOT NULL)"
    ),
    "snapshots": (
        "CREATE TABLE snapshots (room TEXT PRIMARY KEY, updated REAL NOT NULL, crc INTEGER NOT NULL, "
        "data BLOB NOT NULL)"
    ),
    "snapshots_by_age": "CREATE INDEX snapshots_by_age ON snapshots (updated)",
    "state": (
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), last_offset INTEGER NOT NULL, "
        "pruned_to INTEGER NOT NULL, commits INTEGER NOT NULL, bytes INTEGER NOT NULL, crc INTEGER NOT NULL)"
    ),
}
"""Actions, ids of those undone or ended early, named consumers, rooms put aside, and the counters below."""


@attrs.frozen
class State:
    """The journal's counters, changed with every commit."""

    last_offset: int = 0
    """The highest offset ever given out; never given out again, even where the action is long dropped."""
    pruned_to: int = 0
    """Up to here actions were dropped; only penalties in force are left of them."""
    commits: int = 0
    bytes: int = 0
    """What the actions kept take (see `Stored.size`)."""

    def row(self) -> tuple[int, ...]:
        """Its columns with their checksum."""
        values = (self.last_offset, self.pruned_to, self.commits, self.bytes)
        return (*values, checksum(*values))


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may be used from any one thread at a time, with what durability needs set and read back.

    Raises:
        JournalCorrupt: not a database.
        JournalError: this SQLite or file system does not do what durability needs.
    """
    db = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        _configure(db)
    except sqlite3.DatabaseError as error:
        db.close()
        raise JournalCorrupt(f"{path.name} cannot be opened: {error}") from error
    except JournalError:
        db.close()
        raise
    return db


def _configure(db: sqlite3.Connection) -> None:
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    db.execute("PRAGMA synchronous = FULL")
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != 2:
        raise JournalError(f"the journal needs WAL and synchronous=FULL, SQLite gives {mode} and {synchronous}")
    # Checkpoints are ours to run: SQLite ignores the errors of those it runs by itself.
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA cache_size = -16384")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    if sys.platform == "darwin":
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA checkpoint_fullfsync = ON")


def create(db: sqlite3.Connection, folder: Path) -> None:
    """Lay an empty journal in one transaction, so that a crash leaves all of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    for sql in TABLES.values():
        db.execute(sql)
    db.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?, ?)", State().row())
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that a lost log later cannot make it look like another file
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)  # the file's name must survive a power cut as well as what is in it
    finally:
        os.close(fd)


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether the file is a database in which nothing was ever made."""
    return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def verify(db: sqlite3.Connection, acknowledged: int) -> State:
    """Read everything and compare it with what it must be; `acknowledged` is what the mark says.

    Raises:
        JournalCorrupt: something does not add up; the message says what.
    """
    try:
        _verify_version(db)
        _verify_tables(db)
        _verify_structure(db)
        state = read_state(db)
        if state.commits < acknowledged:
            raise JournalCorrupt(
                f"the journal holds {state.commits} commits but {acknowledged} were acknowledged: part of it is lost "
                "(is journal.db-wal missing?); restore it, or remove journal.mark to accept the loss"
            )
        _verify_actions(db, state)
        _verify_small_tables(db)
    except sqlite3.DatabaseError as error:
        raise JournalCorrupt(f"the journal cannot be read: {error}") from error
    return state


def read_state(db: sqlite3.Connection) -> State:
    """The counters.

    Raises:
        JournalCorrupt: they are missing or not what was written.
    """
    row = db.execute("SELECT last_offset, pruned_to, commits, bytes, crc FROM state").fetchone()
    if row is None or checksum(*row[:-1]) != row[-1]:
        raise JournalCorrupt("the journal's counters do not match their checksum")
    return State(*row[:-1])


def _verify_version(db: sqlite3.Connection) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise JournalCorrupt(f"journal.db is no journal of roomguard (application id {application:#x})")
    if version != VERSION:
        raise JournalCorrupt(f"journal.db has schema version {version}, this roomguard reads {VERSION}")


def _verify_tables(db: sqlite3.Connection) -> None:
    found = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    if found != TABLES:
        wrong = sorted(name for name in found.keys() | TABLES.keys() if found.get(name) != TABLES.get(name))
        raise JournalCorrupt(f"journal.db has other tables than it was made with: {', '.join(wrong)}")


def _verify_structure(db: sqlite3.Connection) -> None:
    finding = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if finding != "ok":
        raise JournalCorrupt(f"journal.db is damaged: {finding}")


def _verify_actions(db: sqlite3.Connection, state: State) -> None:
    """Every row by its checksum, and no hole between the offsets that are not dropped."""
    expected = state.pruned_to
    size = 0
    for row in db.execute(f"SELECT {COLUMNS} FROM actions ORDER BY offset"):  # noqa: S608  # our own constant
        record = checked(row)
        size += record.size
        if record.offset <= state.pruned_to:
            continue
        expected += 1
        if record.offset != expected:
            raise JournalCorrupt(f"the journal has no action at offset {expected}")
    if expected != state.last_offset:
        raise JournalCorrupt(f"the journal ends at offset {expected}, but {state.last_offset} was given out")
    if size != state.bytes:
        raise JournalCorrupt(f"the journal holds {size} bytes of actions, but {state.bytes} were written")


def _verify_small_tables(db: sqlite3.Connection) -> None:
    for sql in (
        "SELECT id, crc FROM ended",
        'SELECT name, "offset", seen, crc FROM consumers',
        "SELECT room, data, updated, crc FROM snapshots",
    ):
        for *values, crc in db.execute(sql):
            if checksum(*values) != crc:
                raise JournalCorrupt(f"the journal's row for {values[0]!r} does not match its checksum")
