"""What an operator does to a guard under load: stop, reload, pause, take back, shadow, TLS and tokens."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.edges import Consumer, Edge, Record, run, until
from tests.e2e.guards import Guard, replayed, roomguard, wait_for
from tests.e2e.sockets import opened, raw, request

CONFIG = """
[budget]
actions_per_room_minute = 1000000
actions_per_rule_minute = 1000000

[thresholds]
short_text = 3

[[rules]]
name = "marked"
when = 'contains(text, "markedword") and length > short_text'
action = ["delete"]
mode = "enforce"

[[rules]]
name = "silenced"
when = 'contains(text, "silencedword")'
action = ["mute"]
duration_s = 7200
mode = "enforce"
"""
OTHER = CONFIG.replace("short_text = 3", "short_text = 4")
WRONG = CONFIG.replace("short_text = 3", "short_text = nan")


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """Not started yet: each test has settings of its own."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    return Guard(tmp_path, config, ("rooms.decide_within_s=30",))


@attrs.define
class Load:
    """An edge that sends a few marked events a frame without end."""

    edge: Edge
    sent: set[str] = attrs.field(factory=set)
    acked: set[str] = attrs.field(factory=set)
    enough: bool = False

    async def run(self) -> None:
        self.edge.on_acked = lambda frame: self.acked.update(event["id"] for event in frame.events)
        while not self.enough:
            events = [chat(f"{time.time_ns()}-{number}", f"room-{number % 3}", "a markedword") for number in range(5)]
            self.sent.update(event["id"] for event in events)
            await self.edge.send(events)
            await asyncio.sleep(0.002)

    async def more(self) -> None:
        """Until a frame that is sent from now on is acknowledged."""
        wanted = len(self.sent) + 5
        await until(lambda: len(self.acked) >= wanted)


def _not(version: str) -> Callable[[Record], bool]:
    return lambda status: bool(status["config"] != version)


@asynccontextmanager
async def loaded(guard: Guard, session: str = "load") -> AsyncGenerator[tuple[Load, Consumer], None]:
    """A guard under load and somebody who sees every action; in the end everything sent is acknowledged."""
    async with Edge(guard.url, session) as edge, Consumer(guard.url, "audit") as consumer:
        load = Load(edge)
        running = asyncio.create_task(load.run())
        await load.more()
        yield load, consumer
        load.enough = True
        await asyncio.wait([running])
        if guard.alive:
            await edge.all_acked()
            await consumer.upto((await asyncio.to_thread(guard.status))["offset"])
        assert edge.errors + edge.rejected == []


def chat(ident: str, room: str = "r", text: str = "hello", user: str = "u") -> Record:
    return {"id": ident, "kind": "chat", "room": room, "user": user, "ts": time.time(), "text": text}


def deleted(consumer: Consumer) -> Counter[str]:
    return Counter(ident for action in consumer.actions for ident in action.get("events", ()))


@pytest.mark.slow
def test_sigterm_drains(guard: Guard) -> None:
    """Edges are told when to come back and closed with 1012, exit 0; what was acknowledged is there after the start."""

    async def story() -> None:
        async with loaded(guard) as (load, consumer):
            code = await asyncio.to_thread(guard.end)
            assert code == 0
            await until(lambda: load.edge.socket is None)
            assert load.edge.drained is not None
            assert load.edge.drained["reconnect_s"] > 0
            assert load.edge.closed_with == consumer.closed_with == [1012]
            told = set(load.acked)
            await asyncio.to_thread(guard.start)
            await load.more()
            await consumer.upto((await asyncio.to_thread(guard.status))["offset"])
            assert told <= deleted(consumer).keys()
        assert deleted(consumer) == Counter(load.sent)

    with guard:
        run(story)


@pytest.mark.slow
def test_second_signal_ends_at_once(guard: Guard) -> None:
    """An edge that keeps the drain waiting is waited for, until the second signal."""
    guard.sets = ("listen.close_s=30", "listen.drain_s=60", "listen.ping_s=60")
    with guard:
        with raw(guard, request()) as edge:
            opened(edge)  # it will not answer our close
            guard.tell(signal.SIGTERM)
            wait_for(lambda: "stopping: SIGTERM" in guard.log())
            time.sleep(0.5)  # that a real process does not end shows only in time that passes
            assert guard.alive
            began = time.monotonic()
            assert guard.end() == 128 + signal.SIGTERM
            assert time.monotonic() - began < 5
        assert "ending now" in guard.log()


