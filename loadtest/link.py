"""One websocket connection: the sans-I/O protocol of `websockets` on an asyncio transport.

The high-level client of `websockets` runs a task and a queue for each connection; this calls back with each text
message instead, which is what keeps a generator cheap that shares its machine with what it measures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

SUBPROTOCOL = "roomguard.v1"


class LinkError(Exception):
    """The connection could not be made."""


class Link(asyncio.Protocol):
    """A connection that hands each text message to `on_text` and its end to `on_closed(code, reason)`, once."""

    def __init__(
        self,
        url: str,
        token: str | None,
        on_text: Callable[[bytes], None],
        on_closed: Callable[[int | None, str], None],
    ) -> None:
        self._uri = parse_uri(url)
        self._websocket = ClientProtocol(self._uri, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None)
        self._token = token
        self._on_text = on_text
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, longest: float) -> None:
        """Connect and shake hands.

        Raises:
            LinkError: refused, or not done within `longest` seconds.
        """
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if self._uri.secure else None
        try:
            async with asyncio.timeout(longest):
                await loop.create_connection(lambda: self, self._uri.host, self._uri.port, ssl=tls)
                await self._opened
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self.abort()
            raise LinkError(f"no connection: {str(error) or type(error).__name__}") from error

    def send(self, text: bytes) -> bool:
        """Send one message; False if the connection is not open any more."""
        if self._websocket.state is not OPEN or self._transport is None:
            return False
        self._websocket.send_text(text)
        self._flush()
        return True

    def close(self) -> None:
        """Say good-bye. `on_closed` follows."""
        if self._websocket.state is OPEN:
            self._websocket.send_close(1000)
            self._flush()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: ask for the websocket."""
        self._transport = cast("asyncio.Transport", transport)
        request = self._websocket.connect()
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._websocket.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes came in: hand on what is whole."""
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._shaken()
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush()

    def eof_received(self) -> None:
        """The other side sends no more."""
        self._websocket.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if not self._opened.done():
            self._opened.set_exception(ConnectionError(str(exc or "closed during the handshake")))
            self._opened.exception()  # it may be that nobody waits any more
            return
        self._on_closed(self._websocket.close_code, self._websocket.close_reason or str(exc or ""))

    def _shaken(self) -> None:
        if self._opened.done():
            return
        error = self._websocket.handshake_exc
        if error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._on_text(bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts.clear()
                self._on_text(whole)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._websocket.data_to_send():
            if data:
                transport.write(data)
            elif transport.can_write_eof():
                transport.write_eof()
        if self._websocket.close_expected() and self._websocket.state is not OPEN:
            transport.close()
