"""Why, in the viewer's words: a stable reason code and the kind of action become a short text in their language.

A text is three sentences at most: what happened, why, and when to try again. All of it is put together the first
time a language is asked for; after that a message is two look-ups and one joining. Nothing here fails at run time: an
unknown language speaks English, an unknown code names the room's rules, an unknown kind says what a warning says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

from roomguard.engine.reason_texts import LANGUAGES, Language, Unit

Nature = Literal["cause", "decision"]

GENERIC = "rule"
FALLBACK_LANGUAGE = "en"
MAX_OVERRIDE_CHARS = 500
MAX_OVERRIDES = 5_000
MAX_TAGS = 1_024
"""Language tags as viewers send them, resolved once each; further ones are resolved anew each time, which is slower."""
MAX_DURATIONS = 4_096
"""Durations a language keeps in words; further ones are worded anew each time."""

_DECISIONS = frozenset({"canary", "human", "undo", "appeal_accepted", "expired", "fail_mode"})
_GIVES_BACK = frozenset({"release", "unmute", "readmit", "restore", "lift"})
_SAYS_RETRY = frozenset({"kick", "delete", "warn"})
_UNITS: tuple[tuple[int, Unit], ...] = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
_ALIASES = MappingProxyType({"in": "id", "cmn": "zh", "yue": "zh"})
_LONGEST_S = 3_650 * 86_400.0


@attrs.frozen
class Reason:
    """A reason code; `phrase` says it in English.

    A `cause` is what an action answers to, and stays its reason when the action is taken back; a `decision` is a
    reason of its own, also for taking back.
    """

    code: str
    phrase: str
    nature: Nature


@attrs.frozen
class _Text:
    """One finished text. With a duration it is `head + words + tail`; a text that never has one has no `head`."""

    plain: str
    head: str | None
    tail: str


KINDS: tuple[str, ...] = tuple(kind for kind in LANGUAGES[FALLBACK_LANGUAGE].frames if "." not in kind)
"""The kinds of action, and `hold` for a message that waits."""

MODES: tuple[str, ...] = tuple(
    kind.partition(".")[2] for kind in LANGUAGES[FALLBACK_LANGUAGE].frames if kind.startswith("restrict.")
)
"""The room modes that have a sentence of their own."""

REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        code: Reason(code, phrase, "decision" if code in _DECISIONS else "cause")
        for code, phrase in LANGUAGES[FALLBACK_LANGUAGE].reasons.items()
    }
)
"""Every built-in code. Codes are stable: edges and dashboards may tell by them."""

Overrides = Mapping[str, Mapping[str, str]]
"""Key -> language tag -> text. A key is a code (`flood`: the words that stand for the reason) or a kind and a code
(`mute.flood`: the whole message, `{duration}` where the time stands). New codes are welcome."""


def normalise_tag(tag: str) -> str:
    """A language tag in lower case with hyphens: `pt_BR` is `pt-br`."""
    return tag.strip().replace("_", "-").lower()


def split_duration(duration_s: float) -> tuple[int, Unit]:
    """Seconds as a number and a unit people say: whole units as they are, else from two of a unit on, rounded up.

    90 s stays "90 seconds", 150 s becomes "3 minutes": nobody is sent back too early.
    """
    seconds = max(1, math.ceil(min(duration_s, _LONGEST_S)))
    for size, unit in _UNITS:
        if seconds >= 2 * size or seconds == size:
            return -(-seconds // size), unit
    return seconds, "second"


class _Catalogue:
    """All texts of one language tag, overrides included; built once, read often."""

    __slots__ = ("_durations", "_language", "_texts")

    def __init__(self, language: Language, overrides: Mapping[str, str]) -> None:
        self._language = language
        self._durations: dict[float, str] = {}
        phrases = {**language.reasons, **{key: text for key, text in overrides.items() if "." not in key}}
        self._texts: dict[str, dict[str, _Text]] = {
            frame: {code: self._build(frame, code, phrase) for code, phrase in phrases.items()}
            for frame in language.frames
        }
        for key, text in overrides.items():
            kind, dot, code = key.partition(".")
            if dot:
                self._override(kind, code, text)

    def _build(self, frame: str, code: str, phrase: str) -> _Text:
        language = self._language
        kind = frame.partition(".")[0]
        earlier = kind in _GIVES_BACK and code not in _DECISIONS
        why = (language.because_earlier if earlier else language.because).replace("{why}", phrase)
        said = language.space.join((language.frames[frame], why))
        plain = said.replace("{for}", language.for_now)
        if kind in _SAYS_RETRY:
            return _Text(plain, *_cut(language.space.join((said, language.retry))))
        if "{for}" in said:
            return _Text(plain, *_cut(said.replace("{for}", language.for_duration)))
        return _Text(plain, None, "")

    def _override(self, kind: str, code: str, text: str) -> None:
        """Put a whole text in place; one with `{duration}` leaves the built-in text where there is no duration."""
        for frame in (name for name in self._texts if name.partition(".")[0] == kind):
            texts = self._texts[frame]
            plain = (texts.get(code) or texts[GENERIC]).plain
            texts[code] = _Text(plain, *_cut(text)) if "{duration}" in text else _Text(text, None, "")

    def text(self, frame: str, reason: str, duration_s: float | None) -> str:
        """The message; `frame` is a kind or `restrict.MODE`."""
        texts = self._texts.get(frame) or self._texts[frame.partition(".")[0] if "." in frame else "warn"]
        text = texts.get(reason) or texts[GENERIC]
        if duration_s is None or text.head is None:
            return text.plain
        words = self._durations.get(duration_s) or self._word(duration_s)
        return text.head + words + text.tail if words else text.plain

    def _word(self, duration_s: float) -> str:
        """The duration in words; empty for what is no time to wait (0, negative, NaN)."""
        if not duration_s > 0:
            return ""
        words = self._language.duration(*split_duration(duration_s))
        if len(self._durations) < MAX_DURATIONS:
            self._durations[duration_s] = words
        return words

    def for_new_accounts(self, message: str) -> str:
        """The message with the sentence that only new accounts are meant."""
        return self._language.space.join((message, self._language.new_accounts_only))


def _cut(text: str) -> tuple[str, str]:
    head, _, tail = text.partition("{duration}")
    return head, tail


def _check_overrides(_instance: object, _attribute: object, overrides: Overrides) -> None:
    if sum(len(texts) for texts in overrides.values()) > MAX_OVERRIDES:
        raise ValueError(f"more than {MAX_OVERRIDES} texts")
    for key, texts in overrides.items():
        for tag, text in texts.items():
            problem = override_problem(key, tag, text)
            if problem:
                raise ValueError(f"{key}: {tag}: {problem}")


def override_problem(key: str, tag: str, text: str) -> str | None:
    """What is wrong with one text of an operator, in words for them; None if nothing is."""
    kind, dot, code = key.partition(".")
    if not (code if dot else kind):
        return "the reason code is missing"
    if dot and kind not in KINDS:
        return f"{kind!r} is no kind of action; there are {', '.join(KINDS)}"
    if not dot and _base(normalise_tag(tag)) not in LANGUAGES:
        return "a language that is not built in needs whole messages: use KIND.CODE as the key"
    if not text.strip() or len(text) > MAX_OVERRIDE_CHARS:
        return f"a text has 1 to {MAX_OVERRIDE_CHARS} characters"
    if not text.isprintable():
        return "a text is one line without control characters"
    rest = text.replace("{duration}", "", 1) if dot else text
    if "{" in rest or "}" in rest:
        return "braces stand only in {duration}, once, in a whole message (KIND.CODE)"
    return None


def _by_language(overrides: Overrides) -> dict[str, dict[str, str]]:
    own: dict[str, dict[str, str]] = {}
    for key, texts in overrides.items():
        for tag, text in texts.items():
            own.setdefault(normalise_tag(tag), {})[key] = text
    return own


def _base(tag: str) -> str:
    base = tag.partition("-")[0]
    return _ALIASES.get(base, base)


@attrs.frozen(eq=False)
class Reasons:
    """The texts of one configuration: the built-in ones under the operator's.

    Raises ValueError for an override that cannot be used, naming key and language. Catalogues are built on first
    use, one for each built-in language and each language with overrides, so their number is fixed by configuration.
    """

    overrides: Overrides = attrs.field(factory=dict, validator=_check_overrides)
    _catalogues: dict[str, _Catalogue] = attrs.field(factory=dict, init=False, repr=False)
    _by_tag: dict[str | None, _Catalogue] = attrs.field(factory=dict, init=False, repr=False)

    def message(
        self,
        reason: str,
        kind: str,
        lang: str | None,
        duration_s: float | None = None,
        *,
        mode: str | None = None,
        cohort: str | None = None,
    ) -> str:
        """The text for the viewer.

        Args:
            reason: a code of REASONS or of the operator's; any other one reads as the room's rules.
            kind: a kind of action, or `hold`.
            lang: a language tag such as `pt-BR`; None or unknown means English.
            duration_s: seconds that the penalty lasts, or that remain of it; None, 0 or less where it has no end.
            mode: of a `restrict`: which room mode, if known.
            cohort: of a `restrict`: `new_users` adds that only they are meant.
        """
        catalogue = self._by_tag.get(lang) or self._resolve(lang)
        if mode is None and cohort is None:
            return catalogue.text(kind, reason, duration_s)
        text = catalogue.text(kind if mode is None else f"{kind}.{mode}", reason, duration_s)
        return catalogue.for_new_accounts(text) if cohort == "new_users" else text

    def _resolve(self, lang: str | None) -> _Catalogue:
        catalogue = self._catalogue(normalise_tag(lang or FALLBACK_LANGUAGE))
        if len(self._by_tag) < MAX_TAGS:
            self._by_tag[lang] = catalogue
        return catalogue

    def _catalogue(self, wanted: str) -> _Catalogue:
        """The catalogue of the longest tag known: `zh-hant-tw`, `zh-hant`, `zh`, then English."""
        own = _by_language(self.overrides)
        tag = wanted
        while tag not in own and "-" in tag:
            tag = tag.rpartition("-")[0]
        if tag not in own:
            tag = _base(wanted)
        if tag not in own and tag not in LANGUAGES:
            tag = FALLBACK_LANGUAGE
        if tag not in self._catalogues:
            base = _base(tag)
            language = LANGUAGES.get(base, LANGUAGES[FALLBACK_LANGUAGE])
            self._catalogues[tag] = _Catalogue(language, {**own.get(base, {}), **own.get(tag, {})})
        return self._catalogues[tag]


_BUILT_IN = Reasons()


def message(reason: str, kind: str, lang: str | None, duration_s: float | None = None) -> str:
    """`Reasons.message` of the built-in texts alone."""
    return _BUILT_IN.message(reason, kind, lang, duration_s)
