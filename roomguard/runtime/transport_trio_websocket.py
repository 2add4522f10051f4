"""Backend "trio-websocket": the library's reader task, with a meter in front of it and our pipe below it.

The library shakes hands, answers pings, closes, and joins fragments. Whole text frames are split off before it and
written past it: it has a task switch for each message, and its parser costs several times what is in a small one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import trio
import trio_websocket
from trio_websocket import wrap_server_stream

from roomguard.runtime.framemeter import Fault, FrameMeter
from roomguard.runtime.handshake import Opening
from roomguard.runtime.pipe import Pipe
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.textframes import WHOLE_TEXT, frame_bytes, is_masked, take_texts, text_head
from roomguard.runtime.transport import BaseConnection, as_bytes, cut_reason

_TEXTS_A_TURN = 256
"""Texts given at once; others get a turn before the next."""
_CLOSE_BYTE = 0x88
_SPOKEN = frozenset({1002, 1007})
_PING = b"\x89\x02rg"
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

# The library logs every frame at debug level, texts of viewers included.
logging.getLogger("trio-websocket").setLevel(logging.WARNING)


class TrioWebsocketConnection(BaseConnection):
    """A connection carried by trio-websocket. Its reader task lives in the connection's nursery."""

    _ws: trio_websocket.WebSocketConnection
    _metered: _MeteredPipe

    @classmethod
    async def open(
        cls, pipe: Pipe, head: bytes, opening: Opening, peer: str, settings: ListenSettings, nursery: trio.Nursery
    ) -> TrioWebsocketConnection:
        """Answers the request in `head`, which `handshake.judge` accepted. Cancel it when the handshake takes long."""
        self = cls(pipe, opening, peer, settings, nursery)
        self._metered = _MeteredPipe(pipe, self, head, settings)
        request = await wrap_server_stream(
            nursery,
            self._metered,
            message_queue_size=settings.message_queue,
            max_message_size=settings.max_frame_bytes,
            receive_buffer_size=settings.receive_bytes,
        )
        self._ws = self._metered.ws = await request.accept(subprotocol=opening.subprotocol)
        self._metered.accepted.set()
        return self

    async def receive(self) -> list[bytes]:
        """See `Connection`."""
        metered = self._metered
        if metered.texts:
            await trio.lowlevel.checkpoint()
        while not metered.texts and not metered.in_library and not metered.ended.is_set():
            await metered.wait_news()
        messages = metered.take_texts(_TEXTS_A_TURN) or await self._from_library()
        self._received += len(messages)
        self._pipe.saw(len(messages))
        return messages

    async def _from_library(self) -> list[bytes]:
        """What came in fragments, or the end."""
        try:
            messages = [as_bytes(await self._ws.get_message())]
        except trio_websocket.ConnectionClosed as closed:
            raise self._ended(closed) from None
        # The library has no public way to take what is queued already without waiting for more.
        queue = self._ws._recv_channel  # noqa: SLF001
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                messages.append(as_bytes(queue.receive_nowait()))
        self._metered.in_library = max(0, self._metered.in_library - len(messages))
        return messages

    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        """See `Connection`. Past the library, which has a task switch and a copy or two for each message."""
        self._check_open()
        frames: list[bytes] = []
        for message in messages:
            text = as_bytes(message)
            frames += (text_head(len(text)), text)
        try:
            await self._metered.send_all(b"".join(frames))
        except _GONE:
            self._check_open()
            raise self._over() from None
        self._sent += len(messages)

    def send_now(self, messages: Sequence[bytes]) -> bool:
        """See `Connection`."""
        data = b"".join([part for text in messages for part in (text_head(len(text)), text)])
        if self._failed() or self._ws.closed is not None or not self._metered.send_now(data):
            return False
        self._sent += len(messages)
        return True

    def _check_open(self) -> None:
        """Raises ConnectionClosed where no message may be sent any more."""
        if self._failed():
            raise self._over()
        closed = self._ws.closed
        if closed is not None:
            raise self._over(closed.code, closed.reason or "")

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `Connection`."""
        self._metered.take_no_more()
        if not self._failed() and not self._pipe.aborted:
            with trio.move_on_after(self._settings.close_s):
                with contextlib.suppress(trio_websocket.ConnectionClosed, *_GONE):
                    await self._ws.aclose(code, cut_reason(reason))
                # Where the peer closes, the library's reader may still be about to answer that.
                await self._metered.ended.wait()
        await self._pipe.aclose()

    def forget(self) -> None:
        """See `BaseConnection`. We hold the library's part, and that holds our pipe."""
        self._metered.ws = None
        del self._metered._owner  # noqa: SLF001 - one object in two layers

    async def _ping(self) -> None:
        """Past the library, which would keep a task waiting for the pong: to the watcher any byte is an answer."""
        with contextlib.suppress(*_GONE):
            if self._ws.closed is None:
                await self._metered.send_all(_PING)

    async def _fail(self, fault: Fault) -> None:
        self._metered.take_no_more()
        await self._metered.fail(fault)
        with trio.move_on_after(self._settings.close_s):
            await self._metered.ended.wait()
        self.abort()

    def _ended(self, closed: trio_websocket.ConnectionClosed) -> Exception:
        if closed.reason is None:
            return self._over()
        return self._over(closed.reason.code, closed.reason.reason or "")


