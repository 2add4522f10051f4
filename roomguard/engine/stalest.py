"""Which users of a full room were unused for longest, without a look at all of them for each that has to go."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

_Entry = tuple[float, int, str]


class Stalest:
    """The users of one room by their last use, among equals the one met first.

    One entry a user: `(last use, number, name)`. What a user did since is not noted here; an entry that has become old
    is put right when its turn comes. Users come in the order of time, so a queue keeps them; only what was put right
    needs a heap. Made when a room reaches its cap, which most never do.
    """

    __slots__ = ("_again", "_met", "_queue")

    def __init__(self, users: Mapping[str, Any]) -> None:
        entries = sorted((user.used(), number, name) for number, (name, user) in enumerate(users.items()))
        self._queue: deque[_Entry] = deque(entries)
        self._again: list[_Entry] = []
        self._met = len(entries)

    def add(self, name: str, now: float) -> None:
        """A user was met; nobody was at a later time before."""
        self._queue.append((now, self._met, name))
        self._met += 1

    def pop(self, users: Mapping[str, Any]) -> str:
        """The user unused for longest, who is forgotten here; `users` must not be empty."""
        queue, again = self._queue, self._again
        while True:
            if again and (not queue or again[0] < queue[0]):
                last, number, name = heappop(again)
            else:
                last, number, name = queue.popleft()
            used = users[name].used()
            if used == last:
                return name
            heappush(again, (used, number, name))
