"""Adverts in disguise: what is caught plainly is caught through the ways of hiding it, and ham is left alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from roomguard.engine.text import Analyser, Facts, WordSettings

ANALYSER = Analyser(WordSettings(block=("golden goose club",)))

_ASKS = ("follow me on", "subscribe to my", "check out my", "come watch my", "please support my")
_PLACES = ("twitch channel", "youtube channel", "tiktok page", "instagram page", "stream on kick")
_TAILS = ("", "thanks everyone", "only five minutes", "you will love it")
_OTHERS = (
    "cheap viewers and followers for your stream",
    "buy followers today best price",
    "real viewers at quickboost.com",
    "get viewers now on fastgrow.live/start",
    "add me on discord my username is lara",
    "hit me up on discord for free skins",
    "free robux promo code inside join now",
    "earn money from home passive income daily",
    "work from home extra income dm me",
    "guaranteed profit dm me for details",
    "can someone gift me a sub please",
    "please give me money i am broke",
    "donate to me my cashapp is open",
    "send me money i need money for rent",
    "join the golden goose club tonight",
    "the golden goose club has your prize",
    "visit www.winbigtoday.com for bonus",
    "claim your prize at luckyspin.xyz",
    "whatsapp me for trading signals",
    "double your bitcoin investment guaranteed",
)


def _spam_lines() -> list[str]:
    made = [" ".join(filter(None, parts)) for parts in itertools.product(_ASKS, _PLACES, _TAILS)]
    more = [
        " ".join(filter(None, parts))
        for parts in itertools.product(_OTHERS, ("", "hello guys", "dont miss it", "trust me", "ok bye"))
    ]
    return [*made, *more][:200]


SPAM = _spam_lines()

HAM = tuple(
    " ".join(parts)
    for parts in itertools.product(
        ("that was", "what an", "this is", "I love", "can we see"),
        ("amazing round", "old song", "lovely place", "unlucky moment", "weird boss fight"),
        ("today", "right now", "again", "my friends"),
    )
)

_HOMOGLYPHS = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")
_LEET = str.maketrans("aeiost", "431057")


def _spacing(line: str, _rng: random.Random) -> str:
    return "  ".join(" ".join(word) for word in line.split())


def _leet(line: str, rng: random.Random) -> str:
    return "".join(char.translate(_LEET) if rng.random() < 0.4 and "." not in line else char for char in line)


def _homoglyph(line: str, rng: random.Random) -> str:
    return "".join(char.translate(_HOMOGLYPHS) if rng.random() < 0.6 else char for char in line)


def _between(mark: str) -> Callable[[str, random.Random], str]:
    def disguise(line: str, rng: random.Random) -> str:
        return "".join(char + mark if char.isalpha() and rng.random() < 0.4 else char for char in line)

    return disguise


def _case(line: str, rng: random.Random) -> str:
    return "".join(char.upper() if rng.random() < 0.5 else char for char in line)


def _repeats(line: str, rng: random.Random) -> str:
    return "".join(char * 4 if char.isalpha() and rng.random() < 0.2 and "." not in line else char for char in line)


def _emoji(line: str, _rng: random.Random) -> str:
    return line.replace(" ", "🔥")


def _reversed(line: str, _rng: random.Random) -> str:
    return " ".join(reversed(line.split()))


def _fullwidth(line: str, _rng: random.Random) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in line)


def _suffix(line: str, rng: random.Random) -> str:
    return f"{line} @{''.join(rng.choices('bcdfghjkmnpqrstvwxz23456789', k=8))}"


DISGUISES: dict[str, Callable[[str, random.Random], str]] = {
    "spacing": _spacing,
    "leet": _leet,
    "homoglyph": _homoglyph,
    "zero width": _between("\u200b"),
    "combining": _between("\u0336"),
    "case": _case,
    "repeats": _repeats,
    "emoji": _emoji,
    "reversed": _reversed,
    "direction": _between("\u202e"),
    "full width": _fullwidth,
    "suffix": _suffix,
}


def caught(facts: Facts) -> bool:
    """What the shipped rules ask about adverts of newcomers."""
    return facts.advert >= 3 or facts.begging >= 3 or facts.links >= 1 or facts.blocked != ""


def share_caught(lines: list[str]) -> float:
    return sum(caught(ANALYSER.facts(line)) for line in lines) / len(lines)


def disguised(name: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    rng = random.Random(name)
    return [DISGUISES[name](line, rng) for line in lines]


def test_there_are_200_adverts_and_they_are_caught() -> None:
    """Written plainly nearly every advert is caught."""
    assert 200 == len(SPAM)
    assert share_caught(SPAM) >= 0.98


def test_disguises_together() -> None:
    """Of what is caught plainly, at least 98 % is caught through twelve disguises."""
    plain = [line for line in SPAM if caught(ANALYSER.facts(line))]

    assert share_caught([line for name in DISGUISES for line in disguised(name, plain)]) >= 0.98


@pytest.mark.parametrize("name", [name for name in DISGUISES if name != "reversed"])
def test_each_disguise(name: str) -> None:
    """Each disguise that leaves the words in order hides less than a tenth."""
    assert share_caught(disguised(name, SPAM)) >= 0.9


def test_words_in_reverse_order() -> None:
    """Of lines whose words stand in reverse order at least 85 % are caught."""
    assert share_caught(disguised("reversed", SPAM)) >= 0.85


@pytest.mark.parametrize(
    ("line", "long"),
    [
        ("buy ch34p f0ll0w3rs", True),
        ("heyyyy buy cheeeap followerssss", True),
        ("heyyyy buy ch34p f0ll0w3rs", False),
    ],
)
def test_a_long_text_is_read_in_one_other_way(line: str, long: bool) -> None:
    """One disguise is seen through in a text of any length, two together up to 512 code points."""
    assert ANALYSER.judge(line).advert >= 3
    assert long is (ANALYSER.judge(f"{line}{' nothing else to see here' * 25}").advert >= 3)


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("channel youtube my to subscribe", True), ("group discord the in me dm and twitch on me follow", True),
        ("let me follow you around the map", False), ("he made me follow him", False), ("my visit was short", False),
        ("that channel my friend told me about", False), ("I want my sub to be a turkey one", False),
    ],
)  # fmt: skip
def test_backwards_or_not(text: str, turned: bool) -> None:
    """Three words of a cue in reverse order, or two beside another such cue; two alone are said by everybody."""
    assert turned == (ANALYSER.facts(text).advert >= 3)


@pytest.mark.parametrize("name", DISGUISES)
def test_ham_in_disguise_stays_ham(name: str) -> None:
    """What people write when nothing is sold is not taken for an advert, disguised or not."""
    assert share_caught(list(HAM)) == 0.0
    assert share_caught(disguised(name, HAM)) <= 0.02
