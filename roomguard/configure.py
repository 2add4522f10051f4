"""A configuration ready to judge by: settings from every source, and the program their rules compile to.

Whoever starts, checks, reloads or replays comes through `configure`, so that all four agree on what is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import re2

from roomguard.config.changes import Change, changes
from roomguard.config.lines import Path as Key
from roomguard.config.loading import Loaded, load
from roomguard.config.root import LIFTED, Settings
from roomguard.config.structure import Complaint
from roomguard.engine.program import Program, RuleErrors, RuleProblem, compile_program
from roomguard.engine.reasons import Overrides, override_problem
from roomguard.engine.text.model import MAX_BYTES, ModelError, TextModel, from_bytes
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.text.words import compile_patterns
from roomguard.errors import ConfigError


@attrs.frozen
class Configuration:
    """Settings and the program compiled from them."""

    settings: Settings
    program: Program


def configure(
    path: Path | None, flags: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Configuration:
    """Load and compile. `path` None means no file. Raises ConfigError with everything that is wrong."""
    loaded = load(path, flags, environment)
    return Configuration(loaded.settings, compiled(loaded))


def compiled(loaded: Loaded) -> Program:
    """Compile the judging settings. Raises ConfigError, each problem at the line of its key."""
    engine = loaded.settings.engine
    model, complaints = _model(engine.words)
    complaints += [*_patterns(engine.words), *_texts(engine.reasons)]
    if complaints:  # the compiler would stop at these; without them it says what else is wrong
        engine = attrs.evolve(engine, words=WordSettings(), reasons={})
    try:
        program = compile_program(engine, model)
    except RuleErrors as error:
        complaints += [Complaint(_key(one), one.message) for one in error.problems]
        raise ConfigError(loaded.problems(complaints)) from None
    if complaints:
        raise ConfigError(loaded.problems(complaints))
    return program


def _model(words: WordSettings) -> tuple[TextModel | None, list[Complaint]]:
    """The text model the settings name, and what is wrong with its file."""
    if not words.model_file:
        return None, []
    try:
        with Path(words.model_file).open("rb") as file:
            return from_bytes(file.read(MAX_BYTES + 1)), []
    except OSError as error:
        message = f"{words.model_file} cannot be read: {error.strerror or error}"
    except ModelError as error:
        message = f"{words.model_file} {error}"
    except ValueError:
        message = "is no name of a file"
    return None, [Complaint(("words", "model_file"), message)]


def _patterns(words: WordSettings) -> list[Complaint]:
    """Regular expressions that RE2 does not take, and those that would hit every message."""
    out = []
    for index, pattern in enumerate(words.regex):
        try:
            (expression,) = compile_patterns([pattern])
        except re2.error as error:
            out.append(Complaint(("words", "regex", index), f"RE2 does not take it: {_said(error)}"))
            continue
        if expression.search(""):
            out.append(Complaint(("words", "regex", index), "matches the empty text, and so every message"))
    return out


def _said(error: Exception) -> str:
    """RE2's own words; it speaks in bytes."""
    said = error.args[0] if error.args else "no reason given"
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _texts(reasons: Overrides) -> list[Complaint]:
    """Texts of the operator that could not be shown."""
    return [
        Complaint(("reasons", code, tag), problem)
        for code, texts in reasons.items()
        for tag, text in texts.items()
        if (problem := override_problem(code, tag, text))
    ]


def differences(old: Configuration, new: Configuration) -> list[Change]:
    """What differs between two configurations, in words."""
    found = changes(old.settings, new.settings)
    before, after = (None if one is None else one.digest for one in (old.program.model, new.program.model))
    if before != after and old.settings.engine.words.model_file == new.settings.engine.words.model_file:
        found.append(Change("what is in words.model_file", before, after, restart=False))
    return found


def _key(problem: RuleProblem) -> Key:
    """Where a problem of the compiler stands in the file."""
    if not problem.table:
        return (problem.key,) if problem.key in LIFTED else ("engine", problem.key)
    table, _, name = problem.table.partition(".")
    path: Key = (table, name) if name else (table,)
    if problem.index is not None:
        path = (*path, problem.index)
    return (*path, problem.key) if problem.key else path
