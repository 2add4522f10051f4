"""What stands above the file: environment variables, and above those `--set KEY=VALUE`.

`ROOMGUARD_LISTEN__PORT=9000` and `--set listen.port=9000` both set `port` in `[listen]`; a rule is named by its name:
`--set rules.flood.mode=shadow`. The value is TOML; what is no TOML value is taken as text, so quotes may be left out.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from roomguard.config.lines import Path, scan
from roomguard.config.structure import nearest
from roomguard.errors import ConfigProblem

PREFIX = "ROOMGUARD_"
MAX_VALUE = 64 * 1024
"""Bytes of one value; an environment can hold far more than a setting ever needs."""


@attrs.frozen
class Override:
    """One value put over the file's. `origin` names it in messages."""

    path: tuple[str, ...]
    text: str
    origin: str


def from_flags(pairs: Iterable[str]) -> tuple[list[Override], list[ConfigProblem]]:
    """`KEY=VALUE` of each `--set`, and every malformed one."""
    out: list[Override] = []
    problems: list[ConfigProblem] = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        path = _key(key.strip())
        if not equals or path is None:
            problems.append(ConfigProblem("--set", None, pair[:80], "expected KEY=VALUE, as in rooms.idle_s=60"))
        else:
            out.append(Override(path, value, "--set"))
    return out, problems


def from_environment(environment: Mapping[str, str], top_level: Iterable[str]) -> list[Override]:
    """The overrides in `environment`: `ROOMGUARD_SECTION__KEY`, and `ROOMGUARD_KEY` for each key in `top_level`.

    Other variables that begin with ROOMGUARD_ are not ours to judge (ROOMGUARD_NO_BOOTSTRAP, a container's own).
    """
    singles = set(top_level)
    out = []
    for name in sorted(environment):
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if name.startswith(PREFIX) and (len(path) > 1 or path[0] in singles):
            out.append(Override(path, environment[name], f"environment {name}"))
    return out


def apply(
    tables: dict[str, Any], overrides: Iterable[Override], wants_text: Callable[[Path], bool]
) -> tuple[dict[str, Any], dict[Path, str], list[ConfigProblem]]:
    """`tables` with the overrides put in, where each of those paths came from, and every override that leads nowhere.

    `wants_text` says whether a setting is text, so that a token of digits alone stays one.
    """
    out = copy.deepcopy(tables)
    origins: dict[Path, str] = {}
    problems: list[ConfigProblem] = []
    for override in overrides:
        try:
            path = _put(out, override, wants_text)
        except _NoWayError as error:
            problems.append(ConfigProblem(override.origin, None, ".".join(override.path), str(error)))
            continue
        origins[path] = override.origin
    return out, origins, problems


class _NoWayError(Exception):
    """An override's path does not lead anywhere."""


def _put(tables: dict[str, Any], override: Override, wants_text: Callable[[Path], bool]) -> Path:
    """Set one value; gives its path with positions in place of the names of rules."""
    place: Any = tables
    path: Path = ()
    for name in override.path[:-1]:
        step = _step(place, name)
        path = (*path, step)
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    last = _step(place, override.path[-1])
    path = (*path, last)
    value = _value(override.text)
    place[last] = override.text if wants_text(path) and not isinstance(value, str) else value
    return path


def _step(place: Any, name: str) -> str | int:
    """How `name` is found in `place`: a key of a table, or the position of the entry with that `name` in an array."""
    if isinstance(place, dict):
        return name
    if not isinstance(place, list) or not all(isinstance(entry, dict) for entry in place):
        raise _NoWayError(f'there is no table to hold "{name}"')
    if name.isdigit() and int(name) < len(place):
        return int(name)
    names = [str(entry.get("name", "")) for entry in place]
    if name in names:
        return names.index(name)
    meant = nearest(name, names)
    raise _NoWayError(f'there is no entry named "{name}"' + (f'; did you mean "{meant}"?' if meant else ""))


def _key(text: str) -> tuple[str, ...] | None:
    """A dotted TOML key, None if it is none."""
    try:
        if "\n" in text or scan(f"{text}=0").bomb:
            return None
        place: Any = tomllib.loads(f"{text}=0")
    except (ValueError, RecursionError):
        return None
    path = []
    while isinstance(place, dict):
        if len(place) != 1:
            return None
        name = next(iter(place))
        path.append(name)
        place = place[name]
    return tuple(path)


def _value(text: str) -> Any:
    """A TOML value, or else the text itself."""
    line = f"value = {text}"
    try:
        if len(text) > MAX_VALUE or scan(line).bomb:
            return text
        parsed = tomllib.loads(line)
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text
