"""Y1 with its counters in Valkey: fixed windows by INCR and EXPIRE, all of a frame in one pipeline.

What survives in the process are the rules that look at one text alone; counts of chats, copies and likes, and who is
muted, live in Valkey, as in a service of several processes.
"""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

import orjson
import uvloop
from valkey.asyncio import Valkey
from websockets.asyncio.server import ServerConnection

from loadtest.bench.yardsticks.rules import CHATS, COPIES, LIKES, MUTE, WINDOW, Event, Rules, mute
from loadtest.bench.yardsticks.y1 import Server, run


class ValkeyServer(Server):
    """All connections share one pool of connections to Valkey."""

    def __init__(self, valkey_port: int) -> None:
        super().__init__(Rules())
        self._valkey = Valkey(host="127.0.0.1", port=valkey_port)

    async def _events(self, websocket: ServerConnection, frame: dict[str, Any]) -> None:
        events: list[Event] = frame["events"]
        reasons = await self._judge(events)
        actions = []
        for event, reason in zip(events, reasons, strict=True):
            if reason is not None:
                self._actions += 1
                actions.append(mute(event, reason, self._actions))
        if actions:
            await self._remember(actions)
            await websocket.send(orjson.dumps({"type": "actions", "actions": actions}), text=True)
        await websocket.send(
            orjson.dumps({"type": "ack", "seq": frame["seq"], "accepted": len(events), "rejected": []}), text=True
        )

    async def _judge(self, events: list[Event]) -> list[str | None]:
        """One pipeline: what each event counts, then the counts against the limits."""
        pipeline = self._valkey.pipeline(transaction=False)
        asked: list[tuple[str | None, int, bool]] = []  # reason by text alone, limit, whether copies were asked for
        for event in events:
            kind = event["kind"]
            if kind not in ("chat", "like"):
                continue
            key = f"{event['room']}:{event['user']}"
            bucket = int(event["ts"] / WINDOW)
            pipeline.exists(f"muted:{key}")
            counter = f"{kind}:{key}:{bucket}"
            pipeline.incrby(counter, event["count"] if kind == "like" else 1)
            pipeline.expire(counter, int(WINDOW * 2))
            if kind == "like":
                asked.append((None, LIKES, False))
                continue
            digest = hashlib.blake2b(event["text"].encode(), digest_size=8).hexdigest()
            copies = f"copy:{key}:{digest}:{bucket}"
            pipeline.incrby(copies, 1)
            pipeline.expire(copies, int(WINDOW * 2))
            asked.append((self._rules.text(event["text"]), CHATS, True))
        answers = iter(await pipeline.execute() if asked else [])
        questions = iter(asked)
        return [
            self._verdict(next(questions), answers) if event["kind"] in ("chat", "like") else None for event in events
        ]

    @staticmethod
    def _verdict(asked: tuple[str | None, int, bool], answers: Any) -> str | None:
        reason, limit, is_chat = asked
        muted, count, _ = next(answers), next(answers), next(answers)
        if is_chat:
            copies, _ = next(answers), next(answers)
            reason = reason or ("copies" if copies >= COPIES else None)
        if muted:
            return None
        return reason or (None if count <= limit else "flood" if is_chat else "likes")

    async def _remember(self, actions: list[dict[str, Any]]) -> None:
        pipeline = self._valkey.pipeline(transaction=False)
        for action in actions:
            pipeline.set(f"muted:{action['room']}:{action['user']}", 1, ex=int(MUTE))
        await pipeline.execute()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--valkey-port", type=int, required=True)
    chosen = arguments.parse_args()
    uvloop.run(run(chosen.port, ValkeyServer(chosen.valkey_port)))
