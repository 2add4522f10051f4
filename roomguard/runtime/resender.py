"""When an action is sent again: every few seconds to each connection that has not called it enforced.

Pure bookkeeping; `now` is an argument and must not go backwards. All repeats have the same interval, so the queue is
in order of time by itself and needs no heap. An action that no connection is left to enforce is an orphan: whoever
takes its room next gets it first, so that a reconnect or a restart loses nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

import attrs

K = TypeVar("K", bound=Hashable)


class Sent(NamedTuple):
    """A durable action on its way out. `data` is its JSON; `lasts_s` is what remains of it, None without an end."""

    offset: int
    id: str
    room: str
    data: bytes
    lasts_s: float | None


@attrs.define(eq=False)
class _Repeat(Generic[K]):
    sent: Sent
    due: float
    ends: float
    waiting: dict[K, None]
    tries: int = 0
    enforced: bool = False


class Resender(Generic[K]):
    """Keeps what must be sent again, for receivers of any kind `K`.

    Holds at most `limit` actions; one more gives up on the one waiting longest, which is counted.
    """

    def __init__(self, every_s: float, times: int, limit: int) -> None:
        self._every_s = every_s
        self._times = times
        self._limit = limit
        self._queue: deque[_Repeat[K]] = deque()
        self._of: dict[K, dict[str, _Repeat[K]]] = {}
        self._orphans: dict[str, dict[str, _Repeat[K]]] = {}
        self.resent = 0
        self.enforced_first = 0
        """Actions that somebody called enforced."""
        self.unenforced = 0
        """Actions that ran out, or were sent as often as is allowed, without being called enforced."""
        self.overflowed = 0
        """Actions given up because too many waited."""

    def __len__(self) -> int:
        return len(self._queue)

    def sent(self, sent: Sent, receivers: Iterable[K], now: float) -> None:
        """An action went to `receivers` for the first time; to nobody makes it an orphan."""
        if len(self._queue) >= self._limit:
            self._forget(self._queue.popleft())
            self.overflowed += 1
        ends = math.inf if sent.lasts_s is None else now + sent.lasts_s
        repeat = _Repeat(sent, now + self._every_s, ends, dict.fromkeys(receivers))
        self._queue.append(repeat)
        for receiver in repeat.waiting:
            self._of.setdefault(receiver, {})[sent.id] = repeat
        if not repeat.waiting:
            self._orphan(repeat)

    def enforced(self, receiver: K, ids: Collection[str]) -> list[Sent]:
        """`receiver` says it enforced these; returns those nobody had called enforced before."""
        mine = self._of.get(receiver, {})
        news = []
        for ident in ids:
            repeat = mine.pop(ident, None)
            if repeat is None:
                continue
            repeat.waiting.pop(receiver, None)
            if not repeat.enforced:
                repeat.enforced = True
                self.enforced_first += 1
                news.append(repeat.sent)
        return news

    def orphaned(self, room: str) -> bool:
        """Whether the room has actions that wait for somebody to take it."""
        return room in self._orphans

    def took(self, receiver: K, room: str, now: float) -> list[Sent]:
        """`receiver` has the room from now on; returns the room's orphans that are not over, in offset order."""
        orphans = self._orphans.get(room, {})
        alive = [repeat for repeat in orphans.values() if repeat.ends > now]
        if not alive:
            return []
        mine = self._of.setdefault(receiver, {})
        for repeat in alive:
            del orphans[repeat.sent.id]
            repeat.waiting[receiver] = None
            repeat.tries = 0
            mine[repeat.sent.id] = repeat
        if not orphans:
            del self._orphans[room]
        return sorted(repeat.sent for repeat in alive)

    def left(self, receiver: K, room: str | None = None) -> None:
        """`receiver` has this room, or any room, no longer."""
        mine = self._of.get(receiver)
        if mine is None:
            return
        going = [repeat for repeat in mine.values() if room is None or repeat.sent.room == room]
        for repeat in going:
            del mine[repeat.sent.id]
            repeat.waiting.pop(receiver, None)
            if not repeat.waiting and not repeat.enforced:
                self._orphan(repeat)
        if not mine:
            del self._of[receiver]

    def next_due(self) -> float | None:
        """When `due` has something to do, None if never.

        What was enforced meanwhile is let go here: to be woken for each of those cost a hundredth of a busy guard.
        """
        queue = self._queue
        while queue and queue[0].enforced and not queue[0].waiting:
            queue.popleft()
        return queue[0].due if queue else None

    def due(self, now: float, limit: int) -> list[tuple[K, Sent]]:
        """Whom to send what again by `now`; looks at no more than `limit` actions."""
        out: list[tuple[K, Sent]] = []
        queue = self._queue
        for _ in range(min(limit, len(queue))):
            if queue[0].due > now:
                break
            repeat = queue.popleft()
            if repeat.enforced and not repeat.waiting:
                continue  # it stood behind one that nobody had called enforced
            if now >= repeat.ends or repeat.tries >= self._times:
                self._forget(repeat)
                self.unenforced += not repeat.enforced
                continue
            repeat.tries += 1
            repeat.due = now + self._every_s
            queue.append(repeat)
            out.extend((receiver, repeat.sent) for receiver in repeat.waiting)
        self.resent += len(out)
        return out

    def _orphan(self, repeat: _Repeat[K]) -> None:
        self._orphans.setdefault(repeat.sent.room, {})[repeat.sent.id] = repeat

    def _forget(self, repeat: _Repeat[K]) -> None:
        ident, room = repeat.sent.id, repeat.sent.room
        for receiver in repeat.waiting:
            mine = self._of[receiver]
            mine.pop(ident, None)
            if not mine:
                del self._of[receiver]
        orphans = self._orphans.get(room, {})
        if orphans.pop(ident, None) is not None and not orphans:
            del self._orphans[room]

    def _check(self) -> None:
        """The invariants, for tests: both indexes agree with the queue, and empty tables are gone."""
        alive = {id(repeat) for repeat in self._queue}
        for receiver, mine in self._of.items():
            assert all(receiver in repeat.waiting and id(repeat) in alive for repeat in mine.values())  # noqa: S101
        for room, orphans in self._orphans.items():
            assert orphans  # noqa: S101
            for repeat in orphans.values():
                assert repeat.sent.room == room and not repeat.waiting and id(repeat) in alive  # noqa: S101, PT018
        for repeat in self._queue:
            for receiver in repeat.waiting:
                assert self._of[receiver][repeat.sent.id] is repeat  # noqa: S101
