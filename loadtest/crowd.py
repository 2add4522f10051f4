"""What ordinary people do: an endless stream of events, put together by string formatting.

The generator shares the machine with the guard, so an event has to cost next to nothing: one draw of 64 random bits,
of which each decision takes a few, and one f-string. Habits of people are built in:

- Someone who acted comes round again only after most of the room had a turn: even the quickest person of a room
  stands some 8 seconds between two events (at the default gap of 20 s), but for the follow-up below.
- One event in sixteen is a follow-up by someone who acted seconds ago.
- Three in ten chats are cheers or emotes, which copy each other; most others are short.
- A gift may be a streak that re-sends itself with a growing count; likes come in counts.
"""

from __future__ import annotations

import random

from loadtest.rooms import Room, wheel
from loadtest.words import CHEERS, EMOTES, LANGUAGES, Phrasebook, fragment, phrasebook

WHEEL_BITS = 18
KIND_SHARES = {
    "chat": 0.705,
    "like": 0.15,
    "join": 0.06,
    "gift": 0.036,
    "leave": 0.028,
    "follow": 0.01,
    "share": 0.005,
    "viewers": 0.003,
    "report": 0.002,
    "unfollow": 0.001,
}
GIFTS = (
    ("rose", 1),
    ("rose", 1),
    ("rose", 1),
    ("clap", 2),
    ("clap", 2),
    ("crown", 20),
    ("rocket", 300),
    ("castle", 4000),
)
_DAY = 86_400


class Seat:
    """A room as the crowd of one edge sees it."""

    __slots__ = ("book", "crowd", "cursor", "first_user", "lag", "name", "streak")

    def __init__(self, room: Room, book: Phrasebook) -> None:
        self.name = room.name
        self.first_user = room.first_user
        self.crowd = room.crowd
        self.cursor = 0
        self.lag = min(room.crowd // 2, max(1, round(room.rate * 4)))  # how many events ago was "seconds ago"
        self.book = book
        self.streak: tuple[int, int, int, int] | None = None  # user, streak number, gift, count so far


def who_fields(rng: random.Random, count: int = 1024) -> tuple[str, ...]:
    """`count` (a power of two) ready `who` fields; a user always has the same one."""
    out = []
    for index in range(count):
        roll = rng.random()
        age = rng.randint(60, 3 * _DAY) if roll < 0.05 else int(_DAY * min(3_000.0, 3 + rng.expovariate(1 / 400)))
        follower = "true" if rng.random() < 0.55 else "false"
        role = {1: '"role":"moderator",', 2: '"role":"vip",', 3: '"role":"vip",'}.get(index, "")
        if not role and roll > 0.9:
            role = '"role":"subscriber",'
        level = f',"level":{rng.randint(1, 40)}' if index % 3 == 0 else ""
        out.append(f',"who":{{{role}"account_age_s":{age},"follower":{follower}{level}}}')
    return tuple(out)


class Crowd:
    """The ordinary events of the rooms of one edge."""

    def __init__(self, rooms: list[Room], seed: str) -> None:
        rng = random.Random(seed)
        books = {language: phrasebook(language, random.Random(f"{seed} {language}")) for language in LANGUAGES}
        seats = [Seat(room, books[room.language]) for room in rooms]
        slots = wheel([room.share for room in rooms], 1 << WHEEL_BITS)
        self._wheel = [seats[index] for index in slots]
        kinds = list(KIND_SHARES)
        self._kinds = tuple(kinds[index] for index in wheel(list(KIND_SHARES.values()), 1024))
        self._who = who_fields(rng)
        self._cheers = tuple(fragment(rng.choice(CHEERS)) for _ in range(64))
        self._emotes = tuple(
            f'{" ".join([name] * count)}","emotes":["{name}"]' for name in EMOTES for count in (1, 1, 2, 3)
        )
        self._draw = rng.getrandbits
        self._streaks = 0

    def event(self, event_id: str, stamp: str) -> str:
        """The next event as JSON; `stamp` is its `ts`, already formatted."""
        bits = self._draw(64)
        seat = self._wheel[bits & 0x3FFFF]
        cursor = seat.cursor + 1 + (bits >> 18 & 3)
        if cursor >= seat.crowd:
            cursor %= seat.crowd
        seat.cursor = cursor
        if not bits & 0xF00000:
            cursor = (cursor - seat.lag) % seat.crowd
        user = seat.first_user + cursor
        kind = self._kinds[bits >> 24 & 1023]
        bits >>= 34
        if kind == "chat":
            return (
                f'{{"id":"{event_id}","kind":"chat","room":"{seat.name}","user":"u{user}","ts":{stamp},'
                f'"text":"{self._text(seat.book, bits)}{self._who[user & 1023]}}}'
            )
        if kind == "like":
            return (
                f'{{"id":"{event_id}","kind":"like","room":"{seat.name}","user":"u{user}","ts":{stamp},'
                f'"count":{1 + (bits & 7)}{self._who[user & 1023]}}}'
            )
        if kind == "viewers":
            return f'{{"id":"{event_id}","kind":"viewers","room":"{seat.name}","ts":{stamp},"count":{seat.crowd}}}'
        return self._rarer(kind, f'{{"id":"{event_id}","kind":"{kind}","room":"{seat.name}",', seat, user, bits, stamp)

    def _text(self, book: Phrasebook, bits: int) -> str:
        """What a chat says, from its closing quote on what else the event carries."""
        roll = bits & 31
        first = bits >> 5 & 511
        second = bits >> 14 & 511
        if roll < 7:
            return self._cheers[first & 63] + '"'
        if roll < 10:
            return self._emotes[first % len(self._emotes)]
        if roll < 13:
            return book.openings[first] + '"'
        if roll < 15:
            return book.long[first] + '"'
        if roll == 15 and not second & 15:
            return f'{book.openings[first]} https://clips.example/v/{second}{first}"'
        return f'{book.openings[first]} {book.endings[second]}"'

    def _rarer(self, kind: str, head: str, seat: Seat, user: int, bits: int, stamp: str) -> str:
        who = self._who[user & 1023]
        if kind == "gift":
            return self._gift(head, seat, user, bits, stamp)
        if kind == "report":
            target = seat.first_user + bits % seat.crowd
            return f'{head}"user":"u{user}","ts":{stamp},"target":"u{target}","reason":"rude"{who}}}'
        if kind == "join":  # what a device is, an edge knows when it connects
            who = f'{who[:-1]},"device":"d{user:x}","net":"n{user >> 2:x}"}}'
        return f'{head}"user":"u{user}","ts":{stamp}{who}}}'

    def _gift(self, head: str, seat: Seat, user: int, bits: int, stamp: str) -> str:
        """A gift of its own, or one more of the room's running streak."""
        if seat.streak is None and bits & 1:
            name, value = GIFTS[bits >> 1 & 7]
            who = self._who[user & 1023]
            return f'{head}"user":"u{user}","ts":{stamp},"gift":"{name}","count":1,"value":{value}{who}}}'
        if seat.streak is None:
            self._streaks += 1
            seat.streak = (user, self._streaks, bits >> 1 & 7, 0)
        user, number, gift, count = seat.streak
        count += 1 + (bits >> 4 & 1)
        ended = not bits >> 5 & 3
        seat.streak = None if ended else (user, number, gift, count)
        name, value = GIFTS[gift]
        end = ',"streak_end":true' if ended else ""
        return (
            f'{head}"user":"u{user}","ts":{stamp},"gift":"{name}","count":{count},"value":{value},'
            f'"streak":"s{seat.name}{number}"{end}{self._who[user & 1023]}}}'
        )
