"""Why each rule did or did not fire on one event: what its condition asks, part by part, and what became of a hit.

The event is judged as any other, so what is told is what happened. Between the windows and the decision every rule of
the room's strategy is asked again, one part of its condition at a time; asking changes no later answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from roomguard.engine.features import Stream, names_in
from roomguard.engine.outcome import Outcome
from roomguard.engine.rules.language import compile_condition, one_line
from roomguard.engine.rules.operands import parts_of

if TYPE_CHECKING:
    from roomguard.engine.program import Rule, Strategy
    from roomguard.engine.room import RoomGuard
    from roomguard.model.events import Event

Answer = Literal["hit", "false", "unknown", "off", "other kind"]
"""hit: the condition certainly holds; false: it certainly does not; unknown: something that would decide it is missing;
off: the rule is switched off here; other kind: it listens to other events."""
MAX_SHOWN = 100
"""Characters of a text that are shown."""


@attrs.frozen
class Part:
    """One of the conditions that must all hold."""

    text: str
    holds: bool | None
    """None: it cannot be told, because a value is missing."""
    values: Mapping[str, Any]
    """The features and thresholds it names; None for what is missing."""


@attrs.frozen
class RuleExplanation:
    """One rule on one event."""

    rule: str
    mode: str
    answer: Answer
    outcomes: tuple[str, ...] = ()
    """What became of a hit, as `Tally.hits` calls it: enforce, shadow, exempt, grace, budget, rollout, in_force, tier,
    hype."""
    parts: tuple[Part, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """What has no value, of the parts that cannot be told."""
        unknown = (part for part in self.parts if part.holds is None)
        return tuple(dict.fromkeys(name for part in unknown for name, value in part.values.items() if value is None))


@attrs.frozen
class Explanation:
    """One event: how it was judged, and by which rules."""

    event: str
    kind: str
    room: str
    user: str | None
    at: float
    strategy: str
    mode: str
    """The room's mode when it was judged."""
    cohort: bool
    """Whether the user was of the wave behind that mode, and judged by its numbers."""
    unjudged: str
    """Why no rule was asked, in words; empty where they were."""
    rules: tuple[RuleExplanation, ...]
    outcome: Outcome
    """What `receive` answers."""


def explain(room: RoomGuard, event: Event, now: float) -> Explanation:
    """Judge an event and tell of each rule why it did or did not fire."""
    due = room.expire(now)
    kind = str(event.__struct_config__.tag)
    watch = _Watch(kind, room.steps)
    hits, dropped, duplicates = Counter(room.tally.hits), room.tally.dropped, room.tally.duplicates
    room.judge_by(watch.steps)
    outcome = room.receive(event, now)
    if room.steps is watch.steps:
        room.judge_by(watch.usual)
    unjudged = ""
    if room.tally.dropped > dropped:
        unjudged = "a penalty in force drops it"
    elif room.tally.duplicates > duplicates:
        unjudged = "it was taken before"
    elif not watch.asked:
        unjudged = "it counts for nothing, or no rule listens to its kind"
    return Explanation(
        event.id, kind, room.room, getattr(event, "user", None), room.now,
        (watch.strategy or room.strategy).name, watch.mode or room.stance.mode, watch.cohort, unjudged,
        tuple(_with_outcomes(rule, room.tally.hits - hits) for rule in watch.rules),
        attrs.evolve(outcome, actions=due.actions + outcome.actions, alerts=due.alerts + outcome.alerts),
    )  # fmt: skip


def _with_outcomes(rule: RuleExplanation, hits: Counter[tuple[str, str]]) -> RuleExplanation:
    return attrs.evolve(rule, outcomes=tuple(sorted(outcome for name, outcome in hits if name == rule.rule)))


