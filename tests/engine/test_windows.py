"""Windows against models that keep everything, below and at their caps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from math import exp, inf, sqrt
from statistics import fmean, pstdev
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine import windows
from roomguard.engine.windows import (
    EVENTS_KEPT,
    FADED,
    MAX_BINS,
    ZSCORE_BINS,
    Count,
    Distinct,
    Ewma,
    Keyed,
    Members,
    Ratio,
    Sum,
    ZScore,
)

WINDOW = 10.0
steps = st.sampled_from([0.0, 0.25, 1.0, 3.0, 9.75, 10.0, 10.25, 25.0])
"""Gaps between events: exact in binary, so that boundaries are met exactly."""


@st.composite
def histories(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> list[tuple[float, Any]]:
    """(time, value) of events in time order."""
    now, history = 1000.0, []
    for gap, value in draw(st.lists(st.tuples(steps, values), min_size=1, max_size=40)):
        now += gap
        history.append((now, value))
    return history


def inside(history: list[tuple[float, Any]], now: float) -> list[Any]:
    return [value for time, value in history if now - WINDOW < time <= now]


def distinct_users(values: list[Any]) -> float:
    return len(set(values))


def distinct_names(values: list[Any]) -> float:
    return len({user for user, _ in values})


def ratio(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None


MODELS: list[tuple[Callable[..., Any], st.SearchStrategy[Any], Callable[[list[Any]], float | None]]] = [
    (Count, st.none(), len),
    (Sum, st.sampled_from([0.5, 1.0, 3.0, -2.0]), sum),
    (Distinct, st.sampled_from("abcd"), distinct_users),
    (Members, st.tuples(st.sampled_from("abcd"), st.sampled_from(["e1", "e2", ""])), distinct_names),
    (Ratio, st.booleans(), ratio),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "values", "model"), MODELS, ids=lambda item: getattr(item, "__name__", ""))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_equal_to_a_model(factory: Any, values: Any, model: Any, data: st.DataObject) -> None:
    """Below its cap a window says at any time what counting over (now - w, now] says, and looking changes nothing."""
    history = data.draw(histories(values))
    window, looked = factory(WINDOW, 1000), factory(WINDOW, 1000)
    for index, (now, value) in enumerate(history, start=1):
        window.hit(now, value)
        looked.hit(now, value)
        assert model(inside(history[:index], now)) == looked.value(now)
    end = history[-1][0]
    assert end == window.last()
    for later in (0.0, 5.0, 9.75, 10.0, 100.0):
        assert model(inside(history, end + later)) == window.value(end + later)
    assert -inf == factory(WINDOW, 1000).last()


@pytest.mark.parametrize("factory", [Count, Sum, Distinct, Members, Ratio, Ewma, ZScore])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_round_trip(factory: Any, data: st.DataObject) -> None:
    """A window read back from its snapshot in JSON goes on as if nothing had happened, also an empty one."""
    values: Any = {
        Sum: st.sampled_from([0.1, 3.0]),
        Distinct: st.sampled_from("abc"),
        Members: st.tuples(st.sampled_from("abc"), st.sampled_from(["e1", "e2", ""])),
        Ratio: st.booleans(),
    }.get(factory, st.none())
    history = data.draw(histories(values))
    cut = data.draw(st.integers(0, len(history)))
    whole, first = factory(WINDOW, 5), factory(WINDOW, 5)
    for now, value in history[:cut]:
        whole.hit(now, value)
        first.hit(now, value)
    second = factory(WINDOW, 5)
    second.load(msgspec.json.decode(msgspec.json.encode(first.dump())))
    for now, value in history[cut:]:
        whole.hit(now, value)
        second.hit(now, value)
    end = history[-1][0] + 1.0
    assert whole.value(end) == second.value(end)
    assert whole.dump() == second.dump()
    assert whole.last() == second.last()


@pytest.mark.parametrize(
    ("factory", "value", "expected"),
    [(Count, None, 3), (Sum, 1.0, 3.0), (Ratio, True, 1.0)],
)  # fmt: skip
def test_saturates_at_the_cap(factory: Any, value: Any, expected: float) -> None:
    """At its cap a window keeps the latest entries and saturates."""
    window = factory(WINDOW, 3)
    window.hit(0.0, not value)
    for second in range(1, 6):
        window.hit(float(second), value)
    assert expected == window.value(5.0)
    assert 3 == len(window.dump())


def test_a_smaller_cap_holds_at_once() -> None:
    """What is loaded into a window with a smaller cap is cut to it, the oldest first."""
    kinds: list[tuple[Any, list[Any]]] = [
        (Count, [None] * 3),
        (Sum, [1.0] * 3),
        (Distinct, ["a", "b", "c"]),
        (Members, [("a", "e1"), ("b", "e2"), ("c", "e3")]),
    ]
    for factory, values in kinds:
        large, small = factory(WINDOW, 10), factory(WINDOW, 2)
        for second, value in enumerate(values):
            large.hit(float(second), value)
        small.load(msgspec.json.decode(msgspec.json.encode(large.dump())))
        counted = 3 if factory is Distinct else 2
        assert counted == small.value(2.0)
        small.hit(3.0, values[0])
        assert counted == small.value(3.0)
        assert 2 == len(small.seen if factory in (Distinct, Members) else small.dump())


def test_distinct_forgets_who_was_unseen_longest() -> None:
    """At its cap a distinct count forgets the value unseen for longest, not the one first seen."""
    window = Distinct(WINDOW, 2)
    for second, value in enumerate("abac"):
        window.hit(float(second), value)
    assert {"a": 2.0, "c": 3.0} == window.seen
    assert (3, 1.0) == (window.value(3.0), window.forgotten)


@pytest.mark.parametrize("cap", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_distinct_count_beyond_its_cap(cap: int, data: st.DataObject) -> None:
    """It is exact where no more than `cap` values are in the window, whatever was there before, else more."""
    history = data.draw(histories(st.sampled_from("abcdefgh")))
    window = Distinct(WINDOW, cap)
    for index, (now, value) in enumerate(history, start=1):
        window.hit(now, value)
        counted, true = window.value(now), distinct_users(inside(history[:index], now))
        assert counted == true if true <= cap else counted > cap
        assert window.most() >= counted
        assert len(window.seen) <= cap
    assert 0 == window.value(history[-1][0] + WINDOW)


def test_a_sketch_comes_and_goes() -> None:
    """It is made when a value in the window is forgotten, and leaves a window after the count has been exact again."""
    window = Distinct(WINDOW, 3)
    for second in range(3):
        window.hit(float(second), f"u{second}")
    assert (3, None) == (window.value(2.0), window.sketch)
    window.hit(3.0, "u3")
    assert window.sketch is not None
    assert [4, 3, 3, 2] == [window.value(at) for at in (9.75, 10.0, 10.75, 11.5)]
    assert window.sketch is not None
    assert (0, None) == (window.value(20.0), window.sketch)


def test_a_cluster_is_acted_on_once() -> None:
    """A cluster names each user's events there until a decision took them; the user still counts."""
    window = Members(WINDOW, 10)
    window.hit(0.0, ("ann", "e1"))
    window.hit(1.0, ("ben", "e2"))
    window.hit(2.0, ("ann", "e3"))
    window.hit(3.0, ("mod", ""))
    assert [("ben", ("e2",)), ("ann", ("e1", "e3"))] == window.members(3.0)
    window.take("ann")
    window.take("nobody")
    assert [("ben", ("e2",))] == window.members(3.0)
    assert 3 == window.value(3.0)
    window.hit(4.0, ("ann", "e4"))
    assert [("ben", ("e2",)), ("ann", ("e4",))] == window.members(4.0)
    for number in range(9):
        window.hit(5.0, ("ann", f"x{number}"))
    assert EVENTS_KEPT == len(dict(window.members(5.0))["ann"])


