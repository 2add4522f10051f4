"""The whole path: the same frames to every target, runs interleaved, CPU an event beside the yardsticks'."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from loadtest.bench import against
from loadtest.bench.checkouts import Checkout, CheckoutFailed, checked_out
from loadtest.bench.drive import Connection, TargetFailed, drive
from loadtest.bench.figures import add_json, head, probe, write_json
from loadtest.bench.frames import SharedMissing, Workload, build, recorded, shared_recording
from loadtest.bench.targets import GENERATOR_CORE, TARGETS, Target, running
from loadtest.recording import RecordingError

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
    repeats: int
    """Actions that came again; not among `actions`."""
    rejected: int
    probe_ns: float
    """A fixed loop of pure Python on the generator's core just before: how noisy the machine was, ns an iteration."""


def measure(
    target: Target, work: Workload, run: int, config: Path | None, ready: Callable[[], object] | None = None
) -> Sample:
    """One run in a fresh process; `ready` is called between the warm-up and what is measured.

    Raises:
        TargetFailed: it did not start, broke the protocol, or left events unacknowledged.
    """
    noise = probe()
    with running(target, config) as server:
        paths = [f"{target.path}?session=bench-{number}" for number in range(len(work.warm))]
        connections = [Connection(server.port, path) for path in paths]
        try:
            drive(connections, work.warm)
            time.sleep(SETTLE)  # a guard works on after its last ack and does not say until when: not measured here,
            if ready is not None:
                ready()
            cpu, valkey = server.cpu(), server.valkey_cpu()
            seconds = drive(connections, work.measured)
            time.sleep(SETTLE)  # ... and measured here: these commits and actions are of the events that were sent
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
        repeats=sum(connection.answers.repeats for connection in connections),
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `whole`."""
    parser.add_argument("--events", type=int, default=200_000, help="events measured a run")
    parser.add_argument("--batch", default="1,16,128", help="events a frame, several with commas")
    parser.add_argument(
        "--targets", help=f"of {', '.join(TARGETS)}; y1,y3,floor,guard by default, guard alone with --against"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rooms", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--workload", "--recording", dest="recording", type=Path, metavar="FILE|shared",
        help="events of a recording instead of mixed traffic; `shared`: of the generator beside the checkout",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, help="for the guard; its own default otherwise")
    against.add_arguments(parser)
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where a target failed or, with --against, got worse; 2 is usage."""
    names = (args.targets or ("guard" if args.against else "y1,y3,floor,guard")).split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"unknown targets: {', '.join(unknown)}; known: {', '.join(TARGETS)}")
    targets = [TARGETS[name] for name in names]
    if args.against and not any(target.is_guard for target in targets):
        parser.error("--against: none of the targets is a guard, and yardsticks have no revisions")
    needs_two_cores(parser)
    batches = numbers(args.batch, "--batch", parser)
    if min(args.events, args.runs, args.connections, args.rooms, *batches) < 1:
        parser.error("every number has to be at least 1")
    console = Console(stderr=True)
    console.print("making the frames")
    try:
        works = _works(args, batches)
    except (RecordingError, SharedMissing, OSError) as error:
        parser.error(str(error))
    if args.against is None:
        return _plain(args, targets, works, console)
    try:
        with checked_out(args.against) as other:
            return _against(args, targets, works, other, console)
    except CheckoutFailed as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1


def needs_two_cores(parser: argparse.ArgumentParser) -> None:
    """Usage error on a machine that has no core for each side."""
    if (os.cpu_count() or 1) < 2:
        parser.error("needs two cores: one for the target, one for the generator")


