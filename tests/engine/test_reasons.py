"""Reason texts: complete in every language, honest about time, and never failing at run time."""

from __future__ import annotations

import itertools
import re
import time
import unicodedata

import pytest

from roomguard.engine import reasons
from roomguard.engine.reason_texts import LANGUAGES
from roomguard.engine.reasons import KINDS, MODES, REASONS, Reasons, message, override_problem, split_duration

TIMED = ("mute", "kick", "delete", "warn", "restrict")
UNTIMED = ("release", "unmute", "readmit", "restore", "lift", "hold")
EXPECTED_CODES = {
    "flood",
    "duplicate",
    "near_duplicate",
    "copy_wave",
    "wall",
    "link",
    "invite",
    "advert",
    "blocked_word",
    "mentions",
    "emoji",
    "caps",
    "symbols",
    "combining",
    "invisible",
    "join_churn",
    "follow_churn",
    "join_wave",
    "gift_abuse",
    "like_abuse",
    "bot_timing",
    "shared_device",
    "reports",
    "raid",
    "slow_mode",
    "canary",
    "human",
    "undo",
    "appeal_accepted",
    "expired",
    "hold",
    "rule",
}
EXPECTED_LANGUAGES = {"en", "es", "pt", "de", "fr", "ar", "hi", "id", "ja", "ko", "ru", "tr", "vi", "zh"}

SCRIPTS = {
    "ar": "ARABIC",
    "hi": "DEVANAGARI",
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "ko": "HANGUL",
    "ru": "CYRILLIC",
    "zh": "CJK",
}


def share_of_script(text: str, script: str | tuple[str, ...]) -> float:
    letters = [char for char in text if unicodedata.category(char).startswith("L")]
    return sum(unicodedata.name(char, "").startswith(script) for char in letters) / max(1, len(letters))


def test_the_agreed_codes_kinds_and_languages_are_there() -> None:
    """Codes, kinds and languages are a promise to edges and dashboards."""
    assert set(REASONS) >= EXPECTED_CODES
    assert set(TIMED) | set(UNTIMED) == set(KINDS)
    assert set(LANGUAGES) == EXPECTED_LANGUAGES


@pytest.mark.parametrize("tag", sorted(EXPECTED_LANGUAGES))
def test_a_language_says_all_that_english_says(tag: str) -> None:
    """Every language has the same frames and codes, with the same placeholders."""
    english, language = LANGUAGES["en"], LANGUAGES[tag]

    assert list(language.frames) == list(english.frames)
    assert list(language.reasons) == list(english.reasons)
    for frame in english.frames:
        assert ("{for}" in language.frames[frame]) == ("{for}" in english.frames[frame]), frame
    assert all("{duration}" in text for text in (language.for_duration, language.retry))
    assert all("{why}" in text for text in (language.because, language.because_earlier))


@pytest.mark.parametrize("tag", sorted(EXPECTED_LANGUAGES))
def test_every_code_and_kind_gives_a_clean_text(tag: str) -> None:
    """Whatever happened and why: one readable line, no placeholder left, no doubled space or full stop."""
    for code, kind, duration in itertools.product([*REASONS, "never_heard_of"], KINDS, (None, 600.0)):
        text = message(code, kind, tag, duration)

        assert text == text.strip()
        assert len(text) >= 10
        assert len(text) <= 250
        assert text.isprintable()
        assert not re.search(r"[{}]|  |\.\.|。。|।।", text), text
        assert text[-1] in ".。।", text
        assert ("10" in text) == (duration is not None and kind in TIMED), text


@pytest.mark.parametrize(("tag", "script"), sorted(SCRIPTS.items()))
def test_a_language_is_written_in_its_script(tag: str, script: str | tuple[str, ...]) -> None:
    """A text in the wrong column would be caught: its letters are of another script."""
    language = LANGUAGES[tag]
    for text in [*language.frames.values(), language.because, language.retry, language.new_accounts_only]:
        bare = re.sub(r"\{\w+\}", "", text)
        assert share_of_script(bare, script) >= 0.9, text
    joined = "".join(language.reasons.values())
    assert share_of_script(joined, script) >= 0.95


