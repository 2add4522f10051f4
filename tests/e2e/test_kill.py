"""A guard killed again and again under load: what was acknowledged is kept, what is sent again counts once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import attrs
import pytest

from tests.e2e.edges import Consumer, Edge, Frame, Record, run, until
from tests.e2e.guards import Guard

KILLS = int(os.environ.get("ROOMGUARD_KILLS", "5"))
EDGES = 3
ROOMS = 8
CONFIG = """
[budget]
actions_per_room_minute = 1000000
actions_per_rule_minute = 1000000

[features.chats]
kind = "count"
window_s = 30

[[rules]]
name = "marked"
when = 'contains(text, "markedword")'
action = ["delete"]
mode = "enforce"

[[rules]]
name = "silenced"
when = 'contains(text, "silencedword")'
action = ["mute"]
duration_s = 7200
mode = "enforce"

[[rules]]
name = "busy"
when = "chats > 1000"
action = ["warn"]
mode = "enforce"
"""


@attrs.define
class Ledger:
    """What edges were told is decided, by the two words that decide it."""

    deleted: set[str] = attrs.field(factory=set)
    """Marked events in acknowledged frames."""
    muted: dict[str, set[str]] = attrs.field(factory=dict)
    """Room to users whose muting was acknowledged."""
    events: int = 0
    frames: int = 0

    def acked(self, frame: Frame) -> None:
        """Note an acknowledged frame."""
        self.frames += 1
        self.events += len(frame.events)
        for event in frame.events:
            if "markedword" in event["text"]:
                self.deleted.add(event["id"])
            elif "silencedword" in event["text"]:
                self.muted.setdefault(event["room"], set()).add(event["user"])


class Load:
    """Endless chat of one edge; now and then a marked message, or one that silences a user nobody heard of before."""

    def __init__(self, edge: Edge, number: int) -> None:
        self.edge = edge
        self.name = f"e{number}"
        self.rooms = [f"{self.name}-room-{room}" for room in range(ROOMS)]
        self.dice = random.Random(number)
        self.number = 0
        self.enough = False

    async def run(self) -> None:
        while not self.enough:
            await self.edge.send([self.event() for _ in range(self.dice.randint(1, 60))])
            await asyncio.sleep(self.dice.uniform(0, 0.01))

    def event(self) -> Record:
        self.number += 1
        event: Record = {"id": f"{self.name}-{self.number}", "kind": "chat", "room": self.dice.choice(self.rooms)}
        event |= {"user": f"u{self.dice.randrange(200)}", "ts": time.time(), "text": f"some talk {self.number}"}
        fate = self.dice.random()
        if fate < 0.05:
            event["text"] = f"a markedword {self.number}"
        elif fate < 0.06:
            event |= {"user": f"new-{self.number}", "text": "a silencedword"}
        return event


def damage(data: Path, copy: Path) -> str:
    """What SQLite says of a journal as the kill left it; the original is not touched."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    with sqlite3.connect(copy / "journal.db") as journal:
        (found,) = journal.execute("PRAGMA integrity_check").fetchone()
    journal.close()
    return str(found)


def missing(ledger: Ledger, consumer: Consumer) -> set[str]:
    """Events of acknowledged frames whose action never came over the bus."""
    deletes = {ident for action in consumer.actions if action["kind"] == "delete" for ident in action["events"]}
    return ledger.deleted - deletes


def not_in_force(ledger: Ledger, edges: list[Edge]) -> list[tuple[str, set[str]]]:
    """Rooms whose `state` does not have all whose muting was acknowledged before."""
    said = {room: {action["user"] for action in actions} for edge in edges for room, actions in edge.states.items()}
    return [(room, users - said.get(room, set())) for room, users in ledger.muted.items() if users - said[room]]


async def kill_and_return(guard: Guard, ledger: Ledger, edges: list[Edge], consumer: Consumer, kept: Path) -> None:
    """One kill under load, and everything that has to hold right after it."""
    before = [edge.connections for edge in edges]
    guard.end(signal.SIGKILL)
    told = attrs.evolve(ledger, deleted=set(ledger.deleted), muted={k: set(v) for k, v in ledger.muted.items()})
    assert await asyncio.to_thread(damage, guard.data, kept) == "ok"
    await asyncio.to_thread(guard.start)
    await until(lambda: all(edge.connections > was for edge, was in zip(edges, before, strict=True)))
    await until(lambda: all(edge.rooms <= edge.states.keys() for edge in edges))
    status = await asyncio.to_thread(guard.status)
    await consumer.upto(status["offset"])

    assert not_in_force(told, edges) == []
    assert missing(told, consumer) == set()
    assert consumer.errors == []


@pytest.mark.slow
def test_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After each kill: acknowledged actions are on the bus, each id comes once, penalties are back, the journal whole.

    `ROOMGUARD_KILLS=100 pytest tests/e2e/test_kill.py -o faulthandler_timeout=0` makes it a hundred.
    """
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    ledger = Ledger()
    dice = random.Random(7)
    offsets: list[int] = []

    async def story(guard: Guard) -> None:
        edges = [Edge(guard.url, f"edge-{number}") for number in range(EDGES)]
        async with Consumer(guard.url, "audit") as consumer:
            for edge in edges:
                edge.on_acked = ledger.acked
                await edge.__aenter__()
            loads = [Load(edge, number) for number, edge in enumerate(edges)]
            running = [asyncio.create_task(load.run()) for load in loads]
            for number in range(KILLS):
                enough = ledger.frames + 30
                await until(lambda enough=enough: ledger.frames > enough)  # type: ignore[misc]
                await asyncio.sleep(dice.uniform(0, 0.3))
                await kill_and_return(guard, ledger, edges, consumer, tmp_path / "killed")
                assert not any(load.done() for load in running), number
            for load in loads:
                load.enough = True
            await asyncio.wait(running)
            for edge in edges:
                await edge.all_acked()
            await consumer.upto((await asyncio.to_thread(guard.status))["offset"])
            check_all(edges, consumer)
            offsets.append(consumer.offset)
            for edge in edges:
                await edge.__aexit__()

    def check_all(edges: list[Edge], consumer: Consumer) -> None:
        twice = [ident for ident, count in Counter(action["id"] for action in consumer.actions).items() if count > 1]
        deletes = Counter(i for action in consumer.actions if action["kind"] == "delete" for i in action["events"])
        mutes = Counter(action["user"] for action in consumer.actions if action["kind"] == "mute")
        positions = [action["offset"] for action in consumer.actions]
        assert twice == []
        assert positions == sorted(set(positions))
        assert deletes == Counter(ledger.deleted)
        assert mutes == Counter(user for users in ledger.muted.values() for user in users)
        assert [edge.errors + edge.rejected for edge in edges] == [[]] * EDGES
        assert {action["id"] for action in consumer.actions} >= {ident for edge in edges for ident in edge.actions}

    with Guard(tmp_path, config, ("rooms.decide_within_s=60",)) as guard:
        run(lambda: story(guard), 60.0 + 20.0 * KILLS)
        assert guard.end() == 0

    with capsys.disabled():
        found = f"{ledger.frames} frames, {ledger.events} events acknowledged, {offsets[0]} actions"
        print(f"\n{KILLS} kills: {found}, 0 missing, 0 twice")  # noqa: T201 -- the figures of a long run
