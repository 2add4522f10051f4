"""From the text of a rule to Python source that can do nothing but compare features.

The law of this file: what is not on a list here cannot be said. There are no loops, no attributes, no imports, no calls
but the functions below, at most `MAX_NODES` syntax nodes and `MAX_CHARS` characters, so a rule's cost is bounded by its
length. Regular expressions go to RE2, which is linear in the text.

A feature may be *unknown* (None). An expression is compiled twice, as "certainly true" and "certainly false", with
Kleene's three-valued logic: a rule fires only when it is certainly true, so an unknown never counts as zero or False.
"""

from __future__ import annotations

import ast
import enum
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import attrs
import re2

MAX_CHARS = 2_000
"""Longest rule text."""
MAX_NODES = 250
"""Most syntax nodes of one expression."""
MAX_PRODUCTS = 8
"""Most multiplications of one expression: the product of more whole numbers could exceed every float."""
MAX_REGEX_BYTES = 1 << 18
"""RE2's memory for one compiled expression."""

THRESHOLD = "T_"
"""What stands before a threshold's name in generated source."""


class Kind(enum.Enum):
    """What a value is. Numbers and booleans do not mix: a boolean is a condition by itself."""

    NUMBER = "number"
    BOOL = "condition"
    TEXT = "text"
    TEXTS = "list of texts"


class RuleError(Exception):
    """A rule text that cannot be compiled; `column` counts from 1. `key` names another setting that is at fault."""

    def __init__(self, message: str, column: int = 1, key: str = "") -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column
        self.key = key


@attrs.frozen
class Symbol:
    """A name of the rule language.

    `code` is the Python expression that yields it inside a generated function; `nullable` says it may yield None;
    `costly` that it is worth computing only once; `windowed` that it looks at more than this event and user.
    `ceiling` is the source of a cheap number the value never exceeds: most users have sent less than any rule asks
    for, so "more than T" is mostly settled by the length of a tuple (half the cost of a step).
    """

    name: str
    kind: Kind
    code: str
    nullable: bool = False
    costly: bool = False
    windowed: bool = False
    ceiling: str = ""
    compares: bool = False
    """To know it texts have to be compared, which costs more than everything else."""


@attrs.frozen
class Condition:
    """A compiled expression: source that is true when it certainly holds (or certainly does not)."""

    true: str
    false: str
    symbols: tuple[str, ...]
    early: str = ""
    """A cheap test that is part of `true`, where the whole is one comparison and has one."""


@attrs.define
class Scope:
    """What an expression may name, and where compiled constants (regular expressions) are put."""

    symbols: Mapping[str, Symbol]
    constants: dict[str, Any]
    thresholds: Mapping[str, float] = attrs.field(factory=dict)
    limits: Mapping[str, Symbol] = attrs.field(factory=dict)
    waits: Mapping[str, Symbol] = attrs.field(factory=dict)
    """Of the limits that say how long to wait."""
    used: dict[str, None] = attrs.field(factory=dict)
    bounds: dict[str, float] = attrs.field(factory=dict)
    """The largest constant each name was compared with; infinite where it was used in any other way."""
    movable: dict[str, None] = attrs.field(factory=dict)
    """The names compared with thresholds, whose values may be set otherwise later."""
    by_name: bool = False
    """Thresholds stand in the source by name, so that other values can be bound to it without compiling it again."""

    def reference(self, symbol: Symbol) -> tuple[str, str]:
        """The source of a symbol where it is first needed, and where it is known to have been computed."""
        return symbol.code, symbol.code

    def note_bound(self, name: str, bound: float) -> None:
        """Remember that `name` must be exact up to `bound`."""
        self.bounds[name] = max(bound, self.bounds.get(name, 0.0))


@attrs.frozen
class _Value:
    """A compiled operand: its source, what it is, and what must hold for it to be known."""

    code: str
    kind: Kind
    guards: tuple[str, ...] = ()
    constant: float | str | None = None
    ceiling: str = ""


