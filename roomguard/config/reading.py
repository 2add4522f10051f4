"""From the bytes of a config file to its tables, refusing early what is no honest configuration.

Limits stand before the parser: tomllib recurses into values and takes quadratic time for long dotted keys.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path as FilePath
from typing import Any

import attrs

from roomguard.config.lines import Lines, scan
from roomguard.errors import ConfigError, ConfigProblem

MAX_BYTES = 256 * 1024
"""A config file beyond this is refused unread."""

_BOMS = {b"\xef\xbb\xbf": "UTF-8 with", b"\xff\xfe": "UTF-16 with", b"\xfe\xff": "UTF-16 with"}
_AT_LINE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@attrs.frozen
class Document:
    """A config file that is well-formed TOML; what it says may still be wrong."""

    file: str
    """The name for messages."""
    tables: dict[str, Any]
    lines: Lines
    path: FilePath | None = None
    """Where it was read from, None for a text."""


EMPTY = Document("", {}, Lines({}, None))
"""No file at all: everything is at its default."""


def read(path: FilePath) -> Document:
    """Read and parse `path`. Raises ConfigError for a file that cannot be read or is no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([ConfigProblem(str(path), None, "", f"cannot be read: {error.strerror or error}")]) from None
    return attrs.evolve(parse(data, str(path)), path=path)


def parse(data: bytes, file: str) -> Document:
    """Parse the bytes of a config file called `file`. Raises ConfigError."""
    if len(data) > MAX_BYTES:
        raise _refused(file, None, f"larger than {MAX_BYTES // 1024} KiB, which no configuration needs")
    text = _decoded(data, file)
    lines = scan(text)
    if lines.bomb:
        raise _refused(file, *lines.bomb)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, file, text) from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits; depth that the scan let through
        raise _refused(file, None, f"not TOML: {error}") from None
    return Document(file, tables, lines)


def _decoded(data: bytes, file: str) -> str:
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            raise _refused(file, 1, f"begins with a byte order mark; it is {encoding} one, save it as UTF-8 without")
    if b"\0" in data[:64]:
        raise _refused(file, 1, "contains NUL bytes; it may be UTF-16, save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(file, line, f"not UTF-8: byte 0x{data[error.start]:02x}") from None


def _not_toml(error: tomllib.TOMLDecodeError, file: str, text: str) -> ConfigError:
    said = str(error)
    place = _AT_LINE.search(said)
    if not place:
        return _refused(file, None, f"not TOML: {said}")
    line, column = place[1], place[2]
    if line is None:
        return _refused(file, text.count("\n") + 1, f"not TOML: {said[: place.start()]} (at the end of the file)")
    return _refused(file, int(line), f"not TOML: {said[: place.start()]} (column {column})")


def _refused(file: str, line: int | None, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(file, line, "", message)])
