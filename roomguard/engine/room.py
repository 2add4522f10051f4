"""RoomGuard: one room's mind. Events and control records go in, outcomes come out; it never sends and never waits.

A room's outcomes are a function of its inputs and its program, to the byte. Time is an argument and never goes back;
before an input is taken every deadline due by then runs, each at its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
from sortedcontainers import SortedList

from roomguard.engine.brakes import Brakes
from roomguard.engine.decision import Case, build, decide, inverse
from roomguard.engine.outcome import ALLOW, DROP, Alert, Outcome
from roomguard.engine.penalties import Penalties, Penalty
from roomguard.engine.portions import Portions, whole
from roomguard.engine.program import Program, Rule, StepFunction, Strategy
from roomguard.engine.stalest import Stalest
from roomguard.engine.stance import Stance
from roomguard.engine.strikes import Strikes
from roomguard.engine.tally import Tally
from roomguard.engine.users import latest_ids
from roomguard.engine.windows import pack, push
from roomguard.model import events as ev
from roomguard.model.actions import Action

if TYPE_CHECKING:
    from roomguard.engine.explaining import Explanation

MAX_TEXT = 2_000
"""Code points of a text that are judged."""
MAX_STAFF = 1_000
"""Moderators remembered by what they were seen to be."""
MAX_UNDONE = 1_000
"""Undone actions remembered, so that undoing twice does nothing twice."""
EVICTED_AT_ONCE = 128
"""Users forgotten with one that is new, at most: some 0.2 ms."""
STREAKS_KEPT = 4
"""Gift streaks of one user that may run side by side."""
_MAX_EXPECTED_S = 3_600.0

_NONE: dict[str, None] = {}
"""What most rooms share for good: nobody on the staff seen, nothing undone; never written to."""

Hold = tuple[float, str, str, str, str]
"""A message that is held: deadline, event, user, rule; and if it only has to wait its turn, for what reason."""


@attrs.frozen
class RoomStatistics:
    """A room in numbers."""

    users: int
    penalties: int
    strikes: int
    holds: int
    now: float


class RoomGuard:
    """One room. `tally` may be shared with other rooms; it is written, never read."""

    __slots__ = (
        "_chat_step",
        "_crowded_at",
        "_facts",
        "_holds",
        "_people",
        "_stalest",
        "_steps",
        "_undone",
        "brakes",
        "deadline",
        "grace_until",
        "host",
        "lang",
        "now",
        "opened",
        "opening",
        "penalties",
        "program",
        "raid_size",
        "raid_until",
        "region",
        "restricted_until",
        "restriction",
        "room",
        "slots",
        "staff",
        "stance",
        "strategy",
        "strikes",
        "tags",
        "tally",
        "users",
        "viewers",
    )  # fmt: skip

    def __init__(self, room: str, program: Program, tally: Tally | None = None) -> None:
        self.room = room
        self.tally = Tally() if tally is None else tally
        self.tags: tuple[str, ...] = ()
        self.lang: str | None = None
        self.region: str | None = None
        self.host: str | None = None
        self.viewers: int | None = None
        self.strategy: Strategy
        self.stance: Stance
        self._crowded_at: int
        self._take(program)
        self.clear()

    def _take(self, program: Program) -> None:
        self.program = program
        # What every message needs, without the way through three objects.
        self._facts = program.facts
        self._people = program.people

    def adopt(self, program: Program) -> None:
        """Judge by `program`, under the strategy it has for this room. Windows are not touched."""
        self._take(program)
        self.stance.settle(self)
        if self._crowded_at:
            self._crowded_at = program.settings.caps.users // 2

    def judge_by(self, steps: Mapping[str, StepFunction]) -> None:
        """Judge by these steps from now on."""
        self._steps = steps
        self._chat_step = steps.get("chat")

    @property
    def steps(self) -> Mapping[str, StepFunction]:
        """What the room judges by at present."""
        return self._steps

    def clear(self) -> None:
        """Forget everything but what the room is."""
        caps = self.program.settings.caps
        self.now = ev.NEVER
        self.opened = ev.NEVER
        self.opening = True
        self.users: dict[str, Any] = {}
        self._stalest: Stalest | None = None
        self._crowded_at = caps.users // 2
        self.slots: Any = self.program.slots_class()
        self.viewers = None
        self.staff = _NONE
        self.penalties = Penalties(caps.penalties)
        self.strikes = Strikes(caps.penalties)
        self.brakes = Brakes()
        self.grace_until = ev.NEVER
        self.raid_until = ev.NEVER
        self.raid_size = 0
        self.restricted_until = ev.NEVER
        self.restriction: Action | None = None
        self._holds: SortedList[Hold] | None = None  # made when first needed, which it is in few rooms
        self.deadline = inf
        self._undone = _NONE
        self.stance = Stance()
        self.stance.settle(self)
        self.set_deadline()

    # --- inputs ------------------------------------------------------------------------------------------------

    def receive(self, event: ev.Event, now: float) -> Outcome:
        """Judge one event at room time `now` (seconds); a `now` before the room's time counts as the room's time."""
        if now > self.now:
            if self.deadline <= now:
                return self._receive_late(event, now)
            if self.now == ev.NEVER:
                self.opened = now
            self.now = now
        else:
            now = self.now
        return _HANDLERS[type(event)](self, event, now)

    def _receive_late(self, event: ev.Event, now: float) -> Outcome:
        """Judge one event after the deadlines due before it."""
        if self.now == ev.NEVER:
            self.opened = now
        due = self.expire(now)
        self.now = now
        return _joined(due, _HANDLERS[type(event)](self, event, now))

    def control(self, record: ev.Control, now: float) -> Outcome:
        """Take a control record."""
        due = self.expire(now)
        self.now = max(now, self.now)
        if self.opened == ev.NEVER and record.type != "reset":
            self.opened = self.now
        handler = _CONTROLS.get(record.type)
        outcome = due if handler is None else _joined(due, handler(self, record, self.now))
        self.set_deadline()
        return outcome

    def expire(self, now: float) -> Outcome:
        """Run the deadlines due by `now`, each at its own time, and move room time no further than the last of them."""
        actions: list[Action] = []
        alerts: list[Alert] = []
        while self.deadline <= now:
            deadline = self._timer()
            if self.stance.boundary < deadline:
                # Nothing is sent for it and the latest hour decides, so the hours between need not be gone through.
                self.now = max(self.now, min(now, deadline))
                self.stance.settle(self)
            elif self._holds and self._holds[0][0] <= deadline:
                hold = self._pop_hold()
                self.now = max(self.now, deadline)
                actions.append(self._end_hold(hold, self.now))
            else:
                self.now = max(self.now, deadline)
                self.stance.run(self, deadline, actions, alerts)
            self.set_deadline()
        return Outcome("allow", tuple(actions), tuple(alerts)) if actions or alerts else ALLOW

    def next_deadline(self) -> float | None:
        """Room time of the next deadline for which a timer must run, or None."""
        deadline = self._timer()
        return None if deadline == inf else deadline

    def _chat(self, event: ev.Chat, now: float) -> Outcome:
        name = event.user
        penalties = self.penalties
        if (name in penalties.mutes or name in penalties.kicks) and self._swallows(name, now, muted=True):
            return DROP
        user = self.users.get(name)
        if user is None:
            who = event.who
            if who is not None and who.role is not None:
                self._meet(name, who)
            user = self._people.user_class(now, now, 1, f"{event.id}\n", pack(now))
            self._enroll(name, user)
        else:
            ids, times = user.ids, user.times
            if event.id in ids and event.id in user.recent:
                return self._again(event.id, user)
            if not ids:  # so far only heard of, by a report for instance
                self._meet(name, event.who)
            people = self._people
            if not user.chats % people.causes:
                ids = latest_ids(ids, people.causes - 1)
            user.ids = f"{ids}{event.id}\n"
            bare = len(times) < people.bare
            user.times = times + pack(now) if bare else push(times, now, now - people.horizon, people.cap)
            user.chats += 1
        text = event.text
        if len(text) > MAX_TEXT:
            text = event.text = text[:MAX_TEXT]
            self.tally.cut += 1
        step = self._chat_step
        if step is None:
            return ALLOW
        facts = self._facts(text, event.emotes) if event.emotes else self._facts(text)
        hits = step(self, self.slots, user, name, event, facts, 0, now)
        if not hits:
            return ALLOW
        return decide(self, Case("chat", event, user, name, facts, 0, now), hits)

    def _again(self, event_id: str, user: Any) -> Outcome:
        """An event that was taken before is not judged again; it gets the verdict it had."""
        self.tally.duplicates += 1
        if event_id == user.deleted:
            return DROP
        held = any(event_id == hold[1] for hold in self._holds or ())
        return Outcome("hold") if held else ALLOW

    def _plain(self, event: Any, now: float) -> Outcome:
        """like, follow, unfollow, share."""
        name = event.user
        if name in self.penalties.kicks and self._swallows(name, now, muted=False):
            return DROP
        user = self.users.get(name)
        if user is None:
            user = self._new_user(name, now, event.who)
        user.last = now
        return self._judge(_KIND_NAMES[type(event)], event, user, name, 0, now)

    def _judge(self, kind: str, event: Any, user: Any, subject: str, fresh: int, now: float) -> Outcome:
        step = self._steps.get(kind)
        if step is None:
            return ALLOW
        hits = step(self, self.slots, user, subject, event, None, fresh, now)
        if not hits:
            return ALLOW
        return decide(self, Case(kind, event, user, subject, None, fresh, now), hits)

    def _join(self, event: ev.Join, now: float) -> Outcome:
        if event.user in self.penalties.kicks:
            self.penalties.joined(event.user)
        return self._plain(event, now)

    def _leave(self, event: ev.Leave, now: float) -> Outcome:
        """A leave is never dropped: a kicked user's leaving must be seen. It does not count for one either."""
        name = event.user
        if self.penalties.kick_of(name, now) is not None:
            return ALLOW
        user = self.users.get(name)
        if user is None:
            user = self._new_user(name, now, event.who)
        user.last = now
        return self._judge("leave", event, user, name, 0, now)

    def _gift(self, event: ev.Gift, now: float) -> Outcome:
        """A streak re-sends itself with a growing total: only what is new counts, only its first event as a gift."""
        name = event.user
        if name in self.penalties.kicks and self._swallows(name, now, muted=False):
            return DROP
        user = self.users.get(name)
        if user is None:
            user = self._new_user(name, now, event.who)
        user.last = now
        fresh = event.count
        self.opening = True
        more = user.more or user.rare()
        if event.streak is not None:
            before = _streak_total(more.streaks, event.streak)
            self.opening = before == 0
            fresh = max(0, event.count - before)
            more.streaks = _with_streak(more.streaks, event.streak, max(event.count, before))
        if fresh == 0:
            return ALLOW
        more.gifted += fresh * event.value
        return self._judge("gift", event, user, name, fresh, now)

    def _report(self, event: ev.Report, now: float) -> Outcome:
        """A report counts for its target; nobody reports themselves."""
        if event.user in self.penalties.kicks and self._swallows(event.user, now, muted=False):
            return DROP
        name = event.target
        if name == event.user:
            return ALLOW
        user = self.users.get(name)
        if user is None:
            user = self._new_user(name, now, None)
        return self._judge("report", event, user, name, 0, now)

    def _moderation(self, event: ev.Moderation, now: float) -> Outcome:
        """A human acted: their penalty holds like ours, their word ends ours. It never counts against them."""
        self.remember_staff(event.user)
        target, verb = event.target, event.verb
        if verb in ("mute", "kick"):
            endless = event.duration_s is None
            until = now + event.duration_s if event.duration_s is not None else inf
            if verb == "kick" and endless:
                until = now + self.program.settings.kick_s
            penalty = Penalty(verb, target, until, event.id, now, verb == "kick" and endless)
            self.punish(penalty)
        elif verb in ("unmute", "readmit"):
            self._pardon(target, "mute" if verb == "unmute" else "kick", now)
        elif event.target_event is not None:
            self._settle_hold(event.target_event)
        return ALLOW

    def _pardon(self, user: str, kind: str, now: float) -> None:
        """A human ended a penalty: if it was ours and in force, it is as if undone; one about to come does not."""
        pending = self.stance.pending
        if pending is not None and (dropped := pending.drop(user, kind)) is not None:
            self._take_strike_back(user, dropped.rule)
            self.set_deadline()
        ended = self.penalties.end(user, kind)
        if ended is None or ended.action is None or ended.until <= now:
            return
        self._note_undone(ended.action.id)
        self._take_strike_back(user, ended.action.rule)

    def _take_strike_back(self, user: str, rule_name: str | None) -> None:
        """One strike less, if the rule gives any; a rule the program no longer has did."""
        rule = next((rule for rule in self.program.settings.rules if rule.name == rule_name), None)
        if rule is None or rule.strike:
            self.strikes.take_back(user)

    def _note_undone(self, action: str) -> None:
        self._undone = _with(self._undone, action, MAX_UNDONE)

    def _appeal(self, _event: ev.Appeal, _now: float) -> Outcome:
        return ALLOW

    def _room_open(self, event: ev.RoomOpen, now: float) -> Outcome:
        if self.host is not None and event.host is not None and event.host != self.host:
            self._expect(0, now + self.program.settings.modes.handover_s)
        self.tags = tuple(event.tags or ())
        self.lang, self.region, self.host = event.lang, event.region, event.host
        self.stance.settle(self)
        self.set_deadline()
        return ALLOW

    def _ignored(self, _event: ev.Event, _now: float) -> Outcome:
        return ALLOW

    def _viewers(self, event: ev.Viewers, _now: float) -> Outcome:
        if event.count != self.viewers:
            self.viewers = event.count
            self.stance.settle(self)
        return ALLOW

    # --- control records ---------------------------------------------------------------------------------------

    def _expect_raid(self, record: ev.Control, now: float) -> Outcome:
        self._expect(record.size or 0, now + min(record.ttl_s or 0.0, _MAX_EXPECTED_S))
        return ALLOW

    def _expect(self, size: int, until: float) -> None:
        """Let a wave of `size` new users pass until then, of any size if that is 0."""
        self.raid_until, self.raid_size = until, size
        self.stance.raid_base = len(self.users) + self.stance.evicted

    def expects_raid(self, now: float) -> bool:
        """Whether a wave was announced, and no more new users have come since than it has."""
        if self.raid_until <= now:
            return False
        return not self.raid_size or len(self.users) + self.stance.evicted - self.stance.raid_base <= self.raid_size

    def _override(self, record: ev.Control, now: float) -> Outcome:
        alerts: list[Alert] = []
        actions = self.stance.override(self, record, now, alerts)
        return Outcome("allow", tuple(actions), tuple(alerts)) if actions or alerts else ALLOW

    def _grace(self, record: ev.Control, now: float) -> Outcome:
        self.grace_until = max(self.grace_until, now + (record.ttl_s or 0.0))
        return ALLOW

    def _reset(self, record: ev.Control, now: float) -> Outcome:
        from roomguard.engine import snapshot  # noqa: PLC0415 - the two know each other; rare enough to import here

        self.clear()
        self.now = self.opened = now
        if state := bytes(record.state):
            snapshot.load_survivors(self, state)
        if record.ttl_s:
            self.grace_until = now + record.ttl_s
        return ALLOW

    def _undo(self, record: ev.Control, now: float) -> Outcome:
        """Take an action back: its inverse, and the strike. Safe to repeat."""
        if record.action is None or record.action in self._undone:
            return ALLOW
        penalty = self.penalties.find(record.action)
        user, kind = record.user, record.kind
        self._note_undone(record.action)
        if user is not None and kind != "restrict" and record.action not in (self.stance.strikeless or ()):
            self._take_strike_back(user, record.rule)
        if penalty is not None:
            self.penalties.end(penalty.user, penalty.kind)
        elif user is not None and kind in ("mute", "kick"):
            later = self.penalties.mute_of(user, now) if kind == "mute" else self.penalties.kick_of(user, now)
            if later is not None:
                return ALLOW  # what is in force is another decision
        action = inverse(self, record, now)
        if action is None:
            return ALLOW
        hidden = self.users.get(user) if user is not None else None
        if hidden is not None and hidden.deleted in (action.events or ()):
            hidden.rare().deleted = ""
        if self.restriction is not None and self.restriction.id == record.action:
            self.lift()
        return Outcome(actions=(action,))

    def window(self, name: str) -> Any:
        """The room-wide window of this name, made now: for generated source that finds none."""
        window = self.program.new_window(name)
        setattr(self.slots, name, window)
        return window

    # --- what decisions use --------------------------------------------------------------------------------------

    def in_force(self) -> list[Action]:
        """Our penalties and restriction in force now, oldest first, for an edge that takes the room."""
        self.penalties.purge(self.now)
        actions = self.penalties.in_force(self.now)
        if self.restriction is not None and self.restricted_until > self.now:
            actions.append(self.restriction)
        return actions

    def punish(self, penalty: Penalty) -> None:
        """Put a penalty in force."""
        table = self.penalties
        table.purge(self.now)
        before = table.forgotten
        table.add(penalty)
        self.tally.forgotten_penalties += table.forgotten - before

    def restrict(self, action: Action) -> None:
        """Put a restriction of the room in force."""
        self.restriction = action
        self.restricted_until = action.until if action.until is not None else self.now

    def lift(self) -> None:
        """End the restriction of the room."""
        self.restriction, self.restricted_until = None, ev.NEVER

    def holds_down(self, user: str, kind: str, now: float) -> bool:
        """Whether a penalty of this kind is in force on a user; a warning never is."""
        if kind == "mute":
            return self.penalties.mute_of(user, now) is not None
        return kind == "kick" and self.penalties.kick_of(user, now) is not None

    def remember_staff(self, user: str) -> None:
        """A user seen to be a moderator or host. At the cap the one seen first is forgotten."""
        if user not in self.staff:
            self.staff = _with(self.staff, user, MAX_STAFF)

    def strikes_of(self, user: str) -> int:
        """Strikes of a user on the default ladder."""
        return self.strikes.count(user, self.now, self.program.settings.ladders["default"].decay_s)

    def lang_of(self, user: str | None) -> str | None:
        """The language to speak to a user in: what they were last hit in, else the room's."""
        return self.lang if user is None else self.stance.lang_of(user, self.lang)

    def hold(self, event_id: str, user: str, rule: Rule, now: float, wait_s: float | None = None) -> list[Action]:
        """Hold a message until a human decides, or for `wait_s`; at the cap the one due first is decided at once."""
        failed: list[Action] = []
        if self._holds is None:
            self._holds = SortedList()
        if len(self._holds) >= self.program.settings.caps.holds:
            failed.append(self._end_hold(self._pop_hold(), now))
        if wait_s is None:
            self._holds.add((now + self.program.settings.hold_s, event_id, user, rule.name, ""))
        else:
            self._holds.add((now + wait_s, event_id, user, rule.name, rule.reason))
        self.set_deadline()
        return failed

    def _settle_hold(self, event_id: str) -> None:
        """A human decided about a message; it is held no longer."""
        if self._holds is None:
            return
        for hold in [hold for hold in self._holds if hold[1] == event_id]:
            self._holds.remove(hold)
        self.set_deadline()

    def _pop_hold(self) -> Hold:
        first: Hold = self._holds.pop(0)  # type: ignore[union-attr]
        return first

    def _timer(self) -> float:
        """The next deadline for which a timer must run."""
        due = self.stance.due()
        return min(due, self._holds[0][0]) if self._holds else due

    def set_deadline(self) -> None:
        """Find the next deadline anew, after anything that has one was added or taken away."""
        self.deadline = min(self._timer(), self.stance.boundary)

    def _end_hold(self, hold: Hold, now: float) -> Action:
        """The fail mode for what a human should have decided; what had to wait goes out, unless its user may not."""
        _, event_id, user, rule_name, reason = hold
        kind: str = self.program.settings.hold_fail
        if reason:
            kind = "delete" if self.holds_down(user, "mute", now) or self.holds_down(user, "kick", now) else "release"
        reason = reason or "fail_mode"
        return build(self, kind, user, now, None, (event_id,), rule_name=rule_name, reason=reason, events=(event_id,))

    def _swallows(self, user: str, now: float, *, muted: bool) -> bool:
        table = self.penalties
        if table.kick_of(user, now) is None and not (muted and table.mute_of(user, now) is not None):
            return False
        self.tally.dropped += 1
        return True

    def _meet(self, name: str, who: ev.Who | None) -> None:
        """See who a user is, before any report or cluster may name them."""
        if who is not None and who.role in self.program.settings.exempt.roles:
            self.remember_staff(name)

    def _new_user(self, name: str, now: float, who: ev.Who | None) -> Any:
        if who is not None and who.role is not None:
            self._meet(name, who)
        user = self._people.user_class(now, now)
        self._enroll(name, user)
        return user

    def _enroll(self, name: str, user: Any) -> None:
        """Have a user from now on; where there are too many, those unused for longest are forgotten."""
        users = self.users
        if len(users) >= self._crowded_at:
            self._make_room(users, name)
        users[name] = user

    def _make_room(self, users: dict[str, Any], name: str) -> None:
        """Forget who was unused for longest, among equals the one met first, as long as there are too many.

        Where a reload lowered the cap by thousands, they go some at a time. Below it only what tells who they are is
        kept.
        """
        stalest = self._stalest
        if stalest is None:
            stalest = self._stalest = Stalest(users)
            self._crowded_at = 0  # from now on it hears of each
        surplus = len(users) + 1 - self.program.settings.caps.users
        for _ in range(min(surplus, EVICTED_AT_ONCE)):
            del users[stalest.pop(users)]
            self.tally.evicted_users += 1
            self.stance.evicted += 1
        stalest.add(name, users)

    # --- the outside -------------------------------------------------------------------------------------------

    def survivors(self) -> bytes:
        """What of the room outlives a crash, as the `state` of a `reset`: decisions and people, no windows."""
        from roomguard.engine import snapshot  # noqa: PLC0415 - see _reset

        return snapshot.dump_survivors(self)

    def explain(self, event: ev.Event, now: float) -> Explanation:
        """Judge an event as `receive` does, and tell of each rule why it did or did not fire; for now and then."""
        from roomguard.engine import explaining  # noqa: PLC0415 - see _reset; and nobody asks on the way of an event

        return explaining.explain(self, event, now)

    def snapshot(self) -> bytes:
        """Everything the room knows, as JSON; `restore` gives a room that behaves the same."""
        return whole(self.snapshot_in_portions())

    def snapshot_in_portions(self) -> Portions[bytes]:
        """The same in portions of some milliseconds. The room must get no input before the last."""
        from roomguard.engine import snapshot  # noqa: PLC0415 - see _reset

        return snapshot.dump(self)

    @classmethod
    def restore(cls, room: str, program: Program, data: bytes, tally: Tally | None = None) -> RoomGuard:
        """The room a snapshot was taken of. Raises ValueError for data that is no snapshot."""
        return whole(cls.restore_in_portions(room, program, data, tally))

    @classmethod
    def restore_in_portions(
        cls, room: str, program: Program, data: bytes, tally: Tally | None = None
    ) -> Portions[RoomGuard]:
        """The same in portions of some milliseconds."""
        from roomguard.engine import snapshot  # noqa: PLC0415 - see _reset

        guard = cls(room, program, tally)
        yield from snapshot.load(guard, data)
        return guard

    def idle_at(self) -> float:
        """Room time from which every window has run out, so that forgetting them changes nothing."""
        return self.now + self.program.longest_window

    def configure(self, program: Program) -> None:
        """Judge by another program from the next input on; windows that both know are kept."""
        from roomguard.engine import snapshot  # noqa: PLC0415 - the two know each other; rare enough to import here

        snapshot.move(self, program)

    def statistics(self) -> RoomStatistics:
        """The room in numbers."""
        return RoomStatistics(len(self.users), len(self.penalties), len(self.strikes), len(self._holds or ()), self.now)


