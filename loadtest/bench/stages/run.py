"""`python -m loadtest.bench.stages.run`: time stages in this process and print the times as JSON. A child's program."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable

import roomguard
from loadtest.bench.stages.stage import Stage, in_turn
from loadtest.bench.stages.work import Traffic, events

GROUPS = ("wire", "rooms", "text", "judging", "outlet")
"""Modules of this package with `stages(traffic)`. Loaded one by one: what one needs another revision may not have."""
FACTS = ("name", "what", "count", "unit", "over", "beside", "most", "most_ratio")


def catalogue(traffic: Traffic, said: Callable[[str], None]) -> list[Stage]:
    """Every stage. A group that cannot be made here is said and left out."""
    out: list[Stage] = []
    for name in GROUPS:
        try:
            out += importlib.import_module(f"loadtest.bench.stages.{name}").stages(traffic)
        except Exception as error:  # noqa: BLE001 - another revision may lack anything; the rest still counts
            said(f"{name}: {type(error).__name__}: {error}")
    return out


def chosen(stages: list[Stage], only: list[str]) -> list[Stage]:
    """Those whose names begin with one of `only`, with all that they are compared with or taken off."""
    if not only:
        return stages
    wanted = {stage.name for stage in stages if any(stage.name.startswith(start) for start in only)}
    before = 0
    while before != len(wanted):
        before = len(wanted)
        wanted |= {other for stage in stages if stage.name in wanted for other in (stage.over, stage.beside) if other}
    return [stage for stage in stages if stage.name in wanted]


def main() -> int:
    """Times by stage, what each stage is, and what was left out, as one line of JSON on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    left_out: list[str] = []
    stages = chosen(catalogue(events(args.events), left_out.append), [name for name in args.only.split(",") if name])
    times = in_turn(stages, args.runs, left_out.append)
    facts = [{name: getattr(stage, name) for name in FACTS} for stage in stages if stage.name in times]
    said = {"roomguard": roomguard.__file__, "stages": facts, "times": times, "left_out": left_out}
    json.dump(said, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
