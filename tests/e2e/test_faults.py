"""Clients at their worst against a running guard: it lives, its others hardly notice, and it counts what happened."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import statistics
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.edges import Edge, Frame, Record, run
from tests.e2e.guards import Guard, wait_for
from tests.e2e.sockets import BINARY, CLOSE, CONT, PING, TEXT, frame, opened, raw, request, rest_of

BACKENDS = ("trio-websocket", "sansio")
FACTOR = 5.0
"""The median round trip of others during a fault, against that before it ..."""
FLOOR_S = 0.005
"""... where both are worth comparing: what is below this is fine on any machine."""
HALF_OPEN = 2_000
SETTINGS = (
    "listen.connections=5000",
    "listen.connections_per_peer=5000",
    "listen.handshake_s=3",
    "listen.message_s=1",
    "listen.send_s=1",
    "listen.close_s=1",
    "bus.consumer_send_s=1",
    "rooms.decide_within_s=30",
)
CONFIG = """
[budget]
actions_per_room_minute = 1000000
actions_per_rule_minute = 1000000

[[rules]]
name = "marked"
when = 'contains(text, "markedword")'
action = ["delete"]
mode = "enforce"
"""


@pytest.fixture(params=BACKENDS)
def guard(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Guard, None, None]:
    """A guard with short deadlines, and descriptors for thousands of connections."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16_384, hard), hard))
    with Guard(tmp_path, config, (*SETTINGS, f"listen.backend={request.param}")) as running:
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def chat(number: int, room: str = "quiet", text: str = "hello") -> Record:
    event = {"id": f"m{number}", "kind": "chat", "room": room, "user": f"u{number % 50}", "ts": time.time()}
    return event | {"text": text}


class Witness:
    """An edge that talks on while others misbehave, and how long the guard makes it wait."""

    def __init__(self, guard: Guard, edge: Edge) -> None:
        self.guard = guard
        self.edge = edge
        self.number = 0
        self.usual_s = 0.0
        self.files = 0
        self.rss = 0

    async def median_s(self, times: int = 60) -> float:
        found = []
        for _ in range(times):
            self.number += 1
            found.append(await self.edge.round_trip(chat(self.number)))
        return statistics.median(found)

    async def settle(self) -> None:
        """How it is while nobody misbehaves."""
        self.usual_s = await self.median_s()
        self.files, self.rss = self.guard.open_files(), self.guard.rss_bytes()

    async def hardly_notices(self) -> None:
        """Now, while it happens."""
        assert await self.median_s() <= FACTOR * max(self.usual_s, FLOOR_S)

    async def all_over(self) -> None:
        """Descriptors are given back, memory is where it was, the one connection was never lost."""
        await asyncio.to_thread(wait_for, lambda: self.guard.open_files() <= self.files)
        assert self.guard.rss_bytes() <= 1.25 * self.rss + 48 * 2**20
        await self.hardly_notices()
        assert (self.edge.connections, self.edge.errors, self.edge.rejected) == (1, [], [])
        assert self.guard.alive


@asynccontextmanager
async def witness(guard: Guard) -> AsyncGenerator[Witness, None]:
    async with Edge(guard.url, "witness") as edge:
        seen = Witness(guard, edge)
        await seen.settle()
        yield seen
        await seen.all_over()


def ended(guard: Guard, how: str) -> float:
    """Connections that ended this way, as /metrics has it."""
    return guard.count(f'roomguard_listener_ended_total{{how="{how}"}}')


