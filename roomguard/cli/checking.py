"""`check` and `features`: what is configured, and what can be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roomguard.cli.common import EXIT_CONFIG, config_option, config_path, configured, show

if TYPE_CHECKING:
    from roomguard.configure import Configuration
    from roomguard.errors import ConfigProblem

WIDE = 240
"""Columns where no terminal says how many it has: one line a feature."""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def check(config: Path | None, flags: tuple[str, ...], *, as_json: bool) -> None:
    """Check a configuration: every error at once, as FILE:LINE: KEY: MESSAGE on stderr. Opens no port.

    \b
    Exit code: 0 it can be used, 1 it has errors, 2 wrong usage.
      python3 -m roomguard check
      python3 -m roomguard check --config new.toml --set mode=shadow
      python3 -m roomguard check --json | jq .problems
    """
    from roomguard.configure import configure
    from roomguard.errors import ConfigError

    path = config_path(config)
    try:
        configuration = configure(path, flags, os.environ)
    except ConfigError as error:
        if as_json:
            problems = [_plain(problem) for problem in error.problems]
            click.echo(json.dumps({"ok": False, "file": str(path), "problems": problems}, ensure_ascii=False))
        else:
            show(error)
        sys.exit(EXIT_CONFIG)
    if as_json:
        found = {"ok": True, "file": str(path), "config": configuration.program.version, "problems": []}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo(f"{path}: {_summary(configuration)}")


def _plain(problem: ConfigProblem) -> dict[str, str | int | None]:
    return {"file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}


def _summary(configuration: Configuration) -> str:
    """One line an operator can read over the phone."""
    engine = configuration.settings.engine
    modes = [rule.mode for rule in engine.rules]
    counted = ", ".join(f"{modes.count(mode)} {mode}" for mode in ("enforce", "shadow", "off") if mode in modes)
    return (
        f"fine. mode {engine.mode}, {len(modes)} rules ({counted or 'nothing is judged'}), "
        f"{len(engine.limits)} limits, {len(engine.features)} features, version {configuration.program.version}"
    )


@click.command()
@config_option
@click.argument("words", nargs=-1)
@click.option(
    "--markdown", is_flag=True, help="Print docs/features.md instead: what is built in, and what can be declared."
)
def features(config: Path | None, flags: tuple[str, ...], words: tuple[str, ...], *, markdown: bool) -> None:
    """List what rules can ask for: name, kind, unit, meaning, and on which events. WORDS narrow the list down.

    \b
      python3 -m roomguard features
      python3 -m roomguard features gift
      python3 -m roomguard features --markdown > docs/features.md
    """
    if markdown:
        from roomguard.cli.feature_page import page

        click.echo(page(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table

    from roomguard.engine.catalogue import rows

    table = Table("name", "kind", "unit", "meaning", "on", box=None, pad_edge=False)
    for row in rows(configured(config, flags).settings.engine):
        cells = (row.name, row.kind, row.unit, row.meaning, row.events)
        if all(any(word.lower() in cell.lower() for cell in (*cells[:-1], row.group)) for word in words):
            table.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else WIDE, highlight=False).print(table)
