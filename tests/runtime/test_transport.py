"""One connection on memory streams, the same rules for both backends. Time jumps; nothing sleeps."""

from __future__ import annotations

import math
import random
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from roomguard.runtime.handshake import judge
from roomguard.runtime.pipe import Pipe, hard_close
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.tokens import Tokens
from roomguard.runtime.transport import BaseConnection, ConnectionClosed, Keeper, cut_reason, limit_of_connections
from roomguard.runtime.transport_sansio import SansioConnection
from roomguard.runtime.transport_trio_websocket import TrioWebsocketConnection

from .peers import BACKENDS, BINARY, CLOSE, CONT, PING, PONG, TEXT, Peer, frame, request, text

Clock = trio.testing.MockClock

OPEN = {"trio-websocket": TrioWebsocketConnection.open, "sansio": SansioConnection.open}


@attrs.frozen
class Pair:
    """A connection and its peer, with the watcher running."""

    connection: BaseConnection
    peer: Peer
    nursery: trio.Nursery


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test here holds for both backends."""
    value: str = request.param
    return value


@asynccontextmanager
async def paired(
    clock: Clock, backend: str, *, streams: Callable[[], Any] = trio.testing.memory_stream_pair, **settings: Any
) -> AsyncGenerator[Pair, None]:
    """An open connection over `streams`. `clock` makes time jump for the test that asks for it."""
    assert clock.autojump_threshold == 0
    wanted = ListenSettings(**{"backend": backend, **settings})
    ours, theirs = streams()

    def cut() -> None:
        ours.send_stream.close()
        ours.receive_stream.close()

    head = request()
    opening = judge(head, tokens=Tokens([]), origins=())
    peer = Peer(theirs)
    keeper = Keeper(wanted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        nursery.start_soon(peer.head)
        pipe = Pipe(ours, cut, linger_s=wanted.close_s)
        connection = await OPEN[backend](pipe, head, opening, "peer:1", wanted, nursery)
        await trio.testing.wait_all_tasks_blocked()
        keeper.add(connection)
        yield Pair(connection, peer, nursery)
        nursery.cancel_scope.cancel()


async def test_messages_come_in_order_and_several_at_once(backend: str, autojump_clock: Clock) -> None:
    """All messages that are there are given together, fragments joined, pings answered."""
    async with paired(autojump_clock, backend) as pair:
        await pair.peer.send(
            text("one")
            + frame(TEXT, "zw\u00f6".encode()[:3], final=False)
            + frame(PING, b"!")
            + frame(CONT, "zw\u00f6".encode()[3:])
            + text("")
        )
        got: list[str] = []
        while len(got) < 3:
            got += map(bytes.decode, await pair.connection.receive())

        assert got == ["one", "zwö", ""]
        assert await pair.peer.frame() == (PONG, b"!")


async def test_bytes_one_by_one(backend: str, autojump_clock: Clock) -> None:
    """Frames may be cut anywhere."""
    async with paired(autojump_clock, backend) as pair:
        for byte in text("héllo") + text("x" * 300):
            await pair.peer.send(bytes([byte]))
        got: list[str] = []
        while len(got) < 2:
            got += map(bytes.decode, await pair.connection.receive())

        assert got == ["héllo", "x" * 300]


@pytest.mark.parametrize("seed", range(20))
async def test_any_mix_of_frames_cut_anywhere(backend: str, seed: int, autojump_clock: Clock) -> None:
    """Whole texts, fragments and pings come out as messages in their order, however the bytes are cut."""
    rng = random.Random(seed)
    wanted: list[str] = []
    data = b""
    for number in range(60):
        message = f"{number} " + "zwölf🌹" * rng.choice((0, 1, 12, 40))
        wanted.append(message)
        if rng.random() < 0.7:
            data += text(message)
        else:
            payload = message.encode()
            half = rng.randrange(len(payload))
            data += frame(TEXT, payload[:half], final=False) + frame(PING, b"?") + frame(CONT, payload[half:])
    async with paired(autojump_clock, backend) as pair:

        async def send() -> None:
            at = 0
            while at < len(data):
                size = rng.choice((1, 3, 20, 400, 5_000))
                await pair.peer.send(data[at : at + size])
                at += size

        pair.nursery.start_soon(send)
        got: list[str] = []
        while len(got) < len(wanted):
            got += map(bytes.decode, await pair.connection.receive())

        assert got == wanted


@asynccontextmanager
async def over_sockets(backend: str) -> AsyncGenerator[tuple[BaseConnection, Peer], None]:
    """An open connection over real sockets, in real time and without a watcher."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    head = request()
    async with (
        trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as near,
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)) as far,
        trio.open_nursery() as nursery,
    ):
        peer = Peer(far)
        pipe = Pipe(near, hard_close(near), linger_s=1.0)
        opening = judge(head, tokens=Tokens([]), origins=())
        connection = await OPEN[backend](pipe, head, opening, "peer:1", ListenSettings(), nursery)
        await peer.head()
        yield connection, peer
        nursery.cancel_scope.cancel()