@pytest.mark.slow
def test_two_thousand_that_never_finish_the_handshake(guard: Guard) -> None:
    """They cost nobody else anything, are dropped at the deadline, and are counted."""

    async def story() -> None:
        async with witness(guard) as seen:
            with ExitStack() as peers:
                beginnings = (b"", b"GET /v1/edge HTTP/1.1\r\nHost: gu", b"\x16\x03\x01")
                for number in range(HALF_OPEN):
                    peers.enter_context(raw(guard, beginnings[number % 3]))
                    if number % 100 == 99:
                        await asyncio.sleep(0)
                await seen.hardly_notices()
                await asyncio.to_thread(wait_for, lambda: guard.open_files() <= seen.files)
            refused = {n: v for n, v in guard.metrics().items() if n.startswith("roomguard_listener_refused_total{")}
            assert sum(refused.values()) == HALF_OPEN, refused
            assert refused['roomguard_listener_refused_total{reason="timeout"}'] >= HALF_OPEN * 0.6

    run(story)


@pytest.mark.slow
def test_clients_that_never_read(guard: Guard) -> None:
    """An edge and a consumer that take nothing are cut; what the guard keeps for them is bounded."""
    events = [chat(number, "loud", "a markedword " + "x" * 300) for number in range(2_000)]

    def shout() -> None:
        """Thousands of actions for an edge that does not take them."""
        with raw(guard, request(), small=True) as deaf:
            opened(deaf)
            with suppress(OSError):
                for seq in range(1, 400):
                    mine = [event | {"id": f"{seq}-{event['id']}"} for event in events[:100]]
                    deaf.sendall(frame(TEXT, json.dumps({"type": "events", "seq": seq, "events": mine}).encode()))
            wait_for(lambda: guard.status()["edges"] == 1)
        assert ended(guard, "unread") == 1

    def ignore() -> None:
        with raw(guard, request("/v1/actions?after=0"), small=True) as deaf:
            opened(deaf)
            wait_for(lambda: guard.count("roomguard_consumers_cut_total") >= 1)

    async def story() -> None:
        async with witness(guard) as seen:
            shouting = asyncio.create_task(asyncio.to_thread(shout))
            await seen.median_s(20)
            await shouting
            ignoring = asyncio.create_task(asyncio.to_thread(ignore))
            await seen.hardly_notices()
            await ignoring
            assert guard.status()["consumers"] == 0

    run(story)


@pytest.mark.slow
def test_an_edge_that_stops_in_the_middle(guard: Guard) -> None:
    """Half a message, half a frame's header, half a fragmented message: closed at the deadline, never waited for."""
    halves = {
        "payload": frame(TEXT, b"x" * 5_000)[:3_000],
        "header": frame(TEXT, b"x" * 70_000)[:5],
        "fragments": frame(TEXT, b"{", final=False),
    }

    async def story() -> None:
        async with witness(guard) as seen:
            with ExitStack() as peers:
                stuck = [peers.enter_context(raw(guard, request())) for _ in halves]
                for peer, half in zip(stuck, halves.values(), strict=True):
                    opened(peer)
                    peer.sendall(half)
                await seen.hardly_notices()
                for name, peer in zip(halves, stuck, strict=True):
                    assert (1008).to_bytes(2, "big") in await asyncio.to_thread(rest_of, peer), name
            assert ended(guard, "unfinished") == len(halves)

    run(story)


