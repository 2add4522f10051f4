"""The listener over real sockets: who gets in, what a fault costs, how it stops. Both backends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import pytest
import trio
from websockets.trio.client import connect

from roomguard.errors import ConfigError
from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.listener import Listener, _peer_key
from roomguard.runtime.quietlog import QuietLog
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.transport import Connection

from .peers import BACKENDS, CLOSE, Peer, echo, frame, listening, request, settled, text


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Every test here holds for both backends."""
    value: str = request.param
    return value


async def test_a_foreign_client_is_served(backend: str) -> None:
    """A client library that shares no code with us connects, talks, pings and leaves."""
    async with listening(backend=backend) as running:
        url = f"ws://127.0.0.1:{running.port}/v1/edge?session=s1"
        async with connect(url, subprotocols=["roomguard.v1"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "roomguard.v1"
            for message in ("héllo", "x" * 300_000, ""):
                await client.send(message)
                assert await client.recv() == message
            with trio.fail_after(5):
                await (await client.ping()).wait()
        await settled(lambda: running.listener.statistics().open == 0)

        assert running.listener.statistics().ended == {"closed": 1}


async def test_handlers_get_what_path_and_query_say(backend: str) -> None:
    """Each endpoint has its handler, which gets typed parameters and the request's own words."""
    seen: list[tuple[str, RouteParams, str, str | None]] = []

    def noting(name: str) -> object:
        async def handler(connection: Connection, params: RouteParams) -> None:
            seen.append((name, params, connection.path, connection.query.get("x")))
            assert connection.peer.startswith("127.0.0.1:")
            assert connection.headers["host"] == "guard"

        return handler

    handlers = {name: noting(name) for name in ("edge", "room", "actions")}
    async with listening(backend=backend, handlers=handlers) as running:  # type: ignore[arg-type]
        for path in ("/v1/edge?session=s&x=%C3%A9", "/v1/rooms/a%2Fb", "/v1/actions?after=7&rooms=a,b"):
            peer = await running.connect()
            assert "101" in await peer.open(path)
            assert await peer.closing() == 1000

    assert seen == [
        ("edge", RouteParams(session="s"), "/v1/edge", "é"),
        ("room", RouteParams(room="a/b"), "/v1/rooms/a%2Fb", None),
        ("actions", RouteParams(after=7, rooms=("a", "b")), "/v1/actions", None),
    ]


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (request("/nowhere"), "404", "not_found"),
        (request(Authorization="Bearer wrong"), "401", "unauthorized"),
        (request(Authorization="Bearer right", Origin="http://page"), "403", "forbidden_origin"),
        (request(Authorization="Bearer right", Sec_WebSocket_Protocol="v0"), "400", "bad_subprotocol"),
        (request(Authorization="Bearer right", Upgrade=None), "426", "upgrade_required"),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 100_000, "400", "bad_request"),
    ],
)
async def test_refusals_are_said_and_closed_at_once(backend: str, head: bytes, status: str, reason: str) -> None:
    """A refused request gets its answer and the end, and leaves nothing behind."""
    async with listening(backend=backend, tokens=("right",)) as running:
        peer = await running.connect()
        await peer.send(head)
        with trio.fail_after(2):
            answer = await peer.head()
            await peer.rest()
        assert answer.startswith(f"HTTP/1.1 {status} ")
        await settled(lambda: running.listener.statistics().open == 0, 1.0)

        assert running.listener.statistics().refused == {reason: 1}


async def test_a_token_opens(backend: str) -> None:
    """The right bearer token is all it takes."""
    async with listening(backend=backend, tokens=("old", "right")) as running:
        peer = await running.connect()
        assert "101" in await peer.open(Authorization="Bearer right")


async def test_bytes_behind_the_handshake(backend: str) -> None:
    """Frames sent before the answer came are served like any others."""
    async with listening(backend=backend) as running:
        peer = await running.connect()
        await peer.send(request() + text("early"))
        await peer.head()

        assert await peer.message() == "early"


async def test_a_handshake_in_single_bytes(backend: str) -> None:
    """A request may come in any pieces."""
    async with listening(backend=backend) as running:
        peer = await running.connect()
        for byte in request():
            await peer.send(bytes([byte]))
        assert "101" in await peer.head()


async def test_a_slow_handshake_is_dropped(backend: str) -> None:
    """Headers that drip for longer than handshake_s end the connection."""
    async with listening(backend=backend, handshake_s=0.2) as running:
        peer = await running.connect()
        await peer.send(request()[:-4])
        with trio.fail_after(2):
            assert await peer.rest() == b""
        await settled(lambda: running.listener.statistics().open == 0)

        assert running.listener.statistics().refused == {"timeout": 1}


async def test_caps(backend: str) -> None:
    """Beyond the cap a connection is refused with 503; when one leaves, another may come."""
    async with listening(backend=backend, connections=2) as running:
        peers = [await running.connect() for _ in range(2)]
        for peer in peers:
            await peer.open()
        third = await running.connect()
        assert b"503" in await third.rest()

        await peers[0].send(frame(CLOSE))
        await settled(lambda: running.listener.statistics().open == 1)
        fourth = await running.connect()
        assert "101" in await fourth.open()
        assert running.listener.statistics().refused == {"full": 1}


