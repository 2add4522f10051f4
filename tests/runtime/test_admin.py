# ruff: noqa: ARG002 - a test gets the autojump clock by naming it
from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings as hypothesis_settings, strategies as st

from roomguard.engine.overrides import Wish
from roomguard.errors import ConfigError, ConfigProblem, RemoteError, WishError
from roomguard.runtime.admin import AdminServer, Controls
from roomguard.runtime.metrics import Histogram, HistogramStatistics, Metrics
from roomguard.runtime.settings_admin import AdminSettings

JSON = "Content-Type: application/json\r\n"


class FakeGuard:
    """A process that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.reasons: list[str] = []
        self.fault: Exception | None = None

    def controls(self) -> Controls:
        return Controls(
            not_ready=lambda: self.reasons,
            metrics=lambda: b"# nothing\n",
            status=lambda: self.note("status"),
            undo=lambda action: self.note("undo", action),
            undo_rule=lambda rule, since: self.note("undo_rule", rule, since),
            override=lambda room, wish: self.note("override", room, wish),
            pause=lambda: self.note("pause"),
            resume=lambda: self.note("resume"),
            reload=lambda: self.note("reload"),
        )

    async def note(self, *asked: object) -> Mapping[str, Any]:
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        if asked == ("status",):
            return {"rooms": 3}
        if asked == ("pause",):
            await trio.sleep(3600)
        self.asked.append(asked)
        return {"done": asked[0]}


def server(guard: FakeGuard | None = None, **changes: Any) -> AdminServer:
    return AdminServer(AdminSettings(**changes), (guard or FakeGuard()).controls())


async def talk(admin: AdminServer, sent: bytes, end: bool = True) -> bytes:
    """What the server answers to these bytes until it closes; `end` says that nothing more is coming."""
    client, stream = trio.testing.memory_stream_pair()
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admin.serve_stream, stream)
        try:
            await client.send_all(sent)
            if end:
                await client.send_eof()
            async for data in client:
                got += data
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    return got


def request(
    target: str, headers: str = "", body: str = "", method: str | None = None, host: str = "localhost"
) -> bytes:
    method = method or ("POST" if body else "GET")
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n{body}".encode("latin-1")


def parts(answer: bytes) -> tuple[int, bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def ask(admin: AdminServer, *args: Any, **kwargs: Any) -> tuple[int, Any]:
    status, _, body = parts(await talk(admin, request(*args, **kwargs)))
    return status, json.loads(body) if body else None


class TestHealth:
    async def test_alive_and_ready(self) -> None:
        """/livez is about the process, /readyz about new edges, with the reasons; neither needs a token."""
        guard = FakeGuard()
        admin = server(guard, tokens=("secret",))
        assert await ask(admin, "/livez") == (200, {"status": "alive"})
        assert await ask(admin, "/readyz") == (200, {"status": "ready", "reasons": []})
        guard.reasons = ["the journal failed"]
        assert await ask(admin, "/readyz") == (503, {"status": "not ready", "reasons": ["the journal failed"]})
        assert (await ask(admin, "/livez"))[0] == 200

    async def test_metrics_and_status(self) -> None:
        """/metrics is text for Prometheus, /status JSON; HEAD has no body; nothing may be cached or framed."""
        status, head, body = parts(await talk(server(), request("/metrics")))
        assert (status, body) == (200, b"# nothing\n")
        for line in (b"text/plain; version=0.0.4", b"no-store", b"nosniff", b"default-src 'none'"):
            assert line in head
        assert await ask(server(), "/status?x=1") == (200, {"rooms": 3})
        assert parts(await talk(server(), request("/metrics", method="HEAD")))[::2] == (200, b"")


class TestControl:
    @pytest.mark.parametrize(
        ("path", "body", "asked"),
        [
            ("/undo", '{"action":"a-1"}', ("undo", "a-1")),
            ("/undo", '{"rule":"flood","since":17.5}', ("undo_rule", "flood", 17.5)),
            ("/undo", '{"rule":"flood","since":0}', ("undo_rule", "flood", 0.0)),
            (
                "/override",
                '{"room":"r","thresholds":{"a":1},"rules":{"b":"off"},"strategy":"c","mode":"raid","ttl_s":9}',
                (
                    "override",
                    "r",
                    Wish(thresholds={"a": 1.0}, rules={"b": "off"}, strategy="c", mode="raid", ttl_s=9.0),
                ),
            ),
            ("/override", '{"room":"r","mode":"calm"}', ("override", "r", Wish(mode="calm"))),
            ("/override", '{"room":"r","end":true}', ("override", "r", None)),
            ("/resume", "{}", ("resume",)),
            ("/reload", "{}", ("reload",)),
        ],
    )
    async def test_verbs(self, path: str, body: str, asked: tuple[object, ...]) -> None:
        """Each verb reaches the process once, and its result comes back."""
        guard = FakeGuard()

        assert await ask(server(guard), path, JSON, body) == (200, {"done": asked[0]})
        assert guard.asked == [asked]

    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            '{"action":""}',
            '{"action":"a","rule":"r","since":1}',
            '{"rule":"r"}',
            '{"since":1}',
            '{"action":7}',
            '{"action":"a","x":1}',
            '{"rule":"r","since":-1}',
            '{"rule":"r","since":1e999}',
            '{"rule":"r","since":NaN}',
            '{"action":"' + "a" * 129 + '"}',
            '{"action":"\xff"}',
            "[" * 60_000,
            "null",
            "x",
        ],
    )
    async def test_bad_undo(self, body: str) -> None:
        """What does not say plainly what to undo undoes nothing."""
        guard = FakeGuard()
        status, answer = await ask(server(guard), "/undo", JSON, body)

        assert (status, answer["error"]["code"], guard.asked) == (400, "bad_request", [])

    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            '{"mode":"raid"}',
            '{"room":""}',
            '{"room":"r","treshold":{}}',
            '{"room":"r","thresholds":{"a":"many"}}',
            '{"room":"r","thresholds":{"a":NaN}}',
            '{"room":"r","thresholds":{"a":true}}',
            '{"room":"r","rules":{"a":1}}',
            '{"room":"r","mode":"raid","end":true}',
            '{"room":"r","thresholds":' + json.dumps({f"n{number}": 1 for number in range(65)}) + "}",
        ],
    )
    async def test_bad_override(self, body: str) -> None:
        """What has no room, unknown fields, values of another type or says two things at once sets nothing."""
        guard = FakeGuard()
        status, answer = await ask(server(guard), "/override", JSON, body)

        assert (status, answer["error"]["code"], guard.asked) == (400, "bad_request", [])

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            (RemoteError("unknown_action", "a-1"), 404, "unknown_action"),
            (RemoteError("whatever"), 400, "whatever"),
            (ConfigError([ConfigProblem("config.toml", 7, "rules", "bad")]), 422, "bad_config"),
            (WishError("bad_override", ["mode: 'riad' is none"]), 422, "bad_override"),
            (ZeroDivisionError("secret detail"), 500, "internal"),
        ],
    )
    async def test_faults(self, fault: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture) -> None:
        """Refusals say why; a bug says nothing of itself to the caller, is logged and counted, and ends one request."""
        guard = FakeGuard()
        guard.fault = fault
        admin = server(guard)
        with caplog.at_level(logging.CRITICAL):
            found, answer = await ask(admin, "/reload", JSON, "{}")

        assert (found, answer["error"]["code"]) == (status, code)
        assert "secret" not in json.dumps(answer)
        assert admin.statistics().faults == (status == 500)

    async def test_stuck_handler(self, autojump_clock: object) -> None:
        """A handler that takes too long is given up."""
        assert (await ask(server(handler_s=3.0), "/pause", JSON, "{}"))[0] == 504


class TestCallers:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ("Authorization: Bearer secret\r\n", 200),
            ("authorization: bearer other\r\n", 200),
            ("", 401),
            ("Authorization: Bearer\r\n", 401),
            ("Authorization: Bearer wrong\r\n", 401),
            ("Authorization: Basic c2VjcmV0\r\n", 401),
            ("Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n", 400),
            ("Authorization: Bearer \xff\r\n", 401),
        ],
    )
    async def test_tokens(self, headers: str, status: int) -> None:
        """With tokens everything but the probes asks for one of them, given once."""
        admin = server(tokens=("secret", "other"))

        assert (await ask(admin, "/status", headers, host="guard.example"))[0] == status
        assert (await ask(admin, "/undo", headers + JSON, '{"action":"a"}', host="guard.example"))[0] == status

    @pytest.mark.parametrize(
        ("headers", "host", "status"),
        [
            (JSON, "localhost:8701", 200),
            (JSON, "127.0.0.1", 200),
            (JSON, "[::1]:8701", 200),
            ("Content-Type: application/json; charset=utf-8\r\n", "localhost", 200),
            (JSON + "Origin: http://localhost\r\n", "localhost", 200),
            (JSON + "Origin: http://evil.example\r\n", "localhost", 403),
            (JSON + "Origin: null\r\n", "localhost", 403),
            (JSON + "Sec-Fetch-Site: cross-site\r\n", "localhost", 403),
            (JSON, "evil.example", 403),
            (JSON, "127.0.0.1.evil.example", 403),
            ("", "localhost", 415),
            ("Content-Type: text/plain\r\n", "localhost", 415),
            ("Content-Type: application/x-www-form-urlencoded\r\n", "localhost", 415),
        ],
    )
    async def test_browsers(self, headers: str, host: str, status: int) -> None:
        """What a page of somebody else can make a browser send changes nothing here."""
        guard = FakeGuard()
        found, _ = await ask(server(guard), "/undo", headers, '{"action":"a"}', host=host)

        assert (found, len(guard.asked)) == (status, status == 200)

    async def test_a_rebound_name_reads_nothing(self) -> None:
        """Without tokens a foreign host name gets no answer either."""
        assert (await ask(server(), "/status", host="evil.example"))[0] == 403

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no such host"])
    async def test_outside_only_with_a_token(self, host: str) -> None:
        """It refuses to start where it could be reached from outside without a token."""
        with pytest.raises(ConfigError, match=r"admin\.host"):
            await server(host=host).serve()

    async def test_bad_token_setting(self) -> None:
        """A token that cannot be sent is a configuration error."""
        with pytest.raises(ConfigError, match=r"admin\.tokens"):
            server(tokens=("two words",))


BAD = [
    ("garbage", b"\x00\xff\x16\x03\x01\r\n\r\n", 400),
    ("no host", b"GET /livez HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("host of another alphabet", b"GET /livez HTTP/1.1\r\nHost: \xff\r\n\r\n", 403),
    ("punycode", b"GET /livez HTTP/1.1\r\nHost: xn--\x80\r\n\r\n", 403),
    ("connection", request("/livez", "Connection: Upgrade, \xff\r\n"), 200),
    ("subprotocol", request("/livez", "Upgrade: websocket\r\nSec-WebSocket-Protocol: \xff\r\n"), 400),
    ("bytes behind an upgrade", request("/livez", "Connection: Upgrade\r\nUpgrade: websocket\r\n") + b"\x81\x85x", 400),
    ("tunnel", b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("target of another alphabet", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("absolute target", b"GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("dots", request("/../livez"), 404),
    ("percent", request("/%00livez"), 404),
    ("slashes", request("//livez"), 404),
    ("long path", request("/" + "x" * 8_000), 404),
    ("long query", request("/livez?" + "a&" * 4_000), 400),
    ("long header", request("/livez", "X: " + "x" * 100_000 + "\r\n"), 431),
    ("method", request("/livez", method="BREW"), 415),
    ("wrong method", request("/livez", JSON, method="POST"), 405),
    ("huge body", request("/undo", JSON + "Content-Length: 10000000000\r\n", method="POST"), 413),
    ("length of many digits", request("/undo", JSON + f"Content-Length: {'9' * 5000}\r\n", method="POST"), 400),
    ("negative length", request("/undo", JSON + "Content-Length: -1\r\n", method="POST"), 400),
    ("two lengths", request("/undo", JSON + "Content-Length: 1\r\nContent-Length: 2\r\n", method="POST"), 400),
    (
        "length and chunks",
        request("/undo", JSON + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", method="POST") + b"0\r\n\r\n",
        400,
    ),
    ("coding", request("/undo", JSON + "Transfer-Encoding: gzip\r\n", method="POST"), 501),
    (
        "too many chunks",
        request("/undo", JSON + "Transfer-Encoding: chunked\r\n", method="POST") + b"1\r\nx\r\n" * 5_000,
        413,
    ),
    (
        "chunk extension",
        request("/undo", JSON + "Transfer-Encoding: chunked\r\n", method="POST") + b'2;a="b"\r\n{}\r\n0\r\n\r\n',
        400,
    ),
    ("bad chunk", request("/undo", JSON + "Transfer-Encoding: chunked\r\n", method="POST") + b"zz\r\n", 400),
]


class TestBadInput:
    @pytest.mark.parametrize(("sent", "status"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
    async def test_each_gets_an_answer(self, sent: bytes, status: int, autojump_clock: object) -> None:
        """Each ends with a status of its own, without a fault of ours."""
        admin = server()
        answer = await talk(admin, sent)

        assert parts(answer)[0] == status
        assert admin.statistics().faults == 0
        assert admin.statistics().open == 0

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"", None),
            (b"GET /livez HT", 408),
            (request("/undo", JSON + "Content-Length: 9\r\n", method="POST") + b"{", 408),
            (request("/undo", JSON + "Expect: 100-continue\r\nContent-Length: 9\r\n", method="POST"), 408),
        ],
    )
    async def test_silence(self, sent: bytes, status: int | None, autojump_clock: object) -> None:
        """A request that does not come to its end is given up, an idle connection closed."""
        began = trio.current_time()
        answer = await talk(server(), sent, end=False)

        assert 5.0 <= trio.current_time() - began < 6.0
        assert [b"408 Request Timeout" in answer or b"HTTP/1.1 408" in answer, not answer] == [
            status == 408,
            status is None,
        ]

    async def test_a_peer_that_takes_no_answer(self, autojump_clock: object) -> None:
        """An answer that is not taken until the deadline costs the connection."""
        admin = server()
        client, stream = trio.testing.lockstep_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(admin.serve_stream, stream)
            await client.send_all(request("/livez"))

        assert admin.statistics().cut == 1
        assert trio.current_time() >= 10.0

    async def test_requests_in_turn(self) -> None:
        """One connection may ask again, also without waiting for the answer, but not for ever."""
        answer = await talk(server(requests_per_connection=3), request("/livez") * 5)

        assert answer.count(b"HTTP/1.1 200") == 3
        assert answer.count(b"Connection: close") == 1

    @hypothesis_settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_anything(self, data: st.DataObject) -> None:
        """Any bytes, and any spoilt request, in any pieces, are survived without a fault."""
        whole = data.draw(
            st.sampled_from([case[1][:2_000] for case in BAD] + [request("/undo", JSON, '{"action":"a"}')])
        )
        at = data.draw(st.integers(0, len(whole)))
        sent = whole[:at] + data.draw(st.binary(max_size=20)) + whole[at:]
        admin = server()
        trio.run(talk, admin, sent, clock=trio.testing.MockClock(autojump_threshold=0))

        assert admin.statistics().faults == 0
        assert admin.statistics().open == 0


async def test_on_a_socket(nursery: trio.Nursery) -> None:
    """On real sockets: bad peers, peers that reset, and too many peers leave it serving."""
    admin = server(port=0, connections=3)
    addresses = await nursery.start(admin.serve)
    host, port = addresses[0]
    with trio.fail_after(10):
        for case in BAD[:4]:
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(case[1])
        idle = [await trio.open_tcp_stream(host, port) for _ in range(3)]
        while admin.statistics().open < 3:
            await trio.sleep(0.01)
        async with await trio.open_tcp_stream(host, port) as stream:
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503")
        for stream in idle:
            await stream.aclose()
        while admin.statistics().open:
            await trio.sleep(0.01)
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(request("/livez"))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    assert admin.statistics().refused_connections == 1
    with pytest.raises(ConfigError, match=r"admin\.port"):
        await server(port=port).serve()


@attrs.frozen
class Numbers:
    """What a part of the process would count."""

    seen: int
    waiting: int
    well: bool
    by_kind: Mapping[str, int]
    seconds: HistogramStatistics
    name: str = "left out"


def test_metrics_page() -> None:
    """Counters, gauges, labels and histograms come out of one statistics object, read when asked."""
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 5.0):
        histogram.observe(value)
    metrics = Metrics()
    seen = [0]

    def read() -> Numbers:
        seen[0] += 1
        return Numbers(seen[0], 7, True, {'ch"at': 3}, histogram.statistics())

    metrics.add("bus", read, gauges=["waiting"], label="event")
    metrics.page()
    lines = metrics.page().decode().splitlines()

    assert [line for line in lines if not line.startswith("#")] == [
        "roomguard_bus_seen_total 2.0",
        "roomguard_bus_waiting 7.0",
        "roomguard_bus_well 1.0",
        'roomguard_bus_by_kind_total{event="ch\\"at"} 3.0',
        'roomguard_bus_seconds_bucket{le="0.1"} 1.0',
        'roomguard_bus_seconds_bucket{le="1.0"} 2.0',
        'roomguard_bus_seconds_bucket{le="+Inf"} 3.0',
        "roomguard_bus_seconds_count 3.0",
        "roomguard_bus_seconds_sum 5.6",
    ]
    assert "# TYPE roomguard_bus_waiting gauge" in lines
    with pytest.raises(ValueError, match="already"):
        metrics.add("bus", read)


def test_quantiles() -> None:
    """A quantile is the bound below which that share lies."""
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.statistics().quantile(0.5) == 0.0
    for value in (0.5, 1.5, 1.6, 3.0):
        histogram.observe(value)
    statistics = histogram.statistics()

    assert [statistics.quantile(share) for share in (0.25, 0.5, 0.99)] == [1.0, 2.0, 4.0]
    histogram.observe(9.0)
    assert histogram.statistics().quantile(1.0) == float("inf")
