"""A bus that publishes for a while and says how it went; run under strace by its tests.

Arguments: data folder, number of actions, milliseconds between two. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import trio

from roomguard.errors import JournalFailed
from roomguard.runtime.archive import Archive
from roomguard.runtime.bus import ActionBus
from roomguard.runtime.journal_process import JournalProcess
from roomguard.store.journal import FILE_NAME
from roomguard.store.reader import JournalReader
from roomguard.store.settings import BusSettings
from tests.store.building import action


async def main() -> None:
    folder, count, pause_ms = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    settings = BusSettings(data_dir=folder, reserve_bytes=0)
    async with JournalProcess.run(settings) as writer:
        reader = JournalReader(Path(folder) / FILE_NAME)
        bus = ActionBus(Archive(writer, reader, settings), settings)
        done = await published(bus, count, pause_ms)
        reader.close()
    sys.stdout.write(json.dumps(done))


async def published(bus: ActionBus, count: int, pause_ms: float) -> dict[str, Any]:
    """What became of so many actions."""
    edge = bus.subscribe([f"room-{number}" for number in range(3)])
    lags: list[float] = []
    acked: list[int] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bus.run)
        nursery.start_soon(watch, lags)
        for number in range(count):
            position = bus.publish([action(number)])
            bus.when_durable(position, lambda number=number: acked.append(number))
            await trio.sleep(pause_ms / 1000)
        try:
            await bus.drain()
        except JournalFailed:
            acked_at_failure = len(acked)
            bus.publish([action(10**6)])
            await trio.sleep(0.3)
            assert len(acked) == acked_at_failure
        nursery.cancel_scope.cancel()
    lags.sort()
    return {
        "acked": acked,
        "delivered": [json.loads(data)["offset"] for data in edge.take()],
        "failed": bus.failed is not None,
        "commits": bus.statistics().commits,
        "p99_ms": lags[int(len(lags) * 0.99)] * 1000,
    }


async def watch(lags: list[float]) -> None:
    """How much later than asked a sleep of 5 ms ends."""
    while True:
        began = time.perf_counter()
        await trio.sleep(0.005)
        lags.append(time.perf_counter() - began - 0.005)


if __name__ == "__main__":
    trio.run(main)
