"""The archive without its threads, so that the autojump clock knows when everybody waits; SQLite stays the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from roomguard.runtime.archive import Archive
from roomguard.runtime.bus import ActionBus
from roomguard.store.journal import Journal
from roomguard.store.settings import BusSettings
from tests.store.building import NOW


class InlineArchive(Archive):
    """Calls of the writing thread can be held back, as a slow disk would, and made to fail, as a broken one would."""

    def __init__(self, journal: Journal, settings: BusSettings, wall: Callable[[], float]) -> None:
        super().__init__(journal, settings, wall)
        self.faults: list[Exception] = []
        """Raised, one a call, instead of writing."""
        self.writes = 0
        self._free = trio.Event()
        self._free.set()

    def hold(self) -> None:
        """The disk takes its time from now on."""
        if self._free.is_set():
            self._free = trio.Event()

    def release(self) -> None:
        """The disk answers again."""
        self._free.set()

    async def in_writer(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Write at once, unless held or failing."""
        await trio.lowlevel.checkpoint()
        self.writes += 1
        with trio.CancelScope(shield=True):
            await self._free.wait()
        if self.faults:
            raise self.faults.pop(0)
        return work(*args, **kwargs)

    async def in_reader(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Read at once."""
        await trio.lowlevel.checkpoint()
        return work(*args, **kwargs)


class Bench:
    """A bus on a journal of its own, whose wall clock runs with trio's and begins at NOW or `later_s` seconds later."""

    def __init__(self, folder: Path, later_s: float = 0.0, **changes: Any) -> None:
        self.settings = BusSettings(data_dir=str(folder), reserve_bytes=0, **changes)
        self.journal = Journal(self.settings)
        began = trio.current_time() - later_s
        self.archive = InlineArchive(self.journal, self.settings, lambda: NOW + trio.current_time() - began)
        self.bus = ActionBus(self.archive, self.settings)

    async def start(self, nursery: trio.Nursery) -> ActionBus:
        """Let it run in `nursery`."""
        await nursery.start(self.bus.run)
        return self.bus

    def close(self) -> None:
        """Let go of the folder."""
        self.journal.close()
