"""`python3 -m loadtest`. In a checkout whose `.venv` has been made it may be started by any Python."""

import importlib.util
import os
import sys
from pathlib import Path

if importlib.util.find_spec("uvloop") is None or importlib.util.find_spec("msgspec") is None:
    ours = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    if not ours.exists() or ours == Path(sys.executable):
        sys.exit("loadtest: not installed here; `python3 -m roomguard check` makes .venv, or pip install '.[test]'")
    os.execv(ours, [str(ours), "-m", "loadtest", *sys.argv[1:]])  # noqa: S606 - our own interpreter, no shell

from loadtest.cli import main

sys.exit(main())
