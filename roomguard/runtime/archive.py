"""The journal from the event loop: one thread writes, another one reads, neither is ever cut off half way.

A call that has begun is finished even where its task is cancelled: nobody would know whether a commit was done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import ParamSpec, TypeVar

import trio

from roomguard.model.actions import Action
from roomguard.store.journal import Journal
from roomguard.store.reader import Page
from roomguard.store.settings import BusSettings

P = ParamSpec("P")
T = TypeVar("T")


class Archive:
    """What is on disk, for rooms, consumers and operators. Reading methods raise as `JournalReader` does.

    `wall` gives Unix seconds.
    """

    def __init__(self, journal: Journal, settings: BusSettings, wall: Callable[[], float] = time.time) -> None:
        self.journal = journal
        self.wall = wall
        self._settings = settings
        self._writer = trio.CapacityLimiter(1)
        self._reader = trio.CapacityLimiter(1)
        self._snapshots = journal.reader.snapshot_rooms()

    async def read(self, after: int, limit: int, rooms: Collection[str] | None = None) -> Page:
        """See `JournalReader.page`."""
        return await self.in_reader(self.journal.reader.page, after, limit, rooms)

    async def penalties_in_force(self) -> list[Action]:
        """Mutes, kicks and restricts to rebuild rooms with after a restart, in offset order."""
        open_kick_s = self._settings.open_kick_s

        def find() -> list[Action]:
            found = self.journal.reader.penalties_in_force(self.wall(), open_kick_s)
            return [stored.action() for stored in found]

        return await self.in_reader(find)

    async def find(self, action_id: str) -> Action | None:
        """The action of this id, None if there is none on disk."""
        stored = await self.in_reader(self.journal.reader.action, action_id)
        return None if stored is None else stored.action()

    async def find_by_rule(self, rule: str, since: float, limit: int) -> list[Action]:
        """The oldest `limit` actions of a rule from room time `since` on that can be and are not yet undone."""
        found = await self.in_reader(self.journal.reader.by_rule, rule, since, limit)
        return [stored.action() for stored in found]

    def has_snapshot(self, room: str) -> bool:
        """Whether something was put aside for this room; costs no disk access."""
        return room in self._snapshots

    async def save_snapshots(self, snapshots: Mapping[str, bytes]) -> None:
        """Put rooms aside durably, each in place of what was there before.

        Raises:
            JournalStalled: the disk is full; keep the rooms and try again later.
            JournalFailed: the disk failed.
        """
        await self.in_writer(self.journal.save_snapshots, dict(snapshots), self.wall())
        self._snapshots.update(snapshots)

    async def load_snapshot(self, room: str) -> bytes | None:
        """What was put aside for this room, None if nothing was or it has been dropped since."""
        return await self.in_reader(self.journal.reader.snapshot, room)

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        """Forget what was put aside for these rooms. Raises as `save_snapshots` does."""
        await self.in_writer(self.journal.drop_snapshots, list(rooms))
        self._snapshots.difference_update(rooms)

    async def prune(self) -> None:
        """Drop what is too old or too much, a little at a time. Raises as `save_snapshots` does."""
        more = True
        while more:
            more = await self.in_writer(self.journal.prune, self.wall())
            await trio.sleep(0.01)  # lets a commit go first
        self._snapshots = await self.in_reader(self.journal.reader.snapshot_rooms)

    async def in_writer(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the writing thread, after what was asked of it before."""
        return await trio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._writer)

    async def in_reader(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the reading thread."""
        return await trio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._reader)
