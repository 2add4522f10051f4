"""Hostile packets over real sockets: each may cost its own connection, never the server or a neighbour."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.transport import Connection
from tests.runtime.peers import (
    BACKENDS,
    BINARY,
    CLOSE,
    CONT,
    PING,
    TEXT,
    Peer,
    Running,
    echo,
    frame,
    listening,
    request,
    settled,
    text,
)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test here holds for both backends."""
    value: str = request.param
    return value


@asynccontextmanager
async def besieged(backend: str, **settings: Any) -> AsyncGenerator[Running, None]:
    """A listener with a witness: a neighbour who is answered before and after, and a newcomer who gets in after."""
    async with listening(backend=backend, **settings) as running:
        witness = await running.connect()
        await witness.open()
        yield running
        await witness.send(text("still there?"))
        assert await witness.message() == "still there?"
        newcomer = await running.connect()
        assert "101" in await newcomer.open()
        await newcomer.send(text("hello"))
        assert await newcomer.message() == "hello"
        await newcomer.send(frame(CLOSE))
        await settled(lambda: running.listener.statistics().open == 1)
        for peer in running.peers:
            await trio.aclose_forcefully(peer.stream)


def reset(peer: Peer) -> None:
    """Ends a TCP connection with RST."""
    assert isinstance(peer.stream, trio.SocketStream)
    peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.stream.socket.close()


HANDSHAKES = {
    "K1 host byte": request(Host="\xff"),
    "K2 host IDNA": request(Host="xn--\x80"),
    "K3 connection byte": request(Connection="Upgrade, \xff"),
    "K4 subprotocol byte": request(Sec_WebSocket_Protocol="\xff"),
    "K5 extensions byte": request(Sec_WebSocket_Extensions="\xff"),
    "100 KB header": request(X="x" * 100_000),
    "POST with body": request(Content_Length="3").replace(b"GET", b"POST") + b"abc",
    "no host": request(Host=None),
    "two hosts": request().replace(b"Host: guard", b"Host: a\r\nHost: b"),
    "bare LF": request().replace(b"\r\n", b"\n"),
    "double slash": request("//"),
    "NUL in path": request("/v1/rooms/%00"),
    "dots in path": request("/v1/rooms/..%2f..%2fetc/passwd"),
    "8 KB path": request("/" + "a" * 8_192),
    "UTF-8 path": request("/v1/rooms/\xe9"),
    "half a request and the end": request()[:40],
    "nothing": b"",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "noise": bytes(range(256)) * 100,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "IDNA-breaking but ASCII host": request(Host="xn--a.xn--\x7e" + "a" * 300),
}


@pytest.mark.parametrize("head", HANDSHAKES.values(), ids=HANDSHAKES.keys())
async def test_handshakes(backend: str, head: bytes) -> None:
    """A handshake nobody should send is refused or dropped, quickly."""
    async with besieged(backend) as running:
        peer = await running.connect()
        await peer.send(head)
        assert isinstance(peer.stream, trio.SocketStream)
        await peer.stream.send_eof()
        with trio.fail_after(4):
            await peer.rest()


FRAMES = {
    "unmasked": frame(TEXT, b"x", masked=False),
    "RSV": frame(TEXT, b"x", rsv=0x70),
    "long ping": frame(PING, b"x" * 126),
    "continuation first": frame(CONT, b"x"),
    "message in a message": frame(TEXT, b"x", final=False) + text("y"),
    "bad UTF-8": frame(TEXT, b"\xed\xa0\x80"),
    "bad UTF-8 over fragments": frame(TEXT, b"\xf0\x9f", final=False) + frame(CONT, b"x"),
    "length 2^63": bytes([0x81, 0xFF]) + (2**63).to_bytes(8, "big") + b"mask",
    "length 2^62": bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big") + b"mask",
    "not minimal length": bytes([0x81, 0xFE, 0, 1]) + b"\0\0\0\0x",
    "binary": frame(BINARY, b"x"),
    "deflated": frame(TEXT, b"\xcaH\xcd\xc9\xc9\x07\x00", rsv=0x40),
    "close of one byte": frame(CLOSE, b"x"),
    "close with a bad code": frame(CLOSE, (1005).to_bytes(2, "big")),
    "close with bad UTF-8": frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"),
    "data after close": frame(CLOSE) + text("x") * 50,
    "ping after close": frame(CLOSE) + frame(PING) * 50,
    "K7 too long, then a ping": text("x" * 70_000) + frame(PING),
    "zero-length fragments": frame(TEXT, final=False) + frame(CONT, final=False) * 100_000,
    "one-byte fragments": frame(TEXT, b"x", final=False) + frame(CONT, b"x", final=False) * 20_000,
    "ping flood": frame(PING, b"x" * 100) * 50_000,
    "noise": bytes(range(256)) * 100,
}


