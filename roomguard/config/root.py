"""The whole configuration as one frozen value, and how config.toml maps onto it.

The file is flat where people look most: what belongs to the engine stands in tables of its own ([budget], [words],
[[rules]]), only its few plain values and its caps stand in [engine]. `lift` moves them under one roof before
structuring, `lower` gives complaints the path that stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import attrs

from roomguard.config.lines import Path
from roomguard.config.structure import Complaint, describe, keys_of, structure, unknown
from roomguard.engine.settings import CapSettings, EngineSettings
from roomguard.runtime.settings_admin import AdminSettings
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.store.settings import BusSettings


@attrs.frozen(kw_only=True)
class Settings:
    """Everything config.toml can say, each part in the class of the package that uses it."""

    listen: ListenSettings = attrs.field(factory=ListenSettings)
    admin: AdminSettings = attrs.field(factory=AdminSettings)
    rooms: RoomSettings = attrs.field(factory=RoomSettings)
    bus: BusSettings = attrs.field(factory=BusSettings)
    engine: EngineSettings = attrs.field(factory=EngineSettings)


attrs.resolve_types(EngineSettings)
attrs.resolve_types(Settings)


def _is_plain(field: attrs.Attribute[Any]) -> bool:
    """Whether an engine field stands in [engine] itself: plain values and the caps, but for `mode`."""
    return field.name != "mode" and (
        field.type is CapSettings or not (attrs.has(field.type or int) or get_origin(field.type) in {tuple, Mapping})
    )


LIFTED: tuple[str, ...] = tuple(field.name for field in attrs.fields(EngineSettings) if not _is_plain(field))
"""Engine fields that stand at the top level of the file."""
TOP: tuple[str, ...] = (*LIFTED, *keys_of(Settings))
"""Every name at the top level of the file."""
TOP_VALUES: tuple[str, ...] = ("mode",)
"""Those of them that are values, not tables."""


def settings_of(tables: Mapping[str, Any]) -> tuple[Settings | None, list[Complaint]]:
    """The settings a parsed file means, or all that is wrong with it, at the paths of the file."""
    lifted, complaints = lift(tables)
    settings, more = structure(lifted, Settings)
    complaints += [attrs.evolve(one, path=lower(one.path)) for one in more]
    if complaints:
        return None, [_hinted(one) for one in complaints]
    return settings, []


def lift(tables: Mapping[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
    """The file's tables in the shape of `Settings`, and what stands where it does not belong."""
    complaints = [Complaint((key,), unknown(key, TOP)) for key in tables if key not in TOP]
    out = {key: value for key, value in tables.items() if key in keys_of(Settings)}
    engine = out.get("engine", {})
    if not isinstance(engine, dict):
        complaints.append(Complaint(("engine",), f"expected a table, got {describe(engine)}"))
        engine = {}
    misplaced = [key for key in engine if key in LIFTED]
    complaints += [
        Complaint(("engine", key), "stands at the top level of the file, not in [engine]") for key in misplaced
    ]
    out["engine"] = {
        **{key: value for key, value in engine.items() if key not in LIFTED},
        **{key: tables[key] for key in LIFTED if key in tables},
    }
    return out, complaints


def lower(path: Path) -> Path:
    """A path in `Settings` as a path in the file."""
    return path[1:] if len(path) > 1 and path[0] == "engine" and path[1] in LIFTED else path


def type_at(path: Path) -> Any:
    """The type of the setting at `path` of the file, None if there is none."""
    here: Any = Settings
    for step in ("engine", *path) if path and path[0] in LIFTED else path:
        if isinstance(here, type) and attrs.has(here):
            attrs.resolve_types(here)
            here = next((field.type for field in attrs.fields(here) if field.name == step), None)
        elif get_origin(here) is Mapping:
            here = get_args(here)[1]
        elif get_origin(here) is tuple and isinstance(step, int):
            here = get_args(here)[0]
        else:
            return None
    return here


def fields(cls: type[Any] = Settings, path: Path = ()) -> Iterator[tuple[Path, attrs.Attribute[Any]]]:
    """Each setting with a fixed name, at its path in the file; what hangs below a free name is left out."""
    attrs.resolve_types(cls)
    for field in attrs.fields(cls):
        here = (*path, field.name)
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from fields(field.type, here)
        else:
            yield lower(here), field


def _hinted(complaint: Complaint) -> Complaint:
    """A key that is unknown here but stands in another table is named there."""
    if complaint.message != "unknown key":
        return complaint
    elsewhere = [path for path, _ in fields() if path[-1] == complaint.path[-1] and len(path) > 1]
    if len(elsewhere) != 1:
        return complaint
    table = ".".join(str(step) for step in elsewhere[0][:-1])
    return attrs.evolve(complaint, message=f'unknown key; did you mean "{elsewhere[0][-1]}" of [{table}]?')
