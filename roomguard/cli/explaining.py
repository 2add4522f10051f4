"""`explain`: why each rule did or did not fire on one event of a recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from roomguard.cli.common import config_option, configured
from roomguard.cli.replaying import EXIT_RECORDING, judged_by

if TYPE_CHECKING:
    from roomguard.engine.explaining import Explanation, Part, RuleExplanation

EXIT_ABSENT = 4
"""No event of the recordings has that id."""
_MARKS = {True: "yes", False: "no", None: "?"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
@config_option
@click.option("--event", required=True, metavar="ID", help="The event to explain, by its id.")
@click.option("--room", metavar="ROOM", help="Its room, where several rooms have an event of that id; also faster.")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Only this rule. May be repeated.")
@click.option("--strategy", metavar="NAME", help="Judge every room by this strategy.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each event found.")
def explain(
    files: tuple[str, ...], config: Path | None, flags: tuple[str, ...], *, event: str, room: str | None,
    rules: tuple[str, ...], strategy: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say of each rule why it did or did not fire on one event of a recording.

    FILE is what `serve --record` writes. Everything before the event is judged as by `replay`; then each rule tells the
    parts of its condition, which of them hold, and the values behind them. What has no value is unknown, which is not
    the same as false: such a rule cannot fire, whatever it would say if it knew.

    \b
    Exit code: 0 done, 1 the configuration has errors, 2 wrong usage, 3 a recording cannot be read, 4 no such event.
      python3 -m roomguard explain today.jsonl --event m-5
      python3 -m roomguard explain today.jsonl --event m-5 --rule flood --set thresholds.flood_10s=7
    """
    from roomguard.engine.rules.language import nearest
    from roomguard.errors import RecordingError
    from roomguard.replay import explained, merged, open_source

    program = configured(config, judged_by(flags, strategy)).program
    known = [rule.name for rule in program.settings.rules]
    for name in rules:
        if name not in known:
            raise click.BadParameter(f"there is no rule {name!r}{nearest(name, known)}", param_hint="--rule")
    found = False
    try:
        for explanation in explained(merged([open_source(file) for file in files]), program, event, room):
            found = True
            shown = [rule for rule in explanation.rules if not rules or rule.rule in rules]
            click.echo(
                json.dumps(_plain(explanation, shown), ensure_ascii=False) if as_json else _page(explanation, shown)
            )
    except RecordingError as error:
        click.echo(f"roomguard: {error}", err=True)
        sys.exit(EXIT_RECORDING)
    if not found:
        click.echo(f"roomguard: no event has the id {event!r}{'' if room is None else f' in room {room!r}'}", err=True)
        sys.exit(EXIT_ABSENT)


def _plain(explanation: Explanation, rules: list[RuleExplanation]) -> dict[str, Any]:
    """An explanation as JSON; actions as they stand on the wire."""
    from roomguard.model.actions import to_dict

    plain = attrs.asdict(explanation, recurse=False)
    outcome = plain.pop("outcome")
    plain["rules"] = [{**attrs.asdict(rule), "missing": rule.missing} for rule in rules]
    return {**plain, "verdict": outcome.verdict, "actions": [to_dict(action) for action in outcome.actions]}


def _page(explanation: Explanation, rules: list[RuleExplanation]) -> str:
    """An explanation for people: what fired first, then what could not be told, then what did not fire and why not."""
    return "\n".join(_lines(explanation, rules))


def _lines(explanation: Explanation, rules: list[RuleExplanation]) -> Iterator[str]:
    of = "" if explanation.user is None else f" of {explanation.user}"
    yield f"{explanation.kind} {explanation.event}{of} in {explanation.room} at {explanation.at:.3f}"
    wave = ", of the wave" if explanation.cohort and explanation.mode != "calm" else ""
    yield f"strategy {explanation.strategy}, mode {explanation.mode}{wave}: {explanation.outcome.verdict}"
    for action in explanation.outcome.actions:
        lasts = "" if action.duration_s is None else f" {action.duration_s:g} s"
        yield f"action {action.kind}{lasts} on {action.user or 'the room'} by {action.rule}"
    if explanation.unjudged:
        yield f"no rule was asked: {explanation.unjudged}"
    for answer in ("hit", "unknown", "false"):
        for rule in rules:
            if rule.answer == answer:
                yield from _rule(rule)
    for answer, words in (("off", "off here"), ("other kind", "for other kinds of events")):
        names = [rule.rule for rule in rules if rule.answer == answer]
        if names:
            yield f"{words}: {', '.join(names)}"


def _rule(rule: RuleExplanation) -> Iterator[str]:
    """The rule and what it rests on: all parts of a hit, else those that do not hold or cannot be told."""
    said = {"hit": "hit", "unknown": f"unknown, without {', '.join(rule.missing)}", "false": "no"}[rule.answer]
    became = f" -> {', '.join(rule.outcomes)}" if rule.outcomes else ""
    yield f"{rule.rule}: {said}{became}"
    yield from (_part(part) for part in rule.parts if rule.answer == "hit" or part.holds is not True)


def _part(part: Part) -> str:
    return f"  {_MARKS[part.holds]:<3} {part.text}" + _values(part.values.items())


def _values(values: Iterable[tuple[str, Any]]) -> str:
    told = ", ".join(f"{name} {_value(value)}" for name, value in values)
    return f"  [{told}]" if told else ""


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
