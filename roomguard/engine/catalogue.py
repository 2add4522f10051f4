"""The feature catalogue in words: what `python3 -m roomguard features` prints and docs/features.md is made from.

Read off the code that computes the features, so there is nothing to keep in step by hand.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise

import attrs

from roomguard.engine.features import BASE, JUDGED_KINDS, Entry, fact_entries
from roomguard.engine.rules.language import FUNCTIONS, Kind
from roomguard.engine.settings import EngineSettings, FeatureSettings, LimitSettings
from roomguard.engine.text.facts import Facts


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
    meanings = fact_meanings()
    for entry in fact_entries():
        yield _built_in("text", entry, meanings.get(entry.symbol.name, ""))
    for name, feature in settings.features.items():
        yield _declared(name, feature)
    for name, limit in settings.limits.items():
        yield _limit(name, limit)
    for name, value in settings.thresholds.items():
        yield Row("threshold", name, "number", "", "every kind", f"{value:g}; a strategy may set another")
    for name, usage in FUNCTIONS.items():
        yield Row("function", name, "", "", "every kind", usage)


def _built_in(group: str, entry: Entry, meaning: str) -> Row:
    symbol = entry.symbol
    kind = symbol.kind.value + (", may be unknown" if symbol.nullable else "")
    return Row(group, symbol.name, kind, entry.unit, _events(entry.events), meaning)


def _events(events: tuple[str, ...]) -> str:
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


def fact_meanings() -> dict[str, str]:
    """The sentence under each field of `Facts`."""
    tree = ast.parse(inspect.getsource(Facts))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    meanings: dict[str, str] = {}
    for field, text in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            meanings[field.target.id] = str(text.value.value)
    return meanings
