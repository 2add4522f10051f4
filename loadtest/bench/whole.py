"""The whole path: the same frames to every target, runs interleaved, CPU an event beside the yardsticks'."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from loadtest.bench.drive import Connection, TargetFailed, drive
from loadtest.bench.frames import Workload, build, recorded
from loadtest.bench.targets import GENERATOR_CORE, TARGETS, Target, running
from loadtest.recording import RecordingError

SCHEMA = 1
BASE = "y1"
SETTLE = 0.1  # seconds after the last ack, so that what it set off is counted too


@attrs.frozen
class Sample:
    """One target, one batch size, one run. CPU in µs an event."""

    target: str
    batch: int
    run: int
    events: int
    cpu_us: float
    valkey_us: float
    seconds: float
    actions: int
    rejected: int
    probe_ns: float
    """A fixed loop of pure Python on the generator's core just before: how noisy the machine was, ns an iteration."""


def probe() -> float:
    """Nanoseconds of CPU an iteration of a fixed loop takes."""
    begun = time.thread_time_ns()
    total = 0
    for number in range(300_000):
        total += number & 3
    return (time.thread_time_ns() - begun) / 300_000


def measure(target: Target, work: Workload, run: int, config: Path | None) -> Sample:
    """One run in a fresh process.

    Raises:
        TargetFailed: it did not start, broke the protocol, or left events unacknowledged.
    """
    noise = probe()
    with running(target, config) as server:
        paths = [f"{target.path}?session=bench-{number}" for number in range(len(work.warm))]
        connections = [Connection(server.port, path) for path in paths]
        try:
            drive(connections, work.warm)
            time.sleep(SETTLE)
            cpu, valkey = server.cpu(), server.valkey_cpu()
            seconds = drive(connections, work.measured)
            time.sleep(SETTLE)
            cpu, valkey = server.cpu() - cpu, server.valkey_cpu() - valkey
        finally:
            for connection in connections:
                connection.socket.close()
    events = sum(lane.total for lane in work.measured)
    rejected = sum(connection.answers.rejected for connection in connections)
    if rejected:
        reason = next(one.answers.first_rejection for one in connections if one.answers.rejected)
        Console(stderr=True).print(
            f"{target.name}: {rejected:,} events rejected, the first as {reason}", style="yellow"
        )
    return Sample(
        target=target.name,
        batch=work.batch,
        run=run,
        events=events,
        cpu_us=cpu / events * 1e6,
        valkey_us=valkey / events * 1e6,
        seconds=seconds,
        actions=sum(connection.answers.actions for connection in connections),
        rejected=rejected,
        probe_ns=noise,
    )


def summarize(samples: list[Sample]) -> list[dict[str, Any]]:
    """Median, least and most of each target and batch size, and the ratio of its median to the base's."""
    groups: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.batch, sample.target), []).append(sample)
    medians = {key: statistics.median(one.cpu_us for one in group) for key, group in groups.items()}
    rows = []
    for (batch, target), group in groups.items():
        median, base = medians[batch, target], medians.get((batch, BASE))
        rows.append(
            {
                "target": target,
                "batch": batch,
                "runs": len(group),
                "cpu_us": round(median, 3),
                "cpu_us_min": round(min(one.cpu_us for one in group), 3),
                "cpu_us_max": round(max(one.cpu_us for one in group), 3),
                "valkey_us": round(statistics.median(one.valkey_us for one in group), 3),
                "ratio": round(median / base, 3) if base else None,
                "events_per_s": round(statistics.median(one.events / one.seconds for one in group)),
                "action_share": round(statistics.median(one.actions / one.events for one in group), 4),
                "rejected": sum(one.rejected for one in group),
            }
        )
    return rows


def _table(console: Console, rows: list[dict[str, Any]]) -> None:
    batches = sorted({row["batch"] for row in rows})
    table = Table(title=f"CPU µs an event: median (least - most), ratio to {BASE}")
    table.add_column("target")
    for batch in batches:
        table.add_column(f"{batch} a frame", justify="right")
    for target in dict.fromkeys(row["target"] for row in rows):
        cells = []
        for batch in batches:
            found = [row for row in rows if row["target"] == target and row["batch"] == batch]
            cells.append(_cell(found[0]) if found else "-")
        table.add_row(target, *cells)
    console.print(table, highlight=False)


