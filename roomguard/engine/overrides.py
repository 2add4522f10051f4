"""Per-room overrides: what an operator sets for one room and a while, such as `{"flood_10s": 20, "links": "shadow"}`.

A number sets a threshold, "off", "shadow" or "enforce" the mode of a rule; `strategy` names another strategy and
`room_mode` holds the room in calm, elevated or raid. Later overrides stand before earlier ones, each ends by itself.
What cannot be applied is counted and passed over: an override never stops a room. Nothing set at all ends them all.

An operator's wish is looked at before it becomes a record, and refused as a whole with all that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, cast

import attrs

from roomguard.engine.features import MOST_ASKED, names_in
from roomguard.engine.modes import LEVELS
from roomguard.engine.rules.language import RuleError, compile_condition, nearest
from roomguard.engine.variants import MAX_VARIANTS

if TYPE_CHECKING:
    from roomguard.engine.program import Program, Strategy
    from roomguard.engine.settings import Mode

MAX_OVERRIDES = 16
"""Overrides of one room at once; beyond it the oldest ends and is counted."""
MAX_OVERRIDE_S = 86_400.0
"""No override lasts longer; what should last belongs into the configuration."""
USUAL_S = 3_600.0
"""An override that names no time."""
MODES = ("off", "shadow", "enforce")


@attrs.frozen
class Override:
    """One override; `until` is room time."""

    until: float
    settings: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Wish:
    """What an operator asks for one room and a while."""

    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    rules: Mapping[str, str] = attrs.field(factory=dict)
    """Rule name to mode."""
    strategy: str | None = None
    mode: str | None = None
    """The room mode to hold."""
    ttl_s: float = USUAL_S
    """Seconds, more than 0 and at most `MAX_OVERRIDE_S`."""

    def settings(self) -> dict[str, str | float | bool]:
        """The same as a control record says it."""
        named = {"strategy": self.strategy, "room_mode": self.mode}
        return {**self.thresholds, **self.rules, **{key: value for key, value in named.items() if value is not None}}


def problems_of(wish: Wish, program: Program, strategy: Strategy | None = None) -> list[str]:
    """All that is wrong with a wish, as FIELD: MESSAGE with the nearest right name; empty if nothing is.

    `strategy` is what the room is judged by, where that is known: a rule that is off there cannot be switched on.
    """
    problems = [] if wish.settings() else ["nothing is set; name a threshold, a rule, a strategy or a mode"]
    if not 0 < wish.ttl_s <= MAX_OVERRIDE_S:
        problems.append(f"ttl_s: must be more than 0 and at most {MAX_OVERRIDE_S:g} seconds")
    if wish.mode is not None and wish.mode not in LEVELS:
        problems.append(f"mode: {wish.mode!r} is none of {', '.join(LEVELS)}{nearest(wish.mode, list(LEVELS))}")
    problems += _strategy_problems(wish, program)
    for name, value in wish.thresholds.items():
        trouble = _trouble(program, name, value) if _is_number(value) else "must be a number within 2**53"
        problems += [f"thresholds.{name}: {trouble}"] if trouble else []
    problems += _rule_problems(wish, program, strategy)
    return problems


def _strategy_problems(wish: Wish, program: Program) -> list[str]:
    name, forced = wish.strategy, program.settings.force_strategy
    if name is None:
        return []
    if name not in program.strategies:
        return [f"strategy: no strategy is named {name!r}{nearest(name, list(program.strategies))}"]
    return [f"strategy: {forced!r} is forced on all rooms (engine.force_strategy)"] if forced else []


def _rule_problems(wish: Wish, program: Program, strategy: Strategy | None) -> Iterator[str]:
    strategy = program.strategies.get(wish.strategy or "", strategy)
    judging = [strategy] if strategy is not None else list(program.strategies.values())
    known = [rule.name for rule in program.settings.rules]
    for name, mode in wish.rules.items():
        if mode not in MODES:
            yield f"rules.{name}: {mode!r} is none of {', '.join(MODES)}{nearest(mode, list(MODES))}"
        if name not in known:
            yield f"rules.{name}: no rule is named {name!r}{nearest(name, known)}"
        elif name in wish.thresholds or name in ("strategy", "room_mode"):
            yield f"rules.{name}: this name is taken by something else that can be set"
        elif all(rule.mode == "off" for one in judging for rule in one.rules if rule.name == name):
            yield f"rules.{name}: it is off in the configuration, so nothing it needs is kept; change it there"


def judged_by(program: Program, strategy: Strategy, overrides: tuple[Override, ...]) -> tuple[Strategy, int]:
    """The strategy under these overrides, and how many of their names could not be applied."""
    strategy = named(program, strategy, overrides)
    thresholds: dict[str, float] = {}
    modes: dict[str, Mode] = {}
    ignored = 0
    rules = {rule.name: rule.mode for rule in strategy.rules}
    for override in overrides:
        for name, value in override.settings.items():
            if isinstance(value, str) and name in ("strategy", "room_mode"):
                ignored += value not in (program.strategies if name == "strategy" else LEVELS)
            elif isinstance(value, str) and value in MODES and rules.get(name, "off") != "off":
                modes[name] = cast("Mode", value)
            elif _is_number(value) and _may_be(program, name, float(value)):
                thresholds[name] = float(value)
            else:
                ignored += 1
    return program.variants.of(strategy, "+override", thresholds, None, modes), ignored


def named(program: Program, strategy: Strategy, overrides: tuple[Override, ...]) -> Strategy:
    """The strategy that the latest override names; what is forced on all rooms stands before it."""
    if program.settings.force_strategy:
        return strategy
    for override in reversed(overrides):
        named = program.strategies.get(str(override.settings.get("strategy", "")))
        if named is not None:
            return named
    return strategy


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 2**53


def _may_be(program: Program, name: str, value: float) -> bool:
    """Whether a threshold may have a value. Found out once: rules are read anew for it, and rooms ask often."""
    checked = program.variants.checked
    known = checked.get((name, value))
    if known is None:
        if len(checked) >= MAX_VARIANTS:
            del checked[next(iter(checked))]
        known = checked[name, value] = not _trouble(program, name, value)
    return known


def _trouble(program: Program, name: str, value: float) -> str:
    """Why a threshold may not have a value: it is none, is part of a feature, or no window reaches so far."""
    settings = program.settings
    if name not in settings.thresholds:
        return f"no threshold is named {name!r}{nearest(name, list(settings.thresholds))}"
    if name in program.shared:
        return "a feature counts by it, for all rooms alike; change it in the configuration"
    thresholds = {**settings.thresholds, name: value}
    for rule in settings.rules:
        if name not in names_in(rule.when):
            continue
        for kind in rule.on:
            scope = program.catalogue.rule_scope(kind, thresholds)
            try:
                compile_condition(rule.when, scope)
            except RuleError as error:
                return f"rule {rule.name!r} cannot have it: {error.message}"
            for feature, bound in scope.bounds.items():
                if (most := MOST_ASKED.get(feature, inf)) < bound < inf:
                    return f"rule {rule.name!r} compares {feature} with it, which may be {most} at most"
                if bound > (reach := _reach(program, feature)):
                    return f"rule {rule.name!r} asks {feature} for it, which is kept up to {reach:g} here"
    return ""


def _reach(program: Program, name: str) -> float:
    """The largest number that a feature can be seen to exceed."""
    feature = program.catalogue.declared.get(name)
    if feature is None:
        return float("inf")
    if feature.stream.shape == "times" and feature.counts:
        return min(feature.reach, feature.stream.cap) - 1
    return feature.reach
