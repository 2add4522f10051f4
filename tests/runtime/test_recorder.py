from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from roomguard.runtime.recorder import Recorder


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder(tmp_path / "r.jsonl", max_bytes=1000)
    yield recorder
    await recorder.aclose()


async def test_lines_in_order(recorder: Recorder, tmp_path: Path, nursery: trio.Nursery) -> None:
    """Everything taken is in the file in the order it was taken, once closed, whoever wrote when."""
    await nursery.start(recorder.run)
    for number in range(10):
        recorder.write(b'{"n":%d}' % number)
        if number % 3 == 0:
            await trio.sleep(0.02)
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await recorder.aclose()
        await recorder.aclose()

    assert (tmp_path / "r.jsonl").read_bytes() == b"".join(b'{"n":%d}\n' % number for number in range(10))
    statistics = recorder.statistics()
    assert (statistics.lines, statistics.lost, statistics.waiting_bytes) == (10, 0, 0)


async def test_a_slow_disk_ends_the_recording(recorder: Recorder, tmp_path: Path) -> None:
    """What does not fit in memory ends it: the file holds every line up to one moment, later ones are counted."""
    for number in range(200):
        recorder.write(b"%08d" % number)
    await recorder.aclose()

    lines = (tmp_path / "r.jsonl").read_bytes().split()
    assert lines == [b"%08d" % number for number in range(len(lines))]
    assert len(lines) == 111
    assert recorder.stopped == "the disk does not keep up, 999 bytes wait"
    assert recorder.statistics().lost == 89


async def test_appends_after_a_restart(tmp_path: Path) -> None:
    """An existing recording goes on; the half line a crash left at its end is removed first."""
    path = tmp_path / "r.jsonl"
    for before, kept in ((b"", b""), (b"one\n", b"one\n"), (b"one\ntw", b"one\n"), (b"half" * 40_000, b"")):
        path.write_bytes(before)
        recorder = Recorder(path)
        recorder.write(b"new")
        await recorder.aclose()

        assert path.read_bytes() == kept + b"new\n"


async def test_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """Where the disk is full the recording ends with a whole line, and nothing is raised."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting a small disk needs to be root")
    try:
        recorder = Recorder(disk / "r.jsonl")
        async with trio.open_nursery() as nursery:
            await nursery.start(recorder.run)
            for _ in range(100):
                for _ in range(10):
                    recorder.write(b"x" * 99)
                await trio.sleep(0.002)
            nursery.cancel_scope.cancel()
        await recorder.aclose()
        lines = (disk / "r.jsonl").read_bytes().splitlines(keepends=True)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

    assert recorder.stopped is not None
    assert set(lines) == {b"x" * 99 + b"\n"}
    assert len(lines) + recorder.statistics().lost == 1000


@pytest.mark.skipif(shutil.which("strace") is None, reason="faults of system calls need strace")
def test_io_error_ends_it(tmp_path: Path, checkout: Path) -> None:
    """A write error ends the recording and nothing else; what was written before stays whole."""
    path = tmp_path / "r.jsonl"
    code = (
        "import trio, sys\nfrom pathlib import Path\nfrom roomguard.runtime.recorder import Recorder\n"
        "async def main():\n"
        f"    recorder = Recorder(Path({str(path)!r}))\n"
        "    for number in range(5):\n"
        "        recorder.write(b'%d' % number)\n"
        "        await recorder._flush()\n"
        "    await recorder.aclose()\n"
        "    print(recorder.stopped, recorder.statistics().lost)\n"
        "trio.run(main)\n"
    )
    inject = ["strace", "-f", "-o", os.devnull, "-P", str(path), "-e", "inject=write:error=EIO:when=3"]
    done = subprocess.run(
        [*inject, sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[Errno 5] Input/output error 3\n"
    assert path.read_bytes() == b"0\n1\n"
