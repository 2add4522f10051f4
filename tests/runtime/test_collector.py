"""What the garbage collector is spared, and that nothing is left which it alone could free."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from trio.testing import MockClock

from roomguard.configure import configure, differences
from roomguard.engine.overrides import Wish
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.engine.variants import MAX_VARIANTS
from roomguard.model.events import Control
from roomguard.runtime import collector
from roomguard.runtime.delivery import Delivery
from roomguard.runtime.reload import Reloader
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.runtime.transport import Connection
from roomguard.store.settings import BusSettings
from roomguard.testing import chat as said
from tests.runtime.peers import BACKENDS, Peer, Running, frame, listening, settled, text
from tests.runtime.room_fakes import a_house, chat, clock

CONFIG = Path(__file__).parents[2] / "config.toml"
PROGRAM = configure(CONFIG).program
LONG = 16
CLOSE = frame(8, (1000).to_bytes(2, "big"))


@pytest.fixture
def _begun() -> Iterator[None]:
    thresholds = gc.get_threshold()
    collector.begin()
    yield
    gc.callbacks.remove(collector.settle)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Held(list[Any]):
    """Something the collector looks at, which tells when it is gone."""

    gone = 0

    def __del__(self) -> None:
        Held.gone += 1


@contextmanager
def nothing_left(allowed: int = 0) -> Iterator[None]:
    """What is made inside is freed without the collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [repr(thing)[:200] for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert len(left) <= allowed, left


@pytest.mark.usefixtures("_begun")
def test_what_survives_is_settled() -> None:
    """After a look at the middle-aged the collector knows nothing any more, and counts still free what was settled."""
    Held.gone = 0
    kept, cycle = Held(), Held()
    cycle.append(cycle)
    gc.collect(1)
    assert not any(thing is kept for thing in gc.get_objects())

    del kept
    assert Held.gone == 1

    del cycle
    gc.collect()
    assert Held.gone == 1
    gc.unfreeze()
    gc.collect()
    assert 2 == Held.gone


@pytest.mark.usefixtures("_begun")
def test_a_young_cycle_goes() -> None:
    """What becomes a cycle before it has settled is found as ever."""
    Held.gone = 0
    cycle = Held()
    cycle.append(cycle)
    del cycle
    gc.collect(0)
    assert Held.gone == 1


def test_ordinary_messages_show_it_nothing_long() -> None:
    """What a room keeps of messages is out of its sight: it would look at each thing in a list begun of late."""
    room = RoomGuard("r", PROGRAM, Tally())

    def say(first: int, count: int) -> None:
        for number in range(first, first + count):
            event = said(f"u{number % 200}", f"round {number}", number / 4, emotes=None if number % 9 else ["Kappa"])
            room.receive(event, event.ts)

    say(0, 2_000)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        say(2_000, 2_000)
        long = [thing for thing in gc.get_objects(generation=0) if isinstance(thing, list | dict) and len(thing) > LONG]
    finally:
        gc.enable()
        gc.unfreeze()
    assert long == []


class TestPrograms:
    """Programs are large, and each reload makes one."""

    def rooms(self) -> list[RoomGuard]:
        """Rooms with something in them."""
        rooms = [RoomGuard(f"r{number}", PROGRAM, Tally()) for number in range(5)]
        for number, room in enumerate(rooms):
            room.receive(said(f"u{number}", "hello everybody out there", 1.0), 1.0)
        return rooms

    @pytest.mark.parametrize(
        "setting", ["thresholds.flood_10s=8", "features.user_10s.window_s=11", "engine.caps.causes=9", "mode=shadow"]
    )
    def test_a_reload_leaves_nothing(self, setting: str) -> None:
        """A program that was replaced, and what its rooms had of it, needs no collector."""

        def there_and_back(rooms: list[RoomGuard]) -> None:
            for flags in ((setting,), ()):
                program = configure(CONFIG, flags).program
                for room in rooms:
                    room.configure(program)
                    room.receive(said("v", "and one more of them", 2.0), 2.0)

        rooms = self.rooms()
        there_and_back(rooms)  # what is kept for the next program that needs the same is made here
        with nothing_left():
            there_and_back(rooms)

    async def test_a_refused_configuration_leaves_nothing(self, tmp_path: Path) -> None:
        """What was loaded of it goes with it, however far that came."""
        good = CONFIG.read_text(encoding="utf-8")
        file = tmp_path / "config.toml"
        bad = (f"{good}\nx = = 3\n", good.replace("[rooms]", "[roomz]"), good.replace('when = "', 'when = "zz and '))

        async def apply(_new: object) -> None:
            raise AssertionError

        reloader = Reloader(configure(CONFIG), load=partial(configure, file), compare=differences, apply=apply)

        async def refused() -> None:
            for content in bad:
                file.write_text(content, encoding="utf-8")
                assert not (await reloader.reload("test")).ok

        await refused()
        with nothing_left():
            await refused()

    def test_forgotten_overrides_leave_nothing(self) -> None:
        """A variant that had to go is freed as soon as no room judges by it."""
        room = self.rooms()[0]
        program = configure(CONFIG).program
        room.configure(program)

        def set_ones(first: int) -> None:
            for number in range(first, first + MAX_VARIANTS + 9):
                now = 2.0 + number
                settings = Wish(thresholds={"flood_10s": 20 + number / 100}, ttl_s=1.0).settings()
                room.control(Control(type="override", room="r0", ts=now, settings=settings, ttl_s=1.0), now)

        set_ones(0)
        with nothing_left():
            set_ones(1_000)
        assert len(program.variants) == MAX_VARIANTS


async def nothing_left_of(running: Running, said: Callable[[Peer], Awaitable[None]]) -> None:
    """Connections in which a peer says and hears this, and is gone, need no collector."""

    async def one() -> None:
        peer = await running.connect()
        await said(peer)
        await peer.stream.aclose()
        running.peers.clear()
        await settled(lambda: not running.listener.statistics().open)

    await one()  # what is made once is made here
    with nothing_left():
        for _ in range(5):
            await one()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("closes", [True, False], ids=["closed", "gone"])
async def test_a_connection_leaves_nothing(backend: str, closes: bool) -> None:
    """Connections that ended, with a close frame or without, need no collector."""

    async def talk(peer: Peer) -> None:
        await peer.open()
        await peer.send(text("hello"))
        assert "hello" == await peer.message()
        if closes:
            await peer.send(CLOSE)
            await peer.closing()

    async with listening(backend=backend) as running:
        await nothing_left_of(running, talk)


@pytest.mark.parametrize(
    "request_", [b"GET /nothing HTTP/1.1\r\nHost: guard\r\n\r\n", b"what\r\n\r\n"], ids=["not found", "no HTTP"]
)
async def test_a_refused_request_leaves_nothing(request_: bytes) -> None:
    """A peer that is no websocket client needs no collector either."""

    async def ask(peer: Peer) -> None:
        await peer.send(request_)
        await peer.rest()

    async with listening() as running:
        await nothing_left_of(running, ask)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "sent",
    [
        frame(1, b"unmasked", masked=False), frame(2, b"binary"), frame(1, b"\xff\xfe"), frame(3, b"reserved"),
        b"\xff" * 20, frame(8, b"\x03"), frame(9, b"x" * 126),
    ],
    ids=["unmasked", "binary", "no UTF-8", "reserved", "noise", "half a code", "long ping"],
)  # fmt: skip
async def test_a_peer_that_breaks_the_rules_leaves_nothing(backend: str, sent: bytes) -> None:
    """Faults are noticed inside libraries, and their errors know the way out."""

    async def offend(peer: Peer) -> None:
        await peer.open()
        await peer.send(sent)
        await peer.rest()

    async with listening(backend=backend) as running:
        await nothing_left_of(running, offend)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_handlers_bug_leaves_nothing(backend: str) -> None:
    """What a handler raised goes with its connection."""

    async def fails(_connection: Connection, _params: object) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError

    async def listen(peer: Peer) -> None:
        await peer.open()
        await peer.rest()

    async with listening(backend=backend, handlers={"edge": fails}) as running:
        await nothing_left_of(running, listen)


