"""Session clocks: what is taken out of an edge's times, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from roomguard.model.events import AnyEvent, Chat
from roomguard.runtime.clock import AnchoredClock, SessionClock, frame_skew, set_right


def chats(*times: float) -> list[AnyEvent]:
    return [Chat(id=f"e{n}", room="r", user="u", text="t", ts=ts) for n, ts in enumerate(times)]


def test_the_anchored_clock_ignores_a_stepped_wall_clock() -> None:
    """After the anchor only the monotonic clock counts."""
    assert 1_000.0 + 7.5 == AnchoredClock(wall=1_000.0, monotonic=3.0).now(10.5)


@pytest.mark.parametrize(
    ("times", "skew"),
    [
        ((100.0,), 0.0),
        ((90.0, 95.0), -5.0),
        ((99.0, 99.5, 100.0), 0.0),
        ((99.0, 99.5, 1e9), -0.5),
        ((1e9, 99.5, 99.8), -0.2),
        ((400.0, 400.5, 401.0), 301.0),
        ((-1e300, 1e300, 99.0), -1.0),
    ],
)
def test_skew_of_a_frame(times: tuple[float, ...], skew: float) -> None:
    """The latest of three looks, unless it is far from the others."""
    assert skew == pytest.approx(frame_skew(chats(*times), 100.0, 6.0))


@pytest.mark.parametrize(
    ("skews", "offsets"),
    [
        ([0.0, -4.9, 1.0], [0.0, 0.0, 0.0]),
        ([300.0, 299.0, 300.5], [300.0, 300.0, 300.5]),
        ([-300.0, -301.0, -299.0], [-300.0, -300.0, -299.0]),
        ([0.0, 0.0, 3600.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
        ([3600.0, 0.0, 0.0], [3600.0, 0.0, 0.0]),
    ],
)
def test_offset_of_a_session(skews: list[float], offsets: list[float]) -> None:
    """Nothing is corrected inside the clamp; outside it the largest skew is; a few wild frames shift nobody."""
    clock = SessionClock(back_s=5.0, ahead_s=1.0)

    one_by_one = [clock.offsets([skew], float(now))[0] for now, skew in enumerate(skews)]
    together = SessionClock(back_s=5.0, ahead_s=1.0).offsets(skews, 0.0)
    assert one_by_one == together == offsets


def test_a_corrected_clock_is_believed_after_two_generations() -> None:
    """An edge that sets its clock right keeps its times once the old skews are forgotten."""
    clock = SessionClock(back_s=5.0, ahead_s=1.0, generation_s=30.0)
    assert clock.offsets([300.0], 0.0) == [300.0]

    assert clock.offsets([0.0], 60.0) == [0.0]


def test_the_last_generation_has_its_say() -> None:
    """A clock that was ahead in most frames of the last generation is ahead in the first of the next."""
    clock = SessionClock(back_s=5.0, ahead_s=1.0, generation_s=30.0)
    assert clock.offsets([300.0, 300.0], 0.0) == [300.0, 300.0]

    assert clock.offsets([0.0, 0.0], 31.0) == [300.0, 0.0]


def test_a_widened_clamp_leaves_a_recording_as_it_is() -> None:
    """Whoever widens the clamp to play a recording gets its times to the bit."""
    clock = SessionClock(back_s=1e9, ahead_s=1e9)
    times = [0.1 + 0.2, 1_650_000_000.123456, 12.0]
    events = chats(*times)
    (offset,) = clock.offsets([frame_skew(events, 1.7e9, 2e9)], 1.7e9)
    set_right(events, offset=offset, earliest=1.7e9 - 1e9 - 1e9, latest=1.7e9 + 1e9)

    assert 0.0 == offset
    assert times == [event.ts for event in events]


@given(
    frames=st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), max_size=20),
    arrival=st.floats(1e9, 2e9),
)
def test_no_time_gets_past_the_clamp(frames: list[list[float]], arrival: float) -> None:
    """Whatever an edge says, a time taken lies around its arrival."""
    clock = SessionClock(back_s=5.0, ahead_s=1.0)
    for number, times in enumerate(frames):
        now = arrival + number
        events = chats(*times)
        (offset,) = clock.offsets([frame_skew(events, now, 6.0)], now)
        set_right(events, offset=offset, earliest=now - 5.0, latest=now + 1.0)
        assert all(now - 5.0 <= event.ts <= now + 1.0 for event in events)


def test_setting_times_right_counts_what_was_held() -> None:
    """Times outside the bounds are set to them and counted."""
    events = chats(1.0, 50.0, 2.0, 99.0)

    assert 2 == set_right(events, offset=0.0, earliest=2.0, latest=60.0)
    assert [2.0, 50.0, 2.0, 60.0] == [event.ts for event in events]
