"""`test`: the project's own tests, in the environment the project made."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from roomguard.cli.common import CHECKOUT


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the test suite; every argument goes to pytest.

    \b
      python3 -m roomguard test
      python3 -m roomguard test -k ladder -x
      python3 -m roomguard test -m 'not slow' -n 2
    """
    if not (CHECKOUT / "tests").is_dir():
        raise click.ClickException("the tests are in the source checkout, not in an installed roomguard")
    if importlib.util.find_spec("pytest") is None:
        raise click.ClickException("pytest is not installed here: pip install -c .pins.txt -e '.[test]'")
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 -- pytest owns the process
