"""Processes that a verb starts: their output is kept, and they never outlive the verb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import click

START_S = 30.0
"""The guard says where it listens within this, or it is given up."""
STOP_S = 15.0
"""A process asked to end does so within this, or it is killed."""
LAST_LINES = 200
"""Lines kept of what a process says; older ones are forgotten."""
LISTENING = "edge="
"""In the line that says where the guard listens."""


class Child:
    """A process whose output (both streams) is read by a thread, the last lines kept."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
        )
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def lines(self) -> list[str]:
        """The last lines it said."""
        with self._news:
            return list(self._lines)

    def printed(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines())

    def wait_line(self, mark: str, timeout: float) -> str | None:
        """The first line with `mark` in it; None if it ends or takes longer than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                found = next((line for line in self._lines if mark in line), None)
                left = deadline - time.monotonic()
                if found or left <= 0 or not self._reader.is_alive():
                    return found
                self._news.wait(min(left, 0.5))

    def stop(self) -> int:
        """Ask it to end, wait, and kill it if it does not; its exit code."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 -- asked for above
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.rstrip())
                self._news.notify_all()


@contextmanager
def serving(arguments: Sequence[str]) -> Iterator[tuple[Child, str]]:
    """`roomguard serve` with these arguments; gives it and the address for edges once it listens.

    Raises ClickException with what it printed if it does not come up.
    """
    with Child([sys.executable, "-m", "roomguard", "serve", *arguments]) as guard:
        line = guard.wait_line(LISTENING, START_S)
        if line is None:
            raise click.ClickException(f"the guard did not start:\n{guard.printed()}")
        yield guard, field(line, "edge")


def field(line: str, name: str) -> str:
    """A `name=value` of the line that says where the guard listens, "" if it is not there."""
    return next((word.partition("=")[2] for word in line.split() if word.startswith(f"{name}=")), "")