@pytest.mark.slow
def test_reload_under_load(guard: Guard) -> None:
    """Each event is decided by one version or the other and says which; a wrong file changes nothing."""
    versions: list[str] = []

    async def story() -> None:
        async with loaded(guard) as (load, consumer):
            versions.append(guard.version)
            for number in range(6):
                guard.config.write_text((OTHER, CONFIG)[number % 2])
                before = versions[-1]
                guard.tell(signal.SIGHUP)
                status = await asyncio.to_thread(guard.until, _not(before))
                versions.append(status["config"])
                await load.more()
            guard.config.write_text(WRONG)
            guard.tell(signal.SIGHUP)
            status = await asyncio.to_thread(guard.until, lambda found: not found["reload"]["ok"])
            assert status["config"] == versions[-1]
            marker = len(consumer.actions) + 50
            await until(lambda: len(consumer.actions) > marker + 50)
        assert deleted(consumer) == Counter(load.sent)
        stamps = [action["config"] for action in consumer.actions]
        assert set(stamps) == set(versions)
        assert set(stamps[marker:]) == {versions[-1]}
        changes = [one for one, two in zip(stamps, [*stamps[1:], None], strict=True) if one != two]
        assert len(changes) <= 3 * len(versions)  # each room changes over once; offsets of three rooms interleave

    with guard:
        run(story)
    assert len(set(versions)) == 2
    assert "thresholds.short_text" in guard.log()


@pytest.mark.slow
def test_pause_and_resume(guard: Guard) -> None:
    """SIGUSR1: everything is decided and counted, nothing is sent; SIGUSR2: it is sent again."""

    async def story() -> None:
        async with loaded(guard) as (load, consumer):
            guard.tell(signal.SIGUSR1)
            quiet = await asyncio.to_thread(
                guard.until, lambda found: found["paused"] and not found["waiting_for_disk"]
            )
            silent_from = quiet["offset"]
            await load.more()
            status = await asyncio.to_thread(guard.status)
            assert status["offset"] == silent_from
            assert status["rules"]["marked"]["shadow"] > 0
            guard.tell(signal.SIGUSR2)
            await asyncio.to_thread(guard.until, lambda found: not found["paused"])
            await load.more()
            await until(lambda: consumer.offset > silent_from)
        assert deleted(consumer).keys() < load.sent
        assert max(deleted(consumer).values()) == 1

    with guard:
        run(story)


@pytest.mark.slow
def test_shadow_sends_nothing(guard: Guard) -> None:
    """With mode = shadow everything is acknowledged and counted, and no action exists."""
    guard.sets = ("mode=shadow",)

    async def story() -> None:
        async with loaded(guard) as (load, consumer):
            await load.more()
            status = await asyncio.to_thread(guard.status)
            assert (status["mode"], status["offset"], consumer.actions) == ("shadow", 0, [])
            assert status["rules"]["marked"]["shadow"] > 0
            assert load.edge.actions == {}

    with guard:
        run(story)


@pytest.mark.slow
def test_undo(guard: Guard) -> None:
    """An action, or all of a rule, is taken back once, however often it is asked, also after restarts in between."""
    admin: Callable[[], tuple[str, str]] = lambda: ("--admin", guard.admin)  # noqa: E731

    async def mute(edge: Edge, *users: str) -> dict[str, str]:
        """Users to the ids of their mutes."""
        await edge.send([chat(f"{user}-{edge.connections}", text="a silencedword", user=user) for user in users])
        await edge.all_acked()
        found = {action["user"]: ident for ident, action in edge.actions.items() if action["kind"] == "mute"}
        await until(lambda: found.keys() >= set(users))
        return found

    async def in_force(edge: Edge) -> set[str]:
        await edge.drop()
        await until(lambda: "r" in edge.states)
        return {action["user"] for action in edge.states["r"]}

    async def again(edge: Edge) -> None:
        """Kill and start it; the edge is back."""
        was = edge.connections
        await asyncio.to_thread(guard.end, signal.SIGKILL)
        await asyncio.to_thread(guard.start)
        await until(lambda: edge.connections > was and "r" in edge.states)

    async def story() -> None:
        async with Edge(guard.url, "e") as edge, Consumer(guard.url, "audit") as consumer:
            mutes = await mute(edge, "ann", "ben", "cas", "dan")
            assert await in_force(edge) == {"ann", "ben", "cas", "dan"}
            for _ in range(2):
                done = await asyncio.to_thread(roomguard, "undo", mutes["ann"], *admin())
                assert done.returncode == 0, done.stderr
            assert await in_force(edge) == {"ben", "cas", "dan"}

            await again(edge)
            assert {action["user"] for action in edge.states["r"]} == {"ben", "cas", "dan"}
            for name in ("ben", "ann"):  # one never undone, one undone before the restart
                await asyncio.to_thread(roomguard, "undo", mutes[name], *admin())
            assert await in_force(edge) == {"cas", "dan"}
            for _ in range(2):
                await asyncio.to_thread(roomguard, "undo", "--rule", "silenced", "--since", "1h", *admin())
            assert await in_force(edge) == set()

            await again(edge)
            await asyncio.to_thread(roomguard, "undo", "--rule", "silenced", "--since", "1h", *admin())
            assert edge.states["r"] == []
            await edge.send([chat("after", text="may speak", user="ann")])
            await edge.all_acked()
            await consumer.upto((await asyncio.to_thread(guard.status))["offset"])
            inverses = [action["undoes"] for action in consumer.actions if action["kind"] == "unmute"]
            assert sorted(inverses) == sorted(mutes.values())

    with guard:
        run(story)


