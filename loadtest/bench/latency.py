"""Latency of a guard in its own process at shares of its capacity, and what stalls, hot rooms and commits add."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from loadtest.bench.drive import TargetFailed
from loadtest.bench.figures import (
    Figure,
    add_json,
    at_most,
    compared,
    document,
    figure,
    ratio_at_most,
    show,
    write_json,
)
from loadtest.bench.frames import build
from loadtest.bench.targets import GENERATOR_CORE, TARGETS, Running, Target, running
from loadtest.bench.whole import measure, needs_two_cores, numbers
from loadtest.process import free_port

PARTS = ("loads", "commit", "fairness")
BATCH = 128
LINGER_MS = 20
"""Long enough to fill frames at the rates that matter here: the page is about frames of so many events."""
HOT_TIMES = 100
"""A hot room has so many times the rate of the mean room."""
HOT_AT_MOST = 1.5
"""What p99 of the others may become beside it, times what it is without."""
FLOODED_SHARE = 0.3
"""A flooded room has this share of the capacity, ..."""
QUIET_SHARE = 0.3
"""... and this is that of all the others together."""
STALL_GOAL_MS = 20.0
ADMIN_TIMEOUT = 10.0
_BUCKET = re.compile(r'^roomguard_loop_lag_seconds_bucket\{le="([^"]+)"\} ([\d.e+]+)$', re.MULTILINE)


@attrs.frozen
class Told:
    """What one paced run says. Milliseconds; None where nothing of the kind came."""

    idle_ms: float | None
    ack_p50: float | None
    ack_p99: float | None
    action_p50: float | None
    action_p99: float | None
    late_p99: float | None
    """How late the generator itself sent a frame: what is in the latencies without being the guard's."""
    robbed: float
    """Share of the time, percent, that a thread of the guard wanted to run and had no core. Its own threads wait for
    each other too, but where this is large the machine was busy with something else, and latencies say little."""
    stall_ms: float
    """Upper bound of the longest time the loop came too late."""
    rate: float
    cpu_us: float | None
    failures: list[str]


@attrs.frozen
class Course:
    """What all runs of one measurement share."""

    target: Target
    rooms: int
    seconds: float
    console: Console

    def paced(self, rate: float, settings: Mapping[str, str] | None = None, hot: float = 0.0) -> Told:
        """One run at a rate in a fresh guard, beside a hot room of another rate if there is one.

        Raises:
            TargetFailed: the guard or the generator failed.
        """
        admin = free_port()
        chosen = {**self.target.settings, "admin.port": str(admin), **(settings or {})}
        with running(attrs.evolve(self.target, settings=chosen)) as server:
            before, waited, begun = lag(admin), runnable_s(server.pid), time.monotonic()
            doc = self._load(server, rate, hot)
            robbed = (runnable_s(server.pid) - waited) / (time.monotonic() - begun)
            stall = longest(before, lag(admin))
        told = _told(doc, stall, robbed * 100)
        self.console.print(
            f"{rate:9,.0f} events/s  ack p50 {_ms(told.ack_p50)} p99 {_ms(told.ack_p99)}  "
            f"action p50 {_ms(told.action_p50)} p99 {_ms(told.action_p99)}  idle {_ms(told.idle_ms)}  "
            f"waited for a core {told.robbed:.0f} %",
            highlight=False,
        )
        return told

    def _load(self, server: Running, rate: float, hot: float) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            out = Path(folder) / "out.json"
            command = [sys.executable, "-m", "loadtest", "--url", f"ws://127.0.0.1:{server.port}", "--quiet"]
            command += ["--rooms", str(self.rooms), "--rate", str(rate), "--seconds", str(self.seconds)]
            command += [
                "--guard-pid",
                str(server.pid),
                "--batch",
                str(BATCH),
                "--linger-ms",
                str(LINGER_MS),
                "--json",
                str(out),
                "--idle-trips",
                "100",
            ]
            # The hot room begins once the others are open, and lasts as long as they do.
            flooder = _flooder(server, hot, self.seconds + 2.0) if hot else None
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            finally:
                if flooder is not None:
                    flooder.terminate()
                    flooder.wait()
            if not out.is_file():
                raise TargetFailed(f"the generator failed:\n{done.stderr.strip()[-1_500:]}")
            doc: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
            return doc


