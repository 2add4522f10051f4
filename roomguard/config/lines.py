"""On which line of a TOML text each key stands: tomllib does not say, and an error without a line is half an error.

One pass, linear, never raises. It also measures what tomllib would choke on (depth of nesting, parts of a dotted key),
so it runs first: whatever it cannot read ends the pass, and tomllib will say what is wrong at that very place.
"""

from __future__ import annotations

import re

import attrs

Path = tuple[str | int, ...]
"""Where a value stands: table and key names, and positions in arrays."""

MAX_PARTS = 16
"""Parts of one dotted key; tomllib's work grows with their square."""
MAX_DEPTH = 16
"""Arrays and inline tables inside one another; tomllib recurses."""

_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'{3,5}", re.DOTALL)
_STRINGS = (('"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL))
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([btnfr"\\]))')
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


@attrs.frozen
class Lines:
    """What a pass over a text found."""

    of: dict[Path, int]
    """Line of each key and array entry, the first being 1."""
    bomb: tuple[int, str] | None
    """Line and sentence, if the text is nested so deep that reading it is refused."""

    def nearest(self, path: Path) -> int | None:
        """The line of `path`, or else of the innermost table around it that stands in the text."""
        for length in range(len(path), 0, -1):
            if (line := self.of.get(path[:length])) is not None:
                return line
        return None


def scan(text: str) -> Lines:
    """Find the line of every key in `text`; what follows the first unreadable place stays unfound."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except _UnreadableError:
        return Lines(scanner.of, None)
    except _BombError as bomb:
        return Lines(scanner.of, (scanner.line(scanner.at), str(bomb)))
    return Lines(scanner.of, None)


class _UnreadableError(Exception):
    """This is no TOML; tomllib says why."""


class _BombError(Exception):
    """Deeper than anybody writes."""


class _Scanner:
    """A cursor over the text. Each method reads one thing of the grammar and leaves the cursor behind it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.of: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}  # arrays of tables: how many entries so far
        self._counted_to = 0
        self._lines = 1

    def line(self, at: int) -> int:
        """The line of position `at`; positions are asked for in rising order, so the text is counted once."""
        self._lines += self.text.count("\n", self._counted_to, at)
        self._counted_to = max(at, self._counted_to)
        return self._lines

    def document(self) -> None:
        """All statements of the text."""
        table: Path = ()
        while self.skip(_SPACE) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table, 0)
            self.skip(_BLANK)

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; gives the path that the pairs below it belong to."""
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        path = self.resolve(self.key())
        self.expect("]" * brackets)
        if brackets == 2:
            entry = self.arrays[path] = self.arrays.get(path, -1) + 1
            path = (*path, entry)
        for length in range(1, len(path) + 1):
            self.note(path[:length], start)
        return path

    def resolve(self, names: list[str]) -> Path:
        """A header's names with the position of the latest entry put in after each array of tables but the last."""
        path: Path = ()
        for index, name in enumerate(names):
            path = (*path, name)
            if index < len(names) - 1 and path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def pair(self, table: Path, depth: int) -> None:
        """`a.b = value`."""
        start = self.at
        names = self.key()
        for length in range(1, len(names) + 1):
            self.note((*table, *names[:length]), start)
        self.expect("=")
        self.skip(_BLANK)
        self.value((*table, *names), depth)

    def key(self) -> list[str]:
        """A key, dotted or not."""
        names = [self.name()]
        while self.skip(_BLANK) < len(self.text) and self.text[self.at] == ".":
            self.at += 1
            names.append(self.name())
            if len(names) > MAX_PARTS:
                raise _BombError(f"a key of more than {MAX_PARTS} parts")
        return names

    def name(self) -> str:
        """One part of a key: bare or quoted."""
        self.skip(_BLANK)
        for pattern in (_BARE, _BASIC, _LITERAL):
            if found := pattern.match(self.text, self.at):
                self.at = found.end()
                if pattern is _BARE:
                    return found[0]
                return _ESCAPE.sub(_unescaped, found[1]) if pattern is _BASIC else found[1]
        raise _UnreadableError

    def value(self, path: Path, depth: int) -> None:
        """Any value; the keys inside it are noted below `path`."""
        if depth > MAX_DEPTH:
            raise _BombError(f"values nested more than {MAX_DEPTH} deep")
        head = self.text[self.at : self.at + 1]
        if head == "[":
            self.array(path, depth)
        elif head == "{":
            self.inline_table(path, depth)
        else:
            self.scalar()

    def array(self, path: Path, depth: int) -> None:
        """`[1, 2]`, over any number of lines."""
        self.at += 1
        entry = 0
        while not self.closes("]"):
            self.note((*path, entry), self.at)
            self.value((*path, entry), depth + 1)
            entry += 1
            self.comma("]")

    def inline_table(self, path: Path, depth: int) -> None:
        """`{ a = 1 }`."""
        self.at += 1
        while not self.closes("}"):
            self.pair(path, depth + 1)
            self.comma("}")

    def closes(self, bracket: str) -> bool:
        """Whether `bracket` comes next; it is read then."""
        self.skip(_SPACE)
        if not self.text.startswith(bracket, self.at):
            return False
        self.at += 1
        return True

    def comma(self, bracket: str) -> None:
        """The comma between two entries; before `bracket` there need be none."""
        self.skip(_SPACE)
        if self.text.startswith(",", self.at):
            self.at += 1
        elif not self.text.startswith(bracket, self.at):
            raise _UnreadableError

    def scalar(self) -> None:
        """A string of any of the four kinds, a number, a date, a truth value."""
        pattern = next((by for quotes, by in _STRINGS if self.text.startswith(quotes, self.at)), _SCALAR)
        found = pattern.match(self.text, self.at)
        if not found:
            raise _UnreadableError
        self.at = found.end()

    def expect(self, word: str) -> None:
        """`word`, blanks before it."""
        self.skip(_BLANK)
        if not self.text.startswith(word, self.at):
            raise _UnreadableError
        self.at += len(word)

    def skip(self, pattern: re.Pattern[str]) -> int:
        """Over blanks, or blanks, line ends and comments; gives the new position."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def note(self, path: Path, at: int) -> None:
        """Remember where `path` was first seen."""
        if path not in self.of:
            self.of[path] = self.line(at)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16)) if int(code, 16) < 0x110000 else "\ufffd"
    return _ESCAPES[found[3]]
