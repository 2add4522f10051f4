"""The rule language: what can be said, what cannot, and what is said back."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.program import RuleErrors
from roomguard.engine.rules.language import (
    FUNCTIONS,
    MAX_CHARS,
    MAX_NODES,
    MAX_PRODUCTS,
    Condition,
    Kind,
    RuleError,
    Scope,
    Symbol,
    compile_condition,
    compile_number,
    compile_regex,
)
from roomguard.testing import Scene, chat, feature, limit, program, rule

NUMBER, BOOL, TEXT, TEXTS = Kind.NUMBER, Kind.BOOL, Kind.TEXT, Kind.TEXTS
SYMBOLS = [
    *(Symbol(name, NUMBER, f"env[{name!r}]") for name in ("n", "m", "flood")),
    *(Symbol(name, NUMBER, f"(env[{name!r}] if env is not None else None)", nullable=True) for name in ("un", "um")),
    Symbol("b", BOOL, "env['b']"),
    Symbol("ub", BOOL, "env['ub']", nullable=True),
    Symbol("t", TEXT, "env['t']"),
    Symbol("ut", TEXT, "env['ut']", nullable=True),
    Symbol("ts", TEXTS, "env['ts']"),
]
LIMIT = Symbol("over(chat)", BOOL, "env['over']", nullable=True)


def scope() -> Scope:
    return Scope({symbol.name: symbol for symbol in SYMBOLS}, {}, {"limit": 5.0, "half": 0.5}, {"chat": LIMIT})


def ask(condition: Condition, constants: Mapping[str, Any], env: Mapping[str, Any]) -> bool | None:
    """True, False or None for unknown, as the compiled source says."""
    names = {"__builtins__": {"len": len, "min": min, "max": max, "abs": abs}, "env": env, **constants}
    true, false = (bool(eval(source, dict(names))) for source in (condition.true, condition.false))
    assert not (true and false), "true and false at once"
    return True if true else False if false else None


def judge(text: str, **env: Any) -> bool | None:
    where = scope()
    return ask(compile_condition(text, where), where.constants, env)


SAYS: list[tuple[str, dict[str, Any], bool | None]] = [
    ("n > 10", {"n": 10}, False),
    ("n > 10", {"n": 11}, True),
    ("n >= limit", {"n": 5}, True),
    ("n < half", {"n": 0}, True),
    ("1 < n <= 3", {"n": 3}, True),
    ("1 < n <= 3", {"n": 4}, False),
    ("n + m * 2 - 1 > 6 / 2", {"n": 1, "m": 2}, True),
    ("-n < +3", {"n": -3}, False),
    ("n / m > 2", {"n": 5, "m": 2}, True),
    ("n / m > 2", {"n": 5, "m": 0}, None),
    ("not n / m > 2", {"n": 5, "m": 0}, None),
    ("min(n, m) == 1 and max(n, m) == 2 and abs(n - m) == 1", {"n": 1, "m": 2}, True),
    ("b", {"b": True}, True),
    ("not b", {"b": True}, False),
    ("b == False", {"b": False}, True),
    ("True", {}, True),
    ("ub", {"ub": None}, None),
    ("not ub", {"ub": None}, None),
    ("ub or b", {"ub": None, "b": True}, True),
    ("ub and b", {"ub": None, "b": False}, False),
    ("un > 1", {"un": None}, None),
    ("un > 1 or un <= 1", {"un": None}, None),
    ("known(un)", {"un": 0}, True),
    ("known(un)", {"un": None}, False),
    ("not known(un)", {"un": None}, True),
    ("not known(un)", {"un": 0}, False),
    ("known(n)", {"n": 0}, True),
    ('t == "hi"', {"t": "hi"}, True),
    ('t != "hi"', {"t": "hi"}, False),
    ('t in ("a", "b")', {"t": "b"}, True),
    ('t not in ["a", "b"]', {"t": "b"}, False),
    ('ut in {"a"}', {"ut": None}, None),
    ('"x" in ts', {"ts": ("x",)}, True),
    ("t in ()", {"t": "a"}, False),
    ("count(ts) > 1", {"ts": ("x", "y")}, True),
    ('contains(t, "free")', {"t": "so free!"}, True),
    ('contains(ut, "free")', {"ut": None}, None),
    (r'matches(t, r"\bfree\b")', {"t": "so free!"}, True),
    (r'matches(t, r"\bfree\b")', {"t": "freedom"}, False),
    ('matches(t, "(?i)FREE")', {"t": "free"}, True),
    ('over("chat")', {"over": True}, True),
    ('not over("chat")', {"over": None}, None),
    ("n > 1 # a remark, and no more\n and m > 1", {"n": 2, "m": 1}, False),
    ('t == "#1" # number one', {"t": "#1"}, True),
    ("\n  n > 1\n  or m > 1\n", {"n": 1, "m": 2}, True),
    ("n == 1_000", {"n": 1000}, True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "env", "expected"), SAYS)
def test_what_can_be_said(text: str, env: dict[str, Any], expected: bool | None) -> None:
    """An expression is certainly true, certainly false or unknown, and never two of them."""
    assert expected is judge(text, **env)


REFUSED: list[tuple[str, int, str]] = [
    ("", 0, "not an expression"),
    ("n >", 0, "not an expression"),
    ("n > 1; m", 0, "not an expression"),
    ("n > 1 m", 0, "not an expression"),
    ("(n > 1", 0, "not an expression"),
    ("n > 1) or (b", 0, "not an expression"),
    ("n\x00", 0, "not an expression"),
    ("m > 1 and nn > 2", 11, "no feature is named 'nn' here"),
    ("floood > 2", 1, "no feature is named 'floood' here (did you mean 'flood'?)"),
    ("n > limitt", 5, "(did you mean 'limit'?)"),
    ("  nix > 2", 3, "no feature is named 'nix' here"),
    ('t == "äöü" and nix', 16, "no feature is named 'nix' here"),
    ("n > 1 and\n nix", 12, "no feature is named 'nix' here"),
    ("n", 1, "a number is no condition; compare it with something"),
    ("t", 1, "a text is no condition"),
    ("n > 1 and t", 11, "a text is no condition"),
    ("not n", 5, "a number is no condition"),
    ("n == t", 6, "cannot compare a number with a text"),
    ("n == True", 6, "cannot compare a number with a condition"),
    ("b > True", 1, "a condition has no order; use == or !="),
    ('t < "a"', 1, "a text has no order"),
    ("ts == ts", 1, "use 'in' or count() with a list of texts"),
    ("n is 1", 6, "use == and != instead of is"),
    ("n in (1, 2)", 6, "only quoted texts may stand in this list"),
    ('n in ("1",)', 1, "'in' looks for a text, this is a number"),
    ('t in "abc"', 6, "after 'in' comes a list of texts"),
    ("t in (t,)", 6, "only quoted texts"),
    ("n + t > 1", 5, "a number is needed here, this is a text"),
    ("n + (m > 1) > 1", 6, "a condition cannot stand here"),
    ("n % 2 == 1", 1, "only + - * / can be calculated with"),
    ("n ** 9 > 1", 1, "only + - * / can be calculated with"),
    ("n << 9 > 1", 1, "only + - * / can be calculated with"),
    ("n / 0 > 1", 5, "division by zero"),
    ("~n > 1", 1, "a condition cannot stand here"),
    ("n > 1e999", 5, "a number beyond 2**53 cannot be compared exactly"),
    ("n > 9007199254740993", 5, "a number beyond 2**53"),
    ("n > 1j", 5, "a complex cannot be written in a rule"),
    ('t == b"a"', 6, "a bytes cannot be written in a rule"),
    ("n == None", 6, "a NoneType cannot be written in a rule"),
    ("n == ...", 6, "a ellipsis cannot be written in a rule"),
    ("mix(n, m) > 1", 1, "there is no function 'mix' (did you mean 'min'?)"),
    ("min(n) > 1", 1, "write min(A, B)"),
    ("min(n, m, 1) > 1", 1, "write min(A, B)"),
    ("min(*ts, n) > 1", 5, "Starred is not part of the rule language"),
    ("min(n, key=m) > 1", 1, "functions take no named arguments"),
    ("known(n, x=1)", 1, "known() takes one feature"),
    ("known(1)", 1, "known() takes one feature"),
    ("known(n) == True", 1, "known() is a condition by itself"),
    ("count(t) > 1", 1, "count() counts a list of texts, this is a text"),
    ("contains(t, t)", 13, "the part must be a quoted text"),
    ('contains(t, "")', 13, "the part must be a quoted text"),
    ('contains(n, "a")', 10, "a text is needed here, this is a number"),
    ('matches(t, "(")', 12, "RE2 refuses this expression: missing"),
    (r'matches(t, r"(a)\1")', 12, "RE2 refuses this expression: invalid escape sequence"),
    ('matches(t, "a*")', 12, "this expression matches the empty text"),
    (r'matches(t, "\bfree")', 12, 'write a text with a backslash as r"..."'),
    ('over("chatt")', 1, "no limit is named 'chatt' (did you mean 'chat'?)"),
    ("over(chat)", 6, "the limit must be a quoted text"),
]  # fmt: skip
"""Text, column (0 where only Python's parser knows it), message."""


@pytest.mark.parametrize(("text", "column", "message"), REFUSED)
def test_what_is_refused(text: str, column: int, message: str) -> None:
    """What cannot be said is refused with its column and, where one is near, the name that was meant."""
    with pytest.raises(RuleError) as caught:
        compile_condition(text, scope())

    assert message in caught.value.message
    assert column in (0, caught.value.column)
    assert str(caught.value).startswith(f"column {caught.value.column}: ")


ESCAPES = [
    "().__class__", "t.__class__ == t", "t.upper() == t", "ts[0] == t", "t[0] == t", "[x for x in ts]",
    "(x for x in ts)", "{x: x for x in ts}",
    "{x for x in ts} == ts", "lambda: n", "(lambda: n)() > 1", "(n := 2) > 1", 'f"{t}" == t',
    "await t", "yield t", "n if b else m", "*ts", "n > 1, m > 1", "__import__('os')", "eval('1') == 1", "exec('1')",
    "open('x')", "print(n)", "getattr(t, 'x')", "env", "__builtins__", "len(ts) > 1", "bool(n)", "min.x > 1", "min",
    "count(ts)(t)", "import os", "n = 1", "global n", "{'a': 1}", "[n] == [m]", "n @ m > 1", "n // m > 1", "n ^ m > 1",
    "slots", "room.users", "U", "user", "ev", "now > 1", "known", "None", "t == t'x'", "t == rb'x'",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES)
def test_no_way_out(text: str) -> None:
    """No attribute, loop, import, lambda, f-string, walrus, await, subscript or name of Python can be reached."""
    with pytest.raises(RuleError):
        compile_condition(text, scope())
    with pytest.raises(RuleErrors):
        program(rule("r", text))


@pytest.mark.parametrize("name", [*dir(builtins), *keyword.kwlist, "v_0", "hits", "facts", "f", "subject", "fresh"])
def test_no_name_of_python_is_a_feature(name: str) -> None:
    """Builtins, keywords and the names of the generated code mean nothing in a rule, called or not."""
    for text in (f"{name} == 1", f'{name}("a") == 1', f"{name}(n) == 1"):
        if name in FUNCTIONS or name in {"True", "False", "not"}:
            continue
        with pytest.raises(RuleError):
            compile_condition(text, scope())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n > 1" + " " * MAX_CHARS, f"longer than {MAX_CHARS} characters"),
        (" and ".join(["b"] * (MAX_NODES // 2)), f"more than {MAX_NODES} syntax nodes"),
        (f"{' * '.join(['n'] * (MAX_PRODUCTS + 2))} > 1", f"more than {MAX_PRODUCTS} multiplications"),
        ("(" * 500 + "b" + ")" * 500, "not an expression"),
        ("not " * 120 + "n", "a number is no condition"),
    ],
)  # fmt: skip
def test_bounds(text: str, message: str) -> None:
    """A rule has a longest text, a largest tree and a largest product; beyond each it is refused, not slowed down."""
    with pytest.raises(RuleError, match="column") as caught:
        compile_condition(text, scope())
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "-" * 120 + "length > 1",
        "abs(" * 70 + "length" + ")" * 70 + " > 1",
        "(" * 70 + "length" + " + 1)" * 70 + " > 1",
        "account_age_s" + " / level" * 45 + " > 1",
        "(level / " * 45 + "level" + ")" * 45 + " > 1",
        "not " * 120 + "laughter",
        "".join(f"length > {i} and (words > {i} or " for i in range(15)) + "laughter" + ")" * 15,
        " < ".join(["account_age_s"] * 60),
    ],
)  # fmt: skip
def test_the_largest_rules_run(text: str) -> None:
    """Whatever is within the bounds compiles to code that Python takes and that runs on any event."""
    scene = Scene(program(rule("r", text)))
    scene.chat("ann", "hello")
    scene.chat("ann", "hello", at=1, who={"account_age_s": 1e308, "level": 2**53 - 1})


