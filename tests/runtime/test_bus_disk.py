"""The whole bus on a disk that is slow or fails, by faults in its system calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roomguard.store.journal import Journal
from roomguard.store.settings import BusSettings

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="faults of system calls need strace"),
    pytest.mark.slow,
]


def run(folder: Path, checkout: Path, fault: str, count: int, pause_ms: float) -> dict[str, Any]:
    strace = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=fdatasync", "-e", f"inject={fault}"]
    command = [sys.executable, "-m", "tests.runtime.bus_process", str(folder), str(count), str(pause_ms)]
    done = subprocess.run([*strace, *command], cwd=checkout, capture_output=True, text=True, check=True, timeout=60)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def written(folder: Path) -> int:
    journal = Journal(BusSettings(data_dir=str(folder), reserve_bytes=0))
    try:
        return journal.last_offset
    finally:
        journal.close()


def test_slow_disk_does_not_stall_the_loop(tmp_path: Path, checkout: Path) -> None:
    """With every sync taking 200 ms more, commits are shared, all is acknowledged, and the loop does not wait."""
    result = run(tmp_path, checkout, "fdatasync:delay_exit=200000", count=300, pause_ms=5)

    assert result["acked"] == list(range(300))
    assert result["delivered"] == list(range(1, 301))
    assert result["commits"] < 30
    assert result["p99_ms"] < 50  # a loop that waited for a sync would show 200


def test_failing_disk_stops_acks(tmp_path: Path, checkout: Path) -> None:
    """After an I/O error nothing more is acknowledged or delivered; what was acknowledged is there."""
    written(tmp_path)
    result = run(tmp_path, checkout, "fdatasync:error=EIO:when=6", count=100, pause_ms=2)

    assert result["failed"]
    assert 0 < len(result["acked"]) < 100
    assert result["acked"] == list(range(len(result["acked"])))
    assert result["delivered"] == list(range(1, len(result["acked"]) + 1))
    assert written(tmp_path) >= len(result["acked"])
