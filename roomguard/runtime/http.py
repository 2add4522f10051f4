"""A small HTTP/1.1 server on trio and h11, for health, metrics and control.

Whatever a peer sends and whatever a handler raises ends its connection or its request and nothing else. It answers
plain requests only: no upgrades, no tunnels, no bodies of unknown framing; every wait has a deadline and every size a
bound.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from urllib.parse import parse_qsl

import attrs
import h11
import trio

from roomguard.runtime.quietlog import QuietLog
from roomguard.runtime.settings_admin import AdminSettings

log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_READ_BYTES = 16_384
_QUERY_FIELDS = 32
_BODY_PIECES = 4_096
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


@attrs.frozen(kw_only=True)
class Request:
    """One whole request. Header names are in lower case; a header given twice is refused before it gets here."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Reply:
    """One whole answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)


class Refusal(Exception):
    """The answer to a request that is not carried out. Where the request was not whole, the connection is closed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.status))
        self.reply = reply


@attrs.frozen
class HttpStatistics:
    """What was asked and how it ended."""

    open: int
    accepted: int
    refused_connections: int
    """Turned away because there were too many."""
    replies: Mapping[str, int]
    """By status."""
    cut: int
    """Connections cut because an answer was not taken."""
    faults: int
    """Exceptions of handlers: bugs of ours."""
    accept_pauses: int


Answer = Callable[[Request], Awaitable[Reply]]


