"""Windows kept by what a text nearly says, worked out only for the texts somebody asks about.

To know what a text nearly says (its near skeleton) costs more than all else that is done with an ordinary message,
and hardly any message is ever compared with another: only one that a rule is about to act on. So a message leaves a
*trace*: its folded words as they stand. Whoever asks for a near skeleton finds the traces that may have the same one by
its longest words, and of these alone the skeletons are worked out and counted, in the order they came.

A trace that begins with `KNOWN` has its near skeleton behind it, worked out already.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Any

import msgspec
from msgspec import field

from roomguard.engine.text.near import KNOWN, near_of
from roomguard.engine.windows import NOTHING, SIZE, Distinct, Keyed, Members, Ratio, Sum

CHUNK = 64
"""Traces searched at once: a text of some 2 kB, which takes less than a microsecond."""
WAITING = 2
"""Messages that may wait for each text that may be remembered. With 4,000 texts that is two minutes of 66 a second."""
LOOKS = 512
"""Chunks looked at between two that are filled, beyond which waiting does not pay: it would cost more than counting."""
SETTLED = 3
"""Chunks counted, the oldest first, whenever one is filled while waiting does not pay: no step pays for all of them."""
_LINE = b"\n"
ASKED = 512
"""Near skeletons for which it is remembered how far they were looked for; beyond it all are forgotten."""


class _Chunk(msgspec.Struct, gc=False, eq=False):
    """Traces that wait, packed: in lists the collector would have to look at each, and they would take four times more.

    The one that is being filled has buffers in the place of what the others have for good.
    """

    number: int
    """Of the first trace, counted from the start."""
    text: bytes | bytearray
    """Each trace, and a line break behind it."""
    times: Any
    """Doubles: bytes of them, or a list."""
    values: Any
    """What came with each, as `_written` writes it, a line break behind it; or a list of it as it came."""
    last: float = 0.0
    """The time of the last of them; of what is being filled it is not kept."""
    counted: int = 0
    """A bit for each trace that was counted."""
    nears: dict[int, str] | None = None
    """What was worked out so far, by place."""


_UNBEGUN = _Chunk(0, b"", (), b"")
"""What all windows share that have no chunk yet, as of most rooms: one of its own takes a quarter of a kilobyte."""


class Traced(Keyed):
    """`Keyed` by near skeletons, with the messages that nobody has asked about waiting uncounted.

    At most `WAITING` times `texts` of them wait, in chunks: beyond it the oldest are forgotten, and counted as evicted.
    """

    fresh: list[Any] = field(default_factory=list)
    """What came since somebody asked, fewer than `CHUNK`: (trace, time, value, trace, time, value, ...). One list, and
    no tuples, for the collector to look at."""
    open: _Chunk = field(default_factory=lambda: _UNBEGUN)
    """What was asked about since and does not fill a chunk."""
    chunks: dict[int, _Chunk] = NOTHING
    """The older ones by the number of their first: into a dict of such things the collector does not look."""
    looks: int = 0
    """Chunks looked at since the last one was filled."""
    asked: dict[str, int] = NOTHING
    """Near skeleton to the number of the trace up to which it was looked for: in a wave everybody asks for the same."""

    def note(self, trace: str, now: float, value: Any = None) -> None:
        """Let a message wait; the one who asks counts it. `trace` has no line break in it.

        Nor half a surrogate pair, which has no UTF-8; `wire` lets none of them in.
        """
        fresh = self.fresh
        fresh += (trace, now, value)
        # Put where it can be searched when somebody searches: to append to buffers of its own took twice as long.
        if len(fresh) >= 3 * CHUNK:
            self._take_in()

    def value(self, key: str, now: float) -> float | None:
        """The window's value for the near skeleton `key`."""
        self._settle(key, now)
        return super().value(key, now)

    def window_of(self, key: str) -> Any:
        """The window of `key` itself, or None."""
        self._settle(key, self.last())
        return super().window_of(key)

    def waits(self) -> bool:
        """Whether any message waits, or was counted a short while ago."""
        return bool(self.fresh or self.open.times or self.chunks)

    def last(self) -> float:
        """The time of the latest message."""
        times = self.fresh[1::3] or self.open.times
        noted = times[-1] if times else self.chunks[next(reversed(self.chunks))].last if self.chunks else float("-inf")
        return max(noted, super().last())

    def dump(self) -> Any:
        """Plain data for a snapshot; what waits goes on waiting."""
        self._take_in()
        waiting = [row[1:] for chunk in (*self.chunks.values(), self.open) for row in self._rows(chunk)]
        return {"keys": super().dump(), "waiting": waiting}

    def load(self, data: Any) -> None:
        """What `dump` gave, or `Keyed.dump` of a guard in which nothing waited yet."""
        if isinstance(data, list):
            super().load(data)
            return
        super().load(data["keys"])
        for trace, now, value in data["waiting"]:
            kept = tuple(value) if isinstance(value, list) else value
            self.note(trace, now, kept)

    def _rows(self, chunk: _Chunk) -> list[tuple[int, str, float, Any]]:
        """(place, trace, time, value) of those of a chunk that still wait, the oldest first."""
        traces, times = _tail(chunk.text, chunk, 0), array("d", chunk.times)
        rows = zip(range(len(traces)), traces, times, self._values(_lines(chunk, 0)), strict=True)
        return [row for row in rows if not chunk.counted >> row[0] & 1]

    def _values(self, lines: Sequence[str]) -> Sequence[Any]:
        """What came with traces, of the lines that say it."""
        if self.factory is Distinct:
            return lines
        if self.factory is Members:
            return [tuple(line.split("\t")) for line in lines]
        return [_number(line) for line in lines] if self.factory in (Sum, Ratio) else [None] * len(lines)

    def _take_in(self) -> None:
        """Put what came since into chunks."""
        fresh, begin = self.fresh, 0
        if fresh and self.open is _UNBEGUN:
            self.open = _Chunk(0, bytearray(), [], [])
        while begin < len(fresh):
            chunk = self.open
            end = begin + 3 * (CHUNK - len(chunk.times))
            chunk.text += "\n".join((*fresh[begin:end:3], "")).encode()
            chunk.times += fresh[begin + 1 : end : 3]
            chunk.values += fresh[begin + 2 : end : 3]
            begin = end
            if len(chunk.times) >= CHUNK:
                self._close(chunk.times[-1])
        fresh.clear()

    def _close(self, now: float) -> None:
        """Begin a new chunk, and forget those that have run out."""
        if self.chunks is NOTHING:
            self.chunks = {}
        full, chunks = self.open, self.chunks
        times, values = array("d", full.times).tobytes(), _all_written(full.values)
        chunks[full.number] = _Chunk(full.number, bytes(full.text), times, values, now, full.counted, full.nears)
        # The same lists go on, here and in `fresh`: into a new one the collector would look, at each thing in it.
        full.number += len(full.times)
        full.text, full.counted, full.nears = bytearray(), 0, None
        full.times.clear()
        full.values.clear()
        self._expire(now)
        if self.looks > LOOKS:
            for _ in range(min(SETTLED, len(chunks))):
                self._count_all(chunks.pop(next(iter(chunks))))
        self.looks = 0
        if len(chunks) * CHUNK > self.texts * WAITING:
            self.evicted += len(self._rows(chunks.pop(next(iter(chunks)))))

    def _expire(self, now: float) -> None:
        chunks, cutoff = self.chunks, now - self.life
        while chunks:
            first = next(iter(chunks))
            if chunks[first].last > cutoff:
                break
            del chunks[first]

    def _settle(self, key: str, now: float) -> None:
        """Count what waits of this near skeleton."""
        if self.fresh:
            self._take_in()
        self._expire(now)
        if self.asked is NOTHING:
            self.asked = {}
        asked, chunk = self.asked, self.open
        begin, end = asked.get(key, 0), chunk.number + len(chunk.times)
        if begin == end:
            return  # asked before, by another rule or for the evidence, and nothing has come since
        if len(asked) >= ASKED:
            asked.clear()
        asked[key] = end
        # What has the same near skeleton has all of its words: the longest rule out most.
        first, *others = sorted(key.encode().split(b" "), key=len, reverse=True)
        second = others[0] if others else first
        self.looks += 1 + len(self.chunks)
        for older in self.chunks.values():
            text = older.text
            if older.number + CHUNK > begin and first in text and second in text:
                self._count(older, _places(older, first, others, CHUNK + older.number - begin), key)
        if first in chunk.text:
            self._count(chunk, _places(chunk, first, others, end - begin), key)

    def _count(self, chunk: _Chunk, places: list[int], key: str) -> None:
        """Count those at some places of a chunk that have the near skeleton."""
        places = [place for place in places if not chunk.counted >> place & 1]
        if not places:
            return
        begin, nears, hits = places[0], chunk.nears or {}, []
        traces = _tail(chunk.text, chunk, begin)
        same = ""
        for place in places:
            trace = traces[place - begin]
            near = nears.get(place) or (key if trace == same else _near_of_trace(trace))
            if near == key:
                same = trace  # of a wave most are alike to the letter
                hits.append(place)
            else:
                nears[place] = near
        chunk.nears = nears or None
        if hits:
            times, lines = array("d", chunk.times), _lines(chunk, begin)
            values = self._values([lines[place - begin] for place in hits])
            for place, value in zip(hits, values, strict=True):
                chunk.counted |= 1 << place
                self.hit(key, times[place], value)

    def _count_all(self, chunk: _Chunk) -> None:
        """Count all of a chunk; those before it are counted or forgotten."""
        nears = chunk.nears or {}
        for place, trace, at, value in self._rows(chunk):
            self.hit(nears.get(place) or _near_of_trace(trace), at, value)


