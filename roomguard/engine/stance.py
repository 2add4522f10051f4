"""How a room judges at present: which strategy, under which overrides, in which mode; and what it is about to do.

The strategy is chosen anew only when something that it depends on changes: the room opens, its size or the hour
changes, an override begins or ends, the mode changes. All of that ends by deadlines in room time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

import attrs

from roomguard.engine import modes
from roomguard.engine.jitter import Pending
from roomguard.engine.outcome import Alert
from roomguard.engine.overrides import MAX_OVERRIDE_S, MAX_OVERRIDES, USUAL_S, Override, judged_by, named
from roomguard.model.events import NEVER

if TYPE_CHECKING:
    from roomguard.engine.program import Program, Strategy
    from roomguard.engine.room import RoomGuard
    from roomguard.model.actions import Action
    from roomguard.model.events import Control

MAX_LANGS = 1_000
"""Users remembered for a language other than the room's; beyond it the first is forgotten and hears the room's."""
MAX_STRIKELESS = 1_000
"""Actions remembered for having given no strike of their own; beyond it the first is forgotten."""

Step = Callable[..., "tuple[int, ...]"]


class Stance:
    """The stance of one room. Most rooms never have a wave, an override or anything pending."""

    __slots__ = (
        "boundary", "cohort", "evicted", "langs", "mode", "notice_from", "overrides", "pending", "raid_base",
        "strikeless", "wave", "wave_since",
    )  # fmt: skip

    def __init__(self) -> None:
        self.mode: str = "calm"
        self.wave_since = inf
        """Whoever was first seen then or later is of the wave; infinite in a calm room."""
        self.cohort: Strategy | None = None
        """What the wave is judged by."""
        self.wave: modes.Wave | None = None
        self.overrides: tuple[Override, ...] = ()
        self.boundary = inf
        """When the hour changes for some strategy. No timer runs for it: it is made up for by the next input."""
        self.pending: Pending | None = None
        self.notice_from = NEVER
        # Made when first needed: there may be a hundred thousand rooms.
        self.langs: dict[str, str] | None = None
        self.strikeless: dict[str, None] | None = None
        self.evicted = 0
        """Users forgotten at the cap, so that all ever met can be told."""
        self.raid_base = 0
        """How many users had been met when a wave was announced."""

    # --- which strategy ----------------------------------------------------------------------------------------

    def settle(self, room: RoomGuard) -> int:
        """Choose the strategies anew; returns how many names of overrides could not be applied."""
        program = room.program
        strategy = program.strategy_for(room.tags, room.lang, room.region, room.viewers, room.now)
        ignored = 0
        if self.overrides:
            strategy, ignored = judged_by(program, strategy, self.overrides)
        room.strategy = strategy
        self.boundary = program.next_hours(room.now) if room.now > NEVER or not program.hours else NEVER
        self.cohort = None
        steps = strategy.steps
        if self.wave is not None and self.wave.level:
            self.cohort = _of_wave(program, strategy, self.wave.level, room)
            if self.cohort is not strategy:
                steps = _told_apart(strategy.steps, self.cohort.steps)
        room.judge_by(steps)
        return ignored

    def usual(self, room: RoomGuard) -> Strategy:
        """The strategy without what overrides set in it; they may have named another, though."""
        usual = room.program.strategy_for(room.tags, room.lang, room.region, room.viewers, room.now)
        return named(room.program, usual, self.overrides)

    def judging(self, room: RoomGuard, user: Any) -> Strategy:
        """The strategy that a user is judged by."""
        if self.cohort is not None and user.first >= self.wave_since:
            return self.cohort
        return room.strategy

    # --- deadlines ---------------------------------------------------------------------------------------------

    def due(self) -> float:
        """The first deadline for which a timer must run."""
        due = inf if self.pending is None else self.pending.first()
        if self.wave is not None and self.wave.leave_at < due:
            due = self.wave.leave_at
        for override in self.overrides:
            due = min(due, override.until)
        return due

    def run(self, room: RoomGuard, at: float, actions: list[Action], alerts: list[Alert]) -> None:
        """Run the one thing that is due at `at`; room time is there already."""
        if self.pending is not None and self.pending.first() <= at:
            sent = self.pending.pop(room, at)
            for action in sent:
                room.tally.actions[action.rule, action.kind] += 1
            actions += sent
        elif self.wave is not None and self.wave.leave_at <= at:
            actions += modes.step_down(room, at, alerts)
        else:
            before = len(self.overrides)
            self.overrides = tuple(override for override in self.overrides if override.until > at)
            room.tally.overrides["expired"] += before - len(self.overrides)
            self.settle(room)

    # --- control records ---------------------------------------------------------------------------------------

    def override(self, room: RoomGuard, record: Control, now: float, alerts: list[Alert]) -> list[Action]:
        """Take an override; what of it cannot be applied is counted and passed over."""
        settings = dict(record.settings or {})
        if not settings:
            room.tally.overrides["ended"] += len(self.overrides)
            self.overrides = ()
            self.settle(room)
            return self._let_go_of_mode(room, now, alerts)
        ttl_s = USUAL_S if record.ttl_s is None else record.ttl_s
        until = now + min(ttl_s, MAX_OVERRIDE_S)
        if not until > now:
            room.tally.overrides["ignored"] += len(settings)
            return []
        kept = self.overrides[1 - MAX_OVERRIDES :] if len(self.overrides) >= MAX_OVERRIDES else self.overrides
        room.tally.overrides["forgotten"] += len(self.overrides) - len(kept)
        room.tally.overrides["taken"] += 1
        override = Override(until, settings)
        room.tally.overrides["ignored"] += judged_by(room.program, self.usual(room), (override,))[1]
        self.overrides = (*kept, override)
        self.settle(room)
        return self._hold_mode(room, settings.get("room_mode"), now, until, alerts)

    def _hold_mode(self, room: RoomGuard, name: Any, now: float, until: float, alerts: list[Alert]) -> list[Action]:
        if name not in modes.LEVELS:
            return []
        level = modes.LEVELS.index(name)
        if self.wave is None:
            self.wave = modes.Wave()
        wave = self.wave
        actions: list[Action] = []
        wave.held_until = until if level else NEVER
        while wave.level > level:
            actions += modes.step_down(room, now, alerts)
        if level > wave.level:
            actions += modes.enter(room, level, now, f"override-{now!r}", "an operator asks for it", alerts)
        modes.settle_end(room, wave)
        return actions

    def held_calm(self) -> bool:
        """Whether the latest override that names a mode keeps the room calm."""
        for override in reversed(self.overrides):
            if "room_mode" in override.settings:
                return bool(override.settings["room_mode"] == "calm")
        return False

    def _let_go_of_mode(self, room: RoomGuard, now: float, alerts: list[Alert]) -> list[Action]:
        """Nobody holds the mode any more: it lasts as long as it would have by itself."""
        wave = self.wave
        if wave is None or wave.held_until <= now:
            return []
        wave.held_until = NEVER
        modes.settle_end(room, wave)
        return modes.step_down(room, now, alerts) if wave.leave_at <= now else []

    # --- small memories ----------------------------------------------------------------------------------------

    def lang_of(self, user: str, usual: str | None) -> str | None:
        """The language a user was last hit in, else the usual one."""
        return usual if self.langs is None else self.langs.get(user, usual)

    def speaks(self, user: str, lang: str) -> None:
        """Remember a user's language."""
        if self.langs is None:
            self.langs = {}
        if self.langs.get(user) == lang:
            return
        if len(self.langs) >= MAX_LANGS:
            del self.langs[next(iter(self.langs))]
        self.langs[user] = lang

    def gave_no_strike(self, action: str) -> None:
        """Remember that undoing this action takes no strike back: another action of the decision carries it."""
        if self.strikeless is None:
            self.strikeless = {}
        if len(self.strikeless) >= MAX_STRIKELESS:
            del self.strikeless[next(iter(self.strikeless))]
        self.strikeless[action] = None

    # --- at rest -----------------------------------------------------------------------------------------------

    def dump(self) -> Any:
        """Plain data for a snapshot; strategies are found again by `settle`."""
        return {
            "wave_since": None if self.wave_since == inf else self.wave_since,
            "wave": None if self.wave is None else self.wave.dump(),
            "overrides": [attrs.asdict(override) for override in self.overrides],
            "pending": None if self.pending is None else self.pending.dump(),
            "notice": None if self.notice_from == NEVER else self.notice_from,
            "langs": self.langs or {},
            "strikeless": list(self.strikeless or ()),
            "met": [self.evicted, self.raid_base],
        }

    def load(self, room: RoomGuard, data: Any) -> None:
        """What `dump` gave. The room's time, people and program are there already."""
        if data["wave"] is not None:
            self.wave = modes.Wave()
            self.wave.load(data["wave"])
            self.mode = modes.LEVELS[self.wave.level]
            self.wave_since = inf if data["wave_since"] is None else data["wave_since"]
            modes.settle_end(room, self.wave)
        self.overrides = tuple(Override(**override) for override in data["overrides"])
        if data["pending"] is not None:
            self.pending = Pending()
            self.pending.load(data["pending"])
        self.notice_from = NEVER if data["notice"] is None else data["notice"]
        self.langs = dict(data["langs"]) or None
        self.strikeless = dict.fromkeys(data["strikeless"]) or None
        self.evicted, self.raid_base = data["met"]
        self.settle(room)


