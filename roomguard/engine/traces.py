"""Windows kept by what a text nearly says, worked out only for the texts somebody asks about.

To know what a text nearly says (its near skeleton) costs more than all else that is done with an ordinary message,
and hardly any message is ever compared with another: only one that a rule is about to act on. So a message leaves a
*trace*: its folded words as they stand. Whoever asks for a near skeleton finds the traces that may have the same one by
its longest words, and of these alone the skeletons are worked out and counted, in the order they came.

A trace that begins with `KNOWN` has its near skeleton behind it, worked out already.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from msgspec import field

from roomguard.engine.text.near import near_of
from roomguard.engine.windows import Keyed, Pairs

KNOWN = "\t"
CHUNK = 64
"""Traces searched at once: a text of some 2 kB, which takes less than a microsecond."""
WAITING = 4
"""Messages that may wait for each text that may be remembered: the busiest rooms known write some 110 a second."""


ASKED = 512
"""Near skeletons for which it is remembered how far they were looked for; beyond it all are forgotten."""


class _Chunk(msgspec.Struct, gc=False, eq=False):
    """Traces that wait, the oldest first; an empty one was counted. `number` of the first, counted from the start."""

    number: int
    traces: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    text: str = ""
    """All of them, once the chunk is full."""


class Traced(Keyed):
    """`Keyed` by near skeletons, with the messages that nobody has asked about waiting uncounted.

    At most `WAITING` times `texts` of them wait, in chunks: beyond it the oldest are forgotten, and counted as evicted.
    """

    open: _Chunk = field(default_factory=lambda: _Chunk(0))
    """The youngest."""
    chunks: deque[_Chunk] = field(default_factory=deque)
    """The full ones."""
    asked: dict[str, int] = field(default_factory=dict)
    """Near skeleton to the number of the trace up to which it was looked for: in a wave everybody asks for the same."""

    def note(self, trace: str, now: float, value: Any = None) -> None:
        """Let a message wait; the one who asks counts it."""
        chunk = self.open
        traces = chunk.traces
        traces.append(trace)
        chunk.times.append(now)
        chunk.values.append(value)
        if len(traces) >= CHUNK:
            self._close(now)

    def value(self, key: str, now: float) -> float | None:
        """The window's value for the near skeleton `key`."""
        self._settle(key, now)
        return super().value(key, now)

    def window_of(self, key: str) -> Any:
        """The window of `key` itself, or None."""
        self._settle(key, self.last())
        return super().window_of(key)

    def last(self) -> float:
        """The time of the latest message."""
        for chunk in (self.open, *reversed(self.chunks)):
            if chunk.times:
                return max(chunk.times[-1], super().last())
        return super().last()

    def dump(self) -> Any:
        """Plain data for a snapshot; what waits goes on waiting."""
        waiting = [
            row
            for chunk in (*self.chunks, self.open)
            for row in zip(chunk.traces, chunk.times, chunk.values, strict=True)
            if row[0]
        ]
        return {"keys": super().dump(), "waiting": waiting}

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        super().load(data["keys"])
        for trace, now, value in data["waiting"]:
            self.note(trace, now, tuple(value) if isinstance(value, list) else value)

    def _close(self, now: float) -> None:
        """Begin a new chunk, and forget those that have run out."""
        full, chunks = self.open, self.chunks
        full.text = "\n".join(full.traces)
        self.open = _Chunk(full.number + len(full.traces))
        chunks.append(full)
        self._expire(now)
        if len(chunks) * CHUNK > self.texts * WAITING:
            self.evicted += sum(map(bool, chunks.popleft().traces))

    def _expire(self, now: float) -> None:
        chunks, cutoff = self.chunks, now - self.life
        while chunks and chunks[0].times[-1] <= cutoff:
            chunks.popleft()

    def _settle(self, key: str, now: float) -> None:
        """Count what waits of this near skeleton."""
        self._expire(now)
        asked = self.asked
        begin = asked.get(key, 0)
        if len(asked) >= ASKED:
            asked.clear()
        asked[key] = self.open.number + len(self.open.traces)
        first, second = _telling(key)
        for chunk in self.chunks:
            text = chunk.text
            if chunk.number + CHUNK > begin and first in text and second in text:
                self._count(chunk, _places(text, first, begin - chunk.number), key)
        traces = self.open.traces
        latest = range(max(0, begin - self.open.number), len(traces))
        self._count(self.open, [place for place in latest if first in traces[place]], key)

    def _count(self, chunk: _Chunk, places: list[int], key: str) -> None:
        """Count those at some places of a chunk that have the near skeleton."""
        traces = chunk.traces
        for place in places:
            trace = traces[place]
            if not trace:
                continue
            near = _near_of_trace(trace)
            if near == key:
                traces[place] = ""
                self.hit(key, chunk.times[place], chunk.values[place])
            elif trace[0] != KNOWN:
                traces[place] = KNOWN + near


def _telling(key: str) -> tuple[str, str]:
    """The two longest words of a near skeleton: what has the same one has both of them in it."""
    words = sorted(key.split(" "), key=len)
    return words[-1], words[-2] if len(words) > 1 else words[-1]


def _places(text: str, word: str, begin: int) -> list[int]:
    """The lines of a text, from line `begin` on, in which a word stands. Both are found without a look at each line."""
    places: list[int] = []
    at = text.find(word)
    line = seen = 0
    while at >= 0:
        line += text.count("\n", seen, at)
        if line >= begin:
            places.append(line)
        seen = text.find("\n", at)
        if seen < 0:
            break
        at = text.find(word, seen)
    return places


def _near_of_trace(trace: str) -> str:
    return trace[1:] if trace[0] == KNOWN else near_of(trace)


def said_again(user: Any, slot: str, near: str, cutoff: float) -> int:
    """How many of a user's traces later than `cutoff` have the near skeleton `near`.

    The slot holds `(time, trace, time, trace, ...)`; what had to be worked out is kept there.
    """
    pairs: Pairs = getattr(user, slot)
    word = max(near.split(" "), key=len)
    found = 0
    learned: list[Any] | None = None
    for place in range(len(pairs) - 2, -2, -2):
        if pairs[place] <= cutoff:
            break
        trace = pairs[place + 1]
        if word not in trace:
            continue
        if trace[0] != KNOWN:
            if learned is None:
                learned = list(pairs)
            trace = learned[place + 1] = KNOWN + near_of(trace)
        found += trace[1:] == near
    if learned is not None:
        setattr(user, slot, tuple(learned))
    return found
