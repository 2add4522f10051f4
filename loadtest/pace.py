"""Waking up when it is time, to some microseconds.

The clocks of event loops go by milliseconds: a frame that is due at half past goes out half a millisecond late, and
together with what is due then. A guard is judged by less than that. So on Linux a timer of the kernel wakes whoever
waits; elsewhere the loop's own clock has to do.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from heapq import heappop, heappush
from itertools import count
from time import monotonic

_ABSOLUTE = 1
_CLOCK_MONOTONIC = 1
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class KernelTimer:
    """A timer of the kernel: its descriptor is readable from a point in time on."""

    def __init__(self) -> None:
        """Raises OSError where there is none to be had."""
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        self._setting = _Setting()
        self._settime = libc.timerfd_settime

    def set(self, due: float) -> None:
        """Ring at `due`, seconds of `time.monotonic`; what it was set to before is forgotten."""
        value = self._setting.value
        value.seconds = whole = int(due)
        value.nanoseconds = max(1, int((due - whole) * 1e9))  # set to nothing it would be off
        self._settime(self.descriptor, _ABSOLUTE, ctypes.byref(self._setting), None)

    def rang(self) -> bool:
        """Whether it has rung since this was asked."""
        try:
            return bool(os.read(self.descriptor, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give it back."""
        os.close(self.descriptor)


class Pacer:
    """Waits for points in time of the monotonic clock, however many at once. For one running event loop."""

    def __init__(self, timer: KernelTimer | None) -> None:
        """Without a `timer` the loop's own clock is used. `Pacer.best` has one where there is one."""
        self._loop = asyncio.get_running_loop()
        self._timer = timer
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        if timer is not None:
            self._loop.add_reader(timer.descriptor, self._ring, timer)

    @classmethod
    def best(cls) -> Pacer:
        """The most exact there is here."""
        return cls(KernelTimer() if sys.platform == "linux" else None)

    async def until(self, due: float) -> None:
        """Return at `due`, seconds of `time.monotonic`."""
        if self._timer is None:
            await asyncio.sleep(due - monotonic())
            return
        woken = self._loop.create_future()
        heappush(self._waiting, (due, next(self._order), woken))
        if self._waiting[0][2] is woken:
            self._timer.set(due)
        await woken

    def close(self) -> None:
        """Give the timer back; nobody waits any more."""
        if self._timer is not None:
            self._loop.remove_reader(self._timer.descriptor)
            self._timer.close()

    def _ring(self, timer: KernelTimer) -> None:
        if not timer.rang():
            return
        now = monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            woken = heappop(self._waiting)[2]
            if not woken.done():
                woken.set_result(None)
        if self._waiting:
            timer.set(self._waiting[0][0])
