"""Room modes: calm, elevated, raid. A room steps up by itself when rules hit many new users, and down again by itself.

Everything here is driven by hits and by rules that ask for a mode (`raises`), so a room in which nothing happens pays
nothing. A mode is aimed at the wave that caused it: users first seen since shortly before it was noticed. Whoever was
there before is judged as always.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from roomguard.engine.outcome import Alert
from roomguard.engine.settings import ElevatedSettings, RoomMode
from roomguard.model.events import NEVER

if TYPE_CHECKING:
    from roomguard.engine.program import Rule
    from roomguard.engine.room import RoomGuard
    from roomguard.model.actions import Action

LEVELS: tuple[RoomMode, ...] = ("calm", "elevated", "raid")
MAX_HIT_USERS = 512
"""Users hit of late that are remembered, new ones and others each; beyond it the one hit longest ago is forgotten."""
RULE = "modes."
"""What stands before a mode's name where an action names its rule."""


class Wave:
    """Who was hit of late, and what the room makes of it."""

    __slots__ = ("entered", "held_until", "leave_at", "level", "newcomers", "others", "raised_at", "restriction")

    def __init__(self) -> None:
        self.level = 0
        self.entered = NEVER
        self.raised_at = NEVER
        """When a rule last asked for the present mode or a higher one."""
        self.held_until = NEVER
        """An operator holds the mode until then."""
        self.leave_at = inf
        self.newcomers: dict[str, float] = {}
        self.others: dict[str, float] = {}
        self.restriction = ""
        """Id of the restriction that ends with the mode."""

    def hit(self, user: str, now: float, *, new: bool) -> None:
        """Remember that a rule hit a user; the latest stand last."""
        table, other = (self.newcomers, self.others) if new else (self.others, self.newcomers)
        other.pop(user, None)
        table.pop(user, None)
        if len(table) >= MAX_HIT_USERS:
            del table[next(iter(table))]
        table[user] = now

    def forget(self, cutoff: float) -> None:
        """Forget hits that are not later than `cutoff`."""
        for table in (self.newcomers, self.others):
            while table and table[first := next(iter(table))] <= cutoff:
                del table[first]

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        times = (self.entered, self.raised_at, self.held_until)
        return [
            self.level, [None if time == NEVER else time for time in times],
            list(self.newcomers.items()), list(self.others.items()), self.restriction,
        ]  # fmt: skip

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self.level = data[0]
        self.entered, self.raised_at, self.held_until = (NEVER if time is None else time for time in data[1])
        self.newcomers, self.others = dict(map(tuple, data[2])), dict(map(tuple, data[3]))
        self.restriction = data[4]


def settings_of(room: RoomGuard, level: int) -> ElevatedSettings:
    """The settings of a mode above calm."""
    modes = room.program.settings.modes
    return modes.raid if level == 2 else modes.elevated


def note(room: RoomGuard, case: Any, rules: Iterable[Rule], alerts: list[Alert]) -> list[Action]:
    """A user was hit by rules that are in force: step up if that makes a wave; how a restriction may begin."""
    stance, now = room.stance, case.now
    wave = stance.wave
    if wave is None:
        wave = stance.wave = Wave()
    asked = max((LEVELS.index(rule.settings.raises) for rule in rules if rule.settings.raises), default=0)
    if asked and asked >= wave.level:
        wave.raised_at = now
    wanted, why = asked, "a rule asks for it"
    counted = _counted(room, case, wave)
    if counted > asked:
        wanted, why = counted, f"{len(wave.newcomers)} new users were hit"
    if wanted > wave.level and not stance.held_calm():
        return enter(room, wanted, now, case.event.id, why, alerts)
    settle_end(room, wave)
    return []