def numbers(text: str, option: str, parser: argparse.ArgumentParser) -> list[int]:
    """Whole numbers with commas between; usage error for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        parser.error(f"{option} {text}: expected numbers with commas between")


def _works(args: argparse.Namespace, batches: list[int]) -> list[Workload]:
    if args.recording is None:
        return [
            build(args.events, batch, connections=args.connections, rooms=args.rooms, seed=args.seed)
            for batch in batches
        ]
    if str(args.recording) != "shared":
        return [recorded(args.recording, args.events, batch, connections=args.connections) for batch in batches]
    with shared_recording(args.events, args.seed) as path:
        return [recorded(path, args.events, batch, connections=args.connections) for batch in batches]


def _plain(args: argparse.Namespace, targets: list[Target], works: list[Workload], console: Console) -> int:
    samples, failures = measured(targets, works, args.runs, args.config, console)
    rows = summarize(samples)
    _table(Console(), rows)
    write_json(args.json, _document(args, targets, samples, failures, rows=rows))
    return 1 if failures else 0


def _against(
    args: argparse.Namespace, targets: list[Target], works: list[Workload], other: Checkout, console: Console
) -> int:
    """Every guard twice, this revision's and the other's. What looks worse is measured again before it is called so."""
    theirs = [
        attrs.evolve(target, name=f"{target.name}@{other.name}", folder=other.product)
        for target in targets
        if target.is_guard
    ]
    samples, failures = measured([*targets, *theirs], works, args.runs, args.config, console)
    tolerance = args.tolerance / 100
    if any(one.worse(tolerance) for one in _pairs(samples, other)):
        console.print("something looks worse: once more, to be sure")
        more, failed = measured([*targets, *theirs], works, args.runs, args.config, console)
        samples += more
        failures += failed
    _table(Console(), summarize(samples))
    found = _pairs(samples, other)
    good = against.report(found, other.name, tolerance)
    pairs = [attrs.asdict(one) for one in found]
    write_json(args.json, _document(args, targets, samples, failures, against=other.name, pairs=pairs))
    return 0 if good and not failures else 1


def _pairs(samples: list[Sample], other: Checkout) -> list[against.Pair]:
    """What each guard costs at each batch size, here and there."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for sample in samples:
        name, at, _ = sample.target.partition(f"@{other.name}")
        (theirs if at else ours).setdefault(f"{name} at {sample.batch}", []).append(sample.cpu_us)
    return against.pairs(ours, theirs)


def _document(
    args: argparse.Namespace, targets: list[Target], samples: list[Sample], failures: list[str], **more: Any
) -> dict[str, Any]:
    return {
        **head(args),
        "events": args.events,
        "connections": args.connections,
        "rooms": args.rooms,
        "seed": args.seed,
        "recording": args.recording.name if args.recording else None,
        "targets": {target.name: target.what for target in targets},
        **more,
        "samples": [attrs.asdict(sample) for sample in samples],
        "failures": failures,
    }


def measured(
    targets: list[Target], works: list[Workload], runs: int, config: Path | None, console: Console
) -> tuple[list[Sample], list[str]]:
    """All runs in turn, this process kept off the targets' core: what was measured, and what failed.

    Each round measures every target once, so that a noisy minute hits all alike.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    samples: list[Sample] = []
    failures: list[str] = []
    try:
        for run in range(runs):
            shift = run % len(targets)
            for work in works:
                for target in targets[shift:] + targets[:shift]:
                    try:
                        samples.append(measure(target, work, run, config))
                    except (TargetFailed, OSError) as error:
                        failures.append(f"{target.name} at {work.batch}: {error}")
                        console.print(f"run {run + 1}  {failures[-1]}", style="red", highlight=False, markup=False)
                    else:
                        _say(samples[-1], console)
    finally:
        os.sched_setaffinity(0, cores)
    return samples, failures


def _say(sample: Sample, console: Console) -> None:
    console.print(
        f"run {sample.run + 1}  batch {sample.batch:3d}  {sample.target:12s} {sample.cpu_us:7.2f} µs  "
        f"{sample.events / sample.seconds:9,.0f} events/s  {sample.actions:,} actions  "
        f"probe {sample.probe_ns:.0f} ns",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit("python -m loadtest.bench whole")
