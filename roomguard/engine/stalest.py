"""Which users of a full room were unused for longest, without a look at all of them for each that has to go."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Any

LOOKED_AT = 2
"""Users looked at with each that is met: more than one, so that all are before a room is full."""

_Entry = tuple[float, int, str]


class Stalest:
    """The users of one room by their last use, among equals the one met first.

    Users come in the order of time, so a queue of their names keeps them: when they were met stands in their record.
    What a user did since is not noted here; who has done something by the time their turn comes waits in a heap, as
    `(last use, number, name)`. It is begun when a room is half full and looks at those who are there by then some at a
    time: to look at all of a room's 20,000 at once took as long as to judge a thousand messages.
    """

    __slots__ = ("_again", "_queue", "_taken", "_unseen")

    def __init__(self, users: Mapping[str, Any]) -> None:
        self._unseen: list[str] = list(users)
        self._taken = len(self._unseen)
        """How many were met before the first of the queue: its number."""
        self._queue: deque[str] = deque()
        self._again: list[_Entry] = []

    def add(self, name: str, users: Mapping[str, Any]) -> None:
        """A user was met, nobody later; their record has to be in `users` before the next `pop`."""
        self._queue.append(name)
        if self._unseen:
            self._look(users, LOOKED_AT)

    def pop(self, users: Mapping[str, Any]) -> str:
        """The user unused for longest, who is forgotten here; `users` must not be empty."""
        queue, again = self._queue, self._again
        if self._unseen:
            self._look_at_rest(users)
        while True:
            if queue:
                name = queue[0]
                user = users[name]
                # Whoever is in the heap was met before anybody in the queue.
                if not again or again[0][0] > user.first:
                    queue.popleft()
                    number, self._taken = self._taken, self._taken + 1
                    used = user.used()
                    if used == user.first:
                        return name
                    heappush(again, (used, number, name))
                    continue
            last, number, name = heappop(again)
            used = users[name].used()
            if used == last:
                return name
            heappush(again, (used, number, name))

    def _look(self, users: Mapping[str, Any], most: int) -> None:
        unseen, again = self._unseen, self._again
        for _ in range(min(most, len(unseen))):
            name = unseen.pop()
            heappush(again, (users[name].used(), len(unseen), name))

    def _look_at_rest(self, users: Mapping[str, Any]) -> None:
        unseen, again = self._unseen, self._again
        again += [(users[name].used(), number, name) for number, name in enumerate(unseen)]
        heapify(again)
        unseen.clear()