@pytest.mark.parametrize("data", FRAMES.values(), ids=FRAMES.keys())
async def test_frames(backend: str, data: bytes) -> None:
    """Frames nobody should send end their connection; the process answers the others meanwhile."""
    async with besieged(backend, max_frame_bytes=65_536) as running:
        peer = await running.connect()
        await peer.open()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:

                async def flood() -> None:
                    try:
                        await peer.send(data)
                    except trio.BrokenResourceError:
                        return
                    if data == FRAMES["not minimal length"]:
                        await peer.send(frame(CLOSE))  # one backend takes it: the length is right all the same

                nursery.start_soon(flood)
                await peer.rest()
                nursery.cancel_scope.cancel()


async def test_k6_pings_after_our_close(backend: str) -> None:
    """A peer that goes on pinging after we said close is closed in bounds and ends nothing else."""

    async def closing(connection: Connection, params: RouteParams) -> None:
        if params.session == "close":
            await connection.aclose(1012, "restart")
            return
        await echo(connection, params)

    async with besieged(backend, handlers={"edge": closing}) as running:
        peer = await running.connect()
        await peer.open("/v1/edge?session=close")
        assert (await peer.frame())[0] == CLOSE
        with trio.fail_after(5):
            try:
                for _ in range(200):
                    await peer.send(frame(PING, b"x"))
                    await trio.sleep(0.001)
            except trio.BrokenResourceError:
                pass
            await peer.rest()


@pytest.mark.parametrize("number", [1, 5, 400])
async def test_messages_and_a_close_at_once(backend: str, number: int) -> None:
    """Who sends messages and leaves in the same breath gets a clean close; one backend still sends every answer."""
    async with besieged(backend) as running:
        peer = await running.connect()
        await peer.open()
        await peer.send(text("bye") * number + frame(CLOSE, (1000).to_bytes(2, "big")))
        answers = 0
        while (got := await peer.frame())[0] == TEXT:
            answers += 1

        assert got == (CLOSE, (1000).to_bytes(2, "big"))
        assert answers == number or backend == "trio-websocket"


async def test_k8_resets_at_the_handshake(backend: str) -> None:
    """A bad line, or half a good one, and RST: two hundred times."""
    async with besieged(backend) as running:
        for number in range(200):
            peer = await running.connect()
            await peer.send((b"NO\r\n\r\n", request()[:30], request(), b"")[number % 4])
            reset(peer)


async def test_resets_in_the_middle(backend: str) -> None:
    """RST in the middle of a message, and of an answer."""
    async with besieged(backend) as running:
        for number in range(40):
            peer = await running.connect()
            await peer.open()
            await peer.send(text("x" * 50_000)[: 49_000 if number % 2 else None])
            reset(peer)


@pytest.mark.parametrize("fault", [RuntimeError, KeyError, RecursionError, MemoryError, UnicodeDecodeError])
async def test_k9_a_bug_in_a_handler(backend: str, fault: type[Exception]) -> None:
    """A handler that raises costs its own connection, closed with 1011, and is counted."""

    async def buggy(connection: Connection, params: RouteParams) -> None:
        if params.session != "bug":
            await echo(connection, params)
        await connection.receive()
        if fault is UnicodeDecodeError:
            b"\xff".decode()
        raise fault("a bug")

    async with besieged(backend, handlers={"edge": buggy}) as running:
        peer = await running.connect()
        await peer.open("/v1/edge?session=bug")
        await peer.send(text("go"))

        assert await peer.closing() == 1011
        await settled(lambda: running.listener.statistics().open == 1)
        assert running.listener.statistics().contained == 1
        assert running.listener.statistics().ended == {"error": 1}


