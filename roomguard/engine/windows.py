"""Exact sliding windows with bounded memory.

A window of `w` seconds at time `now` is half-open, `(now - w, now]`: what happened exactly `w` ago is out, the current
event is in. Every structure has a cap; where it is reached the oldest entry goes and the count saturates, which is
exact for any rule that compares it with less than the cap. Times are room time in seconds and never go backwards.

A user's times are one string of doubles: a tuple would be twice as large, and cold in as many places as it has
numbers. What carries values is a flat tuple. Rooms and texts see more, so theirs are objects.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import islice, pairwise
from math import exp, sqrt
from struct import Struct
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import field

from roomguard.engine.sketch import MOST, Sketch

Times = bytes
"""Ascending doubles of this machine, packed."""
Pairs = tuple[Any, ...]
"""(time, value, time, value, ...): one flat tuple, so a user's window stays a single small object."""
_DOUBLE = Struct("d")
pack = _DOUBLE.pack
SIZE = _DOUBLE.size
"""Bytes of a time."""
LET_BE = 8
"""Times up to which a user's window is not looked through for what has run out: whoever asks leaves that aside."""


def packed(times: Iterable[float]) -> Times:
    """Times as a window keeps them."""
    return array("d", times).tobytes()


def unpacked(times: Times) -> list[float]:
    """What `packed` was given."""
    return array("d", times).tolist()


def latest(times: Times) -> float:
    """The last of the times, of which there must be one."""
    last: float = _DOUBLE.unpack_from(times, len(times) - SIZE)[0]
    return last


def since(times: Times, cutoff: float) -> int:
    """How many of the ascending `times` are later than `cutoff`."""
    stamps = array("d", times)
    return len(stamps) - bisect_right(stamps, cutoff)


def push(times: Times, now: float, cutoff: float, cap: int) -> Times:
    """`times` with `now` added, without what is not later than `cutoff`, at most `cap` of them."""
    if times and _DOUBLE.unpack_from(times)[0] <= cutoff:
        times = times[SIZE * bisect_right(array("d", times), cutoff) :]
    if len(times) >= SIZE * cap:
        times = times[SIZE - SIZE * cap :] if cap > 1 else b""
    return times + pack(now)


def push_pair(pairs: Pairs, now: float, value: Any, cutoff: float, cap: int) -> Pairs:
    """`pairs` with (now, value) added, without what is not later than `cutoff`, at most `cap` pairs."""
    if pairs and pairs[0] <= cutoff:
        pairs = pairs[2 * bisect_right(pairs[::2], cutoff) :]
    if len(pairs) >= 2 * cap:
        pairs = pairs[2 - 2 * cap :] if cap > 1 else ()
    return (*pairs, now, value)


def same(pairs: Pairs, value: Any, cutoff: float) -> int:
    """How many pairs later than `cutoff` hold `value`."""
    if not pairs:
        return 0
    if pairs[0] <= cutoff:
        pairs = pairs[2 * bisect_right(pairs[::2], cutoff) :]
    return pairs[1::2].count(value)


def total(pairs: Pairs, cutoff: float) -> float:
    """The sum of the values later than `cutoff`, added oldest first so that it is the same on every machine."""
    if not pairs:
        return 0.0
    if pairs[0] <= cutoff:
        pairs = pairs[2 * bisect_right(pairs[::2], cutoff) :]
    return float(sum(pairs[1::2]))


def different(pairs: Pairs, cutoff: float) -> int:
    """How many different values stand in the pairs later than `cutoff`."""
    if not pairs:
        return 0
    if pairs[0] <= cutoff:
        pairs = pairs[2 * bisect_right(pairs[::2], cutoff) :]
    return len(set(pairs[1::2]))


MIN_GAPS = 3
"""Fewer gaps say nothing about a rhythm."""


def _inside(times: Times, cutoff: float) -> array[float]:
    stamps = array("d", times)
    return stamps[bisect_right(stamps, cutoff) :]


def mean_gap(times: Times, cutoff: float) -> float | None:
    """Mean seconds between the events later than `cutoff`; None with fewer than `MIN_GAPS` gaps."""
    inside = _inside(times, cutoff)
    return (inside[-1] - inside[0]) / (len(inside) - 1) if len(inside) > MIN_GAPS else None


