"""What an ack is worth: the process killed, the power cut, the disk failing or full, bits flipped."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomguard.errors import JournalCorrupt, JournalError
from roomguard.model.actions import Action
from roomguard.store import journal as journal_module
from roomguard.store.journal import Journal, JournalStalled
from roomguard.store.records import draft
from roomguard.store.settings import BusSettings
from tests.store.building import NOW, action

KILLS = int(os.environ.get("ROOMGUARD_KILLS", "20"))
FLIPS = int(os.environ.get("ROOMGUARD_FLIPS", "300"))
POWER_CUTS = int(os.environ.get("ROOMGUARD_POWER_CUTS", "60"))

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="faults of system calls need strace")


def writer(folder: Path, first: int, size: int, checkpoint_bytes: int, commits: int) -> list[str]:
    numbers = map(str, (first, size, checkpoint_bytes, commits))
    return [sys.executable, "-m", "tests.store.writer", str(folder), *numbers]


def strace(*options: str) -> list[str]:
    return ["strace", "-f", "-o", os.devnull, *options]


def acknowledged(lines: list[str]) -> dict[int, str]:
    pairs = (line.split() for line in lines if line[0].isdigit())
    return {int(offset): ident for offset, ident in pairs}


def settings(folder: Path) -> BusSettings:
    return BusSettings(data_dir=str(folder), reserve_bytes=0)


def contents(folder: Path, after: int = 0) -> dict[int, str]:
    journal = Journal(settings(folder))
    try:
        return {record.offset: record.id for record in journal.reader.page(after, 10**6).actions}
    finally:
        journal.close()


@pytest.mark.slow
def test_kill_loses_nothing_acknowledged(tmp_path: Path, checkout: Path) -> None:
    """Killed at a random point, again and again on the same folder: every acknowledged action is there, once."""
    dice = random.Random(1)
    acked: dict[int, str] = {}
    for run in range(KILLS):
        command = writer(tmp_path, run * 10**6, dice.choice((1, 3, 40)), dice.choice((1, 20_000, 10**7)), 10**5)
        with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(dice.randrange(1, 400))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        whole = [line for line in lines if line.endswith("\n")]
        found = contents(tmp_path)
        news = acknowledged(whole)
        assert news, f"run {run} acknowledged nothing"
        acked |= news
        assert acked.items() <= found.items(), f"run {run} lost something"
        assert list(found) == list(range(1, len(found) + 1))
        assert len(set(found.values())) == len(found)


@needs_strace
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
@pytest.mark.parametrize("when", [3, 8, 14])
def test_io_error_latches(tmp_path: Path, checkout: Path, call: str, when: int) -> None:
    """After EIO nothing more is acknowledged although the disk works again; what was acknowledged is there."""
    contents(tmp_path)
    command = [*strace("-e", f"inject={call}:error=EIO:when={when}"), *writer(tmp_path, 0, 2, 3000, 30)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if "failed" not in lines:  # it came while opening or while closing: then it must have been said or harmless
        assert "JournalError" in done.stderr or "JournalCorrupt" in done.stderr or len(acknowledged(lines)) == 60
    else:
        after = lines[lines.index("failed") :]
        assert set(after) == {"failed"}
        assert "stalled" not in lines
    assert acknowledged(lines).items() <= contents(tmp_path).items()


@needs_strace
def test_full_disk_is_waited_out(tmp_path: Path, checkout: Path) -> None:
    """While the disk is full nothing is acknowledged; when it has space again the journal goes on by itself."""
    contents(tmp_path)
    command = [*strace("-e", "inject=pwrite64:error=ENOSPC:when=20..60"), *writer(tmp_path, 0, 1, 10**7, 60)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()

    assert "stalled" in lines
    assert "failed" not in lines
    assert lines[-1][0].isdigit()
    found = contents(tmp_path)
    assert acknowledged(lines) == found
    assert list(found) == list(range(1, len(found) + 1))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs to be root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_full_disk_costs_the_oldest(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that fills up the reserve is given back, the oldest actions are dropped, and writing goes on."""
    monkeypatch.setattr(journal_module, "_CHECKPOINT_BYTES", 2**16)  # to scale: a log smaller than the reserve
    journal = Journal(BusSettings(data_dir=str(small_disk), reserve_bytes=2**17, prune_actions=50))
    assert journal.statistics().reserve_held

    for begin in range(0, 4000, 10):
        journal.append([draft(action(number)) for number in range(begin, begin + 10)], NOW + 10_000)

    statistics = journal.statistics()
    journal.close()
    assert not statistics.reserve_held
    assert statistics.first_offset > 1
    found = contents(small_disk, statistics.first_offset - 1)
    assert list(found) == list(range(statistics.first_offset, 4001))


