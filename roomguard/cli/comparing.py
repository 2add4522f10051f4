"""`compare`: what another configuration would have done, next to what this one did."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from roomguard.cli.replaying import EXIT_RECORDING

if TYPE_CHECKING:
    from roomguard.replay.comparing import Comparison, Line


@click.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--show", default=20, show_default=True, metavar="N", help="Show so many differences of each sort.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all differences.")
def compare(before: Path, after: Path, *, show: int, as_json: bool) -> None:
    """Say what differs between two replays of the same recordings.

    BEFORE and AFTER are what `replay --out` wrote. Actions are told apart by their ids; that each carries the version
    of its configuration is no difference.

    \b
    Exit code: 0 done, whatever differs, 2 wrong usage, 3 a file cannot be read.
      python3 -m roomguard replay today.jsonl --out before.jsonl
      python3 -m roomguard replay today.jsonl --out after.jsonl --set thresholds.flood_10s=7
      python3 -m roomguard compare before.jsonl after.jsonl
    """
    from roomguard.errors import RecordingError
    from roomguard.replay.comparing import compare as compared, read_actions

    try:
        with before.open("rb") as one, after.open("rb") as two:
            comparison = compared(read_actions(one, str(before)), read_actions(two, str(after)))
    except (RecordingError, OSError) as error:
        click.echo(f"roomguard: {error}", err=True)
        sys.exit(EXIT_RECORDING)
    if as_json:
        click.echo(json.dumps(attrs.asdict(comparison), ensure_ascii=False))
        return
    for line in _lines(comparison, show):
        click.echo(line)


def _lines(comparison: Comparison, show: int) -> Iterator[str]:
    yield (
        f"{comparison.before:,} actions before, {comparison.after:,} after: {comparison.same:,} the same, "
        f"{len(comparison.gone):,} gone, {len(comparison.new):,} new, {len(comparison.otherwise):,} otherwise"
    )
    for rule in comparison.rules:
        if rule.gone or rule.new or rule.otherwise:
            changes = ((rule.gone, "gone"), (rule.new, "new"), (rule.otherwise, "otherwise"))
            told = ", ".join(f"{count:,} {word}" for count, word in changes if count)
            yield f"{rule.rule}: {rule.before:,} before, {rule.after:,} after; {told}"
    yield from _some([f"- {_action(action)}" for action in comparison.gone], show)
    yield from _some([f"+ {_action(action)}" for action in comparison.new], show)
    yield from _some([f"~ {_action(one)}: {_changes(one, two)}" for one, two in comparison.otherwise], show)


def _some(lines: list[str], show: int) -> Iterator[str]:
    yield from lines[:show]
    if len(lines) > show:
        yield f"  and {len(lines) - show:,} more"


def _action(action: Line) -> str:
    lasts = f" {action['duration_s']:g} s" if "duration_s" in action else ""
    cause = (action.get("causes") or ["-"])[0]
    whom = f"{action.get('user', 'the room')} in {action['room']}"
    return f"{action['kind']}{lasts} on {whom} by {action['rule']} for {cause}"


def _changes(one: Line, two: Line) -> str:
    keys = [key for key in {**one, **two} if key not in ("offset", "config") and one.get(key) != two.get(key)]
    return ", ".join(f"{key} {_value(one.get(key))} -> {_value(two.get(key))}" for key in keys)


def _value(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
