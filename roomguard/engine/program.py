"""Settings compiled into what a room runs: for each strategy and event kind one Python function.

The function first brings the windows up to date (the current event included), then asks every rule, each feature at
most once and only if a rule needs it. Nothing is computed for features that no rule asks for. Windows belong to the
whole program, not to a strategy, so a room can change its strategy without losing its past.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
from collections.abc import Callable, Iterable, Mapping
from math import ceil, inf
from typing import Any

import attrs
import msgspec
import re2

from roomguard.engine import windows
from roomguard.engine.features import (
    BEHIND,
    JUDGED_KINDS,
    MOST_ASKED,
    MOST_USER_ENTRIES,
    ROOM_WINDOWS,
    Catalogue,
    Stream,
    limit_of,
    names_in,
    usable_name,
)
from roomguard.engine.gates import Gate
from roomguard.engine.pace import paced
from roomguard.engine.reasons import Reasons
from roomguard.engine.rules.language import (
    THRESHOLD,
    Condition,
    RuleError,
    Scope,
    compile_condition,
    nearest,
)
from roomguard.engine.schedule import Hours, parse_hours
from roomguard.engine.settings import (
    ElevatedSettings,
    EngineSettings,
    LadderSettings,
    Mode,
    RuleSettings,
    StrategySettings,
    TierSettings,
)
from roomguard.engine.steps import ARGUMENTS, FLAGS, StepWriter
from roomguard.engine.text.analyser import Analyser
from roomguard.engine.text.facts import Facts
from roomguard.engine.text.model import TextModel
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.traces import Traced, push_trace, said_again
from roomguard.engine.users import CLASSES, Field, People
from roomguard.engine.variants import Variants, rebind

MAX_RULES = 1_000
"""Rules of one configuration."""
HEADROOM = 4
"""Windows keep so many times what a threshold asks for, so that an override, a tier or hype may raise a threshold."""


@attrs.frozen
class RuleProblem:
    """One thing wrong with what is judged by; `table` and `key` say where in config.toml."""

    table: str
    index: int | None
    key: str
    message: str


class RuleErrors(Exception):
    """Everything that is wrong with the judging settings."""

    def __init__(self, problems: list[RuleProblem]) -> None:
        super().__init__(
            "; ".join(f"{p.table}{'' if p.index is None else p.index}.{p.key}: {p.message}" for p in problems)
        )
        self.problems = problems


@attrs.frozen
class Step:
    """One rung of a ladder, or what a rule asks for."""

    kind: str
    duration_s: float | None


Probe = Callable[..., tuple[bool, bool, dict[str, Any]]]
"""(certainly true, certainly false, feature values): for evidence and for explaining."""


@attrs.frozen
class Rule:
    """A rule as one strategy sees it."""

    index: int
    name: str
    settings: RuleSettings
    mode: Mode
    reason: str
    windowed: bool
    probes: Mapping[str, Probe]
    clusters: Mapping[str, Callable[..., windows.Members | None]]
    """Event kind to the window of the users that a cluster decision hits."""
    waits: tuple[str, ...] = ()
    """The waits it asks for: `delay` lets a message wait for the longest of them."""


StepFunction = Callable[..., tuple[int, ...]]
"""Brings the windows up to date and tells which rules hit, by index."""


@attrs.frozen
class Strategy:
    """A named profile, compiled. `steps` maps an event kind to its function; a kind nobody listens to has none."""

    name: str
    rules: tuple[Rule, ...]
    steps: Mapping[str, StepFunction]
    source: str
    thresholds: Mapping[str, float]
    """Every threshold as it holds here."""
    namespace: Mapping[str, Any] = attrs.field(repr=False, eq=False)
    """What its functions name: see `engine.variants`."""
    path: tuple[Any, ...] = attrs.field(repr=False, eq=False)
    """How it came to be: the strategy's name, then what was changed."""
    gates: tuple[Gate, ...] = attrs.field(default=(), repr=False, eq=False)
    """What its code takes to keep ordinary messages from rules; see `engine.gates`."""


@attrs.frozen
class Tier:
    """Users treated with more care; `holds` takes the arguments of a probe."""

    name: str
    settings: TierSettings
    holds: Probe


