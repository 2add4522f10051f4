"""Per-room overrides: what an operator sets for one room and a while, such as `{"flood_10s": 20, "links": "shadow"}`.

A number sets a threshold, "off", "shadow" or "enforce" the mode of a rule; `strategy` names another strategy and
`room_mode` holds the room in calm, elevated or raid. Later overrides stand before earlier ones, each ends by itself.
What cannot be applied is counted and passed over: an override never stops a room. Nothing set at all ends them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from roomguard.engine.features import names_in
from roomguard.engine.modes import LEVELS
from roomguard.engine.rules.language import RuleError, compile_condition
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


def judged_by(program: Program, strategy: Strategy, overrides: tuple[Override, ...]) -> tuple[Strategy, int]:
    """The strategy under these overrides, and how many of their names could not be applied."""
    strategy = _named(program, strategy, overrides)
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


def _named(program: Program, strategy: Strategy, overrides: tuple[Override, ...]) -> Strategy:
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
        known = checked[name, value] = _is_within_reach(program, name, value)
    return known


def _is_within_reach(program: Program, name: str, value: float) -> bool:
    """Whether a threshold exists, is no part of a feature, and its windows reach so far."""
    settings = program.settings
    if name not in settings.thresholds or name in program.shared:
        return False
    thresholds = {**settings.thresholds, name: value}
    for rule in settings.rules:
        if name not in names_in(rule.when):
            continue
        for kind in rule.on:
            scope = program.catalogue.rule_scope(kind, thresholds)
            try:
                compile_condition(rule.when, scope)
            except RuleError:
                return False
            if any(bound > _reach(program, feature) for feature, bound in scope.bounds.items()):
                return False
    return True


def _reach(program: Program, name: str) -> float:
    """The largest number that a feature can be seen to exceed."""
    feature = program.catalogue.declared.get(name)
    if feature is None:
        return float("inf")
    if feature.stream.shape == "times" and feature.counts:
        return min(feature.reach, feature.stream.cap) - 1
    return feature.reach
