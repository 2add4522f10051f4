"""A text taken down to what it says: case, width, lookalikes, invisible characters and stacked marks folded away.

Order matters: the length and runs of combining marks are capped before NFKC, which is quadratic in such runs on this
Python, and the length once more after it, because one code point can grow to eighteen. All of it is linear in what is left.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from roomguard.engine.text.confusables import (
    CYRILLIC_TO_LATIN,
    GREEK_TO_LATIN,
    LATIN_TO_CYRILLIC,
    LEET,
    LOOKALIKE_LETTERS,
    LOOKALIKES,
    ONLY_CYRILLIC,
)

MAX_LENGTH = 2000
"""Code points of a text that are looked at; what lies behind is not judged."""

MAX_FOLDED = 512
"""Code points that are folded: of longer texts the first and the last half of this."""

MARKS = "\u0300-\u034e\u0350-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
"""Combining marks that decorate letters of any script: accents sent apart, strikes, zalgo."""

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffc\U000e0000-\U000e0fff\x00-\x08\x0e-\x1f\x7f-\x9f\u2800"
)
"""Characters that show nothing: zero-width, direction, tags, variation selectors, fillers, controls."""

EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff\U0001f170-\U0001f19a\U0001f1e6-\U0001f6ff\U0001f780-\U0001faff"
)
"""Pictographs, whether or not a font shows them in colour."""

SPOKEN_MARKS = "\u0591-\u05c7\u0610-\u065f\u0900-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84\u1000-\u109f\u17b6-\u17d3"
"""Marks that are part of a word's spelling and no decoration: Hebrew, Arabic, Indic, Thai, Tibetan, Burmese, Khmer."""

_invisible = re.compile(f"[{INVISIBLE}]")
_marks = re.compile(f"[{MARKS}]+")
_long_nonstarters = re.compile(f"([{MARKS}{SPOKEN_MARKS}\u3099\u309a\u302a-\u302f]{{30}})[{MARKS}{SPOKEN_MARKS}\u3099\u309a\u302a-\u302f]+")
_emoji_in_word = re.compile(f"(?<=[^\\W\\d_])[{EMOJI}\u200d\ufe0f\U0001f3fb-\U0001f3ff]{{1,3}}(?=[^\\W\\d_])")
_words = re.compile(f"[^\\W_{SPOKEN_MARKS}](?:[^\\W_]|[{SPOKEN_MARKS}\u3099\u309a])*")
_latin = re.compile("[a-z]")
_cyrillic = re.compile("[\u0400-\u045f\u0461-\u052f]")
_greek = re.compile("[\u0370-\u03ff]")
_runs = re.compile(r"(.)\1\1+")
_doubles = re.compile(r"(.)\1+")
_leet_in_word = re.compile(r"[a-z][013457@$!|+]+[a-z]|(?<![a-z0-9])[013457@$]+[a-z][a-z]|[a-z][013457@$]{2}|[a-z][013@$](?![a-z0-9])")

_ASCII_FOLD = bytes(
    ord(chr(i).lower()) if chr(i).isalnum() and i < 128 else (i if i >= 128 else 32) for i in range(256)
)
_apostrophes = re.compile("['\u2019\u02bc`\u00b4]")
_lookalike = re.compile(f"[{LOOKALIKE_LETTERS}]")
_odd = re.compile(
    f"[{MARKS}{INVISIBLE}{SPOKEN_MARKS}{LOOKALIKE_LETTERS}\u3099\u309a\u302a-\u302f\u1d00-\u1d2b\u0250-\u02af\u2100-\u214f\u2460-\u25ff\u2800-\u28ff"
    "\u2b1b\u2b1c\u2c80-\u2cff\u13a0-\u13ff\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f189\U0001fb00-\U0001fbff]"
)


def sample(text: str) -> str:
    """The part that is folded: all of a usual text, both ends of a long one."""
    if len(text) <= MAX_FOLDED:
        return text
    half = MAX_FOLDED // 2
    return f"{text[:half]} {text[-half:]}"


def ascii_words(data: bytes) -> list[str]:
    """The folded words of an ASCII text."""
    return data.translate(_ASCII_FOLD, b"'`").decode().split()


def is_odd(text: str) -> bool:
    """Whether a text holds anything but ordinary letters, punctuation and emoji: one search that saves six."""
    return _odd.search(text) is not None


