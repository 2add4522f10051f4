"""`python -m loadtest.bench COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from loadtest.bench import curves, instructions, latency, memory, page, staged, together, whole

COMMANDS = {
    "whole": whole,
    "stages": staged,
    "together": together,
    "instructions": instructions,
    "memory": memory,
    "latency": latency,
    "curves": curves,
    "page": page,
}
"""Each is a module with `add_arguments(parser)` and `main(arguments, parser)`; its docstring is the help."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = argparse.ArgumentParser(prog=f"loadtest.bench {command}", description=COMMANDS[command].__doc__)
    COMMANDS[command].add_arguments(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; the exit code."""
    top = argparse.ArgumentParser(prog="loadtest.bench", description="Benchmarks: CPU an event, beside yardsticks.")
    commands = top.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        commands.add_parser(name, help=module.__doc__, parents=[parser_of(name)], add_help=False)
    typed = sys.argv[1:] if arguments is None else arguments
    args = top.parse_args(typed)
    args.line = " ".join(_without_json(typed))
    code: int = COMMANDS[args.command].main(args, parser_of(args.command))
    return code


def _without_json(typed: Sequence[str]) -> Iterator[str]:
    """What was typed, but for where the figures go."""
    words = iter(typed)
    for word in words:
        if word == "--json":
            next(words, None)
        elif not word.startswith("--json="):
            yield word


if __name__ == "__main__":
    sys.exit(main())
