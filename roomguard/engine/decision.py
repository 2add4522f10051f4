"""From hits to actions: the one place that de-duplicates, ranks, caps and emits.

Rules only propose. Of what they propose for one user the strongest stands: a kick makes a mute and a warning needless,
a mute makes a warning needless, a delete stands beside them. Ties go to the longer duration, then to the rule's name,
so the order of rules cannot matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from roomguard.engine.outcome import ALLOW, Alert, Outcome, Verdict
from roomguard.engine.penalties import Penalty
from roomguard.engine.program import Rule, Step
from roomguard.model.actions import INVERSES, Action, ActionKind, action_id

if TYPE_CHECKING:
    from roomguard.engine.room import RoomGuard

RESTRICT_S = 600.0
"""A restriction whose rule names no duration; UnrealIRCd's room lock lasts as long."""
MAX_RESTRICT_S = 3_600.0
"""No restriction set by a rule lasts longer."""
_RANK = {"kick": 4, "mute": 3, "delete": 2, "warn": 1, "hold": 0}
_NEEDLESS = {"kick": ("mute", "warn"), "mute": ("warn",)}


@attrs.frozen
class Case:
    """All about the event that hit: what the generated functions take."""

    kind: str
    event: Any
    user: Any
    subject: str
    facts: Any
    fresh: int
    now: float

    def arguments(self, room: RoomGuard) -> tuple[Any, ...]:
        """The arguments of steps, probes and members."""
        return (room, room.slots, self.user, self.subject, self.event, self.facts, self.fresh, self.now)


@attrs.frozen
class Proposal:
    """One rule asking for one kind of action."""

    kind: str
    rule: Rule
    duration_s: float | None

    def rank(self) -> tuple[float, str]:
        """What stands first: the longest, then the first by name."""
        endless = 1e18 if self.kind == "kick" and self.duration_s is None else 0.0
        return (-(self.duration_s or endless), self.rule.name)


def decide(room: RoomGuard, case: Case, hits: Sequence[int]) -> Outcome:
    """What a room does about the rules that hit."""
    rules = [room.strategy.rules[index] for index in hits]
    if is_exempt(room, case.subject, None if case.kind == "report" else case.event.who):
        for rule in rules:
            room.tally.hits[rule.name, "exempt"] += 1
        return ALLOW
    alerts: list[Alert] = []
    enforced = [rule for rule in rules if _enforced(room, rule, case.now, alerts)]
    if not enforced:
        return Outcome(alerts=tuple(alerts)) if alerts else ALLOW
    chosen = _choose(room, case, enforced)
    actions: list[Action] = []
    for proposal in chosen:
        actions += _emit(room, case, proposal, case.subject, _cluster_id(room, case, proposal.rule))
    if any(rule.settings.strike for rule in enforced):
        ladder = room.program.settings.ladders[enforced[0].settings.ladder]
        room.strikes.add(case.subject, case.now, ladder.decay_s)
    for rule in enforced:
        actions += _room_wide(room, case, rule, alerts)
    for action in actions:
        room.tally.actions[action.rule, action.kind] += 1
    return Outcome(_verdict(chosen), tuple(actions), tuple(alerts))


def is_exempt(room: RoomGuard, user: str, who: Any) -> bool:
    """Whether automatic mutes, kicks and deletes pass this user by."""
    exempt = room.program.settings.exempt
    if who is not None and who.role is not None and who.role in exempt.roles:
        room.remember_staff(user)
        return True
    return user in room.staff or user == room.host or user in exempt.users


def _enforced(room: RoomGuard, rule: Rule, now: float, alerts: list[Alert]) -> bool:
    """Whether a hit of the rule acts; every other outcome is counted by its name."""
    outcome = _outcome(room, rule, now)
    if outcome == "enforce" and not room.brakes.spend(room.program.settings.budget, room.room, rule.name, now, alerts):
        outcome = "budget"
    room.tally.hits[rule.name, outcome] += 1
    return outcome == "enforce"


def _outcome(room: RoomGuard, rule: Rule, now: float) -> str:
    if rule.mode != "enforce" or room.program.settings.mode == "shadow":
        return "shadow"
    if rule.windowed and now < room.grace_until:
        return "grace"
    if rule.settings.rollout < 100 and bucket(room.room, rule.name) >= rule.settings.rollout:
        return "rollout"
    return "enforce"


