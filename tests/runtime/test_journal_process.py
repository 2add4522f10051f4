"""The journal's own process: it does what the journal does, and its end is never mistaken for a success."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from roomguard.errors import JournalCorrupt, JournalError, JournalFailed
from roomguard.runtime.journal_process import JournalProcess
from roomguard.store.journal import FILE_NAME, Journal, JournalStalled
from roomguard.store.reader import JournalReader
from roomguard.store.records import Draft, draft
from roomguard.store.requests import Refused
from roomguard.store.settings import BusSettings
from tests.store.building import NOW, action

DAY = 86_400.0


def settings(folder: Path, **changes: Any) -> BusSettings:
    return BusSettings(data_dir=str(folder), reserve_bytes=0, **changes)


def drafts(*numbers: int) -> list[Draft]:
    return [draft(action(number)) for number in numbers]


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[JournalProcess]:
    process = await JournalProcess.open(settings(tmp_path, keep_days=1.0, prune_actions=2))
    yield process
    await process.aclose()


def send(writer: JournalProcess, number: signal.Signals) -> None:
    os.kill(writer._process.pid, number)


async def test_each_request(writer: JournalProcess, tmp_path: Path) -> None:
    """Each request comes back with what the journal itself would return, and what it did can be read."""
    reader = JournalReader(tmp_path / FILE_NAME)
    assert await writer.append(drafts(0, 1), NOW, {"audit": 1}, []) == [1, 2]
    assert await writer.append(drafts(1, 2), NOW, {}, [action(0).id]) == [2, 3]
    assert (writer.first_offset, writer.last_offset) == (1, 3)
    assert [record.action() for record in reader.page(0, 9).actions] == [action(0), action(1), action(2)]
    assert reader.consumers() == {"audit": 1}

    await writer.save_snapshots({"r": b"\x00one", "s": b"two"}, NOW)
    await writer.drop_snapshots(["s"])
    assert reader.snapshot_rooms() == {"r"}
    assert reader.snapshot("r") == b"\x00one"

    assert await writer.prune(NOW + 3 * DAY)
    assert not await writer.prune(NOW + 3 * DAY)
    assert writer.first_offset == 4
    reader.close()


@pytest.mark.parametrize(
    "error",
    [
        JournalStalled("full", full=True),
        JournalStalled("locked", full=False),
        JournalFailed("disk I/O error"),
        JournalCorrupt("a hole"),
        JournalError("in use"),
    ],
    ids=str,
)
def test_errors_cross(error: JournalError) -> None:
    """What the journal raised there is raised here: the same kind, the same words."""
    again = Refused.of(error).error()
    assert (type(again), str(again), getattr(again, "full", None)) == (
        type(error),
        str(error),
        getattr(error, "full", None),
    )


async def test_a_locked_file_may_be_tried_again(writer: JournalProcess, tmp_path: Path) -> None:
    """A refusal of one request is no end: the next one is done."""
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalStalled) as refused:
        await writer.append(drafts(0), NOW, {}, [])
    assert not refused.value.full
    other.execute("COMMIT")
    other.close()
    assert await writer.append(drafts(0), NOW, {}, []) == [1]


async def test_damage_is_said_at_the_start(tmp_path: Path) -> None:
    """A journal that does not add up is refused with the words of the one who found it."""
    journal = Journal(settings(tmp_path))
    journal.append(drafts(0), NOW)
    journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("UPDATE actions SET room = 'other'")
    db.close()
    with pytest.raises(JournalCorrupt, match="checksum"):
        await JournalProcess.open(settings(tmp_path))


async def test_an_unusable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is said by its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file"):
        await JournalProcess.open(settings(tmp_path / "file" / "below"))


async def test_a_second_guard_is_refused(writer: JournalProcess, tmp_path: Path) -> None:
    """Two guards never share a folder, and the second is told who has it."""
    with pytest.raises(JournalError, match=rf"in use by another roomguard process \(pid {os.getpid()}\)"):
        await JournalProcess.open(settings(tmp_path))
    assert await writer.append(drafts(0), NOW, {}, []) == [1]


async def test_a_killed_writer_is_a_failure(tmp_path: Path) -> None:
    """When the process is gone every request fails, what was answered before is on disk, and closing does not wait."""
    writer = await JournalProcess.open(settings(tmp_path))
    assert await writer.append(drafts(0), NOW, {}, []) == [1]
    send(writer, signal.SIGKILL)
    with trio.fail_after(10):
        assert "-9" in str(await writer.wait_ended())
        with pytest.raises(JournalFailed, match="until a restart"):
            await writer.append(drafts(1), NOW, {}, [])
        await writer.aclose()
    journal = Journal(settings(tmp_path))
    assert journal.last_offset == 1
    journal.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_are_for_the_guard(writer: JournalProcess, number: signal.Signals) -> None:
    """A signal sent to the whole group does not take the journal from a guard that still has something to write."""
    send(writer, number)
    assert await writer.append(drafts(0), NOW, {}, []) == [1]


async def test_cancelled_requests_are_done(writer: JournalProcess) -> None:
    """A request that has begun is finished, and its answer is not taken for the next one's."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.append(drafts(0, 1), NOW, {}, [])
    assert await writer.append(drafts(2), NOW, {}, []) == [3]


async def test_many_at_once(writer: JournalProcess) -> None:
    """Requests of many tasks are done one after the other, and each gets its own answer."""
    offsets: dict[int, int] = {}

    async def one(number: int) -> None:
        (offsets[number],) = await writer.append(drafts(number), NOW, {}, [])

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(one, number)
    assert sorted(offsets.values()) == list(range(1, 51))


async def test_large_requests(writer: JournalProcess) -> None:
    """A request larger than any socket buffer arrives whole."""
    rooms = {f"room-{number}": os.urandom(100_000) for number in range(40)}
    with trio.fail_after(30):
        await writer.save_snapshots(rooms, NOW)


def test_it_ends_with_its_guard(tmp_path: Path, checkout: Path) -> None:
    """A guard that is killed leaves nobody behind: the next one gets the folder, with all that was answered."""
    guard = (
        "import sys, trio; from roomguard.runtime.journal_process import JournalProcess; "
        "from tests.runtime.test_journal_process import *\n"
        "async def main():\n"
        f"    writer = await JournalProcess.open(settings(Path({str(tmp_path)!r})))\n"
        "    for number in range(10_000):\n"
        "        print(*await writer.append(drafts(number), NOW, {}, []), flush=True)\n"
        "trio.run(main)"
    )
    with subprocess.Popen([sys.executable, "-c", guard], cwd=checkout, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        answered += map(int, child.stdout.read().split())
    journal = Journal(settings(tmp_path), patience_s=10.0)
    assert answered == list(range(1, len(answered) + 1))
    assert journal.last_offset in (len(answered), len(answered) + 1)
    journal.close()