class _Watch:
    """Stands in for the step of one kind: does what it does, then asks every rule part by part."""

    def __init__(self, kind: str, steps: Mapping[str, Callable[..., tuple[int, ...]]]) -> None:
        self.kind = kind
        self.usual = steps
        self.steps = {**steps, kind: self._step} if kind in steps else dict(steps)
        self.asked = False
        self.strategy: Strategy | None = None
        self.mode = ""
        self.cohort = False
        self.rules: list[RuleExplanation] = []

    def _step(self, room: RoomGuard, slots: Any, user: Any, *more: Any) -> tuple[int, ...]:
        levels = _Levels(room, slots, user)
        hits = self.usual[self.kind](room, slots, user, *more)
        self.asked = True
        self.strategy = room.stance.judging(room, user)
        self.mode = room.stance.mode
        self.cohort = user.first >= room.stance.wave_since
        asked = _Asked(self.kind, self.strategy, room, levels.over(self.kind), (room, slots, user, *more))
        self.rules = [asked.explained(rule, hit=rule.index in hits) for rule in self.strategy.rules]
        return hits


class _Levels:
    """The levels of gcra limits before an event: what is over a limit does not fill it, which is how it can be told."""

    def __init__(self, room: RoomGuard, slots: Any, user: Any) -> None:
        self._room = room
        self._slots = slots
        self._user = user
        streams = room.program.streams
        self._before = {name: self._level(stream) for name, stream in streams.items() if stream.shape == "number"}

    def _level(self, stream: Stream) -> float:
        user = self._user
        place = self._slots if stream.place == "room" else user if stream.often else user.more or user.nothing
        level: float = getattr(place, stream.name)
        return level

    def over(self, kind: str) -> dict[str, bool]:
        """Which flags of generated code were up at this event, asked after it."""
        program = self._room.program
        flags: dict[str, bool] = {}
        for name, limit in program.catalogue.limits.items():
            stream = limit.stream
            if stream.name in self._before and kind in limit.events:
                free = program.settings.limits[name].weights.get(kind) == 0 or (
                    kind == "gift" and not self._room.opening
                )
                flags[limit.symbol.code] = not free and self._level(stream) == self._before[stream.name]
        return flags


@attrs.frozen
class _Asked:
    """One event under one strategy, ready to be asked about."""

    kind: str
    strategy: Strategy
    room: RoomGuard
    flags: Mapping[str, bool]
    arguments: tuple[Any, ...]

    def explained(self, rule: Rule, *, hit: bool) -> RuleExplanation:
        if rule.mode == "off":
            return RuleExplanation(rule.name, rule.mode, "off")
        if self.kind not in rule.settings.on:
            return RuleExplanation(rule.name, rule.mode, "other kind")
        parts = tuple(self._part(text) for text in parts_of(rule.settings.when))
        answer: Answer = "hit" if hit else "false" if any(part.holds is False for part in parts) else "unknown"
        return RuleExplanation(rule.name, rule.mode, answer, (), parts)

    def _part(self, text: str) -> Part:
        thresholds = self.strategy.thresholds
        scope = self.room.program.catalogue.rule_scope(self.kind, thresholds)
        condition = compile_condition(text, scope)
        of_limits = {symbol.name: symbol for symbol in (*scope.limits.values(), *scope.waits.values())}
        names = {name: (scope.symbols.get(name) or of_limits[name]).code for name in condition.symbols}
        told = ", ".join(f"{name!r}: {code}" for name, code in names.items())
        flags = ", ".join(f"{name}={up}" for name, up in self.flags.items())
        source = (
            f"def part(room, slots, user, subject, ev, f, fresh, now, {flags}):\n"
            f"    return bool({condition.true}), bool({condition.false}), {{{told}}}\n"
        )
        functions: dict[str, Callable[..., tuple[bool, bool, dict[str, Any]]]] = {}
        namespace = dict(self.strategy.namespace)
        exec(compile(source, "<part of a rule>", "exec"), namespace, functions)  # noqa: S102 - our own, as in `program`
        true, false, values = functions["part"](*self.arguments)
        named = {name: thresholds[name] for name in sorted(names_in(text) & thresholds.keys())}
        shown = {name: _shown(value) for name, value in values.items()}
        return Part(" ".join(one_line(text).split()), True if true else False if false else None, {**shown, **named})


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        value = ", ".join(value)
    return value[:MAX_SHOWN] if isinstance(value, str) else value