class HttpServer:
    """Serves `answer` on its own sockets. `await serve()` in a nursery; `started` carries the addresses."""

    def __init__(self, settings: AdminSettings, answer: Answer) -> None:
        self._settings = settings
        self._answer = answer
        self._open = 0
        self._accepted = 0
        self._refused = 0
        self._cut = 0
        self._faults = 0
        self._pauses = 0
        self._replies: Counter[str] = Counter()
        self._log = QuietLog(log)

    async def serve(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled.

        Raises:
            OSError: the address cannot be listened on.
        """
        listeners = await trio.open_tcp_listeners(self._settings.port, host=self._settings.host)
        async with AsyncExitStack() as closing, trio.open_nursery() as nursery:
            for listener in listeners:
                closing.push_async_exit(listener)
                nursery.start_soon(self._accept, listener, nursery)
            task_status.started([listener.socket.getsockname()[:2] for listener in listeners])

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """One connection's life. Nothing but Cancelled leaves it."""
        self._open += 1
        try:
            await _Exchange(stream, self._settings, self._respond).run()
        except trio.TooSlowError:
            self._cut += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:  # noqa: BLE001  # the last line: no peer may end the server, whatever it found
            self._faults += 1
            self._log.say(trio.current_time(), logging.ERROR, "contained a fault in a connection", error=error)
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    def statistics(self) -> HttpStatistics:
        """What was asked and how it ended."""
        return HttpStatistics(
            open=self._open,
            accepted=self._accepted,
            refused_connections=self._refused,
            replies=dict(self._replies),
            cut=self._cut,
            faults=self._faults,
            accept_pauses=self._pauses,
        )

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _NO_ROOM:  # one peer that was gone again before we looked
                    continue
                self._pauses += 1
                await trio.sleep(0.1)
                continue
            self._accepted += 1
            if self._open < self._settings.connections:
                nursery.start_soon(self.serve_stream, stream)
                continue
            self._refused += 1
            _turn_away(stream)

    async def _respond(self, request: Request | Refusal) -> Reply:
        reply = request.reply if isinstance(request, Refusal) else await self._contained(request)
        self._replies[str(reply.status)] += 1
        return reply

    async def _contained(self, request: Request) -> Reply:
        try:
            with trio.fail_after(self._settings.handler_s):
                return await self._answer(request)
        except Refusal as refusal:
            return refusal.reply
        except trio.TooSlowError:
            return Reply(status=504, body=b'{"error":{"code":"too_slow"}}')
        except Exception as error:  # noqa: BLE001  # a handler's bug ends its request only
            self._faults += 1
            where = f"{request.method} {request.path}"[:200]
            self._log.say(trio.current_time(), logging.ERROR, "contained a fault in %s", ascii(where), error=error)
            return Reply(status=500, body=b'{"error":{"code":"internal"}}')


def _turn_away(stream: trio.SocketStream) -> None:
    """No task, no wait: a peer too many gets what fits into the empty socket buffer."""
    with suppress(OSError), socket.socket(fileno=socket.dup(stream.socket.fileno())) as raw:
        raw.setblocking(False)
        raw.send(_TOO_MANY)
    stream.socket.close()


_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def refuse(status: int, code: str, **headers: str) -> Refusal:
    """A refusal with a stable code and no internals."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(Reply(status=status, body=b'{"error":{"code":"%b"}}' % code.encode(), headers=named))


class _Exchange:
    """Requests and answers on one connection, in turn."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        settings: AdminSettings,
        respond: Callable[[Request | Refusal], Awaitable[Reply]],
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._respond = respond
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=settings.header_bytes)

    async def run(self) -> None:
        """Until either side closes, a request is refused, or there were enough."""
        for left in range(self._settings.requests_per_connection - 1, -1, -1):
            try:
                with trio.move_on_after(self._settings.request_s) as deadline:
                    request = await self._request()
                if deadline.cancelled_caught:
                    if self._http.their_state is h11.IDLE and not self._http.trailing_data[0]:
                        return  # an idle connection ends without a word
                    raise refuse(408, "timeout")
            except h11.RemoteProtocolError as error:
                await self._send(await self._respond(refuse(error.error_status_hint, "bad_request")), close=True)
                return
            except Refusal as refusal:
                await self._send(await self._respond(refusal), close=True)
                return
            if request is None:
                return
            await self._send(await self._respond(request), close=not left, head=request.method == "HEAD")
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE or not left:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Request | None:
        event = await self._next()
        if not isinstance(event, h11.Request):
            return None
        headers = self._headers(event)
        body = await self._body()
        target = event.target.decode("latin-1")
        path, _, query = target.partition("?")
        if not path.startswith("/") or not target.isascii() or query.count("&") >= _QUERY_FIELDS:
            raise refuse(400, "bad_target")
        return Request(
            method=event.method.decode("ascii"),
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=headers,
            body=body,
        )

    def _headers(self, request: h11.Request) -> dict[str, str]:
        headers: dict[str, str] = {}
        for raw, value in request.headers:
            name = raw.decode("ascii")
            if name in headers:
                raise refuse(400, "doubled_header")
            headers[name] = value.decode("latin-1")
        if "content-length" in headers and "transfer-encoding" in headers:
            raise refuse(400, "two_framings")
        if "upgrade" in headers or request.method == b"CONNECT":
            raise refuse(400, "no_upgrade")
        if int(headers.get("content-length", 0)) > self._settings.body_bytes:
            raise refuse(413, "too_large")
        return headers

    async def _body(self) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        body = bytearray()
        pieces = 0
        while True:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                return bytes(body)
            if not isinstance(event, h11.Data):
                raise trio.BrokenResourceError  # it ended in the middle of the body
            body += event.data
            pieces += 1
            if len(body) > self._settings.body_bytes or pieces > _BODY_PIECES:
                raise refuse(413, "too_large")

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            self._http.receive_data(bytes(await self._stream.receive_some(_READ_BYTES)))

    async def _send(self, reply: Reply, *, close: bool, head: bool = False) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [
            *_HEADERS,
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            *reply.headers.items(),
        ]
        if close:
            headers.append(("Connection", "close"))
        data = self._http.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        if not head:
            data += self._http.send(h11.Data(data=reply.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await self._write(data)
        if close:
            await self._linger()

    async def _linger(self) -> None:
        """Read for a moment what still comes: closing on unread bytes would reset our answer away."""
        with trio.move_on_after(0.2), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            for _ in range(64):
                if not await self._stream.receive_some(_READ_BYTES):
                    return

    async def _write(self, data: bytes | None) -> None:
        with trio.fail_after(self._settings.send_s):
            await self._stream.send_all(data or b"")
