"""The request that opens a connection: what is let in, what is refused and how."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from roomguard.runtime.handshake import Opening, Refused, RouteParams, check_bytes, judge, response
from roomguard.runtime.tokens import Tokens

from .peers import request

TOKENS = Tokens(["first-token", "sha256:" + hashlib.sha256(b"second-token").hexdigest()])


def opened(head: bytes, *, tokens: Tokens | None = None, origins: tuple[str, ...] = ()) -> Opening:
    return judge(head, tokens=tokens or Tokens([]), origins=origins)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/edge", RouteParams()),
        ("/v1/edge?session=e%201&x=%25", RouteParams(session="e 1")),
        ("/v1/edge?session=a+b&session=c", RouteParams(session="a b")),
        ("/v1/rooms/r1", RouteParams(room="r1")),
        ("/v1/rooms/%E6%97%A5%2F..?session=s", RouteParams(room="日/..", session="s")),
        ("/v1/actions", RouteParams()),
        (
            "/v1/actions?after=0&rooms=a,b%2Cc,&consumer=audit",
            RouteParams(after=0, rooms=("a", "b,c"), consumer="audit"),
        ),
    ],
)
def test_paths_and_queries(path: str, params: RouteParams) -> None:
    """Path and query are percent-decoded into typed parameters."""
    assert opened(request(path)).params == params


REFUSED: list[tuple[str, bytes, int]] = [
    ("root", request("/"), 404),
    ("empty room", request("/v1/rooms/"), 404),
    ("deeper", request("/v1/rooms/a/b"), 404),
    ("double slash", request("//v1/edge"), 404),
    ("trailing slash", request("/v1/edge/"), 404),
    ("NUL in room", request("/v1/rooms/%00"), 400),
    ("line feed in room", request("/v1/rooms/a%0ab"), 400),
    ("bad UTF-8 in room", request("/v1/rooms/%ff"), 400),
    ("half an escape", request("/v1/rooms/%4"), 400),
    ("long room", request("/v1/rooms/" + "x" * 129), 400),
    ("long session", request("/v1/edge?session=" + "%C3%A9" * 65), 400),
    ("negative offset", request("/v1/actions?after=-1"), 400),
    ("offset 2^53", request(f"/v1/actions?after={2**53}"), 400),
    ("offset of words", request("/v1/actions?after=now"), 400),
    ("POST", request().replace(b"GET", b"POST"), 405),
    ("HTTP/1.0", request().replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    ("a body", request(Content_Length="5"), 400),
    ("chunked", request(Transfer_Encoding="chunked"), 400),
    ("no host", request(Host=None), 400),
    ("two hosts", request().replace(b"Host: guard", b"Host: a\r\nHost: b"), 400),
    ("no upgrade", request(Upgrade=None), 426),
    ("other upgrade", request(Upgrade="h2c"), 426),
    ("no connection header", request(Connection="keep-alive"), 426),
    ("version 8", request(Sec_WebSocket_Version="8"), 426),
    ("no key", request(Sec_WebSocket_Key=None), 400),
    ("short key", request(Sec_WebSocket_Key="YWJj"), 400),
    ("key is no base64", request(Sec_WebSocket_Key="\x21" * 24), 400),
    ("two keys", request().replace(b"Upgrade: w", b"Sec-WebSocket-Key: a\r\nUpgrade: w"), 400),
    ("other subprotocol", request(Sec_WebSocket_Protocol="chat, mqtt"), 400),
    ("an origin", request(Origin="https://evil.example"), 403),
    ("null origin", request(Origin="null"), 403),
    ("no HTTP", b"hello\r\n\r\n", 400),
    ("empty", b"\r\n\r\n", 400),
    ("folded header", request().replace(b"Host: guard", b"Host: guard\r\n X: y\r\n\x00"), 400),
]


@pytest.mark.parametrize(("head", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals(head: bytes, status: int) -> None:
    """What opens nothing gets a status and a sentence, as one whole HTTP answer."""
    with pytest.raises(Refused) as caught:
        opened(head)

    answer = response(caught.value)
    assert caught.value.status == status
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer
    assert answer.endswith(caught.value.body.encode())


def test_not_found_names_the_endpoints() -> None:
    """Whoever guessed a path wrong is told the right ones."""
    with pytest.raises(Refused) as caught:
        opened(request("/ws"))

    for path in ("/v1/edge", "/v1/rooms/{room}", "/v1/actions"):
        assert path in caught.value.body


@pytest.mark.parametrize(
    ("offered", "chosen"), [(None, None), ("roomguard.v1", "roomguard.v1"), ("x, roomguard.v1", "roomguard.v1")]
)
def test_subprotocols(offered: str | None, chosen: str | None) -> None:
    """v1 is confirmed where it is named; who names none gets v1 without a word about it."""
    assert opened(request(Sec_WebSocket_Protocol=offered)).subprotocol == chosen


def test_an_allowed_origin_is_let_in() -> None:
    """An origin must be named exactly."""
    assert opened(request(Origin="https://ok.example"), origins=("https://ok.example",)).endpoint == "edge"
    with pytest.raises(Refused, match="403"):
        opened(request(Origin="https://ok.example:8443"), origins=("https://ok.example",))


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("Bearer first-token", True),
        ("bearer  second-token", True),
        (None, False),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Bearer first-toke", False),
        ("Bearer first-token2", False),
        ("Basic first-token", False),
        ("first-token", False),
        ("Bearer " + hashlib.sha256(b"second-token").hexdigest(), False),
    ],
)
def test_bearer_tokens(header: str | None, good: bool) -> None:
    """Any of the live tokens opens; its digest does not, nor does another scheme."""
    head = request(Authorization=header)
    if good:
        assert opened(head, tokens=TOKENS).endpoint == "edge"
        return
    with pytest.raises(Refused) as caught:
        opened(head, tokens=TOKENS)
    assert caught.value.status == 401


def test_two_authorizations_are_refused() -> None:
    """Nobody guesses which of two headers was meant."""
    head = request(Authorization="Bearer first-token").replace(b"Host", b"Authorization: Bearer x\r\nHost")
    with pytest.raises(Refused):
        opened(head, tokens=TOKENS)


@pytest.mark.parametrize("token", ["", "sha256:12", "sha256:" + "z" * 64, "with space", "é"])
def test_unusable_tokens(token: str) -> None:
    """A token that no header could carry is a mistake of the configuration."""
    with pytest.raises(ValueError, match=r"token|sha256"):
        Tokens([token])


@pytest.mark.parametrize("byte", [*range(9), 11, 12, *range(14, 32), *range(127, 256)])
def test_foreign_bytes(byte: int) -> None:
    """Every byte that is not printable ASCII is refused before any library sees it."""
    with pytest.raises(Refused):
        check_bytes(b"GET / HTTP/1.1\r\nHost: " + bytes([byte]))


@given(st.binary(max_size=300))
@example(request() + b"x")
def test_any_bytes_open_or_are_refused(data: bytes) -> None:
    """Whatever the head is, judging it gives an opening or a refusal."""
    head = data + b"\r\n\r\n"
    try:
        check_bytes(head)
        opened(head)
    except Refused as refused:
        response(refused)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), st.data())
def test_any_path_opens_or_is_refused(path: str, data: Any) -> None:
    """Whatever the target is, nothing but a refusal is raised, and ids that pass are ids."""
    prefix = data.draw(st.sampled_from(["/v1/rooms/", "/v1/edge?session=", "/v1/actions?rooms="]))
    try:
        params = opened(request(prefix + path.replace(" ", "%20"))).params
    except Refused:
        return
    for value in (params.room, params.session, params.consumer, *(params.rooms or ())):
        assert value is None or 1 <= len(value.encode()) <= 128
