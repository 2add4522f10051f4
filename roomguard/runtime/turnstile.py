"""One reader at a time decides events, so that a pass of the loop is as long as a slice and not as all of them.

A loop runs every task that is ready before it looks at its clocks and sockets again. With sixteen connections behind,
each of which decides some milliseconds of events a pass, everything else (acks of a commit, pings, deadlines of rooms,
the admin port) would wait for all sixteen.
"""

from __future__ import annotations

import trio

_SAME_PASS_S = 1e-3
"""Who comes so soon after another has left may be in the same pass of the loop, in which the other had its slice."""
_SHARED_S = 1e-3
"""Slices go on in one pass until together they took this long: a pass of the loop costs as much as some events."""


class Turnstile:
    """Whoever is inside goes on until it leaves or gives way; the others wait, first come, first served."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting = trio.lowlevel.ParkingLot()
        self._left = self._pass_began = float("-inf")

    @property
    def wanted(self) -> bool:
        """Whether somebody waits to be let in."""
        return bool(self._waiting)

    async def enter(self) -> None:
        """Be the one inside. A checkpoint only where somebody else is, or the slices of this pass have been long."""
        if self._taken:
            await self._waiting.park()
            return
        self._taken = True
        now = trio.current_time()
        if now >= self._left + _SAME_PASS_S:
            self._pass_began = now
        elif now >= self._pass_began + _SHARED_S:
            await trio.lowlevel.cancel_shielded_checkpoint()
            self._pass_began = trio.current_time()

    def leave(self) -> None:
        """Let the next one in."""
        if self._waiting:
            self._waiting.unpark()  # taken it stays: by that one from now on
        else:
            self._taken = False
            self._left = trio.current_time()

    async def give_way(self) -> None:
        """Let those in who wait, and the loop do everything else; being cancelled does not end it."""
        if not self._waiting:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        self.leave()
        with trio.CancelScope(shield=True):
            await self.enter()
