"""Phrases on folded texts: blocked and allowed words, cues of adverts, and the patterns operators write.

All phrases stand in Aho-Corasick automata over `" word word word "`: the spaces at a phrase's ends are its word
boundaries, so the automaton itself keeps them. A first pass looks for what makes a second one worth while.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence

import attrs
import re2
from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from roomguard.engine.text import cues as builtin, fold
from roomguard.engine.text.settings import WordSettings

MAX_MATCHES = 256
"""Phrase matches looked at in one text, so that a text made of cues costs no more than a long one."""

_RUNS = tuple(char * 3 for char in string.ascii_lowercase + string.digits)
_SPELT_DOTS = (" dot ", " dott ", " punto ", " punkt ", " точка ")
_RE2_MEMORY = 8 << 20


@attrs.frozen
class Scores:
    """What the cues of one text add up to."""

    advert: int = 0
    begging: int = 0
    kinds: tuple[str, ...] = ()


NO_SCORES = Scores()


@attrs.frozen
class _Cue:
    kind: str
    points: int
    begging: bool
    anchor: bool
    both: bool = False


def fold_phrase(phrase: str) -> str:
    """A phrase as it stands in a folded text, its word boundaries as spaces; empty where nothing is left of it."""
    start, end = phrase.startswith("*"), phrase.endswith("*")
    body = phrase.strip("*")
    words = fold.ascii_words(body.encode()) if body.isascii() else fold.folded_words(fold.plain(body))[0]
    text = " ".join(words)
    if not text:
        return ""
    unspaced = ord(text[0]) >= 0x0E00, ord(text[-1]) >= 0x0E00
    return ("" if start or unspaced[0] else " ") + text + ("" if end or unspaced[1] else " ")


def compile_patterns(patterns: Sequence[str]) -> list[re2._Regexp[str]]:
    """RE2 patterns, case ignored. Raises `re2.error` with the first that does not compile."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _RE2_MEMORY
    return [re2.compile(pattern, options) for pattern in patterns]


