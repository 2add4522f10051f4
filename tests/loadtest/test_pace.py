"""Waiting for points in time: in their order, and never too short."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from time import monotonic

import pytest

from loadtest.pace import KernelTimer, Pacer

Make = Callable[[], Pacer]


@pytest.fixture(params=["the best there is", "the loop's clock"])
def make(request: pytest.FixtureRequest) -> Make:
    return Pacer.best if request.param == "the best there is" else lambda: Pacer(None)


def test_each_at_its_time(make: Make) -> None:
    """Whoever waits goes on in the order of time, whatever order they began in, and not before it has come."""
    woken: list[tuple[int, float]] = []

    async def wait(pacer: Pacer, number: int, due: float) -> None:
        await pacer.until(due)
        woken.append((number, monotonic() - due))

    async def play() -> None:
        pacer, start = make(), monotonic() + 0.02
        await asyncio.gather(*(wait(pacer, number, start + 0.01 * number) for number in (3, 1, 4, 0, 2)))
        pacer.close()

    asyncio.run(play())
    assert [number for number, _ in woken] == [0, 1, 2, 3, 4]
    # The loop's clock is a little coarse.
    assert all(late > -0.001 for _, late in woken)


def test_what_is_past_waits_for_nothing(make: Make) -> None:
    """A time that has come already lets its waiter go on, and the others still wait for theirs."""

    async def play() -> list[str]:
        pacer, done, now = make(), [], monotonic()
        later = asyncio.create_task(pacer.until(now + 0.05))
        await asyncio.sleep(0)
        await pacer.until(now - 1.0)
        done.append("past" if not later.done() else "both")
        await later
        pacer.close()
        return done

    assert asyncio.run(play()) == ["past"]


def test_a_waiter_that_gave_up_is_passed_by() -> None:
    """Who was cancelled meanwhile holds nobody up."""

    async def play() -> bool:
        pacer, now = Pacer.best(), monotonic()
        first = asyncio.create_task(pacer.until(now + 0.01))
        second = asyncio.create_task(pacer.until(now + 0.02))
        await asyncio.sleep(0)
        first.cancel()
        await second
        pacer.close()
        return first.cancelled()

    assert asyncio.run(play())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such timers")
def test_the_timer_is_given_back() -> None:
    """What a pacer opened is closed with it."""

    async def play() -> int:
        timer = KernelTimer()
        Pacer(timer).close()
        return timer.descriptor

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(asyncio.run(play()))
