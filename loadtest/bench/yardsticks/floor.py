"""F, the floor: sans-I/O frames on a bare trio stream, msgspec into Structs, one ack a frame, no decision.

All frames of a read are answered in one write. Nothing that has to read and decode these frames on trio costs less.
"""

from __future__ import annotations

import argparse

import msgspec
import trio
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from loadtest.bench.yardsticks.rules import WELCOME, announce

READ = 256 * 1024


class Who(msgspec.Struct, gc=False):
    """What the edge knows of a user."""

    role: str | None = None
    account_age_s: float | None = None
    follower: bool | None = None
    level: int | None = None
    device: str | None = None
    net: str | None = None


class Base(msgspec.Struct, gc=False, tag_field="kind", kw_only=True):
    """What every event has."""

    id: str
    room: str
    ts: float
    user: str = ""
    who: Who | None = None


class Chat(Base, tag="chat", kw_only=True):
    """A message."""

    text: str
    emotes: list[str] | None = None


class Gift(Base, tag="gift", kw_only=True):
    """A gift."""

    gift: str
    count: int
    value: float
    streak: str | None = None
    streak_end: bool = False


class Like(Base, tag="like", kw_only=True):
    """Likes."""

    count: int


class Viewers(Base, tag="viewers", kw_only=True):
    """How many watch."""

    count: int


class Report(Base, tag="report", kw_only=True):
    """A report."""

    target: str


class Join(Base, tag="join", kw_only=True):
    """Came."""


class Leave(Base, tag="leave", kw_only=True):
    """Went."""


class Follow(Base, tag="follow", kw_only=True):
    """Follows."""


class Unfollow(Base, tag="unfollow", kw_only=True):
    """No longer follows."""


class Share(Base, tag="share", kw_only=True):
    """Shared the room."""


class Events(msgspec.Struct, gc=False):
    """A frame, whatever its type: only `events` is ever sent to the floor."""

    seq: int
    events: list[Chat | Gift | Like | Viewers | Report | Join | Leave | Follow | Unfollow | Share]


async def connection(stream: trio.SocketStream) -> None:
    """One edge."""
    protocol = ServerProtocol(max_size=1 << 20)
    decode = msgspec.json.Decoder(Events).decode
    while True:
        data = await stream.receive_some(READ)
        if not data:
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                if protocol.state is OPEN:
                    protocol.send_text(WELCOME)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                frame = decode(event.data)
                protocol.send_text(b'{"type":"ack","seq":%d,"accepted":%d}' % (frame.seq, len(frame.events)))
        out = b"".join(protocol.data_to_send())
        if out:
            await stream.send_all(out)


async def run(port: int) -> None:
    """Serve until stopped."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, connection, listeners)
        announce(port)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    trio.run(run, arguments.parse_args().port)