HANDSHAKES = {
    "host byte": request(Host="\xff"),
    "host that is no IDNA": request(Host="xn--\x80"),
    "connection byte": request(Connection="Upgrade, \xff"),
    "subprotocol byte": request(Sec_WebSocket_Protocol="\xff"),
    "extensions byte": request(Sec_WebSocket_Extensions="\xff"),
    "header of 100 KB": request(X="x" * 100_000),
    "POST with a body": request(Content_Length="3").replace(b"GET", b"POST") + b"abc",
    "no host": request().replace(b"Host: guard\r\n", b""),
    "two hosts": request().replace(b"Host: guard", b"Host: a\r\nHost: b"),
    "bare line feeds": request().replace(b"\r\n", b"\n"),
    "path //": request("//"),
    "path with NUL": request("/v1/rooms/%00"),
    "path with dots": request("/v1/../v1/edge"),
    "path of 8 KB": request("/" + "a" * 8_192),
    "another version": request(Sec_WebSocket_Version="12"),
    "no key": request(Sec_WebSocket_Key=""),
    "noise": bytes(range(256)) * 40,
}
FRAMES = {
    "unmasked": frame(TEXT, b"x", masked=False),
    "RSV bit": frame(TEXT, b"x", rsv=0x40),
    "long ping": frame(PING, b"x" * 126),
    "continuation first": frame(CONT, b"x"),
    "message in a message": frame(TEXT, b"x", final=False) + frame(TEXT, b"y"),
    "bad UTF-8": frame(TEXT, b"\xc3\x28"),
    "bad UTF-8 over fragments": frame(TEXT, b"\xf0\x9f", final=False) + frame(CONT, b"x"),
    "length 2^63": b"\x81\xff" + (2**63).to_bytes(8, "big") + b"mask",
    "binary": frame(BINARY, b"{}"),
    "over the limit, then a ping": frame(TEXT, b"x" * 1_100_000) + frame(PING),
    "a close of one byte": frame(CLOSE, b"x"),
    "data after a close": frame(CLOSE) + frame(TEXT, b"x") * 20,
    "pings after a close": frame(CLOSE) + frame(PING) * 50,
    "empty fragments": frame(TEXT, final=False) + frame(CONT, final=False) * 50_000,
    "noise": bytes(range(256)) * 40,
}


def attack(guard: Guard, data: bytes, *, handshake: bool) -> bytes:
    """Send it and listen to the end; the guard ends it by itself, or because we have nothing more to say."""
    with raw(guard, b"" if handshake else request()) as peer:
        if not handshake:
            opened(peer)
        with suppress(OSError):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        return rest_of(peer)


@pytest.mark.slow
def test_bytes_nobody_should_send(guard: Guard) -> None:
    """Each of these costs its own connection; the guard's next answer to somebody else is as quick as ever."""

    async def story() -> None:
        async with witness(guard) as seen:
            for name, head in HANDSHAKES.items():
                answer = await asyncio.to_thread(attack, guard, head, handshake=True)
                assert b" 101 " not in answer[:20], name
            for data in FRAMES.values():
                await asyncio.to_thread(attack, guard, data, handshake=False)
            await seen.hardly_notices()

    run(story)


# Whole messages

