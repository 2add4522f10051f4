"""How late the event loop is: the one number that tells a busy process from one that is stuck."""

from __future__ import annotations

import attrs
import trio

from roomguard.runtime.metrics import Histogram, HistogramStatistics

PERIOD_S = 0.1


@attrs.frozen
class LagStatistics:
    """How much later than asked for a task of this loop woke up, seconds."""

    seconds: HistogramStatistics


class LagMeter:
    """Measures while `run` runs; costs ten wake-ups a second."""

    def __init__(self) -> None:
        self._late = Histogram()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + PERIOD_S
            await trio.sleep_until(due)
            self._late.observe(max(0.0, trio.current_time() - due))

    def statistics(self) -> LagStatistics:
        """What was measured since the start."""
        return LagStatistics(self._late.statistics())