def test_products_of_large_numbers_do_not_overflow() -> None:
    """The largest numbers of the protocol, multiplied as often as a rule may, are still compared."""
    product = " * ".join(["like_count"] * (MAX_PRODUCTS + 1))
    scene = Scene(program(rule("r", f"{product} / 3 > 0.5", "warn", on=("like",))))
    scene.like("ann", 2**53 - 1)
    assert ["warn"] == scene.kinds()


def test_numbers() -> None:
    """`of` of a sum is an expression of numbers under the same rules, with what must be known for it."""
    assert ("(env['n'] * 2)", ()) == compile_number("n * 2", scope())
    code, guards = compile_number("un / n # per n", scope())
    assert "env['un']" in code
    assert 2 == len(guards)
    for text, column in (("t", 1), ("n > 1", 1), (" x", 2), ("n + t", 5)):
        with pytest.raises(RuleError) as caught:
            compile_number(text, scope())
        assert column == caught.value.column


def test_regex_memory_is_bounded() -> None:
    """An expression whose automaton would grow beyond its memory is refused when it is read."""
    with pytest.raises(RuleError, match="RE2 refuses"):
        compile_regex("((a{1,100}){1,100}){1,100}")


# What the language means, against an evaluator too simple to be wrong


@st.composite
def numbers(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["n", "m", "un", "um", "0", "1", "2.5", "limit"]))
    operator = draw(st.sampled_from(["+", "-", "*", "/", "min", "max", "abs", "neg"]))
    left, right = draw(numbers(depth - 1)), draw(numbers(depth - 1))
    if operator in ("min", "max"):
        return f"{operator}({left}, {right})"
    if operator == "abs":
        return f"abs({left})"
    return f"(-{left})" if operator == "neg" else f"({left} {operator} {right})"


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        leaf = draw(st.integers(0, 6))
        if leaf <= 2:
            signs = draw(st.lists(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), min_size=1, max_size=2))
            return draw(numbers()) + "".join(f" {sign} {draw(numbers())}" for sign in signs)
        return ["b", "ub", f"known({draw(st.sampled_from(['un', 'n', 'ub']))})", 'ut == "x"'][leaf - 3]
    left = draw(conditions(depth - 1))
    operator = draw(st.sampled_from(["and", "or", "not"]))
    return f"(not {left})" if operator == "not" else f"({left} {operator} {draw(conditions(depth - 1))})"


