"""Who may import whom, read from the source; and what the pure packages must never touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PURE = ("errors", "model", "wire", "engine")
BANNED = {
    *("trio", "asyncio", "anyio", "threading", "multiprocessing", "concurrent", "signal", "subprocess"),
    *("time", "datetime", "random", "secrets", "uuid"),
    *("socket", "ssl", "select", "http", "urllib", "os", "pathlib", "shutil", "tempfile", "sqlite3", "logging"),
}
"""Modules that bring a clock, randomness, the world or another loop into a pure package."""
BANNED_CALLS = {"hash", "open", "input", "id", "__import__"}
"""Builtins whose answer differs from run to run, or that reach outside."""

MAY: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "wire": {"errors", "model"},
    "engine": {"errors", "model"},
    "replay": {"errors", "model", "wire", "engine"},
    "learning": {"errors", "engine"},
    "store": {"errors", "model", "wire", "engine"},
    "runtime": {"errors", "model", "wire", "engine", "store"},
    "testing": {"errors", "model", "wire", "engine", "store", "runtime", "replay"},
    "config": {"errors"},  # and every package's settings, see below
    "configure": {"errors", "config", "engine"},
    "app": {"errors", "model", "wire", "engine", "store", "runtime", "config", "configure"},
    "cli": {
        "errors",
        "model",
        "wire",
        "engine",
        "replay",
        "learning",
        "store",
        "runtime",
        "config",
        "configure",
        "app",
        "_bootstrap",
    },
    "_bootstrap": set(),
    "__main__": {"_bootstrap", "cli"},
    "__init__": set(),
}
"""What each package (or single module) of roomguard may import from the others."""


def _modules(top: str) -> list[Path]:
    return sorted(path for path in (ROOT / top).rglob("*.py") if "__pycache__" not in path.parts)


def _package(path: Path) -> str:
    parts = path.relative_to(ROOT / "roomguard").parts
    return parts[0] if len(parts) > 1 else path.stem


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything `path` imports, relative imports made absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join((*folder, base)).rstrip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _of_ours(name: str) -> str | None:
    """The package of roomguard that an imported name lies in, None for the version."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__version__" else None


def _is_settings(name: str) -> bool:
    return any(part == "settings" or part.startswith("settings_") for part in name.split("."))


@pytest.mark.parametrize("path", _modules("roomguard"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_layers(path: Path) -> None:
    """A package imports only what stands below it; config knows the others by their settings alone."""
    package = _package(path)
    wrong = []
    for line, name in _imports(path):
        if name.split(".")[0] == "loadtest":
            wrong.append(f"{path.name}:{line} imports {name}: the product does not know its load test")
        if name.split(".")[0] != "roomguard":
            continue
        other = _of_ours(name)
        if other in {None, package} or other in MAY[package] or (package == "config" and _is_settings(name)):
            continue
        wrong.append(f"{path.name}:{line} imports {name}: {package} may not know {other}")

    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [path for path in _modules("roomguard") if _package(path) in PURE],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_core_is_pure(path: Path) -> None:
    """errors, model, wire and engine read no clock, no socket, no file and no dice."""
    imported = [f"{path.name}:{line} {name}" for line, name in _imports(path) if name.split(".")[0] in BANNED]
    called = [
        f"{path.name}:{node.lineno} {node.func.id}()"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS
    ]

    assert imported + called == []


def test_settings_are_pure() -> None:
    """The settings may be loaded without a loop: no settings module brings trio along, and neither does `check`."""
    program = "import sys, roomguard.configure, roomguard.cli; print('trio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "False\n"


STAGES = ROOT / "loadtest" / "bench" / "stages"
"""Times parts of the guard that no socket reaches, in a child process of its own; the one place that may import it."""


def test_loadtest_is_foreign() -> None:
    """The load test talks to the product through its socket alone; stages are only run as a program, never imported."""
    foreign = [path for path in _modules("loadtest") if not path.is_relative_to(STAGES)]
    wrong = [
        f"{path.name}:{line} {name}"
        for path in foreign
        for line, name in _imports(path)
        if name.split(".")[0] == "roomguard" or name.startswith("loadtest.bench.stages")
    ]

    assert foreign
    assert wrong == []