@pytest.mark.parametrize("look", [True, False])
def test_a_cluster_keeps_its_name_while_it_lasts(look: bool) -> None:
    """The event that first tipped a cluster names it until nobody is in it any more, whoever looks in between."""
    window = Members(WINDOW, 10)
    window.hit(0.0, ("ann", "e1"))
    assert "e1" == window.origin("e1")
    window.hit(9.0, ("ben", "e2"))
    assert "e1" == window.origin("e2")
    if look:
        window.value(19.0)
    window.hit(19.0, ("ann", "e3"))
    assert "e3" == window.origin("e3")


# A user's windows are packed times and tuples


@given(history=histories(st.sampled_from("abc")))
@settings(max_examples=100, deadline=None)
def test_packed_windows_equal_a_model(history: list[tuple[float, str]]) -> None:
    """Packed times and pairs say what counting over (now - w, now] says."""
    times: windows.Times = b""
    pairs: windows.Pairs = ()
    numbers: windows.Pairs = ()
    for index, (now, value) in enumerate(history, start=1):
        cutoff = now - WINDOW
        times = windows.push(times, now, cutoff, 1000)
        pairs = windows.push_pair(pairs, now, value, cutoff, 1000)
        numbers = windows.push_pair(numbers, now, float(ord(value)), cutoff, 1000)
        values = inside(history[:index], now)
        within = [time for time, _ in history[:index] if cutoff < time]
        assert len(values) == windows.since(times, cutoff)
        assert values.count(value) == windows.same(pairs, value, cutoff)
        assert len(set(values)) == windows.different(pairs, cutoff)
        assert sum(map(ord, values)) == windows.total(numbers, cutoff)
        gaps = [later - earlier for earlier, later in pairwise(within)]
        mean = windows.mean_gap(times, cutoff)
        spread = windows.regularity(times, cutoff)
        if len(gaps) < windows.MIN_GAPS:
            assert mean is None
            assert spread is None
        else:
            assert fmean(gaps) == pytest.approx(mean)
            assert (spread is None) == (fmean(gaps) == 0)
            if spread is not None:
                assert pstdev(gaps) / fmean(gaps) == pytest.approx(spread)
        later = cutoff + 3.0
        assert len(inside(history[:index], now + 3.0)) == windows.since(times, later)
        assert inside(history[:index], now + 3.0).count(value) == windows.same(pairs, value, later)
        assert len(set(inside(history[:index], now + 3.0))) == windows.different(pairs, later)