def _cell(row: dict[str, Any]) -> str:
    ratio = "" if row["ratio"] is None else f"  {row['ratio']:.2f}x"
    valkey = f" + {row['valkey_us']:.1f}" if row["valkey_us"] else ""
    return f"{row['cpu_us']:.2f}{valkey} ({row['cpu_us_min']:.2f} - {row['cpu_us_max']:.2f}){ratio}"


def revision() -> str:
    """The commit that is measured, `+` where the tree differs from it; empty outside a checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S607 - git from PATH
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)  # noqa: S607 - git from PATH
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `whole`."""
    parser.add_argument("--events", type=int, default=200_000, help="events measured a run")
    parser.add_argument("--batch", default="1,16,128", help="events a frame, several with commas")
    parser.add_argument("--targets", default="y1,y3,floor,guard", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rooms", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--recording", type=Path, help="events of a recording instead of mixed traffic")
    parser.add_argument("--config", type=Path, help="for the guard; its own default otherwise")
    parser.add_argument("--json", type=Path, metavar="FILE")


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where a target failed; 2 is usage."""
    names = args.targets.split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"unknown targets: {', '.join(unknown)}; known: {', '.join(TARGETS)}")
    if (os.cpu_count() or 1) < 2:
        parser.error("needs two cores: one for the target, one for the generator")
    try:
        batches = [int(text) for text in args.batch.split(",")]
    except ValueError:
        parser.error(f"--batch {args.batch}: expected numbers with commas between")
    if min(args.events, args.runs, args.connections, args.rooms, *batches) < 1:
        parser.error("every number has to be at least 1")
    console = Console(stderr=True)
    console.print("making the frames")
    try:
        works = [_work(args, batch) for batch in batches]
    except (RecordingError, OSError) as error:
        parser.error(str(error))
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    try:
        samples, failures = _measured([TARGETS[name] for name in names], works, args, console)
    finally:
        os.sched_setaffinity(0, cores)
    rows = summarize(samples)
    _table(Console(), rows)
    document = {
        "schema": SCHEMA,
        "revision": revision(),
        "machine": {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()},
        "events": args.events,
        "connections": args.connections,
        "rooms": args.rooms,
        "seed": args.seed,
        "recording": args.recording.name if args.recording else None,
        "targets": {name: TARGETS[name].what for name in names},
        "rows": rows,
        "samples": [attrs.asdict(sample) for sample in samples],
        "failures": failures,
    }
    if args.json is not None:
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if failures else 0


def _work(args: argparse.Namespace, batch: int) -> Workload:
    if args.recording is not None:
        return recorded(args.recording, args.events, batch, connections=args.connections)
    return build(args.events, batch, connections=args.connections, rooms=args.rooms, seed=args.seed)


def _measured(
    targets: list[Target], works: list[Workload], args: argparse.Namespace, console: Console
) -> tuple[list[Sample], list[str]]:
    """All runs in turn: each round measures every target once, so that a noisy minute hits all alike."""
    samples: list[Sample] = []
    failures: list[str] = []
    for run in range(args.runs):
        for work in works:
            for target in targets[run % len(targets) :] + targets[: run % len(targets)]:
                try:
                    sample = measure(target, work, run, args.config)
                except (TargetFailed, OSError) as error:
                    failures.append(f"{target.name} at {work.batch}: {error}")
                    console.print(f"run {run + 1}  {failures[-1]}", style="red", highlight=False, markup=False)
                    continue
                samples.append(sample)
                console.print(
                    f"run {run + 1}  batch {work.batch:3d}  {target.name:12s} {sample.cpu_us:7.2f} µs  "
                    f"{sample.events / sample.seconds:9,.0f} events/s  {sample.actions:,} actions  "
                    f"probe {sample.probe_ns:.0f} ns",
                    highlight=False,
                )
    return samples, failures


if __name__ == "__main__":
    sys.exit("python -m loadtest.bench whole")