def regularity(times: Times, cutoff: float) -> float | None:
    """Standard deviation of the gaps over their mean: 0 is a metronome, people are near 1.

    None with fewer than `MIN_GAPS` gaps or when all events share one moment.
    """
    inside = _inside(times, cutoff)
    if len(inside) <= MIN_GAPS:
        return None
    gaps = [later - earlier for earlier, later in pairwise(inside)]
    mean = sum(gaps) / len(gaps)
    if mean <= 0:
        return None
    return round(sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean, 9)


class Window(msgspec.Struct, gc=False, eq=False):
    """What windows have in common: `window` seconds, and a `cap` on entries.

    Nothing in them can form a cycle, so the garbage collector is spared them: with a million users a full collection
    takes milliseconds instead of a second.
    """

    window: float
    cap: int


PRUNED_EVERY = 32
"""Events between which a count looks for those that have run out."""


class Count(Window):
    """How many events in the window. Times from `head` on count, and of these the latest `cap`.

    Most rooms have few: an array of doubles takes a tenth of what a deque takes for its first time.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    head: int = 0

    def hit(self, now: float, _value: Any = None) -> None:
        """Count one event at `now`. Generated source does the same."""
        times = self.times
        times.append(now)
        # What has run out is let go now and then: its head is far away in memory, and nobody asks at every event.
        if not len(times) % PRUNED_EVERY:
            self.prune(now)

    def prune(self, now: float) -> None:
        """Let go of what has run out, or is more than the cap."""
        self.value(now)
        gone = max(self.head, len(self.times) - self.cap)
        # Not at each look: what stays has to be moved.
        if gone >= min(PRUNED_EVERY, len(self.times) // 2):
            del self.times[:gone]
            self.head = 0

    def value(self, now: float) -> float | None:
        """The count at `now`."""
        times, head = self.times, self.head
        size, cutoff = len(times), now - self.window
        if head < size and times[head] <= cutoff:
            head += 1
            while head < size and times[head] <= cutoff:
                head += 1
            self.head = head
        count = size - head
        return min(self.cap, count)

    def last(self) -> float:
        """The time of the latest event that counts, or minus infinity."""
        return self.times[-1] if self.head < len(self.times) else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return self.times[max(self.head, len(self.times) - self.cap) :].tolist()

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self.times.extend(array("d", data[-self.cap :]))


class Sum(Window):
    """The sum of what the events in the window carry."""

    pairs: deque[tuple[float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Keep no more than the cap."""
        self.pairs = deque(maxlen=self.cap)

    def hit(self, now: float, value: Any) -> None:
        """Add `value` at `now`."""
        self.pairs.append((now, value))
        self._prune(now)

    def _prune(self, now: float) -> None:
        pairs = self.pairs
        cutoff = now - self.window
        while pairs and pairs[0][0] <= cutoff:
            pairs.popleft()

    def value(self, now: float) -> float | None:
        """The sum at `now`, added oldest first: a running sum would drift with the order of floats."""
        self._prune(now)
        return float(sum(value for _, value in self.pairs))

    def last(self) -> float:
        """The time of the latest event, or minus infinity."""
        return self.pairs[-1][0] if self.pairs else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [list(pair) for pair in self.pairs]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self.pairs.extend((time, value) for time, value in data)