async def test_caps_per_peer(backend: str) -> None:
    """One address cannot take all places."""
    async with listening(backend=backend, connections_per_peer=1) as running:
        await (await running.connect()).open()
        assert b"503" in await (await running.connect()).rest()
        assert running.listener.statistics().refused == {"peer_full": 1}


async def test_stop_accepting_lets_open_ones_finish(backend: str) -> None:
    """After stop_accepting nobody gets in; serve ends with the last connection."""
    listener = Listener(
        ListenSettings(port=0, backend=backend, close_s=0.5),  # type: ignore[arg-type]
        {"edge": echo, "room": echo, "actions": echo},
    )
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(listener.serve)
            peer = Peer(await trio.open_tcp_stream("127.0.0.1", addresses[0][1]))
            await peer.open()
            await listener.stop_accepting()
            with pytest.raises(OSError, match="all attempts"):
                await trio.open_tcp_stream("127.0.0.1", addresses[0][1])
            await peer.send(text("still here"))
            assert await peer.message() == "still here"
            await peer.send(frame(CLOSE))
            await peer.rest()
    await trio.aclose_forcefully(peer.stream)


async def test_a_cancelled_listener_says_goodbye(backend: str) -> None:
    """Cancelling closes open connections with 1001."""
    codes: list[int | None] = []

    async def note(peer: Peer) -> None:
        codes.append(await peer.closing())

    async with trio.open_nursery() as nursery, listening(backend=backend) as running:
        peer = await running.connect()
        await peer.open()
        nursery.start_soon(note, peer)

    assert codes == [1001]


async def test_a_handler_chooses_its_close_code(backend: str) -> None:
    """What the handler says at closing is what the peer reads."""

    async def restarting(connection: Connection, _params: RouteParams) -> None:
        await connection.aclose(1012, "restart")

    async with listening(backend=backend, handlers={"edge": restarting}) as running:
        peer = await running.connect()
        await peer.open()
        assert await peer.frame() == (CLOSE, (1012).to_bytes(2, "big") + b"restart")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "224.0.0.1"])
async def test_without_tokens_only_loopback(host: str) -> None:
    """Without a token the guard refuses to start on an address others can reach, and says what to do."""
    listener = Listener(ListenSettings(host=host, port=0), {})
    with pytest.raises(ConfigError, match=r"listen\.tokens"):
        await listener.serve()


async def test_unusable_addresses() -> None:
    """A taken port and a name that is none are the operator's, with the key to change."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=r"listen\.port"):
            await Listener(ListenSettings(port=port), {}).serve()
    with pytest.raises(ConfigError, match=r"listen\.host"):
        await Listener(ListenSettings(host="no.such.name.invalid", port=0), {}).serve()


def test_unusable_tokens() -> None:
    """A token no header can carry is refused when the listener is built."""
    with pytest.raises(ConfigError, match=r"listen\.tokens"):
        Listener(ListenSettings(tokens=("a b",)), {})


def test_secrets_stay_out_of_repr() -> None:
    """Printing the settings shows no token."""
    assert "hush" not in repr(ListenSettings(tokens=("hush",), key_file="hush.pem"))


class FullTable:
    """A listening socket that is out of file descriptors for a while, as the kernel would say it."""

    def __init__(self, errors: Sequence[int]) -> None:
        self.errors = list(errors)

    async def accept(self) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, "no more")
        raise trio.ClosedResourceError


async def test_out_of_descriptors_pauses_accepting(autojump_clock: trio.testing.MockClock) -> None:
    """EMFILE makes the accept loop wait, not spin; a peer that vanished does not."""
    assert autojump_clock.autojump_threshold == 0
    listener = Listener(ListenSettings(port=0), {})
    full = FullTable([errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOBUFS, errno.ENOMEM])
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await listener._accept(full, nursery)  # type: ignore[arg-type]

    assert trio.current_time() - began == pytest.approx(0.4)
    assert listener.statistics().accept_pauses == 4


def test_one_peer_is_one_address_or_one_64() -> None:
    """Addresses of one IPv6 customer count together."""
    assert _peer_key("192.0.2.1") == "192.0.2.1"
    assert _peer_key("2001:db8::1") == _peer_key("2001:db8::ffff:1")
    assert _peer_key("2001:db8:0:1::1") != _peer_key("2001:db8:0:2::1")
    assert _peer_key("fe80::1%eth0") == _peer_key("fe80::2")


def test_the_log_cannot_be_flooded(caplog: pytest.LogCaptureFixture) -> None:
    """Twice the burst in, exactly the burst out; the rest is counted and told with the next window."""
    import logging  # noqa: PLC0415

    log = QuietLog(logging.getLogger("quiet"), burst=5, window_s=10)
    for _ in range(10):
        log.say(0.0, logging.WARNING, "again")
    assert len(caplog.records) == 5
    assert log.suppressed == 5
    log.say(10.0, logging.WARNING, "later")

    assert [record.getMessage() for record in caplog.records[5:]] == [
        "5 more lines like the last ones were suppressed",
        "later",
    ]
