"""Hours of the day in which a strategy holds, read off room time alone, so that a replay sees the same hours."""

from __future__ import annotations

import re
from math import inf

import attrs

from roomguard.engine.rules.language import RuleError

DAY_S = 86_400
LATEST_S = 2.0**46
"""Room time from which on no hours are told any more; it is millions of years away."""
_hours = re.compile(
    r"(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<to>\d{1,2}:\d{2})\s*(?:UTC\s*)?(?P<offset>Z|[+-]\d{1,2}(?::\d{2})?)?", re.ASCII
)


@attrs.frozen
class Hours:
    """From `start` until just before `end`, seconds of the day at `offset` seconds east of UTC; may pass midnight."""

    start: int
    end: int
    offset: int

    def hold(self, now: float) -> bool:
        """Whether it is such an hour at room time `now`."""
        if abs(now) > LATEST_S:
            return False
        local = (now + self.offset) % DAY_S
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def next_edge(self, now: float) -> float:
        """The first moment after `now` at which they begin or end."""
        if abs(now) > LATEST_S:
            return inf
        midnight = (now + self.offset) // DAY_S * DAY_S - self.offset
        edges = (midnight + day + edge for day in (0, DAY_S) for edge in (self.start, self.end))
        return min(edge for edge in edges if edge > now)


def parse_hours(text: str) -> Hours:
    """The hours of "22:00-06:00+09:00" (without an offset: UTC). Raises RuleError."""
    match = _hours.fullmatch(text.strip())
    if match is None:
        raise RuleError(f'{text!r} are no hours; write FROM-TO and the offset from UTC, such as "22:00-06:00+09:00"')
    start, end = _seconds(match["from"], 24), _seconds(match["to"], 24)
    if start % DAY_S == end % DAY_S:
        raise RuleError("from and to are the same moment, which would be always or never")
    offset = match["offset"] or "Z"
    east = 0 if offset == "Z" else _seconds(offset[1:], 14) * (-1 if offset[0] == "-" else 1)
    return Hours(start % DAY_S, end % DAY_S, east)


def _seconds(text: str, most: int) -> int:
    hours, _, minutes = text.partition(":")
    seconds = int(hours) * 3_600 + int(minutes or 0) * 60
    if seconds > most * 3_600 or int(minutes or 0) > 59:
        raise RuleError(f"{text!r} is no time within {most} hours")
    return seconds
