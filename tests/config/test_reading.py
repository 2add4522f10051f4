"""From bytes to tables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from roomguard.config.reading import MAX_BYTES, parse, read
from roomguard.errors import ConfigError

REFUSED: dict[str, tuple[bytes, str]] = {
    "UTF-8 with a mark": (b"\xef\xbb\xbfmode = 'shadow'", "c.toml:1: begins with a byte order mark"),
    "UTF-16 with a mark": ("a = 1".encode("utf-16"), "c.toml:1: begins with a byte order mark"),
    "UTF-16 without": ("a = 1".encode("utf-16-le"), "c.toml:1: contains NUL bytes"),
    "bad UTF-8": (b"a = 1\nb = '\xff'\n", "c.toml:2: not UTF-8: byte 0xff"),
    "too large": (b"#" * (MAX_BYTES + 1), "c.toml: larger than 256 KiB"),
    "nested arrays": (b"a = " + b"[" * 100_000, "c.toml:1: values nested more than"),
    "nested tables": (b"\na = " + b"{a = " * 40_000, "c.toml:2: values nested more than"),
    "dotted key": (b"a." * 100_000 + b"a = 1", "c.toml:1: a key of more than"),
    "huge integer": (b"a = " + b"9" * 5_000, "c.toml: not TOML: Exceeds the limit"),
    "twice the same key": (b"a = 1\na = 2\n", "c.toml:2: not TOML: Cannot overwrite a value"),
    "open string": (b'a = 1\nb = "', "c.toml:2: not TOML: Unterminated string"),
    "no value": (b"a =\n", "c.toml:1: not TOML: Invalid value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """A file that is no honest TOML is refused with the line and a sentence, in no time."""
    data, expected = REFUSED[name]
    started = time.perf_counter()

    with pytest.raises(ConfigError) as caught:
        parse(data, "c.toml")

    assert str(caught.value).startswith(expected)
    assert time.perf_counter() - started < 1.0


SLOW: dict[str, bytes] = {
    "many dotted keys": "\n".join(f"a.b.c.d.e.f.g.h.i.j.k.l{i} = 1" for i in range(6_000)).encode(),
    "many headers": "\n".join(f"[a.b.c.d.e.f.g.h{i}]" for i in range(10_000)).encode(),
    "a long array": b"a = [" + b"1," * 100_000 + b"]",
    "escapes": b'a = "' + b"\\n" * 100_000 + b'"',
    "comments": b"#\n" * 100_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_bounded_time(name: str) -> None:
    """The largest file of any shape is read in a few seconds at most."""
    assert len(SLOW[name]) <= MAX_BYTES
    started = time.perf_counter()

    parse(SLOW[name], "c.toml")

    assert time.perf_counter() - started < 5.0


def test_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is an error with the system's reason."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file or directory"):
        read(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_empty(tmp_path: Path) -> None:
    """An empty file is a file without settings."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"")

    assert read(path).tables == {}
