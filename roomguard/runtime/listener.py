"""The accept loop, and one contained life for each connection.

Whatever a peer sends and whatever a handler raises ends that connection and nothing else: each lives in a nursery of
its own, and the broad `except*` around it is the only one here. `Cancelled` passes. The listener knows no rooms: it
opens connections and gives each to the handler of its endpoint.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import math
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio

from roomguard.errors import ConfigError, ConfigProblem
from roomguard.runtime import handshake
from roomguard.runtime.handshake import Endpoint, Opening, Refused, RouteParams
from roomguard.runtime.kernel_timer import KernelTimer
from roomguard.runtime.pipe import Pipe, hard_close
from roomguard.runtime.quietlog import QuietLog
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.tick import Tick
from roomguard.runtime.tls import server_context
from roomguard.runtime.tokens import Tokens
from roomguard.runtime.transport import (
    SILENT,
    UNFINISHED,
    UNREAD,
    BaseConnection,
    Connection,
    ConnectionClosed,
    Keeper,
    limit_of_connections,
)
from roomguard.runtime.transport_sansio import SansioConnection
from roomguard.runtime.transport_trio_websocket import TrioWebsocketConnection

Handler = Callable[[Connection, RouteParams], Awaitable[None]]
"""Serves one connection until it is over. Closes it with a code of its own, or returns for 1000; raising gives 1011."""

_BACKENDS: dict[str, type[TrioWebsocketConnection | SansioConnection]] = {
    "trio-websocket": TrioWebsocketConnection,
    "sansio": SansioConnection,
}
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE_S = 0.1
_REJECT_LINGER_S = 0.2
"""How long a refused peer gets to read why. Then the socket is closed, whatever it does."""
_FULL = Refused(503, "full", "too many connections, try again later\n", {"Retry-After": "1"})
_READ_BYTES = 16_384
_USER_TIMEOUT_MS = 30_000
"""How long the kernel tries to deliver before it calls the connection dead."""
_DEADLINES = {UNREAD: "unread", UNFINISHED: "unfinished", SILENT: "silent"}

_logger = logging.getLogger("roomguard.listener")


@attrs.frozen(kw_only=True)
class ListenerStatistics:
    """What the listener did so far. `refused` counts by reason, `ended` opened connections by how they ended.

    closed by the peer, done (closed by our side), unread, unfinished or silent (the peer missed a deadline), fault (it
    broke another rule), error (a bug of ours), cancelled.
    """

    open: int
    accepted: int
    opened: int
    refused: Mapping[str, int]
    ended: Mapping[str, int]
    contained: int
    """Exceptions that would have ended a server without containment; those of handlers are bugs of ours."""
    accept_pauses: int
    """Times the accept loop waited because the process was out of file descriptors or memory."""
    beats: int
    """Times all connections were read together because small frames came thick."""
    lines_suppressed: int


class Listener:
    """Listens, opens websocket connections and hands them over.

    `handlers` has one for each endpoint: "edge", "room", "actions". `await serve()` in a nursery; `started` carries
    the addresses. Raises ConfigError where the settings cannot be used.
    """

    def __init__(self, settings: ListenSettings, handlers: Mapping[Endpoint, Handler]) -> None:
        self._settings = settings
        self._handlers = dict(handlers)
        try:
            self._tokens = Tokens(settings.tokens)
        except ValueError as error:
            raise _problem("tokens", str(error)) from None
        self._tls = server_context(settings)
        self._keeper = Keeper(settings)
        self._tick = Tick(settings.tick_ms / 1_000)
        self._limit = limit_of_connections(settings, _descriptors())
        self._peers: Counter[str] = Counter()
        self._open = 0
        self._empty = trio.Event()
        self._accepted = 0
        self._opened = 0
        self._refused: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._contained = 0
        self._pauses = 0
        self._log = QuietLog(_logger)
        self._listeners: list[trio.SocketListener] = []

    def statistics(self) -> ListenerStatistics:
        """What the listener did so far."""
        return ListenerStatistics(
            open=self._open,
            accepted=self._accepted,
            opened=self._opened,
            refused=dict(self._refused),
            ended=dict(self._ended),
            contained=self._contained,
            accept_pauses=self._pauses,
            beats=self._tick.beats,
            lines_suppressed=self._log.suppressed,
        )

    async def serve(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED) -> None:
        """Binds, reports the addresses, and serves until `stop_accepting` and the end of the last connection."""
        self._listeners = await self._bind()
        addresses = [tuple(listener.socket.getsockname()[:2]) for listener in self._listeners]
        self._announce(addresses)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keeper.run)
                nursery.start_soon(self._tick.run, KernelTimer.best())
                async with trio.open_nursery() as accepting:
                    for listener in self._listeners:
                        accepting.start_soon(self._accept, listener, nursery)
                    task_status.started(addresses)
                while self._open:
                    self._empty = trio.Event()
                    await self._empty.wait()
                nursery.cancel_scope.cancel()
        finally:
            for listener in self._listeners:
                listener.socket.close()

    async def stop_accepting(self) -> None:
        """No new connections from now on. Open ones go on until their handlers are done with them."""
        for listener in self._listeners:
            await listener.aclose()
        await trio.lowlevel.checkpoint()

    async def _bind(self) -> list[trio.SocketListener]:
        settings = self._settings
        try:
            found = await trio.socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise _problem("host", f"{settings.host!r} is no address: {error}") from None
        hosts = list(dict.fromkeys(str(address[4][0]) for address in found))
        if not self._tokens:
            for host in hosts:
                if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                    raise _problem(
                        "host",
                        f"{host} can be reached from outside: set listen.tokens, or listen on 127.0.0.1",
                    )
        listeners: list[trio.SocketListener] = []
        for host in hosts:
            try:
                listeners += await trio.open_tcp_listeners(settings.port, host=host, backlog=settings.backlog)
            except OSError as error:
                for listener in listeners:
                    await listener.aclose()
                raise _problem("port", f"cannot listen on {host} port {settings.port}: {error}") from None
        return listeners

    def _announce(self, addresses: list[tuple[str, int]]) -> None:
        scheme = "ws" if self._tls is None else "wss"
        for host, port in addresses:
            shown = f"[{host}]" if ":" in host else host
            _logger.info("listening on %s://%s:%d/v1/edge (%s)", scheme, shown, port, self._settings.backend)
        if not self._tokens:
            _logger.warning("no listen.tokens: anybody on this machine may connect, and nobody else can")
        elif self._tls is None and not all(ipaddress.ip_address(host).is_loopback for host, _ in addresses):
            _logger.warning("no listen.cert_file: tokens and messages cross the network in the clear")
        if self._limit < self._settings.connections:
            _logger.warning(
                "at most %d connections, not %d: half of the file descriptors this process may open",
                self._limit,
                self._settings.connections,
            )

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                await self._pause(error)
                continue
            self._accepted += 1
            self._enter(stream, nursery)

    async def _pause(self, error: OSError) -> None:
        """Out of descriptors or memory: those who are in go on, those outside wait in the kernel's backlog."""
        if error.errno in _NO_ROOM:
            self._pauses += 1
            self._log.say(trio.current_time(), logging.ERROR, "accepting pauses: %s", error)
        await trio.sleep(_ACCEPT_PAUSE_S if error.errno in _NO_ROOM else 0)

    def _enter(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:  # gone before we looked
            self._refused["gone"] += 1
            stream.socket.close()
            return
        key = _peer_key(host)
        full = self._open >= self._limit
        if full or self._peers[key] >= self._settings.connections_per_peer:
            self._turn_away(stream, "full" if full else "peer_full", host)
            return
        self._open += 1
        self._peers[key] += 1
        nursery.start_soon(self._contain, stream, f"{host}:{port}", key)

    def _turn_away(self, stream: trio.SocketStream, reason: str, host: str) -> None:
        """No task, no wait: a peer over the limit gets what fits into the empty socket buffer."""
        self._refused[reason] += 1
        self._log.say(trio.current_time(), logging.WARNING, "connection of %s refused: %s", host, reason)
        if self._tls is None:
            with contextlib.suppress(OSError):
                sock = stream.socket
                raw = socket.socket(fileno=socket.dup(sock.fileno()))
                with raw:
                    raw.setblocking(False)
                    raw.send(handshake.response(_FULL))
        stream.socket.close()

    async def _contain(self, stream: trio.SocketStream, peer: str, key: str) -> None:
        """One connection's life. Nothing but Cancelled leaves it."""
        try:
            await self._live(stream, peer)
        except* Exception as group:  # noqa: BLE001 - the one place: a fault of one connection stays in it
            self._note(group, peer, "connection")
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            self._open -= 1
            self._peers[key] -= 1
            if not self._peers[key]:
                del self._peers[key]
            if not self._open:
                self._empty.set()

    async def _live(self, stream: trio.SocketStream, peer: str) -> None:
        _tune(stream)
        opened: tuple[BaseConnection, Opening] | None = None
        try:
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(self._settings.handshake_s) as deadline:
                    opened = await self._open_connection(stream, peer, nursery)
                if deadline.cancelled_caught:
                    self._refused["timeout"] += 1
                if opened is not None:
                    self._opened += 1
                    await self._hand_over(*opened)
                nursery.cancel_scope.cancel()
        finally:
            if opened is not None:
                opened[0].forget()

    async def _open_connection(
        self, stream: trio.SocketStream, peer: str, nursery: trio.Nursery
    ) -> tuple[BaseConnection, Opening] | None:
        """TLS, the HTTP request, and the answer to it; None where the peer was refused or went away."""
        transport: trio.abc.Stream = stream
        if self._tls is not None:
            tls = trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)
            try:
                await tls.do_handshake()
            except (trio.BrokenResourceError, OSError):
                self._refused["tls"] += 1
                return None
            transport = tls
        pipe = Pipe(transport, hard_close(transport), linger_s=_REJECT_LINGER_S, tick=self._tick)
        try:
            head = await self._read_head(pipe)
            if head is None:
                self._refused["gone"] += 1
                return None
            opening = handshake.judge(head, tokens=self._tokens, origins=self._settings.origins)
            pipe.linger_s = self._settings.close_s
            backend = _BACKENDS[self._settings.backend]
            return await backend.open(pipe, head, opening, peer, self._settings, nursery), opening
        except Refused as refused:
            await self._refuse(pipe, refused, peer)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            self._refused["gone"] += 1
        return None

    async def _read_head(self, pipe: Pipe) -> bytes | None:
        """The request up to its empty line, None where the peer ends before; the rest goes back into the pipe."""
        head = b""
        while True:
            data = await pipe.receive_some(_READ_BYTES)
            if not data:
                return None
            looked = len(head)
            head += data
            end = head.find(handshake.END, max(0, looked - 3))
            stop = len(head) if end < 0 else end + len(handshake.END)
            handshake.check_bytes(head[:stop], looked)
            if stop > self._settings.header_bytes or (end < 0 and len(head) >= self._settings.header_bytes):
                raise Refused(400, "bad_request", f"the handshake is over {self._settings.header_bytes} bytes\n")
            if end >= 0:
                pipe.push(head[stop:])
                return head[:stop]

    async def _refuse(self, pipe: Pipe, refused: Refused, peer: str) -> None:
        self._refused[refused.reason] += 1
        self._log.say(trio.current_time(), logging.INFO, "handshake of %s refused: %s", peer, refused)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await pipe.send_all(handshake.response(refused))
        await pipe.aclose()

    async def _hand_over(self, connection: BaseConnection, opening: Opening) -> None:
        """Runs the handler and closes after it: 1011 where it raised, 1000 where it left the closing to us."""
        code, how = 1001, "cancelled"
        self._keeper.add(connection)
        try:
            try:
                await self._handlers[opening.endpoint](connection, opening.params)
                code, how = 1000, "done"
            except* ConnectionClosed:
                code, how = 1000, "closed"
            except* Exception as group:  # noqa: BLE001 - a handler's bug ends its connection only
                code, how = 1011, "error"
                self._note(group, connection.peer, f"handler of {opening.path}")
        finally:
            self._ended[_how(how, connection.statistics().fault)] += 1
            self._keeper.discard(connection)
            with trio.move_on_after(2 * self._settings.close_s, shield=True):
                await connection.aclose(code)

    def _note(self, group: BaseExceptionGroup[Exception], peer: str, where: str) -> None:
        self._contained += 1
        now = trio.current_time()
        self._log.say(now, logging.ERROR, "contained a fault in the %s (%s)", where, peer, error=group)


def _how(how: str, fault: str | None) -> str:
    """How a connection ended: the deadline it missed or `fault` says more than that its handler came to an end."""
    return how if fault is None or how not in {"done", "closed"} else _DEADLINES.get(fault, "fault")


def _tune(stream: trio.SocketStream) -> None:
    """Lets the kernel notice peers that vanished without a word. A socket that is gone already refuses: no matter."""
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def _peer_key(host: str) -> str:
    """What counts as one peer: an IPv4 address, or the /64 that one IPv6 customer has."""
    if ":" not in host:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))


def _descriptors() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


def _problem(key: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem("config.toml", None, f"listen.{key}", message)])
