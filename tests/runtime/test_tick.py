"""The beat: when it begins, how long anybody waits for it, when it ends."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from roomguard.runtime.kernel_timer import KernelTimer
from roomguard.runtime.tick import Tick

BEAT = 0.002


@asynccontextmanager
async def running(seconds: float = BEAT) -> AsyncGenerator[Tick, None]:
    async with trio.open_nursery() as nursery:
        tick = Tick(seconds)
        nursery.start_soon(tick.run)
        yield tick
        nursery.cancel_scope.cancel()


async def bring(tick: Tick, rate: float, seconds: float) -> None:
    """Frames one by one, at a rate."""
    for _ in range(round(rate * seconds)):
        await trio.sleep(1 / rate)
        tick.saw(1)


class TestTick:
    @pytest.mark.parametrize(("rate", "thick"), [(100, False), (1_900, False), (2_200, True), (20_000, True)])
    async def test_the_beat_begins_where_frames_come_thick(
        self, autojump_clock: MockClock, rate: float, thick: bool
    ) -> None:
        """Above four frames in the time of a beat, and not below."""
        async with running() as tick:
            await bring(tick, rate, 0.5)

            assert thick == tick.thick == (tick.beats > 0)

    async def test_nobody_waits_longer_than_a_beat(self, autojump_clock: MockClock) -> None:
        """All who wait are let go at the same beat, whenever they came."""
        async with running() as tick:
            await bring(tick, 10_000, 0.05)
            waits: list[float] = []

            async def read() -> None:
                began = trio.current_time()
                await tick.wait()
                waits.append(trio.current_time() - began)

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(read)
                    await trio.sleep(BEAT / 10)

            assert 3 == len(waits)
            assert max(waits) <= BEAT + 1e-9

    async def test_the_beat_ends_when_it_is_quiet_again(self, autojump_clock: MockClock) -> None:
        """A reader that waits at that moment is let go too."""
        async with running() as tick:
            await bring(tick, 10_000, 0.05)
            while tick.thick:
                await tick.wait()
            beats = tick.beats
            await bring(tick, 100, 1.0)

            assert beats == tick.beats

    async def test_by_a_timer_of_the_kernel(self) -> None:
        """It beats as often as it says: never sooner, and it is quiet when the beat has ended."""
        timer = KernelTimer.best()
        if timer is None:
            pytest.skip("timers of the kernel are Linux's")
        descriptor = os.dup(timer.descriptor)
        async with trio.open_nursery() as nursery:
            tick = Tick(BEAT)
            nursery.start_soon(tick.run, timer)
            began = trio.current_time()
            for _ in range(2):
                tick.saw(1_000)
            while tick.thick:
                await tick.wait()
            assert 0 < tick.beats <= (trio.current_time() - began) / BEAT
            nursery.cancel_scope.cancel()
        await trio.sleep(3 * BEAT)  # in which a timer that is still on would ring

        with pytest.raises(BlockingIOError):
            os.read(descriptor, 8)
        os.close(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(timer.descriptor)

    async def test_the_beat_can_be_off(self, autojump_clock: MockClock) -> None:
        """0 ms: nobody ever waits."""
        async with running(0.0) as tick:
            await bring(tick, 20_000, 0.5)

            assert not tick.thick
