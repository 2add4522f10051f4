"""`serve`: the guard itself, in the foreground."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from roomguard.cli.common import EXIT_CONFIG, config_option, config_path, configured, show

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):(\d{1,5})")


@click.command()
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Where edges connect, instead of [listen]; port 0: any free one.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the journal and of rooms put away, instead of bus.data_dir; made if missing.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append every event and control record as its room took it: a recording for `replay`.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What goes to stderr.",
)
def serve(
    config: Path | None,
    flags: tuple[str, ...],
    *,
    listen: str | None,
    data: Path | None,
    record: Path | None,
    log_level: str,
) -> None:
    """Run the guard in the foreground until SIGTERM or Ctrl-C.

    Once it listens it prints one line: `roomguard edge=ws://HOST:PORT admin=http://HOST:PORT config=VERSION mode=MODE`.

    \b
    Signals:
      TERM, INT   drain: take no new connections, decide what is queued, let edges come back later; again: end now
      HUP         load the configuration again (it is also loaded when the file changes)
      USR1, USR2  pause enforcing (everything is decided and counted, nothing is sent); resume
    Exit code:
      0  drained and ended in order
      1  the configuration has errors, or the address cannot be listened on
      2  wrong usage
      3  the journal cannot be used: the folder is taken, damaged or cannot be written
      4  the journal failed while running; nothing was acknowledged since
      5  draining took longer than allowed; what was acknowledged is on disk all the same
    \b
    Examples:
      python3 -m roomguard serve
      python3 -m roomguard serve --config /etc/roomguard/config.toml --data /var/lib/roomguard
      python3 -m roomguard serve --listen 127.0.0.1:0 --record today.jsonl --set mode=shadow
    """
    sets = [*flags, *_listening(listen), *_placed(data)]
    configuration = configured(config, tuple(sets))
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # It would say at each turn that something changed in the folder of the configuration, such as a recording there.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every change in the folder
    from roomguard.app import Source, serve as run
    from roomguard.errors import ConfigError

    source = Source(path=config_path(config), flags=tuple(sets), environment=dict(os.environ))
    try:
        code = run(configuration, source, record=record, announce=click.echo)
    except ConfigError as error:
        show(error)
        code = EXIT_CONFIG
    sys.stdout.flush()
    sys.exit(code)


def _listening(address: str | None) -> Sequence[str]:
    """`HOST:PORT` as settings."""
    if address is None:
        return ()
    found = _ADDRESS.fullmatch(address)
    if not found or int(found[3]) > 65_535:
        raise click.BadParameter("expected HOST:PORT, as in 127.0.0.1:8700 or [::1]:8700", param_hint="--listen")
    host = found[1] or found[2] or "127.0.0.1"
    return (f"listen.host={host}", f"listen.port={int(found[3])}")


def _placed(data: Path | None) -> Sequence[str]:
    """The data folder as a setting."""
    return () if data is None else (f"bus.data_dir={data}",)
