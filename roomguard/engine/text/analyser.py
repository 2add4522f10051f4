"""Facts of texts, cheap ones first.

A usual text (a few words, nothing about them can trip) is done after one pass of the automaton; what costs more is asked
only of texts in which it can be found. No text costs more than about a hundred usual ones: every step is linear, over at
most 512 folded or 2,000 raw code points.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from roomguard.engine.text import fold, shape
from roomguard.engine.text.confusables import CYRILLIC_TO_LATIN
from roomguard.engine.text.facts import Facts
from roomguard.engine.text.links import NONE, LinkFinder, may_link
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.text.words import NO_SCORES, Scores, WordLists

_UPPER = bytes(range(65, 91))
_LOWER = bytes(range(97, 123))
_MAX_EMOTES = 64
_DIGITS = bytes(range(48, 58))
_shortcode = re.compile(r":[a-z][a-z0-9_+\-]{2,40}:")
_mention = re.compile(r"(?<![\w.])@[\w\-]{2,}")
_mail = re.compile(r"(?<![\w.+\-])[\w.+\-]{2,64}@[\w\-]{2,63}(?:\.[\w\-]{2,63}){1,3}")
_phone = re.compile(r"(?<![\w.])\+?\d(?:[\s().\-]{0,2}\d){8,14}(?!\w)")
_wallet = re.compile(r"(?<!\w)(?:bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34}|T[1-9A-HJ-NP-Za-km-z]{33})(?!\w)")
_tag = re.compile(r"(?<![\w.])[\w.]{2,32}#\d{4}(?!\d)|(?<!\w)[$£][A-Za-z][\w\-]{3,20}(?!\w)")
_pointed = re.compile(r"(?:👉|➡️?|👇|📲|📩|🔗)\s{0,2}[@\w]")
_han = re.compile("[\u4e00-\u9fff]")
_account = re.compile(r"(?<![0-9A-Za-z])(?:\d{7,12}|[A-Za-z]{2,8}\d{3,8}|\d{4,6} \d{4,6})(?![0-9A-Za-z])")
_PLAIN_LENGTH = 90
_DISGUISED = 300
"""Longest text in which emoji are tried as spaces: adverts are short, and each try folds the text again."""
_PHONE = 9
_PROSE_SHARE = 0.3
_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,?!'-:;~*\""
_NOISE = frozenset("a an and at be but for i in is it its me my of on or so the this to u ur you your".split())
_NEAR_WORDS = 6
_cap = re.compile(r"[^\W\d_]")
_digit = re.compile(r"\d")
_consonants = re.compile("[^aeiouy ]{5}")
_vowel = re.compile("[aeiouyаеёиоуыэюя]|[^\x00-\x7fа-я]")


class Analyser:
    """Facts of texts under one `WordSettings`, remembered by text.

    The memo holds two generations of at most `settings.cache_texts` texts: when the younger is full it becomes the older
    and the oldest texts are forgotten. It changes cost, never facts. Texts over 200 code points are not remembered by
    their number alone: they count like the others, so the memo stays below 4 x `cache_texts` x 2,000 code points.
    """

    def __init__(self, settings: WordSettings) -> None:
        """Raises `re2.error` for a pattern that RE2 does not take."""
        self._words = WordLists(settings)
        self._links = LinkFinder(
            frozenset(domain.lower().removeprefix("www.") for domain in settings.allow_domains),
            frozenset(domain.lower().removeprefix("www.") for domain in settings.block_domains),
        )
        self._capacity = settings.cache_texts
        self._young: dict[object, Facts] = {}
        self._old: dict[object, Facts] = {}

    def facts(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """The facts of `text`, of which the first 2,000 code points are judged; `emotes` are the names of emotes in it."""
        key: object = (text, *emotes) if emotes else text
        known = self._young.get(key)
        if known is not None:
            return known
        known = self._old.get(key)
        if known is None:
            known = self.judge(text, emotes)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[key] = known
        return known

    def judge(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """`facts` without the memo."""
        if len(text) > fold.MAX_LENGTH:
            text = text[: fold.MAX_LENGTH]
        if text.count(":") > 1:
            named = _shortcode.findall(text)
            if named:
                return self._judge_rest(text, named, emotes)
        if text.isascii():
            return self._judge_ascii(text, emotes)
        return self._judge_unicode(text, emotes)

    def _judge_rest(self, text: str, named: list[str], emotes: Sequence[str]) -> Facts:
        """A text with `:name:` pictures in it: they are counted, and the rest is judged without them."""
        rest = _shortcode.sub(" ", text).strip()
        names = (*emotes, *named)
        if rest:
            judged = self._judge_ascii(rest, names) if rest.isascii() else self._judge_unicode(rest, names)
            return msgspec.structs.replace(judged, length=len(rest) + len(named))
        picture = " ".join(sorted(set(named)))
        return Facts(length=len(named), skeleton=picture, near_skeleton=picture, emotes=len(names))

    def _judge_ascii(self, text: str, emotes: Sequence[str]) -> Facts:
        length = len(text)
        part = text if length <= fold.MAX_FOLDED else fold.sample(text)
        data = part.encode()
        words = fold.ascii_words(data)
        if not words:
            return self._judge_signs(text, part, length, emotes)
        joined = "".join(words)
        letters = len(joined)
        digits = 0
        if not joined.isalpha():
            digits = letters - len(joined.encode().translate(None, _DIGITS))
            letters -= digits
        body = " ".join(words)
        runs, phrases = self._words.triggers(f" {body} ")
        caps = 0.0
        if letters and not part.islower():
            caps = _caps_ratio(data, letters, emotes)
        signs = len(part) - letters - digits - part.count(" ")
        if not (runs or phrases or emotes or self._words.has_patterns) and length <= _PLAIN_LENGTH and digits < _PHONE:
            facts = _plain_facts(data, part, words, body, letters, caps, signs, digits)
            if facts is not None:
                return facts
        return self._finish(
            text=text, part=part, low=part.lower(), words=words, joined=joined, letters=letters, digits=digits, signs=signs, caps=caps,
            runs=runs, phrases=phrases, emotes=emotes, extra=None,
        )  # fmt: skip

    def _judge_signs(self, text: str, part: str, length: int, emotes: Sequence[str]) -> Facts:
        """A text without a letter or digit: its skeleton is the text itself, stretching taken out."""
        bare = part.strip()
        runs = shape.longest_run(bare)
        skeleton = fold.collapse_runs(bare) if runs > 2 else bare
        return Facts(
            length=length, skeleton=skeleton, near_skeleton=skeleton, symbols=len(bare), longest_run=runs, emotes=len(emotes),
            matched=self._words.matched(text) if self._words.has_patterns else "",
            repeated=runs - 1, repeat_share=(runs - 1) / max(1, len(bare)),
        )  # fmt: skip

    def _judge_unicode(self, text: str, emotes: Sequence[str]) -> Facts:
        part = fold.sample(text)
        odd = fold.is_odd(part)
        plain = fold.plain(part, odd=odd)
        words, mixed = fold.folded_words(plain)
        emoji = shape.emoji_count(part)
        extra = {"emoji": emoji, "mixed_words": mixed}
        if odd:
            extra |= {
                "art": shape.art_count(part),
                "invisible": fold.invisible_count(part),
                "combining": fold.marks_count(part),
                "fancy": shape.fancy_count(part),
            }
        joined = "".join(words)
        digits = len(_digit.findall(joined))
        letters = len(joined) - digits
        caps = _caps_unicode(part, emotes) if letters else 0.0
        signs = max(0, len(plain) - len(joined) - plain.count(" ") - emoji)
        runs, phrases = self._words.triggers(f" {' '.join(words)} ") if words else (False, False)
        return self._finish(
            text=text, part=part, low=plain, words=words, joined=joined, letters=letters, digits=digits, signs=signs, caps=caps,
            runs=True, phrases=phrases, emotes=emotes, extra=extra,
        )  # fmt: skip

    def _finish(
        self, *, text: str, part: str, low: str, words: list[str], joined: str, letters: int, digits: int, signs: int,
        caps: float, runs: bool, phrases: bool, emotes: Sequence[str], extra: dict[str, int] | None,
    ) -> Facts:  # fmt: skip
        """The facts that a plain short text does not need."""
        count = len(words)
        distinct = set(words)
        longest = shape.longest_run(part) if runs or signs > 2 or len(part) > 60 else 1
        body = " ".join(words)
        share = self._repeat_share(part, words, distinct, joined, longest)
        skeleton = (fold.collapse_runs(body) if longest > 2 else body) or fold.collapse_runs(low.strip())
        contacts, mentions = _contacts(part, digits), 0
        if "@" in part:
            mentions = len(_mention.findall(part))
        links, mixed = NONE, extra is not None and extra["mixed_words"]
        low_text = low if len(text) <= fold.MAX_FOLDED else text.lower()
        if may_link(low_text):
            links = self._links.find(low.translate(CYRILLIC_TO_LATIN) if mixed else low_text)
            if not links.count and extra is not None and extra["emoji"] and len(text) <= _DISGUISED:
                links = self._links.find(shape.without_emoji(part).lower())
        spaced = count >= 4 and 2 * count >= len(joined) and fold.spaced_out(words)
        blocked, scores = self._phrases(part, body, words, phrases=phrases, runs=longest > 2, spaced=spaced, digits=digits, signs=signs)
        values = extra or {}
        return Facts(
            length=len(text), letters=letters, words=count, skeleton=skeleton,
            near_skeleton=near_words(distinct, body, skeleton, digits=digits, stretched=longest > 2), caps_ratio=caps, digits=digits, symbols=signs,
            distinct_words=len(distinct), longest_run=longest,
            repeat_share=share, repeated=int(share * len(text)),
            laughter=len(joined) >= 12 and (share > 0 or longest > 2) and shape.is_laughter(joined),
            emotes=len(emotes), spaced=spaced, links=links.count, domains=links.domains, hidden_links=links.hidden,
            invites=links.invites, blocked_domain=links.blocked, mentions=mentions, contacts=contacts,
            blocked=blocked, matched=self._words.matched(text) if self._words.has_patterns else "",
            advert=scores.advert, begging=scores.begging, cues=scores.kinds, **values,
        )  # fmt: skip

    def _repeat_share(self, part: str, words: list[str], distinct: set[str], joined: str, longest: int) -> float:
        share = 0.0
        if len(distinct) < len(words) and len(words) >= 4:
            share = shape.repeated_words(len(joined), distinct)
        if len(joined) >= 12 and (share >= _PROSE_SHARE or len(joined) > 11 * len(words)):
            share = max(share, shape.repeated_units(joined))
        if longest > 2:
            share = max(share, (longest - 1) / len(part))
        return share

    def _phrases(
        self, part: str, body: str, words: list[str], *, phrases: bool, runs: bool, spaced: bool, digits: int, signs: int
    ) -> tuple[str, Scores]:
        """Blocked words and cues, in the text as it stands and in what it reads like."""
        variants = [f" {body} "] if phrases else []
        if spaced:
            variants.append(f" {fold.join_spaced(words)} ")
        if runs:
            variants.append(f" {fold.collapse_runs(body)} ")
        if digits or signs:
            read = fold.leet(part)
            if read is not None:
                variants.append(f" {read} ")
        if len(part) <= _DISGUISED and not part.isascii():
            apart = fold.emoji_apart(part)
            if apart is not None:
                variants.append(f" {apart} ")
        if not variants:
            return "", NO_SCORES
        lists = self._words
        found = [lists.scores(variant) for variant in dict.fromkeys(variants)]
        thin = f" {fold.collapse_doubles(body)} " if runs else ""
        if runs:
            found.append(lists.stretched_scores(thin))
        if spaced:
            found.append(lists.joined_scores("".join(words)))
        best = max(found, key=lambda scores: scores.advert + scores.begging)
        blocked = ""
        if lists.has_block:
            hits = (lists.blocked(variant) for variant in variants)
            blocked = next(filter(None, hits), "") or (lists.blocked(thin, stretched=True) if runs else "")
        return blocked, best


def _plain_facts(
    data: bytes, part: str, words: list[str], body: str, letters: int, caps: float, signs: int, digits: int
) -> Facts | None:
    """The facts of a usual text without runs or cues, or None where it has to be looked at closely."""
    count = len(words)
    if (signs and (signs > 2 or data.translate(None, _PLAIN) or "!" in part.rstrip("!"))) or letters > 11 * count:
        return None
    if digits and fold.leet_like(body):
        return None
    if count == 1:
        return Facts(len(data), letters, 1, body, body, caps, digits, signs, 1)
    distinct = set(words)
    if count < 4:
        return Facts(len(data), letters, count, body, near_words(distinct, body, body, digits=digits, stretched=False), caps, digits, signs, len(distinct))
    if 2 * count >= letters and fold.spaced_out(words):
        return None
    share = 0.0
    if len(distinct) < count:
        share = shape.repeated_words(letters + digits, distinct)
        if share >= _PROSE_SHARE:
            return None
    return Facts(
        len(data), letters, count, body, near_words(distinct, body, body, digits=digits, stretched=False), caps, digits, signs,
        len(distinct), 1, share, int(share * len(data)),
    )


def near_words(distinct: set[str], body: str, skeleton: str, *, digits: int, stretched: bool) -> str:
    """Of the distinct words the longest six, sorted, without small words, numbers and keyboard noise.

    `body` is the folded text, asked first whether there is any noise to take out; `stretched` says that a character
    stands three times in a row somewhere.
    """
    keep = distinct - _NOISE
    if not body.isascii() or digits or _consonants.search(body):
        keep = {word for word in keep if not (_digit.search(word) or (len(word) > 4 and not _vowel.search(word)))}
    if stretched:
        keep = set(fold.collapse_doubles(" ".join(keep)).split(" ")) if keep else keep
    if not keep:
        return skeleton
    if len(keep) <= _NEAR_WORDS:
        return " ".join(sorted(keep))
    return " ".join(sorted(sorted(keep, key=_by_length)[:_NEAR_WORDS]))


def _by_length(word: str) -> tuple[int, str]:
    return -len(word), word


def _contacts(part: str, digits: int) -> int:
    found = 0
    if "@" in part and "." in part:
        found += len(_mail.findall(part))
    if digits >= _PHONE:
        found += len(_phone.findall(part)) + len(_wallet.findall(part))
    if "#" in part or "$" in part or "£" in part:
        found += len(_tag.findall(part))
    if not part.isascii():
        found += len(_pointed.findall(part))
        if digits >= 3 and _han.search(part):
            found += len(_account.findall(part))
    return found


def _caps_ratio(data: bytes, letters: int, emotes: Sequence[str]) -> float:
    """Capitals / letters of an ASCII text whose emotes are taken out."""
    for name in emotes[:_MAX_EMOTES]:
        raw = name.encode()
        if raw and raw in data:
            data = data.replace(raw, b"")
            letters = 0
    capitals = len(data) - len(data.translate(None, _UPPER))
    if not capitals:
        return 0.0
    if not letters:
        letters = capitals + len(data) - len(data.translate(None, _LOWER))
    return capitals / letters


def _caps_unicode(part: str, emotes: Sequence[str]) -> float:
    for name in emotes[:_MAX_EMOTES]:
        if name:
            part = part.replace(name, " ")
    if part.islower() or part.lower() == part:
        return 0.0
    found = "".join(_cap.findall(part))
    return sum(map(str.isupper, found)) / len(found) if found else 0.0
