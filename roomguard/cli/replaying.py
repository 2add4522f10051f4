"""`replay`: recordings through the engine, as fast as it goes; the same input gives the same bytes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from roomguard.cli.common import config_option, configured

if TYPE_CHECKING:
    from roomguard.replay import Source, Summary

EXIT_RECORDING = 3
"""A recording cannot be read; nothing is left at --out then."""
SAY_EVERY_S = 1.0


def judged_by(flags: tuple[str, ...], strategy: str | None) -> tuple[str, ...]:
    """The flags, and the one that judges every room by a strategy where one is named."""
    return flags if strategy is None else (*flags, f"engine.force_strategy='{strategy}'")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
@config_option
@click.option(
    "--out", required=True, type=click.Path(allow_dash=True), metavar="FILE", help="One action a line; - for stdout."
)
@click.option("--strategy", metavar="NAME", help="Judge every room by this strategy.")
def replay(
    files: tuple[str, ...], config: Path | None, flags: tuple[str, ...], *, out: str, strategy: str | None
) -> None:
    """Judge recordings in room time and write the actions, byte for byte the same every time.

    FILE is JSONL, one event or control record a line, - for stdin, compressed if its name ends in .gz. Several files
    are merged by time. Progress goes to stderr.

    \b
    Exit code: 0 done, 1 the configuration has errors, 2 wrong usage, 3 a recording cannot be read.
      python3 -m roomguard replay monday.jsonl --config config.toml --out actions.jsonl
      python3 -m roomguard replay *.jsonl --out - --set thresholds.flood_10s=12 | wc -l
    """
    from roomguard.errors import RecordingError
    from roomguard.replay import Player, merged, open_source

    program = configured(config, judged_by(flags, strategy)).program
    try:
        sources = [open_source(file) for file in files]
        with _written(out) as sink:
            started = time.monotonic()
            summary = Player(program, sink).play(merged(sources), _progress(sources, started))
    except (RecordingError, OSError) as error:
        click.echo(f"roomguard: {error}", err=True)
        sys.exit(EXIT_RECORDING)
    _finish(summary, sources, time.monotonic() - started, program.version)


@contextmanager
def _written(out: str) -> Iterator[BinaryIO]:
    """The file to write; it appears under its name only when it is whole."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{out}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _progress(sources: Sequence[Source], started: float) -> Callable[[Summary], None]:
    """A line a second on stderr; none for what is over before."""
    said = started

    def say(summary: Summary) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < SAY_EVERY_S:
            return
        said = now
        size = sum(source.size or 0 for source in sources)
        read = sum(source.read for source in sources)
        share = f"{read / size:.0%}, " if size and read <= size else ""
        rate = (summary.events + summary.controls) / (now - started)
        click.echo(f"{share}{summary.events:,} events ({rate:,.0f}/s), {summary.actions:,} actions", err=True)

    return say


def _finish(summary: Summary, sources: Sequence[Source], seconds: float, version: str) -> None:
    unknown = sum(source.unknown for source in sources)
    click.echo(
        f"{summary.events:,} events and {summary.controls:,} control records of {summary.rooms:,} rooms "
        f"in {seconds:.1f} s: "
        f"{summary.actions:,} actions, configuration {version}"
        + (f"; {unknown:,} of unknown kinds" if unknown else ""),
        err=True,
    )
    if summary.other_config:
        click.echo(f"the recording was made under configuration {summary.other_config}", err=True)
