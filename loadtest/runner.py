"""One run from start to end: plan, start the guard, open the rooms, measure it idle, load it, wait, count."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import attrs

from loadtest.attacks import Attacker, Plan, plan_attacks
from loadtest.edge import Dumps, Edge
from loadtest.histogram import Histogram
from loadtest.options import Options
from loadtest.pace import Pacer
from loadtest.process import GuardProcess, Usage, usage
from loadtest.recording import played_streams
from loadtest.rooms import people, plan_rooms, split
from loadtest.stream import Stream, live_streams
from loadtest.tally import Tally

WIDE_CLAMP = {"listen.clamp_back_s": "31536000", "listen.clamp_ahead_s": "31536000"}
"""A year, for recordings: their `ts` lie far from now, and a guard of ours has to take them as they are."""


@attrs.frozen
class Script:
    """What is going to be played."""

    streams: list[Stream]
    seconds: float
    rooms: int
    users: int
    attackers: dict[str, Attacker]
    episodes: dict[str, int]
    skipped: dict[str, int]
    cheering: frozenset[str] = frozenset()
    """Of the users, those who only take part in a burst of hype."""


@attrs.frozen
class Second:
    """One second of the load. Rates in events a second, latencies in ms, CPU in cores, memory in bytes."""

    second: int
    sent: int
    answered: int
    actions: int
    ack_p50: float | None
    ack_p99: float | None
    action_p99: float | None
    guard_cpu: float | None
    guard_rss: int | None
    own_cpu: float


@attrs.define
class Run:
    """Everything a run left behind."""

    options: Options
    script: Script
    tally: Tally
    idle: list[float] = attrs.field(factory=list)
    seconds: list[Second] = attrs.field(factory=list)
    elapsed: float = 0.0
    """From the start of the load to its last answer."""
    sending: float = 0.0
    """From the start of the load until the last frame went out; longer than planned where the guard held us up."""
    load_events: int = 0
    unacked: int = 0
    unsent_frames: int = 0
    guard_before: Usage | None = None
    guard_after: Usage | None = None
    guard_peak: int = 0
    own_cpu: float = 0.0
    config: str = ""
    node: str = ""
    guard_exit: int | None = None
    failures: list[str] = attrs.field(factory=list)


def plan(options: Options) -> Script:
    """What the options ask for, made ready.

    Raises:
        RecordingError, OSError: a recording cannot be used.
    """
    load = options.load
    if options.playback.files:
        played = played_streams(options.playback, load)
        return Script([*played.streams], played.seconds, played.rooms, played.users, {}, {}, played.skipped)
    rooms = plan_rooms(load)
    attacks: Plan = plan_attacks(load, rooms)
    streams = live_streams(load, [part for part in split(rooms, load.edges) if part], attacks)
    users = people(rooms) + len(attacks.cheering)
    return Script(
        [*streams], load.seconds, load.rooms, users, attacks.attackers, attacks.episodes, {}, attacks.cheering
    )


@contextlib.asynccontextmanager
async def _guard(options: Options) -> AsyncIterator[tuple[str, int | None, GuardProcess | None]]:
    """Where to connect, whose CPU to read, and the child if it is ours."""
    target = options.target
    if target.url is not None:
        yield target.url, target.guard_pid, None
        return
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        settings = {**(WIDE_CLAMP if options.playback.files else {}), **dict(target.settings)}
        data = target.data or Path(folder)
        guard = await GuardProcess.start(target.config, data, settings=settings, log=options.guard_log, pin=target.pin)
        if target.pin:
            os.sched_setaffinity(0, {1})
        try:
            yield guard.url, guard.pid, guard
        finally:
            await guard.stop()


async def run(options: Options, script: Script, on_second: Callable[[Second, Tally], None]) -> Run:
    """Play the script. `on_second` is called once a second while the load runs.

    Raises:
        GuardFailed: our own guard did not start.
        EdgeFailed: an edge could not connect, or the guard stopped answering before the load began.
        OSError: a file for actions or events cannot be written.
    """
    result = Run(options, script, Tally(script.attackers))
    with contextlib.ExitStack() as stack:
        dumps = Dumps(
            actions=stack.enter_context(options.actions.open("w", encoding="utf-8")) if options.actions else None,
            events=stack.enter_context(options.events.open("wb")) if options.events else None,
        )
        async with _guard(options) as (url, pid, guard):
            await _played(result, url, pid, dumps, on_second)
            if guard is not None and guard.code is not None:
                result.failures.append(f"the guard ended by itself with {guard.code}:\n{guard.printed()}")
        if guard is not None:
            result.guard_exit = guard.code
            if guard.code:
                result.failures.append(f"the guard ended with {guard.code}:\n{guard.printed()}")
    return result


async def _played(
    result: Run, url: str, pid: int | None, dumps: Dumps, on_second: Callable[[Second, Tally], None]
) -> None:
    options, script, tally = result.options, result.script, result.tally
    base = url.rstrip("/")
    nonce = f"{os.getpid()}-{time.time_ns():x}"
    pacer = Pacer.best()
    edges = [
        Edge(f"{base}/v1/edge?session=load-{nonce}-{number}", options.target.token, stream, tally, dumps, pacer)
        for number, stream in enumerate(script.streams)
    ]
    try:
        for edge in edges:
            await edge.connect()
        if edges[0].welcome is not None:
            result.config, result.node = edges[0].welcome.config, edges[0].welcome.node
        if options.load.open_rooms:
            await asyncio.gather(*(edge.open_rooms(min(128, options.load.batch * 4)) for edge in edges))
        result.idle = await edges[0].idle_trips(options.idle_trips)
        gc.collect()
        gc.freeze()
        await _load(result, edges, pid, on_second)
    finally:
        gc.unfreeze()
        for edge in edges:
            await edge.leave()
        pacer.close()


async def _load(result: Run, edges: list[Edge], pid: int | None, on_second: Callable[[Second, Tally], None]) -> None:
    options, tally = result.options, result.tally
    loop = asyncio.get_running_loop()
    sent_before = tally.counts.sent
    own_before = time.process_time()
    result.guard_before = usage(pid) if pid is not None else None
    start = monotonic() + 0.05
    wall = time.time() + 0.05
    until = start + result.script.seconds + options.drain
    sampler = loop.create_task(_sample(result, pid, start, on_second))
    try:
        await asyncio.gather(*(edge.play(start, wall, until) for edge in edges))
        result.sending = monotonic() - start
        for edge in edges:
            await edge.settle(max(0.1, until - monotonic()))
        result.elapsed = monotonic() - start
        result.own_cpu = time.process_time() - own_before
        result.guard_after = usage(pid) if pid is not None else None
        await asyncio.sleep(options.settle)
    finally:
        sampler.cancel()
    result.load_events = tally.counts.sent - sent_before
    result.unacked = sum(edge.unacked() for edge in edges)
    result.unsent_frames = sum(edge.unsent() for edge in edges)
    result.failures += [f"edge {number}: {edge.failed}" for number, edge in enumerate(edges) if edge.failed]


async def _sample(result: Run, pid: int | None, start: float, on_second: Callable[[Second, Tally], None]) -> None:
    """Once a second: what has happened since."""
    tally = result.tally
    guard, own, sent, answered, actions = (
        result.guard_before,
        time.process_time(),
        tally.counts.sent,
        tally.answered,
        tally.counts.actions,
    )
    last = start
    number = 0
    while True:
        number += 1
        await asyncio.sleep(max(0.0, start + number - monotonic()))
        now = monotonic()
        current = usage(pid) if pid is not None else None
        spent = time.process_time()
        second = Second(
            second=number,
            sent=round((tally.counts.sent - sent) / (now - last)),
            answered=round((tally.answered - answered) / (now - last)),
            actions=tally.counts.actions - actions,
            ack_p50=_ms(tally.second_ack, 0.5),
            ack_p99=_ms(tally.second_ack, 0.99),
            action_p99=_ms(tally.second_action, 0.99),
            guard_cpu=round((current.cpu - guard.cpu) / (now - last), 3) if current and guard else None,
            guard_rss=current.rss if current else None,
            own_cpu=round((spent - own) / (now - last), 3),
        )
        tally.second_ack, tally.second_action = Histogram(), Histogram()
        guard, own, sent, answered, actions = current, spent, tally.counts.sent, tally.answered, tally.counts.actions
        last = now
        result.guard_peak = max(result.guard_peak, second.guard_rss or 0)
        if number > result.script.seconds and not tally.lost:
            continue  # all is sent and answered: not a second of the load any more
        result.seconds.append(second)
        on_second(second, tally)


def _ms(histogram: Histogram, share: float) -> float | None:
    value = histogram.percentile(share)
    return None if value is None else round(value * 1e3, 3)


def idle_median(result: Run) -> float | None:
    """The median idle round trip in seconds; None if none was measured."""
    return statistics.median(result.idle) if result.idle else None