GOOD = {"id": "g", "kind": "chat", "room": "r", "user": "u", "ts": 1.0, "text": "hello"}
NOT_FRAMES = {
    "nothing": "",
    "null": "null",
    "list": "[]",
    "string": '"x"',
    "number": "1",
    "two documents": '{"type": "enforced", "actions": []} {}',
    "trailing": '{"type": "enforced", "actions": []}]',
    "byte order mark": '\ufeff{"type": "enforced", "actions": []}',
    "unknown type": '{"type": "nonsense"}',
    "no type": "{}",
    "nesting": "[" * 100_000,
    "nested events": '{"type": "events", "seq": 1, "events": ' + "[" * 50_000,
    "events no list": '{"type": "events", "events": 1}',
    "seq of 400 digits": '{"type": "events", "events": [], "seq": 1' + "0" * 400 + "}",
    "seq below 1": '{"type": "events", "events": [], "seq": 0}',
    "seq no number": '{"type": "events", "events": [], "seq": "1"}',
    "NaN": '{"type": "expect_raid", "room": "r", "size": NaN, "ttl_s": 1}',
    "raid without end": '{"type": "expect_raid", "room": "r", "size": 1, "ttl_s": 1e999}',
    "room of 10 KB": json.dumps({"type": "subscribe", "rooms": ["r" * 10_000]}),
    "enforced no list": '{"type": "enforced", "actions": {"a": 1}}',
}
BAD_EVENTS: dict[str, Record | str] = {
    "null": "null",
    "list": "[]",
    "no id": GOOD | {"id": None},
    "no user": {key: GOOD[key] for key in GOOD if key != "user"},
    "user float": GOOD | {"user": 1.0},
    "user true": GOOD | {"user": True},
    "user 2^63": GOOD | {"user": 2**63},
    "user of 10 KB": GOOD | {"user": "u" * 10_000},
    "empty room": GOOD | {"room": ""},
    "room with NUL": GOOD | {"room": "a\0b"},
    "room with line feed": GOOD | {"room": "a\nb"},
    "room with carriage return": GOOD | {"room": "a\rb"},
    "two kinds": '{"kind": "chat", "kind": "like", "id": "a", "room": "r", "user": "u", "ts": 1, "text": "x"}',
    "ts string": GOOD | {"ts": "1"},
    "ts of 400 digits": json.dumps(GOOD).replace("1.0", "1" + "0" * 400),
    "text number": GOOD | {"text": 1},
    "gift of 0": GOOD | {"kind": "gift", "gift": "rose", "count": 0, "value": 1},
    "gift of -1": GOOD | {"kind": "gift", "gift": "rose", "count": -1, "value": 1},
    "gift of 1e308": GOOD | {"kind": "gift", "gift": "rose", "count": 1, "value": 1e308},
    "gift as text": GOOD | {"kind": "gift", "gift": "rose", "count": "1e3", "value": 1},
    "unknown verb": GOOD | {"kind": "moderation", "verb": "shout", "target": "u"},
    "who is nobody": GOOD | {"who": "nobody"},
}
HARD_TEXTS = {
    "combining marks": "a" + "\u0301\u0323" * 50_000,
    "ligatures that grow": "\ufdfa" * 10_000,
    "1 MB": "x" * 900_000,
    "zero width": "\u200b" * 50_000,
    "tags and overrides": "\u202e\U000e0041" * 20_000,
    "markup": "<script>alert(1)</script>{{7*7}}=cmd|'/c calc'!A1",
    "NUL": "a\0b",
    "almost a match": "a" * 5_000 + "!" + " " * 50_000,
}


def text_of(event: Record | str) -> str:
    return event if isinstance(event, str) else json.dumps(event)


@pytest.mark.slow
def test_messages_nobody_should_send(guard: Guard) -> None:
    """A bad frame gets an error, a bad event is rejected alone, by its place; the rest counts, nobody is cut off."""

    async def story() -> None:
        async with witness(guard) as seen, Edge(guard.url) as other:
            for name, message in NOT_FRAMES.items():
                before = len(other.errors)
                assert other.socket is not None
                await other.socket.send(message)
                async with asyncio.timeout(30):
                    while len(other.errors) == before:
                        await asyncio.sleep(0.001)
                assert other.errors[-1]["code"] in {"bad_frame", "too_many_events"}, name
            await bad_events(other)
            await seen.hardly_notices()
            for number, text in enumerate(HARD_TEXTS.values()):
                await other.send([GOOD | {"id": f"hard{number}", "text": text, "ts": time.time()}])
            await seen.hardly_notices()
            await other.all_acked()
            assert (other.connections, len(other.rejected)) == (1, 0)

    async def bad_events(other: Edge) -> None:
        """All of them in one frame, good ones between them."""
        assert other.socket is not None
        other.seq = max([other.seq, *(error.get("seq") or 0 for error in other.errors)]) + 1
        texts: list[str] = []
        for number, event in enumerate(BAD_EVENTS.values()):
            texts += text_of(event), json.dumps(GOOD | {"id": f"good{number}", "ts": time.time()})
        answer = asyncio.get_running_loop().create_future()
        other.on_acked = lambda frame: answer.set_result(frame) if not answer.done() else None
        other.waiting[other.seq] = Frame([], gate=False)
        await other.socket.send(f'{{"type": "events", "seq": {other.seq}, "events": [{", ".join(texts)}]}}')
        await asyncio.wait_for(answer, 30)
        names = list(BAD_EVENTS)
        assert [names[one["index"] // 2] for one in other.rejected] == names
        assert {one["index"] % 2 for one in other.rejected} == {0}
        other.rejected.clear()
        other.on_acked = lambda _: None

    run(story)
