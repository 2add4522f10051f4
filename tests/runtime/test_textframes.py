"""Whole text frames are taken as the library would take them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode

from roomguard.runtime.textframes import frame_bytes, take_texts, text_head

from .peers import BINARY, CONT, PING, TEXT, frame


@given(st.lists(st.text(max_size=75), max_size=8), st.integers(0, 9), st.integers(0, 3_000))
def test_texts_are_taken_while_they_are_whole(texts: list[str], most: int, cut: int) -> None:
    """All frames that are whole are unmasked, in order and up to the number asked for; the position is behind them."""
    frames = [frame(TEXT, text.encode()) for text in texts]
    data = b"".join(frames)[:cut]
    whole = 0
    while whole < min(most, len(frames)) and len(b"".join(frames[: whole + 1])) <= cut:
        whole += 1
    taken: list[bytes] = []

    assert take_texts(data, 0, most, 300, taken) == len(b"".join(frames[:whole]))
    assert taken == [text.encode() for text in texts[:whole]]


OTHERS = [
    ("a fragment", frame(TEXT, b"x", final=False)),
    ("its end", frame(CONT, b"x")),
    ("binary", frame(BINARY, b"x")),
    ("a ping", frame(PING, b"x")),
    ("a reserved bit", frame(TEXT, b"x", rsv=0x40)),
    ("no mask", frame(TEXT, b"x" * 20, masked=False)),
    ("no mask and long", frame(TEXT, b"x" * 200, masked=False)),
    ("too long", frame(TEXT, b"x" * 301)),
    ("declared 2^63", bytes([0x81, 0xFF]) + (2**63).to_bytes(8, "big") + b"mask"),
]


@pytest.mark.parametrize("other", [case[1] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_anything_else_is_left(other: bytes) -> None:
    """Taking stops in front of what is no whole masked text of allowed length, whatever follows it."""
    good = frame(TEXT, b"good")
    taken: list[bytes] = []

    assert take_texts(good + other + good, 0, 10, 300, taken) == len(good)
    assert taken == [b"good"]


def test_what_is_not_utf8_is_an_error() -> None:
    """Those before it have been taken."""
    taken: list[bytes] = []

    with pytest.raises(UnicodeDecodeError):
        take_texts(frame(TEXT, b"good") + frame(TEXT, b"\xc3("), 0, 10, 300, taken)
    assert taken == [b"good"]


def test_what_nobody_hears_need_not_be_utf8() -> None:
    """It is gone past, up to what stands behind it."""
    data = frame(TEXT, b"good") + frame(TEXT, b"\xc3(")

    assert take_texts(data + frame(PING, b""), 0, 10, 300, [], check=False) == len(data)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_says_how_long_it_is(size: int, masked: bool) -> None:
    """As soon as its size is there, and not before."""
    data = frame(TEXT, b"x" * size, masked=masked)
    known = 2 if size < 126 else 4 if size < 65_536 else 10

    assert [frame_bytes(data[:end], 0) for end in range(known)] == [None] * known
    assert frame_bytes(data[:known], 0) == frame_bytes(b"?" + data, 1) == len(data)


@pytest.mark.parametrize("size", [125, 126, 255, 256, 65_535, 65_536])
def test_texts_of_every_width_of_the_length_are_taken(size: int) -> None:
    """Where the length takes one byte, two, or eight."""
    taken: list[bytes] = []

    assert take_texts(frame(TEXT, b"x" * size), 0, 1, 70_000, taken) == frame_bytes(frame(TEXT, b"x" * size), 0)
    assert taken == [b"x" * size]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1_000_000])
def test_what_we_send_is_what_the_library_would_send(size: int) -> None:
    """To the byte, at every width of the length."""
    text = b"x" * size

    assert text_head(size) + text == Frame(Opcode.TEXT, text).serialize(mask=False)
