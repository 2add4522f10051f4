"""What a text says: facts of new and of remembered texts, and how little the number of phrases matters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from loadtest.bench.stages.stage import Stage
from loadtest.bench.stages.work import Traffic, looped, texts
from loadtest.bench.yardsticks.rules import TunedRules, phrases
from roomguard.engine.text.analyser import Analyser
from roomguard.engine.text.settings import WordSettings

TEXTS = 4_000
SHIPPED = WordSettings()


def _new(words: WordSettings, given: Sequence[str]) -> Callable[[], object]:
    """An analyser that has seen nothing yet."""
    return looped(Analyser(words).facts, given)


def _known(given: Sequence[str]) -> Callable[[], object]:
    """One that remembers those it can: it has seen all of them twice."""
    analyser = Analyser(SHIPPED)
    for text in (*given, *given):
        analyser.facts(text)
    return looped(analyser.facts, given)


def _near(given: Sequence[str]) -> Callable[[], object]:
    """What rules on copies ask for, of facts made before."""
    analyser = Analyser(SHIPPED)
    facts = [analyser.facts(text) for text in given]

    def work() -> None:
        for one in facts:
            one.skeleton  # noqa: B018 - worked out when it is asked for
            one.near_skeleton  # noqa: B018

    return work


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def stages(traffic: Traffic) -> list[Stage]:
    """Facts by script, and phrases by number; of as many texts as a quarter of the traffic has events."""
    count = min(TEXTS, len(traffic) // 4)
    out = []
    both = []
    for name, plain in (("ascii", True), ("other", False)):
        given = texts(count, plain=plain)
        both += given
        out += [
            Stage(
                f"fold_floor_{name}", f"lower case or NFKC and nothing else, {name}", count,
                lambda given=given: looped(_folded, given), "us/text",  # type: ignore[misc]
            ),
            Stage(
                f"facts_new_{name}", f"facts of texts never seen, {name}", count,
                lambda given=given: _new(SHIPPED, given), "us/text", beside=f"fold_floor_{name}",  # type: ignore[misc]
            ),
            Stage(
                f"facts_near_{name}", f"their two skeletons on top, {name}", count,
                lambda given=given: _near(given), "us/text", beside=f"fold_floor_{name}",  # type: ignore[misc]
            ),
            Stage(
                f"facts_known_{name}", f"facts of remembered texts, {name}", count,
                lambda given=given: _known(given), "us/text",  # type: ignore[misc]
            ),
        ]  # fmt: skip
    few, many = (WordSettings(block=tuple(phrases(number))) for number in (20, 2_000))
    out += [
        Stage("phrases_y1", "2,000 phrases, links, capitals: Y1 tuned", len(both), _yardstick(both), "us/text"),
        Stage("phrases_20", "facts of new texts, 20 blocked phrases", len(both), lambda: _new(few, both), "us/text"),
        Stage(
            "phrases_2000", "facts of new texts, 2,000 blocked phrases", len(both), lambda: _new(many, both),
            "us/text", beside="phrases_20", most_ratio=1.5,
        ),
    ]  # fmt: skip
    return out


def _yardstick(given: Sequence[str]) -> Callable[[], Callable[[], object]]:
    return lambda: looped(TunedRules().text, given)
