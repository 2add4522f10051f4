"""The odd characters of a text: what shows nothing, decorates, draws, or passes for something else.

One search over one class of characters tells most texts that they have none. Only others are looked at one character at
a time, each kind of character remembered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from roomguard.engine.text.classes import (
    ART,
    ASTRAL,
    EMOJI,
    FANCY,
    FOLDED_ODD,
    INVISIBLE,
    LOOKALIKE_LETTERS,
    MARKS,
    ODD_APOSTROPHES,
    without_astral,
)

MARK, HIDDEN, PICTURE, DRAWING, DRESSED, FLAG, APOSTROPHE, ALIKE, WORDLIKE = (1 << bit for bit in range(9))
"""Kinds of odd characters; one may be several. ALIKE: a lookalike, or what folds to one, to a mark or to an emoji.
WORDLIKE is remembered of a character, and not said of a text."""

EVERY = 511
"""All kinds: for a text that was not looked at."""

MAX_KNOWN = 8192
"""Characters whose kinds are remembered; those beyond are looked up again each time."""

_MANY = 24
"""Odd characters of which on a `Counter` is worth its own cost."""
_MANY_KINDS = 64
_MANY_NEW = 8
"""Different odd characters, and such as were never seen before, of which on each is not looked up by itself."""
_MAX_COUNTED = 192
"""Of a text with so many kinds, odd characters that are counted; what comes behind is left out."""

_TABLE = tuple(
    (kind, re.compile(f"[{members}]"))
    for kind, members in (
        (MARK, MARKS), (HIDDEN, INVISIBLE), (PICTURE, EMOJI), (DRAWING, ART), (DRESSED, FANCY),
        (FLAG, "\U0001f1e6-\U0001f1ff"), (APOSTROPHE, ODD_APOSTROPHES), (ALIKE, LOOKALIKE_LETTERS + FOLDED_ODD),
    )
)  # fmt: skip
_ANY = MARKS + INVISIBLE + EMOJI + ART + FANCY + ODD_APOSTROPHES + LOOKALIKE_LETTERS + FOLDED_ODD
_odd = re.compile(f"[{without_astral(_ANY)}{ASTRAL}]")
_joined_emoji = re.compile(f"\u200d(?<=[{EMOJI}\ufe0f\U0001f3fb-\U0001f3ff].)(?=[{EMOJI}])")
find = _odd.findall
"""The odd characters of a text. One without any folds by NFKC and casefold alone."""


class _Kinds(dict[str, int]):
    """Character to its kinds."""

    def __missing__(self, char: str) -> int:
        kinds = sum(kind for kind, members in _TABLE if members.match(char)) | (WORDLIKE if char.isalnum() else 0)
        if len(self) < MAX_KNOWN:
            self[char] = kinds
        return kinds


_kinds = _Kinds()


class Odd(NamedTuple):
    """The odd characters of one text, counted. `kinds` are all kinds seen, `pictures` the distinct emoji."""

    kinds: int
    emoji: int
    art: int
    invisible: int
    combining: int
    fancy: int
    pictures: tuple[str, ...]


NOTHING = Odd(0, 0, 0, 0, 0, 0, ())


def look(found: list[str], text: str) -> Odd:
    """Count what `find` found in `text`.

    A joined family of emoji counts each of its members, a flag (two code points) once. What shows nothing but belongs
    to an emoji is no invisible character.
    """
    if len(found) <= _MANY:
        return _look_at_each(_counted(found), text)
    distinct = set(found)
    if len(distinct) > _MANY_KINDS:
        return _look_at_all("".join(found[:_MAX_COUNTED]), text)
    if _new_among(distinct) > _MANY_NEW:
        # What other texts had decides how this one is counted, and nothing of what comes of it.
        return _look_at_all("".join(found), text)
    return _look_at_each(Counter(found), text)


def _look_at_each(seen: Mapping[str, int], text: str) -> Odd:
    """`look` where few characters are there or most of them come again and again: kind by kind."""
    every = emoji = flags = art = invisible = combining = fancy = 0
    pictures: list[str] = []
    for char, count in seen.items():
        kinds = _kinds[char]
        every |= kinds
        if kinds & PICTURE:
            emoji += count
            if not kinds & WORDLIKE:
                pictures.append(char)
        if kinds & FLAG:
            flags += count
        if kinds & DRAWING:
            art += count
        if kinds & HIDDEN:
            invisible += count
        if kinds & MARK:
            combining += count
        if kinds & DRESSED:
            fancy += count
    if invisible:
        invisible = _unseen(invisible, text)
    return Odd(every & ~WORDLIKE, emoji - flags // 2, art, invisible, combining, fancy, tuple(pictures))


def _new_among(distinct: set[str]) -> int:
    return len([char for char in distinct if char not in _kinds])


def _counted(found: list[str]) -> dict[str, int]:
    seen: dict[str, int] = {}
    for char in found:
        seen[char] = seen.get(char, 0) + 1
    return seen


def _look_at_all(found: str, text: str) -> Odd:
    """The same where nearly every character is another one, or most were never seen before: class by class."""
    members = {kind: of_kind.findall(found) for kind, of_kind in _TABLE}
    every = sum(kind for kind, some in members.items() if some)
    pictures = tuple(char for char in dict.fromkeys(members[PICTURE]) if not char.isalnum())
    emoji, art, invisible, combining, fancy, flags = (
        len(members[kind]) for kind in (PICTURE, DRAWING, HIDDEN, MARK, DRESSED, FLAG)
    )
    return Odd(every, emoji - flags // 2, art, _unseen(invisible, text), combining, fancy, pictures)


def _unseen(invisible: int, text: str) -> int:
    """How many of the invisible characters of a text belong to no emoji."""
    joiners = len(_joined_emoji.findall(text)) if "\u200d" in text else 0
    return max(0, invisible - text.count("\ufe0f") - joiners)
