"""The escalation ladder: how often a user has been acted on, forgotten after a quiet time."""

from __future__ import annotations

from typing import Any

_NOBODY: dict[str, tuple[int, float]] = {}
"""The table of a room in which nobody was struck, which is most; never written to."""


class Strikes:
    """Strikes of the users of one room. At `cap` users the one struck longest ago is forgotten."""

    __slots__ = ("_by_user", "cap")

    def __init__(self, cap: int) -> None:
        self.cap = cap
        # In order of the last strike, so that the head is what to forget.
        self._by_user = _NOBODY

    def __len__(self) -> int:
        return len(self._by_user)

    def count(self, user: str, now: float, decay_s: float) -> int:
        """Strikes of a user; 0 after `decay_s` without a new one."""
        entry = self._by_user.get(user)
        return entry[0] if entry is not None and now - entry[1] < decay_s else 0

    def add(self, user: str, now: float, decay_s: float) -> int:
        """One more strike; returns the new count."""
        if self._by_user is _NOBODY:
            self._by_user = {}
        count = self.count(user, now, decay_s) + 1
        self._by_user.pop(user, None)
        if len(self._by_user) >= self.cap:
            del self._by_user[next(iter(self._by_user))]
        self._by_user[user] = (count, now)
        return count

    def limit(self, cap: int) -> None:
        """Keep at most `cap` users from now on; those struck longest ago are forgotten."""
        self.cap = cap
        while len(self._by_user) > cap:
            del self._by_user[next(iter(self._by_user))]

    def take_back(self, user: str) -> None:
        """One strike less, because the action behind it was undone."""
        entry = self._by_user.get(user)
        if entry is None:
            return
        if entry[0] <= 1:
            del self._by_user[user]
        else:
            self._by_user[user] = (entry[0] - 1, entry[1])

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [[user, count, at] for user, (count, at) in self._by_user.items()]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self._by_user = {user: (count, at) for user, count, at in data}
