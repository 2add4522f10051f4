"""Each stage of the path alone: CPU of frames, decoding, hand-over, texts, features, rules, decisions, the journal."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from loadtest.bench import against
from loadtest.bench.checkouts import OWN, Checkout, CheckoutFailed, checked_out
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
from loadtest.process import environment

EVENTS = 12_000
RUNS = 5


class StagesFailed(Exception):
    """The child ended with an error; carries what it printed."""


@attrs.frozen
class Timed:
    """What a child says: facts of each stage by name, its times, and what was left out."""

    stages: dict[str, dict[str, Any]]
    times: dict[str, list[float]]
    left_out: list[str]


def timed(checkout: Checkout, events: int, runs: int, only: str) -> Timed:
    """Time the stages of a checkout in a child.

    Raises:
        StagesFailed: see there.
    """
    command = [sys.executable, "-m", "loadtest.bench.stages.run", "--events", str(events), "--runs", str(runs)]
    done = subprocess.run(
        [*command, "--only", only], cwd=checkout.mixed, env=environment({}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StagesFailed(f"{checkout.name}: {done.stderr.strip()[-2_000:]}")
    said = json.loads(done.stdout)
    if not Path(said["roomguard"]).is_relative_to(checkout.mixed):
        raise StagesFailed(f"{checkout.name}: the child ran {said['roomguard']}, which is another guard")
    return Timed({one["name"]: one for one in said["stages"]}, said["times"], said["left_out"])


def netted(stages: Mapping[str, Mapping[str, Any]], times: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Times with the median of what each stage stands on taken off: what it adds. Noise may take it below nothing."""
    out = {}
    for name, runs in times.items():
        over = stages[name]["over"]
        if over and over not in times:
            continue
        base = statistics.median(times[over]) if over else 0.0
        out[name] = [own - base for own in runs]
    return out


def figures(stages: Mapping[str, Mapping[str, Any]], times: Mapping[str, Sequence[float]]) -> list[Figure]:
    """A figure a stage, beside its floor or yardstick, with its goal."""
    net = netted(stages, times)
    out = []
    for name, runs in net.items():
        facts = stages[name]
        what = facts["what"] + (f" (over {facts['over']})" if facts["over"] else "")
        one = figure(name, what, facts["unit"].replace("us/", "µs/"), runs)
        beside = facts["beside"]
        if beside in net:
            one = compared(one, beside, statistics.median(net[beside]))
        if facts["most_ratio"] is not None and one.ratio is not None:
            one = ratio_at_most(one, facts["most_ratio"])
        if facts["most"] is not None:
            one = at_most(one, facts["most"])
        out.append(one)
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `stages`."""
    parser.add_argument("--events", type=int, default=EVENTS, help="events of the traffic the stages work on")
    parser.add_argument("--runs", type=int, default=RUNS, help="rounds; each times every stage once")
    parser.add_argument("--only", default="", metavar="NAME,...", help="stages whose names begin so, and their floors")
    against.add_arguments(parser)
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where a stage could not run or, with --against, got worse; 2 is usage."""
    if min(args.events, args.runs) < 1:
        parser.error("every number has to be at least 1")
    if args.events < 1_000:
        parser.error("--events: fewer than 1,000 say nothing")
    try:
        if args.against is not None:
            with checked_out(args.against) as other:
                return _against(args, other)
        found = timed(OWN, args.events, args.runs, args.only)
    except (StagesFailed, CheckoutFailed) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return 1
    if not found.times and not found.left_out:
        parser.error(f"--only {args.only}: no stage begins so")
    made = figures(found.stages, found.times)
    show("stages: CPU time, median of the rounds", made)
    _left_out(found.left_out)
    write_json(
        args.json,
        document(args, made, events=args.events, rounds=args.runs, times=found.times, left_out=found.left_out),
    )
    return 1 if found.left_out else 0


def _left_out(reasons: Sequence[str]) -> None:
    for reason in reasons:
        Console(stderr=True).print(f"left out  {reason}", style="yellow", markup=False, highlight=False)


def _against(args: argparse.Namespace, other: Checkout) -> int:
    """Rounds in turn. What looks worse is measured again, with as many rounds more, before it is called so."""
    sides = {OWN.name: OWN, other.name: other}
    said = _rounds(sides, args, args.only)
    ours, theirs = said[OWN.name], said[other.name]
    tolerance = args.tolerance / 100
    doubtful = [one.name for one in against.pairs(ours.times, theirs.times) if one.worse(tolerance)]
    if doubtful:
        again = _rounds(sides, args, ",".join(doubtful))
        for side, more in ((ours, again[OWN.name]), (theirs, again[other.name])):
            for name in doubtful:
                side.times[name] += more.times.get(name, [])
    found = against.pairs(ours.times, theirs.times)
    good = against.report(found, other.name, tolerance, sorted(set(ours.times) ^ set(theirs.times)))
    _left_out([*ours.left_out, *(f"{other.name}: {reason}" for reason in theirs.left_out)])
    write_json(
        args.json,
        document(args, figures(ours.stages, ours.times), against=other.name, left_out=ours.left_out,
            pairs=[attrs.asdict(one) for one in found],
        ),
    )  # fmt: skip
    return 0 if good and not ours.left_out else 1


def _rounds(sides: Mapping[str, Checkout], args: argparse.Namespace, only: str) -> dict[str, Timed]:
    """One child a side and round, the sides changing places. Times are as they are, nothing taken off."""
    out: dict[str, Timed] = {}
    for turn in range(args.runs):
        for name in sorted(sides, reverse=bool(turn % 2)):
            new = timed(sides[name], args.events, 1, only)
            known = out.setdefault(name, Timed(new.stages, {}, new.left_out))
            for stage, runs in new.times.items():
                known.times.setdefault(stage, []).extend(runs)
    return out
