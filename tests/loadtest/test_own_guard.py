"""The generator with a guard of its own: the real one, as a child process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest.cli import main

pytestmark = pytest.mark.slow


def test_a_short_run_against_the_real_guard(tmp_path: Path, checkout: Path) -> None:
    """It is started, loaded and stopped; nothing is lost, its CPU and memory are known, and it ends with 0."""
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    arguments = f"--rooms 50 --edges 2 --rate 1000 --seconds 3 --quiet --max-lost 0 --max-errors 0 --json {out}"

    assert main([*arguments.split(), "--config", str(checkout / "config.toml"), "--report", str(page)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["guard"]["cpu_s"] > 0
    assert document["guard"]["rss_peak_mb"] > 0
    assert document["guard"]["exit"] == 0
    assert document["events"]["sent"] > 3_000
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_guard_that_cannot_start_is_reported_with_what_it_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken configuration is exit code 3, and the guard's own words are shown."""
    broken = tmp_path / "config.toml"
    broken.write_text("[listen]\nprot = 1\n", encoding="utf-8")

    assert main(["--rooms", "2", "--rate", "10", "--seconds", "1", "--quiet", "--config", str(broken)]) == 3
    assert "prot" in capsys.readouterr().err
