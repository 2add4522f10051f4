"""What a text looks like: repetition of its own content, runs, pictures, laughter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

from roomguard.engine.text.classes import EMOJI

_emoji = re.compile(f"[{EMOJI}]")
_letters = re.compile(r"[^\W\d_]+")
_UPPER = bytes(range(65, 91))
_LOWER = bytes(range(97, 123))
_ASCII = bytes(range(128))
_MAX_EMOTES = 64
_triple = re.compile(r"(.)\1\1", re.DOTALL)
_run = re.compile(r"(.)\1{2,}", re.DOTALL)
_LAUGHTER = tuple(
    frozenset(normalize("NFKC", letters))
    for letters in
        ("ah", "hbaw", "aj", "eh", "hi", "ho", "k", "w", "\u0430\u0445\u0437", "\u0435\u0445", "\u043a\u0435",
        "ㅋㅎ", "ㅋㄱ", "ㅎㅠㅜ", "ㄷ", "哈", "呵", "嘻",
        "啊", "嘿", "6", "5", "23", "8", "草", "笑", "わ", "lo", "elo", "lu", "xd", "lmao", "kaj", "kek", "ksz")
)  # fmt: skip
_LAUGHTER_LETTERS = frozenset().union(*_LAUGHTER)

_GLANCE = 16
_PROBE = 4
_MIN_WALL = 9


has_run = _triple.search
"""Truthy where one character stands three times in a row."""
has_other_run = re.compile(r"([^A-Za-z])\1\1").search
"""The same for all but the letters of ASCII: a search for all characters takes several times as long."""


def longest_run(text: str) -> int:
    """Length of the longest series of one character; 1 where nothing stands three times in a row."""
    first = _triple.search(text)
    if first is None:
        return 1
    return max([match.end() - match.start() for match in _run.finditer(text, first.start())])


def without_emoji(text: str) -> str:
    """The text with a space for each pictograph."""
    return _emoji.sub(" ", text)


def capitals_ascii(data: bytes, letters: int, emotes: Sequence[str]) -> float:
    """Capitals / letters of an ASCII text that has so many letters, names of emotes taken out."""
    for name in emotes[:_MAX_EMOTES]:
        raw = name.encode()
        if raw and raw in data:
            data = data.replace(raw, b"")
            letters = 0
    capitals = len(data) - len(data.translate(None, _UPPER))
    if not capitals:
        return 0.0
    if not letters:
        letters = capitals + len(data) - len(data.translate(None, _LOWER))
    return capitals / letters


def capitals(text: str, emotes: Sequence[str]) -> float:
    """Capitals / letters of any text, names of emotes taken out."""
    for name in emotes[:_MAX_EMOTES]:
        if name and name in text:
            text = text.replace(name, " ")
    if text.islower() or text.lower() == text:
        return 0.0
    # What is ASCII is counted as a whole, only the rest letter by letter.
    data = text.encode("utf-8", "surrogatepass")
    capitals = len(data) - len(data.translate(None, _UPPER))
    letters = capitals + len(data) - len(data.translate(None, _LOWER))
    others = "".join(_letters.findall(data.translate(None, _ASCII).decode("utf-8", "surrogatepass")))
    if others:
        letters += len(others)
        capitals += sum(map(str.isupper, others))
    return capitals / letters if letters else 0.0


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
    # Most texts that do not laugh show it soon.
    if not (_LAUGHTER_LETTERS.issuperset(joined[:_GLANCE]) and _LAUGHTER_LETTERS.issuperset(joined)):
        return False
    letters = frozenset(joined)
    return any(letters <= alphabet for alphabet in _LAUGHTER)