async def test_a_bug_in_a_task_of_a_handler(backend: str) -> None:
    """A bug in a nursery of the handler is contained like one in the handler."""

    async def bug() -> None:
        raise ZeroDivisionError

    async def buggy(connection: Connection, params: RouteParams) -> None:
        if params.session != "bug":
            await echo(connection, params)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bug)
            await connection.receive()

    async with besieged(backend, handlers={"edge": buggy}) as running:
        peer = await running.connect()
        await peer.open("/v1/edge?session=bug")
        assert await peer.closing() == 1011


async def test_slow_headers(backend: str) -> None:
    """Many who send a header a byte at a time are dropped at the deadline; a good client gets in meanwhile."""
    async with besieged(backend, handshake_s=0.3) as running:
        peers = [await running.connect() for _ in range(50)]
        for peer in peers:
            await peer.send(b"GET /v1/edge HTTP/1.1\r\nX: ")
        good = await running.connect()
        assert "101" in await good.open()
        with trio.fail_after(3):
            for peer in peers:
                await peer.rest()
        await good.send(frame(CLOSE))


async def test_a_client_that_never_reads(backend: str) -> None:
    """A client that asks for much and reads nothing is aborted after send_s; memory stays bounded."""

    async def generous(connection: Connection, params: RouteParams) -> None:
        if params.session != "deaf":
            await echo(connection, params)
        while True:
            await connection.send(b"x" * 60_000)

    async with besieged(backend, handlers={"edge": generous}, send_s=0.3) as running:
        peer = await running.connect()
        await peer.open("/v1/edge?session=deaf")
        await settled(lambda: running.listener.statistics().open == 1)


async def test_a_ping_flood_that_never_reads(backend: str) -> None:
    """Pings whose pongs nobody reads end the connection one way or the other."""
    async with besieged(backend, send_s=0.3, small_frames_per_s=86_400, small_frames_burst=10_000_000) as running:
        peer = await running.connect()
        await peer.open()
        flood = frame(PING, b"x" * 125) * 1_000

        async def for_ever() -> None:
            while True:
                await peer.send(flood)

        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            await for_ever()


async def test_a_message_that_never_ends(backend: str) -> None:
    """A message begun and left is closed with 1008 after message_s."""
    async with besieged(backend, message_s=0.2, close_s=0.2) as running:
        peer = await running.connect()
        await peer.open()
        await peer.send(text("x" * 100)[:50])

        assert await peer.closing() == 1008


async def test_a_peer_without_pongs(backend: str) -> None:
    """A peer that stopped answering pings is dropped."""
    async with listening(backend=backend, ping_s=0.2, pong_s=0.2) as running:
        peer = await running.connect()
        await peer.open()
        with trio.fail_after(3):
            await peer.rest()
        await settled(lambda: running.listener.statistics().open == 0)


@pytest.mark.parametrize("number", [300])
async def test_rejects_do_not_linger(backend: str, number: int) -> None:
    """Hundreds of refused requests whose senders stay are gone within a second."""
    async with besieged(backend, connections=10_000, connections_per_peer=10_000) as running:
        peers = [await running.connect() for _ in range(number)]
        for peer in peers:
            await peer.send(request("/nope"))
        await settled(lambda: running.listener.statistics().open == 1, 2.0)


def test_names_are_used() -> None:
    """The tables hold what they promise: each of the eight packets has its case."""
    cases: list[Callable[..., Awaitable[None]]] = [test_k6_pings_after_our_close, test_k8_resets_at_the_handshake]
    names = [*HANDSHAKES, *FRAMES, *(case.__name__.upper()[5:] for case in cases)]
    assert all(any(name.startswith(f"K{number}") for name in names) for number in range(1, 9))
