"""`/v1/actions`: the bus for whoever wants it, at least once and in order, resumed by offset.

A consumer is given what is on disk from its offset on, in pages, and then what comes, live. One that reads too slowly
is either taken back to the disk (its queue was full) or cut (one frame took too long); either way it misses nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress

import attrs
import trio

from roomguard.errors import FrameError, OffsetGone, RemoteError
from roomguard.runtime.bus import ActionBus
from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.resender import Sent
from roomguard.runtime.transport import Connection, ConnectionClosed
from roomguard.store.settings import BusSettings
from roomguard.wire import decode_consumer, encode_error, split_actions

_PAGE_ACTIONS = 500
_POLICY, _RESTART, _REPLACED = 1008, 1012, 4409


@attrs.frozen
class ConsumerStatistics:
    """Connections to `/v1/actions`."""

    connections: int
    opened: int
    refused: int
    """Offsets that are gone or not there yet, too many names."""
    replaced: int
    """Connections closed because a newer one had the same name."""
    cut: int
    """Connections aborted because a frame took too long."""
    overtaken: int
    """Times a consumer fell behind what is kept in memory and read on from disk."""
    sent: int
    """Actions sent."""
    acks: int
    bad_frames: int


@attrs.define
class _Counters:
    opened: int = 0
    refused: int = 0
    replaced: int = 0
    cut: int = 0
    overtaken: int = 0
    sent: int = 0
    acks: int = 0
    bad_frames: int = 0


class ConsumerDesk:
    """Serves consumers of one bus. `welcome(first_offset)` is the first frame of each connection."""

    def __init__(self, bus: ActionBus, settings: BusSettings, welcome: Callable[[int], bytes]) -> None:
        self._bus = bus
        self._settings = settings
        self._welcome = welcome
        self._feeds: dict[_Feed, None] = {}
        self._empty = trio.Event()
        self._named: dict[str, _Feed] = {}
        self._counters = _Counters()

    async def serve(self, connection: Connection, wish: RouteParams) -> None:
        """The life of one connection, until it ends or is refused, replaced or cut."""
        self._counters.opened += 1
        with trio.move_on_after(self._settings.consumer_send_s) as deadline:
            await connection.send(self._welcome(self._bus.first_offset))
            try:
                start = self._start(wish)
            except RemoteError as error:
                self._counters.refused += 1
                await _refuse(connection, error)
                return
        if deadline.cancelled_caught:
            self._counters.cut += 1
            return
        feed = _Feed(self._bus, self._settings, self._counters, connection, wish, start)
        self._feeds[feed] = None
        self._take_name(feed)
        try:
            await feed.run()
        finally:
            del self._feeds[feed]
            if not self._feeds:
                self._empty.set()
            if wish.consumer is not None and self._named.get(wish.consumer) is feed:
                del self._named[wish.consumer]

    async def drain(self, within_s: float) -> None:
        """Stop: close every consumer with 1012; one that does not answer within `within_s` seconds is left alone."""
        self._empty = trio.Event()
        for feed in list(self._feeds):
            feed.leave(_RESTART, "restart")
        if self._feeds:
            with trio.move_on_after(within_s):
                await self._empty.wait()

    def statistics(self) -> ConsumerStatistics:
        """What was served, and how many are connected."""
        return ConsumerStatistics(connections=len(self._feeds), **attrs.asdict(self._counters))

    def _start(self, wish: RouteParams) -> int:
        """The offset after which this consumer begins; from now on a new name is remembered with it."""
        bus = self._bus
        known = None if wish.consumer is None else bus.remembered(wish.consumer)
        start = wish.after if wish.after is not None else known
        if start is None:
            start = bus.last_offset
        if start > bus.last_offset:
            raise RemoteError("offset_ahead", f"the last offset is {bus.last_offset}")
        if start < bus.first_offset - 1:
            raise RemoteError("offset_gone", str(OffsetGone(bus.first_offset)))
        if wish.consumer is not None and known is None and not bus.remember(wish.consumer, start):
            raise RemoteError("too_many_consumers", f"{self._settings.consumers} names are remembered already")
        return start

    def _take_name(self, feed: _Feed) -> None:
        name = feed.wish.consumer
        if name is None:
            return
        older = self._named.get(name)
        if older is not None:
            self._counters.replaced += 1
            older.leave(_REPLACED, "a newer connection has this consumer name")
        self._named[name] = feed


class _Feed:
    """One consumer's connection."""

    def __init__(
        self,
        bus: ActionBus,
        settings: BusSettings,
        counters: _Counters,
        connection: Connection,
        wish: RouteParams,
        start: int,
    ) -> None:
        self.wish = wish
        self._leaving = trio.Event()
        self._last_words = (_RESTART, "")
        self._bus = bus
        self._settings = settings
        self._counters = counters
        self._connection = connection
        self._cursor = start
        self._acked = start
        self._sending = trio.Lock()

    def leave(self, code: int, reason: str) -> None:
        """Close soon; the first reason stands."""
        if not self._leaving.is_set():
            self._last_words = (code, reason)
            self._leaving.set()

    async def run(self) -> None:
        """Give and take until the connection ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_closed, self._give, nursery.cancel_scope)
            nursery.start_soon(self._until_closed, self._listen, nursery.cancel_scope)
            nursery.start_soon(self._until_closed, self._make_way, nursery.cancel_scope)

    async def _until_closed(self, work: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        with suppress(ConnectionClosed):
            await work()
        scope.cancel()

    async def _give(self) -> None:
        bus, rooms = self._bus, self.wish.rooms
        try:
            while True:
                while self._cursor < bus.last_offset:
                    page = await bus.archive.read(self._cursor, _PAGE_ACTIONS, rooms)
                    await self._send_actions([record.json() for record in page.actions], page.upto)
                with closing(bus.tail(rooms)) as tail:  # nothing was awaited since: no gap
                    while not tail.behind:
                        await self._send_live(tail.take_sent())
                        await tail.wait()
                self._counters.overtaken += 1
        except OffsetGone as error:
            self._counters.refused += 1
            async with self._sending:
                await _refuse(self._connection, RemoteError("offset_gone", str(error)))

    async def _send_live(self, waiting: Sequence[Sent]) -> None:
        """What the disk gave already is left out: it may be ahead of what was handed out."""
        news = [sent for sent in waiting if sent.offset > self._cursor]
        if news:
            await self._send_actions([sent.data for sent in news], news[-1].offset)

    async def _send_actions(self, actions: Sequence[bytes], upto: int) -> None:
        self._cursor = max(self._cursor, upto)
        for frame in split_actions(actions, self._settings.consumer_frame_bytes):
            await self._send(frame)
        self._counters.sent += len(actions)

    async def _send(self, frame: bytes) -> None:
        """Raises ConnectionClosed also where the deadline passed: half a frame may be out, so it is cut."""
        with trio.move_on_after(self._settings.consumer_send_s) as deadline:
            async with self._sending:
                await self._connection.send(frame)
        if deadline.cancelled_caught:
            self._counters.cut += 1
            self._connection.abort()
            raise ConnectionClosed

    async def _listen(self) -> None:
        while True:
            for text in await self._connection.receive():
                try:
                    self._take_ack(decode_consumer(text).offset)
                except FrameError as error:
                    self._counters.bad_frames += 1
                    await self._send(encode_error(error.code, error.detail))

    def _take_ack(self, offset: int) -> None:
        if offset > self._cursor:
            raise FrameError("bad_ack", f"offset: {offset} was not sent yet")
        if offset <= self._acked or self._leaving.is_set():
            return
        self._acked = offset
        self._counters.acks += 1
        if self.wish.consumer is not None:
            self._bus.remember(self.wish.consumer, offset)

    async def _make_way(self) -> None:
        await self._leaving.wait()
        async with self._sending:  # a close between two frames, never inside one
            await self._connection.aclose(*self._last_words)


async def _refuse(connection: Connection, error: RemoteError) -> None:
    await connection.send(encode_error(error.code, error.detail))
    await connection.aclose(_POLICY, error.code)
