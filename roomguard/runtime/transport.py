"""The seam between websockets and everything else: `Connection`, and the watcher that enforces its deadlines.

A backend turns a pipe into a `Connection`. Nothing above this module knows which library parses frames. Deadlines
(write, message, pong) are looked at by one `Keeper` a listener, once a tick, since a timer a message would cost more
than the message. Their resolution is the tick.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import trio

from roomguard.errors import RoomguardError
from roomguard.runtime.framemeter import Fault
from roomguard.runtime.handshake import Opening
from roomguard.runtime.pipe import Pipe
from roomguard.runtime.settings_listen import ListenSettings

MAX_REASON_BYTES = 123
"""What a close frame has room for besides its code."""

ABNORMAL = 1006
UNREAD, UNFINISHED, SILENT = (
    "the peer did not read in time",
    "a message was not finished in time",
    "the peer is silent",
)
"""Why the keeper of the deadlines ends a connection."""


class ConnectionClosed(RoomguardError):
    """The connection is over: `code` and `reason` of whoever closed it, 1006 where the TCP connection just ended."""

    def __init__(self, code: int = ABNORMAL, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


@attrs.frozen(kw_only=True)
class ConnectionStatistics:
    """What went over one connection so far. Bytes are of TCP payload, inside TLS; `messages_*` are whole texts."""

    received_bytes: int
    sent_bytes: int
    received_messages: int
    sent_messages: int
    pings: int
    aborted: bool
    fault: str | None
    """Why we ended it (a missed deadline, a limit), None if we did not."""


class Connection(Protocol):
    """One accepted websocket connection, whichever backend carries it."""

    @property
    def path(self) -> str:
        """Path of the request, still percent-encoded."""

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters, decoded."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Request headers, names in lower case."""

    @property
    def peer(self) -> str:
        """Address and port of the other side."""

    async def receive(self) -> list[bytes]:
        """The text messages that are there, at least one, in order, in UTF-8. One task at a time.

        Raises ConnectionClosed after the last one.
        """

    async def send(self, data: bytes | str) -> None:
        """Sends one text message (bytes are UTF-8). Raises ConnectionClosed.

        A send that is cancelled or takes longer than `send_s` aborts the TCP connection.
        """

    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        """Sends text messages in order with as few writes as the backend can. Else like `send`."""

    def send_now(self, messages: Sequence[bytes]) -> bool:
        """Sends text messages without waiting and without another task; False if none of them was taken.

        What the socket does not take at once of those taken goes out behind them, before anything sent later.
        """

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Says close and waits `close_s` for the answer. Idempotent; the reason is cut to 123 bytes."""

    def abort(self) -> None:
        """Ends the TCP connection at once, without a word."""

    def statistics(self) -> ConnectionStatistics:
        """What went over this connection so far."""


class BaseConnection(ABC):
    """What both backends share: who the peer is, counters, and what the `Keeper` asks of a connection."""

    def __init__(
        self, pipe: Pipe, opening: Opening, peer: str, settings: ListenSettings, nursery: trio.Nursery
    ) -> None:
        self._pipe = pipe
        self._opening = opening
        self._settings = settings
        self._nursery = nursery
        self._peer = peer
        self._received = 0
        self._sent = 0
        self._pings = 0
        self._fault: Fault | None = None
        self._unfinished_since: float | None = None
        self._left_reading_at = 0.0
        self._next_ping = trio.current_time() + settings.ping_s
        self._asked_at: float | None = None
        self._reads_when_asked = 0
        self._reads_last_tick = 0

    @property
    def path(self) -> str:
        """Path of the request, still percent-encoded."""
        return self._opening.path

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters, decoded."""
        return self._opening.query

    @property
    def headers(self) -> Mapping[str, str]:
        """Request headers, names in lower case."""
        return self._opening.headers

    @property
    def peer(self) -> str:
        """Address and port of the other side."""
        return self._peer

    def forget(self) -> None:  # noqa: B027 - most have nothing to do
        """All tasks of the connection have ended: break what is a cycle, so that it needs no garbage collector."""

    @abstractmethod
    async def receive(self) -> list[bytes]:
        """See `Connection`."""

    @abstractmethod
    async def send_many(self, messages: Sequence[bytes | str]) -> None:
        """See `Connection`."""

    @abstractmethod
    def send_now(self, messages: Sequence[bytes]) -> bool:
        """See `Connection`."""

    @abstractmethod
    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See `Connection`."""

    @abstractmethod
    async def _ping(self) -> None:
        """Sends a ping; failing is not its business."""

    @abstractmethod
    async def _fail(self, fault: Fault) -> None:
        """Says close with this code, takes nothing more from the peer, and ends within `close_s`."""

    async def send(self, data: bytes | str) -> None:
        """See `Connection`."""
        await self.send_many((data,))

    def abort(self) -> None:
        """See `Connection`."""
        self._pipe.abort()

    def statistics(self) -> ConnectionStatistics:
        """See `Connection`."""
        return ConnectionStatistics(
            received_bytes=self._pipe.received_bytes,
            sent_bytes=self._pipe.sent_bytes,
            received_messages=self._received,
            sent_messages=self._sent,
            pings=self._pings,
            aborted=self._pipe.aborted,
            fault=None if self._fault is None else self._fault.reason,
        )

    def watch(self, now: float) -> None:
        """Called by the `Keeper` once a tick: ends a connection that missed a deadline, pings when it is time."""
        pipe = self._pipe
        if pipe.aborted:
            return
        settings = self._settings
        if pipe.sending_since is not None and now - pipe.sending_since > settings.send_s:
            self._give_up(Fault(ABNORMAL, UNREAD))
            return
        listening = pipe.reading or pipe.reads != self._reads_last_tick
        self._reads_last_tick = pipe.reads
        since = self._unfinished_since
        if since is not None and listening and now - since > settings.message_s and not self._failed():
            self._nursery.start_soon(self._fail, Fault(1008, UNFINISHED))
            return
        self._watch_pong(now)

    def _watch_pong(self, now: float) -> None:
        """Any byte is life. While we do not read, for back-pressure of our own, silence says nothing."""
        if self._asked_at is None:
            if now >= self._next_ping:
                self._asked_at, self._reads_when_asked = now, self._pipe.reads
                self._next_ping = now + self._settings.ping_s
                self._pings += 1
                self._nursery.start_soon(self._ping)
        elif self._pipe.reads != self._reads_when_asked:
            self._asked_at = None
        elif not self._pipe.reading:
            self._asked_at = now
        elif now - self._asked_at > self._settings.pong_s:
            self._give_up(Fault(ABNORMAL, SILENT))

    def _failed(self) -> bool:
        return self._fault is not None

    def _give_up(self, fault: Fault) -> None:
        self._fault = fault
        self._pipe.abort()

    def _note_unfinished(self, pending: bool, finished_one: bool) -> None:
        """After each read: since when the message now under way has been."""
        if not pending:
            self._unfinished_since = None
            return
        now = trio.current_time()
        if self._unfinished_since is None or finished_one:
            self._unfinished_since = now
        self._left_reading_at = now

    def _note_reading_again(self) -> None:
        """Before each read: time in which we did not read is not the peer's."""
        if self._unfinished_since is not None:
            self._unfinished_since += trio.current_time() - self._left_reading_at

    def _over(self, code: int = ABNORMAL, reason: str = "") -> ConnectionClosed:
        """The exception for whoever uses this connection now that it is over."""
        if self._fault is not None:
            return ConnectionClosed(self._fault.code, self._fault.reason)
        return ConnectionClosed(code, reason)


