"""The command line: options in, exit code out."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import uvloop
from rich.console import Console

from loadtest import report
from loadtest.console import Progress, summary
from loadtest.edge import EdgeFailed
from loadtest.options import SCENARIOS, Limits, Load, Options, Playback, Target
from loadtest.outcome import document, missed
from loadtest.process import GuardFailed
from loadtest.recording import RecordingError
from loadtest.runner import plan, run

OK, MISSED, USAGE, FAILED = range(4)
MOST_ROOMS = 200_000  # as many as the wheel that picks rooms has slots for


def _number(low: float, high: float = float("inf"), kind: type[float] = float) -> Any:
    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:.12g} and {high:.12g}")
        return value

    return parse


def _count(low: int, high: int) -> Any:
    return _number(low, high, int)


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE, as in listen.backend=sansio")
    return key, value


def is_loopback(url: str) -> bool:
    """Does the URL name this machine by a loopback address, or as localhost?"""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parser() -> argparse.ArgumentParser:
    """All options."""
    top = argparse.ArgumentParser(
        prog="loadtest",
        description="Load a guard with simulated or recorded rooms and say what it did.",
        epilog="Exit code: 0 all thresholds kept, 1 one was missed, 2 usage, 3 the run could not be carried out.",
    )
    _load_arguments(top)
    _target_arguments(top)
    _run_arguments(top)
    return top


def _load_arguments(top: argparse.ArgumentParser) -> None:
    load = top.add_argument_group("load")
    load.add_argument("--scenario", choices=SCENARIOS, default="mixed")
    load.add_argument("--rooms", type=_count(1, MOST_ROOMS), default=5_000)
    load.add_argument("--edges", type=_count(1, 256), default=4)
    load.add_argument("--rate", type=_number(1, 1e6), default=50_000.0, help="events a second, all edges together")
    load.add_argument("--seconds", type=_number(1, 86_400), default=30.0)
    load.add_argument("--batch", type=_count(1, 4096), default=128, help="most events a frame")
    load.add_argument("--linger-ms", type=_number(0.1, 1e4), default=5.0, help="longest an edge gathers a frame")
    load.add_argument("--seed", type=int, default=7)
    load.add_argument("--zipf", type=_number(0, 4), default=1.1, help="exponent of the rooms' popularity")
    load.add_argument("--gap", type=_number(1, 1e5), default=20.0, help="mean seconds between a user's events")
    load.add_argument("--users", type=_count(1, 10_000_000), help="so many ordinary users instead of by --gap")
    load.add_argument("--attack-share", type=_number(0, 0.9), help="share of the events that attacks send")
    load.add_argument("--attacks-after", type=_number(0), default=2.0, help="seconds before the first attack")
    load.add_argument("--gate", type=_number(0, 1), default=0.0, help="share of the frames that ask for verdicts")
    load.add_argument("--no-open", action="store_true", help="do not announce the rooms first")
    played = top.add_argument_group("recordings instead of a scenario")
    played.add_argument("--recording", type=Path, nargs="+", default=[], metavar="FILE")
    played.add_argument("--speed", type=_number(0.01, 1e6), default=1.0, help="times faster than recorded")
    played.add_argument("--keep-ts", action="store_true", help="send `ts` as recorded")


def _target_arguments(top: argparse.ArgumentParser) -> None:
    target = top.add_argument_group("target")
    target.add_argument("--url", help="a guard that runs already; without it one is started")
    target.add_argument("--token", help="bearer token")
    target.add_argument("--guard-pid", type=int, help="with --url: whose CPU and memory to read")
    target.add_argument("--config", type=Path, help="for the guard that is started")
    target.add_argument("--data", type=Path, help="its data folder; a temporary one by default")
    target.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="a setting above its file"
    )
    target.add_argument("--pin", action="store_true", help="the guard on core 0, the generator on core 1")
    target.add_argument("--i-own-this-server", action="store_true", help="allow a target that is not this machine")


def _run_arguments(top: argparse.ArgumentParser) -> None:
    out = top.add_argument_group("output")
    out.add_argument("--json", type=Path, metavar="FILE")
    out.add_argument("--report", type=Path, metavar="FILE.html")
    out.add_argument("--actions", type=Path, metavar="FILE", help="write every action, one a line")
    out.add_argument("--events", type=Path, metavar="FILE", help="write every event sent: a recording (slows us down)")
    out.add_argument("--guard-log", type=Path, metavar="FILE", help="write what the guard we start prints")
    out.add_argument("--quiet", action="store_true", help="no line each second")
    run_options = top.add_argument_group("run")
    run_options.add_argument("--drain-s", type=_number(0.1, 600), default=10.0, help="wait for the last acks")
    run_options.add_argument("--idle-trips", type=_count(1, 10_000), default=200)
    limits = top.add_argument_group("thresholds (exit code 1 if one is missed)")
    for field in attrs.fields(Limits):
        kind = (
            int
            if field.name in ("max_lost", "max_unacked", "max_rejected", "max_shed", "max_errors", "max_innocents")
            else float
        )
        limits.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar="N")


def options(arguments: Sequence[str] | None = None) -> Options:
    """The command line as options. Leaves with exit code 2 where it makes no sense."""
    top = parser()
    args = top.parse_args(arguments)
    if args.url is not None:
        scheme = urlsplit(args.url).scheme
        if scheme not in ("ws", "wss"):
            top.error(f"--url {args.url}: not a ws:// or wss:// address")
        if not is_loopback(args.url) and not args.i_own_this_server:
            top.error(f"--url {args.url}: not this machine; say --i-own-this-server if the server is yours to load")
    if args.pin and (os.cpu_count() or 1) < 2:
        top.error("--pin needs two cores")
    for path in (*args.recording, *([args.config] if args.config else [])):
        if not path.is_file():
            top.error(f"{path}: no such file")
    return Options(
        load=_load(args),
        playback=Playback(files=tuple(args.recording), speed=args.speed, keep_ts=args.keep_ts),
        target=Target(
            url=args.url,
            token=args.token,
            guard_pid=args.guard_pid,
            config=args.config,
            data=args.data,
            settings=tuple(args.set),
            pin=args.pin,
        ),
        limits=Limits(**{field.name: getattr(args, field.name) for field in attrs.fields(Limits)}),
        drain=args.drain_s,
        idle_trips=args.idle_trips,
        json=args.json,
        report=args.report,
        actions=args.actions,
        events=args.events,
        guard_log=args.guard_log,
        quiet=args.quiet,
    )


def _load(args: argparse.Namespace) -> Load:
    return Load(
        scenario=args.scenario,
        rooms=args.rooms,
        edges=args.edges,
        rate=args.rate,
        seconds=args.seconds,
        batch=args.batch,
        linger=args.linger_ms / 1e3,
        seed=args.seed,
        zipf=args.zipf,
        gap=args.gap,
        users=args.users,
        attack_share=args.attack_share,
        attacks_after=args.attacks_after,
        gate=args.gate,
        open_rooms=not args.no_open,
        run=f"{time.time_ns() // 1_000_000:x}." if args.url else "",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load test; the exit code."""
    chosen = options(arguments)
    progress = Progress(Console(stderr=True), quiet=chosen.quiet)
    try:
        progress.say("making the load")
        script = plan(chosen)
        progress.say("starting the guard and opening the rooms")
        result = uvloop.run(run(chosen, script, progress.second))
    except (GuardFailed, EdgeFailed, RecordingError, OSError) as error:
        progress.done()
        Console(stderr=True).print(f"loadtest: {error}", style="red", highlight=False, markup=False)
        return FAILED
    finally:
        progress.done()
    doc = document(result)
    misses = missed(chosen.limits, doc)
    doc["missed"] = [str(miss) for miss in misses]
    summary(Console(), doc, misses)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(doc, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if chosen.report is not None:
        chosen.report.write_text(report.page(doc), encoding="utf-8")
    if doc["failures"]:
        return FAILED
    return MISSED if misses else OK
