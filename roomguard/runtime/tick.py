"""One beat for all readers, while small frames come thick: what a beat gathers is read, decided and answered in one go.

A wake-up costs more than the event that caused it. Where small frames come at less than `THICK_PER_S` nobody waits for
anything; above, a connection that was just read is read again at the next beat, and one that was quiet when bytes come
to it. A wait is never longer than a beat. Frames of `SMALL_FRAME_BYTES` and reads of `LARGE_READ_BYTES` need no
gathering and wait for none.

It saves CPU and costs latency, at any load: a loop that is behind gathers by itself, because more has come when it next
reads. So it is for those who pay for CPU, and off unless asked for.
"""

from __future__ import annotations

import trio

THICK_PER_S = 1_000.0
"""Small frames a second, over all connections, above which the beat begins. Below half of it the beat ends."""
SMALL_FRAME_BYTES = 1_024
"""Frames that are larger on the average, a handful of events, are worth their wake-up."""
LARGE_READ_BYTES = 16_384
"""A read of so many bytes is worth it too, whatever is in it."""
_FRAMES_LOOKED_AT = 64
_BEATS_LOOKED_AT = 32


class Tick:
    """The beat of one listener: `run` must be running. `seconds` between two beats; 0 turns it off."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting = trio.lowlevel.ParkingLot()
        self._begin = trio.Event()
        self._frames = 0
        self._since = float("-inf")
        self.thick = False
        """Whether readers should wait for the beat."""
        self.beats = 0

    def saw(self, frames: int) -> None:
        """A read that was worth gathering brought so many frames."""
        self._frames += frames
        if self._frames < _FRAMES_LOOKED_AT or self.thick or not self._seconds:
            return
        now = trio.current_time()
        self.thick = self._frames > THICK_PER_S * (now - self._since)
        self._frames, self._since = 0, now
        if self.thick:
            self._begin.set()

    async def wait(self) -> None:
        """Until the next beat."""
        await self._waiting.park()

    async def run(self) -> None:
        """Beat while it is wanted, until cancelled."""
        while True:
            await self._begin.wait()
            self._begin = trio.Event()
            while self.thick:
                await self._beat_for_a_while()

    async def _beat_for_a_while(self) -> None:
        """Some beats, then see whether they are still worth it."""
        self._frames, began = 0, trio.current_time()
        for _ in range(_BEATS_LOOKED_AT):
            await trio.sleep(self._seconds)
            self.beats += 1
            self._waiting.unpark_all()
        now = trio.current_time()
        self.thick = self._frames > THICK_PER_S / 2 * (now - began)
        self._frames, self._since = 0, now
        if not self.thick:
            self._waiting.unpark_all()
