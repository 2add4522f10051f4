"""One action at rest: what is written, what is read back, and the checksum that tells them apart.

The checksum covers every column of the row, so a flipped bit anywhere in it is found when the row is read.
`NamedTuple` because these are database rows: made by the thousand, handed to SQLite and back as tuples.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from roomguard.errors import JournalCorrupt
from roomguard.model.actions import Action, encode_halves, join


class Draft(NamedTuple):
    """An action ready to be written; it has no offset yet."""

    id: str
    room: str
    user: str | None
    kind: str
    rule: str
    at: float
    until: float | None
    undoes: str | None
    head: bytes
    tail: bytes


class Stored(NamedTuple):
    """An action as it stands in the journal. `at` and `until` are room time, `wall` is when it was written."""

    offset: int
    id: str
    room: str
    user: str | None
    kind: str
    rule: str
    at: float
    until: float | None
    wall: float
    head: bytes
    tail: bytes
    crc: int

    @property
    def size(self) -> int:
        """Bytes it takes in the journal, about: its JSON, and what columns and indexes add."""
        return len(self.head) + len(self.tail) + 200

    def json(self) -> bytes:
        """The action as it goes out."""
        return join((self.head, self.tail), self.offset)

    def action(self) -> Action:
        """The action as a value again."""
        return decode_action(self.json())


COLUMNS = ", ".join(Stored._fields)
_decoder = msgspec.json.Decoder(dict[str, Any])
_TUPLES = ("causes", "events")


def draft(action: Action) -> Draft:
    """Encode an action for the journal.

    Raises:
        ValueError: a time is not finite, or a text cannot be UTF-8; nothing of that kind may reach a shared commit.
    """
    if not math.isfinite(action.at) or (action.until is not None and not math.isfinite(action.until)):
        raise ValueError(f"action {action.id}: `at` and `until` must be finite")
    head, tail = encode_halves(action)
    return Draft(
        action.id,
        action.room,
        action.user,
        action.kind,
        action.rule,
        float(action.at),
        None if action.until is None else float(action.until),
        action.undoes,
        head,
        tail,
    )


def stored(entry: Draft, offset: int, wall: float) -> Stored:
    """The row of `entry` at `offset`, with its checksum."""
    ident, room, user, kind, rule, at, until, _, head, tail = entry
    crc = _checksum(offset, ident, room, user, kind, rule, at, until, wall, head, tail)
    return Stored(offset, ident, room, user, kind, rule, at, until, wall, head, tail, crc)


def checked(row: tuple[Any, ...]) -> Stored:
    """A row as read, its checksum verified.

    Raises:
        JournalCorrupt: the row is not what was written.
    """
    record = Stored._make(row)
    try:
        if _checksum(*row[:-1]) == record.crc:
            return record
    except TypeError:  # a flipped type: text where bytes were
        pass
    raise JournalCorrupt(f"action at offset {row[0]!r} does not match its checksum")


def checksum(*values: object) -> int:
    """A checksum for the small tables: over the values as Python writes them, with their types."""
    return crc32(repr(values).encode("utf-8", "surrogatepass"))


def _checksum(*columns: Any) -> int:
    """A row's checksum: both halves of the JSON as they are, then the columns with their lengths implied by repr."""
    *meta, head, tail = columns
    return crc32(repr(meta).encode(), crc32(tail, crc32(head)))


def decode_action(data: bytes) -> Action:
    """The action in its wire form, with or without an offset, as a value.

    Raises:
        JournalCorrupt: it is no action.
    """
    try:
        fields = _decoder.decode(data)
        fields.pop("offset", None)
        for name in _TUPLES:
            if name in fields:
                fields[name] = tuple(fields[name])
        return Action(**fields)
    except (msgspec.MsgspecError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise JournalCorrupt(f"an action in the journal cannot be read: {error}") from error
