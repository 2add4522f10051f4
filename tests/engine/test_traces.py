"""Windows kept by near skeletons: waiting, searching and counting later changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from roomguard.configure import configure
from roomguard.engine import traces, windows
from roomguard.engine.room import RoomGuard
from roomguard.engine.text.near import KNOWN, near_of
from roomguard.engine.traces import Traced, said_again
from roomguard.engine.windows import Keyed
from roomguard.testing import START, chat

PROGRAM = configure(Path(__file__).parents[2] / "config.toml").program

WORDS = st.lists(
    st.sampled_from(["gg", "free", "coins", "now", "visit", "the", "x1", "stream"]), min_size=1, max_size=5
)
TEXTS = WORDS.map(" ".join)
STEPS = st.lists(st.tuples(TEXTS, st.sampled_from("abcde"), st.floats(0, 3), st.booleans()), max_size=300)


@pytest.fixture(params=[(64, 512), (3, 512), (3, 2)], ids=["as shipped", "small chunks", "asked often"])
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "CHUNK", request.param[0])
    monkeypatch.setattr(traces, "LOOKS", request.param[1])


@pytest.mark.usefixtures("_sizes")
@pytest.mark.parametrize("shape", [windows.Distinct, windows.Count, windows.Members])
def test_waiting_changes_no_count(shape: Any) -> None:
    """Below the caps an answer is what it would be if every message had been counted as it came."""

    @given(STEPS)
    def compare(steps: list[tuple[str, str, float, bool]]) -> None:
        late, soon = Traced(shape, 10.0, 1_000, 1_000), Keyed(shape, 10.0, 1_000, 1_000)
        now = 0.0
        for body, user, gap, asks in steps:
            now += gap
            value = (user, f"{now}") if shape is windows.Members else user
            late.note(body, now, value)
            soon.hit(near_of(body), now, value)
            if asks:
                assert soon.value(near_of(body), now) == late.value(near_of(body), now)
        for body, *_ in steps:
            assert soon.value(near_of(body), now) == late.value(near_of(body), now)

    compare()


@given(STEPS)
def test_a_snapshot_keeps_what_waits(steps: list[tuple[str, str, float, bool]]) -> None:
    """Dumped and loaded it answers as before, whatever was asked until then."""
    one = Traced(windows.Distinct, 10.0, 1_000, 1_000)
    now = 0.0
    for body, user, gap, asks in steps:
        now += gap
        one.note(body, now, user)
        if asks:
            one.value(near_of(body), now)
    other = Traced(windows.Distinct, 10.0, 1_000, 1_000)
    other.load(one.dump())

    assert one.dump() == other.dump()
    for body, *_ in steps:
        assert one.value(near_of(body), now) == other.value(near_of(body), now)


def test_no_more_wait_than_are_allowed() -> None:
    """Beyond the cap the oldest are forgotten, and counted."""
    window = Traced(windows.Count, 1e9, 100_000, 64)
    for number in range(1_000):
        window.note("the same words", float(number))

    most = traces.WAITING * 64 + traces.CHUNK
    assert 1_000 - most <= window.evicted < 1_000
    assert most >= (window.value(near_of("the same words"), 1_000.0) or 0) > 0


def test_windows_without_a_past_share_nothing() -> None:
    """What is noted, looked for and let go in one is not in another that was begun before or after."""
    before, window, after = (Traced(windows.Count, 10.0, 100, 64) for _ in range(3))
    near = near_of("the same words")
    for number in range(3 * traces.CHUNK):
        window.note("the same words", float(number))
        window.value(near, float(number))

    assert window.value(near, 3.0 * traces.CHUNK - 1) == 10
    for other in (before, after):
        assert not other.waits()
        assert other.value(near, 3.0 * traces.CHUNK) == 0
        other.note("the same words", 3.0 * traces.CHUNK)
        assert other.value(near, 3.0 * traces.CHUNK) == 1
    assert not windows.NOTHING


class Somebody:
    """A user with one slot."""

    def __init__(self, *pairs: Any) -> None:
        self.said = traces.packed(pairs)


def test_what_a_user_said_again() -> None:
    """Traces within the window are compared by their near skeletons; what was worked out is kept."""
    user = Somebody(1.0, "buy coins now", 2.0, "now buy coins", 3.0, f"{KNOWN}buy coins now", 4.0, "hello")

    assert 2 == said_again(user, "said", "buy coins now", 1.0)
    assert 3 == said_again(user, "said", "buy coins now", 0.5)
    told = [1.0, f"{KNOWN}buy coins now", 2.0, f"{KNOWN}buy coins now", 3.0, f"{KNOWN}buy coins now", 4.0, "hello"]
    assert told == traces.unpacked(user.said)


LINES = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(st.tuples(LINES | TEXTS, st.floats(0, 3)), max_size=80))
def test_what_a_user_said_equals_a_model(steps: list[tuple[str, float]]) -> None:
    """The latest traces within the window count, at most so many, whatever stands in them; packing changes nothing."""
    user = Somebody()
    history: list[tuple[float, str]] = []
    now = 0.0
    for trace, gap in steps:
        now += gap
        user.said = traces.push_trace(user.said, trace, now, now - 20.0)
        history.append((now, trace))
        inside = [(at, said) for at, said in history[-traces.MOST_SAID :] if at > now - 20.0]
        assert user.said[0] >= len(inside)
        packed = traces.packed(traces.unpacked(user.said))
        assert traces.unpacked(user.said) == traces.unpacked(packed)
        near = near_of(trace)
        if near:
            same = sum(near == near_of(said) for _, said in inside if not said.startswith(KNOWN))
            known = sum(said == KNOWN + near for _, said in inside)
            assert same + known == said_again(user, "said", near, now - 20.0)


def test_signs_in_several_lines() -> None:
    """A text of signs with line breaks in it waits, is found and is kept like any other."""
    room = RoomGuard("r", PROGRAM)
    text = "!?!?!?\n?!?!?!"
    for number in range(3 * traces.CHUNK):
        room.receive(chat(f"u{number}", text, number / 10), START + number / 10)
    windows_kept = [getattr(room.slots, name) for name in room.slots.__struct_fields__]
    waiting = [window for window in windows_kept if isinstance(window, Traced)]
    near = PROGRAM.analyser.facts(text).near_skeleton
    again = RoomGuard.restore("r", PROGRAM, room.snapshot())

    assert "\n" not in near
    assert waiting
    assert all((window.value(near, START + 20) or 0) > traces.CHUNK for window in waiting if window.waits())
    assert again.snapshot()


def test_a_snapshot_from_before_anything_waited() -> None:
    """What a plain keyed window wrote down is taken over."""
    before = Keyed(windows.Distinct, 10.0, 1_000, 1_000)
    before.hit("coins free", 1.0, "ann")
    after = Traced(windows.Distinct, 10.0, 1_000, 1_000)
    after.load(before.dump())

    assert after.value("coins free", 2.0) == 1