@attrs.frozen
class Program:
    """All a room needs to judge. Immutable and shared by every room."""

    version: str
    settings: EngineSettings
    strategies: Mapping[str, Strategy]
    ladders: Mapping[str, tuple[Step, ...]]
    analyser: Analyser
    model: TextModel | None
    """What `text_spam` is asked of; settings only name its file."""
    reasons: Reasons
    people: People
    slots_class: type[Any]
    """The room-wide windows of one room, each None until its first event: most rooms need few of them."""
    streams: Mapping[str, Stream]
    catalogue: Catalogue
    longest_window: float
    tiers: tuple[Tier, ...]
    hype: Probe | None
    """Whether the crowd is excited, for a chat event; None where nothing depends on it."""
    hours: Mapping[str, Hours]
    """Strategy to the hours it holds in."""
    shared: frozenset[str]
    """Thresholds that decide what features count: no strategy and no override may change them."""
    variants: Variants = attrs.field(factory=Variants, eq=False)
    facts: Callable[..., Facts] = attrs.field(init=False, eq=False, repr=False)
    """`analyser.facts`, for every room to have at hand: with a bound method for each, 50,000 of them were new to the
    garbage collector at once after a reload, which took it 30 ms."""

    @facts.default
    def _facts(self) -> Callable[..., Facts]:
        return self.analyser.facts

    def new_window(self, name: str) -> Any:
        """The window of a room-wide stream, empty."""
        return _window_of(self.streams[name], self.settings.caps.texts)

    def keeps_window(self, name: str, before: Program) -> bool:
        """Whether a room-wide window of `before` is one of this program's too, just as it is."""
        stream = self.streams.get(name)
        return stream is not None and _made_as(stream, self) == _made_as(before.streams[name], before)

    def strategy_for(
        self,
        tags: tuple[str, ...],
        lang: str | None,
        region: str | None,
        viewers: int | None = None,
        now: float = -inf,
    ) -> Strategy:
        """The first strategy that fits the room's tags, language or region, its size and the hour; else "default"."""
        forced = self.settings.force_strategy
        if forced:
            return self.strategies[forced]
        if not tags and lang is None and region is None and viewers is None and not self.hours:
            return self.strategies["default"]  # nothing is known of the room, as of any before its first `room_open`
        base = lang.partition("-")[0] if lang else None
        for name, settings in self.settings.strategies.items():
            named = bool(settings.tags or settings.langs or settings.regions)
            sized = settings.viewers_min > 0 or settings.viewers_max > 0
            hours = self.hours.get(name)
            if not (named or sized or hours):
                continue
            spoken = lang in settings.langs or base in settings.langs
            if named and not (spoken or region in settings.regions or set(settings.tags) & set(tags)):
                continue
            if sized and not _has_size(settings, viewers):
                continue
            if hours is None or hours.hold(now):
                return self.strategies[name]
        return self.strategies["default"]

    def next_hours(self, now: float) -> float:
        """Room time of the next change of hours after `now`; infinite where no strategy has any."""
        if not self.hours or self.settings.force_strategy:
            return inf
        return min((hours.next_edge(now) for hours in self.hours.values()), default=inf)


def _has_size(settings: StrategySettings, viewers: int | None) -> bool:
    """A room of unknown size has none of the sizes that can be asked for."""
    if viewers is None or viewers < settings.viewers_min:
        return False
    return not settings.viewers_max or viewers <= settings.viewers_max


def _window_of(stream: Stream, texts: int) -> Any:
    factory = ROOM_WINDOWS[stream.shape]
    if stream.traced:
        return Traced(factory, stream.horizon, stream.cap, texts)
    if stream.keyed:
        return windows.Keyed(factory, stream.horizon, stream.cap, texts)
    return factory(stream.horizon, stream.cap)


def _made_as(stream: Stream, program: Program) -> tuple[object, ...]:
    """What `_window_of` makes a window from."""
    return stream.shape, stream.traced, stream.keyed, stream.horizon, stream.cap, program.settings.caps.texts


@functools.lru_cache(maxsize=2)
def _analyser_of(words: WordSettings, model: TextModel | None) -> Analyser:
    """The analyser of these words; after a reload that left them alone the same one, with the texts it knows."""
    return Analyser(words, model)


