"""From a bare checkout to a running command: makes `.venv` beside pyproject.toml, once, and starts again inside it.

Standard library only. The law: whoever has roomguard installed is left alone; a `.venv` counts as ready only when
its stamp is the hash of pyproject.toml and `.pins.txt`; it is built under a lock, and a build that was cut off is
thrown away and done again by the next run.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parent.parent
SKIP = "ROOMGUARD_NO_BOOTSTRAP"
"""Set to 1 to run with whatever interpreter was called, in whatever state it is."""
STARTED = "_ROOMGUARD_BOOTSTRAPPED"
"""How often this process has already been started anew; ends a loop no build can mend."""


def ensure() -> None:
    """Return if this interpreter can run roomguard; otherwise build `.venv` where needed and start again in it.

    Exits with 1 and a sentence on stderr when the environment cannot be made, 130 when it was interrupted.
    """
    if os.environ.get(SKIP) == "1" or not (CHECKOUT / "pyproject.toml").is_file():
        return
    venv = Path(CHECKOUT, ".venv")
    inside = Path(sys.prefix).resolve() == venv.resolve()
    if installed() and not (inside and stale(venv)):
        return
    turn = int(os.environ.get(STARTED, "0"))
    if turn >= 3:  # outer -> .venv -> outer -> .venv is the longest way that makes sense
        sys.exit(f"roomguard: {venv} stays unusable after a new installation; remove it and try again")
    os.environ[STARTED] = str(turn + 1)
    if inside:  # an interpreter cannot rebuild the folder it runs from
        start_again(Path(getattr(sys, "_base_executable", None) or shutil.which("python3") or "python3"))
    try:
        if stale(venv):
            with only_one(CHECKOUT / "pyproject.toml") as lock:
                if stale(venv):  # nobody else has built it while we waited
                    build(venv, lock)
    except KeyboardInterrupt:
        say("interrupted; the next run begins the installation anew")
        sys.exit(130)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"cannot make {venv}: {error}")
        sys.exit("roomguard: or install into an environment of your own: pip install -c .pins.txt -e '.[test]'")
    start_again(venv / "bin" / "python")


def installed() -> bool:
    """Whether this interpreter has roomguard installed; some trio in a base python would prove nothing."""
    try:
        importlib.metadata.version("roomguard")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def stale(venv: Path) -> bool:
    """Whether `venv` is missing, was cut off while it was made, or was made for other dependencies.

    A folder without our stamp that has roomguard in it was made by someone else (uv, an editor) and is theirs to keep.
    """
    if not (venv / "bin" / "python").exists() or incomplete(venv).exists():
        return True
    try:
        made_from = stamp(venv).read_text()
    except FileNotFoundError:
        return next(venv.glob("lib/python3*/site-packages/roomguard-*.dist-info"), None) is None
    return made_from != wanted()


def wanted() -> str:
    """The hash of what decides the environment: pyproject.toml and the pins."""
    digest = hashlib.sha256()
    for path in (CHECKOUT / "pyproject.toml", CHECKOUT / ".pins.txt"):
        digest.update(path.read_bytes() if path.exists() else b"")  # pip is the one to complain about a missing one
        digest.update(b"\0")
    return digest.hexdigest()


def stamp(venv: Path) -> Path:
    """The file that says what a finished environment was made from."""
    return venv / ".roomguard-stamp"


def incomplete(venv: Path) -> Path:
    """The file that stands while an environment is being made; found by a later run it means that one was cut off."""
    return venv / ".roomguard-incomplete"


@contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold the lock on `path`, waiting for whoever has it; gives its descriptor, for children that must hold it too."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another roomguard is installing here; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def build(venv: Path, lock: int) -> None:
    """Make `venv` and install roomguard into it; `lock` goes to pip, which must not outlive the lock's hold."""
    say(f"installing into {venv} (once, some 10 to 30 s)")
    python = venv / "bin" / "python"
    if incomplete(venv).exists() or not python.exists():
        if venv.exists():
            shutil.rmtree(venv)
        venv.mkdir()
        incomplete(venv).touch()
        make(venv, lock)
    elif stamp(venv).exists():  # ours; a folder of someone else must never be thrown away, so it gets no mark
        incomplete(venv).touch()
    made_from = wanted()
    run([*pip(python), "install", "-q", "-c", ".pins.txt", "-e", ".[test]"], lock)
    stamp(venv).write_text(made_from)
    incomplete(venv).unlink(missing_ok=True)


def make(venv: Path, lock: int) -> None:
    """An environment with pip, or without one where this python cannot give it (Debian without python3-venv)."""
    try:
        run([sys.executable, "-m", "venv", str(venv)], lock)
    except subprocess.CalledProcessError:
        run([sys.executable, "-m", "venv", "--without-pip", str(venv)], lock)


def pip(python: Path) -> list[str]:
    """The pip that can install for `python`: its own, or else that of this interpreter."""
    own = [str(python), "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    return [sys.executable, "-m", "pip", "--python", str(python)]


def run(command: list[str], lock: int) -> None:
    """Run `command` in the checkout, silent unless it fails; raises CalledProcessError after showing what it said."""
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        pass_fds=(lock,),
        env={**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        done.check_returncode()


def start_again(python: Path) -> NoReturn:
    """Become `python` with the same arguments; what is buffered goes out before."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(python, [str(python), *sys.orig_argv[1:]])  # noqa: S606 -- no shell wanted


def say(text: str) -> None:
    """One line on stderr: stdout belongs to the verb."""
    sys.stderr.write(f"roomguard: {text}\n")
    sys.stderr.flush()
