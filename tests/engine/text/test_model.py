"""The text model: how texts become places in a table, and files models."""

from __future__ import annotations

import hashlib
import math
import random
from time import perf_counter
from zlib import crc32

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st

from roomguard.engine.text import Analyser, WordSettings
from roomguard.engine.text.model import (
    _EDGE,
    _FACTORS,
    _SPACED_WORD,
    _WORD,
    _WORD_FACTORS,
    MAX_BYTES,
    MAX_WORDS,
    MIDDLE,
    SHAPES,
    SIZE,
    VERSION,
    WORD_ORDERS,
    Figures,
    ModelError,
    TextModel,
    from_bytes,
    grams,
    normal,
    of_words,
    read,
    spelled,
    to_bytes,
)


def model(*, loud: str = "", seed: int = 1) -> TextModel:
    """A model of noise, in which the n-grams of `loud` speak for spam."""
    table = bytearray(random.Random(seed).choices(range(MIDDLE - 3, MIDDLE + 4), k=SIZE))
    for place in grams(normal(loud)) if loud else ():
        table[place] = 255
    shapes = tuple(0.01 * at for at in range(SHAPES))
    return TextModel(bytes(table), 0.05, -1.5, 1.0, shapes, Figures(3, 4, 0.9, 0.8, 0.85))


MODEL = model(loud="cheap viewers")


@given(st.text(max_size=80))
def test_each_gram_has_its_place(text: str) -> None:
    """Hashing all n-grams at once is hashing each by itself."""
    text = normal(text)
    words = [_EDGE, *(crc32(word.encode()) for word in _SPACED_WORD.findall(text)), _EDGE]
    of_words = [
        sum(word * factor for word, factor in zip(words[at : at + order], _WORD_FACTORS, strict=False)) & (SIZE - 1)
        for order in WORD_ORDERS
        for at in range(len(words) - order + 1)
        if order > 1 or 0 < at < len(words) - 1
    ] * (len(words) > 2)
    characters = spelled(text)[: len(grams(text)) - len(of_words)]

    one_by_one = [
        sum((ord(letter) & 0xFFFF) * factor for letter, factor in zip(gram, _FACTORS, strict=False)) & (SIZE - 1)
        for gram in characters
    ]
    assert one_by_one + of_words == list(grams(text))


@given(st.text(max_size=80))
def test_each_gram_can_be_shown(text: str) -> None:
    """Every place has its piece of the text, so that evidence can be read."""
    text = normal(text)

    assert len(spelled(text)) == len(grams(text))
    assert all(gram in text for gram in spelled(text))


def test_words_are_read_up_to_a_bound() -> None:
    """A text of many words costs no more than its first ones."""
    few, many = normal("a " * MAX_WORDS), normal("a " * 2 * MAX_WORDS)

    assert len(grams(many)) - len(grams(few)) == 2 * (len(many) - len(few))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("see it's new, ok", ("it's", "see it's", "it's new")),
        ("купи дёшево здесь", ("дёшево", "купи дёшево", "купи дёшево здесь")),
        ("싸게 팔아요 지금", ("싸게 팔아요",)),
        ("सस्ते सिक्के यहाँ", ("सिक्के", "सस्ते सिक्के")),
        ("便宜的金币在这里", ()),
    ],
)
def test_words_of_scripts_with_spaces_are_read(text: str, words: tuple[str, ...]) -> None:
    """Words count where spaces part them, whatever the script; elsewhere characters alone do."""
    longer = {gram for gram in spelled(normal(text)) if len(gram) > 3}

    assert set(words) <= longer
    assert bool(longer) == bool(words)


@pytest.mark.parametrize("text", ["get 10 coins, it's free!", "a.b/c?d=e_f", "''", "=" * 9])
def test_a_plain_text_is_read_the_same_way_beside_another_script(text: str) -> None:
    """The words of ASCII are the same words in a text that is not all ASCII."""
    assert set(of_words(text)[:1]) <= set(of_words(f"{text} ж"))
    assert _SPACED_WORD.findall(text) == _WORD.findall(text)


def test_words_are_told_apart_by_order() -> None:
    """The same words in another order are other pairs and threes."""
    there, back = (set(read(text, text).grams) for text in ("one two three", "three two one"))

    assert len(there - back) >= 4


@given(st.text(max_size=3_000))
def test_any_text_has_a_probability(text: str) -> None:
    """Whatever the text, the score lies from 0 to 1, and is the same again."""
    facts = Analyser(WordSettings(), MODEL).judge(text)

    assert facts.text_spam is not None
    assert 0 <= facts.text_spam <= 1
    assert facts.text_spam == Analyser(WordSettings(), from_bytes(to_bytes(MODEL))).judge(text).text_spam


