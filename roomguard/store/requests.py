"""What the guard and the journal's own process say to each other: one request, one reply, MessagePack behind a length.

Both ends are the same program on one machine, so there is no version in it and nobody else may speak it.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import msgspec

from roomguard.errors import JournalCorrupt, JournalError, JournalFailed
from roomguard.store.journal import JournalStalled
from roomguard.store.records import Draft

LENGTH = struct.Struct(">I")
"""Goes before each message: its length in bytes."""


class Open(msgspec.Struct, tag=True, array_like=True):
    """The first request: settings of the bus, as a table."""

    settings: dict[str, Any]


class Append(msgspec.Struct, tag=True, array_like=True):
    """See `Journal.append`."""

    drafts: list[Draft]
    wall: float
    acks: dict[str, int]
    ended: list[str]


class SaveSnapshots(msgspec.Struct, tag=True, array_like=True):
    """See `Journal.save_snapshots`."""

    snapshots: dict[str, bytes]
    wall: float


class DropSnapshots(msgspec.Struct, tag=True, array_like=True):
    """See `Journal.drop_snapshots`."""

    rooms: list[str]


class Prune(msgspec.Struct, tag=True, array_like=True):
    """See `Journal.prune`."""

    now: float


class Close(msgspec.Struct, tag=True, array_like=True):
    """The last request: fold the log into the file and end."""


Request = Open | Append | SaveSnapshots | DropSnapshots | Prune | Close


class Done(msgspec.Struct, tag=True, array_like=True):
    """What a request returned, and how the journal stands after it."""

    result: list[int] | bool | None
    first_offset: int
    last_offset: int


ErrorKind = Literal["stalled", "stalled_full", "failed", "corrupt", "unusable"]


class Refused(msgspec.Struct, tag=True, array_like=True):
    """What a request raised."""

    kind: ErrorKind
    message: str

    @classmethod
    def of(cls, error: JournalError) -> Refused:
        """The reply that stands for an error."""
        if isinstance(error, JournalStalled):
            return cls("stalled_full" if error.full else "stalled", str(error))
        if isinstance(error, JournalFailed):
            return cls("failed", str(error))
        return cls("corrupt" if isinstance(error, JournalCorrupt) else "unusable", str(error))

    def error(self) -> JournalError:
        """The error again."""
        if self.kind in ("stalled", "stalled_full"):
            return JournalStalled(self.message, full=self.kind == "stalled_full")
        if self.kind == "failed":
            return JournalFailed(self.message)
        return JournalCorrupt(self.message) if self.kind == "corrupt" else JournalError(self.message)


Reply = Done | Refused

_encoder = msgspec.msgpack.Encoder()
request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def framed(message: Request | Reply) -> bytes:
    """A message as it goes over the socket."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body