class Distinct(Window):
    """How many different values in the window. A dict in order of last sight: its head is what expires next.

    At the cap the value unseen for longest is forgotten. While the window may still hold a forgotten one, a sketch
    counts what the dict cannot: about, and up to `sketch.MOST`. Once it cannot, the count is exact again.
    """

    seen: dict[str, float] = field(default_factory=dict)
    sketch: Sketch | None = None
    forgotten: float = float("-inf")
    """When the value forgotten last was last seen."""

    def hit(self, now: float, value: str) -> None:
        """See `value` at `now`."""
        seen = self.seen
        if value in seen:
            del seen[value]
        elif len(seen) >= self.cap:
            self._forget(now)
        seen[value] = now
        if self.sketch is not None:
            self.sketch.hit(now, value)

    def _forget(self, now: float) -> None:
        """Make place for one more value."""
        seen = self.seen
        first = next(iter(seen))
        last = seen[first]
        if last > now - self.window:
            self.forgotten = last
            if self.sketch is None:
                sketch = self.sketch = Sketch.starting(self.window, now)
                for value, at in seen.items():
                    sketch.hit(at, value)
        del seen[first]

    def value(self, now: float) -> float | None:
        """The number of values seen in the window; exact unless one of them had to be forgotten."""
        seen = self.seen
        cutoff = now - self.window
        while seen:
            first = next(iter(seen))
            if seen[first] > cutoff:
                break
            del seen[first]
        if self.sketch is None:
            return len(seen)
        if self.forgotten > cutoff:
            return max(len(seen) + 1, self.sketch.value(now))
        # Made anew at every second event of a room that has just so many, it would cost more than all else: it stays
        # for another window.
        if self.forgotten <= cutoff - self.window:
            self.sketch = None
        return len(seen)

    def most(self) -> float:
        """What the value cannot exceed; costs nothing to say."""
        return len(self.seen) if self.sketch is None else MOST

    def last(self) -> float:
        """The time of the latest event, or minus infinity."""
        return self.seen[next(reversed(self.seen))] if self.seen else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        seen = [[value, time] for value, time in self.seen.items()]
        return (
            seen if self.sketch is None else {"seen": seen, "forgotten": self.forgotten, "sketch": self.sketch.dump()}
        )

    def load(self, data: Any) -> None:
        """What `dump` gave; beyond the cap those unseen for longest are only counted."""
        if isinstance(data, dict):
            self.sketch, self.forgotten = Sketch.load(self.window, data["sketch"]), data["forgotten"]
            data = data["seen"]
        for value, time in data:
            self.hit(time, value)


EVENTS_KEPT = 4
"""A user's latest events that a cluster remembers."""


class Members(Window):
    """Which users in the window, each with their latest events there that no decision has dealt with yet.

    A Distinct of users for rules that act on all of them. `hit` takes (user, event id); an empty id counts the user and
    leaves nothing to act on. At the cap the user unseen for longest is forgotten.
    """

    first: str = ""
    seen: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def hit(self, now: float, value: tuple[str, str]) -> None:
        """See a user's event at `now`."""
        user, event = value
        seen = self.seen
        if self.first and self.last() <= now - self.window:
            self.first = ""
        before = seen.pop(user, None)
        if before is None:
            if len(seen) >= self.cap:
                del seen[next(iter(seen))]
            seen[user] = (now, event)
        else:
            seen[user] = (now, *before[1:][1 - EVENTS_KEPT :], event)

    def value(self, now: float) -> float | None:
        """The number of users seen in the window."""
        seen = self.seen
        cutoff = now - self.window
        while seen:
            first = next(iter(seen))
            if seen[first][0] > cutoff:
                return len(seen)
            del seen[first]
        self.first = ""
        return 0

    def members(self, now: float) -> list[tuple[str, tuple[str, ...]]]:
        """The users in the window with events left to act on, the one unseen for longest first."""
        self.value(now)
        found = ((user, tuple(event for event in entry[1:] if event)) for user, entry in self.seen.items())
        return [(user, events) for user, events in found if events]

    def take(self, user: str) -> None:
        """A decision has dealt with the events of `user`; the user still counts."""
        entry = self.seen.get(user)
        if entry is not None:
            self.seen[user] = entry[:1]

    def origin(self, event: str) -> str:
        """The event that first tipped this cluster, `event` if none did since the window was last empty."""
        self.first = self.first or event
        return self.first

    def last(self) -> float:
        """The time of the latest event, or minus infinity."""
        return self.seen[next(reversed(self.seen))][0] if self.seen else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [self.first, [[user, *entry] for user, entry in self.seen.items()]]

    def load(self, data: Any) -> None:
        """What `dump` gave; beyond the cap without those unseen for longest."""
        self.first, rows = data
        self.seen.update((user, tuple(entry)) for user, *entry in rows[-self.cap :])


