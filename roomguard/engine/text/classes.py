"""Classes of characters, written as the inside of a regular expression's brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import category, combining, normalize

from roomguard.engine.text.confusables import LOOKALIKES

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

_SPOKEN_RANGES = (
    "\u0591-\u05c7\u0610-\u065f\u0900-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84\u1000-\u109f\u17b6-\u17d3"
)


def _members(ranges: str) -> Iterator[str]:
    """The characters of a class."""
    for low, high in re.findall(r"(.)(?:-(.))?", ranges):
        yield from map(chr, range(ord(low), ord(high or low) + 1))


def _marks_within(ranges: str) -> str:
    """The marks among what lies in the ranges of a class; letters of the same blocks left out."""
    return "".join(char for char in _members(ranges) if category(char).startswith("M"))


SPOKEN_MARKS = _marks_within(_SPOKEN_RANGES)
"""Marks that are part of a word's spelling and no decoration: Hebrew, Arabic, Indic, Thai, Tibetan, Burmese, Khmer."""

_SELDOM_RANGES = (
    "\u0670-\u08ff\u0eb8-\u0fc6\u135d-\u1dbf\u2cef-\u2dff\ua66f-\uabed\ufb1e"
    "\U000101fd-\U00011d97\U00016af0-\U00016ff1\U0001bc9e\U0001d165-\U0001d244\U0001e000-\U0001e94a"
)


def _joining_within(ranges: str) -> str:
    """What stands on the character before it among what lies in the ranges of a class."""
    return "".join(char for char in _members(ranges) if combining(char))


SELDOM_MARKS = _joining_within(_SELDOM_RANGES)
"""Marks that join the letter before them, of scripts and notations not named above; some of those are here too."""

BEYOND = "\U000101fd-\U0001bc9e\U0001d165-\U0001d244\U0001e000-\U0001e94a"
"""Where all of them lie that lie outside the basic plane, letters in between."""

_GROWING_RANGES = (
    "\u00a8-\u00be\u0132-\u0149\u01c4-\u01f3\u02d8-\u02dd\u0344\u037a\u0384-\u0385\u0587\u0675-\u0678\u0958-\u095f\u09dc-\u0a5e"
    "\u0b5c-\u0b5d\u0e33-\u0fb9\u1e9a\u1fbd-\u1ffe\u2017-\u2057\u20a8-\u2189\u222c-\u2230\u2469-\u24b5\u2a0c-\u2adc\u309b-\u30ff"
    "\u3200-\u33ff\ufb00-\ufefc\uffe3"
)


def _growing_within(ranges: str) -> str:
    """What has a compatibility form of several code points among what lies in the ranges of a class."""
    return "".join(char for char in _members(ranges) if len(normalize("NFKC", char)) > 1)


GROWING = _growing_within(_GROWING_RANGES) + "\U0001d15e-\U0001d1c0\U0001f100-\U0001f190\U0001f200-\U0001f248"
"""Characters whose compatibility form is two code points or more, up to eighteen; of other planes all near them."""

ART = "\u2500-\u25ff\u2800-\u28ff\U0001fb00-\U0001fbff\u2b1b\u2b1c"
"""Braille, boxes, blocks and squares, of which pictures are made."""

FANCY = (
    "\u1d00-\u1d2b\u0250-\u02af\u2460-\u24ff\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f189"
    "\u2c80-\u2cff\u13a0-\u13ff\u2100-\u214f"
)
"""Letters in mathematical, full-width, circled, small-capital and like forms."""

LOOKALIKE_LETTERS = "".join(map(chr, LOOKALIKES))

ODD_APOSTROPHES = "\u02bc\u00b4"
"""Signs used as apostrophes now and then; the two usual ones are looked for by themselves."""

FOLDED_ODD = (
    "\u00a8\u00af\u00b4\u00b8\u00d8\u0110\u0130\u0141\u0166\u0184\u0191\u0196\u01a6\u01b2\u01b5\u01bc\u01f0\u0246"
    "\u024e\u02d8-\u02dd\u0384-\u0385\u0390\u03b0\u0531\u0533\u0536\u0540\u0545\u0548\u054c-\u054d\u0551\u0555"
    "\u1ca7\u1d45\u1d55\u1da2\u1da5-\u1da6\u1dab\u1db0\u1db8-\u1db9\u1e96-\u1e99\u1f50\u1f52\u1f54\u1f56"
    "\u1fb6-\u1fb7\u1fbd\u1fbf-\u1fc1\u1fc6-\u1fc7\u1fcd-\u1fcf\u1fd2-\u1fd3\u1fd6-\u1fd7\u1fdd-\u1fdf"
    "\u1fe2-\u1fe4\u1fe6-\u1fe7\u1fed-\u1fee\u1ff6-\u1ff7\u1ffd-\u1ffe\u2017\u203e\u2183\u2adc\u2c6d\ua790\ua79e"
    "\ua7ac\ua7ae\ufe49-\ufe4c\uffe3\uffee"
    "\U00010784\U00010792\U00010796\U000107a2\U000107aa\U000107b2\U000107b6"
)
"""Other letters whose folded form has a decorating mark, an emoji or a lookalike in it."""

USUAL = (
    "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d9-\u00f6\u00f9-\u010f\u0112-\u012f\u0132-\u0137\u0139-\u013e\u0143-\u0148"
    "\u014a-\u0165\u0168-\u017f\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u1ea0-\u1ef9\u3005\u3041-\u3096\u30a1-\u30fa"
    "\u30fc\u3131-\u3163\u3165-\u318e\u4e00-\u9fff\uac00-\ud7a3"
)
"""Letters of the most used scripts with nothing odd about them: of Latin, Hebrew, Arabic, Japanese, Chinese, Korean."""

USUAL_CYRILLIC = "\u0400-\u045f\u0490\u0491"
"""The same for Cyrillic, whose letters are usual among themselves."""

THAI = "\u0e01-\u0e30\u0e32\u0e40-\u0e46"
"""Letters of Thai, and the vowels that stand before and behind them."""

THAI_MARKS = "\u0e31\u0e33-\u0e3a\u0e47-\u0e4e"
"""What stands on a letter of Thai or below it, one half of it behind."""

USUAL_PICTURES = (
    "\u231a-\u2328\u232b-\u23ff\u2600-\u2775\u2794-\u27bf\u2b05-\u2b07\u2b50\u2b55\U0001f300-\U0001f64f\U0001f680-\U0001f6ff"
    "\U0001f900-\U0001faff\ufe0f"
)
"""Emoji that are nothing else and fold to themselves, and what asks for their colours."""

ASTRAL = "\U00010000-\U0010ffff"
"""What lies outside the basic plane."""


def without_astral(members: str) -> str:
    """A class without what lies outside the basic plane, for a search that takes that as a whole."""
    return re.sub(f"[{ASTRAL}](?:-[{ASTRAL}])?", "", members)