_BREAKS = {9: " ", 10: " "}


def _written(value: Any) -> bytes:
    """What came with a trace as a line: a text, two of them, a number, or nothing.

    Ids have no breaks in them; in what else an edge may send they become spaces.
    """
    if type(value) is str:
        line = value.translate(_BREAKS) if "\n" in value else value
    elif type(value) is tuple:
        line = "\t".join(value)
        if "\n" in line or line.count("\t") != 1:
            line = "\t".join([part.translate(_BREAKS) for part in value])
    else:
        line = "" if value is None else repr(value)
    return f"{line}\n".encode()


def _all_written(values: list[Any]) -> bytes:
    """`_written` of each; of ids, which have no breaks in them, in a fraction of the time."""
    kinds = set(map(type, values))
    if kinds == {str}:
        lines = "\n".join(values)
    elif kinds == {tuple}:
        lines = "\n".join(map("\t".join, values))
        if lines.count("\t") != len(values):
            return b"".join(map(_written, values))
    else:
        return b"".join(map(_written, values))
    return f"{lines}\n".encode() if lines.count("\n") == len(values) - 1 else b"".join(map(_written, values))


def _number(line: str) -> float:
    if line in ("True", "False"):
        return line == "True"
    return int(line) if line.lstrip("-").isdigit() else float(line)


