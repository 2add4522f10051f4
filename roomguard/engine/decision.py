"""From hits to actions: the one place that de-duplicates, ranks, caps and emits.

Rules only propose. Of what they propose for one user the strongest stands: a kick makes a mute and a warning needless,
a mute makes a warning needless, a delete stands beside them, and what drops the message leaves nothing to hold. Ties go
to the longer duration, then to the rule's name, so the order of rules cannot matter. A rule whose wish is in force
already does nothing, takes nothing out of the budget and gives no strike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from roomguard.engine import jitter, modes
from roomguard.engine.outcome import ALLOW, Alert, Outcome, Verdict
from roomguard.engine.penalties import Penalty
from roomguard.engine.program import Rule, Step, Tier
from roomguard.engine.tiers import excused, softened, tier_of
from roomguard.model.actions import INVERSES, Action, ActionKind, action_id

if TYPE_CHECKING:
    from roomguard.engine.room import RoomGuard

RESTRICT_S = 600.0
"""A restriction whose rule names no duration; UnrealIRCd's room lock lasts as long."""
MAX_RESTRICT_S = 3_600.0
"""No restriction set by a rule lasts longer."""
_RANK = {"kick": 4, "mute": 3, "delete": 2, "warn": 1, "hold": 0, "delay": -1}
_NEEDLESS = {
    "kick": ("mute", "warn", "hold", "delay"), "mute": ("warn", "hold", "delay"), "delete": ("hold", "delay"),
    "hold": ("delay",),
}  # fmt: skip
_NOTICED = ("mute", "kick", "delete", "restrict")
"""What an audience may be told of."""
_MODES = ("slow", "followers", "known_users", "closed")
"""Restrictions, the mildest first."""


@attrs.define
class Case:
    """All about the event that hit: what the generated functions take."""

    kind: str
    event: Any
    user: Any
    subject: str
    facts: Any
    fresh: int
    now: float
    evidence: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    """Of each rule asked so far: a cluster's actions share it."""
    tiers: dict[str, Tier | None] = attrs.field(factory=dict)
    """Of each user asked for so far."""
    steps: dict[tuple[str, str], list[Step]] = attrs.field(factory=dict)
    """What each rule asked so far wants of each user: asked of a hit to see whether it does anything, and to do it."""
    alarms: list[Rule] = attrs.field(factory=list)
    """Rules in force that hit, whatever became of it: what a room's mode looks at."""

    def arguments(self, room: RoomGuard) -> tuple[Any, ...]:
        """The arguments of steps, probes and members."""
        return (room, room.slots, self.user, self.subject, self.event, self.facts, self.fresh, self.now)


@attrs.frozen
class Proposal:
    """One rule asking for one kind of action on one user."""

    kind: str
    rule: Rule
    duration_s: float | None


def decide(room: RoomGuard, case: Case, hits: Sequence[int]) -> Outcome:
    """What a room does about the rules that hit."""
    strategy = room.stance.judging(room, case.user)
    rules = [rule for index in hits if (rule := strategy.rules[index]).mode != "off"]
    if len(rules) > 1:
        rules.sort(key=lambda rule: rule.name)
    if is_exempt(room, case.subject, None if case.kind == "report" else case.event.who):
        for rule in rules:
            room.tally.hits[rule.name, "exempt"] += 1
        return ALLOW
    if room.program.tiers or room.program.hype is not None:
        rules = excused(room, case, rules, strategy)
    if case.kind == "chat" and case.event.lang and case.event.lang != room.lang:
        room.stance.speaks(case.subject, case.event.lang)
    alerts: list[Alert] = []
    enforced = [rule for rule in rules if _enforced(room, case, rule, alerts)]
    chosen, actions = _enforce(room, case, enforced, alerts) if enforced else ([], [])
    if case.alarms:
        actions += modes.note(room, case, case.alarms, alerts)
        _tie(room, case, actions)
    room.set_deadline()
    if not actions and not alerts and not chosen:
        return ALLOW
    for action in actions:
        room.tally.actions[action.rule, action.kind] += 1
    return Outcome(_verdict(chosen), tuple(_noticed(room, case, actions)), tuple(alerts))


def _enforce(
    room: RoomGuard, case: Case, enforced: Sequence[Rule], alerts: list[Alert]
) -> tuple[list[Proposal], list[Action]]:
    """What is done to the user at hand, and all that is sent for it."""
    others = _others(room, case, enforced, alerts)
    chosen, actions = _act(room, case, case.subject, [(rule, _own(room, case, rule)) for rule in enforced])
    for user, found in others.items():
        actions += _act(room, case, user, found)[1]
    actions += _restrict(room, case, enforced)
    return chosen, actions


