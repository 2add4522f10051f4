"""The client on the protocol page, taken out of the page, against a guard in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import blocks

DEADLINE_S = 20.0


class Guard:
    """`serve` on loopback with the configuration of the concepts page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        (toml,) = blocks("concepts.md", "toml")
        (folder / "config.toml").write_text(toml, encoding="utf-8")

    def start(self) -> None:
        flags = ["--config", str(self.folder / "config.toml"), "--data", str(self.folder / "data")]
        flags += ["--listen", f"127.0.0.1:{self.port}", "--set", "admin.port=0", "--log-level", "error"]
        command = [sys.executable, "-m", "roomguard", "serve", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"edge=ws://127\.0\.0\.1:(\d+)", line)
        assert found, f"serve said {line!r}"
        self.port = int(found[1])

    def stop(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    guard = Guard(tmp_path)
    guard.start()
    yield guard
    if guard.process is not None:
        guard.stop(signal.SIGKILL)


def new_edge(guard: Guard, actions: list[dict[str, Any]]) -> Any:
    namespace: dict[str, Any] = {}
    (source,) = blocks("protocol.md", "python")
    exec(source, namespace)

    async def enforce(action: dict[str, Any]) -> None:
        actions.append(action)

    edge = namespace["Edge"](f"ws://127.0.0.1:{guard.port}", "docs", enforce)
    edge.pause = 0.05
    return edge


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


def chat(number: int) -> dict[str, Any]:
    return {
        "kind": "chat",
        "id": f"m-{number}",
        "room": "anna-live",
        "user": "ben",
        "ts": time.time(),
        "text": "cheap coins at coins dot example",
    }


@pytest.mark.slow
def test_the_client_of_the_page_sends_enforces_and_comes_back(guard: Guard) -> None:
    """The story of the concepts page happens, each action is enforced once, and a killed guard loses nothing."""
    actions: list[dict[str, Any]] = []

    async def afternoon() -> None:
        edge = new_edge(guard, actions)
        running = asyncio.create_task(edge.run())
        try:
            for number in range(1, 6):
                await edge.send([chat(number)])
            await until(lambda: any(action["kind"] == "mute" for action in actions) and not edge.unacked)
            await asyncio.to_thread(guard.stop, signal.SIGKILL)
            sending = asyncio.create_task(edge.send([chat(6)]))
            await asyncio.to_thread(guard.start)
            await asyncio.wait_for(sending, DEADLINE_S)
            await until(lambda: not edge.unacked)
            assert await asyncio.to_thread(guard.stop, signal.SIGTERM) == 0
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(afternoon())

    assert [action["kind"] for action in actions] == ["delete", "warn", "mute", "delete"]
    assert len({action["id"] for action in actions}) == len(actions)
    assert [action["offset"] for action in actions] == sorted(action["offset"] for action in actions)
