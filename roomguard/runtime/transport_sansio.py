"""Backend "sansio": the protocol object of `websockets`, read and written by whoever uses the connection.

There is no reader task: `receive` reads once, parses all frames of that read and answers pings in one write. While
nobody is in `receive`, nothing is read, and TCP holds the peer back. Whole text frames go past the library in both
directions (`textframes`), everything else through it, one frame at a time.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
from collections.abc import Sequence

import trio
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from roomguard.runtime.framemeter import SMALL_BYTES, Bucket, Fault
from roomguard.runtime.handshake import Opening, Refused
from roomguard.runtime.pipe import Pipe
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.textframes import frame_bytes, take_texts, text_head
from roomguard.runtime.transport import BaseConnection, ConnectionClosed, as_bytes, cut_reason

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

_FRAMES_A_TURN = 256
"""Frames parsed before other tasks get a turn."""

# Quiet on its own: at debug level the library logs every frame, texts of viewers included.
_log = logging.getLogger("roomguard.websocket")
_log.setLevel(logging.WARNING)


class _Protocol(ServerProtocol):
    """A peer may leave in the middle of a fragmented message: that is a close like any other."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class SansioConnection(BaseConnection):
    """A connection carried by `websockets`' sans-I/O protocol."""

    def __init__(
        self, pipe: Pipe, opening: Opening, peer: str, settings: ListenSettings, nursery: trio.Nursery
    ) -> None:
        super().__init__(pipe, opening, peer, settings, nursery)
        self._protocol = _Protocol(
            max_size=settings.max_frame_bytes,
            logger=_log,
            select_subprotocol=lambda _protocol, _offered: (
                None if opening.subprotocol is None else Subprotocol(opening.subprotocol)
            ),
        )
        self._bucket = Bucket(settings.small_frames_per_s, settings.small_frames_burst)
        self._lock = trio.Lock()
        self._unread = b""
        self._at = 0
        self._owed = 0
        """Bytes to come of a frame that the library has the beginning of."""
        self._cut_header = b""
        self._parts: list[str] | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._receiving = False
        self._finished_one = False
        self._last_words = b""
        self._ended = trio.Event()

    @classmethod
    async def open(
        cls, pipe: Pipe, head: bytes, opening: Opening, peer: str, settings: ListenSettings, nursery: trio.Nursery
    ) -> SansioConnection:
        """Answers the request in `head`, which `handshake.judge` accepted. Raises Refused if the library disagrees."""
        self = cls(pipe, opening, peer, settings, nursery)
        protocol = self._protocol
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events or not isinstance(events[0], Request):
            raise Refused(400, "bad_request", "no websocket handshake\n")
        answer = protocol.accept(events[0])
        if answer.status_code != 101:
            raise Refused(400, "bad_request", "no websocket handshake\n")
        protocol.send_response(answer)
        vars(protocol).pop("select_subprotocol", None)  # bound to the protocol that holds it: a cycle
        await self._flush()
        return self

    async def receive(self) -> list[bytes]:
        """See `Connection`."""
        if self._receiving:
            raise trio.BusyResourceError("another task receives on this connection")
        self._receiving = True
        try:
            return await self._receive()
        finally:
            self._receiving = False

    async def _receive(self) -> list[bytes]:
        if self._at < len(self._unread):
            await trio.lowlevel.checkpoint()
        while True:
            if self._at >= len(self._unread):
                if self._protocol.eof_sent or self._failed():
                    await self._answer()
                    raise self._closed()
                await self._read()
            messages = self._parse()
            if messages and self._protocol.eof_sent:
                # Those who sent messages and then a close (or a fault) still get the answers to these first.
                self._last_words += b"".join(self._protocol.data_to_send())
            elif self._protocol.writes:
                await self._answer()
            if messages:
                self._received += len(messages)
                self._pipe.saw(len(messages))
                return messages

    async def _read(self) -> None:
        """One read into `_unread`."""
        self._note_reading_again()
        try:
            data = await self._pipe.receive_some(self._settings.receive_bytes)
        except _GONE:
            data = b""
        if not data:
            self._ended.set()
            raise self._closed()
        self._unread, self._at, self._cut_header = self._cut_header + data, 0, b""

    async def _answer(self) -> None:
        """Pongs, or the close frame that the parser wants sent; messages read before still count."""
        self._protocol.writes.insert(0, self._last_words)
        self._last_words = b""
        with contextlib.suppress(ConnectionClosed):
            await self._flush()

    def _parse(self) -> list[bytes]:
        """Parses a turn's worth of what was read; the whole messages in it."""
        protocol = self._protocol
        messages: list[bytes] = []
        frames = 0
        self._finished_one = False
        while self._at < len(self._unread) and frames < _FRAMES_A_TURN:
            if not self._owed:
                frames += self._take_texts(_FRAMES_A_TURN - frames, messages)
            if not protocol.eof_sent:
                frames += self._ask_library(messages)
            if protocol.eof_sent or self._failed():  # closed by either side: nothing after it counts
                self._unread, self._cut_header = b"", b""
        pending = protocol.current_size is not None or self._owed > 0 or bool(self._cut_header)
        self._note_unfinished(pending, self._finished_one)
        return messages

    def _take_texts(self, most: int, messages: list[bytes]) -> int:
        """The whole texts that come next, without the library's help; how many."""
        if self._protocol.current_size is not None:
            return 0  # inside a fragmented message: a text here is an error, and the library says which
        before = len(messages)
        try:
            self._at = take_texts(self._unread, self._at, most, self._settings.max_frame_bytes, messages)
        except UnicodeDecodeError:
            self._refuse(Fault(1007, "invalid UTF-8"))
        taken = len(messages) - before
        if taken:
            self._finished_one = True
        return taken

    def _ask_library(self, messages: list[bytes]) -> int:
        """Gives the library the one frame that comes next, or as much of it as there is; how many came out of it."""
        unread, at = self._unread, self._at
        size = self._owed or frame_bytes(unread, at)
        if size is None:
            self._cut_header, self._at = unread[at:], len(unread)
            return 0
        piece = unread[at : at + size]
        self._at += len(piece)
        self._owed = size - len(piece)
        if not piece:
            return 0
        self._protocol.receive_data(piece)
        events = self._protocol.events_received()
        for frame in events:
            self._part(frame, messages)  # type: ignore[arg-type]
        return len(events)

    def _part(self, frame: Frame, messages: list[bytes]) -> None:
        """A frame the library read. Control frames are answered by the protocol; here they only cost."""
        if self._failed():
            return
        opcode = frame.opcode
        if opcode is Opcode.TEXT and frame.fin:  # it was cut by the end of a read
            self._fragment(frame, messages)
            return
        self._bucket.refill(trio.current_time())
        if opcode is Opcode.BINARY:
            self._refuse(Fault(1003, "text frames only"))
        elif len(frame.data) < SMALL_BYTES and not self._bucket.take():
            self._refuse(Fault(1008, "too many small frames"))
        elif opcode is Opcode.TEXT or opcode is Opcode.CONT:
            self._fragment(frame, messages)

    def _fragment(self, frame: Frame, messages: list[bytes]) -> None:
        if self._parts is None:
            self._parts = []
            self._utf8.reset()
        try:
            text = self._utf8.decode(bytes(frame.data), frame.fin)
        except UnicodeDecodeError:
            self._refuse(Fault(1007, "invalid UTF-8"))
            return
        if text:
            self._parts.append(text)
        if frame.fin:
            messages.append("".join(self._parts).encode())
            self._parts = None
            self._finished_one = True

    def forget(self) -> None:
        """See `BaseConnection`. The protocol keeps what its parser raised, and the way out of that leads back to it."""
        self._protocol.parser_exc = None

    def _refuse(self, fault: Fault) -> None:
        """Fails the connection from inside the parser: the close frame goes out with the next write."""
        self._fault = fault
        if not self._protocol.eof_sent:
            self._protocol.fail(fault.code, cut_reason(fault.reason))

    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        """See `Connection`. All go out in one write, together with what other tasks want to send meanwhile."""
        protocol = self._protocol
        if self._pipe.aborted or (protocol.state is not OPEN and not self._last_words):
            raise self._closed()
        frames: list[bytes] = []
        for message in messages:
            text = as_bytes(message)
            frames += (text_head(len(text)), text)
        if self._last_words:
            await self._flush(frames)
        else:
            protocol.writes += frames
            await self._flush()
        self._sent += len(messages)

    def send_now(self, messages: Sequence[bytes]) -> bool:
        """See `Connection`."""
        protocol = self._protocol
        if protocol.state is not OPEN or protocol.writes or self._lock.locked() or self._last_words:
            return False
        data = b"".join([part for text in messages for part in (text_head(len(text)), text)])
        sent = self._pipe.send_now(data)
        if sent < len(data):
            if not sent:
                return False
            protocol.writes.append(data[sent:])
            self._nursery.start_soon(self._send_rest)
        self._sent += len(messages)
        return True

    async def _send_rest(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._flush()

    async def _flush(self, before_last_words: Sequence[bytes] = ()) -> None:
        """Writes all that the protocol has to say. Raises ConnectionClosed."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            data = b"".join(before_last_words or self._protocol.data_to_send())
            if data:
                await self._pipe.send_all(data)
        except _GONE:
            raise self._closed() from None
        finally:
            self._lock.release()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `Connection`."""
        if self._protocol.state is OPEN and not self._pipe.aborted:
            self._protocol.send_close(code, cut_reason(reason))
            with trio.move_on_after(self._settings.close_s), contextlib.suppress(ConnectionClosed):
                await self._flush()
                await self._until_closed()
        elif self._last_words and not self._pipe.aborted:
            with trio.move_on_after(self._settings.close_s):
                await self._answer()
        self._ended.set()
        await self._pipe.aclose()

    async def _until_closed(self) -> None:
        """After our close: waits for the peer's, reading (and ignoring messages) unless another task reads."""
        if self._receiving:
            await self._ended.wait()
            return
        while True:
            await self.receive()

    async def _ping(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            if self._protocol.state is OPEN:
                self._protocol.send_ping(b"rg")
                await self._flush()

    async def _fail(self, fault: Fault) -> None:
        self._refuse(fault)
        with contextlib.suppress(ConnectionClosed):
            await self._flush()
        with trio.move_on_after(self._settings.close_s):
            await self._ended.wait()
        self.abort()

    def _closed(self) -> ConnectionClosed:
        """Who ended this connection and why, as far as known."""
        self._ended.set()
        protocol = self._protocol
        if protocol.parser_exc is not None and protocol.close_sent is not None and self._fault is None:
            return self._over(protocol.close_sent.code, protocol.close_sent.reason)
        if protocol.close_rcvd is not None:
            return self._over(protocol.close_rcvd.code, protocol.close_rcvd.reason)
        return self._over()