def version_of(settings: EngineSettings, model: TextModel | None = None) -> str:
    """The configuration version: a hash of everything that can change a decision, whatever order it was written in."""
    plain = attrs.asdict(settings)
    # Not where the model lies decides, but what is in it.
    plain["words"]["model_file"] = "" if model is None else model.digest
    return hashlib.blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=6).hexdigest()


def compile_program(settings: EngineSettings, model: TextModel | None = None) -> Program:
    """Compile the judging settings; `model` is what is in the file they name. Raises RuleErrors with all problems."""
    if "default" not in settings.ladders:
        settings = attrs.evolve(settings, ladders={"default": LadderSettings(), **settings.ladders})
    return _Builder(settings, model).build()


def parse_step(text: str) -> Step:
    """A ladder's step: "warn", "delete", "mute 600", "kick" or "kick 60". Raises RuleError."""
    word, _, number = text.strip().partition(" ")
    words = ["warn", "delete", "mute", "kick"]
    if word not in words:
        raise RuleError(f"{text!r} is no step; write warn, delete, mute SECONDS or kick{nearest(word, words)}")
    try:
        seconds = float(number) if number.strip() else None
    except ValueError:
        seconds = -1.0
    if seconds is not None and not 0 < seconds < inf:
        raise RuleError(f"{number!r} is no number of seconds")
    if word == "mute" and seconds is None:
        raise RuleError("mute needs a number of seconds")
    return Step(word, seconds)


@attrs.define
class _Compiled:
    """One rule on one event kind under one strategy."""

    rule: RuleSettings
    index: int
    condition: Condition


