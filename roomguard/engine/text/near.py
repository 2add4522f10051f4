"""What a text nearly says: its distinct words without digits and noise, sorted."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from roomguard.engine.text import fold

KNOWN = "\t"
"""What a trace begins with that has its near skeleton behind it; see `engine.traces`."""
_NOISE = frozenset("a an and at be but for i in is it its me my of on or so the this to u ur you your".split())
_NEAR_WORDS = 6
_STRETCHED_WORDS = 24
"""Words of a stretched text that are shortened before the longest are taken: of more, the longest as they stand."""
_digit = re.compile(r"\d")
_no_vowel = re.compile(" [bcdfghjklmnpqrstvwxz0-9бвгджзйклмнпрстфхцчшщъь]{5}")
_vowel = re.compile("[aeiouyаеёиоуыэюя]|[^\x00-\x7fа-я]")


@functools.lru_cache(maxsize=4_096)  # whoever is compared is compared again: a wave, or one who says it again
def near_of(body: str) -> str:
    """The near skeleton of folded words with one space between them, in which nothing is stretched."""
    split = body.split(" ")
    return near_words(body, set(split), "".join(split), stretched=False) or body


def one_line(skeleton: str) -> str:
    """A skeleton of signs as a near one: what stands in several lines says the same in one.

    Traces wait as lines of one text, so none may have a line break in it.
    """
    return " ".join(skeleton.split())


def near_words(body: str, distinct: set[str], joined: str, *, stretched: bool) -> str:
    """What is left of the `distinct` words of `body` (`joined` without spaces), at most six of them; maybe nothing."""
    if len(joined) == len(body) and not stretched:
        return body
    keep = distinct - _NOISE
    picky = not joined.isalpha() or _no_vowel.search(f" {body}") is not None
    if stretched and keep:
        if len(keep) > _STRETCHED_WORDS:
            keep = set(sorted(sorted(keep), key=len, reverse=True)[:_STRETCHED_WORDS])
        keep = set(fold.collapse_doubles(" ".join(_spoken(keep) if picky else keep)).split(" "))
        picky = False
    if len(keep) > _NEAR_WORDS:
        ranked = sorted(sorted(keep), key=len, reverse=True)
        keep = set(islice(_spoken(ranked) if picky else ranked, _NEAR_WORDS))
    elif picky:
        keep = set(_spoken(keep))
    return " ".join(sorted(keep))


def _spoken(words: Iterable[str]) -> Iterator[str]:
    """The words without digits that can be spoken."""
    return (
        word for word in words
        if (word.isalpha() or not _digit.search(word)) and (len(word) <= 4 or _vowel.search(word))
    )  # fmt: skip
