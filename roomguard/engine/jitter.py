"""Jitter: actions that wait a little, so that whoever tries out the limits cannot tell which message gave them away.

How long an action waits follows from its id, so a replay waits as long. Until then it is not in force, and no second
decision asks for the same; a human who pardons the user in the meantime ends it unsent.
"""

from __future__ import annotations

import hashlib
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
from sortedcontainers import SortedList

from roomguard.engine.penalties import Penalty, action_from

if TYPE_CHECKING:
    from roomguard.engine.room import RoomGuard
    from roomguard.model.actions import Action

KINDS = ("mute", "kick", "warn")
"""What may wait. A message must be hidden before it is read."""


def delay_s(action_id: str, jitter_s: float) -> float:
    """Seconds from 0 to `jitter_s`, always the same for an action; whole milliseconds."""
    digest = hashlib.blake2b(action_id.encode(), digest_size=6, person=b"jitter").digest()
    return round(int.from_bytes(digest, "big") / 2**48 * jitter_s, 3)


class Pending:
    """The actions of one room that wait. At most `cap`; beyond it the next one due goes out at once."""

    __slots__ = ("_actions", "_order")

    def __init__(self) -> None:
        # (user, kind) to (due, action); one user waits for one action of a kind at most.
        self._actions: dict[tuple[str, str], tuple[float, Action]] = {}
        self._order: SortedList[tuple[float, str, str]] = SortedList()

    def __len__(self) -> int:
        return len(self._actions)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._actions

    def first(self) -> float:
        """When the next one is due."""
        return self._order[0][0] if self._order else inf

    def add(self, room: RoomGuard, action: Action, due: float, cap: int) -> list[Action]:
        """Let an action on a user wait until `due`; gives what had to go out for it."""
        gone = self.pop(room, action.at) if len(self) >= cap else []
        user = action.user or ""
        self._actions[user, action.kind] = (due, action)
        self._order.add((due, user, action.kind))
        return gone

    def drop(self, user: str, kind: str) -> Action | None:
        """Forget what waits for a user; gives it, or None if there was nothing."""
        found = self._actions.pop((user, kind), None)
        if found is None:
            return None
        self._order.discard((found[0], user, kind))
        return found[1]

    def pop(self, room: RoomGuard, now: float) -> list[Action]:
        """Put the next one in force, unless something has made it needless; gives what must be sent."""
        _, user, kind = self._order.pop(0)
        _, action = self._actions.pop((user, kind))
        if room.program.settings.mode == "shadow" or user in room.staff or room.holds_down(user, kind, now):
            room.tally.hits[action.rule, "in_force"] += 1
            return []
        endless = action.duration_s is None
        action = attrs.evolve(action, at=now, until=None if action.duration_s is None else now + action.duration_s)
        if kind in ("mute", "kick"):
            until = now + room.program.settings.kick_s if action.until is None else action.until
            room.punish(Penalty(kind, user, until, action.id, now, endless, action))
        return [action]

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [[due, attrs.asdict(action)] for due, action in self._actions.values()]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        for due, plain in data:
            action = action_from(plain)
            user = action.user or ""
            self._actions[user, action.kind] = (due, action)
            self._order.add((due, user, action.kind))
