"""Two revisions, figure by figure: how many times as much this one costs, and what got worse.

A figure is worse where both its median and its least run are: noise lifts medians, but it never lowers the least.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence

import attrs
from rich.console import Console
from rich.table import Table

from loadtest.bench.figures import number

TOLERANCE = 0.10


@attrs.frozen
class Pair:
    """One figure of both revisions."""

    name: str
    ours: float
    theirs: float
    ratio: float
    """Of the medians."""
    least_ratio: float
    """Of the least runs."""

    def worse(self, tolerance: float) -> bool:
        """Whether this revision costs more than that, beyond the tolerance."""
        return min(self.ratio, self.least_ratio) > 1 + tolerance


def pairs(ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Every figure that both have and that costs something."""
    out = []
    for name, runs in ours.items():
        other = theirs.get(name)
        if not other or min(other) <= 0 or min(runs) <= 0:
            continue
        mine, that = statistics.median(runs), statistics.median(other)
        out.append(Pair(name, mine, that, mine / that, min(runs) / min(other)))
    return out


def report(found: Sequence[Pair], revision: str, tolerance: float, missing: Sequence[str] = ()) -> bool:
    """Print the table and what is worse; True where nothing is.

    `missing` are figures that only one of the revisions has.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    out = Table(title=f"this revision against {revision}: CPU, median and ratio")
    for name in ("figure", "this", revision, "ratio", "of the least runs"):
        out.add_column(name, justify="left" if name == "figure" else "right")
    for one in found:
        style = "red" if one.worse(tolerance) else "green" if one.ratio < 1 - tolerance else None
        out.add_row(
            one.name, number(one.ours), number(one.theirs), f"{one.ratio:.2f}x", f"{one.least_ratio:.2f}x", style=style
        )
    console.print(out, highlight=False)
    if missing:
        console.print(f"only in one of the two: {', '.join(missing)}", highlight=False)
    worse = [one for one in found if one.worse(tolerance)]
    for one in worse:
        more = (one.ratio - 1) * 100
        console.print(
            f"worse: {one.name} costs {more:.0f} % more than at {revision}; {tolerance * 100:g} % would be borne",
            style="red", highlight=False,
        )  # fmt: skip
    if not found:
        console.print("no figure to compare", style="red")
    elif not worse:
        console.print(
            f"nothing is more than {tolerance * 100:g} % worse than at {revision}", style="green", highlight=False
        )
    return bool(found) and not worse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--against` and `--tolerance`."""
    parser.add_argument(
        "--against", metavar="REV",
        help="run that revision (a commit, tag or branch) in turn with this one; exit 1 where this one is worse",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE * 100, metavar="PERCENT",
        help=f"how much worse is no regression yet; {TOLERANCE * 100:g} by default",
    )  # fmt: skip
