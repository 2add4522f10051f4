"""What the garbage collector is spared, and that nothing is left which it alone could free."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.runtime import collector
from roomguard.runtime.delivery import Delivery
from roomguard.runtime.settings_rooms import RoomSettings
from roomguard.store.settings import BusSettings
from roomguard.testing import chat as said
from tests.runtime.peers import BACKENDS, frame, listening, settled, text
from tests.runtime.room_fakes import a_house, chat

PROGRAM = configure(Path(__file__).parents[2] / "config.toml").program
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
    collector.look_at_all()
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


class TestWatching:
    async def test_all_is_looked_at_after_enough_suspects(
        self, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only what may have left cycles makes the collector look at all, each time it has happened often enough."""
        looks: list[float] = []
        suspects = 3
        monkeypatch.setattr(collector, "look_at_all", lambda: looks.append(trio.current_time()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collector.watch, lambda: suspects)
            await trio.sleep(1_000)
            assert not looks

            suspects += collector.MOST_SUSPECTS
            await trio.sleep(1_000)
            assert len(looks) == 1

            suspects += collector.MOST_SUSPECTS - 1
            await trio.sleep(1_000)
            assert len(looks) == 1
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("closes", [True, False], ids=["closed", "gone"])
async def test_a_connection_leaves_nothing(backend: str, closes: bool) -> None:
    """Connections that ended, with a close frame or without, need no collector."""
    async with listening(backend=backend) as running:

        async def one() -> None:
            peer = await running.connect()
            await peer.open()
            await peer.send(text("hello"))
            assert "hello" == await peer.message()
            if closes:
                await peer.send(CLOSE)
                await peer.closing()
            await peer.stream.aclose()
            running.peers.clear()
            await settled(lambda: not running.listener.statistics().open)

        await one()  # what is made once is made here
        with nothing_left():
            for _ in range(5):
                await one()


async def test_a_refused_request_leaves_nothing() -> None:
    """A peer that is no websocket client needs no collector either."""
    async with listening() as running:

        async def one() -> None:
            peer = await running.connect()
            await peer.send(b"GET /nothing HTTP/1.1\r\nHost: guard\r\n\r\n")
            await peer.rest()
            await peer.stream.aclose()
            running.peers.clear()
            await settled(lambda: not running.listener.statistics().open)

        await one()
        with nothing_left():
            for _ in range(5):
                await one()


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
