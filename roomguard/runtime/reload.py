"""Live reload: a new configuration is validated first and only then put in the place of the old one.

A reload is asked for by a change of the file, a signal or the admin API; however many ask at once, they are served one
after another. What cannot be loaded changes nothing: the old configuration goes on and the report says why. This
module does not know what a configuration is; it is given how to load, compare and apply one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import attrs
import trio
from watchfiles import awatch

from roomguard.errors import ConfigError

logger = logging.getLogger("roomguard.reload")

SETTLE_S = 0.1
"""A file must look the same twice this far apart before it is read: an editor may be in the middle of writing it."""
SETTLE_MOST_S = 5.0
"""A file that never comes to rest is read after this."""
LOOK_MS = 1_000
"""The file is looked at this often without any notice, milliseconds: some file systems send none, and none tells of
a link further up that was turned."""
RETRY_S = 5.0
"""Pause before a directory that could not be watched is tried again; the file is looked at then, too."""


class Change(Protocol):
    """One setting that differs between two configurations."""

    @property
    def restart(self) -> bool:
        """Whether it takes effect only after a restart."""
        ...


T = TypeVar("T")
Fingerprint = tuple[int, ...] | None


@attrs.frozen
class Report:
    """What came of one reload."""

    ok: bool
    why: str
    """Who asked for it."""
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    """Changes that wait for a restart; the others are in force."""
    problems: tuple[str, ...] = ()


@attrs.frozen
class ReloadStatistics:
    """For metrics and status: how reloading has gone so far. Times are Unix seconds."""

    loaded: int
    refused: int
    last_ok: bool
    last_success: float


@attrs.define(eq=False)
class Reloader(Generic[T]):
    """Keeps the configuration in force and replaces it when asked to."""

    current: T
    load: Callable[[], T]
    """Reads and validates, in a thread; raises ConfigError."""
    compare: Callable[[T, T], Sequence[Change]]
    """Old and new to what differs."""
    apply: Callable[[T], Awaitable[None]]
    """Puts a valid configuration in force; atomic for each room."""
    file: Path | None = None
    """Watched while `run` runs; None where there is no file."""
    wall: Callable[[], float] = time.time
    last: Report | None = None
    _loaded: int = 0
    _refused: int = 0
    _success: float = attrs.field(init=False)
    _asked: trio.Event = attrs.field(factory=trio.Event)
    _why: str = ""
    _turn: trio.Lock = attrs.field(factory=trio.Lock)
    _seen: Fingerprint = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """The configuration we were given counts as the first success, its file as seen."""
        self._success = self.wall()
        self._seen = fingerprint(self.file)

    def statistics(self) -> ReloadStatistics:
        """How reloading has gone so far."""
        last_ok = self.last is None or self.last.ok
        return ReloadStatistics(self._loaded, self._refused, last_ok, self._success)

    def request(self, why: str) -> None:
        """Ask for a reload without waiting for it; requests that come while one waits are one."""
        self._why = why
        self._asked.set()

    async def run(self) -> None:
        """Serve requests and watch the file until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.file is not None:
                nursery.start_soon(self._watch, self.file)
            while True:
                await self._asked.wait()
                self._asked = trio.Event()
                await self.reload(self._why)

    async def reload(self, why: str) -> Report:
        """Load, validate and apply. Returns what came of it; a bad configuration is a report, no exception."""
        async with self._turn:
            self._seen = fingerprint(self.file)
            new, problems = await trio.to_thread.run_sync(self._attempt)
            if new is None:
                return self._refuse(why, problems)
            changes = self.compare(self.current, new)
            await self.apply(new)
            self.current = new
            return self._accept(why, changes)

    def _attempt(self) -> tuple[T | None, tuple[str, ...]]:
        """A new configuration, or None and what is wrong with it.

        An exception that left the thread would form a cycle with its way out, and hold all that was loaded by then.
        """
        try:
            return self.load(), ()
        except ConfigError as error:
            return None, tuple(str(problem) for problem in error.problems)

    def _accept(self, why: str, changes: Sequence[Change]) -> Report:
        waiting = tuple(str(change) for change in changes if change.restart)
        changed = tuple(str(change) for change in changes if not change.restart)
        self.last = Report(ok=True, why=why, changed=changed, restart=waiting)
        self._loaded += 1
        self._success = self.wall()
        logger.info("configuration loaded (%s): %s", why, "; ".join(changed) or "nothing judges differently")
        if waiting:
            logger.warning("in force only after a restart: %s", "; ".join(waiting))
        return self.last

    def _refuse(self, why: str, problems: tuple[str, ...]) -> Report:
        self.last = Report(ok=False, why=why, problems=problems)
        self._refused += 1
        logger.error("configuration refused (%s), the one before stays in force: %s", why, "; ".join(problems[:20]))
        return self.last

    async def _watch(self, file: Path) -> None:
        """Ask for a reload whenever the file has become another one: renamed over, rewritten, its link turned."""
        while True:
            try:
                await self._follow(file)
            except (OSError, RuntimeError) as error:  # the directory went away, or the system has no watches left
                logger.warning("cannot watch %s, looking again in %g s: %s", file, RETRY_S, error)
                await trio.sleep(RETRY_S)
            await self._look(file)

    async def _follow(self, file: Path) -> None:
        """Look at each change in the file's folders; return when the file has come to live in another one."""
        folders = _folders(file)
        async with _stopping() as stop:
            changes = awatch(
                *folders,
                watch_filter=None,  # a link that is turned has any name; looking costs no more than asking for one
                debounce=100,
                stop_event=stop,
                recursive=False,
                rust_timeout=LOOK_MS,
                yield_on_timeout=True,
            )
            async with aclosing(changes):
                async for _ in changes:
                    await self._look(file)
                    if _folders(file) != folders:
                        return

    async def _look(self, file: Path) -> None:
        """If the file differs from what was read last, wait until it is at rest and ask for a reload."""
        now = fingerprint(file)
        if now == self._seen:
            return
        if now is None:
            self._seen = None
            logger.warning("%s is gone; the configuration stays in force", file)
            return
        with trio.move_on_after(SETTLE_MOST_S):
            while True:
                before = now
                await trio.sleep(SETTLE_S)
                now = fingerprint(file)
                if now == before:
                    break
        if now != self._seen and now is not None:
            self._seen = now
            self.request(f"{file.name} changed")


def fingerprint(file: Path | None) -> Fingerprint:
    """What tells one state of a file from another without reading it; None if it is not there."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _folders(file: Path) -> list[Path]:
    """Where changes show: the folder of the name, and that of the file it leads to, where links are used."""
    return sorted({file.absolute().parent, file.resolve().parent})


@asynccontextmanager
async def _stopping() -> AsyncIterator[trio.Event]:
    """An event that is set as soon as we are cancelled: the watching thread looks at nothing else."""
    stop = trio.Event()

    async def when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(when_cancelled)
        yield stop
        nursery.cancel_scope.cancel()
