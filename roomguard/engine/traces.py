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
from struct import Struct
from typing import Any

import msgspec
from msgspec import field

from roomguard.engine.text.near import KNOWN, near_of
from roomguard.engine.windows import Keyed

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
        """Let a message wait; the one who asks counts it."""
        rows = self.open
        rows += (trace, now, value)
        if len(rows) >= 3 * CHUNK:
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

    def _close(self, now: float) -> None:
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
        words = key.split(" ")
        first = max(words, key=len)
        self.looks += 1
        if self.chunks:
            # What has the same near skeleton has all of its words: the two longest rule out most.
            words.remove(first)
            second = max(words, key=len, default=first)
            self.looks += len(self.chunks)
            for chunk in self.chunks:
                text = chunk.text
                if chunk.number + CHUNK > begin and first in text and second in text:
                    self._count(chunk, _places(text, first, begin - chunk.number), key)
        start = 3 * max(0, begin - self.number)
        for at in [at for at in range(start, len(rows), 3) if first in rows[at]]:
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


# --- of one user

Traces = bytes
"""A user's traces, the latest first: a line break, a byte that says how many there were, the time as a double, the
trace in UTF-8; and so on with the one before. A zero byte after a line break ends them."""
NO_TRACES: Traces = b"\n\0"
MOST_SAID = 32
"""Messages of one user among which the same text is counted."""
LET_BE = 8
"""Traces added between two looks for those that are too many or have run out."""
_HEAD = Struct("<Hd")
_SIZE = _HEAD.size
_LINE = b"\n"
_KNOWN = KNOWN.encode()


def push_trace(traces: Traces, trace: str, now: float, cutoff: float) -> Traces:
    """`traces` with one more; now and then without what is not later than `cutoff`, and what is beyond `MOST_SAID`."""
    count = traces[1]
    if count and not count % LET_BE:
        traces, count = _cut(traces, cutoff)
    return _HEAD.pack(count * 256 + 266, now) + trace.encode("utf-8", "surrogatepass") + traces


def _cut(traces: Traces, cutoff: float) -> tuple[Traces, int]:
    """The latest traces that are later than `cutoff`, and how many they are."""
    at = count = 0
    while traces[at + 1] and count < MOST_SAID and _HEAD.unpack_from(traces, at)[1] > cutoff:
        at = traces.index(_LINE, at + _SIZE)
        count += 1
    return traces[:at] + NO_TRACES, count


def packed(pairs: Sequence[Any]) -> Traces:
    """Traces out of `(time, trace, time, trace, ...)`, the oldest first; of more than can be kept the latest."""
    traces = NO_TRACES
    for count, place in enumerate(range(max(0, len(pairs) - 2 * MOST_SAID), len(pairs), 2), start=1):
        head = _HEAD.pack(count * 256 + 10, pairs[place])
        traces = head + pairs[place + 1].encode("utf-8", "surrogatepass") + traces
    return traces


def unpacked(traces: Traces) -> list[Any]:
    """What `packed` was given."""
    pairs: list[Any] = []
    at = 0
    while traces[at + 1] and len(pairs) < 2 * MOST_SAID:
        end = traces.index(_LINE, at + _SIZE)
        pairs += (traces[at + _SIZE : end].decode("utf-8", "surrogatepass"), _HEAD.unpack_from(traces, at)[1])
        at = end
    return pairs[::-1]


def said_again(user: Any, slot: str, near: str, cutoff: float) -> int:
    """How many of a user's traces later than `cutoff` have the near skeleton `near`.

    The slot holds traces; what had to be worked out is kept there.
    """
    traces: Traces = getattr(user, slot)
    word = max(near.split(" "), key=len).encode("utf-8", "surrogatepass")
    known = (KNOWN + near).encode("utf-8", "surrogatepass")
    found = seen = at = 0
    learned: list[tuple[int, int, bytes]] = []
    while traces[at + 1] and seen < MOST_SAID and _HEAD.unpack_from(traces, at)[1] > cutoff:
        text, seen = at + _SIZE, seen + 1
        at = traces.index(_LINE, text)
        if traces.find(word, text, at) < 0:
            continue
        trace = traces[text:at]
        if trace[:1] != _KNOWN:
            worked_out = near_of(trace.decode("utf-8", "surrogatepass"))
            trace = _KNOWN + worked_out.encode("utf-8", "surrogatepass")
            learned.append((text, at, trace))
        found += trace == known
    for text, end, trace in reversed(learned):
        traces = traces[:text] + trace + traces[end:]
    if learned:
        setattr(user, slot, traces)
    return found