def _places(chunk: _Chunk, word: bytes, others: Sequence[bytes], fresh: int) -> list[int]:
    """The traces of a chunk, of its last `fresh` ones, in which a word stands and the `others` as well.

    They are found without a look at each: of those with the longest word hardly any has all of the others too.
    In a wave everybody asks the same, only the last trace is new, and what is before it is not even counted.
    """
    text, place, end = chunk.text, max(0, _size(chunk) - fresh), 0
    if place:
        end = len(text) - 1
        for _ in range(fresh):
            end = text.rfind(_LINE, 0, end)
        end += 1
    places: list[int] = []
    counted = end
    at = text.find(word, end)
    while at >= 0:
        begin, end = text.rfind(_LINE, 0, at) + 1, text.find(_LINE, at)
        trace = text[begin:end]
        for other in others:
            if other not in trace:
                break
        else:
            place += text.count(_LINE, counted, begin)
            counted = begin
            places.append(place)
        at = text.find(word, end)
    return places


def _size(chunk: _Chunk) -> int:
    """How many traces are in a chunk."""
    return len(chunk.times) // SIZE if isinstance(chunk.times, bytes) else len(chunk.times)


def _tail(lines: bytes | bytearray, chunk: _Chunk, first: int) -> list[str]:
    """The lines of a chunk from the line `first` on: in a wave that is the last one, and no other need be read."""
    tail = lines.rsplit(_LINE, _size(chunk) - first + 1)[1 if first else 0 : -1]
    return [line.decode() for line in tail]


