"""What came of it: everything counted during a run, by all edges together.

Every event that was sent ends in exactly one of: accepted, rejected (by code), lost. Lost means that no answer covers
it when the run is over: its frame is `unacked`, or the frame's ack accepted and rejected fewer events than it held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from loadtest.attacks import Attacker
from loadtest.histogram import Histogram
from loadtest.messages import Action

CATCHES = ("mute", "kick", "delete")
SHED_CODES = ("shed", "overload")
MOST_IDS = 2_000_000
"""Action ids remembered to know repeated ones; beyond that, repeats are counted as new (and `forgot_ids` says so)."""


@attrs.define
class Counts:
    """Plain counters, in events unless the name says otherwise."""

    sent: int = 0
    frames: int = 0
    bytes: int = 0
    accepted: int = 0
    accepted_by_resume: int = 0
    uncovered: int = 0
    """Of acknowledged frames, but neither accepted nor rejected: lost."""
    acks: int = 0
    acks_unasked: int = 0
    acks_out_of_order: int = 0
    """Of frames before the last one acknowledged on that session."""
    verdict_frames: int = 0
    verdicts_after_ack: int = 0
    verdicts_missing: int = 0
    actions: int = 0
    actions_repeated: int = 0
    actions_out_of_order: int = 0
    actions_elsewhere: int = 0
    """Actions for a room the edge does not carry."""
    states: int = 0
    reconnects: int = 0
    resent: int = 0
    unknown_messages: int = 0
    drains: int = 0


class Tally:
    """All counts of a run. The phases before the load are counted too, but their latencies are not."""

    def __init__(self, attackers: Mapping[str, Attacker]) -> None:
        self.counts = Counts()
        self.rejected: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.ack = Histogram()
        self.ack_from_send = Histogram()
        self.verdict = Histogram()
        self.action = Histogram()
        self.action_from_send = Histogram()
        self.lateness = Histogram()
        self.second_ack = Histogram()
        self.second_action = Histogram()
        self.by_kind: Counter[str] = Counter()
        self.by_rule: Counter[str] = Counter()
        self.by_reason: Counter[str] = Counter()
        self.attackers = attackers
        self.caught: dict[str, dict[str, float]] = {}
        """Attacker to kind of action to when it first came, by the monotonic clock."""
        self.innocents: dict[str, Counter[str]] = {}
        """Anyone else who was hit, to rules."""
        self.restricted: dict[str, float] = {}
        """Room to when its first `restrict` came."""
        self.forgot_ids = False
        self._ids: set[str] = set()
        self._offsets: dict[str, int] = {}

    def acked(self, meant: float, sent: float, now: float, count: int) -> None:
        """An ack of a frame of the load came."""
        self.ack.add(now - meant, count)
        self.second_ack.add(now - meant, count)
        self.ack_from_send.add(now - sent, count)

    def is_new(self, action: Action) -> bool:
        """Count an action; False if it is a repetition of one that came before."""
        if action.id in self._ids:
            self.counts.actions_repeated += 1
            return False
        if len(self._ids) < MOST_IDS:
            self._ids.add(action.id)
        else:
            self.forgot_ids = True
        if action.offset <= self._offsets.get(action.room, 0):
            self.counts.actions_out_of_order += 1
        self._offsets[action.room] = action.offset
        self.counts.actions += 1
        self.by_kind[action.kind] += 1
        self.by_rule[action.rule] += 1
        self.by_reason[action.reason] += 1
        return True

    def judge(self, action: Action, now: float) -> None:
        """Was that an attacker or an innocent? Inverses and warnings hit nobody."""
        if action.kind == "restrict":
            self.restricted.setdefault(action.room, now)
        user = action.user
        if user is None or action.undoes is not None:
            return
        if user in self.attackers:
            self.caught.setdefault(user, {}).setdefault(action.kind, now)
        elif action.kind in CATCHES:
            self.innocents.setdefault(user, Counter())[action.rule] += 1

    def acted(self, meant: float, sent: float, now: float) -> None:
        """An action whose causing frame is known came for the first time."""
        self.action.add(now - meant)
        self.second_action.add(now - meant)
        self.action_from_send.add(now - sent)

    @property
    def answered(self) -> int:
        """Events with an answer."""
        return self.counts.accepted + sum(self.rejected.values())

    @property
    def lost(self) -> int:
        """Events without one. Counts what is still on its way until the run is over."""
        return self.counts.sent - self.answered

    @property
    def shed(self) -> int:
        """Events the guard said it did not judge for want of room."""
        return sum(self.rejected[code] for code in SHED_CODES)
