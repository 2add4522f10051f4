"""The files beside the journal: the lock, the reserve, and the mark of what was acknowledged."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from roomguard.errors import JournalError

_LOCK_POLL_S = 0.02


class DirectoryLock:
    """Holds a data folder for one process; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path, patience_s: float = 0.0, holder: int | None = None) -> None:
        """Take the lock, waiting for it up to `patience_s` seconds.

        `holder` is the process others are told of, ours if it is None.

        Raises:
            JournalError: another process has it; the message names it.
        """
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._take(patience_s):
            other = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise JournalError(f"{folder} is in use by another roomguard process (pid {other})")
        with suppress(OSError):  # the number is only for that message; a full disk must not keep us from starting
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % (holder or os.getpid()), 0)

    def _take(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_LOCK_POLL_S)  # flock waits for ever or not at all, so it is asked again
            else:
                return True

    def release(self) -> None:
        """Give the folder back; the file stays."""
        os.close(self._fd)


class Reserve:
    """Disk space kept in a file, to be given back when the disk is full.

    Without it a full disk could not even take the deletes that make room: SQLite writes them to its log first.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the space is set aside now."""
        return self._path.exists()

    def take(self) -> bool:
        """Set the space aside if it is not and twice of it is free; False where that is not so."""
        if not self._size or self.held:
            return True
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < 2 * self._size:
            return False
        part = self._path.with_suffix(".part")
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
            part.rename(self._path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            return False
        return True

    def give(self) -> bool:
        """Give the space back to the disk; False if there was none."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


class Mark:
    """How many commits were acknowledged, kept outside of SQLite.

    SQLite takes a damaged or missing write-ahead log for the end of the log and starts without the rest of it, which
    would be a silent loss of what was acknowledged. The mark is written after each commit and never synced, so it can
    be behind the journal, but never ahead of it; a journal that is behind its mark has lost something.
    Two slots in turn, so that a torn write leaves the other.
    """

    _SLOT = struct.Struct("<QI")
    _DISTANCE = 512

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, 2 * self._DISTANCE)  # so that a full disk never stops a mark

    def read(self) -> int:
        """The newest count that can be read, 0 if none."""
        return max(self._slot(0), self._slot(1))

    def write(self, count: int) -> None:
        """Note that `count` commits are acknowledged."""
        body = struct.pack("<Q", count)
        os.pwrite(self._fd, self._SLOT.pack(count, crc32(body)), self._DISTANCE * (count & 1))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _slot(self, index: int) -> int:
        data = os.pread(self._fd, self._SLOT.size, self._DISTANCE * index)
        if len(data) < self._SLOT.size:
            return 0
        count, crc = self._SLOT.unpack(data)
        return int(count) if crc32(data[:8]) == crc else 0
