"""The shape of one language's texts, and how languages count.

A text is put together from whole sentences, never from inflected pieces, so that no grammar is needed at run time:
the frame says what happened, the reason says why, the retry sentence says when to try again. `{for}` in a frame and
`{duration}` in `for_duration` and `retry` are the only placeholders. Each language uses its durations in a single
grammatical case, chosen so that one form of the word is right in both places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

Unit = Literal["second", "minute", "hour", "day"]


def one_form(_count: int) -> int:
    """Words do not change with the number (Japanese, Turkish after a number, Vietnamese)."""
    return 0


def one_other(count: int) -> int:
    """One is singular, all else plural (English, German, the Romance languages)."""
    return 0 if count == 1 else 1


def one_few_many(count: int) -> int:
    """The East Slavic way: 1, 21, 31; 2-4, 22-24; the rest."""
    if count % 10 == 1 and count % 100 != 11:
        return 0
    return 1 if count % 10 in {2, 3, 4} and count % 100 not in {12, 13, 14} else 2


def one_two_few_many(count: int) -> int:
    """The Arabic way: one, two, 3-10 of a hundred, 11-99 of a hundred, round hundreds and what follows them."""
    if count <= 2:
        return count - 1
    rest = count % 100
    if 3 <= rest <= 10:
        return 2
    return 3 if rest > 10 else 4


@attrs.frozen(kw_only=True)
class Language:
    """All that is said in one language.

    `units` holds per unit one form for each result of `plural`, each with `{n}` where the number stands (Arabic says
    one and two without a number). `space` stands between sentences.
    """

    tag: str
    plural: Callable[[int], int]
    units: Mapping[Unit, tuple[str, ...]]
    for_duration: str
    for_now: str
    retry: str
    because: str
    because_earlier: str
    new_accounts_only: str
    space: str = " "
    frames: Mapping[str, str]
    reasons: Mapping[str, str]

    def duration(self, count: int, unit: Unit) -> str:
        """`count` of `unit` in words, such as "10 minutes"."""
        return self.units[unit][self.plural(count)].replace("{n}", str(count))
