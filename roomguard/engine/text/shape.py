"""What a text looks like: repetition of its own content, runs, pictures, laughter."""

from __future__ import annotations

import re
from unicodedata import normalize

from roomguard.engine.text.fold import EMOJI

_run = re.compile(r"(.)\1{2,}", re.DOTALL)
_emoji = re.compile(f"[{EMOJI}]")
_art = re.compile("[\u2500-\u25a9\u2800-\u28ff\u2581-\u259f\U0001fb00-\U0001fbff\u2b1b\u2b1c\u25a0-\u25ff]")
_fancy = re.compile(
    "[\u1d00-\u1d2b\u0250-\u02af\u2460-\u24ff\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f189\u2c80-\u2cff\u13a0-\u13ff\u2100-\u214f]"
)
_LAUGHTER = tuple(
    frozenset(normalize("NFKC", letters))
    for letters in
        ("ah", "hbaw", "aj", "eh", "hi", "ho", "k", "w", "\u0430\u0445\u0437", "\u0435\u0445", "\u043a\u0435", "ㅋㅎ", "ㅋㄱ", "ㅎㅠㅜ", "ㄷ", "哈", "呵", "嘻",
        "啊", "嘿", "6", "5", "23", "8", "草", "笑", "わ", "lo", "elo", "lu", "xd", "lmao", "kaj", "kek", "ksz")
)  # fmt: skip
_LAUGHTER_LETTERS = frozenset().union(*_LAUGHTER)

_FLAG_LETTERS = frozenset(map(chr, range(0x1F1E6, 0x1F200)))

_PROBE = 4
_MIN_WALL = 9


def longest_run(text: str) -> int:
    """Length of the longest series of one character; 1 where nothing stands three times in a row."""
    longest = 1
    for match in _run.finditer(text):
        length = match.end() - match.start()
        longest = max(longest, length)
    return longest


def emoji_count(text: str) -> int:
    """Pictographs; a joined family counts each of its members, a flag (two code points) once."""
    found = _emoji.findall(text)
    flags = sum(char in _FLAG_LETTERS for char in found) if "\U0001f1e6" <= max(found, default="") else 0
    return len(found) - flags // 2


def without_emoji(text: str) -> str:
    """The text with a space for each pictograph."""
    return _emoji.sub(" ", text)


def art_count(text: str) -> int:
    """Braille, box-drawing, block and geometric characters, of which pictures are made."""
    return len(_art.findall(text))


def fancy_count(text: str) -> int:
    """Letters in mathematical, full-width, circled, small-capital and like forms."""
    return len(_fancy.findall(text))


def repeated_words(total: int, distinct: set[str]) -> float:
    """Share of the characters of words, `total` together, that stand in a word said before."""
    return 1.0 - len("".join(distinct)) / total if total else 0.0


def repeated_units(joined: str) -> float:
    """Share of a text without spaces that repeats one unit of it: 0 for prose, near 1 for `abcabcabcabc`.

    Looks for the unit at three places (start, one third, half): the stretch up to where the next four characters come
    again. Substring search and counting only, so the cost is linear for what `fold` leaves.
    """
    size = len(joined)
    if size < _MIN_WALL:
        return 0.0
    best = 0
    for start in (0, size // 3, size // 2):
        again = joined.find(joined[start : start + _PROBE], start + 1)
        if again < 0:
            continue
        unit = joined[start:again]
        count = joined.count(unit)
        if count >= 3 or (count == 2 and len(unit) >= 8):
            best = max(best, (count - 1) * len(unit))
    return best / size


def is_laughter(joined: str) -> bool:
    """Whether a text is laughing, applause or cheering and nothing else, in the ways of several scripts."""
    letters = frozenset(joined)
    if not letters <= _LAUGHTER_LETTERS:
        return False
    return any(letters <= alphabet for alphabet in _LAUGHTER)
