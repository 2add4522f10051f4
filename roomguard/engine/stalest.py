"""Which users of a full room were unused for longest, without a look at all of them for each that has to go."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any


class Stalest:
    """The users of one room by their last use, among equals the one met first.

    A heap of `(last use, number, name)`, one entry a user. What a user did since is not noted here; an entry that has
    become old is put right when it comes to the top. Made when a room reaches its cap, which most never do.
    """

    __slots__ = ("_heap", "_met")

    def __init__(self, users: Mapping[str, Any]) -> None:
        self._heap = [(user.used(), number, name) for number, (name, user) in enumerate(users.items())]
        self._met = len(self._heap)
        heapify(self._heap)

    def add(self, name: str, now: float) -> None:
        """A user was met."""
        heappush(self._heap, (now, self._met, name))
        self._met += 1

    def swap(self, users: Mapping[str, Any], name: str, now: float) -> str:
        """`pop` and then `add` in one."""
        heap = self._heap
        while True:
            last, number, stale = heap[0]
            used = users[stale].used()
            if used == last:
                heapreplace(heap, (now, self._met, name))
                self._met += 1
                return stale
            heapreplace(heap, (used, number, stale))

    def pop(self, users: Mapping[str, Any]) -> str:
        """The user unused for longest, who is forgotten here; `users` must not be empty."""
        heap = self._heap
        while True:
            last, number, name = heap[0]
            used = users[name].used()
            if used == last:
                heappop(heap)
                return name
            heapreplace(heap, (used, number, name))
