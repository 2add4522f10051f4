"""The command line: one verb a job. What a verb needs beyond click is imported when it runs: --help stays quick."""

from __future__ import annotations

import click

from roomguard import __version__
from roomguard.cli.checking import check, features
from roomguard.cli.comparing import compare
from roomguard.cli.control import override, pause, reload, resume, status, undo
from roomguard.cli.demo import demo
from roomguard.cli.explaining import explain
from roomguard.cli.learning import learn
from roomguard.cli.replaying import replay
from roomguard.cli.serving import serve
from roomguard.cli.testing import test


class _InOrder(click.Group):
    """Lists verbs in the order a newcomer meets them, not by the alphabet."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """A guard for live rooms: judges chat, gifts and joins in memory and sends mutes and kicks to your edge servers.

    \b
    Start here:
      python3 -m roomguard demo      a few hundred simulated rooms under attack, a summary after half a minute
      python3 -m roomguard check     is config.toml right?
      python3 -m roomguard serve     the guard itself, on 127.0.0.1

    Any setting of config.toml can also be given as an environment variable (ROOMGUARD_ROOMS__IDLE_S=60) or, for most
    verbs, as --set rooms.idle_s=60. A flag wins over the environment, that over the file.
    """


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(f"roomguard {__version__}")


for verb in (
    demo,
    test,
    serve,
    check,
    replay,
    compare,
    explain,
    undo,
    override,
    pause,
    resume,
    reload,
    status,
    features,
    learn,
):
    main.add_command(verb)
main.add_command(main.commands.pop("version"))