def test_empty_windows() -> None:
    """Nothing sent is nothing counted, and no rhythm."""
    assert 0 == windows.since(b"", 0.0) == windows.same((), "a", 0.0) == windows.different((), 0.0)
    assert 0.0 == windows.total((), 0.0)
    assert windows.mean_gap(b"", 0.0) is None
    assert windows.regularity(b"", 0.0) is None
    assert windows.share(b"", b"", 0.0) is None
    assert 0.5 == windows.share(windows.packed([2.0]), windows.packed([1.0, 2.0]), 0.0)


@pytest.mark.parametrize("cap", [1, 2, 5])
def test_packed_windows_never_outgrow_their_cap(cap: int) -> None:
    """A window holds the latest `cap` entries, whatever it held before."""
    times: windows.Times = windows.packed(map(float, range(20)))
    pairs: windows.Pairs = tuple(part for i in range(20) for part in (float(i), "a"))
    for now in (20.0, 21.0):
        times = windows.push(times, now, -inf, cap)
        pairs = windows.push_pair(pairs, now, "a", -inf, cap)
        assert cap == len(windows.unpacked(times)) == len(pairs) // 2
        assert now == windows.latest(times) == pairs[-2]


# Averages


@given(history=histories(st.none()))
@settings(max_examples=60, deadline=None)
def test_ewma_equals_its_formula(history: list[tuple[float, None]]) -> None:
    """An EWMA is the sum of exp(-age/window)/window over all events; before the first it is unknown."""
    window = Ewma(WINDOW, 1)
    assert window.value(0.0) is None
    for now, _ in history:
        window.hit(now)
    end = history[-1][0] + 2.0
    expected = sum(exp((time - end) / WINDOW) / WINDOW for time, _ in history)
    assert expected == pytest.approx(window.value(end), abs=1e-8)


def test_zscore_finds_the_wave() -> None:
    """A z-score is unknown for the first bins, near 0 while all goes on as before, and high in a wave."""
    window = ZScore(WINDOW, 1)
    now = 0.0
    for tick in range(ZSCORE_BINS * 10):
        assert window.value(now) is None or now >= ZSCORE_BINS * WINDOW
        if tick % 5 == 0:
            window.hit(now)
        now += 1.0
    assert abs(window.value(now) or 9) < 2.5
    for _ in range(60):
        window.hit(now)
    assert (window.value(now) or 0) > 20


