"""TallyGuard: a small server that speaks the protocol truthfully and mutes by one rule, for the tests of loadtest.

It is no guard: it judges with a dict and forgets nothing. Its faults (frames it never answers, connections it drops)
are asked for by name, so that what the load generator reports can be compared with what really happened.
`python -m tests.loadtest.fake_guard PORT` runs it alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@attrs.define
class Faults:
    """What goes wrong on purpose."""

    silent_seqs: frozenset[int] = frozenset()
    """Frames that are taken and never acknowledged."""
    short_seqs: frozenset[int] = frozenset()
    """Frames whose ack accepts one event too few."""
    reject_kind: str = ""
    """Events of this kind are rejected as `shed`."""
    drop_after: int = 0
    """Each session's connection is dropped once, after so many frames."""
    deaf: bool = False
    """Says welcome and nothing else."""


@attrs.define
class TallyGuard:
    """Mutes whoever sends `limit` chats within one frame's memory of `remember` of their texts."""

    limit: int = 8
    max_unacked: int = 64
    faults: Faults = attrs.field(factory=Faults)
    events: list[dict[str, Any]] = attrs.field(factory=list)
    taken: dict[str, int] = attrs.field(factory=dict)
    dropped: set[str] = attrs.field(factory=set)
    enforced: list[str] = attrs.field(factory=list)
    chats: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    muted: set[tuple[str, str]] = attrs.field(factory=set)
    offset: int = 0

    async def serve_connection(self, connection: ServerConnection) -> None:
        """One edge."""
        assert connection.request is not None
        session = parse_qs(urlsplit(connection.request.path).query).get("session", [""])[0]
        resume = self.taken.setdefault(session, 0)
        await self._say(
            connection,
            type="welcome",
            protocol="roomguard.v1",
            node="fake",
            epoch="e1",
            config="c1",
            resume_after=resume,
            max_unacked=self.max_unacked,
            max_frame_bytes=1 << 20,
            max_events=4096,
        )
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                if not self.faults.deaf and not await self._message(connection, session, json.loads(text)):
                    connection.transport.abort()
                    return

    async def _message(self, connection: ServerConnection, session: str, message: dict[str, Any]) -> bool:
        """Answer one message; False: drop the connection without a word."""
        if message["type"] == "enforced":
            self.enforced += message["actions"]
            return True
        if message["type"] != "events":
            return True
        seq, events = message["seq"], message["events"]
        if seq != self.taken[session] + 1:
            await self._say(connection, type="error", code="seq_gap", detail="", expected=self.taken[session] + 1)
            return True
        self.taken[session] = seq
        self.events += events
        if self.faults.drop_after == seq and session not in self.dropped:
            self.dropped.add(session)
            return False
        actions = [action for event in events if (action := self._judge(event)) is not None]
        if message.get("gate"):
            await self._say(connection, type="verdicts", seq=seq, verdicts=["allow"] * len(events))
        if seq not in self.faults.silent_seqs:
            await self._ack(connection, seq, events)
        if actions:
            await self._say(connection, type="actions", actions=actions)
        return True

    async def _ack(self, connection: ServerConnection, seq: int, events: list[dict[str, Any]]) -> None:
        rejected = [
            {"index": index, "code": "shed", "detail": ""}
            for index, event in enumerate(events)
            if event["kind"] == self.faults.reject_kind
        ]
        accepted = len(events) - len(rejected) - (seq in self.faults.short_seqs)
        await self._say(connection, type="ack", seq=seq, accepted=accepted, rejected=rejected)

    def _judge(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if event["kind"] != "chat":
            return None
        key = (event["room"], event["user"])
        self.chats[key] += 1
        if self.chats[key] < self.limit or key in self.muted:
            return None
        self.muted.add(key)
        self.offset += 1
        return {
            "id": f"act-{self.offset}",
            "offset": self.offset,
            "kind": "mute",
            "room": event["room"],
            "user": event["user"],
            "at": event["ts"],
            "reason": "flood",
            "message": "Slow down.",
            "rule": "too_many",
            "strategy": "default",
            "config": "c1",
            "causes": [event["id"]],
            "duration_s": 60,
            "until": event["ts"] + 60,
        }

    async def _say(self, connection: ServerConnection, **message: Any) -> None:
        await connection.send(json.dumps(message))


@contextlib.asynccontextmanager
async def listening(guard: TallyGuard, port: int = 0) -> AsyncIterator[str]:
    """The guard at a loopback address; gives its URL."""
    server: Server = await serve(guard.serve_connection, "127.0.0.1", port, compression=None, max_size=None)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _alone(port: int) -> None:
    async with listening(TallyGuard(), port) as url:
        print(f"listening on {url}", flush=True)  # noqa: T201 - a command's output
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_alone(int(sys.argv[1])))
