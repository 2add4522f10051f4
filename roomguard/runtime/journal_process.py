"""The journal from the event loop: requests to its own process, done in order, none ever cut off half way.

A request that has begun is finished even where its task is cancelled: nobody would know whether a commit was done.
Nothing here waits for the loop where it need not: a request is written where it is made, and `poll` takes in an answer
between two frames. A task of its own does both where nobody else does.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

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
    Refused,
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
    """The one that writes, while `run` is entered."""

    def __init__(self, process: trio.Process, sock: socket.socket) -> None:
        self._process = process
        self._socket = sock
        self._unsent = bytearray()
        self._received = bytearray()
        self._asked: deque[Callable[[Reply], None]] = deque()
        self._to_send = trio.Event()
        self._gone: JournalFailed | None = None
        self.first_offset = self.last_offset = 0

    @classmethod
    @asynccontextmanager
    async def run(cls, settings: BusSettings) -> AsyncIterator[JournalProcess]:
        """Start the process, which opens the journal or makes it and checks all of it; leaving closes it.

        Raises:
            JournalCorrupt: what is there does not add up.
            JournalError: another guard uses the folder, or the file system cannot do what is needed.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            with theirs:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "roomguard.store.writer", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=DEVNULL,
                    env=_environment(),
                )
            journal = cls(process, ours)
            try:
                journal._result(await journal._alone(Open(attrs.asdict(settings))))
                # Whoever is cancelled from outside still waits for what it asked, and nobody else takes in the answer.
                serving = trio.CancelScope(shield=True)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(journal._serve, serving)
                    try:
                        yield journal
                    finally:
                        serving.cancel()
                await journal._close()
            finally:
                ours.close()  # which ends a process that was not told to close
                await journal._reap()

    def append(
        self,
        drafts: Sequence[Draft],
        wall: float,
        acks: Mapping[str, int],
        ended: Collection[str],
        done: Callable[[list[int] | JournalError], None],
    ) -> None:
        """See `Journal.append`; `done` gets what it returned or raised."""

        def answered(reply: Reply) -> None:
            try:
                offsets = self._result(reply)
            except JournalError as error:
                done(error)
            else:
                done(offsets)

        self._ask(Append(list(drafts), wall, dict(acks), list(ended)), answered)

    async def save_snapshots(self, snapshots: Mapping[str, bytes], wall: float) -> None:
        """See `Journal.save_snapshots`."""
        await self._answer(SaveSnapshots(dict(snapshots), wall))

    async def drop_snapshots(self, rooms: Collection[str]) -> None:
        """See `Journal.drop_snapshots`."""
        await self._answer(DropSnapshots(list(rooms)))

    async def prune(self, now: float) -> bool:
        """See `Journal.prune`."""
        return bool(await self._answer(Prune(now)))

    def poll(self) -> None:
        """Take in what has been answered by now, without waiting."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        received = self._received
        received += data
        while len(received) >= LENGTH.size:
            whole = LENGTH.size + LENGTH.unpack_from(received)[0]
            if len(received) < whole:
                return
            reply = reply_decoder.decode(received[LENGTH.size : whole])
            del received[:whole]
            self._asked.popleft()(reply)

    async def wait_ended(self) -> JournalFailed:
        """Until the process has ended, which it should not; returns what to say of it."""
        return _ended(await self._process.wait())

    def _ask(self, request: Request, answered: Callable[[Reply], None]) -> None:
        if self._gone is not None:
            answered(Refused.of(self._gone))
            return
        self._asked.append(answered)
        self._unsent += framed(request)
        self._flush()

    async def _answer(self, request: Request) -> Any:
        replies: list[Reply] = []
        arrived = trio.Event()

        def answered(reply: Reply) -> None:
            replies.append(reply)
            arrived.set()

        self._ask(request, answered)
        with trio.CancelScope(shield=True):
            await arrived.wait()
        return self._result(replies[0])

    async def _alone(self, request: Request) -> Reply:
        """Ask while no task reads or writes: before they begin and after they end."""
        replies: list[Reply] = []
        self._ask(request, replies.append)
        while not replies:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._flush()
            await trio.lowlevel.wait_readable(self._socket)
            self.poll()
        return replies[0]

    def _result(self, reply: Reply) -> Any:
        if not isinstance(reply, Done):
            raise reply.error()
        self.first_offset, self.last_offset = reply.first_offset, reply.last_offset
        return reply.result

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:  # the other end has gone; whoever reads is told so
            sent = len(self._unsent)
        del self._unsent[:sent]
        if self._unsent:
            self._to_send.set()

    def _hang_up(self) -> None:
        """The process has gone: nothing that was asked will be answered."""
        self._gone = _ended(self._process.poll())
        asked, self._asked = self._asked, deque()
        for answered in asked:
            answered(Refused.of(self._gone))

    async def _serve(self, serving: trio.CancelScope) -> None:
        with serving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._write)

    async def _read(self) -> None:
        while self._gone is None:
            await trio.lowlevel.wait_readable(self._socket)
            self.poll()

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send = trio.Event()
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._flush()

    async def _close(self) -> None:
        """Fold the log into the file. One that latched need not: what was acknowledged is in the log."""
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._alone(Close())

    async def _reap(self) -> None:
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._process.wait()
        with trio.CancelScope(shield=True):
            self._process.kill()
            await self._process.wait()


def _ended(code: int | None) -> JournalFailed:
    how = "" if code is None else f" with code {code}"
    return JournalFailed(f"the journal's process ended{how}; nothing is written until a restart")


def _environment() -> dict[str, str]:
    """Ours, and where this package is: it may run from a checkout that is not the working directory."""
    here = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not before else os.pathsep.join((here, before))}
