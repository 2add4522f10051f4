"""Foreign clients: an edge with a session and a consumer of the bus, on asyncio, after the protocol page alone."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote

import attrs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

WAIT_S = 60.0
AGAIN_S = 0.03
"""Between tries to connect: tests do not wait for a machine to come back, only for a process."""

Record = dict[str, Any]


async def until(holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Until something holds that other tasks bring about."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


@attrs.define(eq=False)
class Frame:
    """A frame of events until it is acknowledged."""

    events: list[Record]
    gate: bool
    sent_at: float = 0.0
    acked: bool = False
    verdicts: list[str] | None = None


class Edge:
    """An edge that stays connected, resumes its session, and carries out and remembers every action."""

    def __init__(
        self,
        url: str,
        session: str | None = None,
        *,
        path: str = "/v1/edge",
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        enforces: bool = True,
    ) -> None:
        query = "" if session is None else f"?session={quote(session, safe='')}"
        self.url = f"{url}{path}{query}"
        self.options: Record = {"max_size": 2**24, "compression": None, "proxy": None}
        if token is not None:
            self.options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        if tls is not None:
            self.options["ssl"] = tls
        self.enforces = enforces
        self.socket: ClientConnection | None = None
        self.welcome: Record = {}
        self.connections = 0
        self.seq = 0
        self.waiting: dict[int, Frame] = {}
        """Frames without an ack, by `seq`."""
        self.settled: deque[tuple[int, Frame]] = deque(maxlen=3)
        """The last acknowledged frames; sent once more after a reconnect, as an edge may that lost its own memory."""
        self.rooms: set[str] = set()
        self.actions: dict[str, Record] = {}
        self.repeats = 0
        self.states: dict[str, list[Record]] = {}
        """Penalties in force, as said since the last connect."""
        self.acked: list[Frame] = []
        self.rejected: list[Record] = []
        self.errors: list[Record] = []
        self.latencies: list[float] = []
        self.drained: Record | None = None
        self.closed_with: list[int | None] = []
        self.on_acked: Callable[[Frame], None] = lambda _: None
        self._turn = asyncio.Lock()
        """Frames go out in order, those of before a reconnect first."""
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        await until(lambda: self.socket is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    # What a test does

    async def send(self, events: list[Record], *, gate: bool = False) -> Frame:
        """Send one frame, now or after the next connect; waits while too many are on their way."""
        await until(lambda: self.socket is not None and len(self.waiting) < self.welcome["max_unacked"])
        async with self._turn:
            self.seq += 1
            self.rooms.update(event["room"] for event in events)
            frame = self.waiting[self.seq] = Frame(events, gate)
            await self._put(self.seq, frame)
        return frame

    async def say(self, message: Record) -> None:
        """Send anything else."""
        await until(lambda: self.socket is not None)
        assert self.socket is not None
        with suppress(WebSocketException):
            await self.socket.send(json.dumps(message))

    async def all_acked(self, seconds: float = WAIT_S) -> None:
        await until(lambda: not self.waiting, seconds)

    async def round_trip(self, event: Record) -> float:
        """Seconds from sending one event to its ack."""
        await self.all_acked()
        await self.send([event])
        await self.all_acked()
        return self.latencies[-1]

    async def drop(self) -> None:
        """Lose the connection without a word, and come back."""
        before = self.connections
        if self.socket is not None:
            self.socket.transport.abort()
        await until(lambda: self.connections > before)

    # How it lives

    async def _put(self, seq: int, frame: Frame) -> None:
        if self.socket is None:
            return
        frame.sent_at = time.perf_counter()
        message = {"type": "events", "seq": seq, "events": frame.events} | ({"gate": True} if frame.gate else {})
        with suppress(WebSocketException):
            await self.socket.send(json.dumps(message))

    async def _run(self) -> None:
        while True:
            try:
                async with connect(self.url, **self.options) as socket:
                    try:
                        async with self._turn:
                            await self._resume(socket, json.loads(await socket.recv()))
                        async for message in socket:
                            await self._take(socket, json.loads(message))
                    finally:
                        self.socket = None
                        self.closed_with.append(socket.close_code)
            except (OSError, WebSocketException, EOFError):
                pass
            await asyncio.sleep(AGAIN_S)

    async def _resume(self, socket: ClientConnection, welcome: Record) -> None:
        known = welcome["epoch"] == self.welcome.get("epoch")
        self.welcome = welcome
        self.states.clear()
        frames = [*self.settled, *self.waiting.items()]
        if not known:
            self.settled.clear()
            frames = list(enumerate(self.waiting.values(), 1))
            self.waiting = dict(frames)
            self.seq = len(frames)
        self.socket = socket
        self.connections += 1
        if self.rooms:
            await self.say({"type": "subscribe", "rooms": sorted(self.rooms)})
        for seq, frame in frames:
            await self._put(seq, frame)

    async def _take(self, socket: ClientConnection, frame: Record) -> None:
        kind = frame["type"]
        if kind == "ack":
            self._acknowledged(frame)
        elif kind == "verdicts":
            if frame["seq"] in self.waiting:
                self.waiting[frame["seq"]].verdicts = frame["verdicts"]
        elif kind in {"actions", "state"}:
            if kind == "state":
                self.states[frame["room"]] = frame["actions"]
            await self._enforce(socket, frame["actions"])
        elif kind == "error":
            self.errors.append(frame)
        elif kind == "drain":
            self.drained = frame

    def _acknowledged(self, ack: Record) -> None:
        frame = self.waiting.pop(ack["seq"], None)
        if frame is None:
            return
        self.latencies.append(time.perf_counter() - frame.sent_at)
        self.settled.append((ack["seq"], frame))
        self.rejected += ack.get("rejected", ())
        frame.acked = True
        self.acked.append(frame)
        self.on_acked(frame)

    async def _enforce(self, socket: ClientConnection, actions: Iterable[Record]) -> None:
        news = []
        for action in actions:
            if action["id"] in self.actions:
                self.repeats += 1
            else:
                news.append(action["id"])
                self.actions[action["id"]] = action
        if news and self.enforces:
            with suppress(WebSocketException):
                await socket.send(json.dumps({"type": "enforced", "actions": news}))


class Consumer:
    """A consumer of the bus that stays connected and resumes with its own last offset."""

    def __init__(self, url: str, name: str, *, token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.url = f"{url}/v1/actions?consumer={name}"
        self.options: Record = {"max_size": 2**24, "compression": None, "proxy": None}
        if token is not None:
            self.options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        if tls is not None:
            self.options["ssl"] = tls
        self.offset = 0
        self.connections = 0
        self.actions: list[Record] = []
        self.errors: list[Record] = []
        self.closed_with: list[int | None] = []
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        await until(lambda: self.connections > 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def upto(self, offset: int) -> None:
        """Until everything up to this offset has come."""
        await until(lambda: self.offset >= offset)

    async def _run(self) -> None:
        while True:
            try:
                async with connect(f"{self.url}&after={self.offset}", **self.options) as socket:
                    try:
                        async for message in socket:
                            await self._take(socket, json.loads(message))
                    finally:
                        self.closed_with.append(socket.close_code)
            except (OSError, WebSocketException, EOFError):
                pass
            await asyncio.sleep(AGAIN_S)

    async def _take(self, socket: ClientConnection, frame: Record) -> None:
        if frame["type"] == "welcome":
            self.connections += 1
        elif frame["type"] == "error":
            self.errors.append(frame)
        elif frame["type"] == "actions":
            self.actions += frame["actions"]
            self.offset = frame["actions"][-1]["offset"]
            with suppress(WebSocketException):
                await socket.send(json.dumps({"type": "ack", "offset": self.offset}))


async def bus_actions(url: str, name: str, offset: int) -> list[Record]:
    """Everything on the bus up to an offset, as a new consumer gets it."""
    async with Consumer(url, name) as consumer:
        await consumer.upto(offset)
        return consumer.actions


def run(story: Callable[[], Awaitable[None]], seconds: float = 120.0) -> None:
    """Let a story happen, within a time."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(bounded())
