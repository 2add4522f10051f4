"""A log that a hostile peer cannot flood: so many lines a window, the rest counted and mentioned with the next one."""

from __future__ import annotations

import logging


class QuietLog:
    """At most `burst` lines in `window_s` seconds go to `logger`; time is an argument."""

    def __init__(self, logger: logging.Logger, *, burst: int = 10, window_s: float = 10.0) -> None:
        self._logger = logger
        self._burst = burst
        self._window_s = window_s
        self._began = float("-inf")
        self._said = 0
        self.suppressed = 0

    def say(self, now: float, level: int, message: str, *args: object, error: BaseException | None = None) -> None:
        """Log a line, or count it where there were too many."""
        if now - self._began >= self._window_s:
            if self.suppressed:
                self._logger.warning("%d more lines like the last ones were suppressed", self.suppressed)
            self._began, self._said, self.suppressed = now, 0, 0
        if self._said >= self._burst:
            self.suppressed += 1
            return
        self._said += 1
        self._logger.log(level, message, *args, exc_info=error)
