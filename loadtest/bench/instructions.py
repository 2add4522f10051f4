"""Instructions an event of the pure core, counted by valgrind: a figure without noise, held to a committed file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest.bench.checkouts import OWN, Checkout
from loadtest.bench.figures import Figure, add_json, at_most, document, figure, show, write_json
from loadtest.process import environment

FILE = Path(__file__).with_suffix(".json")
TOLERANCE = 0.10
UPDATE = "python3 -m loadtest.bench instructions --update"
_TOTAL = re.compile(rb"^(?:summary|totals): (\d+)", re.MULTILINE)


class CountingFailed(Exception):
    """Valgrind or the program under it failed; carries what was said."""


def build() -> str:
    """What the counts depend on besides our code: compiler and kind of build of this Python."""
    tuned = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return f"{platform.python_compiler()}, {platform.machine()}, {'optimised' if tuned else 'not optimised'}"


def minor() -> str:
    """Python's minor version, the key of the file."""
    return ".".join(platform.python_version_tuple()[:2])


def an_event(totals: Mapping[tuple[str, int], int]) -> dict[str, float]:
    """Instructions an event of each kind: what the larger size took more than the smaller, by its events more."""
    sizes: dict[str, list[int]] = {}
    for kind, size in totals:
        sizes.setdefault(kind, []).append(size)
    out = {}
    for kind, (small, large) in ((kind, sorted(both)) for kind, both in sizes.items()):
        out[kind] = round((totals[kind, large] - totals[kind, small]) / (large - small), 1)
    return out


def count(checkout: Checkout = OWN) -> dict[str, float]:
    """Run the work under valgrind.

    Raises:
        CountingFailed: see there.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"]
        done = subprocess.run(
            [*command, sys.executable, "-m", "loadtest.bench.stages.counted"],
            cwd=checkout.mixed,
            env={**environment({}), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CountingFailed(done.stderr.strip()[-2_000:])
        totals = {}
        for pid, kind, size in json.loads(done.stdout)["forks"]:
            found = _TOTAL.search(Path(folder, str(pid)).read_bytes())
            if found is None:
                raise CountingFailed(f"valgrind wrote no total for {kind} of {size}")
            totals[kind, size] = int(found[1])
    return an_event(totals)


def judged(counted: Mapping[str, float], known: Mapping[str, Any] | None, tolerance: float) -> list[Figure]:
    """The counts beside those of the file; the goal is to be no more than the tolerance above them."""
    out = []
    for kind, value in counted.items():
        one = figure(kind, f"decode and judge, {kind}", "instructions/event", [value])
        if known is not None and kind in known["events"]:
            before = known["events"][kind]
            one = at_most(one, before * (1 + tolerance), f"<= {before:,.0f} + {tolerance * 100:g} %")
        out.append(one)
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `instructions`."""
    parser.add_argument(
        "--update", action="store_true", help="write what was counted into the file, as the new measure"
    )
    parser.add_argument("--file", type=Path, default=FILE, help="figures to compare with; those of the repository")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE * 100, metavar="PERCENT")
    add_json(parser)


def main(args: argparse.Namespace, _parser: argparse.ArgumentParser) -> int:
    """Count, compare, print. Exit code 1 where a kind costs too much more, or nothing could be counted in CI."""
    console = Console(stderr=True)
    if shutil.which("valgrind") is None:
        console.print("skipped: there is no valgrind (apt-get install valgrind)", style="yellow")
        return 1 if os.environ.get("CI") == "true" else 0
    try:
        counted = count()
    except (CountingFailed, OSError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    file: dict[str, Any] = json.loads(args.file.read_text(encoding="utf-8")) if args.file.is_file() else {}
    if args.update:
        file[minor()] = {"build": build(), "events": counted}
        args.file.write_text(json.dumps(dict(sorted(file.items())), indent=1) + "\n", encoding="utf-8")
    known = _comparable(file.get(minor()), console)
    figures = judged(counted, known, args.tolerance / 100)
    show(f"instructions an event, Python {minor()}", figures)
    write_json(args.json, document(args, figures, build=build()))
    worse = [one.name for one in figures if one.kept is False]
    if worse:
        console.print(
            f"{', '.join(worse)}: more than {args.tolerance:g} % dearer than {args.file.name} says. "
            f"If that is meant, `{UPDATE}` writes the new figures; commit them with the reason.",
            style="red",
        )
    return 1 if worse else 0


def _comparable(known: dict[str, Any] | None, console: Console) -> dict[str, Any] | None:
    """The file's figures for this Python, where they were made with a build like it."""
    if known is None:
        console.print(f"no figures for Python {minor()} yet: `{UPDATE}` writes them", style="yellow")
    elif known["build"] != build():
        console.print(
            f"not compared: the figures are of another build ({known['build']}; this is {build()}). "
            f"`{UPDATE}` writes those of this one",
            style="yellow",
        )
        return None
    return known
