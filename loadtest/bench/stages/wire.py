"""Bytes to frames to events, and acks back: what the transport and the decoder cost without anything behind them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import msgspec
import trio
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from loadtest.bench.stages.stage import Stage
from loadtest.bench.stages.work import BATCH, Traffic, looped
from loadtest.bench.yardsticks import floor
from roomguard.runtime.handshake import judge
from roomguard.runtime.pipe import Pipe
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.tokens import Tokens
from roomguard.runtime.transport import BaseConnection, ConnectionClosed
from roomguard.runtime.transport_sansio import SansioConnection
from roomguard.runtime.transport_trio_websocket import TrioWebsocketConnection
from roomguard.wire import FrameDecoder, encode_ack

CHUNK = 64 * 1024
HEAD = (
    b"GET /v1/edge HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % base64.b64encode(bytes(16))
)


class Canned(trio.abc.Stream):
    """A stream whose bytes are there already, a chunk a read; what is written is thrown away."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = iter(chunks)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - the interface
        """The next chunk, b"" after the last."""
        await trio.lowlevel.checkpoint()
        return next(self._chunks, b"")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Thrown away."""

    async def wait_send_all_might_not_block(self) -> None:
        """Part of trio's interface."""

    async def aclose(self) -> None:
        """Nothing to close."""


def chunks(payloads: Sequence[str]) -> list[bytes]:
    """Masked frames, in chunks of whole frames of about 64 KiB."""
    out: list[bytes] = []
    gathered: list[bytes] = []
    for payload in payloads:
        gathered.append(Frame(Opcode.TEXT, payload.encode()).serialize(mask=True))
        if sum(map(len, gathered)) >= CHUNK:
            out.append(b"".join(gathered))
            gathered = []
    return [*out, b"".join(gathered)]


async def _read_all(backend: type[SansioConnection | TrioWebsocketConnection], data: Sequence[bytes]) -> int:
    """All messages of a connection whose bytes are there."""
    settings = ListenSettings()
    opening = judge(HEAD, tokens=Tokens([]), origins=())
    pipe = Pipe(Canned(data), lambda: None, linger_s=0.0)
    count = 0
    async with trio.open_nursery() as nursery:
        connection: BaseConnection = await backend.open(pipe, HEAD, opening, "bench", settings, nursery)
        try:
            while True:
                count += len(await connection.receive())
        except ConnectionClosed:
            nursery.cancel_scope.cancel()
    return count


def _transport(
    backend: type[SansioConnection | TrioWebsocketConnection], payloads: Sequence[str]
) -> Callable[[], Callable[[], object]]:
    data = chunks(payloads)

    def work() -> None:
        got = trio.run(_read_all, backend, data)
        if got != len(payloads):
            raise ValueError(f"{got} of {len(payloads)} messages came out")

    return lambda: work


def _bare(payloads: Sequence[str]) -> Callable[[], Callable[[], object]]:
    """The library's parser alone: no stream, no loop, no meter."""
    data = chunks(payloads)

    def work() -> None:
        protocol = Protocol(SERVER, state=OPEN)
        for chunk in data:
            protocol.receive_data(chunk)
            for frame in protocol.events_received():
                str(frame.data, "utf-8")  # type: ignore[union-attr]

    return lambda: work


def stages(traffic: Traffic) -> list[Stage]:
    """All stages of the wire, at one event a frame and at many."""
    out = []
    size = len(traffic)
    decode_floor = msgspec.json.Decoder(floor.Events).decode
    for batch in (1, BATCH):
        payloads = traffic.payloads(batch)
        texts = [payload.encode() for payload in payloads]
        at = f"{batch} a frame"
        out += [
            Stage(f"frame_floor_{batch}", f"websockets' parser alone, {at}", size, _bare(payloads)),
            Stage(
                f"frame_sansio_{batch}", f"our sans-I/O transport, {at}", size,
                _transport(SansioConnection, payloads), beside=f"frame_floor_{batch}",
            ),
            Stage(
                f"frame_trio_{batch}", f"our trio-websocket transport, {at}", size,
                _transport(TrioWebsocketConnection, payloads), beside=f"frame_floor_{batch}",
            ),
            Stage(
                f"decode_floor_{batch}", f"msgspec into Structs, unchecked, {at}", size,
                lambda texts=texts: looped(decode_floor, texts),  # type: ignore[misc]
            ),
            Stage(
                f"decode_{batch}", f"payload to checked events, {at}", size,
                lambda texts=texts: looped(FrameDecoder().decode, texts), beside=f"decode_floor_{batch}",  # type: ignore[misc]
            ),
        ]  # fmt: skip
    out.append(
        Stage("ack", "one ack encoded", size, lambda: looped(lambda seq: encode_ack(seq, 128), range(size)), "us/frame")
    )
    return out