class Keeper:
    """Looks at all connections of a listener once a tick. One task; a tick costs well under a µs a connection."""

    def __init__(self, settings: ListenSettings) -> None:
        shortest = min(settings.send_s, settings.message_s, settings.ping_s, settings.pong_s)
        self._tick = min(1.0, max(0.01, shortest / 4))
        self._watched: dict[BaseConnection, None] = {}

    def add(self, connection: BaseConnection) -> None:
        """From now on this connection is watched."""
        self._watched[connection] = None

    def discard(self, connection: BaseConnection) -> None:
        """This connection is nobody's business any more; call before its nursery ends."""
        self._watched.pop(connection, None)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await trio.sleep(self._tick)
            now = trio.current_time()
            for connection in list(self._watched):
                connection.watch(now)


def cut_reason(reason: str) -> str:
    """At most 123 bytes of UTF-8, never half a character."""
    return reason.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def as_bytes(data: bytes | str) -> bytes:
    """A message in UTF-8, whichever way somebody has it."""
    return data if isinstance(data, bytes) else data.encode()


def limit_of_connections(settings: ListenSettings, descriptors: float) -> int:
    """Connections at once: the setting, but never more than half of the file descriptors (`math.inf` unlimited)."""
    if math.isinf(descriptors):
        return settings.connections
    return max(1, min(settings.connections, int(descriptors) // 2))
