"""Memory: bytes of a room and of a user in it, a process filled up, and how long the collector holds it up."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import time
from typing import Any

from rich.console import Console

from loadtest.bench.checkouts import OWN, Checkout
from loadtest.bench.drive import Connection, TargetFailed, drive
from loadtest.bench.figures import Figure, add_json, at_most, document, figure, number, show, write_json
from loadtest.bench.frames import cut
from loadtest.bench.targets import TARGETS, running
from loadtest.process import environment, usage

ROOM_GOAL = 6 * 1024
PAIR_GOAL = 400
PAUSE_GOAL_MS = 20
CROWD = 20_000
"""Users of one room: as many as `engine.caps.users` lets be."""
FULL_ROOMS, FULL_PAIRS = 50_000, 1_000_000
ROOMS, PAIRS = 5_000, 100_000
ROOMS_A_CONNECTION = 15_000
SETTLE = 1.0  # seconds in which a guard comes to rest


class HeapFailed(Exception):
    """The child ended with an error; carries what it printed."""


def asked(checkout: Checkout, *arguments: str) -> dict[str, Any]:
    """One question to a child of its own.

    Raises:
        HeapFailed: see there.
    """
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.bench.stages.heap", *arguments],
        cwd=checkout.mixed,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HeapFailed(done.stderr.strip()[-2_000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def opened(target: str, rooms: int) -> float:
    """Bytes that an open, idle room takes in a running guard, its task included.

    Raises:
        TargetFailed: the guard did not start, or did not take them all.
    """
    with running(TARGETS[target]) as server, contextlib.ExitStack() as connections:
        # A connection, a few rooms, and the first of everything are there before.
        connections.enter_context(_open(server.port, "warm", 200).socket)
        before = _resident(server.pid)
        for first in range(0, rooms, ROOMS_A_CONNECTION):
            some = min(ROOMS_A_CONNECTION, rooms - first)
            connections.enter_context(_open(server.port, f"bench{first}-", some).socket)
        return (_resident(server.pid) - before) / rooms


def _open(port: int, name: str, rooms: int) -> Connection:
    now = time.time()
    events = [
        f'{{"id":"{name}{one}","kind":"room_open","room":"{name}{one}","ts":{now:.3f},"tags":["games"],"lang":"en",'
        f'"host":"h{name}{one}"}}'
        for one in range(rooms)
    ]
    frames = [events[at : at + 128] for at in range(0, rooms, 128)]
    connection = Connection(port, f"/v1/edge?session={name}")
    for lane in cut(frames, 1.0):
        drive([connection], [lane])
    if connection.answers.rejected:
        raise TargetFailed(f"rooms were refused: {connection.answers.first_rejection}")
    return connection


def _resident(pid: int) -> int:
    time.sleep(SETTLE)  # nothing tells from outside when the last work is done, and memory is read at rest
    found = usage(pid)
    if found is None:
        raise TargetFailed("the guard is gone")
    return found.rss


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `memory`."""
    parser.add_argument("--rooms", type=int, help=f"{ROOMS:,} by default")
    parser.add_argument("--pairs", type=int, help=f"users of rooms; {PAIRS:,} by default")
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROOMS:,} rooms and {FULL_PAIRS:,} users: minutes")
    parser.add_argument("--target", default="guard", choices=[one.name for one in TARGETS.values() if one.is_guard])
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where something failed; a goal that is missed is shown, not a failure."""
    rooms = args.rooms or (FULL_ROOMS if args.full else ROOMS)
    pairs = args.pairs or (FULL_PAIRS if args.full else PAIRS)
    if rooms < 1_000 or pairs < 5_000:
        parser.error("with fewer than 1,000 rooms or 5,000 users what the allocator keeps hides what they take")
    try:
        figures = measured(args.target, rooms, pairs)
    except (HeapFailed, TargetFailed, OSError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return 1
    show(f"memory: {rooms:,} rooms, {pairs:,} users", figures)
    write_json(args.json, document(args, figures, rooms=rooms, pairs=pairs, target=args.target))
    return 0


def measured(target: str, rooms: int, pairs: int) -> list[Figure]:
    """All figures.

    Raises:
        HeapFailed: a child failed.
        TargetFailed: the guard failed.
    """
    some = max(200, rooms // 20)
    filled = asked(OWN, "city", "--rooms", str(rooms), "--pairs", str(pairs))
    size = f"{filled['rooms']:,} rooms, {filled['users']:,} users"
    pause = figure(
        "pause", f"longest pause of the collector, filling {size}, and at reloads", "ms", [filled["pause_ms"]]
    )
    out = [
        at_most(
            figure(
                "room_task", f"an open, idle room of a running {target}, its task too", "bytes", [opened(target, rooms)]
            ),
            ROOM_GOAL,
        ),
        figure(
            "room_state", "the state of a room nothing happened in", "bytes", [_bytes("idle", "--rooms", str(rooms))]
        ),
        figure(
            "room_active",
            "a room of 50 users who wrote 10 times each",
            "bytes",
            [_bytes("active", "--rooms", str(some))],
        ),
    ]
    for name, what in (("counts", "two counts and a limit"), ("shipped", "all that the shipped rules keep")):
        value = _bytes("pairs", "--pairs", str(pairs), "--program", name)
        out.append(
            at_most(figure(f"pair_{name}", f"a user of a room, 3 messages: {what}", "bytes", [value]), PAIR_GOAL)
        )
    out.append(figure("process", f"one process: {size}", "MB", [filled["bytes"] / 2**20]))
    return [*out, at_most(pause, PAUSE_GOAL_MS), *_large_room()]


def _large_room() -> list[Figure]:
    """How long everybody else waits at most while a large room comes, goes, and gets another program."""
    told = asked(OWN, "crowd", "--pairs", str(CROWD))
    what = f"a room of {CROWD:,} users, {told['bytes'] / 2**20:.1f} MB"
    return [
        at_most(figure(f"room_{name}", f"{said}, {what}", "ms", [told[f"{name}_ms"]]), PAUSE_GOAL_MS)
        for name, said in (
            ("write", "longest step of putting away"),
            ("read", "longest step of bringing back"),
            ("move", "a reload that keeps something else of users"),
        )
    ]


def _bytes(*arguments: str) -> float:
    value = float(asked(OWN, *arguments)["bytes"])
    if not math.isfinite(value) or value <= 0:
        raise HeapFailed(f"{' '.join(arguments)}: {number(value)} bytes is no size")
    return value
