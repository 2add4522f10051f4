"""A text taken down to what it says: case, width, lookalikes, invisible characters and stacked marks folded away.

Order matters: the length and runs of combining marks are capped before NFKC, which is quadratic in such runs on this
Python, and the length once more after it, because one code point can grow to eighteen. All of it is linear in what is
left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import filterfalse, islice
from unicodedata import normalize

from roomguard.engine.text import odd
from roomguard.engine.text.classes import (
    BEYOND,
    EMOJI,
    GROWING,
    INVISIBLE,
    LOOKALIKE_LETTERS,
    MARKS,
    SELDOM_MARKS,
    SPOKEN_MARKS,
    THAI,
    THAI_MARKS,
    USUAL,
    USUAL_CYRILLIC,
    USUAL_PICTURES,
    without_astral,
)
from roomguard.engine.text.confusables import (
    CYRILLIC_TO_LATIN,
    GREEK_TO_LATIN,
    LATIN_TO_CYRILLIC,
    LEET,
    LOOKALIKES,
    ONLY_CYRILLIC,
)

MAX_LENGTH = 2000
"""Code points of a text that are looked at; what lies behind is not judged."""

MAX_FOLDED = 416
"""Code points that are folded of an ASCII text: of longer ones the first and the last half of this."""

MAX_OTHERS = 240
"""The same for a text of other characters, which take several times the work; hardly a message in a room is longer."""

MAX_DRESSED = 200
"""The same for a text with drawings, zalgo, fancy letters or characters that show nothing, or with more odd characters,
signs or what grows than anybody writes in prose: each costs work of its own, and nobody writes so much of them to be
read."""

MAX_WILD = 144
"""The same for a text that is odd in both ways: of odd characters, and of signs or what grows."""

MANY_ODD = 16
_MANY_GROWING = 4
_MANY_OTHERS = 128
"""Odd characters, growing ones, and all but letters of ASCII, Cyrillic and the like, above which less is folded."""

_NONSTARTERS = f"{MARKS}{SPOKEN_MARKS}{SELDOM_MARKS}\u3099\u309a\u302a-\u302f"
_MAX_NONSTARTERS = 30
_LONG = 128
"""Code points of a text from which on it is looked at whether it grows."""
_grows = re.compile(f"[{GROWING}]")
_invisible = re.compile(f"[{INVISIBLE}]")
_marks = re.compile(f"[{MARKS}]+")
# Without the many small ranges outside the basic plane a class is several times as fast; this one takes too much.
_nonstarter = re.compile(f"[{without_astral(_NONSTARTERS)}{BEYOND}]")
_may_be_long = re.compile(f"[{without_astral(_NONSTARTERS)}{BEYOND}]{{{_MAX_NONSTARTERS + 1},}}")
_long_nonstarters = re.compile(f"([{_NONSTARTERS}]{{{_MAX_NONSTARTERS}}})[{_NONSTARTERS}]+")
_PICTURE = f"{EMOJI}\u200d\ufe0f\U0001f3fb-\U0001f3ff"
_picture_before_letter = re.compile(f"[{_PICTURE}](?=[^\\W\\d_])")
_emoji_in_word = re.compile(f"[{_PICTURE}](?<=[^\\W\\d_].)[{_PICTURE}]{{0,2}}(?=[^\\W\\d_])")
_words = re.compile(f"\\w[\\w{SPOKEN_MARKS}\u3099\u309a]*")
_latin = re.compile("[a-z]")
_cyrillic = re.compile("[\u0400-\u045f\u0461-\u052f]")
_greek = re.compile("[\u0370-\u03ff]")
_mixable = re.compile("[\u0370-\u045f\u0461-\u052f]")
_lookalike = re.compile(f"[{LOOKALIKE_LETTERS}]")
# All but the last of a series, to be replaced by nothing: putting back what matched is several times as dear.
_runs = re.compile(r"(.)\1(?=\1)\1*(?=\1)")
_doubles = re.compile(r"(.)(?=\1)\1*(?=\1)")
_leet_sign = re.compile(r"[013457@$!|+]")
# They begin with what is seldom, and look back from there.
_leet_in_word = re.compile(
    r"[013457@$!|+](?:(?<=[a-z].)(?:[013457@$!|+]*+[a-z]|(?<=[013457@$])[013457@$]|(?<=[013@$])(?![a-z0-9]))"
    r"|(?<![a-z0-9@$].)(?<=[013457@$])[013457@$]*+[a-z][a-z])"
)
_last_bangs = re.compile(r"!(?<!!!)!*+(?!\w)")

ASCII_FOLD = bytes(ord(chr(i).lower()) if chr(i).isalnum() and i < 128 else (i if i >= 128 else 32) for i in range(256))
_LEET_FOLD = bytes(ord(LEET[i]) if i < 128 and i in LEET else folded for i, folded in enumerate(ASCII_FOLD))
_APOSTROPHES = "'’ʼ`´"
_CYRILLIC_TO_LATIN = {chr(char): other for char, other in CYRILLIC_TO_LATIN.items()}
_LATIN_TO_CYRILLIC = {chr(char): other for char, other in LATIN_TO_CYRILLIC.items()}
_GREEK_TO_LATIN = {chr(char): other for char, other in GREEK_TO_LATIN.items()}
_LEET_BEYOND = {chr(char): other for char, other in LEET.items() if char > 127}
_MAX_PICTURES = 8
_SURROGATES = "surrogatepass"
# In UTF-8 the characters of two bytes are letters, and the first of three or four bytes stands for the others.
_LETTERS = bytes(i for i in range(0xE0) if i > 127 or chr(i).isalpha())


def sample(text: str, most: int = MAX_FOLDED) -> str:
    """The part that is folded: all of a usual text, both ends of a long one."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} {text[-half:]}"


