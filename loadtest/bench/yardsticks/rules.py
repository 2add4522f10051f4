"""The fixed rules of the yardsticks: blocked phrases, links, capitals, and windows of chats and likes for each user."""

from __future__ import annotations

import random
import re
import sys
import unicodedata
from collections import deque
from typing import Any

import ahocorasick_rs

PHRASES = 2_000
WINDOW = 10.0  # seconds
CHATS = 8
LIKES = 200
COPIES = 3
MUTE = 60.0  # seconds
PRUNE = 60.0  # seconds of event time between two looks for users who are gone

_LINK = re.compile(r"(?:https?://|www\.)\S+|\b[a-z0-9-]+\.(?:com|net|org|xyz|gg|ly|io|example)\b", re.IGNORECASE)
Event = dict[str, Any]


def phrases(count: int = PHRASES) -> list[str]:
    """Blocked phrases of invented words, some of other scripts; always the same."""
    rng = random.Random(2_000)
    scripts = ("bcdfghklmnprst", "aeiou"), ("бвгдклмнпрст", "аеиоу")
    found: dict[str, None] = {}
    while len(found) < count:
        onsets, vowels = scripts[rng.random() < 0.1]
        words = (
            "".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.randint(3, 4)))
            for _ in range(rng.randint(1, 3))
        )
        found[" ".join(words)] = None
    return list(found)


class User:
    """What is remembered of one user in one room."""

    __slots__ = ("chats", "likes", "muted_until", "seen", "texts")

    def __init__(self) -> None:
        self.chats: deque[float] = deque()
        self.texts: deque[str] = deque(maxlen=COPIES)
        self.likes = 0
        self.seen = 0.0
        self.muted_until = 0.0


class Rules:
    """Judges one event after the other; the reason for a mute, or None."""

    def __init__(self) -> None:
        self._phrases = ahocorasick_rs.AhoCorasick(phrases(), implementation=ahocorasick_rs.Implementation.DFA)
        self._users: dict[tuple[str, str], User] = {}
        self._pruned = 0.0

    def judge(self, event: Event) -> str | None:
        """All rules. Somebody who is muted is not judged again."""
        user = self.user(event)
        if user is None or user.muted_until > event["ts"]:
            return None
        reason = self._chat(user, event) if event["kind"] == "chat" else self._other(user, event)
        if reason is not None:
            user.muted_until = event["ts"] + MUTE
        return reason

    def user(self, event: Event) -> User | None:
        """The state of who sent it; None for an event of nobody."""
        name = event.get("user")
        if name is None:
            return None
        now = event["ts"]
        if now - self._pruned > PRUNE:
            self._prune(now)
        key = (event["room"], name)
        user = self._users.get(key)
        if user is None:
            user = self._users[key] = User()
        user.seen = now
        return user

    def text(self, text: str) -> str | None:
        """The rules that look at one text alone."""
        folded = unicodedata.normalize("NFKC", text).lower()
        if self._phrases.find_matches_as_indexes(folded):
            return "blocked_phrase"
        if _LINK.search(folded):
            return "link"
        letters = [char for char in text if char.isalpha()]
        if len(letters) >= 10 and sum(char.isupper() for char in letters) > 0.7 * len(letters):
            return "capitals"
        return None

    def _chat(self, user: User, event: Event) -> str | None:
        text, now = event["text"], event["ts"]
        reason = self.text(text)
        chats = user.chats
        chats.append(now)
        while chats[0] <= now - WINDOW:
            chats.popleft()
        if len(chats) > CHATS:
            reason = reason or "flood"
        texts = user.texts
        texts.append(text)
        if len(texts) == COPIES and texts.count(text) == COPIES:
            reason = reason or "copies"
        return reason

    def _other(self, user: User, event: Event) -> str | None:
        if event["kind"] != "like":
            return None
        user.likes += event["count"]
        return "likes" if user.likes > LIKES else None

    def _prune(self, now: float) -> None:
        self._pruned = now
        gone = [key for key, user in self._users.items() if user.seen < now - PRUNE and user.muted_until < now]
        for key in gone:
            del self._users[key]


class TunedRules(Rules):
    """The same rules by someone who profiled them: what cannot match is not looked for."""

    def text(self, text: str) -> str | None:
        """See `Rules.text`; the same answer for less."""
        folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()
        if self._phrases.find_matches_as_indexes(folded):
            return "blocked_phrase"
        if ("." in folded or "://" in folded) and _LINK.search(folded):
            return "link"
        if len(text) >= 10 and not text.islower():
            letters = sum(map(str.isalpha, text))
            if letters >= 10 and sum(map(str.isupper, text)) > 0.7 * letters:
                return "capitals"
        return None


def mute(event: Event, reason: str, number: int) -> dict[str, Any]:
    """The action for an event."""
    return {
        "id": f"m{number}",
        "offset": number,
        "kind": "mute",
        "room": event["room"],
        "user": event["user"],
        "at": event["ts"],
        "reason": reason,
        "message": "You were muted for a minute.",
        "rule": reason,
        "strategy": "fixed",
        "config": "fixed",
        "causes": [event["id"]],
        "duration_s": MUTE,
        "until": event["ts"] + MUTE,
    }


def announce(port: int) -> None:
    """Say that the socket is open: whoever started us waits for this line."""
    sys.stdout.write(f"listening on 127.0.0.1:{port}\n")
    sys.stdout.flush()


WELCOME = (
    b'{"type":"welcome","protocol":"roomguard.v1","node":"yardstick","epoch":"1","config":"fixed","resume_after":0,'
    b'"max_unacked":64,"max_frame_bytes":1048576,"max_events":4096}'
)