class Unknown(Exception):
    """A number that is not known."""


def naive_number(node: ast.expr, env: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            value = {"limit": 5.0, **env}[name]
            if value is None:
                raise Unknown
            return value
        case ast.UnaryOp(operand=operand):
            return -naive_number(operand, env)
        case ast.Call(func=ast.Name(id=name), args=args):
            functions: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
            return functions[name](*(naive_number(argument, env) for argument in args))
        case ast.BinOp(left=left, op=operator, right=right):
            one, two = naive_number(left, env), naive_number(right, env)
            if isinstance(operator, ast.Div) and two == 0:
                raise Unknown
            code = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}[type(operator)]
            return eval(f"one {code} two", {"one": one, "two": two})
    raise AssertionError(ast.dump(node))


def naive_comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr, env: Mapping[str, Any]) -> bool | None:
    try:
        one, two = naive_number(left, env), naive_number(right, env)
    except Unknown:
        return None
    signs = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
    return bool(eval(f"one {signs[type(operator)]} two", {"one": one, "two": two}))


def kleene(values: list[bool | None], deciding: bool) -> bool | None:
    """And (deciding False) and or (deciding True) of three values."""
    if deciding in values:
        return deciding
    return None if None in values else not deciding


def naive(node: ast.expr, env: Mapping[str, Any]) -> bool | None:
    match node:
        case ast.BoolOp(op=operator, values=values):
            return kleene([naive(value, env) for value in values], isinstance(operator, ast.Or))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            value = naive(operand, env)
            return None if value is None else not value
        case ast.Compare(left=left, ops=operators, comparators=rights):
            lefts = [left, *rights]
            pairs = zip(lefts, operators, rights, strict=False)
            return kleene([naive_comparison(one, operator, two, env) for one, operator, two in pairs], deciding=False)
        case ast.Call(args=[ast.Name(id=name)]):
            return env[name] is not None
        case ast.Name(id=name):
            return env[name]  # type: ignore[no-any-return]
    raise AssertionError(ast.dump(node))


