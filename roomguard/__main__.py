"""`python3 -m roomguard VERB`: in a bare checkout it makes `.venv` first, then starts there.

Up to the check of the version this file is kept to what any Python 3 can parse, so that an old one can say so.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 -- requires-python is not asked before a checkout is run in place
    sys.exit("roomguard needs Python 3.11 or newer, this is %d.%d (%s)" % (*sys.version_info[:2], sys.executable))  # noqa: UP031

from roomguard import _bootstrap


def main() -> None:
    """Make sure of the environment, then run the command line in it."""
    _bootstrap.ensure()
    from roomguard.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
