"""Made-up chat with made-up spam: sentences out of small grammars, from seeded dice."""

from __future__ import annotations

import random

_ADVERTS = (
    "{get} {cheap} {thing} {at} {name}{dot}",
    "{who} {cheap} {thing}, {go} {name}{dot} now",
    "{go} my page {name}{dot} for {cheap} {thing}",
)
_TALK = (
    "{who} {see} that {noun} just now",
    "the {noun} {was} {good} today",
    "{who} {think} the {noun} {was} {good}",
    "why {was} the {noun} so {good}",
)
_WORDS = {
    "get": ("get", "grab", "claim", "order"),
    "cheap": ("cheap", "free", "half price", "bonus"),
    "thing": ("viewers", "followers", "coins", "gems", "boosts"),
    "at": ("at", "on", "from", "over at"),
    "go": ("visit", "check", "come to", "look at"),
    "name": ("boostly", "gemdrop", "viewking", "coinrush", "followup", "streamgrow"),
    "dot": (".example", ".test", " dot example"),
    "who": ("you", "we", "they", "all of you", "guys"),
    "see": ("saw", "missed", "liked", "hated"),
    "think": ("think", "guess", "hope", "say"),
    "noun": ("map", "goal", "song", "boss", "jump", "recipe", "cat", "race", "ending"),
    "was": ("was", "looked", "felt", "sounded"),
    "good": ("good", "bad", "slow", "wild", "funny", "strange", "great"),
}


def chatter(count: int, seed: int, spam_share: float = 0.3) -> list[tuple[str, bool]]:
    """Texts and whether each is spam."""
    dice = random.Random(seed)
    out = []
    for _ in range(count):
        spam = dice.random() < spam_share
        words = {key: dice.choice(values) for key, values in _WORDS.items()}
        tail = dice.choice(("", "!", " lol", " :)", " ok", f" {dice.randrange(100)}"))
        out.append((dice.choice(_ADVERTS if spam else _TALK).format(**words) + tail, spam))
    return out