VALUES = st.sampled_from([0, 1, 2, 5, 2.5, -1, 1000])


@settings(max_examples=400, deadline=None)
@given(
    text=conditions(),
    env=st.fixed_dictionaries(
        {
            "n": VALUES, "m": VALUES, "un": st.none() | VALUES, "um": st.none() | VALUES, "b": st.booleans(),
            "ub": st.none() | st.booleans(), "ut": st.sampled_from([None, "x", "y"]),
        }
    ),
)  # fmt: skip
def test_three_valued_logic(text: str, env: dict[str, Any]) -> None:
    """Unknown is Kleene's: it never counts as zero or False, and it spreads until another side settles the matter."""
    where = scope()
    try:
        condition = compile_condition(text, where)
    except RuleError as error:
        assert any(word in error.message for word in ("syntax nodes", "multiplications", "division by zero"))  # noqa: PT017
        return
    assert naive(ast.parse(text, mode="eval").body, env) == ask(condition, where.constants, env)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="nmbt()[]{}.,:='\"\\<>+-*/#_ \n1\tforlambdaifelse", max_size=60),
        conditions().flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut] + "(" + text[cut:])),
    )
)  # fmt: skip
def test_any_text_is_refused_or_compiles(text: str) -> None:
    """Whatever stands in a rule, it compiles or is refused with a column inside it; nothing else is raised."""
    where = scope()
    try:
        condition = compile_condition(text, where)
    except RuleError as error:
        column = error.column
    else:
        compile(condition.true, "rule", "eval")
        compile(condition.false, "rule", "eval")
        return
    assert column in range(1, len(text) + 3)