def readable(text: str, *, decked: bool) -> int:
    """How many code points are folded of a part of a text not all ASCII; `decked` says that it is of odd characters."""
    if len(text) <= (MAX_WILD if decked else MAX_DRESSED):
        return MAX_OTHERS
    if _is_busy(text):
        return MAX_WILD if decked else MAX_DRESSED
    return MAX_DRESSED if decked else MAX_OTHERS


def _is_busy(text: str) -> bool:
    """Whether a long text has more of what is no letter, or of what grows, than anybody writes in prose."""
    if len(text.encode("utf-8", _SURROGATES).translate(None, _LETTERS)) > _MANY_OTHERS:
        return True
    return len(list(islice(_grows.finditer(text), _MANY_GROWING + 1))) > _MANY_GROWING


def ascii_words(data: bytes) -> list[str]:
    """The folded words of an ASCII text."""
    return data.translate(ASCII_FOLD, b"'`").decode().split()


MAX_USUAL = 240
"""Code points below which a text may be usual; none of it becomes more than two."""
_USUAL_THAI = f"(?:[{THAI}][{THAI_MARKS}]{{0,3}}+ *+)++"
"""No word begins with a mark, which would be no part of it, and no more marks stand on a letter than spelling asks."""
as_usual = re.compile(f"([{USUAL} ]++|[{USUAL_CYRILLIC} ]++|{_USUAL_THAI})([{USUAL_PICTURES} ]*+)").fullmatch
"""Matches a text of letters with nothing odd about them, and the emoji behind them: most texts outside ASCII."""


def usual(text: str) -> str:
    """`plain` for what is `as_usual`."""
    return normalize("NFKC", text).casefold()


def plain(text: str, kinds: int = odd.EVERY, most: int = MAX_FOLDED) -> str:
    """A non-ASCII text in plain letters: decorations off, compatibility forms resolved, case and lookalikes folded.

    `kinds` are the kinds of odd characters in it; the work for others is left out.
    """
    if kinds & odd.APOSTROPHE:
        text = _replaced(text, dict.fromkeys(_APOSTROPHES, ""))
    elif "\u2019" in text or "'" in text or "`" in text:
        text = text.replace("\u2019", "").replace("'", "").replace("`", "")
    if kinds & odd.MARK:
        text = _marks.sub("", text)
    # Of so many in a row, one is met at every step of this length.
    if len(text) > _MAX_NONSTARTERS and _nonstarter.search(text[_MAX_NONSTARTERS :: _MAX_NONSTARTERS + 1]):
        text = _may_be_long.sub(_shorten, text)
    if kinds & odd.HIDDEN:
        text = _invisible.sub("", text)
    text = text[: most + 1]
    if len(text) > _LONG and _grows.search(text):
        # Taken apart is cheap, putting together again is not, and of what has grown so much is not read anyway.
        text = normalize("NFC", normalize("NFKD", text)[: most + 1])[: most + 1].casefold()
    else:
        text = normalize("NFKC", text)[: most + 1].casefold()
    if not kinds or text.isascii():
        return text
    if kinds & odd.ALIKE:
        text = _marks.sub("", text.replace("\u0307", ""))  # that of the dotted I, which may be all there is
    if kinds & (odd.PICTURE | odd.ALIKE) and _picture_before_letter.search(text):
        text = _emoji_in_word.sub("", text)
    if kinds & odd.ALIKE and _lookalike.search(text):
        text = _replaced(text, {char: LOOKALIKES[ord(char)] for char in set(_lookalike.findall(text))})
    return text


def _replaced(text: str, characters: Mapping[str, str]) -> str:
    """The text with characters exchanged: a hundred of them take as long as `translate` where not all is ASCII."""
    for char, other in characters.items():
        text = text.replace(char, other)
    return text