def test_full_disk_never_costs_a_penalty(small_disk: Path) -> None:
    """Where everything is a penalty in force the journal stalls, keeps all of it, and goes on once there is space."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 2**18)
    journal = Journal(BusSettings(data_dir=str(small_disk), reserve_bytes=2**16))
    written = fill(journal)
    assert journal.failed is None

    ballast.unlink()
    journal.append([draft(action(written))], NOW)
    journal.close()
    assert list(contents(small_disk)) == list(range(1, written + 2))


def fill(journal: Journal) -> int:
    """Write until it stalls; how many were written."""
    for number in range(10_000):
        try:
            journal.append([draft(action(number))], NOW)
        except JournalStalled:
            return number
    raise AssertionError("the disk was never full")


def test_any_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """One flipped bit anywhere in the files a kill leaves: refused, or everything is read as it was written."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    sent = [action(number) for number in range(60)]
    journal = Journal(settings(live))
    journal.append([draft(one) for one in sent[:30]], NOW)
    journal._checkpoint()
    for one in sent[30:]:
        journal.append([draft(one)], NOW, {"audit": 3})
    names = ("journal.db", "journal.db-wal", "journal.mark")
    whole = {name: (live / name).read_bytes() for name in names}
    journal.close()
    dice = random.Random(2)
    noticed = 0
    for _ in range(FLIPS):
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        name = dice.choices(names, weights=(6, 6, 1))[0]
        bit = dice.randrange(8 * len(whole[name]))
        for other, data in whole.items():
            changed = bytearray(data)
            if other == name:
                changed[bit // 8] ^= 1 << bit % 8
            (copy / other).write_bytes(changed)
        noticed += _flip_is_noticed(copy, sent, f"bit {bit} of {name}")
    assert noticed > FLIPS / 3, "the test sees nothing"


def _flip_is_noticed(copy: Path, sent: list[Action], what: str) -> bool:
    try:
        journal = Journal(settings(copy))
    except JournalCorrupt:
        return True
    try:
        found = [record.action() for record in journal.reader.page(0, 1000).actions]
        assert found == sent, what
        assert journal.reader.consumers() == {"audit": 3}, what
        assert len(journal.reader.penalties_in_force(NOW)) == 60, what
    except JournalCorrupt:
        return True
    finally:
        journal.close()
    return False


class Disk:
    """What a power cut would leave: of each file what was synced, and maybe some of what was written since."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._durable: dict[str, bytearray] = {}
        self._pending: dict[str, list[tuple[int, bytes | None]]] = {}

    def write(self, name: str, offset: int, data: bytes | None) -> None:
        """`data` None cuts the file off at `offset`."""
        self._durable.setdefault(name, bytearray())
        self._pending.setdefault(name, []).append((offset, data))

    def sync(self, name: str) -> None:
        for offset, data in self._pending.pop(name, []):
            self._apply(self._durable[name], offset, data)

    def unlink(self, name: str) -> None:
        self._durable.pop(name, None)
        self._pending.pop(name, None)

    def leave(self, folder: Path, torn: bool) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, durable in self._durable.items():
            image = bytearray(durable)
            for offset, data in self._pending.get(name, []) if torn else []:
                if self._dice.random() < 0.5:
                    cut = data if data is None else data[: self._dice.randrange(len(data) + 1)]
                    self._apply(image, offset, self._dice.choice((data, cut)))
            if image:
                (folder / name).write_bytes(image)

    @staticmethod
    def _apply(image: bytearray, offset: int, data: bytes | None) -> None:
        if data is None:
            del image[offset:]
            return
        image.extend(bytes(max(0, offset + len(data) - len(image))))
        image[offset : offset + len(data)] = data


_CALL = re.compile(r"\d+\s+(\w+)\((\d+)<([^>]*)>(?:\(deleted\))?(?:, (.*))?\)\s+= \d+")
_UNLINK = re.compile(r'\d+\s+unlink\("([^"]*)"')
_FILES = ("journal.db", "journal.db-wal", "journal.mark")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def power_cuts(log: Path, dice: random.Random) -> Iterator[tuple[Disk, dict[int, str]]]:
    """The disk at each moment something had just been acknowledged, and all that was acknowledged by then."""
    disk = Disk(dice)
    acked: dict[int, str] = {}
    for line in log.read_text().splitlines():
        if unlinked := _UNLINK.match(line):
            disk.unlink(Path(_bytes(unlinked[1]).decode()).name)
        if not (found := _CALL.match(line)):
            continue
        call, fd, path, rest = found[1], found[2], found[3], found[4] or ""
        name = Path(_bytes(path).decode() if path.startswith("\\x") else path).name
        if call == "write" and fd == "1":
            acked |= acknowledged(_bytes(rest.split('"')[1]).decode().splitlines())
            yield disk, acked
        elif name not in _FILES:
            continue
        elif call == "pwrite64":
            _, data, numbers = rest.split('"')
            disk.write(name, int(numbers.split(", ")[2]), _bytes(data))
        elif call == "ftruncate":
            disk.write(name, int(rest), None)
        elif call in ("fdatasync", "fsync"):
            disk.sync(name)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("full", [True, False])
def test_power_cut_loses_nothing_acknowledged(tmp_path: Path, checkout: Path, full: bool) -> None:
    """Cut after any ack, unsynced writes lost or torn: all acknowledged is there. Without syncs it must not be."""
    log = tmp_path / "log"
    trace = "trace=pwrite64,write,ftruncate,fdatasync,fsync,unlink"
    command = ["strace", "-f", "-y", "-xx", "-s", "200000", "-e", trace, "-o", str(log)]
    subprocess.run(
        [*command, *writer(tmp_path / "data", 0, 2, 20_000, POWER_CUTS)],
        cwd=checkout,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    if not full:
        log.write_text("\n".join(line for line in log.read_text().splitlines() if "fdatasync" not in line))
    lost = 0
    cuts = 0
    for disk, acked in power_cuts(log, random.Random(3)):
        for torn in (False, True):
            disk.leave(tmp_path / "image", torn)
            cuts += 1
            try:
                found = contents(tmp_path / "image")
            except JournalError:
                found = {}
            lost += not acked.items() <= found.items()
    assert cuts > POWER_CUTS
    assert (lost == 0) is full
