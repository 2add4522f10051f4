"""Y3: the trio program the tutorials lead to: trio-websocket, one task and one memory channel for each room."""

from __future__ import annotations

import argparse

import orjson
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from loadtest.bench.yardsticks.rules import WELCOME, Event, Rules, announce, mute

CHANNEL = 1_000


class Pending:
    """A frame whose rooms have not all judged yet."""

    def __init__(self, websocket: WebSocketConnection, seq: int, count: int) -> None:
        self.websocket = websocket
        self.seq = seq
        self.count = count
        self.left = count


class Server:
    """Rooms are started on their first event and live as long as the server."""

    def __init__(self, rooms: trio.Nursery) -> None:
        self._rooms = rooms
        self._channels: dict[str, trio.MemorySendChannel[tuple[Event, Pending]]] = {}
        self._rules = Rules()
        self._actions = 0

    async def connection(self, request: WebSocketRequest) -> None:
        """One edge."""
        websocket = await request.accept()
        try:
            await websocket.send_message(WELCOME.decode())
            while True:
                frame = orjson.loads(await websocket.get_message())
                if frame["type"] == "events":
                    await self._events(websocket, frame["seq"], frame["events"])
        except ConnectionClosed:
            return

    async def _events(self, websocket: WebSocketConnection, seq: int, events: list[Event]) -> None:
        pending = Pending(websocket, seq, len(events))
        for event in events:
            channel = self._channels.get(event["room"])
            if channel is None:
                channel, receive = trio.open_memory_channel[tuple[Event, Pending]](CHANNEL)
                self._channels[event["room"]] = channel
                self._rooms.start_soon(self._room, receive)
            await channel.send((event, pending))

    async def _room(self, receive: trio.MemoryReceiveChannel[tuple[Event, Pending]]) -> None:
        """One room: judge, send the mute, and the ack where this was the frame's last event."""
        async for event, pending in receive:
            reason = self._rules.judge(event)
            pending.left -= 1
            last = pending.left == 0  # asked now: while we send, other rooms count on
            try:
                if reason is not None:
                    self._actions += 1
                    actions = [mute(event, reason, self._actions)]
                    await pending.websocket.send_message(orjson.dumps({"type": "actions", "actions": actions}).decode())
                if last:
                    ack = {"type": "ack", "seq": pending.seq, "accepted": pending.count, "rejected": []}
                    await pending.websocket.send_message(orjson.dumps(ack).decode())
            except ConnectionClosed:
                continue


async def run(port: int) -> None:
    """Serve until stopped."""
    async with trio.open_nursery() as rooms:
        server = Server(rooms)
        await rooms.start(serve_websocket, server.connection, "127.0.0.1", port, None)
        announce(port)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    trio.run(run, arguments.parse_args().port)