async def test_sending_without_waiting(backend: str) -> None:
    """What the socket does not take at once goes out behind what it took, before anything sent later."""
    async with over_sockets(backend) as (connection, peer), trio.open_nursery() as nursery:
        assert connection.send_now([b"1", b"2" * 8_000_000, b"3"])
        assert not connection.send_now([b"refused"])
        nursery.start_soon(connection.send, "4")

        assert [await peer.message() for _ in range(4)] == ["1", "2" * 8_000_000, "3", "4"]
        assert connection.send_now([b"5"])
        assert await peer.message() == "5"
        assert connection.statistics().sent_messages == 5


async def test_nothing_is_sent_after_the_end(backend: str) -> None:
    """An aborted connection takes no message, and writes to nobody else who has its descriptor by now."""
    async with over_sockets(backend) as (connection, _):
        connection.abort()

        assert not connection.send_now([b"1"])
        with pytest.raises(ConnectionClosed):
            await connection.receive()


async def test_sending_without_waiting_needs_a_socket(backend: str, autojump_clock: Clock) -> None:
    """Where something stands between us and the socket, as TLS does, nothing is taken."""
    async with paired(autojump_clock, backend) as pair:
        assert not pair.connection.send_now([b"1"])


async def test_sending(backend: str, autojump_clock: Clock) -> None:
    """Bytes and str are text messages; many keep their order."""
    async with paired(autojump_clock, backend) as pair:
        await pair.connection.send("é")
        await pair.connection.send_many([b"1", "2", b"3" * 70_000])

        assert [await pair.peer.message() for _ in range(4)] == ["é", "1", "2", "3" * 70_000]
        statistics = pair.connection.statistics()
        assert (statistics.sent_messages, statistics.fault) == (4, None)


async def test_many_tasks_may_send(backend: str, autojump_clock: Clock) -> None:
    """Messages of different tasks never mix."""
    async with paired(autojump_clock, backend, streams=trio.testing.lockstep_stream_pair) as pair:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(pair.connection.send_many, [f"{number}a" * 500, f"{number}b"])
            got = [await pair.peer.message() for _ in range(40)]

        for number in range(20):
            assert got.index(f"{number}a" * 500) < got.index(f"{number}b")