def _tie(room: RoomGuard, case: Case, actions: Iterable[Action]) -> None:
    """A restriction by a rule that asks for a mode ends with the mode."""
    raising = {rule.name for rule in case.alarms if rule.settings.raises}
    wave = room.stance.wave
    for action in actions:
        if wave is not None and wave.level and action.kind == "restrict" and action.rule in raising:
            wave.restriction = action.id


def _noticed(room: RoomGuard, case: Case, actions: list[Action]) -> list[Action]:
    """The actions, one of them marked as fit for a notice to all, if it is time for one."""
    notice_s = room.program.settings.notice_s
    if not notice_s or case.now < room.stance.notice_from:
        return actions
    for index, action in enumerate(actions):
        if action.kind in _NOTICED:
            room.stance.notice_from = case.now + notice_s
            actions[index] = attrs.evolve(action, public=True)
            break
    return actions


def is_exempt(room: RoomGuard, user: str, who: Any) -> bool:
    """Whether automatic mutes, kicks and deletes pass this user by."""
    exempt = room.program.settings.exempt
    if who is not None and who.role is not None and who.role in exempt.roles:
        room.remember_staff(user)
        return True
    return user in room.staff or user == room.host or user in exempt.users


def _enforced(room: RoomGuard, case: Case, rule: Rule, alerts: list[Alert]) -> bool:
    """Whether a hit of the rule acts; every other outcome is counted by its name."""
    outcome = _outcome(room, case, rule)
    if (
        rule.mode == "enforce"
        and outcome not in ("grace", "rollout")
        and (rule.settings.strike or rule.settings.raises)
    ):
        case.alarms.append(rule)
    if outcome == "enforce" and not _spend(room, rule, case.now, alerts):
        outcome = "budget"
    room.tally.hits[rule.name, outcome] += 1
    return outcome == "enforce"


def _spend(room: RoomGuard, rule: Rule, now: float, alerts: list[Alert]) -> bool:
    return room.brakes.spend(room.program.settings.budget, room.room, rule.name, now, alerts)


def _outcome(room: RoomGuard, case: Case, rule: Rule) -> str:
    if rule.mode != "enforce" or room.program.settings.mode == "shadow":
        return "shadow"
    if rule.windowed and case.now < room.grace_until:
        return "grace"
    if rule.settings.rollout < 100 and bucket(room.room, rule.name) >= rule.settings.rollout:
        return "rollout"
    return "enforce" if _has_work(room, case, rule) else "in_force"


def _has_work(room: RoomGuard, case: Case, rule: Rule) -> bool:
    """Whether anything the rule asks for is not in force yet."""
    for step in _steps(room, case, case.subject, rule):
        if _is_new(room, case, case.subject, step.kind):
            return True
    if "restrict" in rule.settings.action and room.restricted_until <= case.now:
        return True
    return bool(rule.clusters) and any(user != case.subject for user, _ in _members(room, case, rule))


def _is_new(room: RoomGuard, case: Case, user: str, kind: str) -> bool:
    """Whether an action of a kind would change anything for a user."""
    pending = room.stance.pending
    if pending is not None and (user, kind) in pending:
        return False
    if kind in ("mute", "kick"):
        return not room.holds_down(user, kind, case.now)
    if kind in ("hold", "delay"):
        return case.kind == "chat" and user == case.subject  # what others wrote is out already
    return case.kind == "chat" if kind == "delete" else kind == "warn"


