"""Live reload: validated first, one after another, the old configuration kept on error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import attrs
import pytest
import trio

from roomguard.errors import ConfigError, ConfigProblem
from roomguard.runtime.reload import Reloader


@attrs.frozen
class Difference:
    text: str
    restart: bool

    def __str__(self) -> str:
        return self.text


@attrs.define
class Guarded:
    """What a reload acts on: remembers each configuration that was put in force."""

    applied: list[str] = attrs.field(factory=list)

    async def apply(self, new: str) -> None:
        await trio.lowlevel.checkpoint()
        self.applied.append(new)


def reading(file: Path) -> Callable[[], str]:
    """A configuration is one word; the word `wrong` is refused."""

    def load() -> str:
        try:
            word = file.read_text()
        except OSError as error:
            raise ConfigError([ConfigProblem(str(file), None, "", f"cannot be read: {error.strerror}")]) from None
        if word == "wrong":
            raise ConfigError([ConfigProblem(str(file), 1, "word", "is wrong")])
        return word

    return load


def compare(old: str, new: str) -> list[Difference]:
    return [Difference(f"{old} -> {new}", restart=new.startswith("port"))] if old != new else []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "config.toml"
    path.parent.mkdir()
    path.write_text("one")
    return path


def reloader(file: Path, guarded: Guarded, watched: Path | None = None) -> Reloader[str]:
    return Reloader("one", load=reading(file), compare=compare, apply=guarded.apply, file=watched, wall=lambda: 7.0)


async def test_accepted(file: Path) -> None:
    """A valid configuration is put in force, and what changed is reported."""
    guarded = Guarded()
    watching = reloader(file, guarded)
    file.write_text("two")

    report = await watching.reload("SIGHUP")

    assert (report.ok, report.changed, report.restart, report.problems) == (True, ("one -> two",), (), ())
    assert (guarded.applied, watching.current) == (["two"], "two")
    assert attrs.astuple(watching.statistics()) == (1, 0, True, 7.0)


async def test_waits_for_a_restart(file: Path) -> None:
    """What can only be read at the start is named as such."""
    file.write_text("port 9")

    report = await reloader(file, Guarded()).reload("SIGHUP")

    assert (report.ok, report.changed, report.restart) == (True, (), ("one -> port 9",))


async def test_refused(file: Path) -> None:
    """A configuration with an error changes nothing; the report says where and why."""
    guarded = Guarded()
    watching = reloader(file, guarded)
    file.write_text("wrong")

    report = await watching.reload("SIGHUP")

    assert (report.ok, report.problems) == (False, (f"{file}:1: word: is wrong",))
    assert (guarded.applied, watching.current, watching.statistics().last_ok) == ([], "one", False)

    file.unlink()
    assert (await watching.reload("SIGHUP")).problems == (f"{file}: cannot be read: No such file or directory",)
    assert watching.statistics().refused == 2


async def test_after_a_refusal_the_next_good_one_counts(file: Path) -> None:
    """Whatever was refused or put in force before, also the very same, what is asked for next is looked at anew."""
    guarded = Guarded()
    watching = reloader(file, guarded)
    reports = []
    for word in ("two", "wrong", "two", "wrong", "three", "two"):
        file.write_text(word)
        reports.append((await watching.reload("SIGHUP")).ok)

    assert [True, False, True, False, True, True] == reports
    assert ("two", "two", 2) == (guarded.applied[-1], watching.current, watching.statistics().refused)
    assert ["two", "three", "two"] == [word for word, _ in groupby(guarded.applied)]


async def test_one_after_another(file: Path) -> None:
    """However many ask at once, one configuration is put in force at a time, and the last one asked for stays."""
    guarded = Guarded()
    watching = reloader(file, guarded)

    async def ask(word: str) -> None:
        file.write_text(word)
        await watching.reload(word)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, f"word {number}")

    assert guarded.applied[-1] == file.read_text() == watching.current
    assert watching.statistics().loaded == 20


@asynccontextmanager
async def watching(file: Path) -> AsyncIterator[tuple[Reloader[str], Callable[[Callable[[], bool]], object]]]:
    """A reloader that watches `file`, and how to wait until something holds. Real files, so real time."""
    watcher = reloader(file, Guarded(), watched=file)

    async def until(holds: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not holds():
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        yield watcher, until
        nursery.cancel_scope.cancel()


def replaced(file: Path, word: str) -> None:
    beside = file.with_name("config.toml.new")
    beside.write_text(word)
    beside.rename(file)


WAYS: dict[str, Callable[[Path, str], object]] = {
    "written in place": lambda file, word: file.write_text(word),
    "renamed over": replaced,
}


@pytest.mark.parametrize("way", WAYS)
async def test_change_of_the_file(file: Path, way: str) -> None:
    """The file is read again after any change of it, of its content or its name; what is wrong is not put in force."""
    async with watching(file) as (watcher, until):
        WAYS[way](file, "two")
        await until(lambda: watcher.current == "two")
        WAYS[way](file, "wrong")
        await until(lambda: watcher.statistics().refused == 1)
        WAYS[way](file, "three")
        await until(lambda: watcher.current == "three")

    assert watcher.statistics().last_ok


async def test_turned_link(file: Path, tmp_path: Path) -> None:
    """A link to a folder that is turned to another one is a change, as is one in the folder it then leads to."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(name)
    link = tmp_path / "etc" / "..data"
    link.symlink_to(tmp_path / "a")
    file.unlink()
    file.symlink_to(link / "config.toml")

    async with watching(file) as (watcher, until):
        turned = tmp_path / "etc" / "..new"
        turned.symlink_to(tmp_path / "b")
        turned.rename(link)
        await until(lambda: watcher.current == "b")
        (tmp_path / "b" / "config.toml").write_text("c")
        await until(lambda: watcher.current == "c")


async def test_gone_and_back(file: Path) -> None:
    """A file that is deleted leaves the configuration in force; when it is back it is read."""
    async with watching(file) as (watcher, until):
        file.unlink()
        await trio.sleep(0.5)
        assert (watcher.current, watcher.statistics().refused) == ("one", 0)
        file.write_text("two")
        await until(lambda: watcher.current == "two")


@pytest.mark.slow
async def test_no_descriptor_stays_open(file: Path) -> None:
    """Many changes in a row, good and bad, leave no file descriptor behind."""
    async with watching(file) as (watcher, until):
        replaced(file, "first")
        await until(lambda: watcher.current == "first")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(10):
            replaced(file, "wrong" if number % 2 else f"word {number}")
            await trio.sleep(0.1)
        replaced(file, "last")
        await until(lambda: watcher.current == "last")
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