class _MeteredPipe(trio.abc.Stream):
    """What trio-websocket takes for its stream: meters what comes in; texts of ours go out past the library."""

    def __init__(self, pipe: Pipe, owner: TrioWebsocketConnection, head: bytes, settings: ListenSettings) -> None:
        self._pipe = pipe
        self._owner = owner
        self._head: bytes | None = head
        self._meter = FrameMeter(
            max_message_bytes=settings.max_frame_bytes,
            rate=settings.small_frames_per_s,
            burst=settings.small_frames_burst,
        )
        self.ws: trio_websocket.WebSocketConnection | None = None
        self._said_close = False
        self._lock = trio.Lock()
        self._rest = b""
        """What `send_now` began to write."""
        self.accepted = trio.Event()
        self.ended = trio.Event()
        self.texts: list[bytes] = []
        """Whole texts that were split off and wait to be taken; nothing is read until they are."""
        self.in_library = 0
        """Messages the library has got in fragments and not given back: later ones go through it too, behind them."""
        self._taken = trio.Event()
        self._news = trio.Event()
        self._deaf = False
        self._max_bytes = settings.max_frame_bytes
        self._behind = b""
        """What stood behind texts in the same read."""
        self._cut: list[bytes] = []
        """The beginning of a text whose end is still to come, kept from the library."""
        self._cut_bytes = self._cut_needs = 0

    def take_texts(self, most: int) -> list[bytes]:
        """At most so many of the texts that wait."""
        if len(self.texts) <= most:
            texts, self.texts = self.texts, []
            self._taken.set()
            return texts
        texts = self.texts[:most]
        del self.texts[:most]
        return texts

    def take_no_more(self) -> None:
        """Nobody takes texts any more: read on for what the library waits for."""
        self._deaf = True
        self.texts.clear()
        self._taken.set()
        self._news.set()

    async def wait_news(self) -> None:
        """Until texts wait, the library got something, or the end has come."""
        await self._news.wait()
        self._news = trio.Event()

    def _split(self, data: bytes) -> bytes:
        """Put the whole texts at the front into `texts`; what is left is the library's."""
        if self._cut:
            self._cut.append(data)
            self._cut_bytes += len(data)
            if self._cut_bytes < self._cut_needs:
                return b""
            data = b"".join(self._cut)
            self._cut.clear()
        if self.in_library or self._meter.pending or self._meter.closing():
            return data
        texts: list[bytes] = [] if self._deaf else self.texts
        try:
            # What nobody hears is no fault.
            at = take_texts(data, 0, len(data), self._max_bytes, texts, check=not self._deaf)
        except UnicodeDecodeError:
            self._meter.fault = Fault(1007, "invalid UTF-8")
            return b""
        if at == len(data) or data[at] != WHOLE_TEXT:
            return data[at:]
        size = frame_bytes(data, at)
        if (size is not None and size > self._max_bytes) or not is_masked(data, at):
            return data[at:]
        self._cut_bytes = len(data) - at
        self._cut_needs = size or self._cut_bytes + 1
        if self._cut_bytes >= self._cut_needs:
            return data[at:]
        self._cut.append(data[at:])
        return b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Bytes that passed the meter; the end once something did not."""
        if self._head is not None:  # the request itself, judged already
            head, self._head = self._head, None
            await trio.lowlevel.checkpoint()
            return head
        if (
            not self.accepted.is_set()
        ):  # frames that came with the request: the library takes them only after its answer
            await self.accepted.wait()
        while True:
            while self.texts and not self._owner._failed():  # noqa: SLF001 - one object in two layers
                self._taken = trio.Event()
                await self._taken.wait()
            data = await self._read(max_bytes)
            if data is not None:
                return data

    async def _read(self, max_bytes: int | None) -> bytes | None:
        """One read: what of it is the library's, None if nothing is yet, b"" for the end."""
        owner, meter = self._owner, self._meter
        if meter.fault is not None or owner._failed():  # noqa: SLF001
            return await self._end()
        data, self._behind = self._behind, b""
        if not data:
            owner._note_reading_again()  # noqa: SLF001
            try:
                data = await self._pipe.receive_some(max_bytes)
            except _GONE:
                self._over()
                raise
            if not data:
                self._over()
                return b""
            if owner._failed():  # noqa: SLF001
                return await self._end()
            data = self._split(data)
            if self.texts and data:
                # A close or a ping behind texts is the library's when these have been taken, and mostly answered.
                self._behind, data = data, b""
        messages = meter.messages
        good = meter.feed(data, trio.current_time()) if data else 0
        self.in_library += meter.messages - messages
        finished = bool(self.texts) or meter.messages != messages
        owner._note_unfinished(meter.pending or bool(self._cut), finished)  # noqa: SLF001
        self._news.set()
        return data[:good] or None

    def _over(self) -> None:
        self.ended.set()
        self._news.set()

    async def _end(self) -> bytes:
        """Says why, if that was not done, and lets the library believe that the peer is gone."""
        if self._meter.fault is not None:
            await self.fail(self._meter.fault)
        self._over()
        return b""

    async def fail(self, fault: Fault) -> None:
        """Writes a close frame past the library, once."""
        if self._owner._failed():  # noqa: SLF001
            await trio.lowlevel.checkpoint()
            return
        self._owner._fault = fault  # noqa: SLF001
        await self._say_close(fault)

    async def _say_close(self, fault: Fault) -> None:
        self._said_close = True
        payload = fault.code.to_bytes(2, "big") + cut_reason(fault.reason).encode()
        with contextlib.suppress(*_GONE):
            async with self._lock:
                rest, self._rest = self._rest, b""
                await self._pipe.send_all(rest + bytes((_CLOSE_BYTE, len(payload))) + payload)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all, behind what `send_now` could not."""
        if data and data[0] == _CLOSE_BYTE:
            self._said_close = True
        # No checkpoint while the lock is free: an answer must not fall behind the close frame for what came after it.
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            if self._owner._failed():  # noqa: SLF001 - after our close frame nothing may follow
                raise trio.ClosedResourceError
            rest, self._rest = self._rest, b""
            await self._pipe.send_all(rest + data)
        finally:
            self._lock.release()

    def send_now(self, data: bytes) -> bool:
        """Writes what goes without waiting, and the rest soon; False if nothing went."""
        if self._lock.locked() or self._rest:
            return False
        sent = self._pipe.send_now(data)
        if sent < len(data):
            if not sent:
                return False
            self._rest = data[sent:]
            self._owner._nursery.start_soon(self._send_rest)  # noqa: SLF001
        return True

    async def _send_rest(self) -> None:
        with contextlib.suppress(*_GONE):
            await self.send_all(b"")

    async def wait_send_all_might_not_block(self) -> None:
        """Part of trio's interface."""
        await self._pipe.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Closes the pipe. For a frame it cannot parse the library closes without a word: then we say the code."""
        try:
            await self._say_code()
        finally:
            self._over()
            await self._pipe.aclose()

    async def _say_code(self) -> None:
        reason = None if self.ws is None or self._said_close else self.ws.closed
        if reason is not None and reason.code in _SPOKEN:
            for _ in range(3):  # an answer that waits for its turn to be written still goes out first
                await trio.lowlevel.checkpoint()
            await self._say_close(Fault(reason.code, reason.reason or ""))