class Ratio(Window):
    """Which share of the events in the window had a property. Unknown while there are none."""

    pairs: deque[tuple[float, bool]] = field(default_factory=deque)
    true: int = 0

    def hit(self, now: float, value: Any) -> None:
        """Count one event, `value` saying whether it has the property."""
        pairs = self.pairs
        pairs.append((now, value))
        self.true += value
        cutoff = now - self.window
        while pairs[0][0] <= cutoff or len(pairs) > self.cap:
            self.true -= pairs.popleft()[1]

    def value(self, now: float) -> float | None:
        """The share, 0 to 1."""
        pairs = self.pairs
        cutoff = now - self.window
        while pairs and pairs[0][0] <= cutoff:
            self.true -= pairs.popleft()[1]
        return self.true / len(pairs) if pairs else None

    def last(self) -> float:
        """The time of the latest event, or minus infinity."""
        return self.pairs[-1][0] if self.pairs else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [list(pair) for pair in self.pairs]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self.pairs.extend((time, flag) for time, flag in data)
        self.true = sum(flag for _, flag in self.pairs)


class Ewma(Window):
    """Events a second, each weighing exp(-age/window): a baseline in two numbers."""

    level: float = 0.0
    at: float = float("-inf")

    def hit(self, now: float, _value: Any = None) -> None:
        """Count one event."""
        self.level = self.level * exp((self.at - now) / self.window) + 1.0 / self.window
        self.at = now

    def value(self, now: float) -> float | None:
        """Events a second, rounded so that it is the same wherever exp() differs in its last bit."""
        if self.at == float("-inf"):
            return None
        return round(self.level * exp((self.at - now) / self.window), 9)

    def last(self) -> float:
        """The time of the latest event, or minus infinity."""
        return self.at

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [self.level, self.at] if self.at > float("-inf") else None

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        if data is not None:
            self.level, self.at = data


ZSCORE_BINS = 10
"""Bins that must have passed before a baseline says anything."""


MAX_BINS = 256
"""Empty bins closed at once after a silence: no thousandth of a baseline is left after so many."""


class ZScore(Window):
    """How unusual the current bin of `window` seconds is against the bins before it, in standard deviations.

    Mean and variance are exponentially weighted over some 30 bins (West 1979, incremental form). Unknown for the first
    `ZSCORE_BINS` bins.
    """

    start: float = float("-inf")
    current: int = 0
    bins: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def _roll(self, now: float) -> None:
        if self.start == float("-inf"):
            self.start = now
            return
        passed = int((now - self.start) / self.window)
        # After a long silence the baseline decays towards zero; a bounded number of empty bins has to say it.
        for _ in range(min(passed, MAX_BINS)):
            self._close()
        self.start += passed * self.window

    def _close(self) -> None:
        weight = max(1 / 30, 1 / (self.bins + 1))
        delta = self.current - self.mean
        self.mean = round(self.mean + weight * delta, 9)
        self.variance = round((1 - weight) * (self.variance + weight * delta * delta), 9)
        self.bins += 1
        self.current = 0

    def hit(self, now: float, _value: Any = None) -> None:
        """Count one event."""
        self._roll(now)
        self.current += 1

    def value(self, now: float) -> float | None:
        """Standard deviations above the mean; the +1 keeps a dead quiet room from calling two events a wave."""
        self._roll(now)
        if self.bins < ZSCORE_BINS:
            return None
        return round((self.current - self.mean) / sqrt(self.variance + 1.0), 9)

    def last(self) -> float:
        """The start of the current bin."""
        return self.start

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        if self.start == float("-inf"):
            return None
        return [self.start, self.current, self.bins, self.mean, self.variance]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        if data is not None:
            self.start, self.current, self.bins, self.mean, self.variance = data


WindowClass = type[Count] | type[Sum] | type[Distinct] | type[Members] | type[Ratio] | type[Ewma] | type[ZScore]


LEAVING = 64
"""Keys looked up at once that are the next to leave."""
FADED = 64
"""Windows after which an average of one key is forgotten: next to nothing of it is left."""


NOTHING: Any = MappingProxyType({})
"""In the place of a dict that most windows never need, and never written to."""


class Once(msgspec.Struct, gc=False, eq=False):
    """The only event of a key so far."""

    at: float
    value: Any


