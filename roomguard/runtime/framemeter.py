"""Counts websocket frames in a client's bytes before a library parses them. Sans-I/O: bytes in, verdict out.

Libraries limit what a message holds, not what it costs: empty fragments and control frames come at 6 bytes each and
count for nothing. The meter follows the frame headers only and says how far the bytes may be handed on.
"""

from __future__ import annotations

import attrs

SMALL_BYTES = 256
"""A fragment under this many bytes counts like a control frame: larger ones pay for themselves."""

_CONT, _TEXT, _BINARY, _CLOSE = 0, 1, 2, 8
_RESERVED_BITS = 0x70
_LONGEST_HEADER = 14


@attrs.frozen
class Fault:
    """Why a connection must be closed: websocket close code and a reason of at most 123 bytes."""

    code: int
    reason: str


class Bucket:
    """A token bucket: `burst` at once, `rate` a second. Time is an argument."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._then: float | None = None

    def refill(self, now: float) -> None:
        """Adds what has accrued since the last call."""
        if self._then is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now

    def take(self) -> bool:
        """One token, or False where there is none."""
        self._tokens -= 1.0
        return self._tokens >= 0.0


class FrameMeter:
    """Watches one connection. After `fault` is set nothing may be handed on any more."""

    __slots__ = (
        "_bucket",
        "_head",
        "_last",
        "_max_bytes",
        "_message_bytes",
        "_open",
        "_over",
        "_skip",
        "fault",
        "frames",
        "messages",
    )

    def __init__(self, *, max_message_bytes: int, rate: float, burst: int) -> None:
        self._max_bytes = max_message_bytes
        self._bucket = Bucket(rate, burst)
        self._head = bytearray()
        self._skip = 0
        self._message_bytes = 0
        self._open = False
        self._over = False
        self._last = False
        self.fault: Fault | None = None
        self.frames = 0
        self.messages = 0
        """Messages that came to their end."""

    @property
    def pending(self) -> bool:
        """Whether the bytes so far end inside a frame or a message."""
        return self._open or self._skip > 0 or bool(self._head)

    def feed(self, data: bytes, now: float) -> int:
        """How many bytes of `data` may be handed on: all of them, or up to the frame that set `fault`."""
        if self.closing():
            return len(data)
        self._bucket.refill(now)
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                self._count_finished()
                continue
            began = at
            at = self._header(data, at)
            if self.fault is not None:
                return began
            if self.closing():
                return end
        return end

    def _count_finished(self) -> None:
        if self._last and not self._skip:
            self.messages += 1
            self._last = False

    def closing(self) -> bool:
        """After a close frame nothing that follows means anything."""
        return self._over

    def _header(self, data: bytes, at: int) -> int:
        """Reads the header at `at`, or as much of it as there is; the position after it."""
        if not self._head:
            size = _header_size(data[at + 1]) if len(data) - at >= 2 else _LONGEST_HEADER
            if len(data) - at >= size:
                self._frame(data[at : at + size])
                return at + size
        while at < len(data):
            self._head.append(data[at])
            at += 1
            if len(self._head) >= 2 and len(self._head) == _header_size(self._head[1]):
                header = bytes(self._head)
                self._head.clear()
                self._frame(header)
                break
        return at

    def _frame(self, header: bytes) -> None:
        self.frames += 1
        opcode = header[0] & 0x0F
        final = header[0] >= 0x80
        size = header[1] & 0x7F
        if size == 126:
            size = int.from_bytes(header[2:4], "big")
        elif size == 127:
            size = int.from_bytes(header[2:10], "big")
        self._skip = size
        if header[0] & _RESERVED_BITS:
            return  # the library's to refuse, with its own code
        if opcode > _BINARY:
            self._over = opcode == _CLOSE
            if not self._bucket.take():
                self.fault = Fault(1008, "too many control frames")
            return
        self._data_frame(opcode, final, size)

    def _data_frame(self, opcode: int, final: bool, size: int) -> None:
        if opcode == _BINARY:
            self.fault = Fault(1003, "text frames only")
            return
        whole = final and opcode == _TEXT
        if not whole and size < SMALL_BYTES and not self._bucket.take():
            self.fault = Fault(1008, "too many small fragments")
            return
        self._message_bytes = size if opcode == _TEXT else self._message_bytes + size
        if self._message_bytes > self._max_bytes:
            self.fault = Fault(1009, f"a message has at most {self._max_bytes} bytes")
            return
        self._open = not final
        self._last = final
        if final:
            self._message_bytes = 0
            self._count_finished()


def _header_size(second: int) -> int:
    length = second & 0x7F
    extended = 2 if length == 126 else 8 if length == 127 else 0
    return 2 + extended + (4 if second & 0x80 else 0)
