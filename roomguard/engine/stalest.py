"""Which users of a full room were unused for longest, without a look at all of them for each that has to go."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

LOOKED_AT = 2
"""Users looked at with each that is met: more than one, so that all are before a room is full."""

_Entry = tuple[float, int, str]


class Stalest:
    """The users of one room by their last use, among equals the one met first.

    One entry a user: `(last use, number, name)`. What a user did since is not noted here; an entry that has become old
    is put right when its turn comes. Users come in the order of time, so a queue keeps them; only those it began with
    and what was put right need a heap. It is begun when a room is half full and looks at those who are there by then
    some at a time: to look at all of a room's 20,000 at once took as long as to judge a thousand messages.
    """

    __slots__ = ("_again", "_met", "_queue", "_unseen")

    def __init__(self, users: Mapping[str, Any]) -> None:
        self._unseen: list[str] = list(users)
        self._met = len(self._unseen)
        self._queue: deque[_Entry] = deque()
        self._again: list[_Entry] = []

    def add(self, name: str, now: float, users: Mapping[str, Any]) -> None:
        """A user was met; nobody was at a later time before. `users` are those kept, this one or not among them."""
        self._queue.append((now, self._met, name))
        self._met += 1
        if self._unseen:
            self._look(users, LOOKED_AT)

    def pop(self, users: Mapping[str, Any]) -> str:
        """The user unused for longest, who is forgotten here; `users` must not be empty."""
        queue, again = self._queue, self._again
        if self._unseen:
            self._look(users, len(self._unseen))
        while True:
            if again and (not queue or again[0] < queue[0]):
                last, number, name = heappop(again)
            else:
                last, number, name = queue.popleft()
            used = users[name].used()
            if used == last:
                return name
            heappush(again, (used, number, name))

    def _look(self, users: Mapping[str, Any], most: int) -> None:
        unseen, again = self._unseen, self._again
        for _ in range(min(most, len(unseen))):
            name = unseen.pop()
            heappush(again, (users[name].used(), len(unseen), name))
