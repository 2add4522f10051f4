"""Two revisions of the engine, or of whole guards, at once on one core: a ratio that a noisy machine hardly touches."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import attrs
import msgspec
from rich.console import Console

from loadtest.attacks import plan_attacks
from loadtest.bench.checkouts import OWN, Checkout, CheckoutFailed, checked_out
from loadtest.bench.drive import TargetFailed
from loadtest.bench.figures import Figure, add_json, at_most, compared, document, figure, number, show, write_json
from loadtest.bench.frames import EVENT_RATE, Workload, build, recorded
from loadtest.bench.targets import GENERATOR_CORE, TARGETS, Target
from loadtest.bench.whole import measure, needs_two_cores
from loadtest.options import Load
from loadtest.process import environment
from loadtest.recording import RecordingError
from loadtest.rooms import plan_rooms
from loadtest.stream import live_streams

EVENTS, RUNS, TOLERANCE = 200_000, 5, 0.02
PATIENCE_S = 60.0
"""How long a guard that is warm waits for the other."""
Measure = Callable[[Sequence[Checkout]], Sequence[float]]
"""CPU us an event of each side, both at once."""
ROOMS, BATCH, START = 5_000, 128, 1_700_000_000.0


def events(count: int) -> bytes:
    """A recording of mixed traffic, about so many events."""
    load = Load(rooms=ROOMS, edges=1, rate=EVENT_RATE, seconds=count / EVENT_RATE, batch=BATCH, linger=1e9, seed=7)
    planned = plan_rooms(load)
    (stream,) = live_streams(load, [planned], plan_attacks(load, planned))
    lines: list[bytes] = []
    for index in range(stream.frames):
        lines += map(bytes, msgspec.json.decode(f"[{stream.make(index, 0.0, START).events}]", type=list[msgspec.Raw]))
    return b"\n".join((*lines, b""))


class TogetherFailed(Exception):
    """A child ended with an error; carries what it printed."""


def pair(sides: Sequence[Checkout], recording: Path, core: int) -> list[float]:
    """CPU us an event of each side, both at work at the same time on one core.

    The kernel gives them the core in turn, some milliseconds each, so both have the same minutes and neighbours. Both
    are somewhat dearer than alone: each finds the other's things in the processor's caches at the begin of its turn.

    Raises:
        TogetherFailed: see there.
    """
    with ExitStack() as stack:
        children = []
        for side in sides:
            command = [sys.executable, "-m", "loadtest.bench.stages.judged", str(recording)]
            child = subprocess.Popen(
                command, cwd=side.mixed, env=environment({}), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(_end, child)
            os.sched_setaffinity(child.pid, {core})
            children.append(child)
        for child in children:
            assert child.stdout is not None  # noqa: S101 - a pipe, see above
            child.stdout.readline()
        for child in children:
            _begin(child)
        return [_cost(side, child) for side, child in zip(sides, children, strict=True)]


def _begin(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None  # noqa: S101 - a pipe
    try:
        child.stdin.write("\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it ended before it was ready; what it said is read next


def _cost(side: Checkout, child: subprocess.Popen[str]) -> float:
    out, complaint = child.communicate()
    if child.returncode:
        raise TogetherFailed(f"{side.name}: {complaint.strip()[-2_000:]}")
    said = json.loads(out)
    if not Path(said["roomguard"]).is_relative_to(side.mixed):
        raise TogetherFailed(f"{side.name}: the child ran {said['roomguard']}, which is another guard")
    cost: float = said["cpu_us"]
    return cost


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.communicate()


def guards(target: Target, sides: Sequence[Checkout], work: Workload) -> list[float]:
    """CPU us an event of each side's guard with the process of its journal, all on one core, all measured at once.

    Raises:
        TargetFailed: one did not start, broke the protocol, or left events unacknowledged.
    """
    both_warm = threading.Barrier(len(sides), timeout=PATIENCE_S)

    def cost(side: Checkout) -> float:
        try:
            theirs = attrs.evolve(target, name=side.name, folder=side.product)
            return measure(theirs, work, 0, None, both_warm.wait).cpu_us
        except BaseException:
            both_warm.abort()
            raise

    with ThreadPoolExecutor(len(sides)) as pool:
        found = [pool.submit(cost, side) for side in sides]
    for one in found:
        error = one.exception()
        if error is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [one.result() for one in found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `together`."""
    parser.add_argument("--against", required=True, metavar="REV", help="a commit, tag or branch")
    parser.add_argument("--whole", type=int, metavar="BATCH", help="whole guards, so many events a frame")
    known = [one.name for one in TARGETS.values() if one.is_guard]
    parser.add_argument("--target", default="guard", choices=known, help="which guard, with --whole")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="instead of made-up traffic")
    parser.add_argument("--events", type=int, default=EVENTS, help="of made-up traffic, and measured of whole guards")
    parser.add_argument("--runs", type=int, default=RUNS, help="pairs of runs")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE * 100, metavar="PERCENT",
        help=f"how much dearer is no regression yet; {TOLERANCE * 100:g} by default",
    )  # fmt: skip
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where this revision is dearer by more than the tolerance; 2 is usage."""
    if min(args.events, args.runs, args.whole or 1) < 1:
        parser.error("every number has to be at least 1")
    if args.recording is not None and not args.recording.is_file():
        parser.error(f"--recording: there is no file {args.recording}")
    if not hasattr(os, "sched_setaffinity"):
        parser.error("this system cannot keep programs on one core")
    if args.whole:
        needs_two_cores(parser)
    console = Console(stderr=True)
    cores = os.sched_getaffinity(0)
    try:
        with checked_out(args.against) as other, tempfile.TemporaryDirectory(prefix="bench-") as folder:
            at_once = _guards(args) if args.whole else _engines(args, Path(folder), max(cores))
            runs = _runs(at_once, other, args.runs, console)
            name = other.name
    except (TogetherFailed, TargetFailed, CheckoutFailed, RecordingError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    finally:
        os.sched_setaffinity(0, cores)
    what = f"an event through a guard, {args.whole} a frame" if args.whole else "an event judged"
    figures = _figures(what, name, runs, args.tolerance / 100)
    show(f"together: CPU time of {'whole guards' if args.whole else 'the engine'} on one core", figures)
    write_json(args.json, document(args, figures, against=name, runs=runs))
    return 0 if figures[-1].kept else 1


def _engines(args: argparse.Namespace, folder: Path, core: int) -> Measure:
    recording: Path = args.recording or folder / "events.jsonl"
    if args.recording is None:
        recording.write_bytes(events(args.events))
    return lambda sides: pair(sides, recording.resolve(), core)


def _guards(args: argparse.Namespace) -> Measure:
    os.sched_setaffinity(0, {GENERATOR_CORE})
    if args.recording is None:
        work = build(args.events, args.whole, rooms=ROOMS)
    else:
        work = recorded(args.recording, args.events, args.whole)
    return lambda sides: guards(TARGETS[args.target], sides, work)


def _runs(at_once: Measure, other: Checkout, count: int, console: Console) -> list[tuple[float, float]]:
    """Pairs of costs, of this revision and the other."""
    runs: list[tuple[float, float]] = []
    for run in range(1, count + 1):
        # Who begins first changes: it does not matter, and this shows it.
        sides = (OWN, other) if run % 2 else (other, OWN)
        costs = at_once(sides)
        own, beside = costs if run % 2 else reversed(costs)
        runs.append((own, beside))
        console.print(f"run {run}  {number(own)} beside {number(beside)} µs  {own / beside:.3f}x", highlight=False)
    return runs


def _figures(what: str, name: str, runs: Sequence[tuple[float, float]], tolerance: float) -> list[Figure]:
    ours, theirs = zip(*runs, strict=True)
    other = figure("other", f"{what}, at {name}", "µs/event", theirs)
    this = compared(figure("this", f"{what}, in the same slices", "µs/event", ours), "other", other.value)
    ratio = figure("ratio", "this over other, pair by pair", "x", [one / two for one, two in runs])
    return [other, this, at_most(ratio, 1 + tolerance)]