def _of_wave(program: Program, strategy: Strategy, level: int, room: RoomGuard) -> Strategy:
    """What the wave is judged by: the strategy NAME.MODE if there is one, else the strategy with the mode's numbers."""
    mode = modes.LEVELS[level]
    named = program.strategies.get(f"{strategy.path[0]}.{mode}")
    if named is not None:
        return named
    settings = modes.settings_of(room, level)
    return program.variants.of(strategy, f".{mode}", settings.thresholds, settings.scale, settings.modes)


def _told_apart(known: Mapping[str, Step], wave: Mapping[str, Step]) -> dict[str, Step]:
    """Steps that judge the wave by its own; both bring the same windows up to date."""

    def told_apart(usual: Step, other: Step) -> Step:
        # Named one by one: every event of a room with a wave comes by, and `*` would pack and unpack them.
        def step(  # noqa: PLR0917
            room: RoomGuard, slots: Any, user: Any, subject: str, event: Any, facts: Any, fresh: int, now: float
        ) -> tuple[int, ...]:
            judge = other if user.first >= room.stance.wave_since else usual
            return judge(room, slots, user, subject, event, facts, fresh, now)

        return step

    kinds = [*known, *(kind for kind in wave if kind not in known)]
    return {kind: told_apart(known.get(kind, _nothing), wave.get(kind, _nothing)) for kind in kinds}


def _nothing(*_: Any) -> tuple[int, ...]:
    """The step of a kind that no rule listens to."""
    return ()
