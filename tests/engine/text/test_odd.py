"""What a text is made of does not depend on what other texts were made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from roomguard.engine.text import Analyser, WordSettings, fold, odd

ANALYSER = Analyser(WordSettings())
FLAGS, FACES, FAMILY = "\U0001f1e9\U0001f1ea", "".join(map(chr, range(0x1F600, 0x1F640))), "\U0001f468\u200d\U0001f469"
BRAILLE, BOXES, FANCY = (
    "".join(map(chr, range(first, first + 60))) for first in (0x2800, 0x2500, 0x1D400)
)  # fmt: skip
MARKS, HIDDEN, FAR_HAN = "".join(map(chr, range(0x300, 0x33C))), "\u200b\u200c\u2060", "\U00020000\U00020001"
ODD = f"{FLAGS}{FACES}{FAMILY}{BRAILLE}{BOXES}{FANCY}{MARKS}{HIDDEN}{FAR_HAN}\u2019\ufe0f"

TEXTS = st.lists(
    st.tuples(st.text(ODD + "a ", min_size=1, max_size=24), st.integers(1, 20)).map(lambda part: part[0] * part[1]),
    max_size=6,
).map("".join)
"""Texts of many odd characters and of few, often and seldom repeated."""


def seen_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that begins."""
    monkeypatch.setattr(odd, "_kinds", odd._Kinds())


@pytest.mark.parametrize("text", [BRAILLE[:20] * 12, FACES[:40] * 6, FLAGS * 110, (FACES + BRAILLE) * 2])
def test_a_text_says_the_same_to_whoever_saw_its_characters_before(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall of pictures has as many of them for a guard that has just begun as for one that has seen them all."""
    seen_by_nobody(monkeypatch)
    first = ANALYSER.judge(text)
    for char in ODD:
        odd.look([char], char)

    assert ANALYSER.judge(text) == first


@settings(max_examples=300)
@given(text=TEXTS)
def test_characters_are_counted_alike_one_by_one_and_class_by_class(text: str) -> None:
    """What was seen before decides how the odd characters of a text are counted, and nothing of the result."""
    found = odd.find(text[: fold.MAX_OTHERS])
    with pytest.MonkeyPatch.context() as monkeypatch:
        seen_by_nobody(monkeypatch)
        first = odd.look(found, text)
        for char in found:
            _ = odd._kinds[char]
        assert odd.look(found, text) == first