@given(
    gaps=st.lists(st.sampled_from([0.5, 3.0, 10.0, 45.0, 900.0, 5000.0]), min_size=1, max_size=30),
    looks=st.lists(st.booleans(), min_size=30, max_size=30),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_zscore_equals_a_model(gaps: list[float], looks: list[bool]) -> None:
    """A z-score is that of whole bins since the first event, whoever looked in between."""
    window = ZScore(WINDOW, 1)
    now = 64.0
    times = []
    for gap, look in zip(gaps, looks, strict=False):
        now += gap
        window.hit(now)
        times.append(now)
        if look and gap < MAX_BINS * WINDOW:
            window.value(now + 0.25)
    mean = variance = 0.0
    bins = int((now - times[0]) / WINDOW)
    for index in range(bins):
        count = sum(index * WINDOW <= time - times[0] < (index + 1) * WINDOW for time in times)
        weight = max(1 / 30, 1 / (index + 1))
        delta = count - mean
        mean += weight * delta
        variance = (1 - weight) * (variance + weight * delta * delta)
    current = sum(time - times[0] >= bins * WINDOW for time in times)
    value = window.value(now)
    if bins < ZSCORE_BINS:
        assert value is None
    else:
        assert (current - mean) / sqrt(variance + 1) == pytest.approx(value, abs=1e-2)


# Windows by key


@given(history=histories(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))))
@settings(max_examples=60, deadline=None)
def test_keyed_equals_a_model(history: list[tuple[float, tuple[str, str]]]) -> None:
    """A window by key is one window a key; a key without events counts zero, and its share is unknown."""
    counts, users, shares = (Keyed(factory, WINDOW, 100, 100) for factory in (Count, Distinct, Ratio))
    for index, (now, (key, user)) in enumerate(history, start=1):
        counts.hit(key, now)
        users.hit(key, now, user)
        shares.hit(key, now, user == "x")
        for other in "abcd":
            values = [value for k, value in inside(history[:index], now) if k == other]
            assert len(values) == counts.value(other, now)
            assert len(set(values)) == users.value(other, now)
            expected = values.count("x") / len(values) if values else None
            assert expected == shares.value(other, now)


@pytest.mark.parametrize("factory", [Ewma, ZScore])
@pytest.mark.parametrize("busy", [True, False])
def test_a_faded_key_is_unknown(factory: Any, busy: bool) -> None:
    """An average of a key fades to unknown after a long silence, however busy the other keys are."""
    keyed = Keyed(factory, WINDOW, 1, 100)
    for second in range(0, 200, 5):
        keyed.hit("a", float(second))
    now = 200.0 + FADED * WINDOW
    if busy:
        for number in range(50):
            keyed.hit(f"k{number}", now)
    assert keyed.value("a", now) is None
    keyed.hit("a", now)
    fresh = Keyed(factory, WINDOW, 1, 100)
    fresh.hit("a", now)
    assert fresh.value("a", now) == keyed.value("a", now)
    assert fresh.value("b", now) is None


def test_keys_have_a_cap() -> None:
    """At its cap the key unused for longest is forgotten and counted; what has run out leaves uncounted."""
    keyed = Keyed(Count, WINDOW, 10, 3)
    for second, key in enumerate("abcad"):
        keyed.hit(key, float(second))
    assert ["c", "a", "d"] == [key for key, _ in keyed.dump()]
    assert keyed.evicted == 1
    assert 4.0 == keyed.last()
    for number in range(20):
        keyed.hit(f"k{number}", 100.0 + number)
        assert len(keyed.entries) <= 3
    assert 0 == keyed.value("a", 120.0)
    assert -inf == Keyed(Count, WINDOW, 10, 3).last()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=400), st.integers(1, 9))
def test_keys_leave_in_order_of_use(uses: list[tuple[int, int]], most: int) -> None:
    """Whatever is used again and when, what is remembered is what a table in order of last use would hold."""
    keyed, model, now, evicted = Keyed(Count, WINDOW, 10, most), OrderedDict[int, float](), 0.0, 0
    for key, gap in uses:
        now += gap
        if key not in model:
            for first, at in list(model.items())[:2]:
                if at > now - WINDOW:
                    break
                del model[first]
            if len(model) >= most:
                model.popitem(last=False)
                evicted += 1
        model[key] = now
        model.move_to_end(key)
        keyed.hit(key, now)
        assert len(keyed.leaving) <= len(keyed.entries) <= most
    assert [*model] == [key for key, _ in keyed.dump()]
    assert evicted == keyed.evicted


def test_keyed_round_trip() -> None:
    """Windows by key are read back in order of use; a smaller cap keeps the keys used last and counts the others."""
    keyed = Keyed(Distinct, WINDOW, 10, 3)
    for second, key in enumerate("abca"):
        keyed.hit(key, float(second), "u")
    data = msgspec.json.decode(msgspec.json.encode(keyed.dump()))
    same, small = Keyed(Distinct, WINDOW, 10, 3), Keyed(Distinct, WINDOW, 10, 2)
    same.load(data)
    small.load(data)
    assert keyed.dump() == same.dump()
    assert ["c", "a"] == [key for key, _ in small.dump()]
    assert small.evicted == 1
    assert small.window_of("b") is None
    assert small.window_of("a").value(3.0) == 1
