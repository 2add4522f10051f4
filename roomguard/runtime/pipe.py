"""The byte stream under one websocket connection, with what every backend needs of it.

It knows how long a write has been under way and whether somebody reads, so that one watcher can enforce deadlines
without a timer a message. Half a frame may be on its way when a write is cancelled: the only thing left to do with such
a stream is to abort it, and that is done here, once, for all backends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable

import trio

from roomguard.runtime.tick import LARGE_READ_BYTES, SMALL_FRAME_BYTES, Tick

_LINGER_BYTES = 4 * 1024 * 1024
_DISCARD_BYTES = 65_536


def hard_close(stream: trio.abc.Stream) -> Callable[[], None]:
    """A function that closes the TCP connection under `stream` at once, dropping what was not sent (RST)."""
    inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    if not isinstance(inner, trio.SocketStream):
        raise TypeError(f"no socket under {inner!r}")
    sock = inner.socket

    def close() -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    return close


class Pipe(trio.abc.Stream):
    """A stream that never survives a cancelled write. `linger_s` bounds the wait for the peer's end at closing.

    Of a plain socket it reads and writes the descriptor itself: trio's own stream first tries to read in vain after
    each read, which at one small frame a read costs as much as the frame. With a `tick` reads wait for its beat.
    """

    def __init__(
        self, transport: trio.abc.Stream, hard_close: Callable[[], None], *, linger_s: float, tick: Tick | None = None
    ) -> None:
        self._transport = transport
        self._socket = transport.socket if isinstance(transport, trio.SocketStream) else None
        self._tick = tick
        self._last_read = 0
        self._gathers = False
        """Whether the latest read was of the kind that should wait for the beat, if there is one."""
        self._hard_close = hard_close
        self.linger_s = linger_s
        self._pushed: list[bytes] = []
        self._closed = False
        self.aborted = False
        self.reading = False
        """Whether somebody waits for bytes right now: silence counts only then."""
        self.sending_since: float | None = None
        """When the write now under way began, on trio's clock."""
        self.reads = 0
        self.received_bytes = 0
        self.sent_bytes = 0

    def push(self, data: bytes) -> None:
        """Bytes that were read too early: they come first from `receive_some`."""
        if data:
            self._pushed.append(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, b"" at the end. Raises trio's BrokenResourceError and ClosedResourceError."""
        if self._closed or self.aborted:
            raise trio.ClosedResourceError
        if self._pushed:
            await trio.lowlevel.checkpoint()
            return self._pushed.pop(0)
        self.reading = True
        try:
            if self._socket is None:
                data = await self._transport.receive_some(max_bytes)
            else:
                data = await self._read(self._socket, max_bytes or _DISCARD_BYTES)
        finally:
            self.reading = False
        self.reads += 1
        self.received_bytes += len(data)
        return bytes(data)

    async def _read(self, sock: trio.socket.SocketType, max_bytes: int) -> bytes:
        tick = self._tick
        if self._last_read == max_bytes:
            await trio.lowlevel.checkpoint()  # there is more
        elif self._gathers and tick is not None and tick.thick:
            await tick.wait()
        else:
            await self._wait_readable(sock)
        while True:
            if self._closed or self.aborted:  # its number may be another connection's by now
                raise trio.ClosedResourceError
            try:
                data = os.read(sock.fileno(), max_bytes)
            except BlockingIOError:
                await self._wait_readable(sock)
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            else:
                self._last_read = len(data)
                self._gathers = False  # until it is known what it brought
                return data

    async def _wait_readable(self, sock: trio.socket.SocketType) -> None:
        await trio.lowlevel.wait_readable(sock)
        if self._tick is not None and self._tick.thick and self._gathers:
            await self._tick.wait()

    def saw(self, frames: int) -> None:
        """The latest read brought so many whole messages."""
        read = self._last_read
        self._gathers = read < LARGE_READ_BYTES and read < frames * SMALL_FRAME_BYTES
        if self._gathers and self._tick is not None:
            self._tick.saw(frames)

    def send_now(self, data: bytes) -> int:
        """Write as much as goes without waiting; how many bytes that was.

        0 where somebody else is writing, where there is more than a socket in between, and where it is broken: a
        `send_all` says so.
        """
        if self._socket is None or self._closed or self.aborted or self.sending_since is not None:
            return 0
        try:
            sent = os.write(self._socket.fileno(), data)
        except OSError:
            return 0
        self.sent_bytes += sent
        return sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all; aborts the connection if that fails, is cancelled or is cut by the watcher."""
        if self._closed:
            raise trio.ClosedResourceError
        self.sending_since = trio.current_time()
        try:
            await self._transport.send_all(data)
        except BaseException:
            self.abort()
            raise
        finally:
            self.sending_since = None
        self.sent_bytes += len(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Part of trio's interface."""
        await self._transport.wait_send_all_might_not_block()

    def abort(self) -> None:
        """Ends the TCP connection now; whoever reads or writes gets ClosedResourceError."""
        if self.aborted:
            return
        self.aborted = True
        self._hard_close()

    async def aclose(self) -> None:
        """Says the end, reads what still comes so that our last bytes are not lost to a reset, and closes."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            if not self.aborted:
                with (
                    trio.move_on_after(self.linger_s),
                    contextlib.suppress(
                        trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError, OSError
                    ),
                ):
                    await self._part()
        finally:
            await trio.aclose_forcefully(self._transport)

    async def _part(self) -> None:
        if isinstance(self._transport, trio.SSLStream):
            await self._transport.aclose()
            return
        if not isinstance(self._transport, trio.abc.HalfCloseableStream):
            return
        await self._transport.send_eof()
        left = _LINGER_BYTES
        while left > 0 and not self.reading:
            data = await self._transport.receive_some(_DISCARD_BYTES)
            if not data:
                return
            left -= len(data)
