"""What several verbs share: which configuration, and how its errors are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from roomguard.configure import Configuration
    from roomguard.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXIT_CONFIG = 1
"""The configuration cannot be used. Wrong usage of the command line is 2, as with every click program."""

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    """`--config FILE` and `--set KEY=VALUE`."""
    return config_file_option(
        click.option(
            "--set",
            "flags",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a setting, e.g. --set rules.flood.mode=shadow. May be repeated.",
        )(command)
    )


def config_file_option(command: F) -> F:
    """`--config FILE`."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The configuration; config.toml of this folder by default, else the one roomguard ships with.",
    )(command)


def config_path(given: Path | None) -> Path:
    """The file that holds the configuration: the one given, that of this folder, or the shipped one."""
    if given is not None:
        return given
    here = Path("config.toml")
    if here.is_file():
        return here
    packaged = Path(__file__).resolve().parent.parent / "config" / "default.toml"
    return packaged if packaged.is_file() else CHECKOUT / "config.toml"


def configured(given: Path | None, flags: tuple[str, ...]) -> Configuration:
    """The configuration, or every error on stderr and exit code 1."""
    from roomguard.configure import configure
    from roomguard.errors import ConfigError

    try:
        return configure(config_path(given), flags, os.environ)
    except ConfigError as error:
        show(error)
        sys.exit(EXIT_CONFIG)


def show(error: ConfigError) -> None:
    """Every problem, one a line, on stderr."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    click.echo(f"{count} error{'s' if count != 1 else ''}", err=True)
