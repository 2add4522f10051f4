"""A condition taken apart into what must hold all at once, so that generated code may ask the telling part first.

`a and b` holds where both do, in whatever order they are asked: reading a feature changes nothing. What is known of an
operand besides its source is which lower bounds it needs and which suffice for it: `x >= 20` is never true where
`x >= 10` is not, so many conditions can share one cheap test that all of them need.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

import attrs

from roomguard.engine.rules.language import Scope, compile_condition

_MIRRORED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE,
}  # fmt: skip
_OPPOSITE: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt,
}  # fmt: skip


@attrs.frozen
class Bound:
    """`left >= value`, or `left > value` where `strict`.

    Only of numbers that are written out: a threshold may be set otherwise later.
    """

    left: str
    value: float
    strict: bool

    def implies(self, other: Bound) -> bool:
        """Whether `other` holds wherever this one does."""
        if self.left != other.left:
            return False
        return self.value > other.value or (self.value == other.value and (self.strict or not other.strict))


@attrs.frozen
class Operand:
    """One of the conditions that must all hold."""

    true: str
    """Source that is true where it certainly holds."""
    symbols: tuple[str, ...]
    needs: tuple[Bound, ...] = ()
    """None of these can fail where it holds."""
    suffices: tuple[Bound, ...] = ()
    """It holds where any of these does."""
    early: str = ""
    """A cheap test without which it cannot hold, where it begins with one."""


def split(text: str, scope: Scope) -> tuple[Operand, ...]:
    """The operands of a condition that `compile_condition` takes. Raises RuleError like that."""
    return tuple(_operand(written, node, scope, truth=truth) for written, node, truth in _parts(text))


def parts_of(text: str) -> tuple[str, ...]:
    """The operands of a condition as their author wrote them."""
    return tuple(written if truth else f"not ({written})" for written, _, truth in _parts(text))


def _parts(text: str) -> Iterable[tuple[str, ast.expr, bool]]:
    # Brackets let line breaks and comments stand where the rule's author put them.
    source = f"(\n{text}\n)"
    for node, truth in _flat(ast.parse(source, mode="eval").body, truth=True):
        yield ast.get_source_segment(source, node) or "", node, truth


def all_need(operands: Iterable[Operand], operand: Operand) -> bool:
    """Whether `operand` holds wherever all of `operands` do, as far as can be seen."""
    return any(
        one.true == operand.true or any(need.implies(bound) for need in one.needs for bound in operand.suffices)
        for one in operands
    )


def _flat(node: ast.expr, *, truth: bool) -> list[tuple[ast.expr, bool]]:
    """The nodes that must all be true (or false) for `node` to be true (or false)."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _flat(node.operand, truth=not truth)
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) is truth:
        return [part for value in node.values for part in _flat(value, truth=truth)]
    return [(node, truth)]


def _operand(written: str, node: ast.expr, scope: Scope, *, truth: bool) -> Operand:
    condition = compile_condition(f"({written})" if truth else f"not ({written})", scope)
    return Operand(
        condition.true,
        condition.symbols,
        _needs(node, truth=truth),
        _suffices(node, truth=truth),
        condition.early,
    )


def _needs(node: ast.expr, *, truth: bool) -> tuple[Bound, ...]:
    """Bounds that hold wherever the node is true (or false)."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _needs(node.operand, truth=not truth)
    if not isinstance(node, ast.BoolOp):
        return _bound(node, truth=truth)
    parts = [_needs(value, truth=truth) for value in node.values]
    if isinstance(node.op, ast.And) is truth:
        return tuple(bound for part in parts for bound in part)
    # Of alternatives, what each of them needs.
    return tuple(bound for bound in parts[0] if all(any(b.implies(bound) for b in part) for part in parts[1:]))


def _suffices(node: ast.expr, *, truth: bool) -> tuple[Bound, ...]:
    """Bounds any of which makes the node true (or false)."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _suffices(node.operand, truth=not truth)
    if not isinstance(node, ast.BoolOp):
        return _bound(node, truth=truth)
    if isinstance(node.op, ast.And) is truth:
        return ()
    return tuple(bound for value in node.values for bound in _suffices(value, truth=truth))


def _bound(node: ast.expr, *, truth: bool) -> tuple[Bound, ...]:
    """The lower bound that a comparison with a written number is."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return ()
    left, sign, right = node.left, type(node.ops[0]), node.comparators[0]
    if isinstance(left, ast.Constant):
        left, sign, right = right, _MIRRORED.get(sign, sign), left
    if not truth:
        sign = _OPPOSITE.get(sign, ast.Eq)
    if sign not in (ast.Gt, ast.GtE) or not isinstance(right, ast.Constant):
        return ()
    if isinstance(right.value, bool) or not isinstance(right.value, (int, float)):
        return ()
    return (Bound(ast.unparse(left), float(right.value), sign is ast.Gt),)
