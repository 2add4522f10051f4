"""Rooms as they might have been recorded, made up: regulars, cheering, attacks of every kind, moderators at work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

Record = dict[str, Any]

WORDS = (
    "so that was close again who saw the jump at the end nice one what is the plan now i missed it my stream froze "
    "how long are you on today love this song which game next the chat is fast good luck have fun wait really"
).split()
EMOTES = ("PogChamp", "KEKW", "LUL", "Kreygasm", "catJAM")


class Room:
    """One made-up room: `seconds` of it from `start` (Unix seconds), the same for the same seed."""

    def __init__(self, name: str, seed: int, start: float, seconds: float, *, coarse: bool = False) -> None:
        self.name = name
        self.dice = random.Random(f"{seed} {name}")
        self.start = start
        self.seconds = seconds
        self.coarse = coarse
        """Whether its times are whole seconds, as in some logs."""
        self.records: list[tuple[float, int, Record]] = []
        self.number = 0

    def put(self, after: float, kind: str, user: str | None = None, **more: Any) -> str:
        """An event, `after` seconds from the beginning; its id."""
        self.number += 1
        ts = self.start + (int(after) if self.coarse else round(after, 3))
        event: Record = {"id": f"{self.name}/{self.number}", "kind": kind, "room": self.name, "ts": ts}
        if user is not None:
            event["user"] = user
        self.records.append((ts, self.number, event | more))
        return str(event["id"])

    def say(self, after: float, user: str, text: str, **more: Any) -> str:
        return self.put(after, "chat", user, text=text, **more)

    def talk(self, words: int = 6) -> str:
        return " ".join(self.dice.choices(WORDS, k=self.dice.randint(1, words)))

    def moment(self, share: float = 1.0) -> float:
        return self.dice.uniform(1.0, self.seconds * share - 1.0)

    def told(self) -> Iterator[Record]:
        """Its records in time order."""
        for _, _, record in sorted(self.records, key=lambda item: item[:2]):
            yield record


def regulars(room: Room) -> None:
    """People talking, now and then all at once."""
    users = [f"u{number}" for number in range(40)]
    for _ in range(int(room.seconds * 2)):
        room.say(room.moment(), room.dice.choice(users), room.talk())
    for _ in range(3):
        at = room.moment()
        for number in range(30):
            room.say(at + number * 0.05, f"u{number}", room.dice.choice(("GG", "gg", "LETS GO", "PogChamp PogChamp")))


def floods(room: Room) -> None:
    """One user who writes without end, and one who says the same again and again."""
    for who in range(4):
        at = room.moment(0.8)
        for number in range(24):
            room.say(at + number * 0.4, f"flooder{who}", f"{room.talk()} {number}")
        at = room.moment(0.8)
        text = "come and see what happened here yesterday it was the funniest thing of the whole year"
        for number in range(7):
            room.say(at + number * 3, f"parrot{who}", text + "!" * (number % 2))


def shapes(room: Room) -> None:
    """Walls, held keys, pictures, stacked marks, names called, links, blocked words."""
    texts = [
        "PogChamp " * 40,
        "buy now " * 30,
        "A" * 90,
        "noooooooooooooooooooooooooooooooooo",
        "\U0001f600" * 60,
        "⣿⠟⠋⠉" * 30,
        "h" + "̴̵̶" * 20 + "i",
        "@a @b @c @d @e look at this",
        "https://example.com/free look",
        "free followers and viewers at cheap-viewers dot example best prices",
        "please gift me a sub i have no money",
        "this is forbiddenword indeed",
        "f\u200borbiddenword",
        "please wait for heldword",
        "roomguard-canary-5d1c",
    ]
    for turn in range(2):
        for number, text in enumerate(texts):
            room.say(room.moment(), f"shape{turn}-{number}", text, emotes=list(EMOTES) if "Pog" in text else None)


def raid(room: Room) -> None:
    """New accounts with one advert, and a wave of joins before them."""
    at = room.moment(0.6)
    new = {"account_age_s": 30.0, "role": "viewer", "device": "d1", "net": "n1"}
    for number in range(80):
        room.put(at + number * 0.1, "join", f"raider{number}", who=new)
    for number in range(20):
        text = f"get cheap viewers and followers at https://viewers.example now {number}"
        room.say(at + 9 + number * 0.5, f"raider{number}", text, who=new)


def expected_raid(room: Room) -> None:
    """The same wave of joins, announced in a quiet moment."""
    at = room.seconds + 20
    record = {"type": "expect_raid", "room": room.name, "ts": room.start + at}
    room.records.append((room.start + at, room.number, record | {"from_room": "friends", "size": 80, "ttl_s": 600}))
    for number in range(80):
        user = {"account_age_s": 30.0}
        room.put(at + 20 + number * 0.1, "join", f"guest{number}", who=user)


def staff(room: Room) -> None:
    """Moderators act, are exempt, and take back what the guard did."""
    who = {"role": "moderator"}
    for number in range(12):
        room.say(room.moment(), "mod", f"https://rules.example/{number}", who=who)
    for number in range(4):
        at = room.moment(0.7)
        target = f"u{number}"
        verb = room.dice.choice(("mute", "kick"))
        room.put(at, "moderation", "mod", verb=verb, target=target, duration_s=20, who=who)
        room.put(at + 8, "moderation", "mod", verb={"mute": "unmute", "kick": "readmit"}[verb], target=target, who=who)
        room.put(at + 9, "moderation", "mod", verb="unmute", target=f"flooder{number}", who=who)
    held = room.say(room.seconds * 0.5, "held", "heldword please")
    room.put(room.seconds * 0.5 + 3, "moderation", "mod", verb="delete", target="held", target_event=held, who=who)


def crowd(room: Room) -> None:
    """Gifts with streaks, likes, comers and goers, followers, reports, appeals."""
    for number in range(6):
        at = room.moment(0.8)
        for total in range(1, 12):
            more: Record = {"streak": f"s{number}", "streak_end": True} if total == 11 else {"streak": f"s{number}"}
            room.put(at + total * 0.3, "gift", f"giver{number}", gift="rose", count=total, value=1, **more)
    for number in range(70):
        room.put(room.moment(), "gift", "rich", gift="lion", count=1, value=500.5)
        room.put(room.moment(), "like", f"u{number % 9}", count=number * 3 + 1)
        room.put(room.moment(), "viewers", None, count=number)
    at = room.moment(0.5)
    for number in range(20):
        room.put(at + number * 0.7, ("join", "leave")[number % 2], "door")
        room.put(at + number * 0.9, ("follow", "unfollow")[number % 2], "bell")
        room.put(at + number, "share", f"u{number}")
        room.put(at + number, "report", f"u{number}", target=f"u{number % 3 + 20}", reason="rude")
    room.put(room.moment(), "appeal", "flooder1", action="0123456789abcdef", text="it was not me")


PARTS: tuple[Callable[[Room], None], ...] = (regulars, floods, shapes, raid, expected_raid, staff, crowd)
TAIL_S = 60.0
"""Behind the last part, so that what is held has been let go by the last record."""


def recorded(rooms: int, seconds: float, start: float, seed: int) -> list[list[Record]]:
    """Rooms of about `seconds`, each a list of records in time order; every kind of input is in them."""
    out = []
    for number in range(rooms):
        room = Room(f"room {number:02d} ü", seed, start, seconds, coarse=number % 3 == 2)
        tags, lang = ["games"] if number % 2 else None, "de" if number % 4 else None
        room.put(0, "room_open", title="live", tags=tags, lang=lang)
        for part in PARTS:
            if part in {regulars, shapes} or room.dice.random() < 0.7 or number == 0:
                part(room)
        if number % 4 == 1:
            middle = room.seconds * 0.5
            room.put(middle, "room_close")
            room.put(middle + 2, "room_open", tags=["games"])
        room.put(room.seconds + TAIL_S, "room_close")
        records = [{key: one[key] for key in one if one[key] is not None} for one in room.told()]
        out.append(records)
    return out
