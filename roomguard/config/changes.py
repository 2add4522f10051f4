"""What differs between two configurations: for the log of a reload, in the words of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from roomguard.config.lines import Path
from roomguard.config.loading import is_secret
from roomguard.config.root import Settings, lower

SHOWN = 80
"""Characters of a value that are shown."""


@attrs.frozen
class Change:
    """One setting that differs. `old` or `new` is None where it is not set."""

    key: str
    old: str | None
    new: str | None
    restart: bool
    """Whether it waits for a restart: sockets, the journal and the bounds of buffers are made once."""

    def __str__(self) -> str:
        return f"{self.key} {self.old or 'not set'} -> {self.new or 'not set'}"


def changes(old: Settings, new: Settings) -> list[Change]:
    """Each setting that differs, in the order of the new file, then what is gone."""
    before, after = dict(_leaves(old, ())), dict(_leaves(new, ()))
    return [
        _change(path, before.get(path), after.get(path))
        for path in [*after, *(path for path in before if path not in after)]
        if before.get(path) != after.get(path)
    ]


def _change(path: Path, old: Any, new: Any) -> Change:
    shown = lower(path)
    key = ".".join(str(step) for step in shown)
    if is_secret(shown):
        return Change(key, "(secret)", "(another secret)", restart=True)
    return Change(key, _text(old), _text(new), restart=path[0] != "engine")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(list(value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Each plain value below `value`; array entries by name, so that a new rule is one change only."""
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _leaves(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(one, (*path, name))
    elif isinstance(value, tuple) and value and attrs.has(type(value[0])):
        for index, one in enumerate(value):
            yield from _leaves(one, (*path, getattr(one, "name", None) or index))
    else:
        yield path, value