class _Builder:
    """Collects every problem on the way, and raises them together at the end."""

    def __init__(self, settings: EngineSettings, model: TextModel | None) -> None:
        self.settings = settings
        self.model = model
        self.problems: list[RuleProblem] = []
        self.constants: dict[str, Any] = {}
        clusters = frozenset(rule.cluster for rule in settings.rules if rule.cluster)
        self.catalogue = Catalogue(settings.caps, settings.thresholds, self.constants, clusters, settings.exempt.roles)
        self.used: dict[str, None] = {}
        self.bounds: dict[str, float] = {}
        self.movable: dict[str, None] = {}

    def problem(self, table: str, index: int | None, key: str, message: str) -> None:
        self.problems.append(RuleProblem(table, index, key, message))

    def build(self) -> Program:
        settings = self.settings
        self._declare()
        ladders = self._ladders()
        self._check_rules()
        names = ["default", *(name for name in settings.strategies if name != "default")]
        if settings.force_strategy and settings.force_strategy not in names:
            message = f"there is no strategy {settings.force_strategy!r}{nearest(settings.force_strategy, names)}"
            self.problem("", None, "force_strategy", message)
        compiled = {name: self._conditions(name) for name in names}
        hours = self._hours()
        tiers = self._tiers()
        hype = self._hype()
        self._check_modes()
        analyser = self._analyser()
        if self.problems:
            raise RuleErrors(self.problems)
        streams = self._streams()
        strategies = self._strategies(names, compiled, streams)
        return Program(
            version=version_of(settings, self.model),
            settings=settings,
            strategies=strategies,
            ladders=ladders,
            analyser=analyser,
            model=self.model,
            reasons=Reasons(settings.reasons),
            people=_people(streams, settings.caps.causes),
            slots_class=_slots_class(
                tuple((one.name, one.shape == "number") for one in streams.values() if one.place == "room")
            ),
            streams=streams,
            catalogue=self.catalogue,
            longest_window=max((s.horizon for s in streams.values() if s.horizon < inf), default=0.0),
            tiers=tiers,
            hype=hype,
            hours=hours,
            shared=frozenset(self._shared()),
        )

    # --- what depends on the room and its people ---------------------------------------------------------------

    def _hours(self) -> dict[str, Hours]:
        hours: dict[str, Hours] = {}
        for name, strategy in self.settings.strategies.items():
            if not strategy.hours:
                continue
            try:
                hours[name] = parse_hours(strategy.hours)
            except RuleError as error:
                self.problem(f"strategies.{name}", None, "hours", error.message)
        return hours

    def _tiers(self) -> tuple[Tier, ...]:
        """Each tier with the function that says whether a user is of it; evaluated on hits alone."""
        tiers: list[Tier] = []
        for number, (name, settings) in enumerate(self.settings.tiers.items()):
            table = f"tiers.{name}"
            self._check_names(table, "scale", settings.scale)
            # Of a leave: it has all that is known of a user, and nothing that is said.
            scope = self.catalogue.plain_scope("leave")
            holds = self._asked(table, f"tier_{number}", settings.when, scope)
            if holds is not None:
                tiers.append(Tier(name, settings, holds))
        return tuple(tiers)

    def _hype(self) -> Probe | None:
        settings = self.settings.hype
        self._check_names("hype", "scale", settings.scale)
        if not settings.when.strip() or not settings.scale:
            return None
        return self._asked("hype", "hype", settings.when, self.catalogue.rule_scope("chat", self.settings.thresholds))

    def _asked(self, table: str, name: str, when: str, scope: Scope) -> Probe | None:
        """A condition that is no rule's, as a function; None and a problem if it cannot be compiled."""
        try:
            condition = compile_condition(when, scope)
        except RuleError as error:
            self.problem(table, None, "when", str(error))
            return None
        limits = [symbol for symbol in condition.symbols if limit_of(symbol) is not None]
        if limits:
            self.problem(table, None, "when", f"{limits[0]} can only be asked in a rule")
            return None
        self.used.update(dict.fromkeys(condition.symbols))
        for symbol, bound in scope.bounds.items():
            self.bounds[symbol] = max(bound, self.bounds.get(symbol, 0.0))
        self.movable.update(scope.movable)
        head = f"def {name}{ARGUMENTS}:"
        source = f"{head}\n    return bool({condition.true})\n"
        functions, _ = self._run(f"<{table}>", source, {})
        return functions[name]

    def _check_modes(self) -> None:
        rules = {rule.name for rule in self.settings.rules}
        for name in ("elevated", "raid"):
            settings: ElevatedSettings = getattr(self.settings.modes, name)
            table = f"modes.{name}"
            self._check_names(table, "thresholds", settings.thresholds)
            self._check_names(table, "scale", settings.scale)
            for rule in settings.modes:
                if rule not in rules:
                    self.problem(table, None, "modes", f"there is no rule {rule!r}{nearest(rule, sorted(rules))}")

    def _check_names(self, table: str, key: str, names: Iterable[str]) -> None:
        """Thresholds that are set otherwise must exist, and must not decide what a feature counts."""
        shared = self._shared()
        for name in names:
            if name not in self.settings.thresholds:
                hint = nearest(name, list(self.settings.thresholds))
                self.problem(table, None, key, f"there is no threshold {name!r}{hint}")
            elif name in shared:
                message = f"{name!r} decides what a feature counts, which all strategies share"
                self.problem(table, None, key, message)

    def _shared(self) -> set[str]:
        """Thresholds named in what features count."""
        features = self.settings.features.values()
        words = names_in(*(text for feature in features for text in (feature.where, feature.of)))
        return words & set(self.settings.thresholds)

    def _analyser(self) -> Analyser:
        try:
            return _analyser_of(self.settings.words, self.model)
        except re2.error as error:
            self.problem("words", None, "regex", f"RE2 does not take a pattern: {error}")
            return Analyser(WordSettings())

    def _declare(self) -> None:
        for name, value in self.settings.thresholds.items():
            if not usable_name(name):
                self.problem("thresholds", None, name, "cannot be written in a rule; use letters, digits and _")
            if name in self.catalogue.entries:
                self.problem("thresholds", None, name, "is the name of a built-in feature")
            if not -(2**53) <= value <= 2**53:
                self.problem("thresholds", None, name, "must be a number within 2**53")
        for name, feature in self.settings.features.items():
            try:
                self.catalogue.declare(name, feature)
            except RuleError as error:
                key = error.key or ("where" if feature.where else "kind")
                self.problem(f"features.{name}", None, key, error.message)
        for name, limit in self.settings.limits.items():
            try:
                self.catalogue.limit(name, limit)
            except RuleError as error:
                self.problem(f"limits.{name}", None, error.key or "rate", error.message)

    def _ladders(self) -> dict[str, tuple[Step, ...]]:
        ladders: dict[str, tuple[Step, ...]] = {}
        for name, ladder in self.settings.ladders.items():
            try:
                ladders[name] = tuple(parse_step(step) for step in ladder.steps)
            except RuleError as error:
                self.problem(f"ladders.{name}", None, "steps", error.message)
            if not ladder.steps:
                self.problem(f"ladders.{name}", None, "steps", "a ladder needs at least one step")
        return ladders

    def _check_rules(self) -> None:
        rules = self.settings.rules
        if len(rules) > MAX_RULES:
            self.problem("rules", None, "", f"more than {MAX_RULES} rules")
        seen: set[str] = set()
        for index, rule in enumerate(rules):
            if rule.name in seen:
                self.problem("rules", index, "name", f"{rule.name!r} is taken by another rule")
            seen.add(rule.name)
            if not rule.on:
                self.problem("rules", index, "on", "name at least one event kind, or the rule never runs")
            for kind in rule.on:
                if kind not in JUDGED_KINDS:
                    hint = nearest(kind, list(JUDGED_KINDS))
                    self.problem("rules", index, "on", f"{kind!r} is no event kind rules can listen to{hint}")
            if "ladder" in rule.action and rule.ladder not in self.settings.ladders:
                message = f"there is no ladder {rule.ladder!r}{nearest(rule.ladder, list(self.settings.ladders))}"
                self.problem("rules", index, "ladder", message)
            if "delay" in rule.action and (rule.on != ("chat",) or "wait_s" not in names_in(rule.when)):
                message = 'delay goes with on = ["chat"] and a `when` that asks wait_s("LIMIT") how long'
                self.problem("rules", index, "action", message)
            if rule.cluster:
                self._check_cluster(index, rule)
        self._check_strategies(seen)

    def _check_strategies(self, rules: set[str]) -> None:
        for name, strategy in self.settings.strategies.items():
            for rule_name in strategy.modes:
                if rule_name not in rules:
                    message = f"there is no rule {rule_name!r}{nearest(rule_name, sorted(rules))}"
                    self.problem(f"strategies.{name}", None, "modes", message)
            self._check_names(f"strategies.{name}", "thresholds", strategy.thresholds)

    def _check_cluster(self, index: int, rule: RuleSettings) -> None:
        feature = self.settings.features.get(rule.cluster)
        if feature is None:
            hint = nearest(rule.cluster, list(self.settings.features))
            self.problem("rules", index, "cluster", f"no declared feature is named {rule.cluster!r}{hint}")
        elif feature.kind != "distinct" or feature.of not in ("", "user") or feature.key == "user":
            message = "must be a distinct count of users, kept for a text, a domain, a device, a net or the room"
            self.problem("rules", index, "cluster", message)
        elif "delete" in rule.action and set(feature.events) != {"chat"}:
            self.problem("rules", index, "cluster", "a rule that deletes needs a count over chat alone")
        elif (declared := self.catalogue.declared.get(rule.cluster)) is not None:
            for kind in rule.on:
                if kind in JUDGED_KINDS and kind not in declared.readable:
                    self.problem("rules", index, "cluster", f"{rule.cluster!r} says nothing of a {kind} event")

    def _conditions(self, strategy_name: str) -> dict[str, list[_Compiled]]:
        strategy = self.settings.strategies.get(strategy_name)
        thresholds = {**self.settings.thresholds, **(strategy.thresholds if strategy else {})}
        modes = strategy.modes if strategy else {}
        compiled: dict[str, list[_Compiled]] = {kind: [] for kind in JUDGED_KINDS}
        for index, rule in enumerate(self.settings.rules):
            if modes.get(rule.name, rule.mode) == "off":
                continue
            for kind in dict.fromkeys(rule.on):
                if kind in compiled:
                    self._condition(compiled[kind], index, rule, kind, thresholds)
        return compiled

    def _condition(
        self, into: list[_Compiled], index: int, rule: RuleSettings, kind: str, thresholds: Mapping[str, float]
    ) -> None:
        scope = self.catalogue.rule_scope(kind, thresholds)
        try:
            condition = compile_condition(rule.when, scope)
        except RuleError as error:
            self._rule_problem(index, str(error))
            return
        for name, bound in scope.bounds.items():
            self._check_reach(index, name, bound)
            self.movable.update(scope.movable)
            self.bounds[name] = max(bound, self.bounds.get(name, 0.0))
        self.used.update(dict.fromkeys(condition.symbols))
        if rule.cluster:
            self.used[rule.cluster] = None
        into.append(_Compiled(rule, index, condition))

    def _check_reach(self, index: int, name: str, bound: float) -> None:
        """A comparison that a cap makes pointless is a mistake of the author, not a rule that never fires."""
        most = MOST_ASKED.get(name, inf)
        if most < bound < inf:
            self._rule_problem(index, f"{name} can be compared with {most} at most, not with {bound:g}")
        feature = self.catalogue.declared.get(name)
        if feature is None or bound == inf or bound < feature.reach:
            return
        self._rule_problem(
            index, f"{name} is counted up to {feature.reach:g} only, so it cannot be compared with {bound:g}"
        )

    def _rule_problem(self, index: int, message: str) -> None:
        """A problem of a condition, once however many strategies it is read for."""
        problem = RuleProblem("rules", index, "when", message)
        if problem not in self.problems:
            self.problems.append(problem)

    def _streams(self) -> dict[str, Stream]:
        """The streams somebody asks for, each with the cap its rules need to be exact."""
        streams: dict[str, Stream] = {}
        needs: dict[str, list[float]] = {}
        for name in self.used:
            for feature in self.catalogue.find(name):
                streams[feature.stream.name] = feature.stream
                if limit_of(name) is None:  # a limit knows its own cap
                    bound = self.bounds.get(name, inf) if feature.counts else inf
                    if name in self.movable and bound < inf:
                        bound = max(bound, min(HEADROOM * bound, MOST_USER_ENTRIES - 2))
                    needs.setdefault(feature.stream.name, []).append(bound)
        for name, bounds in needs.items():
            stream = streams[name]
            if stream.place == "user" and stream.shape == "times":
                # A count compared with T only needs the last T + 1 entries; what is not compared gets the usual cap.
                usual = stream.cap if inf in bounds else 1
                stream.cap = max(usual, *(ceil(bound) + 2 for bound in bounds if bound < inf), 1)
        return dict(sorted(streams.items()))

    # --- source ------------------------------------------------------------------------------------------------

    def _strategies(
        self, names: list[str], compiled: Mapping[str, Mapping[str, list[_Compiled]]], streams: Mapping[str, Stream]
    ) -> dict[str, Strategy]:
        """Strategies with the same rules switched off share their code, each with its own numbers."""
        strategies: dict[str, Strategy] = {}
        by_rules: dict[frozenset[str], Strategy] = {}
        for name in names:
            settings = self.settings.strategies.get(name)
            own = settings.modes if settings else {}
            modes = {rule.name: own.get(rule.name, rule.mode) for rule in self.settings.rules}
            off = frozenset(rule for rule, mode in modes.items() if mode == "off")
            before = by_rules.get(off)
            if before is None:
                by_rules[off] = strategies[name] = self._strategy(name, compiled[name], streams)
            else:
                thresholds = {**self.settings.thresholds, **(settings.thresholds if settings else {})}
                strategies[name] = rebind(before, name, thresholds, modes, (name,))
        return strategies

    def _strategy(self, name: str, compiled: Mapping[str, list[_Compiled]], streams: Mapping[str, Stream]) -> Strategy:
        settings = self.settings.strategies.get(name)
        modes = settings.modes if settings else {}
        thresholds = {**self.settings.thresholds, **(settings.thresholds if settings else {})}
        lines: list[str] = []
        gates: list[Gate] = []
        for kind in JUDGED_KINDS:
            asked = [(item.index, item.rule.name, item.rule.when) for item in compiled[kind]]
            writer = StepWriter(kind, self.catalogue, thresholds)
            lines += writer.source(streams, asked)
            gates += writer.gates
            for item in compiled[kind]:
                lines += self._probe_source(kind, item, thresholds)
        source = "\n".join(lines) + "\n"
        functions, namespace = self._run(f"<rules of {name}>", source, thresholds)
        steps = {kind: functions[f"step_{kind}"] for kind in JUDGED_KINDS if f"step_{kind}" in functions}
        rules = tuple(
            self._rule(index, rule, modes, compiled, functions) for index, rule in enumerate(self.settings.rules)
        )
        return Strategy(name, rules, steps, source, thresholds, namespace, (name,), tuple(gates))

    def _run(
        self, filename: str, source: str, thresholds: Mapping[str, float]
    ) -> tuple[Mapping[str, Callable[..., Any]], Mapping[str, Any]]:
        """The functions of generated source, and what they name. It is of whitelisted syntax; see `rules.language`.

        They do not stand in their own namespace: after a reload nobody but the garbage collector could free them.
        """
        namespace: dict[str, Any] = {
            "__builtins__": {"len": len, "min": min, "max": max, "abs": abs, "bool": bool},
            "U": msgspec.UNSET,
            **dict.fromkeys(FLAGS, False),
            **{name: getattr(windows, name) for name in _HELPERS},
            "said_again": said_again,
            "paced": paced,
            "push_trace": push_trace,
            **self.constants,
            **{THRESHOLD + name: value for name, value in thresholds.items()},
        }
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        functions: dict[str, Callable[..., Any]] = {}
        exec(compile(source, filename, "exec"), namespace, functions)  # noqa: S102 - our own source, node by node
        return functions, namespace

    def _rule(
        self, index: int, rule: RuleSettings, modes: Mapping[str, Mode], compiled: Mapping[str, list[_Compiled]],
        functions: Mapping[str, Callable[..., Any]],
    ) -> Rule:  # fmt: skip
        items = [item for kind in JUDGED_KINDS for item in compiled[kind] if item.index == index]
        windowed = any(
            name in self.catalogue.declared or limit_of(name) is not None
            for item in items
            for name in item.condition.symbols
        )
        probes = {kind: functions[f"probe_{kind}_{index}"] for kind in rule.on if f"probe_{kind}_{index}" in functions}
        clusters = {
            kind: functions[f"cluster_{kind}_{index}"] for kind in rule.on if f"cluster_{kind}_{index}" in functions
        }
        mode = modes.get(rule.name, rule.mode)
        waits = tuple(
            dict.fromkeys(name for item in items for name in item.condition.symbols if name.startswith("wait_s("))
        )
        return Rule(index, rule.name, rule, mode, rule.reason or rule.name, windowed, probes, clusters, waits)

    def _probe_source(self, kind: str, item: _Compiled, thresholds: Mapping[str, float]) -> list[str]:
        """A function that tells truth, falsehood and the values behind them; and for clusters the users meant."""
        scope = self.catalogue.rule_scope(kind, thresholds)
        scope.by_name = True
        condition = compile_condition(item.rule.when, scope)
        of_limits = (*scope.limits.values(), *scope.waits.values())
        symbols = {**scope.symbols, **{symbol.name: symbol for symbol in of_limits}}
        told = dict.fromkeys([*condition.symbols, *(BEHIND[name] for name in condition.symbols if name in BEHIND)])
        values = ", ".join(f"{name!r}: {symbols[name].code}" for name in told)
        # Gcra flags exist only inside the step; what it saw is what the room's level says just after it.
        flags = sorted({symbols[name].code for name in condition.symbols if symbols[name].code.startswith("o_")})
        lines = [f"def probe_{kind}_{item.index}{ARGUMENTS}:"]
        lines += _indent([f"{flag} = True" for flag in flags])
        lines += _indent([f"return bool({condition.true}), bool({condition.false}), {{{values}}}"])
        if item.rule.cluster:
            feature = self.catalogue.declared[item.rule.cluster]
            found = self.catalogue.window_source(feature.stream, self.settings.features[item.rule.cluster].key)
            lines += [f"def cluster_{kind}_{item.index}{ARGUMENTS}:", f"    return {found}"]
        return lines


_HELPERS = ("since", "pack", "push", "push_pair", "same", "total", "different", "mean_gap", "regularity", "share")


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


@functools.lru_cache(maxsize=CLASSES)
def _slots_class(kept: tuple[tuple[str, bool], ...]) -> type[Any]:
    """The class of what a room keeps: the names, and of each whether it is a number."""
    fields: list[Any] = [(name, float, 0.0) if is_number else (name, Any, None) for name, is_number in kept]
    return msgspec.defstruct("Slots", fields, gc=False)


def _people(streams: Mapping[str, Stream], causes: int) -> People:
    """Users as this program keeps them."""
    kept = [stream for stream in streams.values() if stream.place == "user"]
    fields = tuple(Field(stream.name, stream.shape, stream.often) for stream in kept if not stream.chats)
    chats = next((stream for stream in kept if stream.chats), None)
    if chats is None:
        return People(fields, "", 0.0, 1, causes)
    return People(fields, chats.name, chats.horizon, chats.cap, causes)
