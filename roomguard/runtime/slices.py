"""Long work outside of the way of events, with a turn for everybody else whenever a slice of time is spent."""

from __future__ import annotations

import trio

from roomguard.engine.portions import Portions, T

SLICE_S = 0.001
"""Seconds spent before others have their turn; what cannot be interrupted takes longer."""


class Slices:
    """Says when the time of the present slice is spent, and gives way."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new slice begins now: others have had their turn."""
        self._began = trio.current_time()

    @property
    def spent(self) -> bool:
        """Whether others should have their turn."""
        return trio.current_time() - self._began >= SLICE_S

    async def give_way(self) -> None:
        """Let everybody else have a turn."""
        await trio.lowlevel.checkpoint()
        self.begin()


async def in_slices(portions: Portions[T]) -> T:
    """What these portions make. Raises what they raise."""
    slices = Slices()
    while True:
        try:
            next(portions)
        except StopIteration as end:
            made: T = end.value
            return made
        if slices.spent:
            await slices.give_way()
