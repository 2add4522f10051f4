"""Whole text frames, read and written without a library. Sans-I/O: bytes in, bytes out.

Nearly all that edges send are text frames in one piece, and all that we send is. They need nothing of a library's state
machine, which costs more for a small frame than to decode what is in it. Whatever is not exactly that (a fragment, a
control frame, a reserved bit, no mask, too long) is left to the library, which knows all the rules and what to answer.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without a compiler: the same, slower
    from websockets.utils import apply_mask

WHOLE_TEXT = 0x81
"""How a text in one piece begins."""
_MASKED = 0x80
_LONGEST_HEADER = 14
_SMALL_HEADS = tuple(bytes((WHOLE_TEXT, size)) for size in range(126))


def take_texts(data: bytes, at: int, most: int, max_bytes: int, texts: list[bytes], *, check: bool = True) -> int:
    """Unmask the whole text frames that stand one behind the other from `at` on, at most `most`; where they end.

    Stops in front of anything else, of a frame that is not all there and of one with a payload over `max_bytes`.
    Raises UnicodeDecodeError for one that is not UTF-8, unless there is to be no `check`; those before it are in
    `texts` then. They stay bytes: whoever decodes JSON wants those, and would turn a string of emoji back into them.
    """
    end = len(data)
    while most and end - at >= 6 and data[at] == WHOLE_TEXT:
        size = data[at + 1] - _MASKED
        start = at + 6
        if size >= 126:
            if end - at < _LONGEST_HEADER:
                break
            if size == 126:
                size = data[at + 2] << 8 | data[at + 3]
                start = at + 8
            else:
                size = int.from_bytes(data[at + 2 : at + 10], "big")
                start = at + 14
        stop = start + size
        if size < 0 or stop > end or size > max_bytes:
            break
        text = apply_mask(data[start:stop], data[start - 4 : start])
        if check and not text.isascii():
            text.decode()
        texts.append(text)
        at = stop
        most -= 1
    return at


def frame_bytes(data: bytes, at: int) -> int | None:
    """How long the frame at `at` is, header included; None where its header is not all there."""
    there = len(data) - at
    if there < 2:
        return None
    size = data[at + 1] & 0x7F
    header = 6 if data[at + 1] & _MASKED else 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        if there < 2 + wide:
            return None
        size = int.from_bytes(data[at + 2 : at + 2 + wide], "big")
        header += wide
    return header + size


def is_masked(data: bytes, at: int) -> bool:
    """Whether the frame at `at` has a mask, as far as can be told."""
    return len(data) - at < 2 or data[at + 1] >= _MASKED


def text_head(size: int) -> bytes:
    """What stands in front of a text of `size` bytes that we send."""
    if size < 126:
        return _SMALL_HEADS[size]
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")