@pytest.mark.slow
def test_override(guard: Guard) -> None:
    """One room is judged otherwise for a while and no other is; it ends by itself or when told, and is recorded."""
    guard.record = guard.folder / "day.jsonl"

    def override(*arguments: str) -> subprocess.CompletedProcess[str]:
        return roomguard("override", *arguments, "--admin", guard.admin)

    async def caught(edge: Edge, room: str) -> bool:
        """Whether a marked message of eleven letters is deleted there."""
        ident = f"m{time.time_ns()}"
        await edge.send([chat(ident, room, "a markedword")])
        await edge.all_acked()
        await edge.send([chat(f"{ident}-", room, "hello")])  # what the first one led to was sent before this is acked
        await edge.all_acked()
        await asyncio.sleep(0.1)
        return any(ident in action.get("events", ()) for action in edge.actions.values())

    async def story() -> None:
        async with Edge(guard.url, "e") as edge:
            assert await caught(edge, "r")
            done = await asyncio.to_thread(override, "r", "--set", "short_text=50", "--rule", "silenced=shadow")
            assert (done.returncode, done.stdout, done.stderr) == (0, "r: set for 3600 s\n", "")
            assert (await caught(edge, "r"), await caught(edge, "other")) == (False, True)
            (shown,) = (await asyncio.to_thread(guard.status))["unusual"]["rooms"]
            assert (shown["room"], shown["mode"], shown["strategy"]) == ("r", "calm", "default+override")
            assert shown["overrides"][0]["settings"] == {"short_text": 50, "silenced": "shadow"}
            lines = (await asyncio.to_thread(roomguard, "status", "--admin", guard.admin)).stdout
            assert "room r: calm; short_text=50, silenced=shadow for 3," in lines

            await asyncio.to_thread(override, "r", "--end")
            assert await caught(edge, "r")
            await asyncio.to_thread(override, "r", "--rule", "marked=off", "--ttl", "1")
            assert not await caught(edge, "r")
            await asyncio.to_thread(guard.until, lambda found: found["unusual"]["count"] == 0)
            assert await caught(edge, "r")

            done = await asyncio.to_thread(override, "later", "--mode", "raid", "--ttl", "10m")
            assert (done.returncode, done.stdout) == (0, "later: set for 600 s\n")
            assert "later was not live here" in done.stderr
            (shown,) = (await asyncio.to_thread(guard.status))["unusual"]["rooms"]
            assert (shown["room"], shown["mode"]) == ("later", "raid")

            wrong = ("r", "--set", "shrot_text=9", "--rule", "markd=off", "--mode", "riad", "--strategy", "x")
            done = await asyncio.to_thread(override, *wrong)
            assert done.returncode == 1
            for problem in (
                "thresholds.shrot_text: no threshold is named 'shrot_text' (did you mean 'short_text'?)",
                "rules.markd: no rule is named 'markd' (did you mean 'marked'?)",
                "mode: 'riad' is none of calm, elevated, raid (did you mean 'raid'?)",
                "strategy: no strategy is named 'x'",
            ):
                assert problem in done.stderr
            assert await caught(edge, "r")
        assert "room 'r': an operator sets {'short_text': 50.0, 'silenced': 'shadow'} for 3600 s" in guard.log()

    with guard:
        run(story)
        assert guard.end() == 0
    day = guard.folder / "day.jsonl"
    assert day.read_text().count('"override"') == 4
    assert Counter({"r": 4, "other": 1}) == Counter(
        {room: len(made) for room, made in replayed(day, guard.config).items()}
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["trio-websocket", "sansio"])
def test_tls_and_tokens(guard: Guard, tmp_path: Path, backend: str) -> None:
    """Edges and consumers come in over TLS with a token and not without; the admin port wants its own."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    files = (f"listen.cert_file={tmp_path}/cert.pem", f"listen.key_file={tmp_path}/key.pem")
    tokens = ('listen.tokens=["edge-token","next-token"]', 'admin.tokens=["admin-token"]')
    guard.sets = (*files, *tokens, f"listen.backend={backend}")
    guard.token = "admin-token"

    async def story() -> None:
        async with (
            Edge(guard.url, "e", token="next-token", tls=tls) as edge,
            Consumer(guard.url, "audit", token="edge-token", tls=tls) as consumer,
        ):
            await edge.send([chat("1", text="a markedword")])
            await edge.all_acked()
            await until(lambda: len(edge.actions) == len(consumer.actions) == 1)

    with guard:
        assert guard.url.startswith("wss://")
        run(story)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "edge-token"}):
            with (
                pytest.raises(InvalidStatus, match="401"),
                connect(f"{guard.url}/v1/edge", ssl=tls, additional_headers=headers),
            ):
                pass
        with pytest.raises(ssl.SSLCertVerificationError), connect(f"{guard.url}/v1/edge"):
            pass
        assert guard.status()["edges"] == 0
        guard.token = "edge-token"
        assert b"unauthorized" in guard.ask("/status")
        assert b"unauthorized" in guard.ask("/undo", {"action": "a"})
        assert b"alive" in guard.ask("/livez")
        assert "edge-token" not in guard.log()
