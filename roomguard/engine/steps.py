"""The source of a step: what one event of a kind does to the windows, then which rules it hits.

A stranger should be able to read it from top to bottom (`Strategy.source` holds it). First the windows are brought up
to date, the current event included; then the rules are asked. In both parts what no quiet text can pass stands behind
the question whether the text is loud, and what no first message can pass behind the question whether its user has sent
one before (`engine.gates`): nearly nine of ten texts are quiet, and a crowd's messages are mostly first ones. The rest
is nested by what
conditions share and asked in the order of what they tell for their cost: first what an ordinary event fails, then what
is cheap, then what has to be read out of windows (some 0.2 us each), then facts that have to be worked out (one to
two), last what compares texts. Each at most once, into a local variable named after the feature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import attrs

from roomguard.engine.features import WHO, Catalogue, Stream
from roomguard.engine.gates import Gate, Premise, gate_of
from roomguard.engine.nesting import CHEAP, UNLIKELY, Block, nested
from roomguard.engine.rules.language import THRESHOLD, Kind, Scope, Symbol
from roomguard.engine.rules.operands import Operand, split
from roomguard.engine.text.facts import QUIET
from roomguard.engine.windows import LET_BE, SIZE

ARGUMENTS = "(room, slots, user, subject, ev, f, fresh, now)"
"""What generated functions take; `fresh` is the number of new gifts, `f` the facts of a text or None."""
_FETCHED, _WINDOWED, _WORKED_OUT, _COMPARED = CHEAP + 1, CHEAP + 2, CHEAP + 3, CHEAP + 4
LOUD, AGAIN = FLAGS = ("LOUD", "AGAIN")
"""What generated code asks for besides a loud text, and besides a message that is not its user's first: true where a
gate is not shut."""
QUIET_TEXT = Premise({f"f.{name}": values for name, values in QUIET.items()}, LOUD)
"""What is true of a quiet text."""
_ORDINARY = {"length": 30, "letters": 25, "words": 5, "distinct_words": 5, "symbols": 1, "longest_run": 1}
"""The counts of an ordinary message; of everything else it has nothing."""
_UNSET = object()
_NOTHING: Mapping[Kind, object] = {Kind.NUMBER: 0, Kind.BOOL: False, Kind.TEXT: "", Kind.TEXTS: ()}


def first_chat(traces: Iterable[str]) -> Premise:
    """What is true of a user when their first message is judged, itself counted.

    They have been counted once at most and have said nothing twice. `traces` are the streams of what users said.
    """
    said = {f"user.{name}[0]": (0, 1) for name in traces}
    return Premise({"user.chats": (1,), "len(user.times)": (0, SIZE), **said}, AGAIN)


@attrs.define
class LazyScope(Scope):
    """A scope whose costly symbols live in a local variable once computed."""

    locals: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    """Symbol to (local variable, source that fills it when it is first needed)."""

    def reference(self, symbol: Symbol) -> tuple[str, str]:
        """Give every costly symbol a local variable when it is first named."""
        if not symbol.costly:
            return symbol.code, symbol.code
        if symbol.name not in self.locals:
            local = "v_" + re.sub(r"\W", "_", symbol.name)
            if any(local == taken for taken, _ in self.locals.values()):
                local = f"{local}_{len(self.locals)}"
            self.locals[symbol.name] = local, f"({local} if {local} is not U else ({local} := {symbol.code}))"
        local, filled = self.locals[symbol.name]
        return filled, local


@attrs.define
class StepWriter:
    """Writes the step of one event kind under the thresholds of one strategy."""

    kind: str
    catalogue: Catalogue
    thresholds: Mapping[str, float]
    scope: LazyScope = attrs.field(init=False)
    known: frozenset[str] = frozenset()
    """Facts that are worked out for every text, because windows ask for them."""
    first: Premise = attrs.field(init=False)
    """Of a user's first message."""
    gates: list[Gate] = attrs.field(factory=list)
    """What keeps ordinary messages from rules, as far as the thresholds at hand allow."""

    def __attrs_post_init__(self) -> None:
        """Name everything that rules on this kind may name."""
        plain = self.catalogue.rule_scope(self.kind, self.thresholds)
        symbols, constants = plain.symbols, self.catalogue.constants
        self.scope = LazyScope(symbols, constants, self.thresholds, plain.limits, plain.waits, by_name=True)

    def source(self, streams: Mapping[str, Stream], rules: Iterable[tuple[int, str, str]]) -> list[str]:
        """The lines of the step's function; none where there is nothing to do. `rules` are (index, name, condition)."""
        updates = [_placed(block, stream) for stream, block in self._updates(streams)]
        self.known = frozenset(name for block in updates for operand in block.operands for name in operand.symbols)
        hits = [
            Block(self._with_ceilings(split(when, self.scope)), (f"hits += ({index},)  # {name!r}",))
            for index, name, when in rules
        ]
        if not updates and not hits:
            return []
        self.first = first_chat(stream.name for stream in streams.values() if stream.shape == "traces")
        body = ["# Windows", *self._gated(updates, fixed=True)] if updates else []
        arguments = ARGUMENTS
        if hits:
            tests, locals_ = self._with_locals(self._gated(hits, fixed=False))
            body += ["# Rules", "hits = ()", *tests]
            # Defaults are put in place at once; a line that sets seventeen variables costs as much as seven rules.
            arguments = ", ".join((ARGUMENTS[:-1], *(f"{local}=U" for local in locals_))) + ")"
        body.append("return hits" if hits else "return ()")
        return [f"def step_{self.kind}{arguments}:", *(f"    {line}" for line in _asked_once(body))]

    def _with_ceilings(self, operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
        """The operands, and the cheap tests that are part of those that compare texts.

        They stand behind what else is cheap: how long a text is tells more than how many a user has sent.
        """
        early = [
            Operand(operand.early, operand.symbols)
            for operand in operands
            if operand.early and self._rank(operand) == _COMPARED
        ]
        return (*operands, *early)

    def _gated(self, blocks: list[Block], *, fixed: bool) -> list[str]:
        """All blocks nested, those that no quiet text or no first message can pass behind the question for it.

        `fixed`: their thresholds are the same under every strategy. Those of others are noted as gates, and their
        question asks for the flag of an open gate as well.
        """
        if self.kind != "chat":
            return nested(blocks, self._rank)
        ends: list[str] = []
        for premise, question in ((QUIET_TEXT, "f._loud"), (self.first, "user.chats > 1")):
            gates = [self._gate(block, premise) for block in blocks]
            behind = [block for block, gate in zip(blocks, gates, strict=True) if gate is not None]
            if len(behind) < 2:
                continue
            blocks = [block for block, gate in zip(blocks, gates, strict=True) if gate is None]
            if not fixed:
                self.gates += [gate for gate in gates if gate is not None]
            test = question if fixed else f"{question} or {premise.unless}"
            ends[:0] = [f"if {test}:", *(f"    {line}" for line in nested(behind, self._rank))]
        return [*nested(blocks, self._rank), *ends]

    def _gate(self, block: Block, premise: Premise) -> Gate | None:
        """What keeps a block shut under a premise, resting on as few thresholds as can be; None where nothing does."""
        sources = {local: self._code_of(name) for name, (local, _) in self.scope.locals.items()}
        gates = [gate for one in block.operands if (gate := gate_of(one.true, premise, sources)) is not None]
        shut = [gate for gate in gates if gate.is_shut(self.thresholds)]
        return min(shut, key=lambda gate: len(gate.thresholds), default=None)

    def _code_of(self, name: str) -> str:
        """The source of a symbol that has a local variable."""
        symbol = self._symbol(name)
        return "" if symbol is None else symbol.code

    def _updates(self, streams: Mapping[str, Stream]) -> Iterable[tuple[Stream, Block]]:
        """What counts this kind, each with a comment that says for which features and limits."""
        readers: dict[str, list[str]] = {}
        for feature in (*self.catalogue.declared.values(), *self.catalogue.limits.values()):
            readers.setdefault(feature.stream.name, []).append(feature.symbol.name)
        for name, reading in readers.items():
            if (
                name in streams
                and not streams[name].chats
                and (block := streams[name].updates.get(self.kind)) is not None
            ):
                comment = f"# {', '.join(map(ascii, dict.fromkeys(reading)))}".replace("'", "")
                yield streams[name], Block(block.operands, (comment, *block.lines))

    def _with_locals(self, lines: Sequence[str]) -> tuple[list[str], list[str]]:
        """The lines without the local variables that are needed only once, and the names of the others."""
        source = "\n".join(lines)
        kept: list[str] = []
        for name, (local, filled) in self.scope.locals.items():
            if source.count(filled) == 1 and len(re.findall(rf"\b{local}\b", source)) == filled.count(local):
                symbol = self.scope.symbols.get(name) or next(s for s in self.scope.limits.values() if s.name == name)
                source = source.replace(filled, symbol.code)
            elif local in source:
                kept.append(local)
        return source.split("\n"), kept

    def _rank(self, operand: Operand) -> int:
        """How soon to ask an operand: see `engine.nesting`."""
        symbols = [symbol for name in operand.symbols if (symbol := self._symbol(name)) is not None]
        if any(symbol.compares and symbol.code in operand.true for symbol in symbols):
            return _COMPARED
        if symbols and all(symbol.ceiling and symbol.ceiling in operand.true for symbol in symbols):
            return UNLIKELY  # settled by the length of a tuple: most users have sent less than any rule asks for
        if any(symbol.costly and symbol.code.startswith("f.") and symbol.name not in self.known for symbol in symbols):
            return _WORKED_OUT
        if any(symbol.windowed for symbol in symbols):
            return _WINDOWED
        if symbols and all(symbol.code.startswith("f.") for symbol in symbols):
            return CHEAP if self._usual(operand) else UNLIKELY
        return _FETCHED if any(symbol.costly for symbol in symbols) else CHEAP

    def _symbol(self, name: str) -> Symbol | None:
        scope = self.scope
        of_limits = (*scope.limits.values(), *scope.waits.values())
        return scope.symbols.get(name) or next((symbol for symbol in of_limits if symbol.name == name), None)

    def _usual(self, operand: Operand) -> bool:
        """Whether an operand about a text holds for an ordinary one."""
        facts = {name: _ORDINARY.get(name, _NOTHING[symbol.kind]) for name, symbol in self.scope.symbols.items()}
        names: dict[str, Any] = {THRESHOLD + name: value for name, value in self.thresholds.items()}
        names |= self.catalogue.constants
        names |= {"len": len, "min": min, "max": max, "abs": abs, "f": SimpleNamespace(**facts), "U": _UNSET}
        names |= {local: _UNSET for local, _ in self.scope.locals.values()}
        return bool(eval(operand.true, {"__builtins__": {}}, names))  # noqa: S307 - whitelisted node by node


def _asked_once(lines: list[str]) -> list[str]:
    """The lines with what several of them ask the event for looked up at the top."""
    source = "\n".join(lines)
    if source.count(WHO) < 3:
        return lines
    return ["who = ev.who", *source.replace(WHO, "who").split("\n")]


def _placed(block: Block, stream: Stream) -> Block:
    """An update with the stream's horizon and cap, which only the last feature and rule have settled."""
    horizon, cap = (f"HORIZON_{stream.name}", repr(stream.horizon)), (f"CAP_{stream.name}", str(stream.cap))
    bare = f"BARE_{stream.name}", str(SIZE * min(stream.cap, LET_BE))
    return Block(block.operands, tuple(line.replace(*horizon).replace(*cap).replace(*bare) for line in block.lines))
