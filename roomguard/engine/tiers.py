"""More care for some users, and a larger allowance for an excited crowd: looked at only when a rule has hit.

A tier (subscribers, long-time viewers, gifters) raises limits or makes what follows milder; hype raises limits for
those it is meant for. Neither is immunity: the rule is asked again under the raised limits, and may still hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from roomguard.engine.settings import TierSettings
from roomguard.model.events import Leave

if TYPE_CHECKING:
    from roomguard.engine.decision import Case
    from roomguard.engine.program import Rule, Step, Strategy, Tier
    from roomguard.engine.room import RoomGuard

_MILDER: Mapping[str, str] = {"kick": "mute", "mute": "delete", "delete": "warn"}
_SHARP = ("kick", "mute", "delete")


def tier_of(room: RoomGuard, case: Case, user: str) -> Tier | None:
    """The first tier that a user is of, or None. Of others than the event's user only the room's memory is known."""
    tiers = room.program.tiers
    if not tiers:
        return None
    if user not in case.tiers:
        case.tiers[user] = _first(room, case, user)
    return case.tiers[user]


def _first(room: RoomGuard, case: Case, user: str) -> Tier | None:
    own = user == case.subject
    record = case.user if own else room.users.get(user)
    if record is None:
        return None
    event = case.event if own and case.kind != "report" else Leave(id="-", user=user, ts=case.now)
    for tier in room.program.tiers:
        if tier.holds(room, room.slots, record, user, event, None, 0, case.now):
            return tier
    return None


def excused(room: RoomGuard, case: Case, rules: list[Rule], strategy: Strategy) -> list[Rule]:
    """The rules that still hit under the limits that hold for this user in this crowd; the others are counted."""
    tier = tier_of(room, case, case.subject)
    hype = _is_hype(room, case)
    scale: dict[str, float] = dict(tier.settings.scale) if tier is not None else {}
    if hype:
        for name, factor in room.program.settings.hype.scale.items():
            scale[name] = scale.get(name, 1.0) * factor
    if not scale:
        return rules
    raised = room.program.variants.of(strategy, "+care", None, scale)
    arguments = case.arguments(room)
    still: list[Rule] = []
    for rule in rules:
        if raised.rules[rule.index].probes[case.kind](*arguments)[0]:
            still.append(rule)
        else:
            room.tally.hits[rule.name, "hype" if hype else "tier"] += 1
    return still


def _is_hype(room: RoomGuard, case: Case) -> bool:
    """Whether the crowd is excited, and this user is one of those whose excitement it is."""
    hype = room.program.hype
    return hype is not None and case.kind == "chat" and bool(hype(*case.arguments(room)))


def softened(step: Step, settings: TierSettings, *, holdable: bool) -> Step | None:
    """What becomes of a step for a user of a tier; None for nothing. `holdable`: their message can still be held."""
    kind = step.kind
    if kind in _SHARP and settings.action == "milder":
        kind = _MILDER[kind]
    elif kind in _SHARP and settings.action == "warn":
        kind = "warn"
    elif kind in _SHARP and settings.action == "review":
        kind = "hold" if holdable else "warn"
    elif kind == "warn" and settings.action == "milder":
        return None
    return _timed(kind, step, settings)


def _timed(kind: str, step: Step, settings: TierSettings) -> Step:
    if kind == step.kind and kind not in ("mute", "kick"):
        return step
    usual = step.duration_s if kind in ("mute", "kick") else None
    return attrs.evolve(step, kind=kind, duration_s=None if usual is None else usual * settings.duration_factor)