def test_a_subscription_leaves_nothing() -> None:
    """A subscription and whoever it wakes know each other only until it is closed."""

    class Owner:
        def __init__(self, delivery: Delivery) -> None:
            self.subscription = delivery.subscribe(wake=self.wake)

        def wake(self) -> None:
            """Nothing to do."""

    delivery = Delivery(BusSettings())
    with nothing_left():
        for _ in range(5):
            owner = Owner(delivery)
            owner.subscription.close()
            del owner


class TestRooms:
    async def test_a_room_put_away_leaves_nothing(self, autojump_clock: MockClock) -> None:
        """A room that was idle and went, with its task, needs no collector."""
        async with a_house(RoomSettings(idle_s=30, sweep_s=5)) as house:

            async def some() -> None:
                for number in range(5):
                    await house.send(chat("hello", room=f"r{number}"))
                await trio.sleep(100)
                assert 0 == len(house.rooms)

            await some()
            with nothing_left():
                await some()

    @pytest.mark.parametrize("sent", ["boom", "override", "later"], ids=["event", "control record", "deadline"])
    async def test_a_crash_leaves_nothing(
        self, sent: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What a room raised is handed to its task; neither holds the other when it has started again."""
        caplog.set_level(logging.CRITICAL, "roomguard.rooms")
        async with a_house() as house:

            def fails(_at: float) -> NoReturn:
                raise LookupError

            async def crash() -> None:
                await house.send(chat("hello"))
                if sent == "override":
                    house.rooms.control(Control(type="override", room="r1", ts=clock()))
                elif sent == "later":
                    house.guard().on_deadline = fails
                    await house.send(chat("later 1"))
                else:
                    await house.send(chat("boom"))
                await trio.sleep(100)

            await crash()
            before = house.rooms.statistics().supervisor.crashes
            with nothing_left():
                await crash()
            assert before == house.rooms.statistics().supervisor.crashes - before > 0