def _flooder(server: Running, rate: float, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "loadtest.bench.flooder", "--port", str(server.port), "--rate", str(rate)]
    return subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.DEVNULL)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def lag(port: int) -> dict[float, float]:
    """The guard's own measure of how late its loop is: how often at most so many seconds.

    Raises:
        TargetFailed: its admin port does not answer.
    """
    try:
        return buckets(_page(port))
    except (OSError, http.client.HTTPException) as error:
        raise TargetFailed(f"no metrics on port {port}: {error}") from error


def _page(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ADMIN_TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def buckets(page: str) -> dict[float, float]:
    """Upper bound in seconds to how many came at most so late, of a page of metrics."""
    return {float(bound): float(count) for bound, count in _BUCKET.findall(page)}


def longest(before: Mapping[float, float], after: Mapping[float, float]) -> float:
    """Upper bound, ms, of the latest wake-up in between; the last bound where it was later than all of them."""
    bounds = sorted(after)
    finite = [bound for bound in bounds if bound != float("inf")]
    known = 0.0
    out = 0.0
    for bound in bounds:
        new = after[bound] - before.get(bound, 0.0)
        if new > known:
            known, out = new, min(bound, finite[-1])
    return out * 1e3


def runnable_s(pid: int) -> float:
    """Seconds that the living threads of a process have waited for a core so far; 0 where the kernel does not say."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError, IndexError):  # a thread that just ended; a kernel without schedstat
            total += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return total / 1e9


def _told(doc: Mapping[str, Any], stall: float, robbed: float) -> Told:
    latency = doc["latency_ms"]
    return Told(
        idle_ms=doc["idle_trip_ms"],
        ack_p50=latency["ack"]["p50"],
        ack_p99=latency["ack"]["p99"],
        action_p50=latency["action"]["p50"],
        action_p99=latency["action"]["p99"],
        late_p99=latency["sent_late"]["p99"],
        robbed=robbed,
        stall_ms=stall,
        rate=doc["events"]["rate"],
        cpu_us=doc["guard"]["cpu_us_per_event"],
        failures=doc["failures"],
    )


def of_load(name: str, what: str, told: Told) -> list[Figure]:
    """The figures of one run, beside its idle round trip; those of actions only where there were any."""
    out = []
    rows = (
        ("ack_p50", "event to ack, p50", told.ack_p50),
        ("ack_p99", "event to ack, p99", told.ack_p99),
        ("action_p50", "event to action, p50", told.action_p50),
        ("action_p99", "event to action, p99", told.action_p99),
    )
    for kind, said, value in rows:
        if value is not None:
            out.append(
                compared(figure(f"{kind}_{name}", f"{said}, {what}", "ms", [value]), "idle", told.idle_ms or 0.0)
            )
    if told.late_p99 is not None:
        out.append(figure(f"late_p99_{name}", f"the generator's own lateness, p99, {what}", "ms", [told.late_p99]))
    out.append(figure(f"robbed_{name}", f"time the guard waited for a core, {what}", "%", [told.robbed]))
    stall = figure(f"stall_{name}", f"longest stall of the loop, at most; {what}", "ms", [told.stall_ms])
    out.append(at_most(stall, STALL_GOAL_MS))
    return out


def loads(course: Course, capacity: float, shares: list[int]) -> list[Figure]:
    """Runs at shares of the capacity, in percent."""
    out = []
    for share in shares:
        told = course.paced(capacity * share / 100)
        if told.idle_ms is not None:
            out.append(figure(f"idle_{share}", "round trip of one event, before the load", "ms", [told.idle_ms]))
        found = of_load(str(share), f"at {share} %, {told.rate:,.0f}/s", told)
        if share == 50:
            goals = {"action_p50_50": 1.0, "action_p99_50": 5.0}
            found = [at_most(one, goals[one.name]) if one.name in goals else one for one in found]
        out += found
    return out


def commits(course: Course, capacity: float, waits: list[int]) -> list[Figure]:
    """What it adds when a commit waits for more actions, at half the capacity."""
    out = []
    for wait in waits:
        told = course.paced(capacity / 2, {"bus.commit_wait_ms": str(wait)})
        out += of_load(f"wait_{wait}", f"at 50 %, a commit waits {wait} ms", told)
    return out


_FAIR = {
    "ack_p99": "event to ack, p99",
    "action_p99": "event to action, p99",
    "late_p99": "the generator's own lateness, p99",
    "robbed": "time the guard waited for a core, under load",
}


_HELD = ("ack_p99", "action_p99")
"""Of these, what has a goal."""


def fairness(course: Course, capacity: float) -> list[Figure]:
    """Quiet rooms alone, beside one a hundred times as busy as they are, and beside one as busy as all together."""
    rate = capacity * QUIET_SHARE
    what = f"of {course.rooms:,} rooms at {rate:,.0f}/s"
    alone = course.paced(rate)
    out = _others("alone", what, alone)
    mean = rate / course.rooms
    for name, hot in (("hot", HOT_TIMES * mean), ("flooded", capacity * FLOODED_SHARE)):
        beside = f"{what}, beside a room at {hot / mean:,.0f} times their rate"
        for one in _others(f"beside_{name}", beside, course.paced(rate, hot=hot)):
            kind = one.name.removesuffix(f"_beside_{name}")
            before = next((other for other in out if other.name == f"{kind}_alone"), None)
            found = one if before is None else compared(one, "alone", before.value)
            out.append(ratio_at_most(found, HOT_AT_MOST) if name == "hot" and kind in _HELD else found)
    return out


def _others(name: str, what: str, told: Told) -> list[Figure]:
    """How the other rooms fare in one run."""
    found = {"ack_p99": told.ack_p99, "action_p99": told.action_p99, "late_p99": told.late_p99, "robbed": told.robbed}
    return [
        figure(f"{kind}_{name}", f"{_FAIR[kind]} {what}", "%" if kind == "robbed" else "ms", [value])
        for kind, value in found.items()
        if value is not None
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latency`."""
    parser.add_argument("--target", default="guard", choices=[one.name for one in TARGETS.values() if one.is_guard])
    parser.add_argument("--seconds", type=float, default=8.0, help="of load in each run; there are eight by default")
    parser.add_argument("--rooms", type=int, default=5_000)
    parser.add_argument("--loads", default="10,50,80", help="percent of the capacity")
    parser.add_argument("--commit-waits", default="0,2,5", metavar="MS,...")
    parser.add_argument("--capacity", type=float, help="events a second, instead of finding it out")
    parser.add_argument("--capacity-events", type=int, default=60_000, help="events sent to find it out")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where a run failed; a goal that is missed is shown, not a failure."""
    parts = args.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts {args.parts}: of {', '.join(PARTS)}")
    shares, waits = numbers(args.loads, "--loads", parser), numbers(args.commit_waits, "--commit-waits", parser)
    if min(args.seconds, args.rooms, args.capacity_events, *shares) < 1 or min(waits) < 0:
        parser.error("every number has to be at least 1, a wait at least 0")
    needs_two_cores(parser)
    course = Course(TARGETS[args.target], args.rooms, args.seconds, Console(stderr=True))
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    try:
        capacity = args.capacity or found_capacity(course, args.capacity_events)
        figures = [figure("capacity", f"events a second, saturated, {BATCH} a frame", "events/s", [capacity])]
        if "loads" in parts:
            figures += loads(course, capacity, shares)
        if "commit" in parts:
            figures += commits(course, capacity, waits)
        if "fairness" in parts:
            figures += fairness(course, capacity)
    except (TargetFailed, OSError) as error:
        course.console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    finally:
        os.sched_setaffinity(0, cores)
    show(f"latency of {args.target}", figures)
    write_json(args.json, document(args, figures, target=args.target, rooms=args.rooms, seconds=args.seconds))
    return 0


def found_capacity(course: Course, events: int) -> float:
    """Events a second of a saturated guard; the best of two runs, since noise only takes away.

    Raises:
        TargetFailed: it failed.
    """
    work = build(events, BATCH, rooms=course.rooms)
    samples = [measure(course.target, work, run, None) for run in range(2)]
    best = max(sample.events / sample.seconds for sample in samples)
    course.console.print(f"capacity {best:,.0f} events/s", highlight=False)
    return best
