"""Peers for tests: a websocket client made of bytes, so that it can also say what no library would let it say."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from roomguard.runtime.handshake import Endpoint, RouteParams
from roomguard.runtime.listener import Handler, Listener
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.transport import Connection

BACKENDS = ("trio-websocket", "sansio")

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def request(path: str = "/v1/edge", **headers: str | None) -> bytes:
    """A good handshake; a header given as None is left out, underscores are dashes."""
    wanted: dict[str, str | None] = {
        "Host": "guard",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """One client frame."""
    head = bytearray([(0x80 if final else 0) | rsv | opcode])
    mark = 0x80 if masked else 0
    if len(payload) < 126:
        head.append(mark | len(payload))
    elif len(payload) < 65_536:
        head += bytes([mark | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([mark | 127]) + len(payload).to_bytes(8, "big")
    if not masked:
        return bytes(head) + payload
    key = os.urandom(4)
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return bytes(head) + key + mixed.to_bytes(len(payload), "big")


def text(message: str) -> bytes:
    """A whole text message."""
    return frame(TEXT, message.encode())


@attrs.define
class Peer:
    """A client on any stream."""

    stream: trio.abc.Stream
    _buffer: bytearray = attrs.field(factory=bytearray)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def open(self, path: str = "/v1/edge", **headers: str | None) -> str:
        """Shakes hands; the head of the answer."""
        await self.send(request(path, **headers))
        return await self.head()

    async def head(self) -> str:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        return self._take(end + 4).decode()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode and payload."""
        first, second = await self._exactly(2)
        assert first & 0x80, "the server does not fragment"
        assert not second & 0x80, "the server does not mask"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self._exactly(8), "big")
        return first & 0x0F, await self._exactly(size)

    async def message(self) -> str:
        """The next text message, answering nothing in between."""
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT:
                return payload.decode()

    async def closing(self) -> int | None:
        """The code of the server's close frame, None where the stream ends without one."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except EOFError:
            return None

    async def rest(self) -> bytes:
        """All bytes until the end."""
        try:
            while True:
                await self._more()
        except EOFError:
            return self._take(len(self._buffer))

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    async def _more(self) -> None:
        try:
            data = await self.stream.receive_some(65_536)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            raise EOFError
        self._buffer += data

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


async def echo(connection: Connection, _params: RouteParams) -> None:
    """A handler that says everything back."""
    while True:
        await connection.send_many(await connection.receive())


@attrs.frozen
class Running:
    """A listener under test."""

    listener: Listener
    port: int
    peers: list[Peer] = attrs.field(factory=list)

    async def connect(self) -> Peer:
        peer = Peer(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer


@asynccontextmanager
async def listening(
    *, handlers: Mapping[Endpoint, Handler] | None = None, **settings: Any
) -> AsyncGenerator[Running, None]:
    """A listener on a free port; leaving stops it at once."""
    wanted: dict[str, Any] = {"port": 0, "close_s": 0.2, "handshake_s": 2.0, **settings}
    served: dict[Endpoint, Handler] = {"edge": echo, "room": echo, "actions": echo}
    served.update(handlers or {})
    listener = Listener(ListenSettings(**wanted), served)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(listener.serve)
            running = Running(listener, addresses[0][1])
            yield running
            nursery.cancel_scope.cancel()
        for peer in running.peers:
            await trio.aclose_forcefully(peer.stream)


async def settled(condition: Any, seconds: float = 5.0) -> None:
    """Waits until `condition()` holds: for what another task does in its own time."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)