class _Phrases:
    """A set of folded phrases with a value each."""

    def __init__(self, phrases: dict[str, str]) -> None:
        self._values = list(phrases.values())
        self._keys = list(phrases)
        self._find = _automaton(self._keys) if self._keys else None

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(from, to, value) of every match, boundaries not counted in."""
        if self._find is None:
            return []
        out = []
        for index, start, end in self._find.find_matches_as_indexes(text, overlapping=True)[:MAX_MATCHES]:
            key = self._keys[index]
            out.append((start + (key[0] == " "), end - (key[-1] == " "), self._values[index]))
        return out


def _automaton(phrases: Sequence[str], kind: MatchKind = MatchKind.Standard) -> AhoCorasick:
    # As tables they are no faster, and 18 MB that take the place of rooms in the processor's caches.
    return AhoCorasick(phrases, matchkind=kind, implementation=Implementation.ContiguousNFA)


class _Cues:
    """Folded cues, and the points a text gets for those in it."""

    def __init__(self, cues: dict[str, _Cue]) -> None:
        # By points, so that of two pairs of one kind the dearer comes later and stands in a dict of them.
        distinct = sorted(dict.fromkeys(cues.values()), key=lambda cue: cue.points)
        places = {cue: place for place, cue in enumerate(distinct)}
        self._places = [places[cue] for cue in cues.values()]
        self._given = [(cue.kind, cue.points) for cue in distinct]
        self._adverts, self._advert_anchors = _of_score(distinct, begging=False)
        self._begging, self._begging_anchors = _of_score(distinct, begging=True)
        self._find = _automaton(list(cues)) if cues else None

    def scores(self, text: str) -> Scores:
        """Of each kind the dearest, where an anchor of that score is there."""
        if self._find is None:
            return NO_SCORES
        found = self._find.find_matches_as_indexes(text, overlapping=True)
        if not found:
            return NO_SCORES
        places = self._places
        cues = {places[index] for index, _, _ in found[:MAX_MATCHES]}
        adverts = {} if cues.isdisjoint(self._advert_anchors) else self._best(cues & self._adverts)
        begging = {} if cues.isdisjoint(self._begging_anchors) else self._best(cues & self._begging)
        if not adverts and not begging:
            return NO_SCORES
        return Scores(
            advert=sum(adverts.values()), begging=sum(begging.values()), kinds=tuple(sorted({*adverts, *begging}))
        )

    def _best(self, cues: set[int]) -> dict[str, int]:
        """The most points of each kind."""
        return dict([self._given[place] for place in sorted(cues)])


def _of_score(cues: Sequence[_Cue], *, begging: bool) -> tuple[frozenset[int], frozenset[int]]:
    """The places of the cues that give points for being an advert or begging, and those of its anchors."""
    places = range(len(cues))
    return (
        frozenset(place for place in places if cues[place].both or cues[place].begging is begging),
        frozenset(place for place in places if cues[place].anchor and cues[place].begging is begging),
    )


_MIN_JOINED = 4
_PLAIN = 3
"""Points of a plain advert; a text that has them is not read backwards as well."""


def _joined(phrase: str) -> str:
    """A phrase without its spaces; short ones would be found inside other words and are left out."""
    joined = phrase.replace(" ", "")
    return joined if len(joined) >= _MIN_JOINED else ""


def _refold(cues: dict[str, _Cue], how: Callable[[str], str]) -> dict[str, _Cue]:
    out: dict[str, _Cue] = {}
    for phrase, cue in cues.items():
        again = how(phrase)
        if again and (again not in out or out[again].points < cue.points):
            out[again] = cue
    return out


class _Turned:
    """Cues with their words in reverse order, which tell a text that is written backwards.

    One of two words is no proof ("let me follow you"), another of any kind beside it is, or one of three words.
    """

    def __init__(self, cues: dict[str, _Cue]) -> None:
        self._weights: list[int] = []
        self.anchors: list[str] = []
        phrases: list[str] = []
        for phrase, cue in cues.items():
            words = phrase.split()
            if len(words) == 1 or phrase != f" {' '.join(words)} " or (cue.points == 1 and len(words) == 2):
                continue
            turned = f" {' '.join(reversed(words))} "
            if turned in cues:
                continue
            phrases.append(turned)
            if cue.anchor:
                self.anchors.append(turned)
            self._weights.append(0 if not cue.anchor else 1 if len(words) == 2 else 2)
        self._find = _automaton(phrases) if phrases else None

    def in_text(self, padded: str) -> bool:
        """Whether a folded, padded text is written backwards."""
        if self._find is None:
            return False
        found = {index for index, _, _ in self._find.find_matches_as_indexes(padded, overlapping=True)[:MAX_MATCHES]}
        heaviest = max([self._weights[index] for index in found], default=0)
        return heaviest > 1 or (heaviest == 1 and len(found) > 1)


class WordLists:
    """The automata of one `WordSettings`. What they find does not change after construction."""

    def __init__(self, settings: WordSettings) -> None:
        """Raises `re2.error` for a pattern that RE2 does not take."""
        block = {fold_phrase(phrase): phrase for phrase in settings.block}
        block.pop("", None)
        self._block = _Phrases(block)
        self._allow = _Phrases({folded: "" for folded in map(fold_phrase, settings.allow) if folded})
        stretched = {fold.collapse_doubles(folded): phrase for folded, phrase in block.items()}
        self._stretched = _Phrases(stretched)
        self._patterns = tuple(zip(settings.regex, compile_patterns(settings.regex), strict=True))
        cues = _builtin_cues() if settings.builtin_adverts else {}
        self._turned = _Turned(cues)
        for own in settings.adverts:
            _keep_dearest(cues, own.phrase, _Cue(own.kind, own.points, own.begging, anchor=True))
        self._cues = _Cues(cues)
        self._stretched_cues = _Cues(_refold(cues, fold.collapse_doubles))
        self._joined_cues = _Cues(_refold(cues, _joined))
        anchors = [key for key, cue in cues.items() if cue.anchor]
        triggers = list(dict.fromkeys([*_RUNS, *_SPELT_DOTS, *block, *anchors, *self._turned.anchors]))
        self.find_triggers = _automaton(triggers, MatchKind.LeftmostFirst).find_matches_as_indexes
        self.has_block = bool(block)
        self.has_patterns = bool(settings.regex)

    def has_trigger(self, padded: str) -> bool:
        """Whether a folded, padded text has a phrase worth a second pass, or a run that may hide the start of one."""
        return bool(self.find_triggers(padded))

    @staticmethod
    def has_run_in(found: list[tuple[int, int, int]]) -> bool:
        """Whether a character three times in a row is among what `find_triggers` found."""
        return any(index < len(_RUNS) for index, _, _ in found)

    def blocked(self, padded: str, *, stretched: bool = False) -> str:
        """The first blocked phrase that no allowed one covers, as the operator wrote it, or ''."""
        phrases = self._stretched if stretched else self._block
        hits = phrases.spans(padded)
        if not hits:
            return ""
        covers = self._allow.spans(padded)
        hits.sort()
        for start, end, phrase in hits:
            if not any(left <= start and end <= right for left, right, _ in covers):
                return phrase
        return ""

    def matched(self, text: str) -> str:
        """The first operator pattern that matches the text as sent, or ''."""
        for source, pattern in self._patterns:
            if pattern.search(text):
                return source
        return ""

    def scores(self, padded: str) -> Scores:
        """Points of the cues in a folded, padded text, read backwards where it is written so."""
        scores = self._cues.scores(padded)
        if scores.advert >= _PLAIN or scores.begging >= _PLAIN or not self._turned.in_text(padded):
            return scores
        turned = self._cues.scores(f" {' '.join(reversed(padded.split()))} ")
        return max(scores, turned, key=lambda scores: scores.advert + scores.begging)

    def stretched_scores(self, padded: str) -> Scores:
        """The same for a text out of which every doubled letter was taken."""
        return self._stretched_cues.scores(padded)

    def joined_scores(self, joined: str) -> Scores:
        """The same for a text whose letters stood apart, so that nobody knows where its words end."""
        return self._joined_cues.scores(joined)


def _builtin_cues() -> dict[str, _Cue]:
    cues: dict[str, _Cue] = {}
    for kind in builtin.BUILTIN:
        cue = _Cue(kind.name, kind.points, kind.begging, kind.anchor, kind.both)
        for phrase in _split(kind.phrases):
            _keep_dearest(cues, phrase, cue)
    return cues


def _split(phrases: str) -> Iterable[str]:
    return (phrase for part in phrases.splitlines() for phrase in map(str.strip, part.split(";")) if phrase)


def _keep_dearest(cues: dict[str, _Cue], phrase: str, cue: _Cue) -> None:
    folded = fold_phrase(phrase)
    if not folded:
        return
    known = cues.get(folded)
    if known is None or known.points < cue.points:
        cues[folded] = cue
