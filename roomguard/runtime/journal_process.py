"""The journal from the event loop: requests to its own process, one at a time, none ever cut off half way.

A request that has begun is finished even where its task is cancelled: nobody would know whether a commit was done.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import cast

import attrs
import trio

from roomguard.errors import JournalError, JournalFailed
from roomguard.store.records import Draft
from roomguard.store.requests import (
    LENGTH,
    Append,
    Close,
    Done,
    DropSnapshots,
    Open,
    Prune,
    Reply,
    Request,
    SaveSnapshots,
    framed,
    reply_decoder,
)
from roomguard.store.settings import BusSettings

CLOSE_S = 30.0
"""How long a journal that was told to close may take to fold its log before its process is killed: nothing is lost."""
_READ_BYTES = 65_536


class JournalProcess:
    """The one that writes. Made by `open`; to be closed with `aclose`."""

    def __init__(self, process: trio.Process, stream: trio.SocketStream) -> None:
        self._process = process
        self._stream = stream
        self._lock = trio.Lock()
        self._buffer = bytearray()
        self.first_offset = self.last_offset = 0

    @classmethod
    async def open(cls, settings: BusSettings) -> JournalProcess:
        """Start the process; it opens the journal, or makes it, and checks all of it.

        Raises:
            JournalCorrupt: what is there does not add up.
            JournalError: another guard uses the folder, or the file system cannot do what is needed.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "roomguard.store.writer", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=DEVNULL,
                env=_environment(),
            )
        journal = cls(process, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        try:
            await journal._ask(Open(attrs.asdict(settings)))
        except BaseException:
            await journal._end()
            raise
        return journal

    async def append(
        self, drafts: Sequence[Draft], wall: float, acks: Mapping[str, int], ended: Collection[str]
    ) -> list[int]:
        """See `Journal.append`."""
        return cast("list[int]", await self._ask(Append(list(drafts), wall, dict(acks), list(ended))))

    async def save_snapshots(self, snapshots: Mapping[str, bytes], wall: float) -> None:
        """See `Journal.save_snapshots`."""
        await self._ask(SaveSnapshots(dict(snapshots), wall))

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        """See `Journal.drop_snapshots`."""
        await self._ask(DropSnapshots(list(rooms)))

    async def prune(self, now: float) -> bool:
        """See `Journal.prune`."""
        return bool(await self._ask(Prune(now)))

    async def wait_ended(self) -> JournalFailed:
        """Until the process has ended, which it should not; returns what to say of it."""
        return _ended(await self._process.wait())

    async def aclose(self) -> None:
        """Fold the log into the file and let go of the folder."""
        with trio.CancelScope(shield=True):
            # One that latched or ended before need not close: what was acknowledged is in the log.
            with trio.move_on_after(CLOSE_S), suppress(JournalError):
                await self._exchange(Close())
            await self._end()

    async def _ask(self, request: Request) -> list[int] | bool | None:
        with trio.CancelScope(shield=True):
            reply = await self._exchange(request)
        if not isinstance(reply, Done):
            raise reply.error()
        self.first_offset, self.last_offset = reply.first_offset, reply.last_offset
        return reply.result

    async def _exchange(self, request: Request) -> Reply:
        async with self._lock:
            try:
                await self._stream.send_all(framed(request))
                return reply_decoder.decode(await self._receive())
            except trio.BrokenResourceError:
                raise _ended(await self._process.wait()) from None

    async def _receive(self) -> bytes:
        buffer = self._buffer
        await self._fill(LENGTH.size)
        whole = LENGTH.size + LENGTH.unpack_from(buffer)[0]
        await self._fill(whole)
        body = bytes(buffer[LENGTH.size : whole])
        del buffer[:whole]
        return body

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                raise trio.BrokenResourceError
            self._buffer += data

    async def _end(self) -> None:
        """Hang up, which ends an idle process; one that is stuck is killed."""
        with trio.CancelScope(shield=True):
            await self._stream.aclose()
            with trio.move_on_after(CLOSE_S):
                await self._process.wait()
            self._process.kill()
            await self._process.wait()


def _ended(code: int) -> JournalFailed:
    return JournalFailed(f"the journal's process ended with code {code}; nothing is written until a restart")


def _environment() -> dict[str, str]:
    """Ours, and where this package is: it may run from a checkout that is not the working directory."""
    here = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not before else os.pathsep.join((here, before))}
