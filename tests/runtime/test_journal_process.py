"""The journal's own process: it does what the journal does, and its end is never mistaken for a success."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from roomguard.errors import JournalCorrupt, JournalError, JournalFailed
from roomguard.runtime.journal_process import JournalProcess
from roomguard.store.journal import FILE_NAME, Journal, JournalStalled
from roomguard.store.reader import JournalReader
from roomguard.store.records import draft
from roomguard.store.requests import Refused
from roomguard.store.settings import BusSettings
from tests.store.building import NOW, action

DAY = 86_400.0


def settings(folder: Path, **changes: Any) -> BusSettings:
    return BusSettings(data_dir=str(folder), reserve_bytes=0, **changes)


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[JournalProcess]:
    async with JournalProcess.run(settings(tmp_path, keep_days=1.0, prune_actions=2)) as process:
        yield process


async def append(
    writer: JournalProcess, numbers: Collection[int], acks: Mapping[str, int] | None = None, ended: Collection[str] = ()
) -> list[int]:
    """What the journal says to it, once it does."""
    answers: list[list[int] | JournalError] = []
    arrived = trio.Event()

    def answered(answer: list[int] | JournalError) -> None:
        answers.append(answer)
        arrived.set()

    writer.append([draft(action(number)) for number in numbers], NOW, acks or {}, ended, answered)
    await arrived.wait()
    if isinstance(answers[0], JournalError):
        raise answers[0]
    return answers[0]


def send(writer: JournalProcess, number: signal.Signals) -> None:
    os.kill(writer._process.pid, number)


async def test_each_request(writer: JournalProcess, tmp_path: Path) -> None:
    """Each request comes back with what the journal itself would return, and what it did can be read."""
    reader = JournalReader(tmp_path / FILE_NAME)
    assert await append(writer, [0, 1], {"audit": 1}) == [1, 2]
    assert await append(writer, [1, 2], ended=[action(0).id]) == [2, 3]
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
        await append(writer, [0])
    assert not refused.value.full
    other.execute("COMMIT")
    other.close()
    assert await append(writer, [0]) == [1]


async def test_damage_is_said_at_the_start(tmp_path: Path) -> None:
    """A journal that does not add up is refused with the words of the one who found it."""
    journal = Journal(settings(tmp_path))
    journal.append([draft(action(0))], NOW)
    journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("UPDATE actions SET room = 'other'")
    db.close()
    with pytest.raises(JournalCorrupt, match="checksum"):
        async with JournalProcess.run(settings(tmp_path)):
            pass


async def test_an_unusable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is said by its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file"):
        async with JournalProcess.run(settings(tmp_path / "file" / "below")):
            pass


async def test_a_second_guard_is_refused(writer: JournalProcess, tmp_path: Path) -> None:
    """Two guards never share a folder, and the second is told who has it."""
    with pytest.raises(JournalError, match=rf"in use by another roomguard process \(pid {os.getpid()}\)"):
        async with JournalProcess.run(settings(tmp_path)):
            pass
    assert await append(writer, [0]) == [1]


async def test_a_killed_writer_is_a_failure(tmp_path: Path) -> None:
    """When the process is gone every request fails, what was answered before is on disk, and closing does not wait."""
    with trio.fail_after(10):
        async with JournalProcess.run(settings(tmp_path)) as writer:
            assert await append(writer, [0]) == [1]
            send(writer, signal.SIGKILL)
            assert "-9" in str(await writer.wait_ended())
            for _ in range(2):
                with pytest.raises(JournalFailed, match="until a restart"):
                    await append(writer, [1])
    journal = Journal(settings(tmp_path))
    assert journal.last_offset == 1
    journal.close()


async def test_asked_and_never_answered(tmp_path: Path) -> None:
    """What was asked of a process that dies before it answers has failed, whatever of it is on disk."""
    answers: list[list[int] | JournalError] = []
    async with JournalProcess.run(settings(tmp_path)) as writer:
        send(writer, signal.SIGSTOP)
        writer.append([draft(action(0))], NOW, {}, [], answers.append)
        writer.append([draft(action(1))], NOW, {}, [], answers.append)
        send(writer, signal.SIGKILL)
        await writer.wait_ended()
        writer.poll()
    assert [type(answer) for answer in answers] == [JournalFailed, JournalFailed]


async def test_poll_takes_in_what_is_there(tmp_path: Path) -> None:
    """An answer that has come is heard of without giving way to any other task, one that has not is not waited for."""
    answers: list[list[int] | JournalError] = []
    async with JournalProcess.run(settings(tmp_path)) as writer:
        send(writer, signal.SIGSTOP)
        writer.append([draft(action(0))], NOW, {}, [], answers.append)
        writer.poll()
        assert answers == []
        send(writer, signal.SIGCONT)
        await trio.to_thread.run_sync(select.select, [writer._socket], [], [], 10.0)
        if not answers:  # the task that reads may have been as quick
            writer.poll()
    assert answers == [[1]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_are_for_the_guard(writer: JournalProcess, number: signal.Signals) -> None:
    """A signal sent to the whole group does not take the journal from a guard that still has something to write."""
    send(writer, number)
    assert await append(writer, [0]) == [1]


async def test_cancelled_requests_are_done(writer: JournalProcess) -> None:
    """A request that has begun is finished, and its answer is not taken for the next one's."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.save_snapshots({"r": b"kept"}, NOW)
    assert scope.cancelled_caught is False
    assert await append(writer, [2]) == [1]


async def test_many_at_once(writer: JournalProcess) -> None:
    """Requests of many tasks are done one after the other, and each gets its own answer."""
    offsets: dict[int, int] = {}

    async def one(number: int) -> None:
        (offsets[number],) = await append(writer, [number])

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
        f"    async with JournalProcess.run(settings(Path({str(tmp_path)!r}))) as writer:\n"
        "        for number in range(10_000):\n"
        "            print(*await append(writer, [number]), flush=True)\n"
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
