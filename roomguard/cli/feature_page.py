"""docs/features.md, made from the code that keeps features: `python3 -m roomguard features --markdown`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from roomguard.engine.catalogue import Row, declared_keys, declared_kinds, meanings_of, rows
from roomguard.engine.rules.language import MAX_CHARS, MAX_NODES, MAX_PRODUCTS
from roomguard.engine.settings import CapSettings, EngineSettings, FeatureSettings, LimitSettings

_HEAD = """\
# Features

Every name a rule may use. This page is what `python3 -m roomguard features --markdown` prints; a test holds the two
together. `python3 -m roomguard features` lists the same for your configuration, with what it declares itself, and
`features WORD` narrows it down. [rules.md](rules.md) says how rules read.

A number, a text or a list of texts is compared with something; a condition stands by itself. What *may be unknown* has
no value where the edge did not send it: a rule that needs it does not fire then. Windows are half-open: they reach from
now, this event included, to just after now minus their length.
"""
_DECLARED = """\
`[features.NAME]` declares one: `kind` says what is kept, `key` for whom, `events` over which events (chat alone unless
said), `window_s` how long back, `where` under which condition over what is built in. It is kept once however many rules
ask for it, and not at all while none does. A key that this event does not carry (a text without a link, a user whose
device the edge does not say) makes it unknown.
"""
_LIMITS = """\
`[limits.NAME]` declares a rate, such as `rate = "8/10s"`, and a rule asks `over("NAME")`: this event is more than 8
within 10 seconds. `window` is exact and counts what is over the limit too. `gcra` lets `burst` events through at once
and refills continuously; what is over the limit does not fill it further. `pace`, for one user's chat, refuses nothing:
it says how long a message has to wait (`wait_s("NAME")`) so that they go out one by one; see [rules.md](rules.md).
`weights` says what one event of a kind costs; likes cost their number times that, and a gift streak costs one.
"""
_SATURATE = """\
Bounds of one room's memory, in `[engine.caps]`. Counts are exact below them.
"""
_LANGUAGE = f"""\
`and` `or` `not`, `==` `!=` `<` `<=` `>` `>=` (also in a row: `2 < links < 5`), `in` and `not in` for texts, `+` `-` `*`
`/` for numbers, and these functions. A rule has at most {MAX_CHARS:,} characters, {MAX_NODES} syntax nodes and
{MAX_PRODUCTS} multiplications.
"""


def page() -> str:
    """The whole page. Says what is built in, so it is the same under every configuration."""
    built_in = list(rows(EngineSettings()))
    parts = (
        _HEAD,
        "## Of the event, its user and its room\n",
        _names(row for row in built_in if row.group == "event"),
        "## Of the text\n\nOf chat only.\n",
        _facts(row for row in built_in if row.group == "text"),
        "## What you can declare\n",
        _DECLARED,
        _table(("kind", "unit", "is", "unknown", "`key`"), _kinds()),
        _fields(FeatureSettings),
        "### What it is kept for\n",
        _table(("`key`", "kept", "`events`", "limits"), _keys()),
        "## Limits\n",
        _LIMITS,
        _fields(LimitSettings),
        "## Where counts end\n",
        _SATURATE,
        _table(("cap", "default", "meaning"), _caps()),
        "## The language\n",
        _LANGUAGE,
        _table(("function", "meaning"), _functions(built_in)),
    )
    return "\n".join(part for part in parts if part)


def _names(found: Iterable[Row]) -> str:
    cells = ((_code(row.name), row.kind, row.unit, row.meaning, row.events) for row in found)
    return _table(("name", "is a", "unit", "meaning", "on"), cells)


def _facts(found: Iterable[Row]) -> str:
    cells = ((_code(row.name), row.kind, row.unit, row.meaning) for row in found)
    return _table(("name", "is a", "unit", "meaning"), cells)


def _kinds() -> Iterator[Sequence[str]]:
    for kind in declared_kinds():
        yield _code(kind.name), kind.unit, kind.meaning, kind.unknown or "never", _list(kind.keys)


def _keys() -> Iterator[Sequence[str]]:
    for key in declared_keys():
        yield _code(key.name), key.meaning, key.events, _list(key.limits)


def _caps() -> Iterator[Sequence[str]]:
    meanings, caps = meanings_of(CapSettings), CapSettings()
    for field in attrs.fields(CapSettings):
        yield _code(field.name), f"{getattr(caps, field.name):,g}", meanings[field.name]


def _functions(found: Iterable[Row]) -> Iterator[Sequence[str]]:
    for row in found:
        if row.group == "function":
            usage, _, meaning = row.meaning.partition(": ")
            yield _code(usage), meaning


def _fields(kind: type) -> str:
    """What the class says of the fields that the text above does not explain."""
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings_of(kind).items()) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _list(names: Iterable[str]) -> str:
    return ", ".join(_code(name) for name in names)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    plain = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return "\n".join(f"| {line} |" for line in (" | ".join(heads), " | ".join("---" for _ in heads), *plain)) + "\n"