def test_repeating_adds_nothing_to_the_sum() -> None:
    """The model reads the set of n-grams: saying the same twice is no more spam, only more repetition."""
    once, twice = read("cheap viewers", "cheap viewers"), read("cheap viewers " * 2, "cheap viewers " * 2)

    assert set(once.grams) <= set(twice.grams)
    assert len(twice.grams) <= len(once.grams) + 6


def test_dress_changes_nothing() -> None:
    """Capitals aside, a disguised text is scored like the plain one."""
    plain, *disguised = (
        Analyser(WordSettings(), MODEL).judge(text).text_spam
        for text in ("cheap viewers", "che\u200bap vie\u200bwers", "сheap vіewers", "𝖼𝗁𝖾𝖺𝗉 𝗏𝗂𝖾𝗐𝖾𝗋𝗌")
    )

    assert disguised == [plain] * 3


def test_the_loudest_grams_are_named() -> None:
    """What is named stands in the text and speaks for spam, none of them inside another."""
    named = MODEL.loudest("hello cheap viewers for you")

    assert 0 < len(named) <= 5
    assert all(gram in " hello cheap viewers for you " for gram in named)
    assert all(gram in " cheap viewers " for gram in named)
    assert "cheap viewers" in named


def test_a_file_is_read_back() -> None:
    """A model and its file are the same thing; the digest names the content."""
    again = from_bytes(to_bytes(MODEL))

    assert (MODEL, MODEL.digest, MODEL.figures) == (again, again.digest, again.figures)
    assert len(to_bytes(MODEL)) <= MAX_BYTES
    assert MODEL.digest != model(loud="cheap coins").digest


def _headed(**more: object) -> bytes:
    """A whole file whose head says something else."""
    name, line, table = to_bytes(MODEL).split(b"\n", 2)
    head = {**msgspec.json.decode(line), **more}
    body = b"\n".join((name, msgspec.json.encode(head), table[:-16]))
    return body + hashlib.blake2b(body, digest_size=16).digest()


def _flipped(at: int) -> bytes:
    data = bytearray(to_bytes(MODEL))
    data[at] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no text model"),
        (b"PK\x03\x04 something else", "no text model"),
        (to_bytes(MODEL)[:-1], "checksum"),
        (to_bytes(MODEL)[:2_000], "checksum"),
        (to_bytes(MODEL)[:30], "head cannot be read"),
        (to_bytes(MODEL) + b"\0", "checksum"),
        (_flipped(-20), "checksum"),
        (_flipped(9_000), "checksum"),
        (_headed(version=VERSION + 1), f"version {VERSION + 1}; this roomguard reads version {VERSION}"),
        (_headed(version=VERSION - 1), f"version {VERSION - 1}; .*learn it again"),
        (_headed(bits=20), "do not fit"),
        (_headed(shapes=[0.0]), "do not fit"),
        (_headed(unit="much"), "damaged"),
        (_headed(extra=1), "damaged"),
        (b"\0" * (MAX_BYTES + 1), "larger than 1024 KiB"),
    ],
)  # fmt: skip
def test_what_is_no_model(data: bytes, message: str) -> None:
    """A file that is not a whole model of this version is refused, and the message says why."""
    with pytest.raises(ModelError, match=message):
        from_bytes(data)


def test_without_a_model_it_is_unknown() -> None:
    """No model, no score: unknown, which is not zero."""
    facts = Analyser(WordSettings()).judge("cheap viewers")

    assert (facts.text_spam, facts.text_spam_grams) == (None, ())


def test_margins_stay_finite() -> None:
    """However far out a margin is, a probability comes of it."""
    far = attrs.evolve(MODEL, bias=1e9)

    assert far.score("a", "a") == 1.0
    assert math.isfinite(far.margin(read("a", "a")))


def seconds(text: str) -> float:
    """The least time of a few to score a text."""
    least = 1.0
    for _ in range(9):
        begin = perf_counter()
        MODEL.score(text, text)
        least = min(least, perf_counter() - begin)
    return least


@pytest.mark.parametrize("text", ["a" * 600, "ab " * 200, "".join(map(chr, range(0x4E00, 0x4E00 + 600))), "😀" * 600])
def test_no_text_is_dear(text: str) -> None:
    """The longest text costs less than a hundred usual ones."""
    usual = seconds("that was a really close one")

    assert seconds(text) < 100 * usual
