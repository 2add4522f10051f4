"""config.toml as it is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from roomguard.config.reading import Document, parse, read
from roomguard.config.root import fields, settings_of, type_at
from roomguard.configure import configure

SWITCHED_OFF = re.compile(r"^#(?=[A-Za-z0-9_.\"]+ = )", re.MULTILINE)
"""`#key = value` is a default shown; `# text` is text."""


@pytest.fixture
def shipped(checkout: Path) -> Path:
    return checkout / "config.toml"


@pytest.fixture
def switched_on(shipped: Path) -> Document:
    """The file with every default that it shows switched on."""
    return parse(SWITCHED_OFF.sub("", shipped.read_text(encoding="utf-8")).encode(), "config.toml")


def test_can_be_used(shipped: Path) -> None:
    """The shipped configuration has no errors and judges by at least one enforced rule."""
    rules = configure(shipped).settings.engine.rules

    assert any(rule.mode == "enforce" for rule in rules)


def test_every_setting_is_shown(switched_on: Document) -> None:
    """Each setting with a fixed name stands in config.toml, set or shown with its default, with a comment above."""
    shown = set(switched_on.lines.of)

    assert [path for path, _ in fields() if path not in shown] == []


def test_every_key_is_known(switched_on: Document) -> None:
    """Whatever stands in config.toml, switched on or not, is a setting with a value that is allowed."""
    assert settings_of(switched_on.tables)[1] == []


def test_shown_defaults_are_the_defaults(shipped: Path, switched_on: Document) -> None:
    """A default that is shown is the one in force; where there is none an example stands."""
    quiet = read(shipped).lines.of
    wrong = []
    for path, field in fields():
        if path in quiet or path not in switched_on.lines.of or field.default is None:
            continue
        value: object = switched_on.tables
        for step in path:
            value = value[step]  # type: ignore[index]
        default = field.default.factory() if hasattr(field.default, "factory") else field.default
        if (tuple(value) if isinstance(value, list) else value) != default and value != default:
            wrong.append((path, value, default))

    assert wrong == []


def test_each_number_has_a_unit_or_a_word(shipped: Path) -> None:
    """Above each setting that is shown or set stands a comment, unless its neighbour's speaks for both."""
    lines = shipped.read_text(encoding="utf-8").splitlines()
    bare = [
        f"{number + 1}: {line}"
        for number, line in enumerate(lines)
        if SWITCHED_OFF.match(line) and not any(above.startswith("# ") for above in lines[max(0, number - 3) : number])
    ]

    assert bare == []


def test_types_are_found() -> None:
    """Every path of `fields` leads to a type, so that overrides know what a setting wants."""
    assert [path for path, _ in fields() if type_at(path) is None] == []
