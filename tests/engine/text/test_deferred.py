"""What is worked out late is worked out right, and what is ruled out early was not there."""

from __future__ import annotations

import itertools

import pytest

from roomguard.engine.text import EMPTY, Analyser, Facts, WordSettings, fold, odd

ANALYSER = Analyser(WordSettings(block_domains=("evil.net",)))

TEXTS = (
    "what a lovely evening",
    "HEY LOOK HEY LOOK HEY LOOK HEY LOOK HEY LOOK",
    "write to ann@example.com or see www.evil.net/x",
    "ну что, начинаем? 👉 @ann",
    "今天的比赛真的很精彩！！！ 5182",
    "hahahahahahahaha 😂😂",
    ":wave: :wave: hello",
    "!!!!",
    "\u2800\u2800",
)
FIELDS = tuple(EMPTY.as_dict())


@pytest.mark.parametrize("text", TEXTS)
def test_the_order_of_asking_changes_nothing(text: str) -> None:
    """A fact is the same whichever facts were asked for before it."""
    expected = ANALYSER.judge(text).as_dict()

    for fields in (FIELDS[::-1], FIELDS[1::2] + FIELDS[::2], FIELDS[::3] + FIELDS[2::3] + FIELDS[1::3]):
        facts = ANALYSER.judge(text)
        assert expected == {field: getattr(facts, field) for field in fields}


@pytest.mark.parametrize("text", TEXTS)
def test_every_fact_has_a_value(text: str) -> None:
    """Nobody sees a fact that was left for later; only what a model would say is unknown without one."""
    assert [name for name, value in ANALYSER.judge(text).as_dict().items() if value is None] == ["text_spam"]


def test_facts_as_given() -> None:
    """Facts can be made up, a few by name; the others are those of no text."""
    facts = Facts.of(near_skeleton="green party", repeated=40)

    assert (facts.near_skeleton, facts.repeated, facts.links, facts.skeleton) == ("green party", 40, 0, "")
    assert facts != EMPTY
    assert repr(facts) == "Facts(near_skeleton='green party', repeated=40)"


def test_what_is_not_odd_needs_no_odd_work() -> None:
    """Every character that the search passes over folds the same with all the work for odd characters and without."""
    codes = itertools.chain(range(0x80, 0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE1000))
    passed = [char for char in map(chr, codes) if not odd.find(char)]

    assert 50_000 < len(passed)
    assert [] == [char for char in passed if fold.plain(char, 0) != fold.plain(char)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("foo_bar b-c", ["foo", "bar", "b", "c"]),
        ("да_нет,ещё", ["да", "нет", "ещё"]),
        ("好 _ 吗。是", ["好", "吗", "是"]),
        ("नमस्ते दुनिया!", ["नमस्ते", "दुनिया"]),
        ("هل من مغربي؟", ["هل", "من", "مغربي"]),
        ("สวัสดีครับ", ["สวัสดีครับ"]),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    """Words are letters and digits with the marks of their spelling, split or matched."""
    assert words == ANALYSER.judge(text).skeleton.split()