def bucket(room: str, rule: str) -> int:
    """0 to 99, the same for a room and rule for ever: raising a rollout only ever adds rooms."""
    digest = hashlib.blake2b(f"{len(room)}:{room}{rule}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100


def _choose(room: RoomGuard, case: Case, user: str, rules: Iterable[Rule]) -> list[Proposal]:
    """The strongest of each kind, without what a stronger kind makes needless; strongest first."""
    best: dict[str, Proposal] = {}
    for rule in rules:
        for step in _steps(room, case, user, rule):
            if step.kind not in _RANK or not _is_new(room, case, user, step.kind):
                continue
            proposal = Proposal(step.kind, rule, step.duration_s)
            if step.kind not in best or _stands_before(room, proposal, best[step.kind]):
                best[step.kind] = proposal
    for stronger, weaker in _NEEDLESS.items():
        if stronger in best:
            for kind in weaker:
                best.pop(kind, None)
    return sorted(best.values(), key=lambda proposal: -_RANK[proposal.kind])


def _stands_before(room: RoomGuard, one: Proposal, other: Proposal) -> bool:
    """The longer first, then the first by the rule's name."""
    usual = room.program.settings.kick_s
    return (-(one.duration_s or usual), one.rule.name) < (-(other.duration_s or usual), other.rule.name)


def _steps(room: RoomGuard, case: Case, user: str, rule: Rule) -> list[Step]:
    """What a rule wants of a user. A strike given for this decision does not change it."""
    steps = case.steps.get((user, rule.name))
    if steps is None:
        steps = case.steps[user, rule.name] = _wanted(room, case, user, rule)
    return steps


def _wanted(room: RoomGuard, case: Case, user: str, rule: Rule) -> list[Step]:
    settings = rule.settings
    steps: list[Step] = []
    for action in settings.action:
        if action == "ladder":
            ladder = room.program.ladders[settings.ladder]
            strikes = room.strikes.count(user, case.now, _decay_s(room, rule))
            steps.append(ladder[min(strikes, len(ladder) - 1)])
        elif action == "mute":
            steps.append(Step("mute", settings.duration_s or room.program.settings.mute_s))
        elif action == "delay":
            if (wait_s := _wait_s(room, case, rule)) > 0:
                steps.append(Step("delay", wait_s))
        else:
            steps.append(Step(action, settings.duration_s or None))
    tier = tier_of(room, case, user)
    if tier is None:
        return steps
    holdable = case.kind == "chat" and user == case.subject
    softer = (softened(step, tier.settings, holdable=holdable) for step in steps)
    return [step for step in softer if step is not None]


def _wait_s(room: RoomGuard, case: Case, rule: Rule) -> float:
    """How long the message at hand has to wait, by the longest of the waits the rule asks for."""
    evidence = evidence_of(room, case, rule)
    return max(float(evidence[name]) for name in rule.waits)


def _decay_s(room: RoomGuard, rule: Rule) -> float:
    return room.program.settings.ladders[rule.settings.ladder].decay_s


def _verdict(chosen: Sequence[Proposal]) -> Verdict:
    kinds = {proposal.kind for proposal in chosen}
    if kinds & {"delete", "mute", "kick"}:
        return "drop"
    return "hold" if kinds & {"hold", "delay"} else "allow"


Found = tuple[Rule, tuple[str, ...]]
"""A rule that is about a user, and the events of theirs it is about."""


def _act(room: RoomGuard, case: Case, user: str, found: Sequence[Found]) -> tuple[list[Proposal], list[Action]]:
    """Choose for one user, put it in force, give a strike for it, and let the clusters forget what is dealt with."""
    chosen = _choose(room, case, user, [rule for rule, _ in found])
    events = {rule.name: ids for rule, ids in found}
    actions: list[Action] = []
    struck: list[tuple[Action, float]] = []
    for proposal in chosen:
        if proposal.kind in ("hold", "delay"):
            actions += room.hold(case.event.id, user, proposal.rule, case.now, proposal.duration_s)
            continue
        action = _made(room, case, proposal, user, events[proposal.rule.name])
        if action is None:
            continue
        if proposal.rule.settings.strike:
            struck.append((action, _decay_s(room, proposal.rule)))
        actions += _sent(room, case, proposal, action)
    if struck:
        # The longest memory of the ladders at hand, whatever the order of the rules.
        room.strikes.add(user, case.now, max(decay_s for _, decay_s in struck))
        for action, _ in struck[1:]:
            room.stance.gave_no_strike(action.id)
    for rule, _ in found:
        if rule.clusters and (window := _window(room, case, rule)) is not None:
            window.take(user)
    return [proposal for proposal in chosen if not _waits(proposal)], actions


def _waits(proposal: Proposal) -> bool:
    return proposal.rule.settings.jitter_s > 0 and proposal.kind in jitter.KINDS


def _sent(room: RoomGuard, case: Case, proposal: Proposal, action: Action) -> list[Action]:
    """Put an action in force, or let it wait for its time."""
    if _waits(proposal):
        due = case.now + jitter.delay_s(action.id, proposal.rule.settings.jitter_s)
        pending = room.stance.pending
        if pending is None:
            pending = room.stance.pending = jitter.Pending()
        return pending.add(room, action, due, room.program.settings.caps.holds)
    kind, duration = proposal.kind, action.duration_s
    if kind in ("mute", "kick"):
        until = case.now + (duration if duration is not None else room.program.settings.kick_s)
        penalty = Penalty(kind, action.user or "", until, action.id, case.now, duration is None, action)  # type: ignore[arg-type]
        room.punish(penalty)
    return [action]


def _made(room: RoomGuard, case: Case, proposal: Proposal, user: str, events: tuple[str, ...]) -> Action | None:
    """The action of a proposal on one user, or None where it would hide nothing new."""
    kind, rule, now = proposal.kind, proposal.rule, case.now
    if kind == "delete":
        record = room.users.get(user)
        events = tuple(id_ for id_ in events if record is None or id_ != record.deleted)
        if not events:
            return None
        if record is not None:
            record.deleted = events[-1]
    duration = proposal.duration_s if kind in ("mute", "kick") else None
    member = case.user if user == case.subject else room.users.get(user)
    strategy = room.strategy if member is None else room.stance.judging(room, member)
    window = _window(room, case, rule)
    origin = None if window is None else window.origin(case.event.id)
    return build(
        room, kind, user, now, rule, _causes(case, rule, user, events), strategy=strategy.name,
        evidence=evidence_of(room, case, rule), duration_s=duration, events=events if kind == "delete" else None,
        cluster=None if origin is None else action_id(room.room, None, "cluster", rule.name, origin),
    )  # fmt: skip


def _window(room: RoomGuard, case: Case, rule: Rule) -> Any:
    """The window of users behind a cluster rule at this event, or None."""
    find = rule.clusters.get(case.kind)
    return None if find is None else find(*case.arguments(room))


def _members(room: RoomGuard, case: Case, rule: Rule) -> Sequence[tuple[str, tuple[str, ...]]]:
    """The users of a cluster that no decision has dealt with, each with their events."""
    window = _window(room, case, rule)
    return () if window is None else window.members(case.now)


def _own(room: RoomGuard, case: Case, rule: Rule) -> tuple[str, ...]:
    """The events of the user at hand that a delete hides: this one, and in a cluster their earlier ones of it."""
    if case.kind != "chat":
        return ()
    event_id: str = case.event.id
    if not rule.clusters:
        return (event_id,)
    earlier = next((events for user, events in _members(room, case, rule) if user == case.subject), ())
    return (*(id_ for id_ in earlier if id_ != event_id), event_id)


def _causes(case: Case, rule: Rule, user: str, events: tuple[str, ...]) -> tuple[str, ...]:
    """The event that tipped it, then the user's own: of a cluster those in it, else what they lately wrote."""
    event_id = case.event.id
    if user == case.subject and rule.windowed and case.kind in ("chat", "report"):
        events = case.user.recent
    return (event_id, *(id_ for id_ in events if id_ != event_id))


def evidence_of(room: RoomGuard, case: Case, rule: Rule) -> dict[str, Any]:
    """The features behind a hit and their values; texts are cut to 100 characters."""
    evidence = case.evidence.get(rule.name)
    if evidence is not None:
        return evidence
    evidence = case.evidence[rule.name] = {}
    _, _, values = rule.probes[case.kind](*case.arguments(room))
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
    strategy = more.pop("strategy", None) or room.strategy.name
    text = room.program.reasons.message(
        reason, kind, room.lang_of(user), duration, mode=more.get("mode"), cohort=more.get("cohort")
    )
    return Action(
        id=action_id(room.room, user, kind, name, first),
        kind=_as_kind(kind),
        room=room.room,
        user=user,
        at=now,
        reason=reason,
        message=text,
        rule=name,
        strategy=strategy,
        config=room.program.version,
        causes=causes,
        until=None if duration is None else now + duration,
        **more,
    )


def _as_kind(kind: str) -> ActionKind:
    return kind  # type: ignore[return-value]


def _others(room: RoomGuard, case: Case, rules: Iterable[Rule], alerts: list[Alert]) -> dict[str, list[Found]]:
    """The other users of the clusters that rules hit, with those rules; each user out of each rule's budget."""
    others: dict[str, list[Found]] = {}
    for rule in rules:
        if not rule.clusters:
            continue
        for user, events in _members(room, case, rule):
            if user == case.subject or is_exempt(room, user, None):
                continue
            if not any(_is_new(room, case, user, step.kind) for step in _steps(room, case, user, rule)):
                continue
            if not _spend(room, rule, case.now, alerts):
                room.tally.hits[rule.name, "budget"] += 1
                break
            others.setdefault(user, []).append((rule, events))
    return others


def _restrict(room: RoomGuard, case: Case, rules: Iterable[Rule]) -> list[Action]:
    """The strongest restriction that rules ask for; none while one is in force."""
    wanted = [rule for rule in rules if "restrict" in rule.settings.action]
    if not wanted or room.restricted_until > case.now:
        return []
    rule = min(wanted, key=_restriction_rank)
    duration = min(rule.settings.duration_s or RESTRICT_S, MAX_RESTRICT_S)
    action = build(
        room, "restrict", None, case.now, rule, (case.event.id,),
        evidence=evidence_of(room, case, rule), duration_s=duration,
        mode=rule.settings.restrict_mode, cohort=rule.settings.cohort,
    )  # fmt: skip
    room.restrict(action)
    return [action]


def _restriction_rank(rule: Rule) -> tuple[int, bool, float, str]:
    settings = rule.settings
    return -_MODES.index(settings.restrict_mode), settings.cohort != "all", -settings.duration_s, rule.name


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
