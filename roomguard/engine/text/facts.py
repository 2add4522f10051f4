"""What one text says about itself: the facts that rules read.

Every field of `Facts` is a feature of rules under its own name. They depend on the text and the settings alone, never
on who wrote it, so equal texts are looked at once. What most rules ask of every text is there from the start; the rest
is worked out, a group at a time, when somebody asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from roomguard.engine.text import fold, shape
from roomguard.engine.text.contacts import count_contacts
from roomguard.engine.text.links import NONE, LinkFinder, may_link
from roomguard.engine.text.model import TextModel
from roomguard.engine.text.near import KNOWN, near_of, near_words, one_line

DISGUISED = 180
"""Longest text in which emoji are tried as spaces: adverts are short, and each try folds the text again."""

QUIET_EMOJI, QUIET_EMOTES, QUIET_MENTIONS, QUIET_REPEATED, QUIET_RUN = 4, 3, 2, 19, 7
QUIET: Mapping[str, tuple[object, ...]] = {
    "longest_run": (1, QUIET_RUN),
    "repeated": (0, QUIET_REPEATED),
    "emoji": (0, QUIET_EMOJI),
    "emotes": (0, QUIET_EMOTES),
    "mentions": (0, QUIET_MENTIONS),
    **dict.fromkeys(("art", "invisible", "combining", "fancy", "mixed_words", "advert", "begging"), (0,)),
    **dict.fromkeys(("links", "hidden_links", "invites", "contacts"), (0,)),
    **dict.fromkeys(("blocked", "matched", "blocked_domain"), ("",)),
    **dict.fromkeys(("domains", "cues"), ((),)),
    "spaced": (False,),
}
"""What the facts of a quiet text are: one value, or the least and the most. Those not named here may be anything."""

_PROSE_SHARE = 0.3
_PROSE_WORD = 11
_FEW_WORDS = 4
_digit = re.compile(r"\d")


LATER: Any = None
"""Stands in a deferred field until somebody asks for it."""


class Facts(msgspec.Struct, eq=False, gc=False):
    """The facts of one text. Counts are of code points unless a field says otherwise.

    A deferred field holds LATER until it is asked for; see `_defer`.
    """

    _text: str = ""
    _part: str = ""
    _low: str = ""
    _body: str = ""
    _emotes: Sequence[str] = ()
    _finder: LinkFinder | None = None
    # What the rest is worked out from: the text without pictures, its judged part, that in plain letters where it is
    # not ASCII, the folded words with one space between them, the names of emotes, and what finds links. There is no
    # way back to the memo from here, because these objects are not seen by the garbage collector.

    length: int = 0
    """Code points of the text as sent, a `:name:` picture as one."""
    letters: int = LATER
    """Letters of any script in the judged part (the first and last 256 code points of a longer text, or fewer)."""
    _loud: bool = True
    # Whether anything but what QUIET says may be true of the text; generated code asks it before it asks more.
    _trace: str = ""
    # What the text leaves for later comparison (`engine.traces`), where it is known from the start.
    words: int = LATER
    """Words: stretches of letters and digits. Scripts without spaces count a stretch as one."""
    skeleton: str = LATER
    """The text folded to plain letters, without punctuation and stretching: equal for texts that say the same."""
    near_skeleton: str = LATER
    """Like `skeleton`, of the distinct words, sorted, without digits and noise: equal for texts nearly the same."""
    caps_ratio: float = LATER
    """Share of the letters that are capitals, 0 to 1; names of emotes left out."""
    digits: int = LATER
    """Digits of any script."""
    symbols: int = LATER
    """Characters that are no letter, digit, space, emoji or mark: punctuation, signs, drawing characters."""
    distinct_words: int = LATER
    """Different words among `words`."""
    longest_run: int = 1
    """Length of the longest series of one character; 1 where none stands three times in a row."""
    repeat_share: float = LATER
    """Share of the text, 0 to 1, that repeats what the same text said before: words, or a unit without spaces."""
    repeated: int = LATER
    """Code points of the text that repeat what it said before: `repeat_share` x `length`. A wall has many."""
    laughter: bool = LATER
    """The text is nothing but laughter or cheering (haha, ㅋㅋㅋ, 哈哈哈, wwww, 666), twelve letters or more."""
    emoji: int = 0
    """Pictographs."""
    emotes: int = 0
    """Emotes of the platform in the text: those the edge named, and `:names:`, which are not judged as text."""
    art: int = 0
    """Characters pictures are drawn with: braille, box drawing, blocks, squares."""
    invisible: int = 0
    """Characters that show nothing: zero-width, direction, tags, fillers; those inside emoji left out."""
    combining: int = 0
    """Combining marks that decorate letters (zalgo); the marks of ordinary spelling left out."""
    fancy: int = 0
    """Letters in mathematical, full-width, circled, small-capital and like forms."""
    mixed_words: int = 0
    """Words that mix Latin letters with Cyrillic or Greek ones drawn like them."""
    spaced: bool = False
    """Letters stand apart (`f r e e`): four or more, and most of the words."""
    links: int = 0
    """Links, open or hidden, allowed domains left out."""
    domains: tuple[str, ...] = ()
    """The distinct host names of the links, lower case, without `www.`, sorted."""
    hidden_links: int = 0
    """Links written so that no program sees them (`name dot com`, `name . com`, letters apart)."""
    invites: int = 0
    """Links that invite into another chat (Discord, Telegram, WhatsApp and the like)."""
    blocked_domain: str = ""
    """The first blocked domain linked to, or ''."""
    mentions: int = 0
    """`@name`s in the text."""
    contacts: int = LATER
    """Other ways to get in touch or pay: mail addresses, phone numbers, wallets, payment and Discord tags."""
    blocked: str = ""
    """The first blocked phrase in the text that no allowed one covers, as configured, or ''."""
    matched: str = ""
    """The first operator pattern that matches the text, or ''."""
    advert: int = 0
    """Points of advert cues: of each kind the dearest. 3 is a plain advert, 5 a clear one."""
    begging: int = 0
    """Points of begging cues: of each kind the dearest. 3 is plain begging."""
    cues: tuple[str, ...] = ()
    """The kinds of cues that made `advert` and `begging`, sorted."""
    text_spam: float | None = LATER
    """How likely the text is spam by the learned model, 0 to 1; unknown where none is configured."""
    text_spam_grams: tuple[str, ...] = LATER
    """The few parts of the text that spoke loudest for `text_spam`."""
    _model: TextModel | None = None

    if TYPE_CHECKING:
        # The slots of those deferred fields that every message needs; see `_defer`.
        _distinct_words_: int = LATER
        _repeat_share_: float = LATER
        _repeated_: int = LATER

    @classmethod
    def of(cls, **values: Any) -> Facts:
        """Facts as given, the others those of no text."""
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """All facts, worked out."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if not name.startswith("_")}

    def __eq__(self, other: object) -> bool:
        """Whether all facts are equal."""
        return self.as_dict() == other.as_dict() if isinstance(other, Facts) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The facts that differ from those of no text."""
        told = (f"{name}={value!r}" for name, value in self.as_dict().items() if value != getattr(EMPTY, name))
        return f"Facts({', '.join(told)})"

    def may_link(self) -> None:
        """Leave links for later; without this there are none."""
        self.links = self.domains = self.hidden_links = self.invites = self.blocked_domain = LATER

    def source(self) -> str:
        """The text they are of, without pictures."""
        return self._text

    def quiet(self) -> Facts:
        """Note that nothing is true of the text but what QUIET leaves open."""
        self._loud = False
        return self

    def leave_trace(self) -> str:
        """What the text leaves for later comparison, see `engine.traces`; empty where it says nothing."""
        if not self._trace and (near := self.near_skeleton):
            self._trace = KNOWN + near
        return self._trace

    def ask(self, model: TextModel) -> None:
        """Let `model` say how likely spam is; without this it is unknown."""
        self._model = model

    def model_text(self) -> tuple[str, str]:
        """The judged part of the text and the same folded, as a text model reads them."""
        part = self._part or self.skeleton  # a text without letters or digits keeps nothing else
        return part, self._low or part.lower()

    def _count(self) -> None:
        body, part = self._body, self._part
        joined = body.replace(" ", "")
        digits = 0 if joined.isalpha() else len(_digit.findall(joined))
        self.words = body.count(" ") + 1 if body else 0
        self.digits, self.letters = digits, len(joined) - digits
        if part.isascii():
            self.symbols = len(part) - len(joined) - part.count(" ")
        else:
            low = self._low
            self.symbols = max(0, len(low) - len(joined) - low.count(" ") - self.emoji)

    def _fold(self) -> None:
        body = fold.collapse_runs(self._body) if self.longest_run > 2 else self._body
        self.skeleton = body or fold.collapse_runs(self._low.strip())

    def _compare_words(self) -> None:
        """What the distinct words tell of how much of the text repeats itself."""
        body = self._body
        split = body.split()
        distinct = set(split)
        joined = "".join(split)
        self._distinct_words_ = len(distinct)
        if self._repeated_ is LATER or self._repeat_share_ is LATER:
            share = self._share_repeated(joined, len(split), distinct)
            if self._repeat_share_ is LATER:
                self._repeat_share_ = share
            if self._repeated_ is LATER:
                self._repeated_ = int(share * len(self._text)) if share else 0

    def _compare_nearly(self) -> None:
        body = self._body
        if body and self.longest_run <= 2:
            self.near_skeleton = near_of(body)  # what it left is asked the same, and remembers it
            return
        split = body.split()
        near = near_words(body, set(split), "".join(split), stretched=True)
        self.near_skeleton = near or one_line(self.skeleton)

    def _share_repeated(self, joined: str, count: int, distinct: set[str]) -> float:
        share = repeated_share(joined, count, distinct)
        if self.longest_run > 2:
            share = max(share, (self.longest_run - 1) / len(self._part))
        return share

    def _hear_laughter(self) -> None:
        joined = self._body.replace(" ", "")
        repeats = self.repeat_share > 0 or self.longest_run > 2
        self.laughter = len(joined) >= 12 and repeats and shape.is_laughter(joined)

    def _find_links(self) -> None:
        text, part = self._text, self._part
        low = part.lower() if part.isascii() else self._low
        whole = low if part == text else text.lower()[: fold.MAX_LENGTH]  # some letters grow
        links = NONE
        if self._finder is not None and may_link(whole):
            if self.mixed_words:
                whole = low = fold.latin(low)
            links = self._finder.find(whole, low)
            if not links.count and self.emoji and len(text) <= DISGUISED:
                bare = shape.without_emoji(part).lower()
                links = self._finder.find(bare, bare)
        self.links, self.domains, self.hidden_links = links.count, links.domains, links.hidden
        self.invites, self.blocked_domain = links.invites, links.blocked

    def _count_contacts(self) -> None:
        self.contacts = count_contacts(self._part, self.digits)

    def _weigh_capitals(self) -> None:
        part = self._part
        if part.islower() or not self.letters:
            self.caps_ratio = 0.0
        elif part.isascii():
            self.caps_ratio = shape.capitals_ascii(part.encode(), self.letters, self._emotes)
        else:
            self.caps_ratio = shape.capitals(part, self._emotes)

    def _ask_model(self) -> None:
        model = self._model
        if model is not None:
            part, low = self.model_text()
            self.text_spam = model.score(low, part)

    def _name_grams(self) -> None:
        self.text_spam_grams = () if self._model is None else self._model.loudest(self.model_text()[1])


def repeated_share(joined: str, count: int, distinct: set[str]) -> float:
    """The share that repeats of a text of `count` words, `joined` without spaces; runs of one character left out."""
    share = 0.0
    if len(distinct) < count and count >= _FEW_WORDS:
        share = shape.repeated_words(len(joined), distinct)
    if len(joined) >= 12 and (share >= _PROSE_SHARE or len(joined) > _PROSE_WORD * count):
        share = max(share, shape.repeated_units(joined))
    return share


def repeats_little(body: str, letters: int, count: int, length: int) -> bool:
    """Whether a text that has no runs to speak of repeats no more than a quiet one: `repeated`, but for its number."""
    words = body.split(" ")
    distinct = set(words)
    if len(distinct) == count and letters <= _PROSE_WORD * count:
        return True
    return repeated_share("".join(words), count, distinct) * length < QUIET_REPEATED + 1


_GROUPS = {
    "_count": ("letters", "words", "digits", "symbols"),
    "_fold": ("skeleton",),
    "_compare_words": ("distinct_words", "repeat_share", "repeated"),
    "_compare_nearly": ("near_skeleton",),
    "_hear_laughter": ("laughter",),
    "_find_links": ("links", "domains", "hidden_links", "invites", "blocked_domain"),
    "_count_contacts": ("contacts",),
    "_weigh_capitals": ("caps_ratio",),
    "_ask_model": ("text_spam",),
    "_name_grams": ("text_spam_grams",),
}
"""The deferred fields, by the method that works them out together."""


def _defer(work_out: Callable[[Facts], None], names: Sequence[str]) -> None:
    """Make fields be worked out when one of them is asked for.

    Each becomes a property over the field's own slot, which stays reachable as `_NAME_`. The getter is generated
    because an attribute whose name stands in the code costs half of one looked up by a string, and rules ask on every
    message.
    """
    for name in names:
        slot = Facts.__dict__[name]
        setattr(Facts, f"_{name}_", slot)
        setattr(Facts, name, property(_getter(name, work_out), slot.__set__))


def _getter(name: str, work_out: Callable[[Facts], None]) -> Callable[[Facts], Any]:
    source = f"""
def {name}(self):
    value = self._{name}_
    if value is None:
        work_out(self)
        value = self._{name}_
    return value
"""
    namespace: dict[str, Any] = {"work_out": work_out}
    exec(source, namespace)  # noqa: S102 - the name of a field, from this package
    getter: Callable[[Facts], Any] = namespace[name]
    return getter


for _method, _names in _GROUPS.items():
    _defer(Facts.__dict__[_method], _names)

EMPTY = Facts()
"""The facts of no text."""
