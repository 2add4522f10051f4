"""Put measured figures into docs/performance.md: give it the files that `--json` wrote."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.checkouts import HERE
from loadtest.bench.figures import number

PAGE = HERE / "docs" / "performance.md"


class PageError(Exception):
    """The page has no place for these figures, or the file is none of a benchmark."""


def filled(page: str, document: Mapping[str, Any]) -> str:
    """The page with the figures of one document between its marks, `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        PageError: see there.
    """
    name = document.get("command")
    if not isinstance(name, str):
        raise PageError("not written by --json of a benchmark")
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise PageError(f"the page has no place for {name}")
    head, _, rest = page.partition(begin)
    tail = rest.partition(end)[2]
    return f"{head}{begin}\n{_block(document)}\n{end}{tail}"


def _block(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    said = (
        f"`python3 -m loadtest.bench {document['line']}`\n"
        f"at revision `{document['revision']}`, Python {machine['python']}, {machine['cores']} cores, "
        f"noise probe {machine['probe_ns']:g} ns, load {machine['load_5_min']:g}."
    )
    return "\n".join([said, "", *(_whole(document["rows"]) if "rows" in document else _table(document["figures"]))])


def _table(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| figure | what | median (least to most) | beside | goal |", "|---|---|---|---|---|"]
    for one in figures:
        spread = f" ({number(one['least'])} to {number(one['most'])})" if one["runs"] > 1 else ""
        beside = "" if one["ratio"] is None else f"{number(one['ratio'])} x `{one['beside']}`"
        mark = {True: ", kept", False: ", **missed**", None: ""}[one["kept"]]
        goal = f"{one['goal'].replace('<=', 'at most')}{mark}" if one["goal"] else ""
        cells = (f"`{one['name']}`", one["what"], f"{number(one['value'])}{spread} {one['unit']}", beside, goal)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _whole(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    batches = sorted({row["batch"] for row in rows})
    lines = [f"| target | {' | '.join(f'{batch} a frame' for batch in batches)} |", "|---" * (len(batches) + 1) + "|"]
    for target in dict.fromkeys(row["target"] for row in rows):
        cells = [f"`{target}`"]
        for batch in batches:
            found = next((row for row in rows if row["target"] == target and row["batch"] == batch), None)
            cells.append("" if found is None else _cell(found))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(row: Mapping[str, Any]) -> str:
    spread = f"{row['cpu_us']:.2f} ({row['cpu_us_min']:.2f} to {row['cpu_us_max']:.2f})"
    return spread if row["ratio"] is None else f"{spread}, {row['ratio']:.2f} x"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--page", type=Path, default=PAGE)


def main(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Fill the page; nothing is written where one file cannot be used."""
    page = args.page.read_text(encoding="utf-8")
    for file in args.files:
        try:
            page = filled(page, json.loads(file.read_text(encoding="utf-8")))
        except (PageError, OSError, json.JSONDecodeError) as error:
            parser.error(f"{file}: {error}")
    args.page.write_text(re.sub(r"[ \t]+\n", "\n", page), encoding="utf-8")
    return 0
