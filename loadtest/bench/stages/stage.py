"""A stage, and how stages are timed: in turn, so that a noisy moment hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import attrs

Work = Callable[[], object]
Prepare = Callable[[], Work]


@attrs.frozen
class Stage:
    """Something to time. `prepare` makes fresh state and returns the work, which alone is timed."""

    name: str
    what: str
    count: int
    """What the time is divided by: events, texts, hits or actions, as `unit` says."""
    prepare: Prepare
    unit: str = "us/event"
    over: str = ""
    """The stage whose cost is taken off: what is left is what this one adds."""
    beside: str = ""
    """The stage it is compared with: a floor, or what others do for the same."""
    most: float | None = None
    """Goal: at most so many units."""
    most_ratio: float | None = None
    """Goal: at most so many times the one beside."""


def once(stage: Stage) -> float:
    """CPU microseconds of one run for one of its `count`, all threads of the process together."""
    work = stage.prepare()
    gc.collect()
    gc.freeze()  # what is there already is no business of the collector, as in a guard that has started
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / 1_000 / stage.count


def in_turn(stages: Sequence[Stage], runs: int, said: Callable[[str], None]) -> dict[str, list[float]]:
    """Every stage in each of `runs` rounds, the better of two, after a round that does not count (lazy imports).

    `said` hears of each stage that is left out because it cannot run here, and why.
    """
    times: dict[str, list[float]] = {}
    left = list(stages)
    for turn in range(runs + 1):
        shift = turn % len(left) if left else 0
        for stage in [*left[shift:], *left[:shift]]:
            try:
                cost = min(once(stage), once(stage)) if turn else once(stage)
            except Exception as error:  # noqa: BLE001 - of another revision anything may be missing; the rest still counts
                left.remove(stage)
                times.pop(stage.name, None)
                said(f"{stage.name}: {type(error).__name__}: {error}")
                continue
            if turn:
                times.setdefault(stage.name, []).append(cost)
    return {stage.name: times[stage.name] for stage in stages if stage.name in times}
