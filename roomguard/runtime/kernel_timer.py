"""A timer of the kernel that rings again and again, exact to some microseconds.

The clock of trio's loop goes by milliseconds: who sleeps for half of one is woken after one or two. (The load test has
one of its own, for single points in time: it stands outside of the product.)
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Self

_CLOCK_MONOTONIC = 1
_RELATIVE = 0
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class KernelTimer:
    """Its `descriptor` is readable from when it has rung until `rang` was asked. Off until `every` sets it."""

    @classmethod
    def best(cls) -> Self | None:
        """One, where there is one to be had: on Linux. Elsewhere the loop's own clock has to do."""
        if sys.platform != "linux":
            return None
        try:
            return cls()
        except OSError:
            return None

    def __init__(self) -> None:
        """Raises OSError where there is none to be had."""
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        self._settime = libc.timerfd_settime

    def every(self, seconds: float) -> None:
        """Ring each time so many seconds, less than one, are over; 0 turns it off."""
        time = _Time(0, int(seconds * 1e9))
        self._settime(self.descriptor, _RELATIVE, ctypes.byref(_Setting(time, time)), None)

    def rang(self) -> bool:
        """Whether it has rung since this was asked."""
        try:
            return bool(os.read(self.descriptor, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give it back."""
        os.close(self.descriptor)
