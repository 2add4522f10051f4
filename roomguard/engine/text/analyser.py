"""Facts of texts, cheap ones first.

What ordinary texts do not have (odd characters, runs, signs, cues) is ruled out by a few passes in C, and then known
to be nothing; what is left is worked out when a rule asks for it. No text costs more than about a hundred usual ones:
every step is linear, over at most 512 folded or 2,000 raw code points.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from roomguard.engine.text import fold, odd, shape
from roomguard.engine.text.facts import DISGUISED, LATER, Facts
from roomguard.engine.text.links import LinkFinder, may_link
from roomguard.engine.text.model import TextModel
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.text.words import Scores, WordLists

_shortcode = re.compile(r":[a-z][a-z0-9_+\-]{2,40}:")
_mention = re.compile(r"@(?<![\w.]@)[\w\-]{2,}")
_LONG = 90
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b" "
_DIGITS = bytes(range(48, 58))
_LINK_SIGNS = frozenset(b"./([")
_LEET_SIGNS = frozenset(b"013457@$|+")
_bang_in_word = re.compile(r"![A-Za-z]")


class Analyser:
    """Facts of texts under one `WordSettings`, remembered by text.

    The memo holds two generations of at most `settings.cache_texts` texts: when the younger is full it becomes the
    older and the oldest texts are forgotten. It changes cost, never facts. With a text of at most 2,000 code points go
    at most five folded forms of 512, so the memo stays below `cache_texts` x 10,000 code points.
    """

    def __init__(self, settings: WordSettings, model: TextModel | None = None) -> None:
        """`model` gives texts their `text_spam`. Raises `re2.error` for a pattern that RE2 does not take."""
        self._model = model
        self._words = WordLists(settings)
        self._finder = LinkFinder(
            frozenset(domain.lower().removeprefix("www.") for domain in settings.allow_domains),
            frozenset(domain.lower().removeprefix("www.") for domain in settings.block_domains),
        )
        self._capacity = settings.cache_texts
        self._young: dict[object, Facts] = {}
        self._old: dict[object, Facts] = {}

    def facts(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """The facts of `text`, of which the first 2,000 code points are judged; `emotes` are names of emotes in it."""
        key: object = (text, *emotes) if emotes else text
        known = self._young.get(key)
        if known is not None:
            return known
        known = self._old.get(key)
        if known is None:
            known = self._judge(text, emotes)
            if self._model is not None:
                known.ask(self._model)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[key] = known
        return known

    def judge(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """`facts` without the memo."""
        facts = self._judge(text, emotes)
        if self._model is not None:
            facts.ask(self._model)
        return facts

    def _judge(self, text: str, emotes: Sequence[str]) -> Facts:
        if len(text) > fold.MAX_LENGTH:
            text = text[: fold.MAX_LENGTH]
        if ":" in text and text.count(":") > 1:
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
        found = words.find_triggers(f" {body} ")
        runs, phrases = words.sort_triggers(found) if found else (False, False)
        signs = data.translate(None, _LETTERS)
        longest = 1
        if runs or len(part) > _LONG or (len(signs) > 2 and len(signs.translate(None, _DIGITS)) > 2):
            longest = shape.longest_run(part)
        stretched = longest > 2 and shape.has_run(body) is not None
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(split)
        leet = bool(signs) and (
            not _LEET_SIGNS.isdisjoint(signs) or (b"!" in signs and _bang_in_word.search(part) is not None)
        )
        plain = not signs or body.replace(" ", "").isalpha()
        facts = Facts(text, part, "", body, emotes, self._finder, length, letters if plain else LATER)
        if phrases or leet or spaced or stretched:
            self._score(facts, part, body, phrases, stretched, spaced, leet)
        if longest > 1:
            facts.longest_run = longest
        if count >= 4 or letters > 11 * count or longest > 2:
            facts.may_repeat()
        if length > fold.MAX_FOLDED or (signs and not _LINK_SIGNS.isdisjoint(signs)) or "dot" in body:
            facts.may_link()
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
        found = odd.find(part)
        seen = odd.look(found, part) if found else odd.NOTHING
        low = fold.plain(part, seen.kinds)
        split, mixed = fold.folded_words(low, seen.pictures)
        body = " ".join(split)
        count = len(split)
        letters = len(body) - count + 1
        words = self._words
        phrases = bool(split) and bool(words.find_triggers(f" {body} "))
        longest = shape.longest_run(part)
        stretched = longest > 2 and shape.has_run(body) is not None
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(split)
        # Letters and spaces alone: no sign that could make a link, stand for a letter or call a name.
        plain = body.replace(" ", "").isalpha()
        bare = plain and len(low) - letters == low.count(" ") and len(low) < fold.MAX_FOLDED
        leet = not bare and fold.may_be_leet(part) is not None
        facts = Facts(text, part, low, body, emotes, self._finder, length, letters if plain else LATER)
        apart = length <= DISGUISED and bool(seen.kinds & (odd.PICTURE | odd.HIDDEN)) and fold.may_be_apart(part)
        if phrases or leet or spaced or stretched or apart:
            self._score(facts, part, body, phrases, stretched, spaced, leet, apart)
        if longest > 1:
            facts.longest_run = longest
        if count >= 4 or letters > 11 * count or longest > 2:
            facts.may_repeat()
        if seen.kinds:
            facts.emoji, facts.art, facts.invisible = seen.emoji, seen.art, seen.invisible
            facts.combining, facts.fancy = seen.combining, seen.fancy
        if mixed:
            facts.mixed_words = mixed
        if length > fold.MAX_FOLDED or ("dot" in low if bare else may_link(low)):
            facts.may_link()
        if spaced:
            facts.spaced = True
        if not bare and "@" in part:
            facts.mentions = len(_mention.findall(part))
        if emotes:
            facts.emotes = len(emotes)
        if words.has_patterns:
            facts.matched = words.matched(text)
        return facts

    def _score(  # noqa: PLR0917 - what is known of the text by now
        self, facts: Facts, part: str, body: str, phrases: bool, stretched: bool, spaced: bool, leet: bool,
        apart: bool = False,
    ) -> None:  # fmt: skip
        """Blocked words and cues, in the text as it stands and in what it reads like."""
        lists = self._words
        # Without an anchor there is no score, without a blocked phrase none found: the cheaper automaton says so.
        variants = [f" {body} "] if phrases else []
        others = []
        read = ""
        if spaced:
            others.append(f" {fold.join_spaced(body.split(' '))} ")
        if stretched:
            others.append(f" {fold.collapse_runs(body)} ")
        if leet:
            read = f" {fold.leet(part)} "
            if lists.has_trigger(read) and fold.leet_like(part):
                others.append(read)
        if apart:
            others.append(f" {fold.emoji_apart(part)} ")
        for other in dict.fromkeys(others):
            if other not in variants and (other == read or lists.has_trigger(other)):
                variants.append(other)
        found = [lists.scores(variant) for variant in variants]
        thin = f" {fold.collapse_doubles(body)} " if stretched else ""
        if stretched:
            found.append(lists.stretched_scores(thin))
        if spaced:
            found.append(lists.joined_scores(body.replace(" ", "")))
        if found:
            best = max(found, key=_points)
            facts.advert, facts.begging, facts.cues = best.advert, best.begging, best.kinds
        if lists.has_block:
            hits = (lists.blocked(variant) for variant in variants)
            facts.blocked = next(filter(None, hits), "") or (lists.blocked(thin, stretched=True) if stretched else "")


def _points(scores: Scores) -> int:
    return scores.advert + scores.begging
