"""A guard in a process of its own: started, asked, signalled, killed, and started again at the same address."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Self

CHECKOUT = Path(__file__).resolve().parent.parent.parent
START_S = 60.0
"""Generous: the machine may be busy with other tests."""
WAIT_S = 60.0


class Guard:
    """`serve` as an operator runs it. It keeps its port over restarts; what it logs is in `guard.log`."""

    def __init__(
        self,
        folder: Path,
        config: Path,
        sets: Sequence[str] = (),
        *,
        record: Path | None = None,
        token: str | None = None,
        fds: int | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.sets = sets
        self.record = record
        self.token = token
        self.fds = fds
        self.port = 0
        self.url = self.admin = self.version = ""
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def start(self) -> None:
        """Start it and wait for the line that says where it listens."""
        arguments = ["--config", str(self.config), "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data)]
        for setting in ("admin.port=0", *self.sets):
            arguments += ["--set", setting]
        if self.record is not None:
            arguments += ["--record", str(self.record)]
        command = [sys.executable, "-m", "roomguard", "serve", *arguments]
        self._log = (self.folder / "guard.log").open("a", encoding="utf-8")
        self._process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.match(r"roomguard edge=(wss?://[^ ]+:(\d+)) admin=([^ ]+) config=(\w+) ", line)
        if not found:
            self.end(signal.SIGKILL)
            raise AssertionError(f"serve said {line!r}\n{self.log()[-3_000:]}")
        self.url, self.port, self.admin, self.version = found[1], int(found[2]), found[3], found[4]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self.folder / "guard.log").read_text(encoding="utf-8")

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends it; its exit code once it ended."""
        self.tell(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit code once it ended."""
        assert self._process is not None
        assert self._log is not None
        code = self._process.wait(WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        self._process = None
        return code

    # What it says of itself

    def ask(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return bytes(error.read())

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.ask("/status")))

    def metrics(self) -> dict[str, float]:
        """Every series of /metrics by its name, labels included."""
        found = {}
        for line in self.ask("/metrics").decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def count(self, name: str) -> float:
        """One series of /metrics, 0 while nothing was counted under it."""
        return self.metrics().get(name, 0.0)

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The status, once something holds of it."""
        found: dict[str, Any] = {}

        def held() -> bool:
            found.update(self.status())
            return holds(found)

        wait_for(held)
        return found

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


def wait_for(holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Until something holds of another process, which can only be asked again and again."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never held: {holds}"
        time.sleep(0.02)  # a process on the real clock tells nothing by itself, so it is asked again


def roomguard(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line."""
    command = [sys.executable, "-m", "roomguard", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=1_200)


def by_room(actions: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Actions of each room in order, without their place on the bus."""
    rooms: dict[str, list[dict[str, Any]]] = {}
    for action in actions:
        rooms.setdefault(action["room"], []).append({key: action[key] for key in action if key != "offset"})
    return rooms


def replayed(recording: Path, config: Path, sets: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """The actions of each room that `replay` takes on a recording."""
    out = recording.with_suffix(".actions")
    flags = [flag for setting in sets for flag in ("--set", setting)]
    done = roomguard("replay", str(recording), "--config", str(config), "--out", str(out), *flags)
    assert done.returncode == 0, done.stderr
    with out.open(encoding="utf-8") as lines:
        return by_room(json.loads(line) for line in lines)