def plain(text: str, *, odd: bool = True) -> str:
    """A non-ASCII text in plain letters: decorations off, compatibility forms resolved, case and lookalikes folded.

    `odd` is what `is_odd` says of it.
    """
    if "\u2019" in text or "'" in text or "`" in text:
        text = _apostrophes.sub("", text)
    if odd:
        text = _invisible.sub("", _long_nonstarters.sub(r"\1", _marks.sub("", text)))
    text = normalize("NFKC", text[: MAX_FOLDED + 1])[:MAX_FOLDED].casefold()
    if text.isascii():
        return text
    if odd:
        text = _marks.sub("", text)
        if _lookalike.search(text):
            text = text.translate(LOOKALIKES)
    if _emoji_in_word.search(text):
        text = _emoji_in_word.sub("", text)
    return text


def emoji_apart(text: str) -> str | None:
    """The folded words of a text in which emoji stand between letters and may be its spaces; None where none do."""
    if not _emoji_in_word.search(text):
        return None
    return " ".join(folded_words(plain(_emoji_in_word.sub(" ", text)))[0])


def folded_words(text: str) -> tuple[list[str], int]:
    """The words of a text that `plain` returned, and how many of them mix scripts to look like what they are not."""
    words = _words.findall(text)
    if not _latin.search(text):
        return words, 0
    if _cyrillic.search(text):
        return _unmix(words)
    if _greek.search(text):
        mixed = [word for word in words if _greek.search(word) and _latin.search(word)]
        return [word.translate(GREEK_TO_LATIN) for word in words], len(mixed)
    return words, 0


def _unmix(words: list[str]) -> tuple[list[str], int]:
    """Each word in one script: Cyrillic where it can be nothing else or most words are, otherwise Latin."""
    out, mixed = [], 0
    latin = sum(map(str.isascii, words)) >= sum(not ONLY_CYRILLIC.isdisjoint(word) for word in words)
    for word in words:
        if word.isascii():
            out.append(word)
            continue
        blend = _latin.search(word) is not None
        mixed += blend
        if not ONLY_CYRILLIC.isdisjoint(word) or not latin:
            out.append(word.translate(LATIN_TO_CYRILLIC) if blend else word)
        else:
            out.append(word.translate(CYRILLIC_TO_LATIN))
    return out, mixed


def collapse_runs(text: str) -> str:
    """Three and more of one character become one: `heeello` and `hello` differ, `heeeello` and `heeello` do not."""
    return _runs.sub(r"\1", text)


def collapse_doubles(text: str) -> str:
    """Every repeated character becomes one, for comparing stretched words; both sides must be folded so."""
    return _doubles.sub(r"\1", text)


def leet(text: str) -> str | None:
    """The text with digits and signs read as the letters they stand for, or None where nothing suggests that."""
    low = text.casefold()
    if not _leet_in_word.search(low):
        return None
    return " ".join(_words.findall(low.translate(LEET)))


def leet_like(low: str) -> bool:
    """Whether digits or signs stand where letters belong."""
    return _leet_in_word.search(low) is not None


def spaced_out(words: list[str]) -> bool:
    """Whether letters stand apart (`f r e e`): four single-letter words or more, and most of the words."""
    count = len(words)
    if count < 4:
        return False
    singles = sum(len(word) == 1 and not word.isdigit() for word in words)
    return singles >= 4 and 2 * singles >= count


def join_spaced(words: list[str]) -> str:
    """Words with each series of single letters joined: `f r e e stuff` -> `free stuff`."""
    out: list[str] = []
    series: list[str] = []
    for word in words:
        if len(word) == 1:
            series.append(word)
            continue
        if series:
            out.append("".join(series))
            series = []
        out.append(word)
    if series:
        out.append("".join(series))
    return " ".join(out)


def invisible_count(text: str) -> int:
    """Characters that show nothing, those that belong to an emoji left out."""
    found = len(_invisible.findall(text))
    if not found:
        return 0
    return max(0, found - text.count("\ufe0f") - _joiners_in_emoji(text))


_joined_emoji = re.compile(f"[{EMOJI}\ufe0f\U0001f3fb-\U0001f3ff]\u200d(?=[{EMOJI}])")


def _joiners_in_emoji(text: str) -> int:
    return len(_joined_emoji.findall(text)) if "\u200d" in text else 0


def marks_count(text: str) -> int:
    """Combining marks that only decorate."""
    return sum(map(len, _marks.findall(text)))
