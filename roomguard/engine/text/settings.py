"""What an operator may set about words, links and adverts."""

from __future__ import annotations

import attrs


@attrs.frozen
class AdvertCue:
    """One more cue of adverts or begging.

    `phrase` is a word or a few words; `*` at either end drops the word boundary on that side. `kind` groups cues: of
    one kind only the dearest counts. `points` is 1 to 9. `begging` sends the points to that score instead of adverts.
    """

    phrase: str
    kind: str = "own"
    points: int = attrs.field(default=3, validator=[attrs.validators.ge(1), attrs.validators.le(9)])
    begging: bool = False


@attrs.frozen
class WordSettings:
    """Words, patterns and domains of one guard.

    `block` and `allow` are words or phrases, matched on the folded text at word boundaries; `*` at either end drops the
    boundary there. An allowed phrase covers a blocked one inside it. `regex` are RE2 patterns over the text as sent,
    case ignored. `allow_domains` are no links at all (subdomains included); `block_domains` are reported by name.
    `adverts` adds cues to the built-in list, `builtin_adverts` switches that list off.
    `cache_texts` bounds the memo of judged texts, each of its two generations; when both are full the older is
    forgotten. `model_file` names a text model made by `python3 -m roomguard learn`; without one `text_spam` is unknown.
    """

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    allow_domains: tuple[str, ...] = ()
    block_domains: tuple[str, ...] = ()
    adverts: tuple[AdvertCue, ...] = ()
    builtin_adverts: bool = True
    model_file: str = ""
    cache_texts: int = attrs.field(default=8192, validator=attrs.validators.ge(16))
