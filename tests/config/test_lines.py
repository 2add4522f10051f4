"""On which line a key stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from roomguard.config.lines import MAX_DEPTH, MAX_PARTS, Path, scan

CASES: dict[str, tuple[str, dict[Path, int]]] = {
    "plain": ("a = 1\n\nb = 2\n", {("a",): 1, ("b",): 3}),
    "table": ("[t]\n# c\na = 1\n", {("t",): 1, ("t", "a"): 3}),
    "dotted": ("[t]\na.b.'c d' = 1\n", {("t", "a"): 2, ("t", "a", "b"): 2, ("t", "a", "b", "c d"): 2}),
    "dotted header": ('\n[ a . "b\\u0041" ]\nc=1\n', {("a",): 2, ("a", "bA"): 2, ("a", "bA", "c"): 3}),
    "array of tables": (
        "[[r]]\nn=1\n[[r]]\nn=2\n[r.s]\nx=1\n",
        {("r", 0, "n"): 2, ("r", 1, "n"): 4, ("r", 1, "s", "x"): 6},
    ),
    "array over lines": ("a = [\n  1, # one\n  2,\n]\nb=1\n", {("a", 0): 2, ("a", 1): 3, ("b",): 5}),
    "inline table": ("a = {x=1, y.z={w=2}}\n", {("a", "x"): 1, ("a", "y"): 1, ("a", "y", "z", "w"): 1}),
    "inline tables in an array": ("a = [\n{x=1},\n{x=2}]\n", {("a", 0, "x"): 2, ("a", 1, "x"): 3}),
    "long strings": ("a = \"\"\"\nb = 1\n\"\"\"\nc = '''\n[t]\n'''\nd=1\n", {("a",): 1, ("c",): 4, ("d",): 7}),
    "quotes at the end of long strings": ('a = """x"""""\nb = 1\n', {("a",): 1, ("b",): 2}),
    "brackets and hashes in strings": ('a = "]#}\\"" # c\nb = \']\'\n', {("a",): 1, ("b",): 2}),
    "dates and numbers": ("a = 1979-05-27 07:32:00\nb = -1_000.5e+3\n", {("a",): 1, ("b",): 2}),
    "windows line ends": ("a = 1\r\nb = [1,\r\n2]\r\nc = 1\r\n", {("a",): 1, ("b",): 2, ("c",): 4}),
}


@pytest.mark.parametrize("name", CASES)
def test_lines(name: str) -> None:
    """Every key of a valid text is found on the line where it is written."""
    text, expected = CASES[name]
    tomllib.loads(text)

    found = scan(text)

    assert found.bomb is None
    assert {path: found.of.get(path) for path in expected} == expected


def test_nearest_is_the_table_around() -> None:
    """A key that is missing is placed at the table it is missing from."""
    lines = scan("x = 1\n[a.b]\nc = 1\n")

    assert (2, 3, None) == tuple(lines.nearest(path) for path in (("a", "b", "gone"), ("a", "b", "c", "d"), ("gone",)))


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * (MAX_PARTS + 1)) + " = 1",
        "[" + ".".join(["a"] * (MAX_PARTS + 1)) + "]",
        "a = " + "[" * (MAX_DEPTH + 2),
        "a = " + "{a = " * (MAX_DEPTH + 2),
        "a = " + "[{a = " * 50_000,
    ],
)
def test_bombs(text: str) -> None:
    """What is nested deeper than anybody writes is refused before a parser sees it."""
    assert scan("\n" + text).bomb is not None


def _keys(value: Any, path: Path = ()) -> list[Path]:
    if isinstance(value, dict):
        return [found for key, one in value.items() for found in ((*path, key), *_keys(one, (*path, key)))]
    if isinstance(value, list):
        return [found for index, one in enumerate(value) for found in _keys(one, (*path, index))]
    return []


@given(st.text(alphabet="ab.=[]{}\"'\\#,\n 1", max_size=60))
def test_agrees_with_tomllib(text: str) -> None:
    """Whatever tomllib can read, every key of it has a line; whatever it cannot, the scan ends without an exception."""
    lines = scan(text)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    assert [path for path in _keys(tables) if path not in lines.of] == []
