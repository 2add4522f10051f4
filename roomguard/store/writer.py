"""The journal's own process: it takes requests from the guard over a socket, one after the other, and answers each.

A process and not a thread, because SQLite lets go of the interpreter lock in every step and has to get it back from a
busy event loop each time: beside a loaded guard a commit of 0.14 ms took 1.1 ms in the median and 7 at p99, and its
ack with it. It ends when its guard does, without a word if that ended without one; it holds the lock of the folder, so
that a guard started again waits for the last commit of the one before.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback
from io import BufferedIOBase

import msgspec

from roomguard.errors import JournalError, JournalFailed
from roomguard.store.journal import Journal
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
    request_decoder,
)
from roomguard.store.settings import BusSettings

PATIENCE_S = 2.0
"""How long the folder's lock is waited for: the writer of a guard that was killed may be in its last commit."""


def serve(guard: socket.socket, stream: BufferedIOBase) -> Journal | None:
    """Open the journal the first request asks for, then do what is asked until told to close or nobody asks.

    `stream` is the file of the socket. Returns the journal, if there is one: to let go of it would fold its log.
    """
    request = _receive(stream)
    if not isinstance(request, Open):
        return None
    try:
        journal = _opened(request)
    except JournalError as error:
        _send(stream, Refused.of(error))
        return None
    reply: Reply = Done(None, journal.first_offset, journal.last_offset)
    while True:
        _send(stream, reply)
        if not select.select([guard], [], [], 0)[0]:
            journal.rest()
        request = _receive(stream)
        if request is None:
            return journal
        reply = _answered(journal, request)
        if isinstance(request, Close):
            _send(stream, reply)
            return journal


def _opened(request: Open) -> Journal:
    settings = msgspec.convert(request.settings, BusSettings)
    try:
        return Journal(settings, PATIENCE_S, holder=os.getppid())
    except OSError as error:
        raise JournalError(f"{settings.data_dir}: {error.strerror or error}") from None


def _answered(journal: Journal, request: Request) -> Reply:
    """The reply to a request. What nobody foresaw counts as a failure of the disk: nothing may be acknowledged."""
    try:
        result = _done(journal, request)
    except JournalError as error:
        return Refused.of(error)
    except Exception as error:  # noqa: BLE001 -- it is told to the guard, which latches and ends
        traceback.print_exc()
        return Refused.of(JournalFailed(f"the journal's process met {type(error).__name__}: {error}"))
    return Done(result, journal.first_offset, journal.last_offset)


def _done(journal: Journal, request: Request) -> list[int] | bool | None:
    match request:
        case Append(drafts, wall, acks, ended):
            return journal.append(drafts, wall, acks, ended)
        case SaveSnapshots(snapshots, wall):
            journal.save_snapshots(snapshots, wall)
        case DropSnapshots(rooms):
            journal.drop_snapshots(rooms)
        case Prune(now):
            return journal.prune(now)
        case Close():
            journal.close()
        case Open():
            raise JournalFailed("the journal is open already")
    return None


def _receive(stream: BufferedIOBase) -> Request | None:
    """The next request; None where the guard has gone, in the midst of one or between two."""
    head = _read(stream, LENGTH.size)
    body = _read(stream, *LENGTH.unpack(head)) if head else None
    return None if body is None else request_decoder.decode(body)


def _read(stream: BufferedIOBase, size: int) -> bytes | None:
    try:
        data = stream.read(size)
    except ConnectionError:
        return None
    return data if len(data) == size else None


def _send(stream: BufferedIOBase, reply: Reply) -> None:
    try:
        stream.write(framed(reply))
        stream.flush()
    except ConnectionError:  # the next read says so
        pass


def main() -> None:
    """Serve the guard at the other end of the socket whose descriptor is the only argument."""
    # The guard decides when it is over: a signal to the whole group must not end the journal before the last commit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as guard, guard.makefile("rwb") as stream:
        kept = serve(guard, stream)  # noqa: F841 -- held to the end, see there
    sys.stderr.flush()
    # Folding a log takes long, and the next guard waits for the folder: a journal nobody closed is left as it is.
    os._exit(0)


if __name__ == "__main__":
    main()
