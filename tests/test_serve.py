"""The guard as a process: how it starts, what ends it, what a signal and an operator can tell it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
from websockets.sync.client import ClientConnection, connect

from roomguard.cli.child import Child, field

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
[features.chats]
kind = "count"
window_s = 60

[thresholds]
most = 2

[[rules]]
name = "many"
when = "chats > most"
action = ["mute"]
duration_s = 300
mode = "enforce"
"""


@attrs.frozen
class Running:
    """A guard that listens."""

    child: Child
    url: str
    admin: str

    def page(self) -> str:
        """All metrics."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                found = json.load(error)
        return dict(found)

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The status, once something holds of it."""
        return waited(lambda: self.ask("/status"), holds)


def waited(read: Callable[[], Any], holds: Callable[[Any], bool], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if holds(found):
            return found
        assert time.monotonic() < deadline, f"never held: {found}"
        time.sleep(0.02)  # another process tells nothing by itself, so it is asked again


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@contextmanager
def guard(config: Path, *more: str) -> Iterator[Running]:
    """`serve` on free ports, its data beside its configuration."""
    data = config.parent / "data"
    arguments = [
        "--config",
        str(config),
        "--listen",
        "127.0.0.1:0",
        "--data",
        str(data),
        "--set",
        "admin.port=0",
        *more,
    ]
    with Child([sys.executable, "-m", "roomguard", "serve", *arguments]) as child:
        line = child.wait_line("edge=", 30)
        assert line is not None, child.printed()
        yield Running(child, field(line, "edge"), field(line, "admin"))


class Edge:
    """An edge with one room, by a foreign client."""

    def __init__(self, running: Running) -> None:
        self.url = f"{running.url}/v1/edge"
        self.seq = 0
        self.number = 0
        self.waiting: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.stack = ExitStack()
        self.connection: ClientConnection = self.stack.enter_context(connect(self.url, compression=None))
        assert json.loads(self.connection.recv(timeout=10))["type"] == "welcome"
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def say(self, count: int, user: str = "u") -> list[dict[str, Any]]:
        """Send chats in one frame; what comes until its ack."""
        self.seq += 1
        events = []
        for _ in range(count):
            self.number += 1
            one = {"id": f"{user}-{self.number}-{time.time_ns()}", "kind": "chat", "room": "r", "user": user}
            events.append({**one, "ts": time.time(), "text": f"something else {self.number}"})
        self.connection.send(json.dumps({"type": "events", "seq": self.seq, "events": events}))
        return self.until("ack")

    def until(self, kind: str) -> list[dict[str, Any]]:
        """All frames up to the next one of this type; actions among them wait for `acted`."""
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["type"] != kind:
            frames.append(json.loads(self.connection.recv(timeout=10)))
            self.waiting += frames[-1].get("actions", ()) if frames[-1]["type"] == "actions" else ()
        return frames

    def acted(self) -> dict[str, Any]:
        """The next action."""
        if not self.waiting:
            self.until("actions")
        return self.waiting.pop(0)


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roomguard", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_says_where_and_drains(config: Path) -> None:
    """One line says where it listens; on SIGTERM edges are told to come back, and the exit code is 0."""
    with guard(config) as running, Edge(running) as edge:
        line = running.child.wait_line("edge=", 1)
        assert line is not None
        assert re.fullmatch(
            r"roomguard edge=ws://127\.0\.0\.1:\d+ admin=http://127\.0\.0\.1:\d+ config=\w+ mode=enforce pid=\d+", line
        )
        assert running.ask("/readyz")["status"] == "ready"
        frames = edge.say(5)
        assert frames[-1]["accepted"] == 5

        os.kill(running.child.pid, signal.SIGTERM)

        assert edge.until("drain")[-1]["reconnect_s"] > 0
        assert waited(lambda: running.child.code, lambda code: code is not None) == 0


def test_restart_keeps_what_is_in_force(config: Path) -> None:
    """A mute outlives a killed process: the next says it to the edge that takes the room, and drops what is muted."""
    with guard(config) as running, Edge(running) as edge:
        edge.say(3)
        mute = edge.acted()
        os.kill(running.child.pid, signal.SIGKILL)
        waited(lambda: running.child.running, lambda alive: not alive)

    with guard(config) as running, Edge(running) as edge:
        (state,) = (frame for frame in edge.say(9) if frame["type"] == "state")

        assert [action["id"] for action in state["actions"]] == [mute["id"]]
        assert running.ask("/status")["actions"] == 0


def test_ends_without_its_journal(config: Path) -> None:
    """A guard whose journal's process is gone acknowledges nothing more and ends; started again it has everything."""
    with guard(config) as running, Edge(running) as edge:
        edge.say(3)
        mute = edge.acted()
        threads = Path(f"/proc/{running.child.pid}/task").iterdir()
        (writer,) = (int(pid) for thread in threads for pid in (thread / "children").read_text().split())
        os.kill(writer, signal.SIGKILL)
        assert waited(lambda: running.child.code, lambda code: code is not None) == 4

    with guard(config) as running, Edge(running) as edge:
        (state,) = (frame for frame in edge.say(9) if frame["type"] == "state")
        assert [action["id"] for action in state["actions"]] == [mute["id"]]


def test_undo(config: Path) -> None:
    """An action is taken back by its id, or with all of its rule; the inverse reaches the edge like any action."""
    with guard(config) as running, Edge(running) as edge:
        edge.say(3, "one")
        first = edge.acted()
        edge.say(3, "two")
        second = edge.acted()

        assert run("undo", first["id"], "--admin", running.admin).stdout == "1 of 1 taken back\n"
        inverse = edge.acted()
        assert (inverse["kind"], inverse["undoes"]) == ("unmute", first["id"])
        done = run("undo", "--rule", "many", "--since", "10m", "--admin", running.admin)
        assert (done.returncode, done.stdout) == (0, "1 of 1 taken back\n")
        inverse = edge.acted()
        assert (inverse["kind"], inverse["undoes"]) == ("unmute", second["id"])
        assert run("undo", "nosuch", "--admin", running.admin).returncode == 1


def test_pause_by_signal(config: Path) -> None:
    """SIGUSR1 pauses enforcing: hits are counted, nothing is sent; SIGUSR2 resumes."""
    with guard(config) as running, Edge(running) as edge:
        os.kill(running.child.pid, signal.SIGUSR1)
        running.until(lambda found: found["paused"])
        edge.say(4, "spared")
        found = running.ask("/status")
        assert (found["actions"], found["rules"]["many"]["shadow"]) == (0, 2)

        os.kill(running.child.pid, signal.SIGUSR2)
        running.until(lambda found: not found["paused"])
        edge.say(3, "caught")
        assert edge.acted()["user"] == "caught"


def test_pause_by_command(config: Path) -> None:
    """`pause`, `status` and `resume` say what is and what changed; a token in the way is asked for."""
    with guard(config, "--set", "admin.tokens=['secret']") as running:
        known = ("--admin", running.admin, "--token", "secret")
        assert "wants a token" in run("status", "--admin", running.admin).stderr
        assert run("pause", *known).stdout == "enforcing is paused\n"
        assert run("pause", *known).stdout == "enforcing was paused already\n"
        assert "ready; mode shadow, paused; configuration " in run("status", *known).stdout
        assert run("resume", *known).stdout == "enforcing again\n"
        assert json.loads(run("status", "--json", *known).stdout)["paused"] is False


def test_metrics(config: Path) -> None:
    """The page has a line for each part of the house, with labels a rule can be found by."""
    with guard(config) as running, Edge(running) as edge:
        edge.say(5)
        edge.acted()
        page = running.page()

    for line in (
        'roomguard_engine_decisions_total{outcome="enforce",rule="many"} 1.0',
        'roomguard_engine_actions_total{action="mute",rule="many"} 1.0',
        'roomguard_rooms_events_total{kind="chat"} 5.0',
        "roomguard_bus_published_total 1.0",
        "roomguard_edges_connections 1.0",
        "roomguard_reload_last_ok 1.0",
        "roomguard_process_ready 1.0",
        "roomguard_process_paused 0.0",
    ):
        assert line in page
    for part in ("supervisor", "sessions", "consumers", "listener", "delivery", "loop_lag", "admin"):
        assert f"roomguard_{part}_" in page


def scraped(running: Running) -> dict[str, float]:
    """Every series by its name, labels included."""
    lines = (line.rpartition(" ") for line in running.page().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


BUSY = (
    """
[budget]
actions_per_rule_minute = 1
"""
    + CONFIG
)


def test_metrics_of_modes_overrides_and_alerts(config: Path) -> None:
    """Each has a series a label value, which are few and there before they count; no room and no user is a label."""
    config.write_text(BUSY)
    with guard(config) as running, Edge(running) as edge:
        before = scraped(running)
        running.ask("/override", {"room": "r", "mode": "raid"})
        running.ask("/override", {"room": "r", "thresholds": {"most": 1}})
        running.ask("/override", {"room": "r", "end": True})
        edge.say(3)
        edge.say(3, user="bob")
        edge.acted()
        after = scraped(running)

    counted = {
        name: after[name] - before[name] for name in before if "_engine_" in name and after[name] != before[name]
    }
    assert {
        'roomguard_engine_modes_total{mode="raid"}': 1.0,
        'roomguard_engine_overrides_total{outcome="taken"}': 2.0,
        'roomguard_engine_overrides_total{outcome="ended"}': 2.0,
        'roomguard_engine_alerts_total{code="room_mode"}': 1.0,
        'roomguard_engine_alerts_total{code="rule_budget"}': 1.0,
    } == counted
    for name, values in (("modes", 3), ("overrides", 5), ("alerts", 5)):
        series = [one for one in after if one.startswith(f"roomguard_engine_{name}_total{{")]
        assert values == len(series) == len([one for one in before if one in series])
    labels = {label for name in after for label in re.findall(r'[{,](\w+)="', name)}
    assert labels == {
        "action", "cause", "code", "config", "how", "kind", "le", "mode", "outcome", "reason", "rule", "status",
    } & labels  # fmt: skip


def test_every_metric_says_what_it_is(config: Path) -> None:
    """Each family on the page has its HELP and its TYPE, and each series belongs to one."""
    with guard(config) as running:
        lines = running.page().splitlines()
    told = {kind: {line.split()[2] for line in lines if line.startswith(f"# {kind} ")} for kind in ("HELP", "TYPE")}
    series = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}

    assert told["HELP"] == told["TYPE"]
    assert set() == {name for name in series if not {name, re.sub(r"_(bucket|sum|count)$", "", name)} & told["TYPE"]}
    assert all(len(line.split()) > 3 for line in lines if line.startswith("# HELP"))


def test_reload(config: Path) -> None:
    """A changed file is put in force without asking; a wrong one is refused with its lines, the old one stays."""
    with guard(config) as running, Edge(running) as edge:
        before = running.ask("/status")["config"]
        config.write_text(CONFIG.replace("most = 2", "most = 50"))
        after = running.until(lambda found: found["config"] != before)["config"]
        edge.say(5)
        assert running.ask("/status")["actions"] == 0

        config.write_text(CONFIG.replace("most = 2", "most = nan"))
        running.until(lambda found: not found["reload"]["ok"])
        assert running.ask("/status")["config"] == after
        done = run("reload", "--admin", running.admin)
        assert done.returncode == 1
        assert "config.toml:7: thresholds.most: must be a finite number" in done.stderr

        config.write_text(CONFIG)
        running.until(lambda found: found["config"] == before)
        said = running.child.wait_line("thresholds.most 50.0 -> 2.0", 10)  # the log may reach us after the status
        assert said is not None, running.child.printed()


def test_record_and_replay(config: Path, tmp_path: Path) -> None:
    """What was recorded replays to the actions that went out."""
    recording, out = tmp_path / "recording.jsonl", tmp_path / "actions.jsonl"
    with guard(config, "--record", str(recording)) as running, Edge(running) as edge:
        edge.say(4, "one")
        sent = [edge.acted()]
        edge.say(4, "two")
        sent.append(edge.acted())
        running.child.stop()

    done = run("replay", str(recording), "--config", str(config), "--out", str(out))

    assert done.returncode == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == sent


def test_folder_is_taken(config: Path) -> None:
    """Two guards cannot share a folder: the second says who has it and exits with 3."""
    with guard(config) as running:
        second = run("serve", "--config", str(config), "--listen", "127.0.0.1:0", "--data", str(config.parent / "data"))

        assert second.returncode == 3
        assert f"pid {running.child.pid}" in second.stderr


def test_cannot_listen(config: Path) -> None:
    """An address in use, or one open to the world without a token, is a configuration error: exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        used = run(
            "serve", "--config", str(config), "--listen", f"127.0.0.1:{port}", "--data", str(config.parent / "d")
        )
    world = run("serve", "--config", str(config), "--listen", "0.0.0.0:0", "--data", str(config.parent / "d"))

    assert (used.returncode, world.returncode) == (1, 1)
    assert "listen.port: cannot listen on 127.0.0.1" in used.stderr
    assert "listen.host: 0.0.0.0 can be reached from outside" in world.stderr


def test_second_signal_ends_now(config: Path) -> None:
    """While an edge keeps it waiting, a second SIGTERM ends it at once."""
    with guard(config) as running, Edge(running):
        # This edge sends half a frame's bytes and is never heard of again: its close is waited for.
        os.kill(running.child.pid, signal.SIGSTOP)
        os.kill(running.child.pid, signal.SIGTERM)
        os.kill(running.child.pid, signal.SIGINT)
        os.kill(running.child.pid, signal.SIGCONT)

        assert waited(lambda: running.child.code, lambda code: code is not None) in {
            128 + signal.SIGINT,
            128 + signal.SIGTERM,
        }
