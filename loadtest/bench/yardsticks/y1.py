"""Y1: asyncio on uvloop, `websockets`, orjson, dicts. One ack a frame, and its mutes in one message before it."""

from __future__ import annotations

import argparse
import asyncio

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, serve

from loadtest.bench.yardsticks.rules import WELCOME, Rules, TunedRules, announce, mute


class Server:
    """All connections share one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._actions = 0

    async def connection(self, websocket: ServerConnection) -> None:
        """One edge."""
        await websocket.send(WELCOME, text=True)
        async for message in websocket:
            frame = orjson.loads(message)
            if frame["type"] == "events":
                await self._events(websocket, frame)

    async def _events(self, websocket: ServerConnection, frame: dict[str, object]) -> None:
        judge = self._rules.judge
        events = frame["events"]
        if not isinstance(events, list):
            return
        actions = []
        for event in events:
            reason = judge(event)
            if reason is not None:
                self._actions += 1
                actions.append(mute(event, reason, self._actions))
        if actions:
            await websocket.send(orjson.dumps({"type": "actions", "actions": actions}), text=True)
        await websocket.send(
            orjson.dumps({"type": "ack", "seq": frame["seq"], "accepted": len(events), "rejected": []}), text=True
        )


async def run(port: int, server: Server) -> None:
    """Serve until stopped."""
    async with serve(server.connection, "127.0.0.1", port, compression=None, max_size=1 << 20):
        announce(port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--tuned", action="store_true", help="rules that skip what cannot match")
    chosen = arguments.parse_args()
    uvloop.run(run(chosen.port, Server(TunedRules() if chosen.tuned else Rules())))
