"""Recordings played through a running guard give each room the actions that `replay` gives it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import time
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.e2e.chatter import TAIL_S, recorded
from tests.e2e.edges import Consumer, Edge, Record, bus_actions, run, until
from tests.e2e.guards import CHECKOUT, Guard, by_room, replayed, wait_for

SPEED = 20.0
EDGES = 4
BATCHES = (1, 7, 128, 3, 61, 2, 255, 19)
BACKENDS = ("trio-websocket", "sansio")
REAL_S = float(os.environ.get("ROOMGUARD_LIVE_S", "4"))
"""How long the real recordings are played, wall seconds; 600 plays 190 rooms for more than three hours of theirs."""
REAL_ROOMS = int(os.environ.get("ROOMGUARD_LIVE_ROOMS", "24"))
JUDGING = ("rules.reported.mode=enforce", "rules.shouting.mode=enforce", 'words.block=["forbiddenword"]')
CARRYING = (
    # The recording is played faster than time; and a busy machine is no reason to reject anything here.
    "listen.clamp_back_s=1e6",
    "listen.clamp_ahead_s=1e6",
    "rooms.decide_within_s=120",
    "rooms.gate_within_s=120",
    "bus.resend_every_s=1",
)
HELD = """
[[rules]]
name = "held"
when = 'contains(text, "heldword")'
action = ["hold"]
mode = "enforce"
"""


@attrs.frozen
class Played:
    """What came of one recording."""

    rooms: int
    events: int
    actions: int
    reconnects: int
    live: dict[str, list[Record]]
    from_source: dict[str, list[Record]]
    from_record: dict[str, list[Record]]
    taken: int
    """Events in what `--record` wrote."""

    def differences(self) -> list[str]:
        """Rooms whose actions are not the same three times, with the first that differs."""
        found = []
        for room in sorted({*self.live, *self.from_source, *self.from_record}):
            live = self.live.get(room, [])
            for name, other in (("source", self.from_source), ("record", self.from_record)):
                if other.get(room, []) != live:
                    found.append(f"{room}: {name}: {_first_difference(live, other.get(room, []))}")
        return found

    def __str__(self) -> str:
        return (
            f"{self.rooms} rooms, {self.events} events, {self.actions} actions, {self.reconnects} reconnects, "
            f"{len(self.differences())} differences"
        )


def _first_difference(live: list[Record], other: list[Record]) -> str:
    for number, (one, two) in enumerate(zip(live, other, strict=False)):
        if one != two:
            keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
            return f"action {number}: {[(key, one.get(key), two.get(key)) for key in keys]} in {one}"
    return f"{len(live)} live, {len(other)} replayed"


async def feed(edge: Edge, records: Sequence[Record], start: float, begun: float, drops: int, seed: int) -> None:
    """Play records at SPEED from `begun` (monotonic) on, in odd batches, losing the connection now and then."""
    dice = random.Random(seed)
    lost_at = {dice.randrange(len(records)) for _ in range(drops)}
    sizes = cycle(BATCHES)
    place = 0
    while place < len(records):
        due = begun + (records[place]["ts"] - start) / SPEED
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if "type" in records[place]:
            await edge.all_acked()  # it stands between these events, and frames may still be on their way
            await edge.say(records[place])
            place += 1
            continue
        now = start + (time.monotonic() - begun) * SPEED
        batch: list[Record] = []
        for record in records[place : place + next(sizes)]:
            if "type" in record or (batch and record["ts"] > now):
                break
            batch.append(record)
        await edge.send(batch, gate=len(batch) % 5 == 2)
        if not lost_at.isdisjoint(range(place, place + len(batch))):
            await edge.drop()
        place += len(batch)
    await edge.all_acked()


def play(folder: Path, rooms: list[list[Record]], start: float, backend: str, seconds: float) -> Played:
    """Play rooms through a guard, then replay them and what the guard recorded."""
    config, source, record = folder / "config.toml", folder / "source.jsonl", folder / "record.jsonl"
    config.write_text((CHECKOUT / "config.toml").read_text(encoding="utf-8") + HELD, encoding="utf-8")
    shares: list[list[Record]] = [
        sorted((record for room in rooms[number::EDGES] for record in room), key=lambda record: record["ts"])
        for number in range(min(EDGES, len(rooms)))
    ]
    everything = sorted((record for share in shares for record in share), key=lambda record: record["ts"])
    source.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in everything), encoding="utf-8")
    live: list[Record] = []
    edges: list[Edge] = []

    async def story(guard: Guard) -> None:
        edges.extend(Edge(guard.url, f"edge-{number}") for number in range(len(shares)))
        for edge in edges:
            await edge.__aenter__()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as feeding:
            for number, (edge, share) in enumerate(zip(edges, shares, strict=True)):
                feeding.create_task(feed(edge, share, start, begun, drops=number % 3 * 2, seed=number))
        status = await asyncio.to_thread(guard.status)
        live.extend(await bus_actions(guard.url, "audit", status["offset"]))
        wanted = {action["id"] for action in live}
        for edge in edges:
            wanted -= edge.actions.keys()
        await until(lambda: not wanted.difference(*(edge.actions for edge in edges)))
        for edge in edges:
            await edge.__aexit__()

    sets = (*CARRYING, f"listen.backend={backend}", *JUDGING)
    with Guard(folder, config, sets, record=record) as guard:
        run(lambda: story(guard), seconds + 180)
        assert guard.end() == 0
    assert "changes detected" not in guard.log()  # the recording grows beside the configuration that is watched
    for edge in edges:
        assert (edge.errors, edge.rejected) == ([], [])
    return Played(
        rooms=len(rooms),
        events=sum("kind" in one for one in everything),
        actions=len(live),
        reconnects=sum(edge.connections - 1 for edge in edges),
        live=by_room(live),
        from_source=replayed(source, config, JUDGING),
        from_record=replayed(record, config, JUDGING),
        taken=events_in(record),
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_made_up_rooms(tmp_path: Path, backend: str) -> None:
    """Every kind of input, in odd batches, over lost connections: live, its recording and its source agree."""
    start = time.time()
    seconds = 100.0
    rooms = recorded(10, seconds, start, seed=1)

    played = play(tmp_path, rooms, start, backend, seconds / SPEED)

    assert played.differences() == []
    assert played.taken == played.events
    assert played.reconnects >= 2
    kinds = {action["kind"] for room in played.live.values() for action in room}
    assert kinds >= {"mute", "kick", "delete", "warn", "restrict", "release"}


def events_in(recording: Path) -> int:
    with recording.open(encoding="utf-8") as lines:
        return sum("kind" in record and "type" not in record for record in map(json.loads, lines))


# Real chat


def real_rooms(data: Path, start: float, seconds: float) -> list[list[Record]]:
    """The beginning of each recorded room, as if all had begun at `start`."""
    paths = sorted((data / "youtube_live").glob("*.jsonl.gz"))
    paths += sorted((data / "twitch_normvio" / "rooms").glob("*.jsonl.gz"))
    rooms = []
    for path in paths[:REAL_ROOMS]:
        name = path.name.removesuffix(".jsonl.gz")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [row for row in map(json.loads, filter(str.strip, lines)) if not row.get("bot")]
        first = rows[0]["ts"]
        rooms.append([_chat(name, number, row, start + row["ts"] - first) for number, row in enumerate(rows)
                      if row["ts"] - first <= seconds])  # fmt: skip
    return rooms


def _chat(room: str, number: int, row: Record, ts: float) -> Record:
    who = row.get("who") or ({"role": "host"} if row.get("role") == "owner" else None)
    event = {"id": f"{room}-{number}", "kind": "chat", "room": room, "user": row["user"], "ts": ts, "text": row["text"]}
    return {**event, "who": who} if who else event


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_real_chat(tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same of recorded chat, where there is any beside the checkout; of more made-up chat, where there is none.

    With ROOMGUARD_LIVE_S=570, ROOMGUARD_LIVE_ROOMS=190 and `-o faulthandler_timeout=0` all rooms, for ten minutes.
    """
    start = time.time()
    data = CHECKOUT.parent / "shared" / "data"
    if data.is_dir():
        rooms = real_rooms(data, start, REAL_S * SPEED)
    else:
        rooms = recorded(REAL_ROOMS, REAL_S * SPEED - TAIL_S, start, seed=2)

    played = play(tmp_path, rooms, start, backend, REAL_S)

    with capsys.disabled():
        print(f"\n{backend}: {played}")  # noqa: T201 -- the figures of a long run are what it is run for
    assert played.differences() == []
    assert played.taken == played.events
    assert played.actions > 0