_COMPARE: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", ">="),
    ast.LtE: ("<=", ">"),
    ast.Gt: (">", "<="),
    ast.GtE: (">=", "<"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_ARITHMETIC: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
FUNCTIONS: Mapping[str, str] = {
    "over": 'over("LIMIT"): this event exceeds that rate limit',
    "wait_s": 'wait_s("LIMIT"): seconds that this message comes too early for a limit with algorithm = "pace"',
    "known": "known(FEATURE): the feature has a value",
    "matches": 'matches(TEXT, "REGEX"): RE2 finds the expression in the text',
    "contains": 'contains(TEXT, "PART"): the part stands in the text',
    "count": "count(LIST): how many texts are in the list",
    "min": "min(A, B): the smaller",
    "max": "max(A, B): the larger",
    "abs": "abs(A): the number without its sign",
}


def nearest(word: str, words: list[str]) -> str:
    """' (did you mean X?)' for the closest of `words`, or nothing."""
    import difflib  # noqa: PLC0415 - only errors need it

    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def compile_condition(text: str, scope: Scope) -> Condition:
    """Compile a rule text. Raises RuleError with the column of the first thing that is wrong."""
    compiler = _Compiler(scope, text)
    before = dict(scope.used)
    scope.used.clear()
    true, false = compiler.condition(compiler.root)
    symbols = tuple(scope.used)
    scope.used.update(before)
    return Condition(true=true, false=false, symbols=symbols, early=compiler.early(true))


def compile_number(text: str, scope: Scope) -> tuple[str, tuple[str, ...]]:
    """Compile an arithmetic expression: its source and what must hold for it to be known. Raises RuleError."""
    compiler = _Compiler(scope, text)
    value = compiler.number(compiler.root)
    return value.code, value.guards


_quoted_or_comment = re.compile(
    r"""(?P<prefix>[A-Za-z]*)(?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<comment>\#[^\n]*)"""
)


def one_line(text: str) -> str:
    """The text without comments and line breaks, each column where it was."""

    def plain(match: re.Match[str]) -> str:
        if match["comment"] is not None:
            return " " * len(match[0])
        if "\\" in match["quoted"] and "r" not in match["prefix"].lower():
            # "\\b" would be a backspace, and an expression that never matches.
            raise RuleError('write a text with a backslash as r"..."', match.start() + 1)
        return match[0]

    return _quoted_or_comment.sub(plain, text).replace("\r", " ").replace("\n", " ")


@functools.lru_cache(maxsize=2_048)  # the same rules are read for each strategy, twice; nobody changes a tree
def _parsed(source: str, lead: int) -> ast.expr:
    """The syntax tree of one expression, within the bounds. `lead` is what stands before it in the rule's text."""
    try:
        body = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = max(1, getattr(error, "offset", None) or 1) + lead
        raise RuleError(f"not an expression: {getattr(error, 'msg', error)}", column) from None
    nodes = list(ast.walk(body))
    if len(nodes) > MAX_NODES:
        raise RuleError(f"more than {MAX_NODES} syntax nodes; split it into several rules")
    if sum(isinstance(node, ast.Mult) for node in nodes) > MAX_PRODUCTS:
        raise RuleError(f"more than {MAX_PRODUCTS} multiplications")
    return body


def _early(left: _Value, sign: str, right: _Value) -> list[str]:
    """A cheap test that fails wherever `left sign right` must fail: the ceiling of what has to be large."""
    if left.ceiling and right.constant is not None and sign in (">", ">="):
        return [f"{left.ceiling} {sign} {right.code}"]
    if right.ceiling and left.constant is not None and sign in ("<", "<="):
        return [f"{left.code} {sign} {right.ceiling}"]
    return []


def _all(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + " and ".join(parts) + ")"


def _any(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + " or ".join(parts) + ")"


class _Compiler:
    """One expression on its way to source."""

    def __init__(self, scope: Scope, text: str) -> None:
        if len(text) > MAX_CHARS:
            raise RuleError(f"longer than {MAX_CHARS} characters")
        line = one_line(text)
        self.scope = scope
        self.source = line.strip()
        self.lead = len(line) - len(line.lstrip())
        self.root = _parsed(self.source, self.lead)
        self.ceilings: list[str] = []

    def early(self, true: str) -> str:
        """The ceiling that the source of a single comparison begins with."""
        found = self.ceilings[0] if isinstance(self.root, ast.Compare) and len(self.ceilings) == 1 else ""
        return found if found and found in true else ""

    def column(self, node: ast.expr) -> int:
        """Where a node stands in the rule's text, in characters from 1 (the parser counts bytes from 0)."""
        return self.lead + len(self.source.encode()[: node.col_offset].decode()) + 1

    def condition(self, node: ast.expr) -> tuple[str, str]:
        """(certainly true, certainly false) as source."""
        if isinstance(node, ast.BoolOp):
            pairs = [self.condition(value) for value in node.values]
            trues, falses = [true for true, _ in pairs], [false for _, false in pairs]
            if isinstance(node.op, ast.And):
                return _all(trues), _any(falses)
            return _any(trues), _all(falses)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            true, false = self.condition(node.operand)
            return false, true
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return str(node.value), str(not node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "known":
            return self._known(node)
        value = self._value(node)
        if value.kind is not Kind.BOOL:
            raise RuleError(f"a {value.kind.value} is no condition; compare it with something", self.column(node))
        guards = list(value.guards)
        return _all([*guards, value.code]), _all([*guards, f"not {value.code}"])

    def _comparison(self, node: ast.Compare) -> tuple[str, str]:
        trues: list[str] = []
        falses: list[str] = []
        left_node = node.left
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            true, false = self._compare_two(left_node, operator, right_node)
            trues.append(true)
            falses.append(false)
            left_node = right_node
        return _all(trues), _any(falses)

    def _compare_two(self, left_node: ast.expr, operator: ast.cmpop, right_node: ast.expr) -> tuple[str, str]:
        signs = _COMPARE.get(type(operator))
        if signs is None:
            raise RuleError("use == and != instead of is", self.column(right_node))
        left = self._operand(left_node, right_node)
        if signs[0] in ("in", "not in"):
            right = self._members(right_node)
            if left.kind is not Kind.TEXT:
                raise RuleError(f"'in' looks for a text, this is a {left.kind.value}", self.column(left_node))
        else:
            right = self._operand(right_node, left_node)
            if left.kind is not right.kind:
                message = f"cannot compare a {left.kind.value} with a {right.kind.value}"
                raise RuleError(message, self.column(right_node))
            if left.kind is Kind.TEXTS:
                raise RuleError("use 'in' or count() with a list of texts", self.column(left_node))
            if left.kind is not Kind.NUMBER and signs[0] not in ("==", "!="):
                raise RuleError(f"a {left.kind.value} has no order; use == or !=", self.column(left_node))
        guards = [*left.guards, *(guard for guard in right.guards if guard not in left.guards)]
        early = _early(left, signs[0], right)
        self.ceilings += early
        true = _all([*early, *guards, f"{left.code} {signs[0]} {right.code}"])
        false = _all([*guards, f"{left.code} {signs[1]} {right.code}"])
        return true, false

    def _operand(self, node: ast.expr, other: ast.expr) -> _Value:
        """A side of a comparison; a feature compared with a constant needs to be exact only up to it."""
        constant = self._number_of(other)
        if not isinstance(node, ast.Name) or constant is None:
            return self._value(node)
        if isinstance(other, ast.Name):
            self.scope.movable[node.id] = None
        return self._name(node, bound=constant)

    def _number_of(self, node: ast.expr) -> float | None:
        if isinstance(node, ast.Name):
            return self.scope.thresholds.get(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        return None

    def _members(self, node: ast.expr) -> _Value:
        if not isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            value = self._value(node)
            if value.kind is Kind.TEXTS:
                return value
            raise RuleError('after \'in\' comes a list of texts, such as ("a", "b")', self.column(node))
        words = [element.value for element in node.elts if isinstance(element, ast.Constant)]
        if len(words) != len(node.elts) or not all(isinstance(word, str) for word in words):
            raise RuleError("only quoted texts may stand in this list", self.column(node))
        members = ", ".join(repr(word) for word in dict.fromkeys(words))
        return _Value(code=f"({members},)" if members else "()", kind=Kind.TEXTS)

    def _value(self, node: ast.expr) -> _Value:
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            operand = self.number(node.operand)
            sign = "-" if isinstance(node.op, ast.USub) else ""
            return attrs.evolve(operand, code=f"({sign}{operand.code})", constant=None)
        if isinstance(node, (ast.BoolOp, ast.Compare, ast.UnaryOp)):
            raise RuleError("a condition cannot stand here; combine conditions with and, or, not", self.column(node))
        raise RuleError(f"{type(node).__name__} is not part of the rule language", self.column(node))

    def _constant(self, node: ast.Constant) -> _Value:
        value = node.value
        if isinstance(value, bool):
            return _Value(code=str(value), kind=Kind.BOOL)
        if isinstance(value, (int, float)):
            if value != value or abs(value) > 2**53:  # noqa: PLR0124 - NaN is the number unlike itself
                raise RuleError("a number beyond 2**53 cannot be compared exactly", self.column(node))
            return _Value(code=repr(value), kind=Kind.NUMBER, constant=float(value))
        if isinstance(value, str):
            return _Value(code=repr(value), kind=Kind.TEXT, constant=value)
        raise RuleError(f"a {type(value).__name__} cannot be written in a rule", self.column(node))

    def _name(self, node: ast.Name, bound: float = inf) -> _Value:
        threshold = self.scope.thresholds.get(node.id)
        if threshold is not None:
            code = THRESHOLD + node.id if self.scope.by_name else repr(threshold)
            return _Value(code=code, kind=Kind.NUMBER, constant=threshold)
        symbol = self.scope.symbols.get(node.id)
        if symbol is None:
            known = [*self.scope.symbols, *self.scope.thresholds]
            raise RuleError(f"no feature is named {node.id!r} here{nearest(node.id, known)}", self.column(node))
        self.scope.used[node.id] = None
        self.scope.note_bound(node.id, bound)
        return self._symbol(symbol)

    def _symbol(self, symbol: Symbol) -> _Value:
        first, again = self.scope.reference(symbol)
        if not symbol.nullable:
            return _Value(code=first, kind=symbol.kind, ceiling=symbol.ceiling)
        # The guard runs first and leaves the value where `again` finds it.
        return _Value(code=again, kind=symbol.kind, guards=(f"{first} is not None",), ceiling=symbol.ceiling)

    def number(self, node: ast.expr) -> _Value:
        """An operand that must be a number."""
        value = self._value(node)
        if value.kind is not Kind.NUMBER:
            raise RuleError(f"a number is needed here, this is a {value.kind.value}", self.column(node))
        return value

    def _arithmetic(self, node: ast.BinOp) -> _Value:
        sign = _ARITHMETIC.get(type(node.op))
        if sign is None:
            raise RuleError("only + - * / can be calculated with", self.column(node))
        left, right = self.number(node.left), self.number(node.right)
        guards = [*left.guards, *(guard for guard in right.guards if guard not in left.guards)]
        if sign == "/":
            if right.constant == 0:
                raise RuleError("division by zero", self.column(node.right))
            if right.constant is None:
                guards.append(f"{right.code} != 0")
        return _Value(code=f"({left.code} {sign} {right.code})", kind=Kind.NUMBER, guards=tuple(guards))

    def _call(self, node: ast.Call) -> _Value:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            raise RuleError(f"there is no function {name!r}{nearest(name, list(FUNCTIONS))}", self.column(node))
        if node.keywords:
            raise RuleError("functions take no named arguments", self.column(node))
        name = node.func.id
        if name == "known":
            raise RuleError("known() is a condition by itself", self.column(node))
        handlers: Mapping[str, Callable[[ast.Call], _Value]] = {
            "over": self._over,
            "wait_s": self._wait,
            "matches": self._matches,
            "contains": self._contains,
            "count": self._count,
        }
        handler = handlers.get(name)
        return handler(node) if handler else self._numeric_call(name, node)

    def _known(self, node: ast.Call) -> tuple[str, str]:
        if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Name):
            raise RuleError("known() takes one feature", self.column(node))
        value = self._value(node.args[0])
        if not value.guards:
            return "True", "False"
        return value.guards[0], f"{value.guards[0].removesuffix(' is not None')} is None"

    def _text_argument(self, node: ast.Call, position: int, what: str) -> str:
        argument = node.args[position]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value:
            return argument.value
        raise RuleError(f"{what} must be a quoted text", self.column(argument))

    def _arity(self, node: ast.Call, wanted: int, usage: str) -> None:
        if len(node.args) != wanted:
            raise RuleError(f"write {usage}", self.column(node))

    def _over(self, node: ast.Call) -> _Value:
        return self._limit(node, "over", self.scope.limits, "no limit")

    def _wait(self, node: ast.Call) -> _Value:
        return self._limit(node, "wait_s", self.scope.waits, 'no limit with algorithm = "pace"')

    def _limit(self, node: ast.Call, function: str, limits: Mapping[str, Symbol], none: str) -> _Value:
        self._arity(node, 1, FUNCTIONS[function])
        name = self._text_argument(node, 0, "the limit")
        symbol = limits.get(name)
        if symbol is None:
            raise RuleError(f"{none} is named {name!r}{nearest(name, list(limits))}", self.column(node))
        self.scope.used[symbol.name] = None
        return self._symbol(symbol)

    def _matches(self, node: ast.Call) -> _Value:
        self._arity(node, 2, FUNCTIONS["matches"])
        value = self._text(node.args[0])
        pattern = self._text_argument(node, 1, "the regular expression")
        name = "regex_" + hashlib.blake2b(pattern.encode(), digest_size=6).hexdigest()
        if name not in self.scope.constants:
            self.scope.constants[name] = compile_regex(pattern, self.column(node.args[1]))
        return _Value(code=f"({name}.search({value.code}) is not None)", kind=Kind.BOOL, guards=value.guards)

    def _text(self, node: ast.expr) -> _Value:
        value = self._value(node)
        if value.kind is not Kind.TEXT:
            raise RuleError(f"a text is needed here, this is a {value.kind.value}", self.column(node))
        return value

    def _contains(self, node: ast.Call) -> _Value:
        self._arity(node, 2, FUNCTIONS["contains"])
        value = self._text(node.args[0])
        part = self._text_argument(node, 1, "the part")
        return _Value(code=f"({part!r} in {value.code})", kind=Kind.BOOL, guards=value.guards)

    def _count(self, node: ast.Call) -> _Value:
        self._arity(node, 1, FUNCTIONS["count"])
        value = self._value(node.args[0])
        if value.kind is not Kind.TEXTS:
            raise RuleError(f"count() counts a list of texts, this is a {value.kind.value}", self.column(node))
        return _Value(code=f"len({value.code})", kind=Kind.NUMBER, guards=value.guards)

    def _numeric_call(self, name: str, node: ast.Call) -> _Value:
        wanted = 1 if name == "abs" else 2
        self._arity(node, wanted, FUNCTIONS[name])
        values = [self.number(argument) for argument in node.args]
        guards = tuple(dict.fromkeys(guard for value in values for guard in value.guards))
        code = f"{name}({', '.join(value.code for value in values)})"
        return _Value(code=code, kind=Kind.NUMBER, guards=guards)


def compile_regex(pattern: str, column: int = 1) -> Any:
    """An RE2 expression, linear in the text. Raises RuleError when it does not compile or matches everything."""
    options = re2.Options()
    options.max_mem = MAX_REGEX_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise RuleError(f"RE2 refuses this expression: {detail}", column) from None
    if compiled.search("") is not None:
        raise RuleError("this expression matches the empty text, so it would match everything", column)
    return compiled