def bucket(room: str, rule: str) -> int:
    """0 to 99, the same for a room and rule for ever: raising a rollout only ever adds rooms."""
    digest = hashlib.blake2b(f"{len(room)}:{room}{rule}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100


def _choose(room: RoomGuard, case: Case, rules: Iterable[Rule]) -> list[Proposal]:
    """The strongest of each kind, without what a stronger kind makes needless; strongest first."""
    best: dict[str, Proposal] = {}
    for rule in rules:
        for step in _steps(room, case, rule):
            if step.kind not in _RANK or (case.kind != "chat" and step.kind in ("delete", "hold")):
                continue
            proposal = Proposal(step.kind, rule, step.duration_s)
            if step.kind not in best or proposal.rank() < best[step.kind].rank():
                best[step.kind] = proposal
    for stronger, weaker in _NEEDLESS.items():
        if stronger in best:
            for kind in weaker:
                best.pop(kind, None)
    if "delete" in best:
        best.pop("hold", None)
    return sorted(best.values(), key=lambda proposal: -_RANK[proposal.kind])


def _steps(room: RoomGuard, case: Case, rule: Rule) -> list[Step]:
    settings = rule.settings
    steps: list[Step] = []
    for action in settings.action:
        if action == "ladder":
            ladder = room.program.ladders[settings.ladder]
            decay_s = room.program.settings.ladders[settings.ladder].decay_s
            steps.append(ladder[min(room.strikes.count(case.subject, case.now, decay_s), len(ladder) - 1)])
        elif action == "mute":
            steps.append(Step("mute", settings.duration_s or room.program.settings.mute_s))
        else:
            steps.append(Step(action, settings.duration_s or None))
    return steps


def _verdict(chosen: Sequence[Proposal]) -> Verdict:
    kinds = {proposal.kind for proposal in chosen}
    if kinds & {"delete", "mute", "kick"}:
        return "drop"
    return "hold" if "hold" in kinds else "allow"


def _emit(room: RoomGuard, case: Case, proposal: Proposal, user: str, cluster: str | None = None) -> list[Action]:
    """The action of a proposal on one user, put in force. Nothing when it already is."""
    kind, rule, now = proposal.kind, proposal.rule, case.now
    if kind == "hold":
        return room.hold(case.event.id, user, rule, now)
    if kind == "mute" and room.penalties.mute_of(user, now) is not None:
        return []
    if kind == "kick" and room.penalties.kick_of(user, now) is not None:
        return []
    causes, events = _causes(room, case, rule, user)
    if kind == "delete" and not _newly_deleted(room, user, events):
        return []
    duration = proposal.duration_s if kind in ("mute", "kick") else None
    action = build(
        room, kind, user, now, rule, causes,
        evidence=evidence_of(room, case, rule), cluster=cluster, duration_s=duration,
        events=events if kind == "delete" else None,
    )  # fmt: skip
    if kind in ("mute", "kick"):
        until = now + (duration if duration is not None else room.program.settings.kick_s)
        room.punish(Penalty(kind, user, until, action.id, now, duration is None, action))  # type: ignore[arg-type]
    return [action]


def _newly_deleted(room: RoomGuard, user: str, events: tuple[str, ...]) -> bool:
    """Whether the message is not the one deleted last: a cluster that grows must not delete its first again."""
    record = room.users.get(user)
    if not events or record is None or record.deleted == events[-1]:
        return False
    record.deleted = events[-1]
    return True


def _cluster_id(room: RoomGuard, case: Case, rule: Rule) -> str | None:
    """The id that ties the actions of one decision on many users together; None where the rule hits one user."""
    if not rule.settings.cluster or case.kind not in rule.members:
        return None
    return action_id(room.room, None, "cluster", rule.name, case.event.id)


def _causes(room: RoomGuard, case: Case, rule: Rule, user: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(event ids behind the action, event ids a delete hides). The event that tipped it stands first."""
    event_id = case.event.id
    if user == case.subject:
        recent = case.user.recent if rule.windowed else ()
        return (event_id, *(id_ for id_ in recent if id_ != event_id)), (event_id,) if case.kind == "chat" else ()
    record = room.users.get(user)
    recent = record.recent[-1:] if record is not None else ()
    return (event_id, *(id_ for id_ in recent if id_ != event_id)), recent


def evidence_of(room: RoomGuard, case: Case, rule: Rule) -> dict[str, Any]:
    """The features behind a hit and their values; texts are cut to 100 characters."""
    _, _, values = rule.probes[case.kind](*case.arguments(room))
    evidence: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            evidence[name] = ", ".join(value)[:100]
        elif value is not None:
            evidence[name] = value[:100] if isinstance(value, str) else value
    return evidence


def build(
    room: RoomGuard, kind: str, user: str | None, now: float, rule: Rule | None, causes: tuple[str, ...], **more: Any
) -> Action:
    """An action with its id, reason and text. `more` are further fields of Action."""
    name = more.pop("rule_name", None) or (rule.name if rule is not None else "")
    reason = more.pop("reason", None) or (rule.reason if rule is not None else name)
    first = more.get("undoes") or causes[0]
    duration = more.get("duration_s")
    return Action(
        id=action_id(room.room, user, kind, name, first),
        kind=_as_kind(kind),
        room=room.room,
        user=user,
        at=now,
        reason=reason,
        message=room.program.reasons.message(reason, kind, room.lang_of(user), duration),
        rule=name,
        strategy=room.strategy.name,
        config=room.program.version,
        causes=causes,
        until=None if duration is None else now + duration,
        **more,
    )


def _as_kind(kind: str) -> ActionKind:
    return kind  # type: ignore[return-value]


def _room_wide(room: RoomGuard, case: Case, rule: Rule, alerts: list[Alert]) -> list[Action]:
    """What a rule does beyond the user at hand: the rest of a cluster, a restriction of the room."""
    actions: list[Action] = []
    if rule.settings.cluster and case.kind in rule.members:
        actions += _cluster(room, case, rule, alerts)
    if "restrict" in rule.settings.action and room.restricted_until <= case.now:
        actions.append(_restrict(room, case, rule))
    return actions


def _cluster(room: RoomGuard, case: Case, rule: Rule, alerts: list[Alert]) -> list[Action]:
    """One action for every other user of the cluster, all under one cluster id, each out of the budget."""
    cluster = _cluster_id(room, case, rule)
    actions: list[Action] = []
    budget = room.program.settings.budget
    for user in rule.members[case.kind](*case.arguments(room)):
        if user == case.subject or is_exempt(room, user, None) or _already_hit(room, case, rule, user):
            continue
        if not room.brakes.spend(budget, room.room, rule.name, case.now, alerts):
            room.tally.hits[rule.name, "budget"] += 1
            break
        for proposal in _choose(room, case, [rule]):
            if proposal.kind != "hold":
                actions += _emit(room, case, proposal, user, cluster)
    return actions


def _already_hit(room: RoomGuard, case: Case, rule: Rule, user: str) -> bool:
    """Whether the cluster has nothing left to do about this user."""
    table, actions = room.penalties, rule.settings.action
    if table.kick_of(user, case.now) or ("kick" not in actions and table.mute_of(user, case.now)):
        return True
    record = room.users.get(user)
    return record is None or (actions == ("delete",) and record.deleted == (record.recent or ("",))[-1])


def _restrict(room: RoomGuard, case: Case, rule: Rule) -> Action:
    duration = min(rule.settings.duration_s or RESTRICT_S, MAX_RESTRICT_S)
    action = build(
        room, "restrict", None, case.now, rule, (case.event.id,),
        evidence=evidence_of(room, case, rule), duration_s=duration,
        mode=rule.settings.restrict_mode, cohort=rule.settings.cohort,
    )  # fmt: skip
    room.restrict(action)
    return action


def inverse(room: RoomGuard, record: Any, now: float) -> Action | None:
    """The action that takes back the one a control record names, or None where there is nothing to take back."""
    kind = INVERSES.get(record.kind or "")
    if kind is None or record.action is None:
        return None
    return build(
        room, kind, record.user, now, None, (),
        rule_name=record.rule or "", reason="undo", undoes=record.action,
        events=tuple(record.events) if kind == "restore" and record.events else None,
    )  # fmt: skip
