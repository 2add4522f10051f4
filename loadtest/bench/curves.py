"""How the cost of an event changes with rooms, batch, rules, users and share of chat: one of them at a time.

And what is left of it where nothing is judged: sessions, rooms, users and their tasks alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from rich.console import Console

from loadtest.bench import generated
from loadtest.bench.checkouts import HERE
from loadtest.bench.figures import Figure, add_json, compared, document, figure, show, write_json
from loadtest.bench.frames import build
from loadtest.bench.targets import TARGETS, Target
from loadtest.bench.whole import measured, needs_two_cores, numbers

FACTORS = ("rooms", "batch", "judging", "rules", "users", "chat_share")


@attrs.frozen
class Point:
    """One mix of all factors; `users` 0 means as many as the rate asks for, `chat_share` None the usual one.

    `judging` 0 is a configuration without any rule, 1 the one that is measured.
    """

    rooms: int = 5_000
    batch: int = 16
    judging: int = 1
    rules: int = 0
    users: int = 0
    chat_share: int | None = None


def points(values: Mapping[str, Sequence[int]], middle: Point) -> list[tuple[str, int, Point]]:
    """The factor that is changed, its value, and the mix: all others stay in the middle."""
    return [
        (factor, value, attrs.evolve(middle, **{factor: value}))
        for factor, chosen in values.items()
        for value in chosen
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `curves`."""
    parser.add_argument("--rooms", default="100,500,5000,50000")
    parser.add_argument("--batch", default="1,16,128,256", help="events a frame")
    parser.add_argument("--judging", default="0,1", help="0: by no rule at all; 1: by the configuration's")
    parser.add_argument("--rules", default="0,10,30,100", help="generated rules behind those of the configuration")
    parser.add_argument("--users", default="20000,100000,400000", help="ordinary people, all rooms together")
    parser.add_argument("--chat-share", default="20,70,100", help="percent of the events that are chat")
    parser.add_argument("--factors", default=",".join(FACTORS), help=f"of {', '.join(FACTORS)}")
    parser.add_argument("--events", type=int, default=60_000, help="events measured a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--middle", default="5000,16", metavar="ROOMS,BATCH", help="what stays while others change")
    parser.add_argument("--target", default="guard", choices=[one.name for one in TARGETS.values() if one.is_guard])
    parser.add_argument("--config", type=Path, help="that of the checkout by default")
    add_json(parser)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Measure and print. Exit code 1 where a run failed."""
    factors = args.factors.split(",")
    if not set(factors) <= set(FACTORS):
        parser.error(f"--factors {args.factors}: of {', '.join(FACTORS)}")
    values = {one: numbers(getattr(args, one), f"--{one.replace('_', '-')}", parser) for one in factors}
    middle = numbers(args.middle, "--middle", parser)
    if len(middle) != 2 or min(*middle, args.events, args.runs, args.connections) < 1:
        parser.error("every number has to be at least 1, and --middle two of them")
    if any(value < (1 if one in ("rooms", "batch", "users") else 0) for one in factors for value in values[one]):
        parser.error("rooms, batch and users have to be at least 1, rules and shares at least 0")
    if any(share > 100 for share in values.get("chat_share", ())):
        parser.error("--chat-share: at most 100 percent")
    if not {0, 1}.issuperset(values.get("judging", ())):
        parser.error("--judging: 0 or 1")
    needs_two_cores(parser)
    console = Console(stderr=True)
    figures: list[Figure] = []
    failures: list[str] = []
    first: dict[str, Figure] = {}
    base = (args.config or HERE / "config.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for factor, value, point in points(values, Point(*middle)):
            config = Path(folder) / f"judging_{point.judging}_rules_{point.rules}.toml"
            config.write_text((base if point.judging else "") + generated.toml(point.rules), encoding="utf-8")
            console.print(f"{factor} {value:,}", highlight=False)
            costs, failed = _costs(TARGETS[args.target], point, args, config, console)
            failures += failed
            if costs:
                one = figure(f"{factor}_{value}", f"CPU an event, {_said(point)}", "µs/event", costs)
                before = first.setdefault(factor, one)
                figures.append(one if one is before else compared(one, before.name, before.value))
    show(f"curves of {args.target}: one factor at a time, beside its first value", figures)
    write_json(args.json, document(args, figures, target=args.target, events=args.events, failures=failures))
    return 1 if failures else 0


def _said(point: Point) -> str:
    share = "" if point.chat_share is None else f", {point.chat_share} % chat"
    users = f", {point.users:,} users" if point.users else ""
    rules = f"{point.rules} rules more" if point.judging else "no rule at all"
    return f"{point.rooms:,} rooms, {point.batch} a frame, {rules}{users}{share}"


def _costs(
    target: Target, point: Point, args: argparse.Namespace, config: Path, console: Console
) -> tuple[list[float], list[str]]:
    work = build(
        args.events, point.batch, connections=args.connections, rooms=point.rooms, seed=args.seed,
        users=point.users or None, chat_share=None if point.chat_share is None else point.chat_share / 100,
    )  # fmt: skip
    samples, failures = measured([target], [work], args.runs, config, console)
    return [sample.cpu_us for sample in samples], failures
