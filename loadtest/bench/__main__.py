"""`python -m loadtest.bench COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from loadtest.bench import curves, instructions, latency, memory, staged, whole

COMMANDS = {
    "whole": whole,
    "stages": staged,
    "instructions": instructions,
    "memory": memory,
    "latency": latency,
    "curves": curves,
}
"""Each is a module with `add_arguments(parser)` and `main(arguments, parser)`; its docstring is the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; the exit code."""
    top = argparse.ArgumentParser(prog="loadtest.bench", description="Benchmarks: CPU an event, beside yardsticks.")
    commands = top.add_subparsers(dest="command", required=True)
    parsers = {}
    for name, module in COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_arguments(parsers[name])
    args = top.parse_args(arguments)
    code: int = COMMANDS[args.command].main(args, parsers[args.command])
    return code


if __name__ == "__main__":
    sys.exit(main())
