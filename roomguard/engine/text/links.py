"""Links, written openly or to slip through: `example.com/x`, `example . com`, `example dot com`, `example(.)com`.

A full stop between two words is no link ("wait...what", "e.g.", "3.5", "lol.ok"): without scheme, `www.` or path a name
needs an ending of the embedded list, and one that is no word of running text.
"""

from __future__ import annotations

import re

import attrs

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

_MAX_SPACED = 400
"""Longest text searched for links whose letters stand apart."""

# Texts come here in small letters: to ignore their case would cost a third more.
_scheme = re.compile(
    r"(?:https?|hxxps?|ts3server|tg|discord)\s{0,2}[:;]?\s{0,2}(?:/|\\){1,3}\s{0,2}([^\s/?#:@\\]{1,120}(?:@[^\s/?#:@\\]{1,120})?)([/?#]\S{0,80})?",
)
_bare = re.compile(
    r"(?<![a-z0-9\u0400-\u04ff\u0131\u017f@.\-_])((?:[a-z0-9\u0400-\u04ff\u0131\u017f](?:[a-z0-9\-_\u0400-\u04ff\u0131\u017f]{0,61}[a-z0-9\u0400-\u04ff\u0131\u017f])?\.){1,5}([a-z\u0400-\u04ff\u0131\u017f]{2,12}))"
    r"(?![a-z0-9\u0400-\u04ff\u0131\u017f@\-_]|\.[a-z0-9\u0131\u017f])(?::\d{1,5})?(/[^\s]{0,80})?",
)
_dot = (
    r"(?:\s{0,3}[\(\[\{<]\s{0,2}(?:\.|dot|d0t|точка|punto|punkt)\s{0,2}[\)\]\}>]\s{0,3}"
    r"|\s{1,3}(?:dot+|d0t|punto|punkt|точка)\s{1,3}"
    r"|\s{1,3}\.{1,2}\s{0,3}"
    r"|\s{0,3}\.{1,2}\s{1,3}"
    r"|\s{0,2}[,。．｡]\s{0,2}"
    r"|\s{0,2}\*\s{0,2})"
)
_HIDDEN_ENDINGS = (
    "com|net|org|ru|xyz|live|online|store|shop|site|biz|info|club|top|gg|tv|io|pro|vip|app|link|click|me|co|win|bet"
    "|fun|рф"
)
_HIDDEN_LIST = tuple(_HIDDEN_ENDINGS.split("|"))
_hidden = re.compile(
    rf"(?<![\w.])([a-z0-9][a-z0-9\-]{{2,40}}+){_dot}({_HIDDEN_ENDINGS})(?![\w])(\s{{0,1}}/\s{{0,1}}\S{{1,60}})?",
)
_stretch = re.compile(r"[a-zA-Z0-9\-]{200,}")
_NAME = 42
"""Characters of a stretch without end, at its end, that can be a name and what stands before it."""
_spaced = re.compile(r"(?<!\w)((?:[a-z0-9] ){3,30}[a-z0-9]) ?(?:\.|dot) ?((?:[a-z] ){1,4}[a-z])(?!\w)")
_explicit = re.compile(r"[\(\[\{<]|\bdot+\b|\bd0t\b|точка|punto|punkt", re.IGNORECASE)

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

    def find(self, text: str) -> Links:
        """The links of a text of at most 2,000 code points, already in plain letters but with its punctuation."""
        found: dict[str, str] = {}
        hidden: dict[str, str] = {}
        count = 0
        if "/" in text or "\\" in text:
            for match in _scheme.finditer(text):
                host = match[1].rpartition("@")[2].rstrip(".,;!)").lower()
                count += self._note(host, match[2] or "", found)
                if count >= MAX_LINKS:
                    break
        if "." in text:
            for match in _bare.finditer(text):
                name, ending, path = match[1].lower(), match[2].lower(), match[3] or ""
                if name not in found and _is_link(name, ending, path):
                    count += self._note(name, path, found)
                if count >= MAX_LINKS:
                    break
        if count < MAX_LINKS:
            self._find_hidden(text, hidden, found)
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

    def _find_hidden(self, text: str, hidden: dict[str, str], found: dict[str, str]) -> None:
        if any(ending in text for ending in _HIDDEN_LIST):
            self._find_gapped(text, hidden, found)
        # Letters apart are half of them spaces.
        if len(text) > _MAX_SPACED or 10 * text.count(" ") < 3 * len(text):
            return
        for match in _spaced.finditer(text):
            name, ending = match[1].replace(" ", "").lower(), match[2].replace(" ", "").lower()
            if ending in SURE and not _under(f"{name}.{ending}", self.allow):
                hidden.setdefault(f"{name}.{ending}", "")
            if len(hidden) >= MAX_LINKS:
                return

    def _find_gapped(self, text: str, hidden: dict[str, str], found: dict[str, str]) -> None:
        seen: set[str] = set()
        if len(text) > _MAX_SPACED:
            # From each of its hyphens a name would be looked for up to its longest.
            text = _stretch.sub(_its_end, text)
        for match in _hidden.finditer(text):
            said = text[match.start() : match.end(2)]
            if said in seen:
                continue
            seen.add(said)
            name, ending = match[1].lower(), match[2].lower()
            gap = text[match.end(1) : match.start(2)]
            if not _explicit.search(gap) and not _plausible_gap(name, ending, gap):
                continue
            host = f"{name}.{ending}"
            if host not in found and not _under(host, self.allow):
                hidden.setdefault(host, match[3] or "")
            if len(hidden) >= MAX_LINKS:
                return


def _its_end(stretch: re.Match[str]) -> str:
    return stretch[0][-_NAME:]


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
