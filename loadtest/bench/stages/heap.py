"""`python -m loadtest.bench.stages.heap WHAT`: fill one process with rooms or users, and say what they take. A child.

What is measured is resident memory, so that what the allocator keeps counts too. Each question is asked in a process of
its own, because memory that was used once is not given back.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.bench.stages.work import START, texts
from roomguard.cli.common import config_path
from roomguard.configure import configure
from roomguard.engine.portions import Portions, T
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.model.events import Chat, Like
from roomguard.runtime import collector
from roomguard.testing import feature, limit, program, rule

MESSAGES = 3
"""Of each user, at most ten seconds apart: windows hold them all."""
USERS_A_ROOM = 1_000
ACTIVE_USERS = 50
ACTIVE_EVENTS = 10
RELOADS = 3
_BALLAST = 2 << 20


def resident() -> int:
    """Resident bytes now, after a look at all."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ballast() -> list[bytes]:
    """Small things of all sizes, until the process has to grow: what was freed before must not be taken for nothing.

    To be kept as long as something is measured.
    """
    kept: list[bytes] = []
    enough = resident() + _BALLAST
    while resident() < enough:
        kept += [bytes(size) for size in range(16, 480, 16) for _ in range(64)]
    return kept


def counts() -> Program:
    """Windows of a user and nothing else: two counts and a limit on likes."""
    return program(
        rule("flood", "ten > 9 or thirty > 19"),
        rule("likes", 'over("likes")', on=("like",)),
        features={"ten": feature("count", 10.0), "thirty": feature("count", 30.0)},
        limits={"likes": limit("3000/60s", algorithm="gcra", events=("like",))},
    )


def shipped() -> Program:
    """What config.toml keeps."""
    return configure(config_path(None), environment={}).program


PROGRAMS = {"counts": counts, "shipped": shipped}


def people(rooms: int, users: int, messages: int, said: list[str]) -> Iterator[Chat | Like]:
    """`users` people in each room, all of one round before the next; names and ids are made anew, as a decoder does."""
    number = 0
    for turn in range(messages):
        for room in range(rooms):
            for user in range(users):
                number += 1
                ts = START + 10.0 * turn + 9.0 * user / users
                name = f"u{room * users + user:09d}"
                if turn == 1 and not user % 4:
                    yield Like(id=f"l{number:09d}", room=f"r{room:05d}", user=name, ts=ts, count=3)
                yield Chat(id=f"e{number:09d}", room=f"r{room:05d}", user=name, ts=ts, text=said[number % len(said)])


def idle(rooms: int) -> dict[str, Any]:
    """Rooms that nothing happened in."""
    compiled, tally = shipped(), Tally()
    kept = ballast()
    before = resident()
    guards = [RoomGuard(f"r{number:05d}", compiled, tally) for number in range(rooms)]
    taken = resident() - before
    del kept
    return {"bytes": taken / len(guards)}


def active(rooms: int) -> dict[str, Any]:
    """Rooms of fifty people who wrote ten times each."""
    _, filled = _filled(shipped(), rooms, ACTIVE_USERS, ACTIVE_EVENTS)
    return {"bytes": filled / rooms}


def pairs(count: int, compiled: Program) -> dict[str, Any]:
    """Users of rooms of a thousand: bytes each, what the room keeps for all of them included."""
    rooms = max(1, count // USERS_A_ROOM)
    _, filled = _filled(compiled, rooms, USERS_A_ROOM, MESSAGES)
    return {"bytes": filled / (rooms * USERS_A_ROOM)}


def city(rooms: int, count: int) -> dict[str, Any]:
    """Everything at once, then reloads, under the collector's settings of a guard: bytes, and its longest pause."""
    compiled = shipped()
    collector.begin()
    pauses = Pauses()
    gc.callbacks.append(pauses.note)
    guards, filled = _filled(compiled, rooms, max(1, count // rooms), MESSAGES)
    for number in range(RELOADS):
        flood = f"thresholds.flood_10s={10 + number}"
        compiled = configure(config_path(None), [flood], environment={}).program
        for guard in guards.values():
            guard.configure(compiled)
    gc.callbacks.remove(pauses.note)
    users = sum(guard.statistics().users for guard in guards.values())
    return {
        "rooms": len(guards),
        "users": users,
        "bytes": filled,
        "pause_ms": pauses.longest * 1e3,
    }


def crowd(users: int) -> dict[str, Any]:
    """A large room written down, read back, and moved to a program that keeps something else of users: milliseconds.

    Of the first two the longest portion; a move has only one.
    """
    compiled = shipped()
    other = configure(config_path(None), ["engine.caps.causes=12"], environment={}).program
    collector.begin()
    guards, _ = _filled(compiled, 1, users, MESSAGES)
    (guard,) = guards.values()
    write, data = _longest(guard.snapshot_in_portions())
    read, again = _longest(RoomGuard.restore_in_portions(guard.room, compiled, data))
    begun = time.perf_counter()
    again.configure(other)
    moved = time.perf_counter() - begun
    return {"write_ms": write * 1e3, "read_ms": read * 1e3, "move_ms": moved * 1e3, "bytes": len(data)}


def _longest(portions: Portions[T]) -> tuple[float, T]:
    """Seconds that the longest of these portions took, and what they made."""
    longest = 0.0
    while True:
        begun = time.perf_counter()
        try:
            next(portions)
        except StopIteration as end:
            made: T = end.value
            return max(longest, time.perf_counter() - begun), made
        longest = max(longest, time.perf_counter() - begun)


class Pauses:
    """How long the collector held everything up at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0

    def note(self, phase: str, _info: dict[str, int]) -> None:
        """What `gc.callbacks` calls."""
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._begun)


def _filled(compiled: Program, rooms: int, users: int, messages: int) -> tuple[dict[str, RoomGuard], int]:
    """Rooms after all have spoken, and the bytes that took. Facts of the texts are there before: they have a bound."""
    said = [*texts(1_000, plain=True), *texts(300, plain=False)]
    for text in (*said, *said):  # what came twice is remembered
        compiled.analyser.facts(text).near_skeleton  # noqa: B018 - worked out when it is asked for
    guards: dict[str, RoomGuard] = {}
    tally = Tally()
    kept = ballast()
    before = resident()
    for event in people(rooms, users, messages, said):
        guard = guards.get(event.room)
        if guard is None:
            guard = guards[event.room] = RoomGuard(event.room, compiled, tally)
        guard.receive(event, event.ts)
    taken = resident() - before
    del kept
    return guards, taken


def main() -> int:
    """Ask one question; the answer is one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("idle", "active", "pairs", "city", "crowd"))
    parser.add_argument("--rooms", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--program", choices=sorted(PROGRAMS), default="shipped")
    args = parser.parse_args()
    answers = {
        "idle": lambda: idle(args.rooms),
        "active": lambda: active(args.rooms),
        "pairs": lambda: pairs(args.pairs, PROGRAMS[args.program]()),
        "city": lambda: city(args.rooms, args.pairs),
        "crowd": lambda: crowd(args.pairs),
    }
    json.dump(answers[args.what](), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
