"""Counting different values in a few bytes: how far it is off, how it slides, and that it is the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from math import log
from random import Random

import msgspec
import pytest

from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings, CapSettings
from roomguard.engine.sketch import BUCKETS, MOST, TICKS, Sketch, bucket_of
from roomguard.engine.windows import Distinct
from roomguard.testing import START, Scene, feature, program, rule

WINDOW = 60.0
NAMES = ("u{}", "user-{:08}", "{:x}", "пользователь {}", "{0}{0}{0}", "a{}@example.com", "{}\U0001f3ae")
"""How platforms name users, and worse: values that differ in a digit, or only at one end."""
CLOSE = {257: 0.05, 400: 0.05, 1_000: 0.05, 3_000: 0.05, 8_000: 0.05, 20_000: 0.05, 35_000: 0.1, 49_000: 0.1}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(("count", "error"), CLOSE.items())
def test_the_count_is_close(count: int, error: float, names: str) -> None:
    """Beyond the exact set a count is within 5 % of the truth up to 20,000, and within 10 % up to what is counted."""
    window = Distinct(WINDOW, 256)
    for number in range(count):
        window.hit(START + number * 50 / count, names.format(number))

    assert window.value(START + 50) == pytest.approx(count, rel=error)


def test_on_average_it_is_right() -> None:
    """Errors of one side do not prevail: over many crowds the mean is within half a percent."""
    ratios = []
    for crowd in range(40):
        window = Distinct(WINDOW, 256)
        for number in range(2_000):
            window.hit(START + number / 50, f"{crowd}:{number}")
        ratios.append((window.value(START + 40) or 0) / 2_000)

    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("crowd", [500, 2_000, 10_000])
def test_it_slides(crowd: int) -> None:
    """With so many newcomers a window at all times the count stays close to that, and goes down when they stop."""
    window = Distinct(WINDOW, 256)
    for number in range(3 * crowd):
        window.hit(START + number * WINDOW / crowd, f"u{number}")
        if number > crowd and number % (crowd // 50) == 0:
            assert window.value(START + number * WINDOW / crowd) == pytest.approx(crowd, rel=0.07)
    end = START + 3 * WINDOW
    counts = [window.value(end + WINDOW * share) or 0 for share in (0.25, 0.5, 0.75, 0.9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[:2] == [pytest.approx(crowd * (1 - share), rel=0.1) for share in (0.25, 0.5)]
    assert 0 == window.value(end + WINDOW)


def test_who_comes_again_counts_once() -> None:
    """Values seen again and again stay, and are one each."""
    dice = Random(7)
    window = Distinct(WINDOW, 256)
    for step in range(30_000):
        window.hit(START + step / 100, f"u{dice.randrange(900)}")

    assert window.value(START + 300) == pytest.approx(900, rel=0.05)


def test_more_than_can_be_counted() -> None:
    """A count ends at its bound, and a sketch without an empty bucket says so too."""
    sketch = Sketch.starting(WINDOW, START)
    for number in range(200_000):
        sketch.hit(START, f"u{number}")

    assert MOST == sketch.value(START)
    assert sketch.live <= BUCKETS


def test_it_stays_small() -> None:
    """Sixteen KiB of buckets and at most `TICKS` counts, however long it runs and whatever comes."""
    sketch = Sketch.starting(1.0, START)
    for step in range(20_000):
        sketch.hit(START + step * 0.37, f"u{step}")
        assert len(sketch.counts) <= TICKS
        assert sketch.live == sum(sketch.counts.values())

    assert 2 * BUCKETS == len(sketch.seen.tobytes())


def test_ticks_begin_anew() -> None:
    """Where the numbers of ticks run out they begin anew, and nothing is counted otherwise for it."""
    old = Sketch.starting(WINDOW, START)
    old.hit(START, "first")
    late = START + 1_020 * WINDOW
    young = Sketch.starting(WINDOW, late)
    for number in range(4_000):
        at = late + number * WINDOW / 200
        old.hit(at, f"u{number}")
        young.hit(at, f"u{number}")
        assert young.value(at) == old.value(at)
    assert old.before > young.before - TICKS * 2


def test_every_count_is_far_from_a_half() -> None:
    """No logarithm that differs in its last bit can round to another count."""
    halves = [abs(BUCKETS * log(BUCKETS / empty) % 1 - 0.5) for empty in range(1, BUCKETS + 1)]

    assert min(halves) > 1e-6


def test_buckets_are_the_same_everywhere() -> None:
    """A bucket depends on the value alone, whatever the process and its hash seed; a lone surrogate has one too."""
    values = [*(name.format(number) for name in NAMES for number in range(20)), "", "\ud800"]
    code = "import sys; from roomguard.engine.sketch import bucket_of; print([bucket_of(v) for v in eval(sys.argv[1])])"
    done = subprocess.run(
        [sys.executable, "-c", code, ascii(values)],
        capture_output=True, text=True, check=True, timeout=60, env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip

    assert str([bucket_of(value) for value in values]) == done.stdout.strip()


def test_a_snapshot_goes_on_alike() -> None:
    """A window read back from JSON counts as if nothing had happened, also into a cap that is larger or smaller."""
    one = Distinct(WINDOW, 256)
    for number in range(3_000):
        one.hit(START + number / 100, f"u{number}")
    data = msgspec.json.encode(one.dump())
    same, larger, smaller = (Distinct(WINDOW, cap) for cap in (256, 1_000, 50))
    for other in (same, larger, smaller):
        other.load(msgspec.json.decode(data))
    for number in range(2_500, 6_000):
        at = START + number / 100
        for window in (one, same, larger, smaller):
            window.hit(max(at, START + 30), f"u{number}")

    assert one.dump() == same.dump()
    assert one.value(START + 60) == same.value(START + 60)
    assert [5_900, 5_900] == [pytest.approx(window.value(START + 61), rel=0.05) for window in (larger, smaller)]
    assert (256, 1_000, 50) == (len(one.seen), len(larger.seen), len(smaller.seen))


@pytest.mark.parametrize("data", [[0, [], 0, ""], [0, [], 0, "AAAAAAAA"]])
def test_a_snapshot_that_is_none(data: object) -> None:
    """A sketch with another number of buckets is refused."""
    with pytest.raises(ValueError, match="buckets"):
        Sketch.load(WINDOW, data)


CROWD = program(
    rule("crowd", "joiners >= 1500", "restrict", on=("join",), duration_s=60.0),
    rule("chorus", "singers > 400", "delete"),
    features={"joiners": feature("distinct", key="room", events=("join",)), "singers": feature("distinct", key="text")},
    caps=CapSettings(users=500),
)  # fmt: skip


def test_rules_may_ask_for_more_than_the_exact_set() -> None:
    """A rule about 1,500 different users fires within 5 % of the 1,500th; a restored room decides alike."""
    scene = Scene(CROWD)
    fired = []
    for number in range(2_000):
        if number == 700:
            data = scene.guard.snapshot()
            scene.guard = RoomGuard.restore("r1", CROWD, data)
            assert data == scene.guard.snapshot()
        if scene.join(f"u{number}", at=number / 100).actions:
            fired.append(number + 1)

    assert fired[0] == pytest.approx(1_500, rel=0.05)


def test_rules_may_ask_how_many_say_a_text() -> None:
    """The same for users of one text; other texts stay exact."""
    scene = Scene(CROWD)
    for number in range(600):
        scene.chat(f"u{number}", "gg well played", at=number / 100)
        scene.chat(f"u{number}", f"something else {number % 3}", at=number / 100)
    deleted = [action.user for action in scene.actions]

    assert int(deleted[0][1:]) + 1 == pytest.approx(401, rel=0.05)
    assert BudgetSettings().actions_per_rule_minute == len(deleted)
