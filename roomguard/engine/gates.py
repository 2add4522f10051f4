"""What quiet texts rule out: most rules about a text look for something that most texts do not have.

`text.facts.QUIET` says what may be true of a quiet text. A condition that is false for every quiet text stands, in
generated code, behind the one question whether the text is loud. That is proved from the source of the condition, for
the thresholds at hand: where another strategy's thresholds spoil the proof, its code asks everything of every text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from itertools import product
from types import CodeType
from typing import Any

import attrs

from roomguard.engine.rules.language import THRESHOLD
from roomguard.engine.text.facts import QUIET

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@attrs.frozen
class Gate:
    """A condition over quiet facts and thresholds alone. `thresholds` are the names of those."""

    thresholds: frozenset[str]
    _part: _Part

    def is_shut(self, thresholds: Mapping[str, float]) -> bool:
        """Whether the condition holds for no quiet text under these thresholds."""
        return self._part.never({THRESHOLD + name: thresholds[name] for name in self.thresholds})


def gate_of(source: str, facts_of: Mapping[str, str]) -> Gate | None:
    """The gate in the source of a condition, None where it has none; `facts_of` maps its local variables to facts."""
    part = _Reader(facts_of).read(ast.parse(source, mode="eval").body)
    return None if part is None else Gate(part.thresholds, part)


def are_shut(gates: Iterable[Gate], thresholds: Mapping[str, float]) -> bool:
    """Whether no quiet text passes any of the gates."""
    return all(gate.is_shut(thresholds) for gate in gates)


@attrs.frozen
class _Test:
    """A comparison or a flag: false for all quiet texts where it is false at every corner of what they may be.

    A comparison of sums and products of facts takes its extremes at the corners.
    """

    code: CodeType
    corners: tuple[Mapping[str, object], ...]
    thresholds: frozenset[str]

    def never(self, values: Mapping[str, float]) -> bool:
        return not any(eval(self.code, {"__builtins__": {}}, {**values, **corner}) for corner in self.corners)  # noqa: S307 - names, numbers and comparisons only


@attrs.frozen
class _Several:
    """Conditions that are asked together."""

    parts: tuple[_Part, ...]

    @property
    def thresholds(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.thresholds for part in self.parts))


class _All(_Several):
    """Conditions that must all hold: never, where one of them never does. What is not known of may always hold."""

    def never(self, values: Mapping[str, float]) -> bool:
        return any(part.never(values) for part in self.parts)


class _Any(_Several):
    """Conditions of which one must hold: never, where none of them ever does."""

    def never(self, values: Mapping[str, float]) -> bool:
        return all(part.never(values) for part in self.parts)


_Part = _Test | _All | _Any


@attrs.frozen
class _Reader:
    """Reads generated source; what it does not know may be true or false, and is None."""

    facts_of: Mapping[str, str]

    def read(self, node: ast.expr) -> _Part | None:
        if isinstance(node, ast.BoolOp):
            parts = [self.read(value) for value in node.values]
            known = tuple(part for part in parts if part is not None)
            if isinstance(node.op, ast.And):
                return _All(known) if known else None
            return _Any(known) if len(known) == len(parts) else None
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        fact = self._fact(node)
        return None if fact is None or not isinstance(QUIET[fact][0], bool) else self._test(node, {fact})

    def _comparison(self, node: ast.Compare) -> _Part | None:
        facts: set[str] = set()
        if len(node.ops) != 1 or not all(self._is_known(side, facts) for side in (node.left, *node.comparators)):
            return None
        certain = all(len(QUIET[fact]) == 1 for fact in facts)
        if not facts or not (certain or isinstance(node.ops[0], _ORDER)):
            return None  # between two corners an equality may hold that holds at neither
        return self._test(node, facts)

    def _is_known(self, node: ast.expr, facts: set[str]) -> bool:
        """Whether a side of a comparison is made of quiet facts, thresholds and numbers; adds the facts."""
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.BinOp):
            known = self._is_known(node.left, facts) and self._is_known(node.right, facts)
            return known and isinstance(node.op, _ARITHMETIC)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self._is_known(node.operand, facts)
        if isinstance(node, ast.Name) and node.id.startswith(THRESHOLD):
            return True
        fact = self._fact(node)
        if fact is not None:
            facts.add(fact)
        return fact is not None

    def _fact(self, node: ast.AST) -> str | None:
        """The quiet fact that a node reads: `f.name`, a local variable, or that variable filled when first needed."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "f":
            return node.attr if node.attr in QUIET else None
        if isinstance(node, ast.IfExp) and isinstance(node.orelse, ast.NamedExpr):
            return self._fact(node.orelse.value)
        if isinstance(node, ast.Name):
            fact = self.facts_of.get(node.id)
            return fact if fact in QUIET else None
        return None

    def _test(self, node: ast.expr, facts: set[str]) -> _Part:
        names = sorted(facts)
        corners = tuple(dict(zip(names, corner, strict=True)) for corner in product(*(QUIET[name] for name in names)))
        plain = ast.fix_missing_locations(ast.Expression(_Plain(self).visit(node)))
        found = {part.id for part in ast.walk(plain) if isinstance(part, ast.Name) and part.id.startswith(THRESHOLD)}
        thresholds = frozenset(name.removeprefix(THRESHOLD) for name in found)
        return _Test(compile(plain, "<gate>", "eval"), corners, thresholds)


class _Plain(ast.NodeTransformer):
    """Puts the bare name of a fact where it is read."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def visit(self, node: ast.AST) -> Any:
        fact = self._reader._fact(node)  # noqa: SLF001 - one thing in two classes
        return ast.Name(fact, ast.Load()) if fact is not None else self.generic_visit(node)
