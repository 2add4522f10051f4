"""What ordinary messages rule out: most rules look for something that most messages do not have.

A *premise* says what may be true of them. `text.facts.QUIET` does so for a quiet text: a condition that is false for
every one of them stands, in generated code, behind the one question whether the text is loud. What is false for a
user's first message stands behind the question whether it is that; of a crowd's messages every second one may be. This
is proved from the source of the condition, for the thresholds at hand: where another strategy's thresholds spoil the
proof, its code asks everything of every message.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from itertools import product
from types import CodeType
from typing import Any

import attrs

from roomguard.engine.rules.language import THRESHOLD

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@attrs.frozen
class Premise:
    """What is true of the messages that are kept from rules.

    `values` maps sources of expressions to what they may be: one value, or the least and the most. `unless` names the
    flag of generated code that is true where a gate under this premise is not shut.
    """

    values: Mapping[str, tuple[object, ...]]
    unless: str


@attrs.frozen
class Gate:
    """A condition over what a premise speaks of and thresholds alone. `thresholds` are the names of those."""

    premise: Premise = attrs.field(repr=False)
    thresholds: frozenset[str]
    _part: _Part

    def is_shut(self, thresholds: Mapping[str, float]) -> bool:
        """Whether the condition never holds under the premise and these thresholds."""
        return self._part.never({THRESHOLD + name: thresholds[name] for name in self.thresholds})


def gate_of(source: str, premise: Premise, locals_: Mapping[str, str]) -> Gate | None:
    """The gate in the source of a condition, None where it has none; `locals_` maps local variables to their source."""
    part = _Reader(premise.values, locals_).read(ast.parse(source, mode="eval").body)
    return None if part is None else Gate(premise, part.thresholds, part)


def open_flags(gates: Iterable[Gate], thresholds: Mapping[str, float]) -> set[str]:
    """The flags of the premises under which a gate is open with these thresholds."""
    return {gate.premise.unless for gate in gates if not gate.is_shut(thresholds)}


@attrs.frozen
class _Test:
    """A comparison or a flag: never true where it is false at every corner of what the premise allows.

    A comparison of sums and products takes its extremes at the corners.
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

    given: Mapping[str, tuple[object, ...]]
    locals: Mapping[str, str]

    def read(self, node: ast.expr) -> _Part | None:
        if isinstance(node, ast.BoolOp):
            parts = [self.read(value) for value in node.values]
            known = tuple(part for part in parts if part is not None)
            if isinstance(node.op, ast.And):
                return _All(known) if known else None
            return _Any(known) if len(known) == len(parts) else None
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        source = self.source_of(node)
        return None if source is None or not isinstance(self.given[source][0], bool) else self._test(node, {source})

    def _comparison(self, node: ast.Compare) -> _Part | None:
        sources: set[str] = set()
        if len(node.ops) != 1 or not all(self._is_known(side, sources) for side in (node.left, *node.comparators)):
            return None
        certain = all(len(self.given[source]) == 1 for source in sources)
        if not sources or not (certain or isinstance(node.ops[0], _ORDER)):
            return None  # between two corners an equality may hold that holds at neither
        return self._test(node, sources)

    def _is_known(self, node: ast.expr, sources: set[str]) -> bool:
        """Whether a side of a comparison is made of what is given, thresholds and numbers; adds the former."""
        if isinstance(node, ast.Constant):
            return True
        source = self.source_of(node)
        if source is not None:
            sources.add(source)
            return True
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Div):
                return isinstance(node.right, ast.Constant) and self._is_known(node.left, sources)
            known = self._is_known(node.left, sources) and self._is_known(node.right, sources)
            return known and isinstance(node.op, _ARITHMETIC)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self._is_known(node.operand, sources)
        return isinstance(node, ast.Name) and node.id.startswith(THRESHOLD)

    def source_of(self, node: ast.AST) -> str | None:
        """What a node reads of what is given: itself, a local variable, or that variable filled when first needed."""
        if isinstance(node, ast.IfExp) and isinstance(node.orelse, ast.NamedExpr):
            return self.source_of(node.orelse.value)
        if isinstance(node, ast.Name):
            source = self.locals.get(node.id)
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            source = ast.unparse(node)
        else:
            return None
        return source if source in self.given else None

    def _test(self, node: ast.expr, sources: set[str]) -> _Part:
        names = sorted(sources)
        values = product(*(self.given[name] for name in names))
        corners = tuple(dict(zip(map(_name_of, names), corner, strict=True)) for corner in values)
        plain = _Plain(self).visit(node)
        found = {part.id for part in ast.walk(plain) if isinstance(part, ast.Name) and part.id.startswith(THRESHOLD)}
        thresholds = frozenset(name.removeprefix(THRESHOLD) for name in found)
        # As text: to give the tree its places instead leaves a cycle for each, at every reload.
        return _Test(compile(ast.unparse(plain), "<gate>", "eval"), corners, thresholds)


class _Plain(ast.NodeTransformer):
    """Puts a name where something given is read."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def visit(self, node: ast.AST) -> Any:
        source = self._reader.source_of(node)
        return ast.Name(_name_of(source), ast.Load()) if source is not None else self.generic_visit(node)


def _name_of(source: str) -> str:
    """A name that stands for a source."""
    return "given_" + re.sub(r"\W", "_", source)
