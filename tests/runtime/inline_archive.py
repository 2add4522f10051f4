"""The archive without process and thread, so that the autojump clock knows when all wait; SQLite stays the real one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from roomguard.errors import JournalError, JournalFailed
from roomguard.runtime.archive import Archive
from roomguard.runtime.bus import ActionBus
from roomguard.store.journal import Journal
from roomguard.store.records import Draft
from roomguard.store.settings import BusSettings
from tests.store.building import NOW


class InlineWriter:
    """Writes at once. It can be held back, as a slow disk would, made to fail, as a broken one would, and to end."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.faults: list[Exception] = []
        """Raised, one a call, instead of writing."""
        self.asked = 0
        self.writes = 0
        self._free = trio.Event()
        self._free.set()
        self._ended = trio.Event()

    def hold(self) -> None:
        """The disk takes its time from now on."""
        if self._free.is_set():
            self._free = trio.Event()

    def release(self) -> None:
        """The disk answers again."""
        self._free.set()

    def end(self) -> None:
        """Nothing can be written any more."""
        self._ended.set()

    @property
    def first_offset(self) -> int:
        return self.journal.first_offset

    @property
    def last_offset(self) -> int:
        return self.journal.last_offset

    def append(
        self,
        drafts: Sequence[Draft],
        wall: float,
        acks: Mapping[str, int],
        ended: Collection[str],
        done: Callable[[list[int] | JournalError], None],
    ) -> None:
        self.asked += 1
        trio.lowlevel.spawn_system_task(self._append, partial(self.journal.append, drafts, wall, acks, ended), done)

    async def _append(self, append: Callable[[], list[int]], done: Callable[[list[int] | JournalError], None]) -> None:
        try:
            await self._turn()
            offsets = append()
        except JournalError as error:
            done(error)
        else:
            done(offsets)

    def poll(self) -> None:
        """Answers come by themselves."""

    async def save_snapshots(self, snapshots: Mapping[str, bytes], wall: float) -> None:
        await self._turn()
        self.journal.save_snapshots(snapshots, wall)

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        await self._turn()
        self.journal.drop_snapshots(rooms)

    async def prune(self, now: float) -> bool:
        await self._turn()
        return self.journal.prune(now)

    async def wait_ended(self) -> JournalFailed:
        await self._ended.wait()
        return JournalFailed("the journal's process ended")

    async def _turn(self) -> None:
        await trio.lowlevel.checkpoint()
        self.writes += 1
        with trio.CancelScope(shield=True):
            await self._free.wait()
        if self.faults:
            raise self.faults.pop(0)


class InlineArchive(Archive):
    """Reads at once."""

    async def in_reader(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*args, **kwargs)


class Bench:
    """A bus on a journal of its own, whose wall clock runs with trio's and begins at NOW or `later_s` seconds later."""

    def __init__(self, folder: Path, later_s: float = 0.0, **changes: Any) -> None:
        self.settings = BusSettings(data_dir=str(folder), reserve_bytes=0, **changes)
        self.journal = Journal(self.settings)
        began = trio.current_time() - later_s
        self.writer = InlineWriter(self.journal)
        self.archive = InlineArchive(
            self.writer, self.journal.reader, self.settings, lambda: NOW + trio.current_time() - began
        )
        self.bus = ActionBus(self.archive, self.settings)

    async def start(self, nursery: trio.Nursery) -> ActionBus:
        """Let it run in `nursery`."""
        await nursery.start(self.bus.run)
        return self.bus

    def close(self) -> None:
        """Let go of the folder."""
        self.journal.close()
