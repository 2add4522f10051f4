"""What is on disk, from the event loop: a process of its own writes, one thread reads and packs what is large."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import trio

from roomguard.errors import JournalError, JournalFailed
from roomguard.model.actions import Action
from roomguard.store.reader import JournalReader, Page
from roomguard.store.records import Draft
from roomguard.store.settings import BusSettings

P = ParamSpec("P")
T = TypeVar("T")


class Writer(Protocol):
    """Whoever writes the journal: what is asked of it is done in order, each thing whole, cancelled or not.

    JournalStalled says that the disk is full and that it may be tried again, JournalFailed that it failed. The offsets
    are those after the last thing done.
    """

    @property
    def first_offset(self) -> int:
        """See `Journal.first_offset`."""
        ...

    @property
    def last_offset(self) -> int:
        """See `Journal.last_offset`."""
        ...

    def append(
        self,
        drafts: Sequence[Draft],
        wall: float,
        acks: Mapping[str, int],
        ended: Collection[str],
        done: Callable[[list[int] | JournalError], None],
    ) -> None:
        """See `Journal.append`; `done` gets what it returned or raised, from `poll` or from a task of the writer's."""

    def poll(self) -> None:
        """Take in what has been answered by now, without waiting."""

    async def save_snapshots(self, snapshots: Mapping[str, bytes], wall: float) -> None:
        """See `Journal.save_snapshots`."""

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        """See `Journal.drop_snapshots`."""

    async def prune(self, now: float) -> bool:
        """See `Journal.prune`."""
        ...

    async def wait_ended(self) -> JournalFailed:
        """Until nothing can be written any more; returns why."""
        ...


class Archive:
    """What is on disk, for rooms, consumers and operators. Reading methods raise as `JournalReader` does.

    `wall` gives Unix seconds.
    """

    def __init__(
        self, writer: Writer, reader: JournalReader, settings: BusSettings, wall: Callable[[], float] = time.time
    ) -> None:
        self.writer = writer
        self.reader = reader
        """To be used in `in_reader` only."""
        self.wall = wall
        self._settings = settings
        self._reading = trio.CapacityLimiter(1)
        self._snapshots = reader.snapshot_rooms()

    async def read(self, after: int, limit: int, rooms: Collection[str] | None = None) -> Page:
        """See `JournalReader.page`."""
        return await self.in_reader(self.reader.page, after, limit, rooms)

    async def penalties_in_force(self) -> list[Action]:
        """Mutes, kicks and restricts to rebuild rooms with after a restart, in offset order."""
        open_kick_s = self._settings.open_kick_s

        def find() -> list[Action]:
            found = self.reader.penalties_in_force(self.wall(), open_kick_s)
            return [stored.action() for stored in found]

        return await self.in_reader(find)

    async def find(self, action_id: str) -> Action | None:
        """The action of this id, None if there is none on disk."""
        stored = await self.in_reader(self.reader.action, action_id)
        return None if stored is None else stored.action()

    async def find_by_rule(self, rule: str, since: float, limit: int) -> list[Action]:
        """The oldest `limit` actions of a rule from room time `since` on that can be and are not yet undone."""
        found = await self.in_reader(self.reader.by_rule, rule, since, limit)
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
        with trio.CancelScope(shield=True):  # a guard on its way out saves its rooms
            packed = await self.in_reader(_packed, snapshots)
        await self.writer.save_snapshots(packed, self.wall())
        self._snapshots.update(snapshots)

    async def load_snapshot(self, room: str) -> bytes | None:
        """What was put aside for this room, None if nothing was or it has been dropped since."""

        def find() -> bytes | None:
            packed = self.reader.snapshot(room)
            return None if packed is None else _unpacked(room, packed)

        return await self.in_reader(find)

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        """Forget what was put aside for these rooms. Raises as `save_snapshots` does."""
        await self.writer.drop_snapshots(rooms)
        self._snapshots.difference_update(rooms)

    async def prune(self) -> None:
        """Drop what is too old or too much, a little at a time. Raises as `save_snapshots` does."""
        more = True
        while more:
            more = await self.writer.prune(self.wall())
            await trio.sleep(0.01)  # lets a commit go first
        self._snapshots = await self.in_reader(self.reader.snapshot_rooms)

    async def in_reader(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the reading thread, one after the other."""
        return await trio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._reading)


def _packed(snapshots: Mapping[str, bytes]) -> dict[str, bytes]:
    """Snapshots as they lie on disk, a quarter as large.

    The nine megabytes of a room of twenty thousand users took the journal 110 ms, and what had to be committed then
    waited behind them; packed they take 25.
    """
    return {room: zlib.compress(data, level=1) for room, data in snapshots.items()}


def _unpacked(room: str, packed: bytes) -> bytes:
    """What was packed; a journal of before has snapshots that never were.

    Raises:
        JournalError: it is neither.
    """
    if packed.startswith(b"{"):
        return packed
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise JournalError(f"the snapshot of room {room!r} is damaged: {error}") from error
