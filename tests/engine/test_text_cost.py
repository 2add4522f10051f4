"""What a text may cost the whole engine: no more than a hundred usual ones, by the rules that are shipped.

That holds for texts known to be dear, for mixtures of them, and for what a search breeds that is told the cost of
everything it tries. Times are CPU times of this process, each the
least of several, and only ever compared with those of usual texts of the same run: a busy machine adds to a time and
takes nothing away. `--log-cli-level=INFO` shows the dearest texts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from time import process_time_ns

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.engine.text.cues import BUILTIN
from roomguard.engine.text.near import near_of
from roomguard.testing import START, chat
from tests.engine.text.test_cost import HOSTILE, N

log = logging.getLogger(__name__)
LIMIT = 100
SHIPPED = Path(__file__).resolve().parent.parent.parent / "config.toml"
PROGRAM = configure(SHIPPED).program
USUAL = (
    "gg", "nice one", "lol", "W", "first time here, love the stream", "what a shot!!", "no way he did that :D",
    "why does he play that again", "that was a really close one", "hello from the north", "what a lovely day, thanks",
    "can you play the old song again please", "when is the next one?", "he is so lucky today", "привет всем", "你好",
    "LUL LUL LUL", "good morning everybody", "is this the final or the semi final", "i missed it, what happened",
    "two more and we have it", "@anna did you see that", "haha same", "rip", "who is singing this?",
)  # fmt: skip
_CUES = [cue.strip("* ") for kind in BUILTIN for cue in re.split(r"[;\n]", kind.phrases) if cue.strip("* ")]
_SHUFFLED = Random(3).sample(_CUES, len(_CUES))
SIGNS = (
    "ab1-_. @:/!$()[],*3457|+#£&?%~;<>{}\\\"'`ABZ\n\t\u00a0\u0131\u017fп\u043eяжД\u03b1β你担か가\uff21Ⅷ⁗©👉😀"
    "\u0130\u0301\u0334\u093c\u3099\u200d\ufe0f\ufdfa\u3316\ufb2c\u1100\u1161\U0001d538\U0001d162\U000e0041"
)
"""Characters each of which is work of its own."""
PIECES = (
    "com", ".com", " dot ", "(.)", "http", "://", "www.", "discord.gg/", ". com", "x.io ", "@", "#1234", "$abcd", "0x",
    "+1 555 ", "bc1", "f r e e ", "fr33 m0ney ", "coooome watch meee ", "p\u0440ив\u0435т ", ":abc:", ":a:", "担保",
    "@anna ", "1 2 3 4 5 ",
)  # fmt: skip


def bred_kind(dice: Random, half: int = 192) -> str:
    """A text as a search breeds them: both ends that are folded are all sorts of letters, marks and cues together."""
    odd = dice.sample(SIGNS, 12)
    ends = []
    for _ in range(2):
        mixed = "".join(dice.choice(odd) + dice.choice([*odd, "", "", dice.choice(_CUES)]) for _ in range(half))
        fancy = "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in dice.choice(_CUES))
        ends.append((fancy + dice.choice(odd) + mixed)[:half])
    return ends[0] + "".join(f":a{at:x}:{dice.choice(PIECES)}" for at in range(N))[: N - 2 * half] + ends[1]


DEAR = {
    **HOSTILE,
    "every cue": " ".join(_SHUFFLED),
    "every cue, stretched": re.sub("[oeuaы]", r"\g<0>" * 4, " ".join(_SHUFFLED)),
    "every cue, letters apart": " ".join("".join(_SHUFFLED)),
    "every cue, emoji between": "😀".join("".join(_SHUFFLED)),
    "every cue, leet": " ".join(_SHUFFLED).translate(str.maketrans("oeiast", "03145$")),
    "every cue, fancy": "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in " ".join(_SHUFFLED)),
    "spaced letters": "f r e e  c o i n s " * 110,
    "dots": "." * N,
    "dotted words": "a.b." * 500,
    "words with dot": "abc dot com " * 160,
    "names called": "@ab " * 500,
    "shortcodes half done": ":abc" * 500,
    "shortcodes of one letter": ":a:" * 600,
    "one letter, one mark": "a\u0301" * 1_000,
    "growing between letters": "a\ufdfab" * 666,
    "growing leet": "4\ufdfa0" * 666,
    "growing words": "\ufdfa " * 1_000,
    "growing squares": "\u3316" * N,
    "growing notes": "\U0001d162" * N,
    "marks seldom seen": "".join(map(chr, (0x18A9, 0x0F39, 0x0EB8, 0x08F2, 0x1CD4))) * 400,
    "marks out of order": "".join(map(chr, (0x18A9, 0x0F39, 0x0EB8, 0x08F2, 0x1CD4))) * 5 + "a" * 1_000,
    "hyphens before an ending": "3-" * 990 + " com (",
    "bangs before a word": "!" * 511 + "x",
    "signs before a letter": "3" + "@" * 500 + "b",
    "letters apart before a dot": "b " * 195 + "dot",
    "a letter among letters": "\u0431 a " * 500,
    "ends at full stops": "com. net. " * 200,
    "phone numbers": "+1 555 123 4567 " * 125,
    "wallets": "0x" + "ab12" * 500,
    "account numbers": "DE89 3704 0044 0532 0130 00 " * 72,
    "mixed and apart": "п \u0440 и v \u0435 t " * 166,
    "endings behind gaps": "is .me " * 285,
    "names in paths": "a.b/c.io " * 222,
    "digits nearly a number": "1 2 3 4 5 6 7 8 x " * 111,
    "emoji among growing": "😀\u200d\ufdfaa" * 500,
    **{f"bred {seed}": bred_kind(Random(seed)) for seed in range(24)},
}
REPEATS = 7
_room = RoomGuard("r1", PROGRAM)
_numbers = iter(range(10**9))


def judging(text: str) -> int:
    """CPU nanoseconds to work out every fact of a text that no memo knows."""
    least = 10**12
    for _ in range(REPEATS):
        begin = process_time_ns()
        PROGRAM.analyser.judge(text).as_dict()
        least = min(least, process_time_ns() - begin)
    return least


def receiving(text: str) -> int:
    """CPU nanoseconds for a room to take a text from somebody it did not know, a while after the last one."""
    least = 10**12
    for _ in range(REPEATS):
        number = next(_numbers)
        PROGRAM.analyser._young.clear()
        PROGRAM.analyser._old.clear()
        near_of.cache_clear()
        event, at = chat(f"u{number}", text, number * 20, id=f"e{number}"), START + number * 20
        begin = process_time_ns()
        _room.receive(event, at)
        least = min(least, process_time_ns() - begin)
    return least


def times_usual(measure: Callable[[str], int], text: str, limit: float = LIMIT) -> float:
    """How many median texts this one costs: the least of up to four rounds, no more once it keeps to its limit."""
    least = 1e9
    for _ in range(4):
        usual = median(map(measure, USUAL))
        least = min(least, measure(text) / usual)
        if least <= limit:
            break
    return least


MEASURES = (judging, receiving)


@pytest.mark.parametrize("measure", MEASURES)
def test_no_dear_text_costs_more_than_a_hundred(measure: Callable[[str], int]) -> None:
    """Two thousand code points of anything cost at most 100 times the median text, in the analyser and in a room."""
    costs = {name: times_usual(measure, text[:N]) for name, text in DEAR.items()}
    dearest = sorted(costs, key=costs.__getitem__, reverse=True)
    log.info("%s: %s", measure.__name__, {name: round(costs[name], 1) for name in dearest[:5]})

    assert {} == {name: cost for name, cost in costs.items() if cost > LIMIT}


motifs = st.text(st.sampled_from(SIGNS), min_size=1, max_size=4)
pieces = st.one_of(
    st.builds(lambda motif, size: (motif * size)[:size], motifs, st.integers(1, N)),
    st.sampled_from(sorted(DEAR.values())).flatmap(
        lambda text: st.tuples(st.integers(0, 300), st.integers(1, 500)).map(lambda cut: text[cut[0] : sum(cut)])
    ),
    st.text(max_size=60),
    st.sampled_from(_CUES),
    st.sampled_from(PIECES),
    st.integers(0, 2**16).map(lambda seed: bred_kind(Random(seed))[:600]),
)


@pytest.mark.parametrize("measure", MEASURES)
@given(parts=st.lists(pieces, min_size=1, max_size=9), joint=st.sampled_from(["", " ", ".", "\u0301", "😀"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_mixture_costs_more(measure: Callable[[str], int], parts: list[str], joint: str) -> None:
    """What is put together from them, or any text at all, costs no more than that either."""
    assert times_usual(measure, joint.join(parts)[:N]) <= LIMIT


@pytest.mark.parametrize("planes", [(0x10000, 0x10FFFF), (0x1D000, 0x1FBFF), (0x2000, 0xD7FF)])
def test_characters_never_seen_cost_no_more(planes: tuple[int, int]) -> None:
    """Nothing that is remembered of characters makes a text of new ones dear."""
    dice = Random(planes[0])
    usual = median(map(judging, USUAL))
    costs = []
    for _ in range(20):
        text = "".join(chr(dice.randint(*planes)) for _ in range(N))
        begin = process_time_ns()
        PROGRAM.analyser.judge(text).as_dict()
        costs.append((process_time_ns() - begin) / usual)
    log.info("new characters of %x to %x: %.1f", *planes, min(costs))

    assert min(costs) <= LIMIT


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("length", "limit"), [(30, 30), (120, 60)])
def test_shorter_texts_cost_less(measure: Callable[[str], int], length: int, limit: int) -> None:
    """What is dear is dear by its length: a text as short as most are costs no more than a few of them."""
    costs = {name: times_usual(measure, text[:length], limit) for name, text in DEAR.items()}
    dearest = max(costs, key=costs.__getitem__)
    log.info("%s, %d code points: %.1f for %s", measure.__name__, length, costs[dearest], dearest)

    assert {} == {name: cost for name, cost in costs.items() if cost > limit}


def bred(dice: Random, good: list[str], others: list[str]) -> str:
    """A text put together from one that was dear and another, or from one and a little of anything."""
    one, other = dice.choice(good), dice.choice(others)
    begin, end = sorted(dice.choices(range(len(one) + 1), k=2))
    first, last = sorted(dice.choices(range(len(other) + 1), k=2))
    motif = dice.choice([dice.choice(PIECES), "".join(dice.choices(SIGNS, k=3))])
    way = dice.randrange(7)
    if way == 0:
        return one[:begin] + other[first:last] + one[end:]
    if way == 1:
        return "".join(a + b for a, b in zip(one, other, strict=False))
    if way == 2:
        return one[:256] + other[256:-256] + one[-256:]
    if way == 3:
        return one[:begin] + motif * ((end - begin) // len(motif)) + one[end:]
    if way == 4:
        return one.replace(dice.choice(SIGNS), motif)
    if way == 5:
        return one[:begin] + motif + one[begin:]
    return " ".join(one[at : at + dice.randrange(1, 40)] for at in range(0, len(one), 40))


def found_dear(dice: Random, measure: Callable[[str], int], length: int, tries: int) -> list[str]:
    """The dearest texts of a search of so many tries, which begins with those known."""
    global REPEATS  # noqa: PLW0603 - what a text costs is only asked here to choose, and asked again of what is chosen
    usual = median(map(measure, USUAL))
    REPEATS, repeats = 2, REPEATS
    try:
        known = [text[:length] for text in DEAR.values()]
        dearest = sorted(((measure(text) / usual, text) for text in known), reverse=True)[:30]
        for _ in range(tries):
            good = [text for _, text in dearest[: 1 + dice.randrange(len(dearest))]]
            text = bred(dice, good, known if dice.random() < 0.4 else good)[:length]
            text += good[0][len(text) : length]
            cost = measure(text) / usual
            if cost > dearest[-1][0] and all(text != other for _, other in dearest):
                dearest = sorted([*dearest[:-1], (min(cost, measure(text) / usual), text)], reverse=True)
    finally:
        REPEATS = repeats
    return [text for _, text in dearest[:5]]


@pytest.mark.parametrize(("length", "tries"), [(180, 600), (384, 600), (N, 4_000)])
@pytest.mark.parametrize("measure", MEASURES)
def test_what_a_search_finds(measure: Callable[[str], int], length: int, tries: int) -> None:
    """Texts bred for their cost cost no more either, at lengths up to which more is tried and beyond."""
    # Chosen for their times, these are the ones that were measured too high: measured again.
    found = found_dear(Random(length), measure, length, tries)
    worst = max((times_usual(measure, text), text) for text in found)
    log.info("%s, %d code points: %.1f for %r", measure.__name__, length, *worst)

    assert worst[0] <= LIMIT
