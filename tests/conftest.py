"""What all tests share: where shared recordings are, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says what else the machine is doing, not whether the rule holds.
hypothesis.settings.register_profile("roomguard", deadline=None)
hypothesis.settings.load_profile("roomguard")

CHECKOUT = Path(__file__).resolve().parent.parent
SHARED = CHECKOUT.parent / "shared"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `shared_data` are deselected, not skipped, where there is no shared data beside the checkout."""
    if (SHARED / "data").is_dir():
        return
    gone = [item for item in items if item.get_closest_marker("shared_data")]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if not item.get_closest_marker("shared_data")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: a machine that cannot run it must be mended, not forgiven."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture
def checkout() -> Path:
    """The folder of pyproject.toml."""
    return CHECKOUT


@pytest.fixture
def shared_data() -> Path:
    """The recordings beside the checkout; mark the test `shared_data`."""
    return SHARED / "data"
