"""What one text says about itself: the facts that rules read.

Every field of `Facts` is a feature of rules under its own name. They depend on the text and the settings alone, never on
who wrote it, so equal texts are looked at once.
"""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The facts of one text. Counts are of code points unless a field says otherwise."""

    length: int = 0
    """Code points of the text as sent, a `:name:` picture as one."""
    letters: int = 0
    """Letters of any script in the judged part (the first and last 256 code points of a longer text)."""
    words: int = 0
    """Words: stretches of letters and digits. Scripts without spaces count a stretch as one."""
    skeleton: str = ""
    """The text folded to plain letters, without punctuation and stretching: equal for texts that say the same."""
    near_skeleton: str = ""
    """Like `skeleton`, of the distinct words only, sorted, without digits and noise: equal for texts that nearly say the same."""
    caps_ratio: float = 0.0
    """Share of the letters that are capitals, 0 to 1; names of emotes left out."""
    digits: int = 0
    """Digits of any script."""
    symbols: int = 0
    """Characters that are no letter, digit, space, emoji or mark: punctuation, signs, drawing characters."""
    distinct_words: int = 0
    """Different words among `words`."""
    longest_run: int = 1
    """Length of the longest series of one character; 1 where none stands three times in a row."""
    repeat_share: float = 0.0
    """Share of the text, 0 to 1, that repeats what the same text said before: words, or a unit without spaces."""
    repeated: int = 0
    """Code points of the text that repeat what it said before: `repeat_share` x `length`. A wall has many."""
    laughter: bool = False
    """The text is laughter, applause or cheering and nothing else (haha, ㅋㅋㅋ, 哈哈哈, wwww, 666, 5555), twelve letters or more."""
    emoji: int = 0
    """Pictographs."""
    emotes: int = 0
    """Emotes of the platform in the text: those the edge named, and `:names:` like `:wave:`, which are not judged as text."""
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
    contacts: int = 0
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


EMPTY = Facts()
"""The facts of no text."""