def at_real_speed(start: float) -> list[Record]:
    """A room in which time alone decides: messages are held, and let go by a timer before anything else comes."""
    chats: Iterable[tuple[float, str]] = ((0.0, "heldword one"), (0.1, "heldword two"), (2.0, "late"), (2.1, "later"))
    return [
        {"id": f"t{number}", "kind": "chat", "room": "timed", "user": f"u{number}", "ts": start + after, "text": text}
        for number, (after, text) in enumerate(chats)
    ]


@pytest.mark.slow
def test_timers(tmp_path: Path) -> None:
    """What a timer ran live, replay runs at the same room time."""
    config, source, record = tmp_path / "config.toml", tmp_path / "source.jsonl", tmp_path / "record.jsonl"
    config.write_text("[engine]\nhold_s = 1.0\n" + HELD)
    actions: list[dict[str, Any]] = []

    async def story(guard: Guard) -> None:
        start = time.time()
        records = at_real_speed(start)
        source.write_text("".join(json.dumps(one) + "\n" for one in records))
        async with Consumer(guard.url, "audit") as consumer, Edge(guard.url) as edge:
            for one in records:
                await asyncio.sleep(one["ts"] - time.time())
                frame = await edge.send([one], gate=True)
                await edge.all_acked()
                assert frame.verdicts == ["hold" if "heldword" in one["text"] else "allow"]
                if one["text"] == "heldword two":
                    await until(lambda: len(consumer.actions) == 2)
                    assert time.time() < records[2]["ts"]
            actions.extend(consumer.actions)

    with Guard(tmp_path, config, record=record) as guard:
        run(lambda: story(guard))
        assert guard.end() == 0

    assert ["release", "release"] == [action["kind"] for action in actions]
    assert by_room(actions) == replayed(source, config) == replayed(record, config)
    wait_for(lambda: not guard.alive)
