"""What a text may cost: no more than a hundred usual ones, whatever it is made of."""

from __future__ import annotations

import random
import string
from time import perf_counter

import pytest

from roomguard.engine.text import Analyser, WordSettings

N = 2000
LIMIT = 100
USUAL = (
    "why does he play that again",
    "that was a really close one",
    "hello from the north",
    "what a lovely day, thanks",
)
_RNG = random.Random(11)

HOSTILE = {
    "one letter": "a" * N,
    "short words": "me my " * 333,
    "cues": "follow me " * 200,
    "full stops": "a. " * 667,
    "names with endings": "abcdef .com " * 166,
    "links": "x.com " * 333,
    "schemes": "http://" * 286,
    "www": "www." * 500,
    "mail addresses": "a@b.c " * 333,
    "long mail address": "a" * 64 + "@" + "b." * 900,
    "numbers": "1 " * 1000,
    "brackets": "abc ( " * 333,
    "letters apart": "a b c d . c o m " * 125,
    "leet": "b4dw0rd " * 250,
    "stacked marks": "\u0301\u0323" * 1000,
    "marks on letters": ("a" + "\u0334\u0323" * 15) * 64,
    "grows 18 times": "\ufdfa" * N,
    "grows 3 times": "\ufb2c" * N,
    "conjoining": "\u1100\u1161\u11a8" * 666,
    "spelling marks": "\u093c\u094d" * 1000,
    "voiced kana": "か\u3099" * 1000,
    "joiners": "😀\u200d" * 1000,
    "flags": "🇦🇹" * 1000,
    "emoji between letters": "a😀" * 1000,
    "tags": "\U000e0041" * N,
    "mixed scripts": "прivет " * 285,
    "mathematical": "𝔸" * N,
    "drawing": "⣿" * N,
    "dotted I": "İ" * N,
    "picture names": ":abc:" * 400,
    "printable noise": "".join(_RNG.choices(string.printable, k=N)),
    "any plane": "".join(chr(_RNG.randrange(0x10000, 0x10FFFF)) for _ in range(N)),
    "basic plane": "".join(
        chr(_RNG.choice([_RNG.randrange(32, 0xD800), _RNG.randrange(0xE000, 0xFFFE)])) for _ in range(N)
    ),
}


def seconds(text: str) -> float:
    """The least time to work out every fact of a text that no memo knows."""
    least = 1.0
    for _ in range(7):
        begin = perf_counter()
        ANALYSER.judge(text).as_dict()
        least = min(least, perf_counter() - begin)
    return least


ANALYSER = Analyser(WordSettings(block=("badword", "free stuff"), regex=("x+y",)))


def times_usual(text: str) -> float:
    """How many usual texts this one costs: the least of three rounds, since a busy machine only ever adds."""
    rounds = []
    for _ in range(3):
        usual = sorted(map(seconds, USUAL))[len(USUAL) // 2]
        rounds.append(seconds(text) / usual)
        if rounds[-1] <= LIMIT:
            break
    return min(rounds)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_costs_more_than_a_hundred_usual_ones(name: str) -> None:
    """Whatever two thousand code points hold, judging them takes at most 100 times a usual text."""
    assert times_usual(HOSTILE[name][:N]) <= LIMIT


def test_random_mixtures_stay_cheap() -> None:
    """Texts put together from hostile pieces cost no more than the pieces."""
    rng = random.Random(23)
    pieces = list(HOSTILE.values())
    for _ in range(60):
        text = "".join(rng.choice(pieces)[: rng.randrange(1, 400)] for _ in range(12))[:N]

        assert times_usual(text) <= LIMIT
