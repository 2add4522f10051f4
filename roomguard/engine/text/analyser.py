"""Facts of texts, cheap ones first.

What ordinary texts do not have (odd characters, runs, signs, cues) is ruled out by a few passes in C, and then known to be
nothing; what is left is worked out when a rule asks for it. No text costs more than about a hundred usual ones: every
step is linear, over at most 512 folded or 2,000 raw code points.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from roomguard.engine.text import fold, odd, shape
from roomguard.engine.text.confusables import CYRILLIC_TO_LATIN
from roomguard.engine.text.facts import LATER, Facts, defer
from roomguard.engine.text.links import NONE, LinkFinder, may_link
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.text.words import Scores, WordLists

_UPPER = bytes(range(65, 91))
_LOWER = bytes(range(97, 123))
_MAX_EMOTES = 64
_DIGITS = bytes(range(48, 58))
_shortcode = re.compile(r":[a-z][a-z0-9_+\-]{2,40}:")
_mention = re.compile(r"@(?<![\w.]@)[\w\-]{2,}")
_mail = re.compile(r"(?<![\w.+\-])[\w.+\-]{2,64}@[\w\-]{2,63}(?:\.[\w\-]{2,63}){1,3}")
_phone = re.compile(r"(?<![\w.])\+?\d(?:[\s().\-]{0,2}\d){8,14}(?!\w)")
_wallet = re.compile(
    r"(?<!\w)(?:bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34}|T[1-9A-HJ-NP-Za-km-z]{33})(?!\w)"
)
_tag = re.compile(r"(?<![\w.])[\w.]{2,32}#\d{4}(?!\d)|(?<!\w)[$£][A-Za-z][\w\-]{3,20}(?!\w)")
_pointed = re.compile(r"(?:👉|➡️?|👇|📲|📩|🔗)\s{0,2}[@\w]")
_han = re.compile("[\u4e00-\u9fff]")
_account = re.compile(r"(?<![0-9A-Za-z])(?:\d{7,12}|[A-Za-z]{2,8}\d{3,8}|\d{4,6} \d{4,6})(?![0-9A-Za-z])")
_LONG = 90
_DISGUISED = 300
"""Longest text in which emoji are tried as spaces: adverts are short, and each try folds the text again."""
_PHONE = 9
_PROSE_SHARE = 0.3
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b" "
_LINK_SIGNS = frozenset(b"./([")
_LEET_SIGNS = frozenset(b"013457@$!|+")
_NOISE = frozenset("a an and at be but for i in is it its me my of on or so the this to u ur you your".split())
_NEAR_WORDS = 6
_cap = re.compile(r"[^\W\d_]")
_digit = re.compile(r"\d")
_no_vowel = re.compile(" [bcdfghjklmnpqrstvwxz0-9бвгджзйклмнпрстфхцчшщъь]{5}")
_vowel = re.compile("[aeiouyаеёиоуыэюя]|[^\x00-\x7fа-я]")
_NOTHING_ODD = odd.Odd(0, 0, 0, 0, 0, 0, ())


class _Tools(msgspec.Struct, frozen=True, gc=False):
    """What facts are worked out with."""

    words: WordLists
    links: LinkFinder


class Analyser:
    """Facts of texts under one `WordSettings`, remembered by text.

    The memo holds two generations of at most `settings.cache_texts` texts: when the younger is full it becomes the older
    and the oldest texts are forgotten. It changes cost, never facts. Texts over 200 code points are not remembered by
    their number alone: they count like the others, so the memo stays below 4 x `cache_texts` x 2,000 code points.
    """

    def __init__(self, settings: WordSettings) -> None:
        """Raises `re2.error` for a pattern that RE2 does not take."""
        self._words = WordLists(settings)
        links = LinkFinder(
            frozenset(domain.lower().removeprefix("www.") for domain in settings.allow_domains),
            frozenset(domain.lower().removeprefix("www.") for domain in settings.block_domains),
        )
        self._tools = _Tools(self._words, links)
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
            judged.length = len(rest) + len(named)
            return judged
        picture = " ".join(sorted(set(named)))
        return Facts(length=len(named), skeleton=picture, near_skeleton=picture, emotes=len(names))

    def _judge_ascii(self, text: str, emotes: Sequence[str]) -> Facts:
        length = len(text)
        part = text if length <= fold.MAX_FOLDED else fold.sample(text)
        data = part.encode()
        split = fold.ascii_words(data)
        if not split:
            return self._judge_signs(text, part, length, emotes)
        body = " ".join(split)
        count = len(split)
        letters = len(body) - count + 1
        words = self._words
        runs, phrases = words.triggers(f" {body} ")
        signs = data.translate(None, _LETTERS)
        longest = 1
        if runs or len(part) > _LONG or (len(signs) > 2 and len(signs.translate(None, _DIGITS)) > 2):
            longest = shape.longest_run(part)
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(split)
        leet = bool(signs) and not _LEET_SIGNS.isdisjoint(signs)
        facts = Facts(text, part, "", body, emotes, self._tools, length)
        if phrases or leet or spaced or longest > 2:
            self._score(facts, split, phrases, longest > 2, spaced, leet)
        if longest > 1:
            facts.longest_run = longest
        if count >= 4 or letters > 11 * count or longest > 2:
            facts._repeat_share_ = facts._repeated_ = LATER
        if length > fold.MAX_FOLDED or (signs and not _LINK_SIGNS.isdisjoint(signs)) or "dot" in body:
            _leave_links(facts)
        if spaced:
            facts.spaced = True
        if b"@" in signs:
            facts.mentions = len(_mention.findall(part))
        if emotes:
            facts.emotes = len(emotes)
        if words.has_patterns:
            facts.matched = words.matched(text)
        return facts

    def _judge_signs(self, text: str, part: str, length: int, emotes: Sequence[str]) -> Facts:
        """A text without a letter or digit: its skeleton is the text itself, stretching taken out."""
        bare = part.strip()
        runs = shape.longest_run(bare)
        skeleton = fold.collapse_runs(bare) if runs > 2 else bare
        return Facts(
            length=length, letters=0, words=0, digits=0, distinct_words=0, caps_ratio=0.0, laughter=False, contacts=0,
            skeleton=skeleton, near_skeleton=skeleton, symbols=len(bare), longest_run=runs, emotes=len(emotes),
            matched=self._words.matched(text) if self._words.has_patterns else "",
            repeated=runs - 1, repeat_share=(runs - 1) / max(1, len(bare)),
        )  # fmt: skip

    def _judge_unicode(self, text: str, emotes: Sequence[str]) -> Facts:
        length = len(text)
        part = text if length <= fold.MAX_FOLDED else fold.sample(text)
        seen = odd.look(part) if odd.is_odd(part) else _NOTHING_ODD
        low = fold.plain(part, seen.kinds)
        split, mixed = fold.folded_words(low, seen.pictures)
        body = " ".join(split)
        count = len(split)
        letters = len(body) - count + 1
        words = self._words
        phrases = words.triggers(f" {body} ")[1] if split else False
        longest = shape.longest_run(part)
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(split)
        # Letters and spaces alone: no sign that could make a link, stand for a letter or call a name.
        bare = len(low) - letters == low.count(" ") and body.replace(" ", "").isalpha() and len(low) < fold.MAX_FOLDED
        leet = not bare and fold.may_be_leet(part) is not None
        facts = Facts(text, part, low, body, emotes, self._tools, length)
        if phrases or leet or spaced or longest > 2 or seen.emoji:
            self._score(facts, split, phrases, longest > 2, spaced, leet)
        if longest > 1:
            facts.longest_run = longest
        if count >= 4 or letters > 11 * count or longest > 2:
            facts._repeat_share_ = facts._repeated_ = LATER
        if seen.kinds:
            facts.emoji, facts.art, facts.invisible = seen.emoji, seen.art, seen.invisible
            facts.combining, facts.fancy = seen.combining, seen.fancy
        if mixed:
            facts.mixed_words = mixed
        if length > fold.MAX_FOLDED or ("dot" in low if bare else may_link(low)):
            _leave_links(facts)
        if spaced:
            facts.spaced = True
        if not bare and "@" in part:
            facts.mentions = len(_mention.findall(part))
        if emotes:
            facts.emotes = len(emotes)
        if words.has_patterns:
            facts.matched = words.matched(text)
        return facts

    def _score(self, facts: Facts, split: list[str], phrases: bool, runs: bool, spaced: bool, leet: bool) -> None:
        """Blocked words and cues, in the text as it stands and in what it reads like."""
        lists, body, part = self._words, facts._body, facts._part
        variants = [f" {body} "] if phrases else []
        if spaced:
            variants.append(f" {fold.join_spaced(split)} ")
        if runs:
            variants.append(f" {fold.collapse_runs(body)} ")
        read = fold.leet(part) if leet else None
        if read is not None:
            variants.append(f" {read} ")
        apart = fold.emoji_apart(part) if len(part) <= _DISGUISED and not part.isascii() else None
        if apart is not None:
            variants.append(f" {apart} ")
        # Without an anchor there is no score, without a blocked phrase none found: the cheaper automaton says so.
        variants = [variant for variant in dict.fromkeys(variants) if lists.triggers(variant)[1]]
        found = [lists.scores(variant) for variant in variants]
        thin = f" {fold.collapse_doubles(body)} " if runs else ""
        if runs:
            found.append(lists.stretched_scores(thin))
        if spaced:
            found.append(lists.joined_scores("".join(split)))
        if found:
            best = max(found, key=_points)
            facts.advert, facts.begging, facts.cues = best.advert, best.begging, best.kinds
        if lists.has_block:
            hits = (lists.blocked(variant) for variant in variants)
            facts.blocked = next(filter(None, hits), "") or (lists.blocked(thin, stretched=True) if runs else "")


def _points(scores: Scores) -> int:
    return scores.advert + scores.begging


def _leave_links(facts: Facts) -> None:
    facts.links = facts.domains = facts.hidden_links = facts.invites = facts.blocked_domain = LATER


def _work_out_counts(facts: Facts) -> None:
    """Letters, words, digits and symbols."""
    body, part = facts._body, facts._part
    joined = body.replace(" ", "")
    digits = 0 if joined.isalpha() else len(_digit.findall(joined))
    facts.words = body.count(" ") + 1 if body else 0
    facts.digits, facts.letters = digits, len(joined) - digits
    if part.isascii():
        facts.symbols = len(part) - len(joined) - part.count(" ")
    else:
        low = facts._low
        facts.symbols = max(0, len(low) - len(joined) - low.count(" ") - facts.emoji)


def _work_out_skeleton(facts: Facts) -> None:
    body = facts._body
    if facts.longest_run > 2:
        body = fold.collapse_runs(body)
    facts.skeleton = body or fold.collapse_runs(facts._low.strip())


def _work_out_words(facts: Facts) -> None:
    """What the distinct words tell: the near skeleton, and how much of the text repeats itself."""
    body = facts._body
    split = body.split()
    distinct = set(split)
    joined = "".join(split)
    longest = facts.longest_run
    facts._distinct_words_ = len(distinct)
    if facts._repeated_ is LATER:
        share = 0.0
        if len(distinct) < len(split) and len(split) >= 4:
            share = shape.repeated_words(len(joined), distinct)
        if len(joined) >= 12 and (share >= _PROSE_SHARE or len(joined) > 11 * len(split)):
            share = max(share, shape.repeated_units(joined))
        if longest > 2:
            share = max(share, (longest - 1) / len(facts._part))
        facts._repeat_share_ = share
        facts._repeated_ = int(share * len(facts._text)) if share else 0
    if len(split) == 1 and longest <= 2:
        facts._near_skeleton_ = body
        return
    keep = distinct - _NOISE
    if not joined.isalpha() or _no_vowel.search(f" {body}"):
        keep = {word for word in keep if not (_digit.search(word) or (len(word) > 4 and not _vowel.search(word)))}
    if longest > 2 and keep:
        keep = set(fold.collapse_doubles(" ".join(keep)).split(" "))
    if len(keep) > _NEAR_WORDS:
        keep = set(sorted(keep, key=_by_length)[:_NEAR_WORDS])
    facts._near_skeleton_ = " ".join(sorted(keep)) if keep else facts.skeleton


def _by_length(word: str) -> tuple[int, str]:
    return -len(word), word


def _work_out_laughter(facts: Facts) -> None:
    joined = facts._body.replace(" ", "")
    repeats = facts.repeat_share > 0 or facts.longest_run > 2
    facts.laughter = len(joined) >= 12 and repeats and shape.is_laughter(joined)


def _work_out_links(facts: Facts) -> None:
    text, part = facts._text, facts._part
    low = part.lower() if part.isascii() else facts._low
    whole = low if len(text) <= fold.MAX_FOLDED else text.lower()
    links = NONE
    if may_link(whole):
        find = facts._tools.links.find
        links = find(low.translate(CYRILLIC_TO_LATIN) if facts.mixed_words else whole)
        if not links.count and facts.emoji and len(text) <= _DISGUISED:
            links = find(shape.without_emoji(part).lower())
    facts.links, facts.domains, facts.hidden_links = links.count, links.domains, links.hidden
    facts.invites, facts.blocked_domain = links.invites, links.blocked


def _work_out_contacts(facts: Facts) -> None:
    facts.contacts = _contacts(facts._part, facts.digits)


def _work_out_caps(facts: Facts) -> None:
    part = facts._part
    if part.islower() or not facts.letters:
        facts.caps_ratio = 0.0
    elif part.isascii():
        facts.caps_ratio = _caps_ratio(part.encode(), facts.letters, facts._emotes)
    else:
        facts.caps_ratio = _caps_unicode(part, facts._emotes)


defer(_work_out_counts, "letters", "words", "digits", "symbols")
defer(_work_out_skeleton, "skeleton")
defer(_work_out_words, "near_skeleton", "distinct_words", "repeat_share", "repeated")
defer(_work_out_laughter, "laughter")
defer(_work_out_links, "links", "domains", "hidden_links", "invites", "blocked_domain")
defer(_work_out_contacts, "contacts")
defer(_work_out_caps, "caps_ratio")


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
