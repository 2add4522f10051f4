"""Strategies with other numbers in them: for an override, for the wave of a raid, for a tier, for an excited crowd.

Generated functions name their thresholds instead of containing them, so a variant is the same code with another
namespace: it costs a fraction of a millisecond where compiling a strategy costs tens. A variant changes thresholds and
modes; it never changes which rules and windows there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import attrs

from roomguard.engine.gates import open_flags
from roomguard.engine.rules.language import THRESHOLD
from roomguard.engine.steps import FLAGS

if TYPE_CHECKING:
    from roomguard.engine.program import Rule, Strategy
    from roomguard.engine.settings import Mode

MAX_VARIANTS = 256
"""Variants of one program that are kept for the next room that needs the same; the one unused for longest goes."""

Function = Callable[..., Any]


class Variants:
    """The variants of one program's strategies, shared by its rooms."""

    __slots__ = ("_kept", "checked")

    def __init__(self) -> None:
        self.checked: dict[tuple[str, float], bool] = {}
        """Whether a threshold may have a value, as `engine.overrides` found out; at most `MAX_VARIANTS` answers."""
        self._kept: OrderedDict[tuple[Any, ...], Strategy] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(
        self,
        strategy: Strategy,
        suffix: str,
        thresholds: Mapping[str, float] | None = None,
        scale: Mapping[str, float] | None = None,
        modes: Mapping[str, Mode] | None = None,
    ) -> Strategy:
        """`strategy` with these thresholds and modes, then with some thresholds multiplied by the factors of `scale`.

        `suffix` is added to its name. Names must be known to the program; see `engine.overrides` for those of people.
        """
        values = dict(thresholds or {})
        for name, factor in (scale or {}).items():
            values[name] = values.get(name, strategy.thresholds[name]) * factor
        if not values and not modes:
            return strategy
        path = (*strategy.path, suffix, tuple(sorted(values.items())), tuple(sorted((modes or {}).items())))
        kept = self._kept.get(path)
        if kept is not None:
            self._kept.move_to_end(path)
            return kept
        if len(self._kept) >= MAX_VARIANTS:
            self._kept.popitem(last=False)
        variant = self._kept[path] = rebind(strategy, strategy.name + suffix, values, modes or {}, path)
        return variant


def rebind(
    strategy: Strategy, name: str, values: Mapping[str, float], modes: Mapping[str, Mode], path: tuple[Any, ...]
) -> Strategy:
    """The same rules under another name, with other thresholds and modes. A rule that is off stays off."""
    thresholds = {**strategy.thresholds, **values}
    namespace = {**strategy.namespace, **{THRESHOLD + name: value for name, value in thresholds.items()}}
    opened = open_flags(strategy.gates, thresholds)
    namespace |= {flag: flag in opened for flag in FLAGS}

    def bound(function: Function) -> Function:
        # A fresh code object: the interpreter's caches of names belong to the code, and would fight over it.
        code = cast("FunctionType", function).__code__.replace()
        return FunctionType(code, namespace, function.__name__, cast("FunctionType", function).__defaults__)

    def rule_of(rule: Rule) -> Rule:
        probes = {kind: bound(probe) for kind, probe in rule.probes.items()}
        mode = "off" if rule.mode == "off" else modes.get(rule.name, rule.mode)
        return attrs.evolve(rule, mode=mode, probes=probes)

    return attrs.evolve(
        strategy,
        name=name,
        rules=tuple(rule_of(rule) for rule in strategy.rules),
        steps={kind: bound(step) for kind, step in strategy.steps.items()},
        thresholds=thresholds,
        namespace=namespace,
        path=path,
    )
