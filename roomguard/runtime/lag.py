"""How late the event loop is: the one number that tells a busy process from one that is stuck."""

from __future__ import annotations

import attrs
import trio

from roomguard.runtime.metrics import Histogram, HistogramStatistics

PERIOD_S = 0.02
"""No stall that is longer than this falls between two looks."""
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; finer than `metrics.SECONDS` where a loop that is busy is told from one that is held up."""


@attrs.frozen
class LagStatistics:
    """How much later than asked for a task of this loop woke up, seconds."""

    seconds: HistogramStatistics


class LagMeter:
    """Measures while `run` runs; costs fifty wake-ups a second, a thousandth of a core."""

    def __init__(self) -> None:
        self._late = Histogram(BOUNDS)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + PERIOD_S
            await trio.sleep_until(due)
            self._late.observe(max(0.0, trio.current_time() - due))

    def statistics(self) -> LagStatistics:
        """What was measured since the start."""
        return LagStatistics(self._late.statistics())
