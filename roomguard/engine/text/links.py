"""Links, written openly or to slip through: `example.com/x`, `example . com`, `example dot com`, `example(.)com`.

A full stop between two words is no link ("wait...what", "e.g.", "3.5", "lol.ok"): without scheme, `www.` or path a name
needs an ending of the embedded list, and one that is no word of running text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice

import attrs
from ahocorasick_rs import AhoCorasick, Implementation

from roomguard.engine.text.tlds import SURE, UNSURE, WITH_PATH

INVITES = (
    "discord.gg", "discord.com/invite", "discordapp.com/invite", "dsc.gg", "t.me", "telegram.me",
    "telegram.dog", "wa.me", "chat.whatsapp.com", "m.me", "line.me", "kik.me", "join.skype.com", "vk.me",
    "signal.group", "zalo.me", "guilded.gg", "teamspeak", "invite.gg",
)  # fmt: skip
"""Where an invitation into another place leads: names, or names with the start of a path."""

_INVITE_STARTS = tuple(f"{invite}{end}" for invite in INVITES for end in "/?")

MAX_LINKS = 16
"""Links looked at in one text; there is no more to learn from the seventeenth."""

MAX_LOOKS = 12
"""Places looked at in one text for open links and hidden ones together. Of more, the first and the last half are: where
so many could be the ending of a link the text is a wall of them, or of nothing."""

_MAX_LOOKS_LONG = 6
"""The same in a text of more than 512 code points, half of it for links that begin with a scheme: those that have an
ending too are found by it."""

_LEAST_LOOKS = 6
"""Of them, those left for hidden links where the open ones took more; further ones are for letters apart."""

_LONG = 512
"""Code points of a text beyond which no hidden links are looked for beside open ones."""
_MAX_SPACED = 400
"""Longest text searched for links whose letters stand apart."""

# A regular expression that has to try every character costs a hundred times what an automaton costs that finds the few
# places where an ending stands. From there on it is a matter of a few characters, before and behind.
# Texts come here in small letters: to ignore their case would cost a third more.
_slash = re.compile(r"/(?<=[prsgd:;\s].)")
_BEFORE_SLASH = 14
_before_slash = re.compile(r"(?:https?|hxxps?|ts3server|tg|discord)\s{0,2}[:;]?\s{0,2}\Z")
_scheme = re.compile(
    r"(?:https?|hxxps?|ts3server|tg|discord)\s{0,2}[:;]?\s{0,2}(?:/|\\){1,3}\s{0,2}([^\s/?#:@\\]{1,120}(?:@[^\s/?#:@\\]{1,120})?)([/?#]\S{0,80})?",
)

_LETTERS = r"a-z\u0400-\u04ff\u0131\u017f"
_LONGEST = 332
_run = re.compile(rf"[{_LETTERS}0-9@.\-_]*")
_bare = re.compile(
    rf"(?<![{_LETTERS}0-9@.\-_])((?:[{_LETTERS}0-9](?:[{_LETTERS}0-9\-_]{{0,61}}[{_LETTERS}0-9])?\.){{1,5}}([{_LETTERS}]{{2,12}}))"
    rf"(?![{_LETTERS}0-9@\-_]|\.[a-z0-9\u0131\u017f])(?::\d{{1,5}})?(/[^\s]{{0,80}})?",
)

_PATH = 81
_MAX_PATHS = 3
"""Names behind a slash of which it is asked whether they are part of the path of another; further ones are none."""

_HIDDEN_ENDINGS = (
    "com|net|org|ru|xyz|live|online|store|shop|site|biz|info|club|top|gg|tv|io|pro|vip|app|link|click|me|co|win|bet"
    "|fun|рф"
)
_ending = re.compile(rf"({_HIDDEN_ENDINGS})(?!\w)(\s{{0,1}}/\s{{0,1}}\S{{1,60}})?")
_SPACES = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_ONE_SIGN = f"{_SPACES})]}}>,。．｡*"
_TWO_SIGNS = ("..", *(f"{space}." for space in _SPACES))
"""How what stands before a hidden ending ends; one full stop between two words hides nothing."""
_LAST_OF_DOT = frozenset(")]}>.,。．｡*tоoа")
"""How what stands for a full stop ends, spaces behind it left out: by a sign, or as `dot`, `punto` or `точка` do."""
_BEFORE_ENDING = 64
# What stands between name and ending, and the name, read backwards from the ending.
_named_before = re.compile(
    r"(?:\s{0,3}[\)\]\}>]\s{0,2}(?:\.|tod|t0d|акчот|otnup|tknup)\s{0,2}[\(\[\{<]\s{0,3}"
    r"|\s{1,3}(?:t+od|t0d|otnup|tknup|акчот)\s{1,3}"
    r"|\s{0,3}\.{1,2}\s{1,3}"
    r"|\s{1,3}\.{1,2}\s{0,3}"
    r"|\s{0,2}[,。．｡]\s{0,2}"
    r"|\s{0,2}\*\s{0,2})"
    r"([a-z0-9\-]{2,40}[a-z0-9])(?![\w.])"
)
_explicit = re.compile(r"[\(\[\{<]|\bdot+\b|\bd0t\b|точка|punto|punkt", re.IGNORECASE)

_BEFORE_DOT = 64
_apart_before = re.compile(r" ?([a-z0-9](?: [a-z0-9]){3,30})(?!\w)")
_apart_ending = re.compile(r"(?:\.|dot) ?((?:[a-z] ){1,4}[a-z])(?!\w)")


_Place = tuple[int, int, int]
"""Which phrase stands there, from where, and to where."""


def _places(phrases: Iterable[str]) -> Callable[[str], list[_Place]]:
    """What finds where one of the phrases stands, none over another."""
    return AhoCorasick(list(phrases), implementation=Implementation.DFA).find_matches_as_indexes


_endings = _places([*sorted(f".{ending}" for ending in WITH_PATH), "www."])
_gapped_endings = _places(gap + ending for gap in (*_ONE_SIGN, *_TWO_SIGNS) for ending in _HIDDEN_ENDINGS.split("|"))
_FIRST_OF_TWO_SIGNS = len(_ONE_SIGN) * len(_HIDDEN_ENDINGS.split("|"))
_apart_endings = _places(
    dot + " ".join(ending) for dot in (".", ". ", "dot", "dot ") for ending in sorted(SURE) if len(ending) <= 5
)

_COMMON_WORDS = frozenset(
    "the and for you are was not but what that this with have from they all can out now its just like get lol bro "
    "yes yeah okay dot did how who why him her his she our one two too via per gonna want know think good time "
    "chat game stream play back here there then when where which would could should been being really about right "
    "going come make love hate nice cool best work live online store shop link click top pro club fun win info "
    "app fake real free cheap new old any some more most".split()
)


_ENDINGS_NO_WORD = frozenset("com net org ru xyz biz gg рф".split())
_ENDINGS_WORDS = frozenset(
    "me pro info top live win app link click fun online shop store site bet vip club co tv io".split()
)


@attrs.frozen
class Links:
    """What was found in one text."""

    count: int = 0
    domains: tuple[str, ...] = ()
    invites: int = 0
    hidden: int = 0
    blocked: str = ""


NONE = Links()


@attrs.frozen
class LinkFinder:
    """Finds links; `allow` are domains that count as none, `block` those to be named."""

    allow: frozenset[str] = frozenset()
    block: frozenset[str] = frozenset()

    def find(self, text: str, ends: str) -> Links:
        """The links of a text of at most 2,000 code points, already in plain letters but with its punctuation.

        Hidden ones are looked for in `ends` alone: all of a text that is folded as a whole, both ends of a longer one.
        """
        try:
            return self._find(text, ends)
        except UnicodeEncodeError:  # half a pair of surrogates, which is a part of no link
            return self._find(_without_halves(text), _without_halves(ends))

    def _find(self, text: str, ends: str) -> Links:
        found: dict[str, str] = {}
        hidden: dict[str, str] = {}
        count = 0
        looks = MAX_LOOKS if len(text) <= _LONG else _MAX_LOOKS_LONG
        if "/" in text or "\\" in text:
            count = self._find_schemes(text, found, looks if len(text) <= _LONG else looks // 2)
        if "." in text:
            places = _few(_endings(text), looks)
            looks = max(_LEAST_LOOKS, looks - len(places))
            count += self._find_bare(text, places, found, MAX_LINKS - count)
        if count < MAX_LINKS and (not count or len(text) <= _LONG):
            self._find_gapped(ends, _few(_gapped_endings(ends), looks), hidden, found)
            # Letters apart are half of them spaces.
            if len(hidden) < MAX_LINKS and len(ends) <= _MAX_SPACED and 10 * ends.count(" ") >= 3 * len(ends):
                self._find_apart(ends, hidden)
        every = found | hidden
        if not every:
            return NONE
        names = tuple(sorted(every))
        invites = sum(is_invite(name, path) for name, path in every.items())
        blocked = next((name for name in names if _under(name, self.block)), "")
        return Links(
            count=max(count, len(found)) + len(hidden),
            domains=names,
            invites=invites,
            hidden=len(hidden),
            blocked=blocked,
        )

    def _note(self, host: str, path: str, found: dict[str, str]) -> int:
        host = host.removeprefix("www.")
        if not host or _under(host, self.allow):
            return 0
        found.setdefault(host, path)
        return 1

    def _find_schemes(self, text: str, found: dict[str, str], most: int) -> int:
        count = past = 0
        # A search for one character is several times as fast as one for either of two.
        for slash in islice(_slash.finditer(text.replace("\\", "/")), most):
            at = slash.start()
            scheme = _before_slash.search(text, max(past, at - _BEFORE_SLASH), at) if at >= past else None
            match = _scheme.match(text, scheme.start()) if scheme else None
            if match:
                past = match.end()
                host = match[1].rpartition("@")[2].rstrip(".,;!)").lower()
                count += self._note(host, match[2] or "", found)
                if count >= MAX_LINKS:
                    break
        return count

    def _find_bare(self, text: str, places: list[_Place], found: dict[str, str], most: int) -> int:
        count = past = paths = 0
        for _, at, _ in places:
            if at < past:
                continue
            match = _name_around(text, at, past)
            # Of a run of such characters only the start can start a name.
            past = match.end() if match else _run.match(text, at).end()  # type: ignore[union-attr]
            if not match:
                continue
            name, ending, path = match[1].lower(), match[2].lower(), match[3] or ""
            if name in found or not _is_link(name, ending, path):
                continue
            if paths < _MAX_PATHS and text[match.start() - 1 : match.start()] == "/":
                paths += 1
                if _in_path(text, match.start()):
                    continue
            count += self._note(name, path, found)
            if count >= most:
                break
        return count

    def _find_gapped(self, text: str, places: list[_Place], hidden: dict[str, str], found: dict[str, str]) -> None:
        seen: set[str] = set()
        past = 0
        for index, first, _ in places:
            at = first + (index >= _FIRST_OF_TWO_SIGNS)
            if text[max(0, at - 3) : at + 1].rstrip()[-1:] not in _LAST_OF_DOT:
                continue
            ending = _ending.match(text, at + 1)
            if ending is None:
                continue
            before = _named_before.match(text[max(past, at - _BEFORE_ENDING) : at + 1][::-1])
            if before is None:
                continue
            past = ending.end()
            start = at + 1 - before.end()
            said = text[start : ending.end(1)]
            if said in seen:
                continue
            seen.add(said)
            name, end = before[1][::-1].lower(), ending[1].lower()
            gap = text[start + len(name) : at + 1]
            if not _explicit.search(gap) and not _plausible_gap(name, end, gap):
                continue
            host = f"{name}.{end}"
            if host not in found and not _under(host, self.allow):
                hidden.setdefault(host, ending[2] or "")
            if len(hidden) >= MAX_LINKS:
                return

    def _find_apart(self, text: str, hidden: dict[str, str]) -> None:
        past = 0
        for _, at, _ in _few(_apart_endings(text), _LEAST_LOOKS):
            ending = _apart_ending.match(text, at)
            before = (
                _apart_before.match(text[max(past, at - _BEFORE_DOT) : at][::-1]) if ending and at >= past else None
            )
            if not ending or not before:
                continue
            past = ending.end()
            name, end = before[1].replace(" ", "")[::-1], ending[1].replace(" ", "")
            if end in SURE and not _under(f"{name}.{end}", self.allow):
                hidden.setdefault(f"{name}.{end}", "")
            if len(hidden) >= MAX_LINKS:
                return


def _name_around(text: str, at: int, past: int) -> re.Match[str] | None:
    """The name, not before `past`, in which or in the path of which an ending was found at `at`."""
    start = text.rfind(" ", max(0, past - 1, at - _LONGEST), at) + 1
    if start >= past:
        # Nearly every name has a space before it.
        match = _bare.match(text, start)
        if match and match.end() > at:
            return match
    if start == at:
        return None
    run = _run.match(text[max(0, at - _LONGEST) : at][::-1])
    start = at - run.end() if run else at
    return _bare.match(text, start) if start >= past else None


def _in_path(text: str, start: int) -> bool:
    """Whether the name that starts there belongs to the path of another name, which may be no link: `a.b/c.com`."""
    begin = max(0, start - _PATH - _LONGEST // 4)
    begin = start - len(text[begin:start].rsplit(maxsplit=1)[-1])
    match = _bare.search(text, begin, start + 1)
    return match is not None and match.end() > start


def _few(places: list[_Place], most: int) -> list[_Place]:
    if len(places) <= most:
        return places
    return places[: most // 2] + places[-(most // 2) :]


def _without_halves(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def may_link(low: str) -> bool:
    """Cheap: whether a lower-case text can hold a link at all."""
    return "." in low or "//" in low or "dot" in low or "(" in low or "[" in low


def is_invite(host: str, path: str) -> bool:
    """Whether a link invites into another chat."""
    whole = f"{host}{path}".lower() + "/"
    return whole.startswith(_INVITE_STARTS)


def _is_link(name: str, ending: str, path: str) -> bool:
    if name.startswith("www.") and name.count(".") >= 2:
        return True
    if ending in WITH_PATH and len(path) > 1:
        return True
    if ending not in SURE:
        return False
    label = name[: -len(ending) - 1]
    if ending not in UNSURE:
        return len(label) > 1 or ending in ("com", "net", "org")
    # "yes.in", "ok.me": an ending that is also a word needs a name that is no word.
    return any(char.isdigit() or char in "-." for char in label)


def _plausible_gap(name: str, ending: str, gap: str) -> bool:
    """A full stop with a space beside it ends most sentences: ask for what no sentence does."""
    if name in _COMMON_WORDS or name.isdigit():
        return False
    if "," in gap or "*" in gap or ".." in gap:
        return ending in _ENDINGS_NO_WORD
    if gap.startswith(" ") and not gap.endswith(" "):
        return ending not in _ENDINGS_WORDS or ending in ("live", "online", "store", "shop", "site")
    return ending in _ENDINGS_NO_WORD


def _under(host: str, domains: frozenset[str]) -> bool:
    """Whether `host` is one of `domains` or below one."""
    if not domains:
        return False
    while host:
        if host in domains:
            return True
        host = host.partition(".")[2]
    return False
