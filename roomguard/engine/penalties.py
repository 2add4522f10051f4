"""Penalties in force: who may not speak or be here, until when, and by whose decision.

A mute drops the user's chat, a kick everything of theirs but appeal, leave and moderation. A penalty ends at `until`,
by its inverse, or by a human's word. One user has at most one mute and one kick; the later end wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, Literal

import attrs
from sortedcontainers import SortedList

from roomguard.model.actions import Action

PenaltyKind = Literal["mute", "kick"]


@attrs.frozen
class Penalty:
    """One penalty. `action` is ours; a human's has none, only the id of the event that set it."""

    kind: PenaltyKind
    user: str
    until: float
    """Room time of its end; infinite for a human's without a duration."""
    source: str
    """Id of the action or of the human's event."""
    at: float
    until_join: bool = False
    """Ends at the user's next join."""
    action: Action | None = None


_NOBODY: dict[str, Penalty] = {}
"""The table of a room in which nobody is punished; never written to."""


class Penalties:
    """The penalties of one room, ordered by their end so that what has run out costs nothing to find.

    At `cap` the one that ends first is forgotten and counted in `forgotten`.
    """

    __slots__ = ("_by_end", "cap", "forgotten", "kicks", "mutes")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.forgotten = 0
        # Read by the room for every event. Most rooms have none, and share one that stays in the processor's cache.
        self.mutes: dict[str, Penalty] = _NOBODY
        self.kicks: dict[str, Penalty] = _NOBODY
        # (end, kind, user) of every penalty.
        self._by_end: SortedList[tuple[float, str, str]] | None = None

    def __len__(self) -> int:
        return len(self.mutes) + len(self.kicks)

    def __iter__(self) -> Iterator[Penalty]:
        yield from self.mutes.values()
        yield from self.kicks.values()

    def _table(self, kind: str) -> dict[str, Penalty]:
        return self.kicks if kind == "kick" else self.mutes

    def add(self, penalty: Penalty) -> None:
        """Put a penalty in force. A longer one of the same kind already in force stays."""
        if self.mutes is _NOBODY:
            self.mutes, self.kicks = {}, {}
        table = self._table(penalty.kind)
        before = table.get(penalty.user)
        if before is not None and before.until >= penalty.until:
            return
        if self._by_end is None:
            self._by_end = SortedList()
        if before is not None:
            self._by_end.discard((before.until, before.kind, before.user))
        elif len(self) >= self.cap:
            self._forget_first()
        table[penalty.user] = penalty
        self._by_end.add((penalty.until, penalty.kind, penalty.user))

    def limit(self, cap: int) -> None:
        """Keep at most `cap` penalties from now on; those that end first are forgotten and counted."""
        self.cap = cap
        while len(self) > cap:
            self._forget_first()

    def _forget_first(self) -> None:
        if self._by_end:
            _, kind, user = self._by_end.pop(0)
            del self._table(kind)[user]
            self.forgotten += 1

    def purge(self, now: float) -> None:
        """Drop what has run out by `now`."""
        by_end = self._by_end
        while by_end and by_end[0][0] <= now:
            _, kind, user = by_end.pop(0)
            del self._table(kind)[user]

    def mute_of(self, user: str, now: float) -> Penalty | None:
        """The mute in force on a user, or None."""
        penalty = self.mutes.get(user)
        return penalty if penalty is not None and penalty.until > now else None

    def kick_of(self, user: str, now: float) -> Penalty | None:
        """The kick in force on a user, or None."""
        penalty = self.kicks.get(user)
        return penalty if penalty is not None and penalty.until > now else None

    def end(self, user: str, kind: str) -> Penalty | None:
        """End a user's penalty of a kind; returns it, or None if there was none."""
        penalty = self._table(kind).pop(user, None)
        if penalty is not None and self._by_end is not None:
            self._by_end.discard((penalty.until, kind, user))
        return penalty

    def joined(self, user: str) -> None:
        """The user came back: a kick without an end is over."""
        penalty = self.kicks.get(user)
        if penalty is not None and penalty.until_join:
            self.end(user, "kick")

    def find(self, source: str) -> Penalty | None:
        """The penalty that an action set, if it is in force."""
        return next((penalty for penalty in self if penalty.source == source), None)

    def in_force(self, now: float) -> list[Action]:
        """Our penalties in force at `now`, oldest first."""
        if self.mutes is _NOBODY:
            return []
        actions = [p.action for p in self if p.action is not None and p.until > now]
        return sorted(actions, key=lambda action: (action.at, action.id))

    def latest_end(self) -> float:
        """When the last finite penalty runs out, or minus infinity."""
        return max((penalty.until for penalty in self if penalty.until < inf), default=-inf)

    def dump(self) -> list[Any]:
        """Plain data for a snapshot; an endless penalty has no `until`."""
        return [
            {
                "kind": p.kind,
                "user": p.user,
                "until": None if p.until == inf else p.until,
                "source": p.source,
                "at": p.at,
                "until_join": p.until_join,
                "action": None if p.action is None else attrs.asdict(p.action),
            }
            for p in self
        ]

    def load(self, data: list[Any]) -> None:
        """What `dump` gave."""
        for item in data:
            action = item["action"]
            if action is not None:
                action = action_from(action)
            until = inf if item["until"] is None else item["until"]
            penalty = Penalty(item["kind"], item["user"], until, item["source"], item["at"], item["until_join"], action)
            self.add(penalty)


def action_from(data: dict[str, Any]) -> Action:
    """The action whose fields `attrs.asdict` gave, by way of JSON."""
    for name in ("causes", "events"):
        if data.get(name) is not None:
            data[name] = tuple(data[name])
    return Action(**data)
