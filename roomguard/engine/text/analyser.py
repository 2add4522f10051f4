"""Facts of texts, cheap ones first.

Most texts are *quiet*: a few passes in C show that they have nothing a rule about texts looks for (`facts.QUIET` says
what that leaves open). They are known to be so, and what else a rule may ask of them is worked out when it does. Only
the others are judged in full. What a text may cost is bounded: every step is linear, over at most 416 folded or 2,000
raw code points (fewer of texts that are no prose, see `fold.readable`), and looks at so many places only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

from roomguard.engine.text import fold, odd, shape
from roomguard.engine.text.contacts import PHONE_DIGITS, POINTING
from roomguard.engine.text.facts import (
    DISGUISED,
    LATER,
    QUIET_EMOJI,
    QUIET_EMOTES,
    QUIET_MENTIONS,
    QUIET_REPEATED,
    QUIET_RUN,
    Facts,
    repeats_little,
)
from roomguard.engine.text.links import LinkFinder, may_link
from roomguard.engine.text.model import TextModel
from roomguard.engine.text.near import one_line
from roomguard.engine.text.settings import WordSettings
from roomguard.engine.text.words import Scores, WordLists

_shortcode = re.compile(r":[a-z][a-z0-9_+\-]{2,40}:")
_mention = re.compile(r"@(?<![\w.]@)[\w\-]{2,}")
_LONG = 90
_ASCII_FOLD = fold.ASCII_FOLD
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b" "
_DIGITS = bytes(range(48, 58))
_SURE_SIGNS = frozenset(b",?;:'\"-*=~^")
_LINK_SIGNS = frozenset(b"./([")
_LEET_SIGNS = frozenset(b"013457@$|+")
_bang_in_word = re.compile(r"![A-Za-z]")
_digits = re.compile(r"\d").findall
_FEW_SIGNS = 2
"""Signs among which no three are alike."""
_READINGS = 2
"""Readings of one text beside the plain one that are looked through: nobody can read what is disguised in three ways.
Longer texts than `DISGUISED` are not read as leet either where their letters are dressed up already."""
_CUT = 512
"""Code points of a text above which there is one such reading, the first that is asked for: of so long a text only the
ends are read anyway."""
MEMO_LENGTH = 24
"""Code points of the longest text that is remembered: in real chat half of the texts up to here are copies of one of
the 12,000 before, of longer ones a tenth."""
_SEEN = 1 << 16
"""Texts of which it is known that they were seen once, about: some eight times as many as are remembered."""
_MANY_DIGITS = 3
"""Digits from which on a text outside ASCII may hold an account or a number to call."""


class Analyser:
    """Facts of texts under one `WordSettings`, remembered by text.

    The memo holds two generations of at most `settings.cache_texts` texts: when the younger is full it becomes the
    older and the oldest texts are forgotten. It changes cost, never facts. Texts over `MEMO_LENGTH` are not remembered:
    few of them come twice, and to keep them all costs more than to judge those few again. Nor are shorter ones before
    they come a second time: to keep what half of them leave behind means memory that is cold when it is let go.
    """

    def __init__(self, settings: WordSettings, model: TextModel | None = None) -> None:
        """`model` gives texts their `text_spam`. Raises `re2.error` for a pattern that RE2 does not take."""
        self._model = model
        self._words = WordLists(settings)
        self._find_triggers = self._words.find_triggers  # looked up once: every text needs it
        self._finder = LinkFinder(
            frozenset(domain.lower().removeprefix("www.") for domain in settings.allow_domains),
            frozenset(domain.lower().removeprefix("www.") for domain in settings.block_domains),
        )
        self._capacity = settings.cache_texts
        self._young: dict[object, Facts] = {}
        self._old: dict[object, Facts] = {}
        self._seen = bytearray(_SEEN)
        """By some bits of a text's checksum some others of the text that was there last: wrong once in 256 times."""
        self._dying: dict[object, Facts] = {}
        """Forgotten, one with each that is remembered: all at once they held everybody up for some milliseconds."""

    def facts(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """The facts of `text`, of which the first 2,000 code points are judged; `emotes` are names of emotes in it."""
        if len(text) > MEMO_LENGTH:
            return self.judge(text, emotes)
        # Of tuples the collector would look through all of the memo.
        key: object = f"{text}\0{emotes!r}".encode("utf-8", "surrogatepass") if emotes else text
        known = self._young.get(key)
        if known is not None:
            return known
        known = self._old.get(key)
        if known is None:
            known = self.judge(text, emotes)
            checksum, seen = crc32(text.encode("utf-8", "surrogatepass")), self._seen
            place, mark = checksum & _SEEN - 1, checksum >> 24
            if seen[place] != mark:
                seen[place] = mark
                return known
        if len(self._young) >= self._capacity:
            self._dying, self._old, self._young = self._old, self._young, {}
        self._young[key] = known
        if self._dying:
            self._dying.popitem()
        return known

    def judge(self, text: str, emotes: Sequence[str] = ()) -> Facts:
        """`facts` without the memo."""
        if len(text) > fold.MAX_LENGTH:
            text = text[: fold.MAX_LENGTH]
        pieces = _shortcode.split(text) if ":" in text and text.count(":") > 1 else ()
        if len(pieces) > 1:
            facts = self._judge_rest(text, pieces, emotes)
        elif text.isascii():
            facts = self._judge_ascii(text, emotes)
        else:
            facts = self._judge_unicode(text, emotes)
        if self._model is not None:
            facts.ask(self._model)
        return facts

    def _judge_rest(self, text: str, pieces: Sequence[str], emotes: Sequence[str]) -> Facts:
        """A text with `:name:` pictures between its `pieces`: they are counted, and the rest is judged without them."""
        rest = " ".join(pieces).strip()
        named = len(pieces) - 1
        names = (*emotes, *("",) * named)  # as many as there are: those in colons are not in the rest any more
        if rest:
            judged = self._judge_ascii(rest, names) if rest.isascii() else self._judge_unicode(rest, names)
            judged.length = len(rest) + named
            return judged
        picture = " ".join(sorted(set(_shortcode.findall(text))))
        return Facts(length=named, skeleton=picture, near_skeleton=picture, emotes=len(names))

    def _judge_ascii(  # noqa: C901, PLR0912 - one pass, read from top to bottom; a call costs as much as a step
        self, text: str, emotes: Sequence[str]
    ) -> Facts:
        """One pass over a text; what most texts have not is asked once, cheaply, and not looked at again."""
        length = len(text)
        part = text if length <= fold.MAX_FOLDED else fold.sample(text)
        data = part.encode()
        body = data.translate(_ASCII_FOLD, b"'`").decode()
        padded = f" {body} "
        if "  " in padded:
            body = " ".join(body.split())
            padded = f" {body} "
        if not body:
            return self._judge_signs(text, part, length, emotes)
        phrases = self._find_triggers(padded)
        signs = data.translate(None, _LETTERS)
        count = padded.count(" ") - 1
        letters = len(body) - count + 1
        if (
            not phrases
            and (length <= _LONG or (length <= fold.MAX_FOLDED and "   " not in text))  # else spaces may be the run
            and (not signs or (len(signs) <= _FEW_SIGNS and _SURE_SIGNS.issuperset(signs)))
            and self._says_nothing(body, letters, count, length, emotes)
        ):
            return Facts(text, part, "", body, emotes, self._finder, length, letters, False, body)
        leet = suspect = contact = False
        # A short text of letters has no run that the search for phrases does not see.
        runs = len(part) > _LONG or (bool(phrases) and self._words.has_run_in(phrases))
        if signs and not _SURE_SIGNS.issuperset(signs):
            leet = not _LEET_SIGNS.isdisjoint(signs) or (b"!" in signs and _bang_in_word.search(part) is not None)
            contact = _may_be_contact(signs)
        if len(signs) > _FEW_SIGNS and len(signs.translate(None, _DIGITS)) > _FEW_SIGNS:
            runs = True
        longest = shape.longest_run(part) if runs else 1
        stretched = longest > 2 and shape.has_run(body) is not None
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(body.split(" "))
        known = letters if not signs or body.replace(" ", "").isalpha() else LATER
        trace = body if longest <= 2 else ""
        facts = Facts(text, part, "", body, emotes, self._finder, length, known, True, trace)
        if longest > 1:
            facts.longest_run = longest
        if emotes:
            facts.emotes = len(emotes)
        if phrases or leet or spaced or stretched:
            if leet or spaced or stretched:
                self._score(facts, part, body, bool(phrases), stretched, spaced, leet)
            else:
                self._score_as_it_stands(facts, padded)
            suspect = suspect or spaced or facts.advert + facts.begging > 0 or facts.blocked != ""
        if spaced:
            facts.spaced = True
        if b"@" in signs:
            facts.mentions = len(_mention.findall(part))
        if length > fold.MAX_FOLDED or (signs and not _LINK_SIGNS.isdisjoint(signs)) or "dot" in body:
            facts.may_link()
            suspect = suspect or facts.links > 0
        suspect = suspect or (contact and length <= fold.MAX_FOLDED and facts.contacts > 0)
        return facts if self._is_loud(facts, body, letters, count, suspect=suspect) else facts.quiet()

    def _judge_usual(self, text: str, length: int, emotes: Sequence[str], words: str, pictures: str) -> Facts | None:
        """A text that is `fold.as_usual`, of these two parts; None where it has to be looked at more closely."""
        low = body = fold.usual(words)
        emoji = 0
        if pictures:
            emoji = len(pictures) - pictures.count(" ") - pictures.count("\ufe0f")
            if emoji > QUIET_EMOJI or not POINTING.isdisjoint(pictures):
                return None
            low, body = fold.usual(text.replace("\ufe0f", "")), " ".join(body.split())
        padded = f" {body} "
        if not body or "  " in padded or self._find_triggers(padded):
            return None
        longest = 1
        if (run := shape.has_other_run(text)) is not None:  # one of ASCII letters the search for phrases has seen
            longest = shape.longest_run(pictures)
            if run.start() < len(words) or longest > QUIET_RUN:
                return None
        count = padded.count(" ") - 1
        letters = len(body) - count + 1
        if not self._says_nothing(body, letters, count, length, emotes):
            return None
        trace = body if longest == 1 else ""
        facts = Facts(text, text, low, body, emotes, self._finder, length, letters, False, trace)
        if pictures:
            facts.emoji, facts.longest_run = emoji, longest
        return facts

    def _says_nothing(self, body: str, letters: int, count: int, length: int, emotes: Sequence[str]) -> bool:
        """Whether a text is surely quiet of which nothing but these words is left to look at: most texts are."""
        if emotes or (count >= 4 and 2 * count >= letters) or "dot" in body or self._words.has_patterns:
            return False
        return length <= QUIET_REPEATED or repeats_little(body, letters, count, length)

    def _is_loud(self, facts: Facts, body: str, letters: int, count: int, *, suspect: bool) -> bool:
        """Whether more may be true of a text than of a quiet one; `suspect` says that something was found already."""
        text = facts.source()
        if self._words.has_patterns:
            facts.matched = self._words.matched(text)
        length = len(text)
        if suspect or length > fold.MAX_FOLDED or facts.matched:
            return True
        if facts.longest_run > QUIET_RUN or facts.mentions > QUIET_MENTIONS or facts.emotes > QUIET_EMOTES:
            return True
        if length <= QUIET_REPEATED or (len(set(body.split(" "))) == count and letters <= 11 * count):
            return False
        return facts.repeated > QUIET_REPEATED

    def _judge_signs(self, text: str, part: str, length: int, emotes: Sequence[str]) -> Facts:
        """A text without a letter or digit: its skeleton is the text itself, stretching taken out."""
        bare = part.strip()
        runs = shape.longest_run(bare)
        skeleton = fold.collapse_runs(bare) if runs > 2 else bare
        loud = length > fold.MAX_FOLDED or runs > QUIET_RUN or len(emotes) > QUIET_EMOTES or self._words.has_patterns
        return Facts(
            _loud=loud,
            length=length, letters=0, words=0, digits=0, distinct_words=0, caps_ratio=0.0, laughter=False, contacts=0,
            skeleton=skeleton, near_skeleton=one_line(skeleton), symbols=len(bare), longest_run=runs,
            emotes=len(emotes),
            matched=self._words.matched(text) if self._words.has_patterns else "",
            repeated=runs - 1, repeat_share=(runs - 1) / max(1, len(bare)),
        )  # fmt: skip

    def _judge_unicode(  # noqa: C901, PLR0912, PLR0915 - see `_judge_ascii`
        self, text: str, emotes: Sequence[str]
    ) -> Facts:
        """`_judge_ascii` for other texts: first their letters have to be made plain."""
        length = len(text)
        if length < fold.MAX_USUAL and (usual := fold.as_usual(text)) is not None:
            facts = self._judge_usual(text, length, emotes, *usual.groups())
            if facts is not None:
                return facts
        most = fold.MAX_OTHERS
        part = fold.sample(text, most)
        found = odd.find(part)
        seen = odd.look(found, part) if found else odd.NOTHING
        if length > fold.MAX_WILD:
            most = fold.readable(part, decked=bool(found) and _is_decked_out(seen, found))
            part = fold.sample(text, most)
        low = fold.plain(part, seen.kinds, most)
        joined = low.replace(" ", "")
        mixed = 0
        body = low
        if not joined.isalnum() or fold.may_be_mixed(low):
            split, mixed = fold.folded_words(low, seen.pictures)
            body, joined = " ".join(split), "".join(split)
        padded = f" {body} "
        if "  " in padded:
            body = " ".join(body.split())
            padded = f" {body} "
        letters = len(joined)
        count = len(body) - letters + 1 if body else 0
        phrases = bool(body) and bool(self._find_triggers(padded))
        longest = shape.longest_run(part)
        stretched = longest > 2 and shape.has_run(body) is not None
        spaced = count >= 4 and 2 * count >= letters and fold.spaced_out(body.split(" "))
        # Letters and spaces alone: no sign that could make a link, stand for a letter or call a name.
        plain = joined.isalpha()
        bare = plain and len(low) - letters == low.count(" ") and len(low) < most
        leet = not bare and fold.may_be_leet(part) is not None
        trace = body if longest <= 2 else ""
        facts = Facts(
            text, part, low, body, emotes, self._finder, length, letters if plain else LATER, True, trace
        )  # fmt: skip
        apart = suspect = contact = False
        if longest > 1:
            facts.longest_run = longest
        if emotes:
            facts.emotes = len(emotes)
        if found:
            facts.emoji, facts.art, facts.invisible = seen.emoji, seen.art, seen.invisible
            facts.combining, facts.fancy = seen.combining, seen.fancy
            may = max(length, len(low)) <= DISGUISED and seen.kinds & (odd.PICTURE | odd.HIDDEN)
            apart = bool(may) and fold.may_be_apart(part)
            suspect = apart or not _is_tame(seen, found)
        if mixed:
            facts.mixed_words = mixed
            suspect = True
        if phrases or leet or spaced or stretched or apart:
            if leet or spaced or stretched or apart:
                self._score(facts, part, body, phrases, stretched, spaced, leet, apart)
            else:
                self._score_as_it_stands(facts, padded)
            suspect = suspect or spaced or facts.advert + facts.begging > 0 or facts.blocked != ""
        if spaced:
            facts.spaced = True
        if not bare:
            if "@" in part:
                facts.mentions = len(_mention.findall(part))
            contact = _may_be_contact_in(part, joined, plain=plain)
        if length > most or ("dot" in low if bare else may_link(low)):
            facts.may_link()
            suspect = suspect or facts.links > 0
        suspect = suspect or length > most or (contact and facts.contacts > 0)
        return facts if self._is_loud(facts, body, letters, count, suspect=suspect) else facts.quiet()

    def _score_as_it_stands(self, facts: Facts, padded: str) -> None:
        """`_score` for a text that reads like nothing else."""
        lists = self._words
        best = lists.scores(padded)
        facts.advert, facts.begging, facts.cues = best.advert, best.begging, best.kinds
        if lists.has_block:
            facts.blocked = lists.blocked(padded)

    def _score(  # noqa: PLR0917 - what is known of the text by now
        self, facts: Facts, part: str, body: str, phrases: bool, stretched: bool, spaced: bool, leet: bool,
        apart: bool = False,
    ) -> None:  # fmt: skip
        """Blocked words and cues, in the text as it stands and in what it reads like."""
        lists = self._words
        if stretched:
            facts.skeleton = fold.collapse_runs(body)
            stretched = not spaced or facts.length <= _CUT
        variants = self._readings(facts, part, body, phrases, stretched, spaced, leet, apart)
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

    def _readings(  # noqa: PLR0917 - as above
        self, facts: Facts, part: str, body: str, phrases: bool, stretched: bool, spaced: bool, leet: bool, apart: bool
    ) -> list[str]:
        """The text and what it reads like, folded and padded, where a phrase may be in it."""
        lists = self._words
        # Without an anchor there is no score, without a blocked phrase none found: the cheaper automaton says so.
        variants = [f" {body} "] if phrases else []
        others = []
        read = ""
        if spaced:
            others.append(f" {fold.join_spaced(body.split(' '))} ")
        if stretched:
            others.append(f" {facts.skeleton} ")
        most = _READINGS if facts.length <= _CUT else 1
        if leet and len(others) < most and (facts.length <= DISGUISED or not _is_dressed(facts)):
            read = f" {fold.leet(part)} "
            if lists.has_trigger(read) and fold.leet_like(part):
                others.append(read)
        if apart and len(others) < most:
            others.append(f" {fold.emoji_apart(part)} ")
        for other in dict.fromkeys(others):
            if other not in variants and (other == read or lists.has_trigger(other)):
                variants.append(other)
        return variants


def _is_tame(seen: odd.Odd, found: Sequence[str]) -> bool:
    """Whether the odd characters of a text are a few emoji, none of which points at something."""
    if seen.art or seen.invisible or seen.combining or seen.fancy or seen.emoji > QUIET_EMOJI:
        return False
    return POINTING.isdisjoint(found)


def _is_decked_out(seen: odd.Odd, found: Sequence[str]) -> bool:
    """Whether a text is one of odd characters, of which less is read."""
    return bool(seen.art or seen.invisible or seen.combining or seen.fancy) or len(found) > fold.MANY_ODD


def _is_dressed(facts: Facts) -> bool:
    """Whether the letters of a text are disguised, or among characters that say nothing."""
    return bool(facts.mixed_words or facts.fancy or facts.combining or facts.invisible or facts.art)


def _may_be_contact(signs: bytes) -> bool:
    """Whether an ASCII text of these digits and signs may hold a way to get in touch; see `count_contacts`."""
    if b"#" in signs or b"$" in signs or (b"@" in signs and b"." in signs):
        return True
    return len(signs) >= PHONE_DIGITS and len(signs) - len(signs.translate(None, _DIGITS)) >= PHONE_DIGITS


def _may_be_contact_in(part: str, joined: str, *, plain: bool) -> bool:
    """`_may_be_contact` for any text; `joined` are its words."""
    if "#" in part or "$" in part or "£" in part or ("@" in part and "." in part):
        return True
    return not plain and len(_digits(joined)) >= _MANY_DIGITS


def _points(scores: Scores) -> int:
    return scores.advert + scores.begging
