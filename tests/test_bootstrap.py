"""From a bare checkout to a running command, on a small checkout of the same shape that needs no index."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BARE = getattr(sys, "_base_executable", sys.executable)

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "roomguard"
version = "1"

[project.optional-dependencies]
test = []
"""

BACKEND = '''
"""As little of a build backend as pip needs for an editable install."""
import os, pathlib, time, zipfile

FILES = {
    "METADATA": ["Metadata-Version: 2.1", "Name: roomguard", "Version: 1", "Provides-Extra: test"],
    "WHEEL": ["Wheel-Version: 1.0", "Generator: x", "Root-Is-Purelib: true", "Tag: py3-none-any"],
    "RECORD": [],
}

def _wheel(folder):
    if os.environ.get("SLOW"):
        pathlib.Path("building").touch()
        time.sleep(float(os.environ["SLOW"]))  # long enough to be killed in the midst of it
    with open("builds.log", "a") as log:
        log.write("built\\n")
    name = "roomguard-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("roomguard.pth", os.getcwd() + "\\n")
        for file, lines in FILES.items():
            wheel.writestr(f"roomguard-1.dist-info/{file}", "".join(f"{line}\\n" for line in lines))
    return name

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory)

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory)
'''

CLI = """
import json, sys
def main():
    print(json.dumps({"prefix": sys.prefix, "arguments": sys.argv[1:]}))
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout nobody has started yet."""
    root = tmp_path / "a checkout"
    package = root / "roomguard"
    package.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "_bootstrap.py"):
        shutil.copy(ROOT / "roomguard" / name, package)
    (package / "cli.py").write_text(CLI)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / ".pins.txt").write_text("")
    (root / "backend.py").write_text(BACKEND)
    return root


def environment(**more: str) -> dict[str, str]:
    """That of this process without what would reveal an installed roomguard."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "ROOMGUARD_NO_BOOTSTRAP", "_ROOMGUARD_BOOTSTRAPPED")
    plain = {key: value for key, value in os.environ.items() if key not in hidden and not key.startswith("COV")}
    return {**plain, **more}


def start(root: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BARE, "-m", "roomguard", *arguments],
        cwd=root,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err.splitlines()


def builds(root: Path) -> int:
    log = root / "builds.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.slow
def test_from_bare_to_running(bare: Path) -> None:
    """The first run says one line and makes the environment; the second is silent; other dependencies make it anew."""
    code, out, said = finish(start(bare, "serve", "--flag", "a b"))

    assert (code, len(said), builds(bare)) == (0, 1, 1)
    assert said[0].startswith("roomguard: installing into ")
    assert f'"prefix": "{bare / ".venv"}", "arguments": ["serve", "--flag", "a b"]' in out

    started = time.perf_counter()
    assert finish(start(bare))[::2] == (0, [])
    assert time.perf_counter() - started < 2.0
    assert builds(bare) == 1

    (bare / ".pins.txt").write_text("# other\n")
    assert [len(finish(start(bare))[2]), builds(bare)] == [1, 2]


@pytest.mark.slow
def test_cut_off_and_repaired(bare: Path) -> None:
    """An installation killed half way is begun anew by the next run."""
    first = start(bare, SLOW="60")
    deadline = time.monotonic() + 60
    while not (bare / "building").exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # another process tells nothing by itself, so its file is looked for again
    os.killpg(first.pid, signal.SIGKILL)
    finish(first)
    assert (bare / ".venv" / ".roomguard-incomplete").exists()

    code, _, said = finish(start(bare))

    assert (code, len(said)) == (0, 1)
    assert not (bare / ".venv" / ".roomguard-incomplete").exists()


@pytest.mark.slow
def test_two_at_once(bare: Path) -> None:
    """Of two started together one installs, the other waits for it; both run."""
    both = [finish(process) for process in [start(bare, SLOW="1"), start(bare, SLOW="1")]]

    assert [code for code, _, _ in both] == [0, 0]
    assert builds(bare) == 1
    assert sorted(line.split()[1] for _, _, said in both for line in said) == ["another", "installing"]


@pytest.mark.slow
def test_failing_installation_is_shown(bare: Path) -> None:
    """What pip complains about is shown, with the way to do it by hand; exit code 1."""
    (bare / "backend.py").write_text("raise RuntimeError('no such luck')\n")

    code, out, said = finish(start(bare))

    assert (code, out) == (1, "")
    assert any("no such luck" in line for line in said)
    assert said[-1].endswith("pip install -c .pins.txt -e '.[test]'")


def test_can_be_skipped(bare: Path) -> None:
    """ROOMGUARD_NO_BOOTSTRAP=1 runs with the interpreter that was called."""
    code, out, said = finish(start(bare, ROOMGUARD_NO_BOOTSTRAP="1"))

    assert (code, said, (bare / ".venv").exists()) == (0, [], False)
    assert ".venv" not in out


def test_outside_of_a_checkout(bare: Path) -> None:
    """Where there is no pyproject.toml beside the package nothing is installed."""
    (bare / "pyproject.toml").unlink()

    assert finish(start(bare))[0] == 0
    assert not (bare / ".venv").exists()


def test_version_is_checked_before_anything_else() -> None:
    """Up to the check of its version, `__main__` is plain enough for an old Python to read and to say so."""
    head = (ROOT / "roomguard" / "__main__.py").read_text().split("from roomguard import")[0]
    old = head.replace("import sys", "import sys\nsys.version_info = (3, 9, 0)", 1)

    done = subprocess.run([BARE, "-c", old], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("roomguard needs Python 3.11 or newer, this is 3.9 (")
