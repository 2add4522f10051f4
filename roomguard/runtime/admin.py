"""The admin endpoint: is it alive, is it ready, what does it count, and what an operator can tell it.

    GET  /livez /readyz     no token needed; 503 while draining, before the start is done, or after the journal failed
    GET  /metrics /status   text for Prometheus; JSON for people
    POST /undo              {"action": ID} or {"rule": NAME, "since": UNIX SECONDS}
    POST /pause /resume /reload
    POST /override          {"room": ID, "thresholds": {NAME: NUMBER}, "rules": {NAME: MODE}, "strategy": NAME,
                            "mode": LEVEL, "ttl_s": SECONDS}, or {"room": ID, "end": true}

It listens on loopback, or asks for a bearer token. A browser that some page sends here is refused: a control request
must be `application/json`, must not come from another origin, and without tokens must name this very address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import attrs
import msgspec
import trio

from roomguard.engine.overrides import USUAL_S, Wish
from roomguard.errors import ConfigError, ConfigProblem, RemoteError, WishError
from roomguard.runtime.http import HttpServer, HttpStatistics, Refusal, Reply, Request, refuse
from roomguard.runtime.metrics import CONTENT_TYPE
from roomguard.runtime.settings_admin import AdminSettings
from roomguard.runtime.tokens import Tokens

Handler = Callable[[Request], Awaitable[Reply]]
Routes = Mapping[tuple[str, str], Handler]
"""(method, path) to what answers it."""

Result = Mapping[str, Any]
_T = TypeVar("_T", bound=msgspec.Struct)
_OPEN = frozenset({"/livez", "/readyz"})
_STATUS = {"unknown_action": 404, "not_undoable": 409, "already_undone": 409, "unavailable": 503}
"""HTTP status of a RemoteError by its code; 400 for all others."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class UndoRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to undo: one action by its id, or all of a rule's with room time `since` (Unix seconds) or later."""

    action: _Text | None = None
    rule: _Text | None = None
    since: Annotated[float, msgspec.Meta(ge=0, le=2**53)] | None = None


class OverrideRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to set for a room for `ttl_s` seconds, or that everything set there is to end. Values are checked later."""

    room: _Text
    thresholds: Annotated[dict[_Text, float], msgspec.Meta(max_length=64)] = msgspec.field(default_factory=dict)
    rules: Annotated[dict[_Text, _Text], msgspec.Meta(max_length=64)] = msgspec.field(default_factory=dict)
    strategy: _Text | None = None
    mode: _Text | None = None
    ttl_s: float = USUAL_S
    end: bool = False

    def wish(self) -> Wish | None:
        """The wish; None for the end of everything set. Raises RemoteError for both at once."""
        wish = Wish(thresholds=self.thresholds, rules=self.rules, strategy=self.strategy, mode=self.mode,
                    ttl_s=self.ttl_s)  # fmt: skip
        if not self.end:
            return wish
        if wish.settings():
            raise RemoteError("bad_request", "end: ends everything that was set; set nothing with it")
        return None


@attrs.frozen(kw_only=True)
class Controls:
    """What the endpoint asks of the process; each result is sent as a JSON object.

    They may raise RemoteError (its code decides the status), ConfigError and WishError (422 with all problems).
    """

    not_ready: Callable[[], Sequence[str]]
    """Reasons why no new edge should come here, empty if none."""
    metrics: Callable[[], bytes]
    status: Callable[[], Awaitable[Result]]
    undo: Callable[[str], Awaitable[Result]]
    """By action id."""
    undo_rule: Callable[[str, float], Awaitable[Result]]
    """By rule name and room time."""
    override: Callable[[str, Wish | None], Awaitable[Result]]
    """By room; None ends everything that was set there."""
    pause: Callable[[], Awaitable[Result]]
    resume: Callable[[], Awaitable[Result]]
    reload: Callable[[], Awaitable[Result]]


class AdminServer:
    """Checks who asks, finds who answers. `await serve()` in a nursery; `started` carries the addresses."""

    def __init__(self, settings: AdminSettings, controls: Controls, more: Routes | None = None) -> None:
        """Build it; `more` adds routes, all behind the same checks.

        Raises:
            ConfigError: the tokens cannot be used.
        """
        self._settings = settings
        try:
            self._tokens = Tokens(settings.tokens)
        except ValueError as error:
            raise _problem("tokens", str(error)) from None
        self._routes = {**control_routes(controls), **(more or {})}
        self._server = HttpServer(settings, self._answer)

    async def serve(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled.

        Raises:
            ConfigError: the address cannot be listened on, or may not be without a token.
        """
        settings = self._settings
        if not self._tokens:
            await _assure_loopback(settings.host)
        try:
            await self._server.serve(task_status=task_status)
        except OSError as error:
            raise _problem("port", f"cannot listen on {settings.host} port {settings.port}: {error}") from None

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection that somebody else accepted."""
        await self._server.serve_stream(stream)

    def statistics(self) -> HttpStatistics:
        """What was asked and how it ended."""
        return self._server.statistics()

    async def _answer(self, request: Request) -> Reply:
        method = "GET" if request.method == "HEAD" else request.method
        self._check_caller(request, method)
        handler = self._routes.get((method, request.path))
        if handler is None:
            allowed = sorted(one for one, path in self._routes if path == request.path)
            raise refuse(405, "bad_method", Allow=", ".join(allowed)) if allowed else refuse(404, "not_found")
        try:
            return await handler(request)
        except RemoteError as error:
            return json_reply({"error": {"code": error.code, "detail": error.detail}}, _STATUS.get(error.code, 400))
        except ConfigError as error:
            problems = [str(problem) for problem in error.problems]
            return json_reply({"error": {"code": "bad_config", "problems": problems}}, 422)
        except WishError as error:
            return json_reply({"error": {"code": error.code, "problems": error.problems}}, 422)

    def _check_caller(self, request: Request, method: str) -> None:
        headers = request.headers
        if request.path not in _OPEN and not self._tokens.admit(headers.get("authorization")):
            raise refuse(401, "unauthorized", WWW_Authenticate='Bearer realm="roomguard"')
        if not self._tokens and not _is_loopback(_host_name(headers.get("host", ""))):
            raise refuse(403, "foreign_host")  # a name that an attacker's DNS points here
        if method == "GET":
            return
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            raise refuse(403, "foreign_origin")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise refuse(403, "foreign_origin")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise refuse(415, "not_json")


def control_routes(controls: Controls) -> dict[tuple[str, str], Handler]:
    """The routes in the table above."""

    async def livez(_: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        return json_reply({"status": "alive"})

    async def readyz(_: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        reasons = list(controls.not_ready())
        return json_reply({"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)

    async def metrics(_: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(body=controls.metrics(), content_type=CONTENT_TYPE)

    async def undo(request: Request) -> Reply:
        wish = _read(request.body, UndoRequest)
        by_rule = wish.rule is not None and wish.since is not None
        if wish.action is not None and wish.rule is None and wish.since is None:
            return json_reply(await controls.undo(wish.action))
        if wish.action is None and by_rule:
            return json_reply(await controls.undo_rule(wish.rule or "", wish.since or 0.0))
        raise RemoteError("bad_request", 'expected {"action": ID} or {"rule": NAME, "since": SECONDS}')

    async def override(request: Request) -> Reply:
        wish = _read(request.body, OverrideRequest)
        return json_reply(await controls.override(wish.room, wish.wish()))

    def plain(work: Callable[[], Awaitable[Result]]) -> Handler:
        async def answer(_: Request) -> Reply:
            return json_reply(await work())

        return answer

    return {
        ("GET", "/livez"): livez,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): metrics,
        ("GET", "/status"): plain(controls.status),
        ("POST", "/undo"): undo,
        ("POST", "/override"): override,
        ("POST", "/pause"): plain(controls.pause),
        ("POST", "/resume"): plain(controls.resume),
        ("POST", "/reload"): plain(controls.reload),
    }


def json_reply(value: Result, status: int = 200) -> Reply:
    """An answer as JSON with a newline, so that it reads well in a terminal."""
    return Reply(status=status, body=msgspec.json.encode(value) + b"\n")


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError("bad_request", str(error)) from None


def _host_name(host: str) -> str:
    """The host of a `Host` header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _assure_loopback(host: str) -> None:
    try:
        found = await trio.socket.getaddrinfo(host or None, None, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise _problem("host", f"{host!r} is no address: {error}") from None
    for *_, address in found:
        if not _is_loopback(str(address[0]).partition("%")[0]):
            raise _problem("host", f"{host!r} can be reached from outside: set admin.tokens, or listen on 127.0.0.1")


def _problem(key: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem("config.toml", None, f"admin.{key}", message)])


__all__ = [
    "AdminServer", "Controls", "Handler", "OverrideRequest", "Refusal", "Reply", "Request", "Routes", "UndoRequest",
    "json_reply",
]  # fmt: skip
