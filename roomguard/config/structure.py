"""From TOML tables to frozen settings: strictly, and with every complaint at once.

Strictly: a string is no number, `true` is no number, 5.9 is no whole number, an unknown key is an error. cattrs
walks the classes; the hooks here replace each of its coercions by a sentence.
"""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Literal, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.gen import make_dict_structure_fn, override

from roomguard.config.lines import Path
from roomguard.config.ranges import range_of

T = TypeVar("T")
K = TypeVar("K", str, int)


@attrs.frozen
class Complaint:
    """One thing wrong, at a path below what was structured."""

    path: Path
    message: str


class _WrongError(Exception):
    """Complaints raised by one of our hooks, at paths below the value it was given."""

    def __init__(self, *complaints: Complaint) -> None:
        super().__init__(*complaints)
        self.complaints = complaints


def structure(tables: Any, cls: type[T]) -> tuple[T | None, list[Complaint]]:
    """Make a `cls` of `tables`, or say all that stands in the way."""
    try:
        return _CONVERTER.structure(tables, cls), []
    except Exception as error:  # noqa: BLE001 -- cattrs wraps whatever the hooks and validators raised; sorted out below
        return None, list(_complaints(error, ()))


def describe(value: Any) -> str:
    """A TOML value in the words of an error message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value[:40]}"'
    if isinstance(value, int):
        return f"the whole number {value}" if abs(value) < 10**20 else "a huge whole number"
    if isinstance(value, float):
        return f"the number {value:g}"
    if isinstance(value, dict):
        return "a table"
    return "an array" if isinstance(value, list) else f"the date or time {value}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(word: str, known: Iterable[str]) -> str:
    """The sentence for a key nobody knows."""
    meant = nearest(word, known)
    return f'unknown key; did you mean "{meant}"?' if meant else "unknown key"


def keys_of(cls: type[Any]) -> tuple[str, ...]:
    """The keys a settings class knows."""
    return tuple(field.name for field in attrs.fields(cls))


def _complaints(error: BaseException, path: Path) -> Iterable[Complaint]:
    """Flatten what cattrs raised: groups of groups, notes telling which field or position each came from."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        placed, loose = error.group_exceptions()
        for inner, note in placed:
            step = note.name if isinstance(note, AttributeValidationNote) else note.index
            yield from _complaints(inner, (*path, step))
        for inner in loose:
            yield from _complaints(inner, path)
    elif isinstance(error, _WrongError):
        for complaint in error.complaints:
            yield attrs.evolve(complaint, path=(*path, *complaint.path))
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield Complaint((*path, key), unknown(key, keys_of(error.cl)))
    elif isinstance(error, KeyError):
        yield Complaint(path, "missing")
    elif isinstance(error, ValueError):
        yield Complaint(path, _validator_said(error))
    else:
        raise error


def _validator_said(error: ValueError) -> str:
    """An attrs validator's message: its first argument, without the name that the path says anyway."""
    said = str(error.args[0]) if error.args else "not allowed"
    quoted, _, rest = said.partition(" ")
    return rest if rest and quoted.startswith("'") and quoted.endswith("'") else said


def _wrong(message: str) -> _WrongError:
    return _WrongError(Complaint((), message))


def _bool(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(f"expected true or false, got {describe(value)}")
    return value


def _int(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"expected a whole number, got {describe(value)}")
    return value


def _float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"expected a number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong("must be a finite number")
    return number


def _str(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(f"expected text, got {describe(value)}")
    return value


def _file(value: Any, _: Any) -> FilePath:
    text = _str(value, _)
    if not text or "\0" in text:
        raise _wrong("expected the name of a file")
    return FilePath(text)


def _literal(value: Any, cls: Any) -> Any:
    known = get_args(cls)
    if type(value) in {type(one) for one in known} and value in known:
        return value
    meant = nearest(value, [one for one in known if isinstance(one, str)]) if isinstance(value, str) else None
    hint = f'; did you mean "{meant}"?' if meant else ""
    raise _wrong(f"expected one of {', '.join(map(str, known))}, got {describe(value)}{hint}")


def _each(pairs: Iterable[tuple[K, Any]], cls: Any, converter: cattrs.Converter) -> list[tuple[K, Any]]:
    """Structure the values of `pairs`, all of them even where some are wrong."""
    out: list[tuple[K, Any]] = []
    wrong: list[Complaint] = []
    for key, value in pairs:
        try:
            out.append((key, converter.structure(value, cls)))
        except Exception as error:  # noqa: BLE001 -- see `structure`
            wrong += _complaints(error, (key,))
    if wrong:
        raise _WrongError(*wrong)
    return out


def _list_first(_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Arrays come from arrays only; cattrs alone would take a string apart."""

    def hook(value: Any, cls: Any) -> Any:
        if not isinstance(value, list):
            raise _wrong(f"expected an array, got {describe(value)}")
        return tuple(one for _, one in _each(enumerate(value), get_args(cls)[0], converter))

    return hook


def _table_first(_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Mappings with free names: [ladders.NAME], [thresholds]."""

    def hook(value: Any, cls: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong(f"expected a table, got {describe(value)}")
        return dict(_each(value.items(), get_args(cls)[1], converter))

    return hook


def _settings(cls: type[Any], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """A settings class: its fields by their own hooks, ranges and validators checked field by field."""
    attrs.resolve_types(cls)
    hooks: dict[str, Any] = {
        field.name: override(struct_hook=_field(cls, field, converter)) for field in attrs.fields(cls)
    }
    inner = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **hooks
    )

    def hook(value: Any, to: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong(f"expected a table, got {describe(value)}")
        return inner(value, to)

    return hook


def _field(cls: type[Any], field: attrs.Attribute[Any], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """One field of `cls`; its validator runs here, so that the next field's complaint is heard too."""

    def hook(value: Any, _: Any) -> Any:
        structured = converter.structure(value, typing.cast("type[Any]", field.type))
        if wrong := list(_out_of_range(cls.__name__, field, structured)):
            raise _WrongError(*wrong)
        if field.validator is not None:
            field.validator(None, field, structured)
        return structured

    return hook


def _out_of_range(owner: str, field: attrs.Attribute[Any], value: Any) -> Iterable[Complaint]:
    """Every number in `value` that is outside the range of its field; a validator knows the lower bound better."""
    inside: Iterable[tuple[Path, Any]] = [((), value)]
    if isinstance(value, Mapping):
        inside = [((name,), one) for name, one in value.items()]
    elif isinstance(value, tuple):
        inside = [((index,), one) for index, one in enumerate(value)]
    for path, one in inside:
        if isinstance(one, bool) or not isinstance(one, int | float):
            continue
        allowed = range_of(owner, field.name, whole=isinstance(one, int))
        if field.validator is not None:
            allowed = attrs.evolve(allowed, low=-math.inf)
        complaint = allowed.complaint(one)
        if complaint:
            yield Complaint(path, complaint)


def _is_tuple(cls: Any) -> bool:
    return get_origin(cls) is tuple


def _is_mapping(cls: Any) -> bool:
    origin = get_origin(cls)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_literal(cls: Any) -> bool:
    return get_origin(cls) is Literal


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for cls, hook in ((bool, _bool), (int, _int), (float, _float), (str, _str), (FilePath, _file)):
        converter.register_structure_hook(cls, hook)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_factory(_is_tuple, _list_first)
    converter.register_structure_hook_factory(_is_mapping, _table_first)
    converter.register_structure_hook_factory(attrs.has, _settings)
    return converter


_CONVERTER = _converter()
