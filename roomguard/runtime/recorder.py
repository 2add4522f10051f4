"""`--record FILE`: what the rooms took, one line each, for replay.

A recording is whole up to some moment or it is worth nothing: where the disk cannot keep up or fails, recording ends
there, loudly, with whole lines, and judging goes on. It never waits for the disk.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import attrs
import trio

log = logging.getLogger(__name__)


@attrs.frozen
class RecorderStatistics:
    """The recording so far."""

    lines: int
    """Lines taken."""
    bytes: int
    """Bytes on their way or in the file."""
    waiting_bytes: int
    lost: int
    """Lines not recorded, all of them after the recording ended early."""
    stopped: bool
    """Whether the recording ended early."""


class Recorder:
    """Appends lines to one file from a thread. `run` must be running; `aclose` writes what waits and syncs it.

    At most `max_bytes` wait in memory; more means that the disk cannot keep up, and ends the recording.
    """

    def __init__(self, path: Path, max_bytes: int = 64 * 2**20) -> None:
        """Open the file, made if it is missing; a line that a crash cut off at its end is removed.

        Raises:
            OSError: it cannot be written.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._size = _drop_torn_line(self._fd, path)
        except BaseException:
            os.close(self._fd)
            raise
        self._limiter = trio.CapacityLimiter(1)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._arrival = trio.Event()
        self._lines = self._bytes = self._lost = 0
        self._stopped: str | None = None
        self._closed = False

    @property
    def stopped(self) -> str | None:
        """Why the recording ended early, None if it did not."""
        return self._stopped

    def write(self, line: bytes) -> None:
        """Take one line, without its newline. Never waits, never raises; counted as lost once the recording ended."""
        if self._stopped is not None or self._closed:
            self._lost += 1
            return
        if self._waiting_bytes + len(line) + 1 > self._max_bytes:
            self._lost += 1
            self._stop(f"the disk does not keep up, {self._waiting_bytes} bytes wait")
            return
        self._lines += 1
        self._bytes += len(line) + 1
        self._waiting_bytes += len(line) + 1
        self._waiting.append(line)
        if len(self._waiting) == 1:
            self._arrival.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what comes until cancelled, a batch at a time."""
        task_status.started()
        while True:
            self._arrival = trio.Event()
            if not self._waiting:
                await self._arrival.wait()
            await self._flush()
            await trio.sleep(0.05)  # gathers: nobody waits for a recording

    async def aclose(self) -> None:
        """Write what waits, sync the file and close it. Call it when `run` has ended."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            await self._flush()
            await trio.to_thread.run_sync(self._finish, limiter=self._limiter)

    def statistics(self) -> RecorderStatistics:
        """How it stands."""
        return RecorderStatistics(
            lines=self._lines,
            bytes=self._bytes,
            waiting_bytes=self._waiting_bytes,
            lost=self._lost,
            stopped=self._stopped is not None,
        )

    async def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        size = sum(map(len, lines)) + len(lines)
        try:
            await trio.to_thread.run_sync(partial(self._append, lines), limiter=self._limiter)
        except OSError as error:
            self._lost += len(lines) + len(self._waiting)
            self._waiting.clear()
            self._stop(str(error))
        self._waiting_bytes -= size
        if not self._waiting:
            self._waiting_bytes = 0

    def _append(self, lines: list[bytes]) -> None:
        """In the thread. A batch that cannot be written whole is taken back, so that no half line stays."""
        data = memoryview(b"\n".join(lines) + b"\n")
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += written

    def _finish(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._stop(str(error))
        finally:
            os.close(self._fd)

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        log.error("recording to %s ended early, the file holds what came before: %s", self._path, why)


def _drop_torn_line(fd: int, path: Path) -> int:
    """The size of the file once what stands behind its last newline is cut off."""
    size = end = os.fstat(fd).st_size
    while end:
        begin = max(0, end - 65_536)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        end = begin
        if found >= 0:
            end = begin + found + 1
            break
    if end != size:
        log.warning("%s ended in the middle of a line; %d bytes of it were removed", path, size - end)
        os.ftruncate(fd, end)
    return end
