"""What one text says about itself: the facts that rules read.

Every field of `Facts` is a feature of rules under its own name. They depend on the text and the settings alone, never
on who wrote it, so equal texts are looked at once. What most rules ask of every text is there from the start; the rest is
worked out, a group at a time, when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec


LATER: Any = None
"""Stands in a deferred field until somebody asks for it."""


class Facts(msgspec.Struct, eq=False, gc=False):
    """The facts of one text. Counts are of code points unless a field says otherwise.

    A deferred field holds LATER until it is asked for; see `defer`.
    """

    _text: str = ""
    _part: str = ""
    _low: str = ""
    _body: str = ""
    _emotes: Sequence[str] = ()
    _tools: Any = None
    # What the rest is worked out from: the text without pictures, its judged part, that in plain letters where it is not
    # ASCII, the folded words with one space between them, the names of emotes, and the tools of the analyser. There is no
    # way back to the memo, because these objects are not seen by the garbage collector.

    length: int = 0
    """Code points of the text as sent, a `:name:` picture as one."""
    letters: int = LATER
    """Letters of any script in the judged part (the first and last 256 code points of a longer text)."""
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
    repeat_share: float = 0.0
    """Share of the text, 0 to 1, that repeats what the same text said before: words, or a unit without spaces."""
    repeated: int = 0
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

    if TYPE_CHECKING:
        # The slots of those deferred fields that every message needs; see `defer`.
        _near_skeleton_: str = LATER
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


def defer(work_out: Callable[[Facts], None], *names: str) -> None:
    """Make fields of `Facts` be worked out together when one of them is asked for.

    Each becomes a property over the field's own slot, which stays reachable as `_NAME_`. The getter is generated because
    an attribute whose name stands in the code costs half of one looked up by a string, and rules ask on every message.
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


EMPTY = Facts()
"""The facts of no text."""