def _counted(room: RoomGuard, case: Any, wave: Wave) -> int:
    """The level that the users hit within the window call for."""
    settings, now = room.program.settings.modes, case.now
    new = case.user.first >= min(now - settings.new_s, room.stance.wave_since)
    wave.forget(now - settings.window_s)
    wave.hit(case.subject, now, new=new)
    if now - room.opened < settings.settle_s or room.expects_raid(now):
        return 0
    count = len(wave.newcomers)
    if count < settings.new_share * (count + len(wave.others)):
        return 0
    return 2 if count >= settings.raid.hits else int(count >= settings.elevated.hits)


def enter(room: RoomGuard, level: int, now: float, cause: str, why: str, alerts: list[Alert]) -> list[Action]:
    """Step up to a level; its restriction, if it has one, takes the place of the one before."""
    stance = room.stance
    wave = stance.wave
    if wave is None:
        wave = stance.wave = Wave()
    if wave.level == 0:
        stance.wave_since = now - room.program.settings.modes.window_s
    _change(room, wave, level, now, why, alerts)
    settings = settings_of(room, level)
    if not settings.restrict or room.program.settings.mode == "shadow" or now < room.grace_until:
        return []
    actions = _release(room, wave, now)
    if room.restricted_until > now:
        return actions  # somebody else's stands
    from roomguard.engine.decision import build  # noqa: PLC0415 - decision notes hits here; rare enough to import here

    action = build(
        room, "restrict", None, now, None, (cause,), rule_name=RULE + LEVELS[level], reason="raid",
        evidence={"new_users_hit": len(wave.newcomers)}, duration_s=settings.restrict_s,
        mode=settings.restrict, cohort=settings.cohort,
    )  # fmt: skip
    room.restrict(action)
    wave.restriction = action.id
    return [*actions, action]


def step_down(room: RoomGuard, now: float, alerts: list[Alert]) -> list[Action]:
    """One level down; what the mode restricted is lifted if it would last longer."""
    wave = room.stance.wave
    assert wave is not None  # noqa: S101 - only a wave has a time to leave
    wave.forget(now - room.program.settings.modes.window_s)
    actions: list[Action] = []
    if wave.level == 1 or (room.restriction is not None and room.restriction.rule == RULE + LEVELS[wave.level]):
        actions = _release(room, wave, now)
    _change(room, wave, wave.level - 1, now, "it has gone quiet", alerts)
    return actions


def _change(room: RoomGuard, wave: Wave, level: int, now: float, why: str, alerts: list[Alert]) -> None:
    before, wave.level, wave.entered = wave.level, level, now
    stance = room.stance
    stance.mode = LEVELS[level]
    if level == 0:
        stance.wave_since = inf
    settle_end(room, wave)
    room.tally.modes[LEVELS[level]] += 1
    alerts.append(Alert("room_mode", room.room, "", now, f"{LEVELS[before]} to {LEVELS[level]}: {why}"))
    stance.settle(room)


def settle_end(room: RoomGuard, wave: Wave) -> None:
    """When the mode ends if nothing more happens: exact, so that no deadline runs in vain."""
    if wave.level == 0:
        wave.leave_at = inf
        return
    settings, modes = settings_of(room, wave.level), room.program.settings.modes
    end = max(max(wave.entered, wave.raised_at) + settings.dwell_s, wave.held_until)
    keep = max(1, ceil(settings.hits * modes.leave_share))
    if len(wave.newcomers) >= keep:
        end = max(end, list(wave.newcomers.values())[-keep] + modes.window_s)
    wave.leave_at = end


def _release(room: RoomGuard, wave: Wave, now: float) -> list[Action]:
    """Lift the restriction that came with the mode, if it is still in force."""
    restriction, mine = room.restriction, wave.restriction
    wave.restriction = ""
    if restriction is None or restriction.id != mine or room.restricted_until <= now:
        return []
    from roomguard.engine.decision import build  # noqa: PLC0415 - see `enter`

    room.lift()
    return [
        build(room, "lift", None, now, None, (), rule_name=restriction.rule, reason="expired", undoes=restriction.id)
    ]