def test_no_two_languages_share_a_text() -> None:
    """A sentence copied from one language into another is a slip; neighbours share words, not frames."""
    seen: dict[str, str] = {}
    for tag, language in LANGUAGES.items():
        for text in language.frames.values():
            assert seen.setdefault(text, tag) == tag, text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, (1, "second")),
        (1, (1, "second")),
        (5, (5, "second")),
        (59.5, (1, "minute")),
        (60, (1, "minute")),
        (61, (61, "second")),
        (90, (90, "second")),
        (119.01, (2, "minute")),
        (121, (3, "minute")),
        (600, (10, "minute")),
        (3600, (1, "hour")),
        (3601, (61, "minute")),
        (7200, (2, "hour")),
        (7201, (3, "hour")),
        (86_400, (1, "day")),
        (100_000, (28, "hour")),
        (172_800, (2, "day")),
        (1e300, (3650, "day")),
    ],
)
def test_durations_are_rounded_up_to_what_people_say(seconds: float, expected: tuple[int, str]) -> None:
    """Nobody is told to come back before the penalty ends, nor to count 4,000 seconds."""
    assert split_duration(seconds) == expected


@pytest.mark.parametrize(
    ("tag", "seconds", "words"),
    [
        ("en", 1, "for 1 second."),
        ("en", 600, "for 10 minutes."),
        ("en", 3600, "for 1 hour."),
        ("es", 3600, "durante 1 hora."),
        ("es", 7200, "durante 2 horas."),
        ("pt", 172_800, "durante 2 dias."),
        ("de", 60, "für 1 Minute "),
        ("de", 172_800, "für 2 Tage "),
        ("fr", 600, "pendant 10 minutes."),
        ("ar", 1, "لمدة ثانية واحدة."),
        ("ar", 120, "لمدة دقيقتين."),
        ("ar", 180, "لمدة 3 دقائق."),
        ("ar", 660, "لمدة 11 دقيقة."),
        ("ar", 172_800, "لمدة يومين."),
        ("hi", 3600, "1 घंटे तक "),
        ("id", 600, "selama 10 menit."),
        ("ja", 600, "これから10分間、"),
        ("ja", 7200, "これから2時間、"),
        ("ko", 600, " 10분 동안 "),
        ("ru", 60, "ещё 1 минуту "),
        ("ru", 120, "ещё 2 минуты "),
        ("ru", 300, "ещё 5 минут "),
        ("ru", 660, "ещё 11 минут "),
        ("ru", 21 * 60, "ещё 21 минуту "),
        ("ru", 22 * 60, "ещё 22 минуты "),
        ("ru", 112 * 60, "ещё 112 минут "),
        ("tr", 600, " 10 dakika boyunca "),
        ("vi", 600, "trong 10 phút."),
        ("zh", 600, "在接下来的 10 分钟内"),
    ],
)
def test_a_duration_follows_the_plural_of_its_language(tag: str, seconds: float, words: str) -> None:
    """Numbers stand with the right form of the unit."""
    assert words in message("flood", "mute", tag, seconds)


@pytest.mark.parametrize("seconds", [None, 0, -5, float("nan")])
def test_a_penalty_without_an_end_names_no_time(seconds: float | None) -> None:
    """What is no time to wait is left out, not shown."""
    assert message("flood", "mute", "en", seconds) == (
        "You cannot chat in this room for now. Reason: too many messages in a short time."
    )


@pytest.mark.parametrize(
    ("tag", "like"),
    [
        ("pt-BR", "pt"),
        ("pt_BR", "pt"),
        ("zh-Hant", "zh"),
        ("zh-Hant-TW", "zh"),
        ("EN-gb", "en"),
        ("in", "id"),
        ("xx", "en"),
        ("", "en"),
        (None, "en"),
        ("-", "en"),
        ("ar-", "ar"),
        ("\x00" * 35, "en"),
    ],
)
def test_a_tag_falls_back_to_its_base_then_to_english(tag: str | None, like: str) -> None:
    """Viewers are spoken to in the nearest language there is."""
    assert message("link", "kick", tag, 90) == message("link", "kick", like, 90)


def test_what_is_unknown_still_gets_a_text() -> None:
    """A rule may name any code; a newer engine may know more kinds."""
    assert message("no_such_code", "mute", "en", 5) == message("rule", "mute", "en", 5)
    assert message("flood", "teleport", "en") == message("flood", "warn", "en")
    assert Reasons().message("raid", "restrict", "en", mode="sideways") == message("raid", "restrict", "en")


def test_a_released_message_is_told_why_it_was_held() -> None:
    """What led to a hold is an earlier reason by the time the message is shown."""
    assert message("hold", "release", "en") == (
        "Your message is visible now. The earlier reason was: the message has to be checked first."
    )
    assert "could not be finished" in message("fail_mode", "release", "en")
    assert "earlier" not in message("fail_mode", "release", "en")