def _lines(chunk: _Chunk, first: int) -> list[str]:
    """What came with the traces of a chunk from `first` on, as `_written` writes it."""
    if isinstance(chunk.values, list):
        return [_written(value)[:-1].decode() for value in chunk.values[first:]]
    return _tail(chunk.values, chunk, first)


def _near_of_trace(trace: str) -> str:
    return trace[1:] if trace[0] == KNOWN else near_of(trace)


# --- of one user

Traces = bytes
"""A user's traces, the latest first: a byte that says how many there were, the time as a double, the trace in UTF-8, a
line break; and so on with the one before. A zero byte ends them."""
NO_TRACES: Traces = b"\0"
MOST_SAID = 32
"""Messages of one user among which the same text is counted."""
LET_BE = 8
"""Traces added between two looks for those that are too many or have run out."""
_HEAD = Struct("=Bd")
_SIZE = _HEAD.size
_KNOWN = KNOWN.encode()


def push_trace(traces: Traces, trace: str, now: float, cutoff: float) -> Traces:
    """`traces` with one more; now and then without what is not later than `cutoff`, and what is beyond `MOST_SAID`."""
    count = traces[0]
    if count and not count % LET_BE:
        traces, count = _cut(traces, cutoff)
    return _HEAD.pack(count + 1, now) + f"{trace}\n".encode() + traces


def _cut(traces: Traces, cutoff: float) -> tuple[Traces, int]:
    """The latest traces that are later than `cutoff`, and how many they are."""
    at = count = 0
    while traces[at] and count < MOST_SAID and _HEAD.unpack_from(traces, at)[1] > cutoff:
        at = traces.index(_LINE, at + _SIZE) + 1
        count += 1
    return traces[:at] + NO_TRACES, count


def packed(pairs: Sequence[Any]) -> Traces:
    """Traces out of `(time, trace, time, trace, ...)`, the oldest first; of more than can be kept the latest."""
    traces = NO_TRACES
    for count, place in enumerate(range(max(0, len(pairs) - 2 * MOST_SAID), len(pairs), 2), start=1):
        trace = f"{pairs[place + 1]}\n".encode()
        traces = _HEAD.pack(count, pairs[place]) + trace + traces
    return traces


def unpacked(traces: Traces) -> list[Any]:
    """What `packed` was given."""
    pairs: list[Any] = []
    at = 0
    while traces[at] and len(pairs) < 2 * MOST_SAID:
        end = traces.index(_LINE, at + _SIZE)
        pairs += (traces[at + _SIZE : end].decode(), _HEAD.unpack_from(traces, at)[1])
        at = end + 1
    return pairs[::-1]


def said_again(user: Any, slot: str, near: str, cutoff: float) -> int:
    """How many of a user's traces later than `cutoff` have the near skeleton `near`.

    The slot holds traces; what had to be worked out is kept there.
    """
    traces: Traces = getattr(user, slot)
    word = max(near.split(" "), key=len).encode()
    known = (KNOWN + near).encode()
    found = seen = at = 0
    learned: list[tuple[int, int, bytes]] = []
    while traces[at] and seen < MOST_SAID and _HEAD.unpack_from(traces, at)[1] > cutoff:
        text, seen = at + _SIZE, seen + 1
        end = traces.index(_LINE, text)
        at = end + 1
        if traces.find(word, text, end) < 0:
            continue
        trace = traces[text:end]
        if trace[:1] != _KNOWN:
            worked_out = near_of(trace.decode())
            trace = _KNOWN + worked_out.encode()
            learned.append((text, end, trace))
        found += trace == known
    for text, end, trace in reversed(learned):
        traces = traces[:text] + trace + traces[end:]
    if learned:
        setattr(user, slot, traces)
    return found
