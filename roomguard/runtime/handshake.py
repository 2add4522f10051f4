"""The HTTP request that opens a connection, judged before any websocket library sees it. Pure: bytes in, values out.

Only printable ASCII gets past here: single bytes beyond it have ended whole servers inside the libraries below. What is
refused is refused with a status, a stable reason for the counters, and a sentence that says how to do it right.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote_to_bytes

import attrs
import h11

from roomguard.runtime.tokens import Tokens

SUBPROTOCOL = "roomguard.v1"
END = b"\r\n\r\n"

Endpoint = Literal["edge", "room", "actions"]

_FOREIGN = re.compile(rb"[^\t\r\n\x20-\x7e]")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_STRAY_PERCENT = re.compile("%(?![0-9a-fA-F]{2})")
_DIGITS = re.compile("[0-9]{1,16}")
_MAX_ID_BYTES = 128
_MAX_OFFSET = 2**53 - 1
_KEY_BYTES = 16

_ENDPOINTS = (
    "This is roomguard. It speaks websocket (subprotocol roomguard.v1) on:\n"
    "  /v1/edge?session=ID                                  events of any number of rooms\n"
    "  /v1/rooms/{room}                                     events of one room\n"
    "  /v1/actions?after=OFFSET&rooms=a,b&consumer=NAME     the action bus\n"
)


class Refused(Exception):
    """The request does not open a connection: HTTP `status`, `reason` for the counters, `body` for the human."""

    def __init__(self, status: int, reason: str, body: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.body = body
        self.headers = headers or {}


@attrs.frozen(kw_only=True)
class RouteParams:
    """What the path and query of an accepted request say. None is absent; `rooms` is a list on the action bus."""

    room: str | None = None
    session: str | None = None
    after: int | None = None
    consumer: str | None = None
    rooms: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Opening:
    """An accepted request. Header names are in lower case; doubled headers are joined by commas."""

    endpoint: Endpoint
    params: RouteParams
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = attrs.field(repr=False)
    subprotocol: str | None


def check_bytes(head: bytes, start: int = 0) -> None:
    """Refuses bytes that no handshake has, as soon as they come; what is before `start` was looked at already."""
    if _FOREIGN.search(head, start):
        raise Refused(400, "bad_request", "the handshake has bytes that are not printable ASCII\n")
    if _BARE_LINE_FEED.search(head, start):
        raise Refused(400, "bad_request", "lines of the handshake end in CR LF\n")


def judge(head: bytes, *, tokens: Tokens, origins: tuple[str, ...]) -> Opening:
    """The request whose head (up to and including the empty line) this is. Raises Refused and nothing else."""
    method, target, headers = _parse(head)
    path, _, raw_query = target.partition("?")
    endpoint, room = _route(path)
    _must_upgrade(method, headers)
    if not tokens.admit(headers.get("authorization")):
        raise Refused(
            401,
            "unauthorized",
            "send `Authorization: Bearer TOKEN` with one of the tokens under listen.tokens\n",
            {"WWW-Authenticate": 'Bearer realm="roomguard"'},
        )
    origin = headers.get("origin")
    if origin is not None and origin not in origins:
        raise Refused(403, "forbidden_origin", "browsers are let in by origin only: see listen.origins\n")
    query = _query(raw_query)
    params = _params(endpoint, room, raw_query, query)
    return Opening(
        endpoint=endpoint,
        params=params,
        path=path,
        query=query,
        headers=headers,
        subprotocol=_subprotocol(headers.get("sec-websocket-protocol")),
    )


def response(refused: Refused) -> bytes:
    """The whole HTTP answer for a refused request."""
    body = refused.body.encode()
    phrase = _PHRASES.get(refused.status, "Refused")
    lines = [
        f"HTTP/1.1 {refused.status} {phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in refused.headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + END + body


_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    426: "Upgrade Required",
    503: "Service Unavailable",
}


def _parse(head: bytes) -> tuple[str, str, dict[str, str]]:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        parser.receive_data(head)
        request = parser.next_event()
    except h11.RemoteProtocolError as error:
        error.__traceback__ = None  # where it was raised its own frame holds it: a cycle, with all our frames in it
        raise Refused(400, "bad_request", f"no HTTP request: {error}\n") from None
    if not isinstance(request, h11.Request) or request.http_version != b"1.1":
        raise Refused(400, "bad_request", "the handshake is one HTTP/1.1 request\n")
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key, text = name.decode("ascii"), value.decode("ascii")
        if key in _ONCE and key in headers:
            raise Refused(400, "bad_request", f"header {key} was given twice\n")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise Refused(400, "bad_request", "the handshake has no body\n")
    return request.method.decode("ascii"), request.target.decode("ascii"), headers


_ONCE = frozenset({"host", "authorization", "origin", "upgrade", "sec-websocket-key", "sec-websocket-version"})


def _route(path: str) -> tuple[Endpoint, str | None]:
    if path == "/v1/edge":
        return "edge", None
    if path == "/v1/actions":
        return "actions", None
    prefix, _, encoded = path.rpartition("/")
    if prefix == "/v1/rooms" and encoded:
        return "room", _id("room", _decode("room", encoded))
    raise Refused(404, "not_found", _ENDPOINTS)


def _must_upgrade(method: str, headers: Mapping[str, str]) -> None:
    if method != "GET":
        raise Refused(405, "bad_request", "a websocket handshake is a GET\n", {"Allow": "GET"})
    upgrade = headers.get("upgrade", "").strip().lower()
    options = [option.strip().lower() for option in headers.get("connection", "").split(",")]
    if upgrade != "websocket" or "upgrade" not in options:
        raise Refused(426, "upgrade_required", _ENDPOINTS, {"Upgrade": "websocket"})
    if headers.get("sec-websocket-version") != "13":
        raise Refused(426, "upgrade_required", "websocket version 13 only\n", {"Sec-WebSocket-Version": "13"})
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise Refused(400, "bad_request", "Sec-WebSocket-Key is 16 bytes in base64\n")


def _subprotocol(offered: str | None) -> str | None:
    """v1 where it is named, nothing where nothing is: a client that names none gets v1 all the same."""
    names = [name.strip() for name in (offered or "").split(",") if name.strip()]
    if not names:
        return None
    if SUBPROTOCOL in names:
        return SUBPROTOCOL
    raise Refused(400, "bad_subprotocol", f"the subprotocol of this server is {SUBPROTOCOL}\n")


def _query(raw: str) -> dict[str, str]:
    """Decoded values by name; of a doubled name the first counts."""
    query: dict[str, str] = {}
    for pair in raw.split("&"):
        name, _, value = pair.partition("=")
        if name:
            query.setdefault(_decode("query", name), _decode("query", value.replace("+", " ")))
    return query


def _params(endpoint: Endpoint, room: str | None, raw: str, query: Mapping[str, str]) -> RouteParams:
    if endpoint == "actions":
        return RouteParams(
            after=_offset(query.get("after")),
            consumer=_optional_id("consumer", query.get("consumer")),
            rooms=_rooms(raw),
        )
    return RouteParams(room=room, session=_optional_id("session", query.get("session")))


def _rooms(raw: str) -> tuple[str, ...] | None:
    """The comma list of rooms, split before it is decoded: a comma inside a room id is sent as %2C."""
    for pair in raw.split("&"):
        name, _, value = pair.partition("=")
        if name == "rooms" and value:
            return tuple(_id("rooms", _decode("rooms", part)) for part in value.split(",") if part)
    return None


def _offset(value: str | None) -> int | None:
    if value is None or value == "":
        return None
    if not _DIGITS.fullmatch(value) or int(value) > _MAX_OFFSET:
        raise Refused(400, "bad_request", "after: expected an offset, an integer >= 0\n")
    return int(value)


def _optional_id(name: str, value: str | None) -> str | None:
    return None if value is None or value == "" else _id(name, value)


def _id(name: str, value: str) -> str:
    if not value or len(value.encode()) > _MAX_ID_BYTES:
        raise Refused(400, "bad_request", f"{name}: expected 1 to {_MAX_ID_BYTES} bytes\n")
    if _CONTROL.search(value):
        raise Refused(400, "bad_request", f"{name}: control characters are not allowed\n")
    return value


def _decode(name: str, text: str) -> str:
    if _STRAY_PERCENT.search(text):
        raise Refused(400, "bad_request", f"{name}: % is followed by two hexadecimal digits\n")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "bad_request", f"{name}: percent-encoding is of UTF-8\n") from None
