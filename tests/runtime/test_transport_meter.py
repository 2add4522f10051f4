"""The frame meter follows a client's frames however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from roomguard.runtime.framemeter import Bucket, FrameMeter

from .peers import BINARY, CLOSE, CONT, PING, TEXT, frame, text


def meter(*, max_message_bytes: int = 1000, rate: float = 1.0, burst: int = 5) -> FrameMeter:
    return FrameMeter(max_message_bytes=max_message_bytes, rate=rate, burst=burst)


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 40), max_size=20))
def test_cuts_change_nothing(payloads: list[bytes], cuts: list[int]) -> None:
    """The same frames are counted whether the bytes come whole or in pieces."""
    data = b"".join(frame(TEXT, payload) for payload in payloads)
    whole, pieces = meter(), meter()
    assert whole.feed(data, 0.0) == len(data)

    at = 0
    for cut in [*cuts, len(data)]:
        pieces.feed(data[at : at + cut], 0.0)
        at += cut

    assert (pieces.frames, pieces.messages, pieces.pending) == (whole.frames, whole.messages, False)
    assert whole.messages == len(payloads)


CASES = [
    ("too long", frame(TEXT, b"x" * 1001), 1009),
    ("too long in parts", frame(TEXT, b"x" * 600, final=False) + frame(CONT, b"x" * 600), 1009),
    ("declared 2^62", bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big") + b"mask", 1009),
    ("declared 2^63", bytes([0x81, 0xFF]) + (2**63).to_bytes(8, "big") + b"mask", 1009),
    ("binary", frame(BINARY, b""), 1003),
    ("pings", frame(PING) * 6, 1008),
    ("empty fragments", frame(TEXT, final=False) + frame(CONT, final=False) * 6, 1008),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_faults(data: bytes, code: int, size: int) -> None:
    """What costs too much is a fault with its close code, however it is cut; frames before it are handed on."""
    good = text("good")
    data = good + data
    metered = meter()

    handed = 0
    for at in range(0, len(data), size):
        handed += metered.feed(data[at : at + size], 0.0)
        if metered.fault is not None:
            break

    assert metered.fault is not None
    assert metered.fault.code == code
    assert handed >= len(good)


def test_large_fragments_are_free_and_time_refills() -> None:
    """Fragments that carry something cost nothing; the bucket fills again with time."""
    metered = meter(max_message_bytes=10**6)
    large = frame(TEXT, b"x" * 256, final=False) + frame(CONT, b"x" * 256, final=False) * 50 + frame(CONT, b"x" * 256)
    assert metered.feed(large, 0.0) == len(large)

    for second in range(20):
        assert metered.feed(frame(PING), float(second)) > 0

    assert metered.fault is None
    assert metered.messages == 1


def test_after_a_close_frame_nothing_counts() -> None:
    """Bytes behind a close frame are no frames."""
    metered = meter()
    data = frame(CLOSE) + b"\xff" * 100

    assert metered.feed(data, 0.0) == len(data)
    assert metered.feed(b"\xff" * 100, 0.0) == 100
    assert metered.fault is None


def test_pending_until_the_message_is_whole() -> None:
    """A message is under way from its first byte to the end of its last frame, pings in between or not."""
    metered = meter()
    data = frame(TEXT, b"ab", final=False) + frame(PING) + frame(CONT, b"cd")
    for at in range(len(data)):
        metered.feed(data[at : at + 1], 0.0)
        assert metered.pending == (at + 1 < len(data))


def test_bucket_gives_exactly_its_burst() -> None:
    """Twice the burst asked, exactly the burst given; one a second after that."""
    bucket = Bucket(1.0, 10)
    bucket.refill(0.0)

    assert sum(bucket.take() for _ in range(20)) == 10
