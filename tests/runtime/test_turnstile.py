"""The turnstile: who is let in when, and that it is never lost."""

# ruff: noqa: ARG002 - the clock is asked for by naming it

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from roomguard.runtime.turnstile import Turnstile


async def work(turnstile: Turnstile, name: str, slices: int, done: list[str]) -> None:
    """Some slices, with a way for others behind each but the last."""
    await turnstile.enter()
    for left in range(slices, 0, -1):
        done.append(name)
        if left > 1:
            await turnstile.give_way()
    turnstile.leave()


async def long_work(turnstile: Turnstile, clock: MockClock, name: str, slices: int, done: list[str]) -> None:
    """The same with slices of two milliseconds."""
    await turnstile.enter()
    for left in range(slices, 0, -1):
        done.append(name)
        clock.jump(0.002)
        if left > 1:
            await turnstile.give_way()
    turnstile.leave()


async def in_order(nursery: trio.Nursery, *tasks: Callable[[], Awaitable[None]]) -> None:
    """Begin tasks one after the other."""
    for task in tasks:
        nursery.start_soon(task)
        await wait_all_tasks_blocked()


async def most_in_a_pass(done: list[str], *tasks: Callable[[], Awaitable[None]]) -> int:
    """How many of the slices that these tasks note in `done` came between two turns of somebody else."""
    most = seen = 0
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            nonlocal most, seen
            while True:
                most, seen = max(most, len(done) - seen), len(done)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(look)
        async with trio.open_nursery() as workers:
            for task in tasks:
                workers.start_soon(task)
        nursery.cancel_scope.cancel()
    return max(most, len(done) - seen)


class TestTurnstile:
    async def test_whoever_waits_longest_is_next(self, autojump_clock: MockClock) -> None:
        """Slices go round: first come, first served, whoever gives way last."""
        turnstile, done = Turnstile(), list[str]()
        await turnstile.enter()
        async with trio.open_nursery() as nursery:
            await in_order(
                nursery,
                lambda: work(turnstile, "a", 3, done),
                lambda: work(turnstile, "b", 1, done),
                lambda: work(turnstile, "c", 2, done),
            )
            turnstile.leave()

        assert ["a", "b", "c", "a", "c", "a"] == done

    @pytest.mark.parametrize("slices", [1, 3])
    async def test_a_pass_of_the_loop_is_one_slice(self, autojump_clock: MockClock, slices: int) -> None:
        """However many come in one pass, everybody else gets a turn behind each slice."""
        turnstile, done = Turnstile(), list[str]()
        most = await most_in_a_pass(
            done, *(partial(long_work, turnstile, autojump_clock, name, slices, done) for name in "abcdef")
        )

        assert len(done) == 6 * slices
        assert most <= 2  # whose turn is first in a pass is a matter of chance

    async def test_short_slices_share_a_pass(self, autojump_clock: MockClock) -> None:
        """What together takes less than a millisecond needs no other pass."""
        turnstile, done = Turnstile(), list[str]()
        async with trio.open_nursery() as nursery:
            for name in "abcdef":
                nursery.start_soon(work, turnstile, name, 1, done)
            for _ in range(2):  # whose turn is first in a pass is a matter of chance
                await trio.lowlevel.checkpoint()
            assert len(done) == 6

    async def test_who_is_cancelled_while_waiting_lets_the_next_one_in(self, autojump_clock: MockClock) -> None:
        """Nothing waits for somebody who is gone."""
        turnstile, done = Turnstile(), list[str]()
        await turnstile.enter()
        async with trio.open_nursery() as nursery:
            gone = trio.CancelScope()

            async def cancelled() -> None:
                with gone:
                    await work(turnstile, "gone", 1, done)

            await in_order(nursery, cancelled, lambda: work(turnstile, "next", 1, done))
            gone.cancel()
            turnstile.leave()

        assert ["next"] == done

    async def test_giving_way_is_not_ended_by_being_cancelled(self, autojump_clock: MockClock) -> None:
        """Who comes back from it is inside, cancelled or not, whether anybody waited or not."""
        for others in (0, 1):
            turnstile, done = Turnstile(), list[str]()
            await turnstile.enter()
            async with trio.open_nursery() as nursery:
                for _ in range(others):
                    await in_order(nursery, lambda: work(turnstile, "other", 1, done))  # noqa: B023
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await turnstile.give_way()
                    done.append("me")
                await in_order(nursery, lambda: work(turnstile, "late", 1, done))  # noqa: B023

                assert ["other"] * others + ["me"] == done
                turnstile.leave()

            assert "late" == done[-1]

    async def test_empty_for_a_while_it_stops_nobody(self, autojump_clock: MockClock) -> None:
        """To enter it then is no checkpoint."""
        turnstile = Turnstile()
        for _ in range(2):
            await trio.sleep(1)
            with trio.testing.assert_no_checkpoints():
                await turnstile.enter()
                turnstile.leave()
