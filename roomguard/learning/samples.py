"""Labelled texts out of files: recordings, bare chat logs, tables.

A line of JSON is a sample where it has a text; whatever else a recording holds (joins, gifts, control records) is
passed over. A human's `moderation` event labels too: the message it names, and what its target said in the seconds
before.
"""

from __future__ import annotations

import csv
import gzip
import html
import re
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import attrs
import msgspec

from roomguard.engine.text import Analyser, WordSettings
from roomguard.engine.text.fold import MAX_LENGTH
from roomguard.errors import RecordingError

SPAM = frozenset({"spam", "ban", "timeout", "mute", "kick", "delete", "1", "true", "yes"})
HAM = frozenset({"ham", "ok", "none", "0", "false", "no"})
VERBS = frozenset({"mute", "kick", "delete"})
"""A human's verbs that say what somebody wrote was wrong."""
_TAG = re.compile(r"</?(?:a|b|br|code|div|em|i|p|pre|s|span|strong|u)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_TABLES = {".csv": ",", ".tsv": "\t"}
_RECENT = 64
"""Messages of one user that a moderation event may look back on; older ones stay unlabelled."""


@attrs.frozen
class Reading:
    """How files are to be read."""

    text_field: str = "text"
    label_field: str = "label"
    unlabelled: Literal["skip", "ham"] = "skip"
    """What a text without a label is."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a table whose first line does not name them."""
    before_s: float = 0.0
    """A moderation event makes spam of what its target said in this many seconds before; 0: of the message it names."""
    among: frozenset[tuple[str, str]] | None = None
    """Room and id of the only messages that count; see `causes_of`."""


@attrs.frozen
class Sample:
    """One labelled text, folded as the engine does it."""

    part: str
    """The judged part of the text as sent."""
    low: str
    """The same folded."""
    key: str
    """Equal for texts that say the same, whatever their dress."""
    spam: bool
    user: str
    """Who wrote it, "" where nobody knows."""
    file: str
    room: str = ""
    """Where it was written, "" where nobody knows."""


@attrs.define
class Found:
    """What stood in the files."""

    samples: list[Sample] = attrs.field(factory=list)
    labels: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """(label as written, what it was taken for: spam, ham or "left out") to texts."""


@attrs.define
class _Row:
    """A text with what is known of its label so far."""

    text: str
    user: str
    emotes: tuple[str, ...]
    label: str | None
    at: float = 0.0
    event: str = ""
    room: str = ""


def causes_of(file: str) -> frozenset[tuple[str, str]]:
    """Room and id of each message that the actions in a file, as `replay` writes them, were decided on.

    Raises RecordingError.
    """
    found: set[tuple[str, str]] = set()
    for number, line in _numbered(file):
        action = _object(line, file, number)
        room, causes = action.get("room"), action.get("events") or action.get("causes") or []
        if not isinstance(room, str) or not isinstance(causes, list):
            raise RecordingError(f"{file}:{number}: is no action: it has no room, or no list of causes")
        # The first is the message that was decided on, the others are what its sender wrote before.
        found.update((room, cause) for cause in causes[:1] if isinstance(cause, str))
    return frozenset(found)


def _numbered(file: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that hold something; whatever stands in the way of reading it is a RecordingError."""
    number = 0
    try:
        with _opened(Path(file)) as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    # Some programs write a mark before the first line.
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{file}:{number}: is not UTF-8: {error.reason}") from None
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise RecordingError(f"{file}:{number + 1}: cannot be read: {said or error}") from None


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _object(line: str, file: str, number: int) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise RecordingError(f"{file}:{number}: {error}") from None
    if not isinstance(record, dict):
        raise RecordingError(f"{file}:{number}: a line must be a JSON object")
    return record


class Reader:
    """Reads files into samples, one after another."""

    def __init__(self, how: Reading) -> None:
        self._how = how
        self._analyser = Analyser(WordSettings(cache_texts=16))

    def read(self, files: Iterable[str]) -> Found:
        """Every labelled text of the files. Raises RecordingError with file, line and field."""
        found = Found()
        for file in files:
            for row in self._rows(file):
                self._take(row, file, found)
        return found

    def _take(self, row: _Row, file: str, found: Found) -> None:
        label = (row.label or "").strip().lower()
        spam = label in SPAM
        known = spam or label in HAM or (not label and self._how.unlabelled == "ham")
        taken = ("spam" if spam else "ham") if known else "left out"
        found.labels[label or "(no label)", taken] += 1
        if known:
            facts = self._analyser.judge(row.text[:MAX_LENGTH], row.emotes)
            part, low = facts.model_text()
            key = facts.skeleton if facts.letters or facts.digits else low
            found.samples.append(Sample(part, low, key, spam, row.user, file, row.room))

    def _rows(self, file: str) -> Iterator[_Row]:
        path = Path(file)
        kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if kind in _TABLES:
            yield from self._table(file, _TABLES[kind])
        else:
            yield from self._lines(file)

    def _table(self, file: str, delimiter: str) -> Iterator[_Row]:
        how, lines = self._how, _Lines(file)
        quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        names = how.columns or None
        table: csv.DictReader[str] = csv.DictReader(lines, fieldnames=names, delimiter=delimiter, quoting=quoting)
        try:
            for field in (how.text_field, how.label_field):
                if field not in (table.fieldnames or ()):
                    named = ", ".join(table.fieldnames or ()) or "none"
                    raise RecordingError(f"{file}:1: {field}: no such column; there are {named}")
            for row in table:
                # Tables come from the web more often than from a chat: character references stand for characters, and
                # markup for how it was shown.
                text = html.unescape(_TAG.sub(" ", row[how.text_field] or ""))
                yield _Row(text, row.get("user") or "", (), row[how.label_field])
        except csv.Error as error:
            raise RecordingError(f"{file}:{lines.number}: {error}") from None

    def _lines(self, file: str) -> Iterator[_Row]:
        """Texts in the order of the file, when no later event can label them any more: at its end."""
        rows: list[_Row] = []
        recent: dict[tuple[str, str], deque[_Row]] = defaultdict(lambda: deque(maxlen=_RECENT))
        for number, line in _numbered(file):
            record = _object(line, file, number)
            room = str(record.get("room", ""))
            if record.get("kind") == "moderation":
                self._moderated(record, recent.get((room, str(record.get("target"))), ()))
            elif isinstance(record.get(self._how.text_field), str):
                row = self._row(record)
                recent[room, row.user].append(row)
                if self._how.among is None or (room, row.event) in self._how.among:
                    rows.append(row)
        return iter(rows)

    def _row(self, record: dict[str, Any]) -> _Row:
        emotes = record.get("emotes")
        names = tuple(name for name in emotes if isinstance(name, str)) if isinstance(emotes, list) else ()
        label = record.get(self._how.label_field)
        text = str(record[self._how.text_field])
        written = None if label is None else str(label)
        user, event = str(record.get("user", "")), str(record.get("id", ""))
        return _Row(text, user, names, written, _number(record.get("ts")), event, str(record.get("room", "")))

    def _moderated(self, record: dict[str, Any], rows: Iterable[_Row]) -> None:
        """A human's word labels what it is about, unless a label stands there already."""
        if record.get("verb") not in VERBS:
            return
        since = _number(record.get("ts")) - self._how.before_s
        for row in rows:
            meant = row.event == record.get("target_event") or (self._how.before_s and row.at >= since)
            if row.label is None and meant:
                row.label = str(record["verb"])


class _Lines:
    """The lines of a table, and how far it was read."""

    def __init__(self, file: str) -> None:
        self.number = 0
        self._numbered = _numbered(file)

    def __iter__(self) -> Iterator[str]:
        for number, line in self._numbered:
            self.number = number
            yield line


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