def latin(text: str) -> str:
    """A text with its Cyrillic letters taken for the Latin ones they resemble."""
    return _replaced(text, _CYRILLIC_TO_LATIN)


def _shorten(found: re.Match[str]) -> str:
    return _long_nonstarters.sub(r"\1", found[0])


def may_be_apart(text: str) -> bool:
    """Whether emoji stand between letters."""
    return _picture_before_letter.search(text) is not None and _emoji_in_word.search(text) is not None


def emoji_apart(text: str) -> str:
    """The folded words of a text in which the emoji between letters are taken for spaces."""
    return " ".join(folded_words(plain(_emoji_in_word.sub(" ", text)))[0])


def may_be_mixed(text: str) -> bool:
    """Whether a text that `plain` returned has letters of scripts that are exchanged for others drawn like them."""
    return _mixable.search(text) is not None and (_latin.search(text) is not None or _cyrillic.search(text) is None)


def folded_words(text: str, pictures: Sequence[str] = ()) -> tuple[list[str], int]:
    """The words of a text that `plain` returned, and how many of them mix scripts to look like what they are not.

    `pictures` are emoji in it, no part of any word.
    """
    words = _words_of(text, pictures)
    if text.isascii() or not _mixable.search(text) or not _latin.search(text):
        return words, 0
    if _cyrillic.search(text):
        return _unmix(words)
    mixed = [word for word in words if not word.isascii() and _greek.search(word) and _latin.search(word)]
    return _replaced(" ".join(words), _GREEK_TO_LATIN).split(" "), len(mixed)


def _words_of(text: str, pictures: Sequence[str]) -> list[str]:
    """Words: letters and digits with the marks of their spelling.

    Splitting at spaces is several times faster than matching words, and right where only spaces, the punctuation of
    ASCII and a few emoji stand between them.
    """
    if text.replace(" ", "").isalnum():
        return text.split()
    spread = text
    for picture in pictures[:_MAX_PICTURES]:
        spread = spread.replace(picture, " ")
    spread = spread.encode("utf-8", _SURROGATES).translate(ASCII_FOLD).decode("utf-8", _SURROGATES)
    words = spread.split()
    if "".join(words).isalnum():
        return words
    return _words.findall(text.replace("_", " "))


def _unmix(words: list[str]) -> tuple[list[str], int]:
    """Each word in one script: Cyrillic where it can be nothing else or most words are, otherwise Latin."""
    others = list(filterfalse(str.isascii, words))
    either = list(map(ONLY_CYRILLIC.isdisjoint, others))  # whether it may be Latin, by its letters
    blends = list(map(_latin.search, others))
    pure = blends.count(None)
    keep_latin = len(words) - len(others) >= either.count(False)
    # Exchanged all at once: to do it word by word takes several times as long.
    joined = " ".join(others)
    as_latin = latin(joined).split(" ") if keep_latin else others
    as_cyrillic = _replaced(joined, _LATIN_TO_CYRILLIC).split(" ") if pure < len(others) else others
    unmixed = iter(
        [
            plain_word if free and keep_latin else word if blend is None else cyrillic
            for word, free, blend, plain_word, cyrillic in zip(
                others, either, blends, as_latin, as_cyrillic, strict=True
            )
        ]
    )
    return [word if word.isascii() else next(unmixed) for word in words], len(others) - pure


def collapse_runs(text: str) -> str:
    """Three and more of one character become one: `heeello` and `hello` differ, `heeeello` and `heeello` do not."""
    return _runs.sub("", text)


def collapse_doubles(text: str) -> str:
    """Every repeated character becomes one, for comparing stretched words; both sides must be folded so."""
    return _doubles.sub("", text)


may_be_leet = _leet_sign.search
"""Truthy where a text has a digit or sign that may stand for a letter."""


def leet_like(text: str) -> bool:
    """Whether digits or signs stand where letters belong. An exclamation mark at the end of a word is one."""
    return _leet_in_word.search(text.casefold()) is not None


def leet(text: str) -> str:
    """The folded words of a text whose digits and signs are read as the letters they stand for."""
    low = text.casefold()
    if "!" in low:
        low = _last_bangs.sub(" ", low)
    if low.isascii():
        return " ".join(low.encode().translate(_LEET_FOLD).decode().split())
    low = _replaced(low, _LEET_BEYOND).encode("utf-8", _SURROGATES).translate(_LEET_FOLD).decode("utf-8", _SURROGATES)
    words = low.split()
    return " ".join(words if "".join(words).isalnum() else _words.findall(low))


def spaced_out(words: list[str]) -> bool:
    """Whether letters stand apart (`f r e e`): four single-letter words or more, and most of the words."""
    count = len(words)
    if count < 4:
        return False
    singles = list(map(len, words)).count(1)
    if singles < 4 or 2 * singles < count:
        return False
    singles -= len([word for word in words if len(word) == 1 and word.isdigit()])
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
