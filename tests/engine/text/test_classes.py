"""Classes of characters hold what they say, and cutting what grows changes nothing."""

from __future__ import annotations

import re
from unicodedata import combining, normalize

from hypothesis import given, settings, strategies as st

from roomguard.engine.text import fold, odd
from roomguard.engine.text.classes import GROWING, SELDOM_MARKS, without_astral

EVERY = [char for char in map(chr, range(0x110000)) if not "\ud800" <= char <= "\udfff"]


def test_every_mark_that_joins_is_capped() -> None:
    """What NFKC sorts behind a letter is known, all of it, so that no run of it is long."""
    joins = re.compile(f"[{fold._NONSTARTERS}]")

    assert [] == [char for char in EVERY if combining(normalize("NFD", char)[0]) and not joins.match(char)]


def test_the_quick_class_takes_all_marks() -> None:
    """The search that decides whether marks are looked at misses none."""
    assert [] == [mark for mark in SELDOM_MARKS if fold._may_be_long.sub("", mark * 40)]


def test_what_grows() -> None:
    """All whose compatibility form is several code points are in the class, and of the basic plane nothing else."""
    growing = re.compile(f"[{GROWING}]")
    grown = {char for char in EVERY if len(normalize("NFKC", char)) > 1}

    assert [] == [char for char in grown if not growing.match(char)]
    assert [] == [char for char in EVERY if char < "\U00010000" and growing.match(char) and char not in grown]


def test_usual_letters() -> None:
    """Nothing is odd about them, nothing can be mixed, and they fold to letters."""
    usual = [char for char in EVERY if char != " " and fold.as_usual(char)]

    assert [] == [char for char in usual if odd.find(char) or re.match(f"[{fold._NONSTARTERS}]", char)]
    assert {1, 2} == {len(fold.usual(char)) for char in usual}
    assert [] == [char for char in usual if not fold.usual(char).isalpha() or fold.usual(char) != fold.plain(char)]
    assert [] == [char for char in usual if fold.folded_words(f"{fold.usual(char)} a")[1]]
    beside_latin = [char for char in usual if fold.as_usual(f"{char}a")]
    assert [] == [char for char in beside_latin if fold.may_be_mixed(f"{fold.usual(char)}a")]
    assert [] == [char for char in usual if char not in beside_latin and fold.may_be_mixed(fold.usual(char))]


def test_usual_pictures() -> None:
    """They are emoji and nothing else, no part of a word, and fold to themselves."""
    usual = [char for char in EVERY if char not in " \ufe0f" and fold.as_usual(f"a{char}") and not fold.as_usual(char)]

    assert [] == [char for char in usual if odd.look([char], char) != odd.Odd(odd.PICTURE, 1, 0, 0, 0, 0, (char,))]
    assert [] == [char for char in usual if char.isalnum() or fold.usual(char) != char]


def test_a_class_without_what_lies_outside_the_basic_plane() -> None:
    """Single characters and ranges go, the others stay."""
    assert "a-z\u0301" == without_astral("a-z\U0001d165-\U0001d169\u0301\U00010a0d")


letters = st.sampled_from("aZ б\u3316\ufdfa\ufdfb\ufdfc\u33a8\u30c8\u1100\u1161\u11a8\uac00\uff76\u0627\u1d62")
marks = st.text("\u3099\uff9e\u0301\u0653\u0eb8\u0f39", max_size=3)
syllables = st.builds(str.__add__, letters, marks)


@given(st.lists(st.builds(str.__mul__, syllables, st.integers(1, 90)), min_size=1, max_size=12))
@settings(max_examples=400, deadline=None)
def test_a_text_that_grows_is_cut(parts: list[str]) -> None:
    """What has not grown beyond what is folded folds as it would uncut; of other texts so much as is folded is left."""
    text = "".join(parts)[: fold.MAX_FOLDED]
    decomposed = normalize("NFKD", text)
    folded = fold.plain(text, 0)

    whole = normalize("NFKC", text).casefold()
    assert folded == whole if len(decomposed) <= fold.MAX_FOLDED else len(folded) <= fold.MAX_FOLDED + 1


def test_series_are_taken_out() -> None:
    """Three and more become one, or two and more; two lines of nothing stay."""
    text = "aabbbcccc\n\n\n  dd   eeeee"

    assert ("aabc\n\n\n  dd e", "abc\n\n\n d e") == (fold.collapse_runs(text), fold.collapse_doubles(text))