FAULTS: list[tuple[str, bytes, int]] = [
    ("binary", frame(BINARY, b"x"), 1003),
    ("bad UTF-8", frame(TEXT, b"\xff"), 1007),
    ("bad UTF-8 over fragments", frame(TEXT, b"\xc3", final=False) + frame(CONT, b"\x28"), 1007),
    ("too many bytes", text("x" * 2001), 1009),
    ("bytes, not code points", text("🌹" * 501), 1009),
    ("too many in parts", frame(TEXT, b"x" * 1500, final=False) + frame(CONT, b"x" * 1500), 1009),
    ("declared 2^62", bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big") + b"mask", 1009),
    ("unmasked", frame(TEXT, b"x", masked=False), 1002),
    ("RSV1", frame(TEXT, b"x", rsv=0x40), 1002),
    ("RSV3", frame(TEXT, b"x", rsv=0x10), 1002),
    ("reserved opcode", frame(5, b"x"), 1002),
    ("long control frame", frame(PING, b"x" * 126), 1002),
    ("fragmented control frame", frame(PING, final=False), 1002),
    ("continuation first", frame(CONT, b"x" * 300), 1002),
    ("message inside a message", frame(TEXT, b"x" * 300, final=False) + text("y"), 1002),
    ("ping flood", frame(PING) * 60, 1008),
    ("empty fragments", frame(TEXT, final=False) + frame(CONT, final=False) * 60, 1008),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_faults_of_the_peer(backend: str, data: bytes, code: int, autojump_clock: Clock) -> None:
    """A fault of the websocket layer closes with its code; what came before it is still given."""
    async with paired(autojump_clock, backend, max_frame_bytes=2000, small_frames_burst=50) as pair:
        await pair.peer.send(text("good"))
        assert await pair.connection.receive() == [b"good"]

        await pair.peer.send(data)
        with pytest.raises(ConnectionClosed):
            await pair.connection.receive()

        assert await pair.peer.closing() == code
        with pytest.raises(ConnectionClosed):
            await pair.connection.send("late")


async def test_messages_before_a_fault_are_given(backend: str, autojump_clock: Clock) -> None:
    """A fault in the same bytes does not take back what was complete."""
    async with paired(autojump_clock, backend) as pair:
        await pair.peer.send(text("good") + frame(BINARY, b"x"))

        assert await pair.connection.receive() == [b"good"]
        with pytest.raises(ConnectionClosed):
            await pair.connection.receive()


async def test_a_close_in_the_same_bytes_still_gets_its_answers(autojump_clock: Clock) -> None:
    """Who sends and closes at once reads the answers before the close (backend sansio)."""
    async with paired(autojump_clock, "sansio") as pair:
        await pair.peer.send(text("last") + frame(CLOSE, (1000).to_bytes(2, "big")))

        assert await pair.connection.receive() == [b"last"]
        await pair.connection.send("answer")
        with pytest.raises(ConnectionClosed) as closed:
            await pair.connection.receive()

        assert closed.value.code == 1000
        assert await pair.peer.message() == "answer"
        assert await pair.peer.closing() == 1000


async def test_the_peer_closes(backend: str, autojump_clock: Clock) -> None:
    """The peer's code and reason arrive with ConnectionClosed, again and again."""
    async with paired(autojump_clock, backend) as pair:
        await pair.peer.send(frame(CLOSE, (4000).to_bytes(2, "big") + b"bye"))
        for _ in range(2):
            with pytest.raises(ConnectionClosed) as closed:
                await pair.connection.receive()
            assert (closed.value.code, closed.value.reason) == (4000, "bye")

        assert await pair.peer.closing() == 4000


async def test_the_tcp_connection_ends(backend: str, autojump_clock: Clock) -> None:
    """An end without a close is 1006."""
    async with paired(autojump_clock, backend) as pair:
        await pair.peer.stream.aclose()
        with pytest.raises(ConnectionClosed) as closed:
            await pair.connection.receive()

        assert closed.value.code == 1006


async def test_we_close(backend: str, autojump_clock: Clock) -> None:
    """Our close carries code and reason; the peer's answer ends it; closing again does nothing."""
    async with paired(autojump_clock, backend) as pair:
        pair.nursery.start_soon(pair.connection.aclose, 1012, "restart")
        opcode, payload = await pair.peer.frame()
        assert (opcode, payload) == (CLOSE, (1012).to_bytes(2, "big") + b"restart")
        await pair.peer.send(frame(CLOSE, payload))
        with trio.fail_after(0.1):
            assert await pair.peer.rest() == b""
        await trio.testing.wait_all_tasks_blocked()
        await pair.connection.aclose(1000)


async def test_a_close_that_is_never_answered(backend: str, autojump_clock: Clock) -> None:
    """A peer that does not answer our close is waited for in bounds, also while another task receives."""
    async with paired(autojump_clock, backend, close_s=2.0) as pair:

        async def receive() -> None:
            with pytest.raises(ConnectionClosed):
                await pair.connection.receive()

        pair.nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await pair.connection.aclose(1000, "x" * 500)

        assert trio.current_time() - began <= 4.0
        assert len((await pair.peer.frame())[1]) == 125


async def test_a_cancelled_send_aborts(backend: str, autojump_clock: Clock) -> None:
    """Half a frame may be on its way: after a cancelled send nothing is ever sent again."""
    async with paired(autojump_clock, backend, streams=trio.testing.lockstep_stream_pair) as pair:
        with trio.move_on_after(1):
            await pair.connection.send("never read")

        assert pair.connection.statistics().aborted
        with pytest.raises(ConnectionClosed):
            await pair.connection.send("again")
        with pytest.raises(ConnectionClosed):
            await pair.connection.receive()


async def test_a_peer_that_never_reads(backend: str, autojump_clock: Clock) -> None:
    """A write that takes longer than send_s aborts the connection, and its sender learns it."""
    async with paired(autojump_clock, backend, streams=trio.testing.lockstep_stream_pair, send_s=3.0) as pair:
        began = trio.current_time()
        with pytest.raises(ConnectionClosed):
            await pair.connection.send("never read")

        assert 3.0 <= trio.current_time() - began <= 5.0
        assert pair.connection.statistics().fault == "the peer did not read in time"


async def test_a_message_that_is_never_finished(backend: str, autojump_clock: Clock) -> None:
    """A message started and not finished in message_s ends the connection with 1008, bytes dripping or not."""
    async with paired(autojump_clock, backend, message_s=5.0, close_s=1.0) as pair:

        async def drip() -> None:
            for byte in text("x" * 100):
                await trio.sleep(0.5)
                await pair.peer.send(bytes([byte]))

        pair.nursery.start_soon(drip)
        began = trio.current_time()
        with pytest.raises(ConnectionClosed) as closed:
            await pair.connection.receive()

        assert closed.value.code == 1008
        assert 5.0 <= trio.current_time() - began <= 8.0
        assert await pair.peer.closing() == 1008


async def test_slow_messages_that_get_finished(backend: str, autojump_clock: Clock) -> None:
    """The deadline is for one message, not for the connection."""
    async with paired(autojump_clock, backend, message_s=5.0) as pair:
        for number in range(10):
            data = text(f"{number}")
            await pair.peer.send(data[:3])
            await trio.sleep(3)
            await pair.peer.send(data[3:])
            assert await pair.connection.receive() == [b"%d" % number]


async def test_our_own_slowness_is_not_the_peers(autojump_clock: Clock) -> None:
    """While nobody receives, neither the message's nor the pong's deadline runs (backend sansio reads only then)."""
    async with paired(autojump_clock, "sansio", message_s=5.0, ping_s=5.0, pong_s=2.0) as pair:
        second = text("two")
        await pair.peer.send(text("one") + second[:4])
        assert await pair.connection.receive() == [b"one"]
        await trio.sleep(60)
        await pair.peer.send(second[4:])

        assert await pair.connection.receive() == [b"two"]


async def test_silence_after_a_ping(backend: str, autojump_clock: Clock) -> None:
    """We ping every ping_s; a peer silent for pong_s after it is dropped."""
    async with paired(autojump_clock, backend, ping_s=25.0, pong_s=10.0) as pair:
        began = trio.current_time()
        with pytest.raises(ConnectionClosed):
            await pair.connection.receive()

        assert 35.0 <= trio.current_time() - began <= 40.0
        assert (await pair.peer.frame())[0] == PING
        assert pair.connection.statistics().fault == "the peer is silent"


async def test_a_peer_that_answers_pings_stays(backend: str, autojump_clock: Clock) -> None:
    """Pongs keep a quiet connection open for as long as it likes."""
    async with paired(autojump_clock, backend, ping_s=25.0, pong_s=10.0) as pair:

        async def answer() -> None:
            while True:
                opcode, payload = await pair.peer.frame()
                if opcode == PING:
                    await pair.peer.send(frame(PONG, payload))

        pair.nursery.start_soon(answer)
        with trio.move_on_after(600) as scope:
            await pair.connection.receive()

        assert scope.cancelled_caught
        assert pair.connection.statistics().pings >= 20


async def test_a_cancelled_receive_loses_nothing(backend: str, autojump_clock: Clock) -> None:
    """Waiting for messages may be given up and taken up again."""
    async with paired(autojump_clock, backend) as pair:
        await pair.peer.send(text("whole")[:4])
        for _ in range(3):
            with trio.move_on_after(1):
                await pair.connection.receive()
        await pair.peer.send(frame(PING))

        assert not pair.connection.statistics().aborted


async def test_abort_wakes_everybody(backend: str, autojump_clock: Clock) -> None:
    """After an abort whoever waits learns it at once."""
    async with paired(autojump_clock, backend) as pair:
        woken = trio.Event()

        async def receive() -> None:
            with pytest.raises(ConnectionClosed):
                await pair.connection.receive()
            woken.set()

        pair.nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        pair.connection.abort()
        with trio.fail_after(0.1):
            await woken.wait()


async def test_two_receivers_are_a_bug(autojump_clock: Clock) -> None:
    """Only one task may receive (backend sansio says so)."""
    async with paired(autojump_clock, "sansio") as pair:
        pair.nursery.start_soon(pair.connection.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await pair.connection.receive()


async def test_a_flood_of_small_messages_shares_the_loop(autojump_clock: Clock) -> None:
    """Thousands of messages of one read are given in turns, others run in between."""
    async with paired(autojump_clock, "sansio") as pair:
        await pair.peer.send(text("x") * 5_000)
        turns = 0
        got = 0

        async def neighbour() -> None:
            nonlocal turns
            while got < 5_000:
                turns += 1
                await trio.lowlevel.checkpoint()

        pair.nursery.start_soon(neighbour)
        while got < 5_000:
            got += len(await pair.connection.receive())

        assert turns >= 2


@pytest.mark.parametrize("reason", ["", "x" * 123, "x" * 124, "é" * 62, "🌹" * 100])
def test_reasons_fit_into_a_close_frame(reason: str) -> None:
    """At most 123 bytes, never half a character."""
    cut = cut_reason(reason)

    assert len(cut.encode()) <= 123
    assert reason.startswith(cut)


def test_the_limit_follows_the_file_descriptors() -> None:
    """Never more connections than half of the descriptors."""
    settings = ListenSettings(connections=1000)

    assert limit_of_connections(settings, math.inf) == 1000
    assert limit_of_connections(settings, 256) == 128
    assert limit_of_connections(settings, 1) == 1


def test_hard_close_wants_a_socket() -> None:
    """A stream without a socket under it has no abort of its own."""
    ours, _ = trio.testing.memory_stream_pair()
    with pytest.raises(TypeError):
        hard_close(ours)
