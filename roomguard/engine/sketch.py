"""How many different values were seen of late, in some 22 KB, however many they are.

A value falls into one of `BUCKETS` buckets by its digest, and a bucket knows when it was last fallen into. From how
many were within the window follows how many values did that: n values leave a share exp(-n / BUCKETS) of them empty
(linear counting, Whang and others 1990, with times in place of bits, so that the window slides). The count is within
5 % of the truth up to 20,000 and within 10 % up to `MOST`; a test holds that.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from math import log
from typing import Any
from zlib import crc32

import msgspec
from msgspec import field

BUCKETS = 8_192
MOST = 50_000
"""The largest count; beyond it so few buckets are empty that they say little."""
TICKS = 64
"""Ticks of a window: times are known to one of them."""
_LAST_TICK = 65_000
"""Ticks are kept in 16 bits and counted anew from here."""


def bucket_of(value: str) -> int:
    """The bucket of a value: the same on every machine and in every process."""
    number = crc32(value.encode("utf-8", "surrogatepass"))
    # Checksums of values that differ in a digit are too regular to count by; this mixes them (the end of MurmurHash3).
    number = ((number ^ number >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    number = ((number ^ number >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return (number ^ number >> 16) % BUCKETS


def ticks_at(window: float, now: float) -> int:
    """The tick at `now`, counted from the beginning of time."""
    # Half a tick less than TICKS is a window: what began it is let go half a tick early or late, as it comes.
    return int(now * (TICKS - 0.5) / window)


class Sketch(msgspec.Struct, gc=False, eq=False):
    """Counts different values of the last `window` seconds, about. Times never go backwards."""

    window: float
    before: int
    """Ticks of room time before the first one kept here."""
    seen: array[int] = field(default_factory=lambda: array("H", bytes(2 * BUCKETS)))
    """Buckets to the tick they were last fallen into; 0 for never."""
    counts: dict[int, int] = field(default_factory=dict)
    """Ticks within the window, ascending, to the buckets last fallen into then."""
    live: int = 0
    """Buckets fallen into within the window."""

    def hit(self, now: float, value: str) -> None:
        """See a value at `now`."""
        tick = self._tick(now)
        bucket = bucket_of(value)
        before = self.seen[bucket]
        counts = self.counts
        if before == tick:
            return
        if before > tick - TICKS and before:
            counts[before] -= 1
        else:
            self.live += 1
        counts[tick] = counts.get(tick, 0) + 1
        self.seen[bucket] = tick

    def value(self, now: float) -> int:
        """How many different values were seen in the window; at most `MOST`."""
        self._tick(now)
        empty = BUCKETS - self.live
        return min(MOST, round(BUCKETS * log(BUCKETS / empty))) if empty else MOST

    def _tick(self, now: float) -> int:
        """The tick at `now`; what has run out by then is let go."""
        tick = ticks_at(self.window, now) - self.before
        counts = self.counts
        while counts:
            first = next(iter(counts))
            if first > tick - TICKS:
                break
            self.live -= counts.pop(first)
        if tick > _LAST_TICK:
            gone = tick - TICKS
            self.seen = array("H", [max(0, one - gone) for one in self.seen])
            self.counts = {one - gone: count for one, count in counts.items()}
            self.before += gone
            tick = TICKS
        return tick

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [self.before, list(self.counts.items()), self.live, b64encode(_little(self.seen).tobytes()).decode()]

    @classmethod
    def starting(cls, window: float, now: float) -> Sketch:
        """An empty one that takes values of the last window before `now` and later ones."""
        return cls(window, ticks_at(window, now) - TICKS - 1)

    @classmethod
    def load(cls, window: float, data: Any) -> Sketch:
        """What `dump` gave. Raises ValueError for what it did not give."""
        before, counts, live, seen = data
        buckets = array("H", b64decode(seen))
        if len(buckets) != BUCKETS:
            raise ValueError(f"a sketch has {BUCKETS} buckets, not {len(buckets)}")
        return cls(window, before, _little(buckets), dict(map(tuple, counts)), live)


def _little(numbers: array[int]) -> array[int]:
    """The same numbers, or from them, with the low byte first."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