class Keyed(msgspec.Struct, gc=False, eq=False):
    """One window for each key (a text, a domain, a device), the least recently used forgotten at `texts` keys.

    Most keys are seen once: the first event of a key is kept as it is, and becomes a window with the second (a quarter
    of the cost and of the memory). Expired keys leave two at a time as new ones come, so no step pays for many. What
    fades instead of running out (averages) is expired, and unknown again, after `FADED` windows.

    `entries` stand in the order of their last use, and `leaving` holds the first of them: to ask a dict for its first
    entry again and again means to walk over the holes that those before it left. An OrderedDict does not do that, but
    costs twice as much, and 100 bytes more a key.
    """

    factory: WindowClass
    window: float
    cap: int
    texts: int
    entries: dict[Any, Any] = field(default_factory=dict)
    leaving: dict[Any, None] = NOTHING
    oldest: float = float("-inf")
    """No key was last used before this; until it has run out there is nothing to sweep."""
    evicted: int = 0
    fades: bool = False
    ones: bool = False
    """The value of one event is 1, whatever it carries."""
    life: float = 0.0

    def __post_init__(self) -> None:
        """Know the kind of window."""
        self.fades = self.factory in (Ewma, ZScore)
        self.ones = self.factory in (Count, Distinct, Members)
        self.life = self.window * FADED if self.fades else self.window

    def hit(self, key: Any, now: float, value: Any = None) -> None:
        """Count for `key`."""
        entries = self.entries
        entry = entries.get(key)
        if entry is None:
            if self.oldest <= now - self.life or len(entries) >= self.texts:
                self._sweep(now)
            entries[key] = Once(now, value)
            return
        del entries[key]
        if key in self.leaving:
            del self.leaving[key]
        if self.fades and _last(entry) <= now - self.life:
            entries[key] = Once(now, value)
            return
        if type(entry) is Once:
            entry = self._grown(entry)
        entries[key] = entry
        entry.hit(now, value)

    def _grown(self, first: Once) -> Any:
        """The window of a key that was seen once."""
        window = self.factory(self.window, self.cap)
        window.hit(first.at, first.value)
        return window

    def _first(self) -> Any:
        """The key unused for longest. Only while there is one."""
        if not self.leaving:
            self.leaving = dict.fromkeys(islice(self.entries, LEAVING))
        return next(iter(self.leaving))

    def _forget(self, key: Any) -> None:
        """Forget the key that `_first` gave."""
        del self.entries[key], self.leaving[key]

    def _sweep(self, now: float) -> None:
        """Make place for one more key."""
        entries = self.entries
        cutoff = now - self.life
        if self.oldest <= cutoff:
            self.oldest = float("-inf")
            for _ in range(2):
                if not entries:
                    break
                first = self._first()
                last = _last(entries[first])
                if last > cutoff:
                    self.oldest = last
                    break
                self._forget(first)
        if len(entries) >= self.texts:
            self._forget(self._first())
            self.evicted += 1

    def value(self, key: Any, now: float) -> float | None:
        """The window's value for `key`; zero-like for a key without events."""
        entry = self.entries.get(key)
        if entry is None:
            return None if self.fades or self.factory is Ratio else 0
        if self.fades and _last(entry) <= now - self.life:
            return None
        if type(entry) is Once:
            if self.ones:
                return int(entry.at > now - self.window)
            entry = self.entries[key] = self._grown(entry)
        value: float | None = entry.value(now)
        return value

    def window_of(self, key: Any) -> Any:
        """The window of `key` itself, or None."""
        entry = self.entries.get(key)
        if type(entry) is Once:
            entry = self.entries[key] = self._grown(entry)
        return entry

    def last(self) -> float:
        """The time of the latest event of any key."""
        return _last(self.entries[next(reversed(self.entries))]) if self.entries else float("-inf")

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [[key, (self._grown(e) if type(e) is Once else e).dump()] for key, e in self.entries.items()]

    def load(self, data: Any) -> None:
        """What `dump` gave; beyond the cap without the keys unused for longest."""
        self.evicted += max(0, len(data) - self.texts)
        for key, content in data[-self.texts :]:
            entry = self.factory(self.window, self.cap)
            entry.load(content)
            self.entries[key] = entry


def _last(entry: Any) -> float:
    """When a key was last used: of its window, or of its only event."""
    last: float = entry.at if type(entry) is Once else entry.last()
    return last


def share(some: Times, every: Times, cutoff: float) -> float | None:
    """Which share of `every` later than `cutoff` is in `some`. None while there is nothing."""
    whole = since(every, cutoff)
    return since(some, cutoff) / whole if whole else None
