"""One reader at a time decides events, so that a pass of the loop is as long as one slice and not as all of them.

A loop runs every task that is ready before it looks at its clocks and sockets again. With sixteen connections behind,
each of which decides some milliseconds of events a pass, everything else (acks of a commit, pings, deadlines of rooms,
the admin port) would wait for all sixteen.
"""

from __future__ import annotations

import trio


class Turnstile:
    """Whoever is inside goes on until it leaves or gives way; the others wait, first come, first served."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def enter(self) -> None:
        """Be the one inside. A checkpoint only where somebody else is."""
        if not self._taken:
            self._taken = True
            return
        await self._waiting.park()

    def leave(self) -> None:
        """Let the next one in."""
        if self._waiting:
            self._waiting.unpark()  # taken it stays: by that one from now on
        else:
            self._taken = False

    async def give_way(self) -> None:
        """Let those in who wait, and the loop do everything else; being cancelled does not end it."""
        if not self._waiting:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        self.leave()
        with trio.CancelScope(shield=True):
            await self.enter()
