"""A pace: some messages at once are free, then they go out one by one, until there was a pause.

What comes too early is not refused, it waits: each waits for the one before it. Whoever keeps within the pace is still
held to it; only a pause longer than the cooldown gives the burst back. Kept for a user as `(when, used)`: when their
last message goes out, and how many of the burst are used up.
"""

from __future__ import annotations

MOST_WAIT_S = 30.0
"""Nobody waits for longer; who is further ahead of their pace than that goes out after so long all the same."""
_TOLERANCE_S = 1e-6
"""Room time is known to a quarter of a microsecond, and sums of gaps a little less well: that is no wait."""

Paced = tuple[float, int]


def paced(last: Paced | tuple[()], now: float, burst: int, gap_s: float, cooldown_s: float) -> Paced:
    """What is kept after a message at `now`; it goes out at the first part, which is never before `now`."""
    if not last or now - last[0] > cooldown_s:
        return now, 1
    when, used = last
    if used < burst:
        return now, used + 1
    due = when + gap_s
    return (min(due, now + MOST_WAIT_S) if due - now > _TOLERANCE_S else now), used
