"""Time as the shell hands it to rooms; every `now` is an argument and nothing here reads a clock.

An edge stamps its events with its own clock. The session's clock offset is taken out, then the time is clamped around
the arrival, so that no edge and no event can pull a room's time away from what the other edges see. The room itself
keeps it from going backwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from roomguard.model.events import Event


@attrs.frozen
class AnchoredClock:
    """Unix time that only moves forward: the wall clock read once, then the monotonic one.

    A wall clock that is stepped later looks like a skew of the edges, which the session offset takes out.
    """

    wall: float
    """Unix seconds at the anchor."""
    monotonic: float
    """The monotonic clock at the anchor, seconds."""

    def now(self, monotonic: float) -> float:
        """Unix seconds for a reading of the monotonic clock."""
        return self.wall + (monotonic - self.monotonic)


def frame_skew(events: Sequence[Event], arrival: float, width: float) -> float:
    """How far a frame's clock runs ahead of ours: the latest of its first, middle and last event.

    Three looks instead of all: the cost does not grow with the frame. One that is more than `width` (seconds) ahead of
    the median is wild and does not count.
    """
    last = len(events) - 1
    if not last:
        return events[0].ts - arrival
    _, median, latest = sorted((events[0].ts, events[last >> 1].ts, events[last].ts))
    return (latest if latest - median <= width else median) - arrival


def set_right(events: Sequence[Event], *, offset: float, earliest: float, latest: float) -> int:
    """Take the session's clock `offset` out of every `ts`, then hold it between two Unix times; how many were held."""
    if offset:
        for event in events:
            event.ts -= offset
    held = 0
    for event in events:
        if not earliest <= event.ts <= latest:
            event.ts = earliest if event.ts < earliest else latest
            held += 1
    return held


@attrs.define
class _Generation:
    most: float = float("-inf")
    inside: int = 0
    outside: int = 0


@attrs.define
class SessionClock:
    """The clock offset of one session: the largest skew of two generations, where that lies outside the clamp.

    The largest, because a delay on the way only ever makes a skew smaller. Inside the clamp nothing is corrected: a
    recording played through a socket with a widened clamp keeps its times exactly. Frames whose skew lies inside have
    to be the minority, or a few wild ones would shift the whole session.
    """

    back_s: float
    ahead_s: float
    generation_s: float = 30.0
    _since: float = float("-inf")
    _old: _Generation = attrs.field(factory=_Generation)
    _new: _Generation = attrs.field(factory=_Generation)

    def offsets(self, skews: Sequence[float], now: float) -> list[float]:
        """Seconds to take out of the `ts` of each of some frames with these skews, in order, read at `now`."""
        age = now - self._since
        if age >= self.generation_s:
            self._old = self._new if age < 2 * self.generation_s else _Generation()
            self._new = _Generation()
            self._since = now
        new, old = self._new, self._old
        least, largest = -self.back_s, self.ahead_s
        most = max(skews)
        if least <= min(skews) and most <= largest and new.most <= largest and old.most <= largest:
            # Nearly all frames there are: nothing to correct, and nothing to vote on. This, and one look at all rooms
            # of a frame in `edge_connection`, took 1.7 % off an event that is alone in its frame.
            new.inside += len(skews)
            new.most = max(new.most, most)
            return [0.0] * len(skews)
        offsets = []
        for skew in skews:
            if least <= skew <= largest:
                new.inside += 1
            else:
                new.outside += 1
            if skew > new.most:  # noqa: PLR1730 - twice a frame `max` shows
                new.most = skew
            most = new.most if new.most > old.most else old.most  # noqa: FURB136 - see above
            inside = least <= most <= largest or new.inside + old.inside >= new.outside + old.outside
            offsets.append(0.0 if inside else most)
        return offsets
