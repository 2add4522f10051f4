"""Facts of single texts."""

from __future__ import annotations

import pytest

from roomguard.engine.text import EMPTY, AdvertCue, Analyser, WordSettings


@pytest.fixture(scope="module", name="analyser")
def _analyser() -> Analyser:
    return Analyser(WordSettings(block=("badword", "free stuff", "grim*"), allow=("grimace",)))


WALLS = [
    ("VERYLOUDVERYLOUDVERYLOUDVERYLOUDVERYLOUD", 0.7),
    ("hey look hey look hey look hey look hey look", 0.7),
    ("WE ARE HEREWE ARE HEREWE ARE HEREWE ARE HERE", 0.6),
    ("aaaaaaaaaaaaaaaaaaaaaaaaa", 0.9),
    ("好好看好好看好好看好好看", 0.6),
]


@pytest.mark.parametrize(("text", "share"), WALLS)
def test_walls_repeat_themselves(analyser: Analyser, text: str, share: float) -> None:
    """A text that says one unit over and over has most of itself in `repeat_share`, with spaces or without."""
    facts = analyser.facts(text)

    assert facts.repeat_share >= share
    assert facts.repeated == int(facts.repeat_share * facts.length)


@pytest.mark.parametrize(
    "text", ["what a lovely evening it is for a stream", "no", "今天的比赛真的很精彩", "ну что, начинаем?"]
)
def test_prose_repeats_nothing(analyser: Analyser, text: str) -> None:
    """An ordinary sentence has no repetition."""
    assert analyser.facts(text).repeat_share < 0.2


@pytest.mark.parametrize(
    "text", [c * 4 for c in ("ㅋㅋㅋㅋ", "哈哈哈哈", "wwwww", "66666", "haha", "5555", "ахахах", "jajaja")]
)
def test_laughter_of_many_scripts(analyser: Analyser, text: str) -> None:
    """Laughing and cheering is known as such in several scripts."""
    assert analyser.facts(text).laughter


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("that is a BADWORD!", "badword"),
        ("that is a b@dw0rd", "badword"),
        ("b a d w o r d", "badword"),
        ("baaaadwooord", "badword"),
        ("bаdwоrd", "badword"),
        ("b\u200bad\u2060word", "badword"),
        ("b\u0336a\u0336d\u0336w\u0336o\u0336r\u0336d\u0336", "badword"),
        ("ｂａｄｗｏｒｄ", "badword"),
        ("𝐛𝐚𝐝𝐰𝐨𝐫𝐝", "badword"),
        ("get free   stuff", "free stuff"),
        ("a grimy place", "grim*"),
        ("a grimace", ""),
        ("badwordy", ""),
        ("nothing here", ""),
    ],
)
def test_blocked_phrases_survive_disguise(analyser: Analyser, text: str, phrase: str) -> None:
    """A blocked phrase is found at word boundaries through case, leet, lookalikes and invisible characters."""
    assert phrase == analyser.facts(text).blocked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see example.com/x now", ("example.com",)),
        ("HTTPS://www.Example.org", ("example.org",)),
        ("visit example dot com", ("example.com",)),
        ("visit example(.)com", ("example.com",)),
        ("visit example . com", ("example.com",)),
        ("visit example .live today", ("example.live",)),
        ("e x a m p l e . c o m", ("example.com",)),
        ("wait...what", ()),
        ("e.g. this", ()),
        ("3.5 or 4.0", ()),
        ("lol.ok", ()),
        ("I am done.Now go", ()),
        ("ok. come on", ()),
        ("yes.in the end", ()),
    ],
)
def test_links(analyser: Analyser, text: str, expected: tuple[str, ...]) -> None:
    """Links are found open and hidden, and a full stop alone makes none."""
    assert expected == analyser.facts(text).domains


def test_allowed_and_blocked_domains() -> None:
    """An allowed domain and what is below it are no links; a blocked one is named."""
    analyser = Analyser(WordSettings(allow_domains=("good.com",), block_domains=("evil.net",)))

    assert 0 == analyser.facts("clips.good.com/a").links
    assert "a.evil.net" == analyser.facts("see http://a.evil.net/x").blocked_domain


@pytest.mark.parametrize(
    "text", ["discord.gg/abcdef", "https://t.me/somewhere", "wa.me/123456", "https://discord.com/invite/x1"]
)
def test_invites(analyser: Analyser, text: str) -> None:
    """Links into other chats are invites."""
    assert analyser.facts(text).invites == 1


def test_operator_cues() -> None:
    """An operator's own cue scores its points."""
    analyser = Analyser(WordSettings(adverts=(AdvertCue("magic beans", points=4),)))

    assert 4 == analyser.facts("finest Magic   BEANS here").advert


def test_skeleton_ignores_dress(analyser: Analyser) -> None:
    """Case, punctuation, spacing, stretching and invisible characters do not change a skeleton."""
    plain = analyser.facts("look at this").skeleton

    assert {plain} == {
        analyser.facts(text).skeleton
        for text in ("LOOK at  this!!", "look\u200b at this", "look at thiiiis .", "lооk at this")
    }


def test_near_skeleton_ignores_order_count_and_noise(analyser: Analyser) -> None:
    """Copies that differ in order, repetition, numbers or a random tail share a near skeleton."""
    texts = (
        "vote green party vote green party",
        "party green vote",
        "vote green party 5182",
        "vote green party xkqtrzp",
    )

    assert len({analyser.facts(text).near_skeleton for text in texts}) == 1


def test_memo_changes_nothing() -> None:
    """A text judged again after the memo has turned over has the same facts."""
    analyser = Analyser(WordSettings(cache_texts=16))
    first = analyser.facts("hello hello hello hello")
    for index in range(100):
        analyser.facts(f"text {index}")

    assert first == analyser.facts("hello hello hello hello")
    assert first is not analyser.facts("hello hello hello hello", emotes=("hello",))


def test_empty() -> None:
    """No text has no facts."""
    assert EMPTY == Analyser(WordSettings()).facts("")