def _with(names: dict[str, None], name: str, most: int) -> dict[str, None]:
    """`names` with one more, the first forgotten beyond `most`; a dict of the room's own in place of `_NONE`."""
    if names is _NONE:
        names = {}
    if len(names) >= most:
        del names[next(iter(names))]
    names[name] = None
    return names


def _joined(first: Outcome, second: Outcome) -> Outcome:
    if first is ALLOW:
        return second
    alerts: tuple[Alert, ...] = first.alerts + second.alerts
    return Outcome(second.verdict, first.actions + second.actions, alerts)


def _streak_total(streaks: tuple[Any, ...], streak: str) -> int:
    """How much of a streak has been counted; 0 for a new one. `streaks` is (id, total, id, total, ...)."""
    return streaks[streaks.index(streak) + 1] if streak in streaks[::2] else 0


def _with_streak(streaks: tuple[Any, ...], streak: str, total: int) -> tuple[Any, ...]:
    """`streaks` with this one last; beyond `STREAKS_KEPT` the one unused for longest is forgotten."""
    others = [pair for pair in zip(streaks[::2], streaks[1::2], strict=True) if pair[0] != streak]
    return tuple(part for pair in (*others[1 - STREAKS_KEPT :], (streak, total)) for part in pair)


_KIND_NAMES: Mapping[type, str] = {
    ev.Like: "like",
    ev.Join: "join",
    ev.Follow: "follow",
    ev.Unfollow: "unfollow",
    ev.Share: "share",
}
_HANDLERS: Mapping[type, Callable[[Any, Any, float], Outcome]] = {
    ev.Chat: RoomGuard._chat,  # noqa: SLF001 - the dispatch table of the same class
    ev.Like: RoomGuard._plain,  # noqa: SLF001
    ev.Join: RoomGuard._join,  # noqa: SLF001
    ev.Leave: RoomGuard._leave,  # noqa: SLF001
    ev.Follow: RoomGuard._plain,  # noqa: SLF001
    ev.Unfollow: RoomGuard._plain,  # noqa: SLF001
    ev.Share: RoomGuard._plain,  # noqa: SLF001
    ev.Gift: RoomGuard._gift,  # noqa: SLF001
    ev.Report: RoomGuard._report,  # noqa: SLF001
    ev.Moderation: RoomGuard._moderation,  # noqa: SLF001
    ev.Appeal: RoomGuard._appeal,  # noqa: SLF001
    ev.RoomOpen: RoomGuard._room_open,  # noqa: SLF001
    ev.RoomClose: RoomGuard._ignored,  # noqa: SLF001
    ev.Viewers: RoomGuard._viewers,  # noqa: SLF001
}
_CONTROLS: Mapping[str, Callable[[Any, Any, float], Outcome]] = {
    "expect_raid": RoomGuard._expect_raid,  # noqa: SLF001
    "grace": RoomGuard._grace,  # noqa: SLF001
    "reset": RoomGuard._reset,  # noqa: SLF001
    "undo": RoomGuard._undo,  # noqa: SLF001
    "override": RoomGuard._override,  # noqa: SLF001
}
