"""The guard as a process: starting and stopping our own, and reading what it costs from /proc."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import attrs

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
LAST_LINES = 60


class GuardFailed(Exception):
    """The guard did not start, or ended by itself."""


@attrs.frozen
class Usage:
    """What a process and its children have used: CPU seconds so far, resident bytes now."""

    cpu: float
    rss: int


def children(pid: int) -> list[int]:
    """The living children of a process, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def usage(pid: int) -> Usage | None:
    """What `pid` and its living children have used; None once it is gone. CPU in steps of 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        below = [usage(child) for child in children(pid)]
    except (OSError, ValueError, IndexError):
        return None
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    rss = pages * os.sysconf("SC_PAGE_SIZE")
    return Usage(cpu + sum(one.cpu for one in below if one), rss + sum(one.rss for one in below if one))


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Our environment with settings of a guard in it: `listen.port` becomes ROOMGUARD_LISTEN__PORT.

    Its admin port is any free one, so that it gets along with a guard that runs already. It runs on our interpreter,
    which has all it needs, so it must not go and make an environment of its own.
    """
    named = {"admin.port": "0", "no_bootstrap": "1", **settings}
    return {**os.environ, **{f"ROOMGUARD_{key.upper().replace('.', '__')}": value for key, value in named.items()}}


class GuardProcess:
    """`roomguard serve` as a child. It speaks to us only through its socket and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: TextIO | None) -> None:
        self.url = url
        self.pid = process.pid
        self._process = process
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._log = log
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        config: Path | None,
        data: Path,
        *,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
        pin: bool = False,
    ) -> GuardProcess:
        """Start it and wait until it says where it listens.

        `settings` stand above its file; what it prints goes to `log`, too.

        Raises:
            GuardFailed: it ended or said nothing of the kind within half a minute; carries what it printed.
        """
        port = free_port()
        command = [sys.executable, "-m", "roomguard", "serve", "--listen", f"127.0.0.1:{port}", "--data", str(data)]
        if config is not None:
            command += ["--config", str(config)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(settings or {}),
        )
        if pin:
            os.sched_setaffinity(process.pid, {0})
        guard = cls(process, f"ws://127.0.0.1:{port}", log.open("w", encoding="utf-8") if log else None)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await guard._listening(f":{port}")
        except TimeoutError as error:
            await guard.stop()
            raise GuardFailed(f"the guard did not say where it listens:\n{guard.printed()}") from error
        except GuardFailed:
            await guard.stop()
            raise
        guard._reader = asyncio.get_running_loop().create_task(guard._read())
        return guard

    async def _listening(self, mark: str) -> None:
        while line := await self._line():
            if mark in line:
                return
        raise GuardFailed(f"the guard ended before it listened:\n{self.printed()}")

    async def _line(self) -> str:
        """One printed line, empty at the end. Very long lines come in pieces."""
        if self._process.stdout is None:
            return ""
        try:
            raw = await self._process.stdout.readuntil()
        except asyncio.IncompleteReadError as error:
            raw = error.partial
        except asyncio.LimitOverrunError as error:
            raw = await self._process.stdout.read(error.consumed)
        line = raw.decode(errors="replace")
        if line:
            self._lines.append(line.rstrip())
            if self._log is not None:
                self._log.write(line)
        return line

    async def _read(self) -> None:
        """Keep reading, so that a talkative guard never blocks on its pipe."""
        while await self._line():
            pass

    def printed(self) -> str:
        """The last lines it printed."""
        return "\n".join(self._lines)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.returncode

    async def stop(self) -> int | None:
        """SIGTERM, and SIGKILL if it has not ended within a quarter of a minute. Its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader
        if self._log is not None:
            self._log.close()
        return self._process.returncode
