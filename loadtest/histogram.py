"""Latencies in buckets of 1 % width: bounded memory however long the run, percentiles good to that width."""

from __future__ import annotations

import math
from collections import Counter

_WIDTH = math.log(1.01)
_FLOOR = 1e-6  # seconds; anything shorter counts as this


class Histogram:
    """Counts of durations in seconds. At most some 2,100 buckets between a microsecond and twenty minutes."""

    __slots__ = ("_buckets", "count", "max", "total")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0
        self.max = 0.0

    def add(self, seconds: float, weight: int = 1) -> None:
        """Count one duration `weight` times."""
        self._buckets[int(math.log(seconds / _FLOOR) / _WIDTH) if seconds > _FLOOR else 0] += weight
        self.count += weight
        self.total += seconds * weight
        self.max = max(self.max, seconds)

    def merge(self, other: Histogram) -> None:
        """Add all of `other`."""
        self._buckets.update(other._buckets)
        self.count += other.count
        self.total += other.total
        self.max = max(self.max, other.max)

    def percentile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all did not exceed, in seconds; None while empty."""
        if not self.count:
            return None
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.max, _FLOOR * math.exp((bucket + 1) * _WIDTH))
        return self.max

    def summary_ms(self) -> dict[str, float | int | None]:
        """p50, p99, p99.9, max and mean in milliseconds, with the count."""

        def ms(seconds: float | None) -> float | None:
            return None if seconds is None else round(seconds * 1e3, 3)

        return {
            "count": self.count,
            "p50": ms(self.percentile(0.5)),
            "p99": ms(self.percentile(0.99)),
            "p99_9": ms(self.percentile(0.999)),
            "max": ms(self.max if self.count else None),
            "mean": ms(self.total / self.count if self.count else None),
        }
