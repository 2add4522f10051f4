"""What every benchmark says: figures with their spread, beside what they are compared with, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

SCHEMA = 1


@attrs.frozen
class Figure:
    """One measured number: the median of `runs`, and the least and the most of them."""

    name: str
    what: str
    unit: str
    value: float
    least: float
    most: float
    runs: int
    beside: str = ""
    """What it is compared with; `ratio` is this figure over that one."""
    ratio: float | None = None
    goal: str = ""
    kept: bool | None = None
    """Whether the goal is kept; None where there is none."""


def figure(name: str, what: str, unit: str, runs: Sequence[float]) -> Figure:
    """The figure of some runs.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError(f"{name} was never measured")
    return Figure(name, what, unit, statistics.median(runs), min(runs), max(runs), len(runs))


def compared(one: Figure, name: str, base: float) -> Figure:
    """`one` beside something that costs `base`; without a ratio where that is nothing."""
    return attrs.evolve(one, beside=name, ratio=one.value / base if base > 0 else None)


def at_most(one: Figure, goal: float, text: str = "") -> Figure:
    """`one` with the goal that its value is no more than `goal`."""
    return attrs.evolve(one, goal=text or f"<= {goal:g} {one.unit}", kept=one.value <= goal)


def ratio_at_most(one: Figure, goal: float) -> Figure:
    """`one` with the goal that its ratio is no more than `goal`."""
    return attrs.evolve(one, goal=f"<= {goal:g}x", kept=None if one.ratio is None else one.ratio <= goal)


def table(title: str, figures: Sequence[Figure]) -> Table:
    """All figures, one a row."""
    out = Table(title=title)
    out.add_column("figure")
    out.add_column("what", max_width=52)
    out.add_column("median (least - most)", justify="right")
    out.add_column("beside", justify="right")
    out.add_column("goal")
    for one in figures:
        ratio = "" if one.ratio is None else f"{number(one.ratio)}x {one.beside}"
        style = "red" if one.kept is False else None
        mark = {True: "kept", False: "missed", None: ""}[one.kept]
        spread = f" ({number(one.least)} - {number(one.most)})" if one.runs > 1 else ""
        out.add_row(
            one.name, one.what, f"{number(one.value)}{spread} {one.unit}", ratio, f"{one.goal} {mark}".strip(),
            style=style,
        )  # fmt: skip
    return out


def number(value: float) -> str:
    """A number with three digits that matter."""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def head(args: argparse.Namespace) -> dict[str, Any]:
    """How every document begins: which command, what was typed (`line`), and what it ran on."""
    return {
        "schema": SCHEMA,
        "command": args.command,
        "line": args.line,
        "revision": revision(),
        "machine": machine(),
    }


def document(args: argparse.Namespace, figures: Sequence[Figure], **more: Any) -> dict[str, Any]:
    """What `--json` writes."""
    return {**head(args), **more, "figures": [attrs.asdict(one) for one in figures]}


def machine() -> dict[str, Any]:
    """What it was measured on, and how noisy that is at this moment: the probe, and how many wanted to run lately."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "probe_ns": round(probe(), 1),
        "load_5_min": round(os.getloadavg()[1], 1),
    }


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write the document, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(title: str, figures: Sequence[Figure]) -> None:
    """The table on stdout; as wide as it needs where that is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=170)
    console.print(table(title, figures), highlight=False)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")


def probe() -> float:
    """Nanoseconds of CPU an iteration of a fixed loop takes: how noisy the machine is."""
    begun = time.thread_time_ns()
    total = 0
    for turn in range(300_000):
        total += turn & 3
    return (time.thread_time_ns() - begun) / 300_000


def revision() -> str:
    """The commit that is measured, `+` where the tree differs from it; empty outside a checkout."""
    try:
        head, dirty = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if dirty else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607 - git from PATH