def test_taking_back_names_the_earlier_reason() -> None:
    """A viewer who may chat again must not read it as a new reproach."""
    assert message("flood", "unmute", "en") == (
        "You can chat in this room again. The earlier reason was: too many messages in a short time."
    )
    assert message("appeal_accepted", "unmute", "en") == (
        "You can chat in this room again. Reason: the appeal was accepted."
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_room_mode_has_its_own_sentence(mode: str) -> None:
    """Slow mode is not a closed chat, and the viewer is told which."""
    texts = Reasons()
    for tag in LANGUAGES:
        text = texts.message("raid", "restrict", tag, 600, mode=mode)

        assert text != message("raid", "restrict", tag, 600)
        assert "10" in text
        assert texts.message("raid", "restrict", tag, 600, mode=mode, cohort="new_users").startswith(text)
        assert texts.message("raid", "restrict", tag, 600, mode=mode, cohort="all") == text


def test_an_operator_may_change_words_sentences_and_add_codes() -> None:
    """Overrides win over the built-in texts, the nearest tag first; other languages keep theirs."""
    texts = Reasons(
        {
            "flood": {"en": "slow down a little", "en-GB": "do slow down"},
            "politics": {"en": "no politics here"},
            "mute.flood": {"de": "Kurze Pause: {duration}.", "pl": "Zwolnij. Wróć za {duration}."},
            "kick.link": {"en": "Bye."},
        }
    )

    assert (
        texts.message("flood", "mute", "en", 5)
        == "You cannot chat in this room for 5 seconds. Reason: slow down a little."
    )
    assert "do slow down" in texts.message("flood", "mute", "en-gb", 5)
    assert "slow down a little" in texts.message("flood", "mute", "en-US", 5)
    assert "no politics here" in texts.message("politics", "delete", "en")
    assert texts.message("politics", "delete", "fr") == message("rule", "delete", "fr")
    assert texts.message("flood", "mute", "de-AT", 5) == "Kurze Pause: 5 Sekunden."
    assert texts.message("flood", "mute", "de", None) == message("flood", "mute", "de", None)
    assert texts.message("flood", "mute", "pl", 5) == "Zwolnij. Wróć za 5 seconds."
    assert texts.message("link", "mute", "pl", 5) == message("link", "mute", "en", 5)
    assert texts.message("link", "kick", "en", 5) == "Bye."
    assert texts.message("flood", "mute", "fr", 5) == message("flood", "mute", "fr", 5)


@pytest.mark.parametrize(
    ("key", "tag", "text", "problem"),
    [
        ("flood", "en", "", "1 to 500"),
        ("flood", "en", " ", "1 to 500"),
        ("flood", "en", "x" * 501, "1 to 500"),
        ("flood", "en", "a\nb", "control"),
        ("flood", "en", "wait {duration}", "braces"),
        ("mute.flood", "en", "{duration} {duration}", "braces"),
        ("mute.flood", "en", "wait {minutes}", "braces"),
        ("ban.flood", "en", "gone", "no kind of action"),
        ("mute.", "en", "gone", "code is missing"),
        ("", "en", "gone", "code is missing"),
        ("flood", "pl", "za szybko", "whole messages"),
    ],
)
def test_an_override_that_cannot_work_is_refused_when_read(key: str, tag: str, text: str, problem: str) -> None:
    """A wrong text is the operator's to mend at load, never a viewer's to read."""
    assert problem in (override_problem(key, tag, text) or "")
    with pytest.raises(ValueError, match=re.escape(f"{key}: {tag}: ")):
        Reasons({key: {tag: text}})


def test_the_number_of_overrides_is_bounded() -> None:
    """More texts than a person could maintain are a mistake."""
    with pytest.raises(ValueError, match="more than"):
        Reasons({"flood": {f"en-{number}": "slow down" for number in range(reasons.MAX_OVERRIDES + 1)}})


def test_viewers_cannot_fill_the_memory_with_tags_and_times() -> None:
    """Caches stop growing at their bound, and what is beyond it reads the same."""
    texts = Reasons()
    for number in range(reasons.MAX_TAGS + reasons.MAX_DURATIONS + 50):
        texts.message("flood", "mute", f"de-{number}", float(number + 1))

    assert len(texts._by_tag) == reasons.MAX_TAGS
    assert len(texts._catalogues) == 1
    assert len(texts._catalogues["de"]._durations) == reasons.MAX_DURATIONS
    assert texts.message("flood", "mute", "de-x", 9_999_999.0) == message("flood", "mute", "de", 9_999_999.0)


def test_a_message_is_cheap() -> None:
    """About 2 us on a quiet machine; the bound here only catches work that does not belong at run time."""
    texts = Reasons()
    texts.message("flood", "mute", "pt-BR", 600.0)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for number in range(2_000):
            texts.message("flood", "mute", "pt-BR", float(number + 1))
        best = min(best, (time.perf_counter() - start) / 2_000)

    assert best < 20e-6