def test_each_feature_is_computed_once() -> None:
    """However many rules name a feature, one event asks for it once, and not at all while a cheaper one settles it."""
    compiled = program(
        *(rule(f"r{i}", f"length > 500 and chats > {i}") for i in range(5)),
        *(rule(f"s{i}", f'over("chat") or gaps < {i}') for i in range(5)),
        features={"chats": feature("count"), "gaps": feature("gap")},
        limits={"chat": limit("5/10s")},
    )
    step = compiled.strategies["default"].source.partition("def step_chat")[2].partition("def ")[0]
    tests = step.partition("hits = ()")[2]

    assert tests.count("mean_gap(") <= 5  # each mention is guarded by "not computed yet"
    assert "is not U else" in tests
    scene = Scene(compiled)
    scene.chat("ann")
    assert {} == scene.hits("r0")


@pytest.mark.parametrize("known", [False, True])
def test_known_of_what_the_edge_tells(known: bool) -> None:
    """`known` and `not known` are opposites for every feature the edge may leave out."""
    names = ["role", "account_age_s", "follower", "level", "device", "net", "lang", "tagged", "viewers"]
    scene = Scene(
        program(*(rule(f"{name}_{no}", f"{no} known({name})", mode="shadow") for name in names for no in ("", "not")))
    )
    if known:
        who = {"role": "viewer", "account_age_s": 0, "follower": False, "level": 0, "device": "", "net": ""}
        scene.guard.viewers = 0
        scene.take(chat("ann", who=who, lang="en", mentions=[]))
    else:
        scene.take(chat("ann"))

    for name in names:
        assert known == bool(scene.hits(f"{name}_")), name
        assert known == (not scene.hits(f"{name}_not")), name


@pytest.mark.parametrize("who", [None, {}])
@pytest.mark.parametrize("name", ["text", "near", "domain", "device", "net"])
def test_known_of_a_window_without_its_key(name: str, who: dict[str, Any] | None) -> None:
    """A window kept for something the event does not have is unknown, and `not known` is then true."""
    scene = Scene(
        program(
            rule("r", "not known(users) and not users > 0 and users >= 0", mode="shadow"),
            rule("s", "not known(users)", mode="shadow"),
            features={"users": feature("distinct", key=name, of="user")},
        )
    )
    scene.chat("ann", "" if name in ("text", "near") else "hi", who=who)
    assert {} == scene.hits("r")
    assert {"shadow": 1} == scene.hits("s")
