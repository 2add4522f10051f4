"""Windows kept by what a text nearly says, worked out only for the texts somebody asks about.

To know what a text nearly says (its near skeleton) costs more than all else that is done with an ordinary message,
and hardly any message is ever compared with another: only one that a rule is about to act on. So a message leaves a
*trace*: its folded words as they stand. Whoever asks for a near skeleton finds the traces that may have the same one by
its longest words, and of these alone the skeletons are worked out and counted, in the order they came.

A trace that begins with `KNOWN` has its near skeleton behind it, worked out already.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import field

from roomguard.engine.text.near import KNOWN, near_of
from roomguard.engine.windows import Keyed, Pairs

CHUNK = 64
"""Traces searched at once: a text of some 2 kB, which takes less than a microsecond."""
WAITING = 2
"""Messages that may wait for each text that may be remembered. With 4,000 texts that is two minutes of 66 a second."""
LOOKS = 512
"""Chunks looked at between two that are filled, beyond which waiting does not pay: it would cost more than counting."""
SETTLED = 3
"""Chunks counted, the oldest first, whenever one is filled while waiting does not pay: no step pays for all of them."""
ASKED = 512
"""Near skeletons for which it is remembered how far they were looked for; beyond it all are forgotten."""


class _Chunk(msgspec.Struct, gc=False, eq=False):
    """Traces that wait, packed: the collector would have to look at each of three lists, and they take four times more.

    `number` is that of the first, counted from the start; `times` are doubles; `values` texts behind one another, or as
    they came where they are something else.
    """

    number: int
    text: str
    times: bytes
    values: str | tuple[Any, ...]
    last: float
    counted: int = 0
    """A bit for each trace that was counted."""
    nears: dict[int, str] = field(default_factory=dict)
    """What was worked out so far, by place."""

    def rows(self) -> list[tuple[int, str, float, Any]]:
        """(place, trace, time, value) of those that still wait, the oldest first."""
        traces = self.text.split("\n")
        rows = zip(range(len(traces)), traces, array("d", self.times), self.value_list(), strict=True)
        return [row for row in rows if not self.counted >> row[0] & 1]

    def value_list(self) -> Sequence[Any]:
        """The values as they came."""
        values = self.values
        if not isinstance(values, str):
            return values
        return [_unpacked(value) for value in values.split("\n")]


class Traced(Keyed):
    """`Keyed` by near skeletons, with the messages that nobody has asked about waiting uncounted.

    At most `WAITING` times `texts` of them wait, in chunks: beyond it the oldest are forgotten, and counted as evicted.
    """

    open: list[Any] = field(default_factory=list)
    """The youngest: trace, time, value, trace, ...; an empty trace was counted."""
    number: int = 0
    """Of the first of them, counted from the start."""
    chunks: deque[_Chunk] | None = None
    """The older ones; most rooms never fill a chunk."""
    looks: int = 0
    """Chunks looked at since the last one was filled."""
    asked: dict[str, int] = field(default_factory=dict)
    """Near skeleton to the number of the trace up to which it was looked for: in a wave everybody asks for the same."""

    def note(self, trace: str, now: float, value: Any = None) -> None:
        """Let a message wait; the one who asks counts it. Generated source does the same."""
        rows = self.open
        rows += (trace, now, value)
        if len(rows) >= 3 * CHUNK:
            self.close(now)

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
        noted = self.open[-2] if self.open else self.chunks[-1].last if self.chunks else float("-inf")
        return max(noted, super().last())

    def dump(self) -> Any:
        """Plain data for a snapshot; what waits goes on waiting."""
        waiting = [row[1:] for chunk in self.chunks or () for row in chunk.rows()]
        rows = self.open
        waiting += [(rows[at], rows[at + 1], rows[at + 2]) for at in range(0, len(rows), 3) if rows[at]]
        return {"keys": super().dump(), "waiting": waiting}

    def load(self, data: Any) -> None:
        """What `dump` gave, or `Keyed.dump` of a guard in which nothing waited yet."""
        if isinstance(data, list):
            super().load(data)
            return
        super().load(data["keys"])
        for trace, now, value in data["waiting"]:
            self.note(trace, now, tuple(value) if isinstance(value, list) else value)

    def close(self, now: float) -> None:
        """Begin a new chunk, and forget those that have run out."""
        rows, self.open = self.open, []
        traces = rows[::3]
        if self.chunks is None:
            self.chunks = deque()
        chunks = self.chunks
        times, values = array("d", rows[1::3]).tobytes(), _packed(rows[2::3])
        counted = sum(1 << place for place, trace in enumerate(traces) if not trace)
        chunks.append(_Chunk(self.number, "\n".join(traces), times, values, now, counted))
        self.number += len(traces)
        self._expire(now)
        if self.looks > LOOKS:
            for _ in range(min(SETTLED, len(chunks))):
                self._count_all(chunks.popleft())
        self.looks = 0
        if len(chunks) * CHUNK > self.texts * WAITING:
            self.evicted += len(chunks.popleft().rows())

    def _expire(self, now: float) -> None:
        chunks, cutoff = self.chunks, now - self.life
        while chunks and chunks[0].last <= cutoff:
            chunks.popleft()

    def _settle(self, key: str, now: float) -> None:
        """Count what waits of this near skeleton."""
        self._expire(now)
        asked, rows = self.asked, self.open
        begin = asked.get(key, 0)
        if len(asked) >= ASKED:
            asked.clear()
        asked[key] = self.number + len(rows) // 3
        # What has the same near skeleton has all of its words: the longest rule out most.
        first, *others = sorted(key.split(" "), key=len, reverse=True)
        second = others[0] if others else first
        self.looks += 1
        if self.chunks:
            self.looks += len(self.chunks)
            for chunk in self.chunks:
                text = chunk.text
                if chunk.number + CHUNK > begin and first in text and second in text:
                    self._count(chunk, _places(text, first, others, begin - chunk.number), key)
        start = 3 * max(0, begin - self.number)
        for at in [at for at in range(start, len(rows), 3) if first in rows[at]]:
            if others and not all(word in rows[at] for word in others):
                continue
            near = _near_of_trace(rows[at])
            if near == key:
                rows[at] = ""
                self.hit(key, rows[at + 1], rows[at + 2])
            else:
                rows[at] = KNOWN + near

    def _count(self, chunk: _Chunk, places: list[int], key: str) -> None:
        """Count those at some places of a chunk that have the near skeleton."""
        places = [place for place in places if not chunk.counted >> place & 1]
        if not places:
            return
        traces, nears = chunk.text.split("\n"), chunk.nears
        hits = []
        same = ""
        for place in places:
            trace = traces[place]
            near = nears.get(place) or (key if trace == same else _near_of_trace(trace))
            if near == key:
                same = trace  # of a wave most are alike to the letter
                hits.append(place)
            else:
                nears[place] = near
        if hits:
            times, values = array("d", chunk.times), chunk.value_list()
            for place in hits:
                chunk.counted |= 1 << place
                self.hit(key, times[place], values[place])

    def _count_all(self, chunk: _Chunk) -> None:
        """Count all of a chunk; those before it are counted or forgotten."""
        for place, trace, at, value in chunk.rows():
            self.hit(chunk.nears.get(place) or _near_of_trace(trace), at, value)


def _packed(values: list[Any]) -> str | tuple[Any, ...]:
    """Values as one text where they are texts or pairs of them, else as they came."""
    first = values[0]
    try:
        if isinstance(first, str):
            joined = "\n".join(values)
            plain = "\t" not in joined
        else:
            joined = "\n".join(["\t".join(pair) for pair in values])
            plain = joined.count("\t") == len(values)
    except TypeError:
        return tuple(values)
    return joined if plain and joined.count("\n") == len(values) - 1 else tuple(values)


def _unpacked(value: str) -> Any:
    return tuple(value.split("\t")) if "\t" in value else value


def _places(text: str, word: str, others: Sequence[str], begin: int) -> list[int]:
    """The lines of a text, from line `begin` on, in which a word stands and the `others` as well.

    They are found without a look at each line: of those with the longest word hardly any has all of the others too.
    """
    places: list[int] = []
    at = text.find(word)
    line = seen = 0
    while at >= 0:
        line += text.count("\n", seen, at)
        seen = text.find("\n", at)
        if line >= begin:
            trace = text[text.rfind("\n", 0, at) + 1 : seen if seen >= 0 else len(text)]
            if all(other in trace for other in others):
                places.append(line)
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
