"""The feature catalogue in words: what `python3 -m roomguard features` prints and docs/features.md is made from.

Read off the code that computes the features, so there is nothing to keep in step by hand. What goes with what is found
out by declaring it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import cast, get_args

import attrs

from roomguard.engine.features import BASE, JUDGED_KINDS, Catalogue, Entry, fact_entries
from roomguard.engine.rules.language import FUNCTIONS, Kind, RuleError
from roomguard.engine.settings import (
    CapSettings,
    EngineSettings,
    FeatureKey,
    FeatureKind,
    FeatureSettings,
    LimitAlgorithm,
    LimitKey,
    LimitSettings,
)
from roomguard.engine.text.facts import Facts
from roomguard.engine.windows import MIN_GAPS, ZSCORE_BINS

FACT_UNITS = {
    "length": "code points", "letters": "code points", "words": "words", "caps_ratio": "share", "digits": "code points",
    "symbols": "code points", "distinct_words": "words", "longest_run": "code points", "repeat_share": "share",
    "repeated": "code points", "emoji": "code points", "emotes": "emotes", "art": "code points",
    "invisible": "code points", "combining": "code points", "fancy": "code points", "mixed_words": "words",
    "links": "links", "hidden_links": "links", "invites": "links", "mentions": "mentions", "contacts": "contacts",
    "advert": "points", "begging": "points", "text_spam": "share",
}  # fmt: skip
"""What the numbers among the facts of a text are numbers of."""


@attrs.frozen
class Row:
    """One name of the rule language."""

    group: str
    """event, text, declared, limit, threshold or function."""
    name: str
    kind: str
    unit: str
    events: str
    meaning: str


def rows(settings: EngineSettings) -> Iterator[Row]:
    """Every name a rule may use under these settings, in the order a reader looks for them."""
    for entry in BASE:
        yield _built_in("event", entry, entry.meaning)
    meanings = meanings_of(Facts)
    for entry in fact_entries():
        name = entry.symbol.name
        yield _built_in("text", attrs.evolve(entry, unit=FACT_UNITS.get(name, "")), meanings.get(name, ""))
    for name, feature in settings.features.items():
        yield _declared(name, feature)
    for name, limit in settings.limits.items():
        yield _limit(name, limit)
        if limit.algorithm == "pace":
            meaning = f"how long this message has to wait to keep to {limit.rate}"
            yield Row("limit", f'wait_s("{name}")', Kind.NUMBER.value, "seconds", "chat", meaning)
    for name, value in settings.thresholds.items():
        yield Row("threshold", name, "number", "", "every kind", f"{value:g}; a strategy may set another")
    for name, usage in FUNCTIONS.items():
        yield Row("function", name, "", "", "every kind", usage)


def _built_in(group: str, entry: Entry, meaning: str) -> Row:
    symbol = entry.symbol
    kind = symbol.kind.value + (", may be unknown" if symbol.nullable else "")
    return Row(group, symbol.name, kind, entry.unit, _events(entry.events), meaning)


def _events(events: tuple[str, ...]) -> str:
    """Event kinds in as few words as they can be said."""
    if len(events) == len(JUDGED_KINDS):
        return "every kind"
    if len(events) == len(JUDGED_KINDS) - 1:
        missing = next(kind for kind in JUDGED_KINDS if kind not in events)
        return f"every kind but {missing}"
    return ", ".join(events)


_PER_KEY = {
    "user": "of the user in this room",
    "room": "in the room",
    "text": "with this text in the room",
    "near": "with nearly this text in the room",
    "domain": "with this link's domain in the room",
    "device": "from this device in the room",
    "net": "from this network in the room",
    "user_text": "of the user with this text",
    "user_near": "of the user with nearly this text",
}
_KIND_WORDS = {
    "count": ("events", "events"),
    "sum": ("", "sum of {of}"),
    "distinct": ("", "different {of}s"),
    "ratio": ("share", "share of events with {of}"),
    "rate": ("1/s", "events a second"),
    "age": ("seconds", "since the first such event"),
    "gap": ("seconds", "mean time between events"),
    "regularity": ("", "spread of the gaps over their mean"),
    "ewma": ("1/s", "exponentially weighted events a second"),
    "zscore": ("standard deviations", "events in this window against the windows before"),
}


def _declared(name: str, feature: FeatureSettings) -> Row:
    unit, words = _KIND_WORDS[feature.kind]
    of = feature.of or ("user" if feature.kind == "distinct" else "events")
    meaning = f"{words.format(of=of)} {_PER_KEY[feature.key]}"
    if feature.kind != "age":
        meaning += f" within {feature.window_s:g} s"
    if feature.where:
        meaning += f", where {feature.where}"
    if feature.comment:
        meaning = f"{feature.comment} ({meaning})"
    kind = Kind.NUMBER.value
    return Row("declared", name, kind, unit, f"counts {', '.join(feature.events)}", meaning)


def _limit(name: str, limit: LimitSettings) -> Row:
    meaning = f"more than {limit.rate} of one {limit.key} ({limit.algorithm})"
    return Row("limit", f'over("{name}")', Kind.BOOL.value, "", ", ".join(limit.events), meaning)


def meanings_of(kind: type) -> dict[str, str]:
    """The sentence under each field of a class."""
    tree = ast.parse(inspect.getsource(kind))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    meanings: dict[str, str] = {}
    for field, text in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            meanings[field.target.id] = " ".join(str(text.value.value).split())
    return meanings


# --- what goes with what ---------------------------------------------------------------------------------------------

_OF = {"sum": "length", "ratio": "length > 1"}
"""An `of` that a kind can be declared with."""
UNKNOWN = {
    "ratio": "while there are no events",
    "age": "before the first such event",
    "gap": f"with fewer than {MIN_GAPS} gaps",
    "regularity": f"with fewer than {MIN_GAPS} gaps, or all at one moment",
    "ewma": "before the first event, or long after the last",
    "zscore": f"for the first {ZSCORE_BINS} windows",
}
"""When a kind has no value although the event carries the key."""


@attrs.frozen
class DeclaredKind:
    """A kind of declared feature."""

    name: str
    unit: str
    meaning: str
    keys: tuple[str, ...]
    """The keys it goes with."""
    unknown: str
    """When it has no value although the event carries the key; empty for never."""


@attrs.frozen
class Key:
    """What declared features and limits may be kept for."""

    name: str
    meaning: str
    events: str
    """Event kinds that may be counted."""
    limits: tuple[str, ...]
    """Algorithms of limits that go with it."""


def declared_kinds() -> Iterator[DeclaredKind]:
    """The kinds of declared features, and the keys that each goes with."""
    for kind in get_args(FeatureKind):
        unit, words = _KIND_WORDS[kind]
        keys = tuple(key for key in get_args(FeatureKey) if _declares(kind, key, "chat"))
        yield DeclaredKind(kind, unit, words.format(of="`of`"), keys, UNKNOWN.get(kind, ""))


def declared_keys() -> Iterator[Key]:
    """What features and limits may be kept for, and over which events."""
    for key in get_args(FeatureKey):
        events = tuple(event for event in JUDGED_KINDS if _declares("count", key, event))
        limits = tuple(name for name in get_args(LimitAlgorithm) if _limits(name, key))
        yield Key(key, _PER_KEY[key], _events(events), limits)


def _declares(kind: FeatureKind, key: FeatureKey, event: str) -> bool:
    settings = FeatureSettings(kind=kind, key=key, events=(event,), of=_OF.get(kind, ""))
    try:
        Catalogue(CapSettings(), {}, {}).declare("it", settings)
    except RuleError:
        return False
    return True


def _limits(algorithm: LimitAlgorithm, key: str) -> bool:
    if key not in get_args(LimitKey):
        return False
    settings = LimitSettings(rate="5/10s", key=cast("LimitKey", key), algorithm=algorithm)
    try:
        Catalogue(CapSettings(), {}, {}).limit("it", settings)
    except RuleError:
        return False
    return True
