"""Attacks, made in full before the run, and who carries them out.

Every account that attacks is known by name and kind, and no ordinary person carries such a name, so that what the
guard does can be judged: an action on one of these accounts is a catch, on anyone else it hits an innocent. Nothing
in an event says which is which. Hype is not an attack: its many accounts are known as innocents.

At most `MOST_EVENTS` events of attacks are made; beyond that the run holds fewer attacks than its share asks for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import attrs

from loadtest.options import Load
from loadtest.rooms import Room
from loadtest.words import advert, fragment, obfuscate

MOST_EVENTS = 600_000
FIRST_ATTACKER = 900_000_000  # the numbers of ordinary users stay far below
MIXES: dict[str, tuple[float, dict[str, float]]] = {
    # the scenario's share of events, and how its episodes split that share
    "mixed": (0.03, {"flood": 0.35, "raid": 0.25, "links": 0.15, "churn": 0.15, "hype": 0.10}),
    "flood": (0.10, {"flood": 1.0}),
    "raid": (0.10, {"raid": 1.0}),
    "churn": (0.10, {"churn": 1.0}),
    "hype": (0.20, {"hype": 1.0}),
}


@attrs.frozen
class Move:
    """One event of an episode, `due` seconds after the start; `tail` is its JSON after `ts`."""

    due: float
    room: str
    user: str
    kind: str
    tail: str


@attrs.define
class Attacker:
    """An account that attacks. `began` is when its first event was meant to be sent (monotonic clock), once it was."""

    kind: str
    room: str
    moves: int = 0
    began: float | None = None


@attrs.frozen
class Plan:
    """All episodes of a run: moves by time, attackers by name, and the names of those who only cheer along."""

    moves: list[Move]
    attackers: dict[str, Attacker]
    cheering: frozenset[str]
    episodes: dict[str, int]


class _Maker:
    """Writes episodes. Each takes a room and a start, and returns its moves."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._accounts = 0

    def _account(self) -> str:
        self._accounts += 1
        return f"u{FIRST_ATTACKER + self._accounts}"

    def _who(self, low: int, high: int, *, follower: bool = False) -> str:
        fields = {"account_age_s": self._rng.randint(low, high), "follower": follower}
        return ',"who":' + json.dumps(fields, separators=(",", ":"))

    def flood(self, room: Room, start: float) -> list[Move]:
        """One account at machine speed: 5 to 20 chats a second for some ten seconds, the same text or variations."""
        rng, user = self._rng, self._account()
        who = self._who(300, 90 * 86_400, follower=rng.random() < 0.3)
        text = (
            advert(rng) if rng.random() < 0.4 else "".join(rng.choice("asdfghjkl ") for _ in range(rng.randint(6, 30)))
        )
        same = rng.random() < 0.5
        speed = rng.uniform(5, 20)
        moves = []
        for number in range(round(speed * rng.uniform(6, 12))):
            said = text if same else f"{text} {rng.randint(10, 9_999)}"
            tail = f',"text":"{fragment(said)}"{who}'
            moves.append(Move(start + number / speed, room.name, user, "chat", tail))
        return moves

    def raid(self, room: Room, start: float) -> list[Move]:
        """20 to 60 accounts, seconds to hours old: each joins and posts the same advert once to three times."""
        rng = self._rng
        text = advert(rng)
        varied = rng.random() < 0.4
        moves = []
        for _ in range(rng.randint(20, 60)):
            user, who = self._account(), self._who(5, 8 * 3_600)
            at = start + rng.uniform(0, 10)
            moves.append(Move(at, room.name, user, "join", who))
            for _ in range(rng.randint(1, 3)):
                at += rng.uniform(0.5, 4)
                said = obfuscate(text, rng) if varied and rng.random() < 0.5 else text
                moves.append(Move(at, room.name, user, "chat", f',"text":"{fragment(said)}"{who}'))
        return moves

    def links(self, room: Room, start: float) -> list[Move]:
        """One account that posts a disguised advert every few seconds."""
        rng, user = self._rng, self._account()
        who = self._who(60, 20 * 86_400)
        text = advert(rng)
        moves, at = [], start
        for _ in range(rng.randint(4, 9)):
            moves.append(Move(at, room.name, user, "chat", f',"text":"{fragment(obfuscate(text, rng))}"{who}'))
            at += rng.uniform(1, 4)
        return moves

    def churn(self, room: Room, start: float) -> list[Move]:
        """One account that joins and leaves, or follows and unfollows, several times a second."""
        rng, user = self._rng, self._account()
        who = self._who(300, 200 * 86_400)
        pair = ("join", "leave") if rng.random() < 0.5 else ("follow", "unfollow")
        gap = rng.uniform(0.1, 0.5)
        return [
            Move(start + number * gap, room.name, user, pair[number % 2], who) for number in range(rng.randint(30, 60))
        ]

    def hype(self, room: Room, start: float) -> list[Move]:
        """100 to 300 people who have been around for long send the same short cheer once or twice. No attack."""
        rng = self._rng
        cheer = rng.choice(("GG", "gg", "GG WP", "LETS GO", "W", "🔥🔥🔥", "PogChamp", "no way"))
        moves = []
        for _ in range(rng.randint(100, 300)):
            user, who = self._account(), self._who(30 * 86_400, 2_000 * 86_400, follower=rng.random() < 0.8)
            at = start + min(9.0, rng.expovariate(0.4))
            for _ in range(rng.choice((1, 1, 1, 2))):
                said = cheer if rng.random() < 0.7 else cheer + rng.choice("!1🔥") * rng.randint(1, 3)
                moves.append(Move(at, room.name, user, "chat", f',"text":"{fragment(said)}"{who}'))
                at += rng.uniform(1.5, 5)
        return moves


def plan_attacks(load: Load, rooms: list[Room]) -> Plan:
    """The episodes of a run, spread over its time and over the busier third of the rooms."""
    default_share, mix = MIXES[load.scenario]
    share = default_share if load.attack_share is None else load.attack_share
    rng = random.Random(f"{load.seed} attacks")
    maker = _Maker(rng)
    makers: dict[str, Callable[[Room, float], list[Move]]] = {
        "flood": maker.flood,
        "raid": maker.raid,
        "links": maker.links,
        "churn": maker.churn,
        "hype": maker.hype,
    }
    busy = rooms[: max(1, len(rooms) // 3)]
    begin = min(load.attacks_after, load.seconds / 3)
    end = max(begin, load.seconds - min(15.0, load.seconds / 2))  # late enough to fill the run, early enough to unfold
    moves: list[Move] = []
    attackers: dict[str, Attacker] = {}
    cheering: set[str] = set()
    episodes: dict[str, int] = {}
    for kind, part in mix.items() if share else ():
        wanted = min(share * part * load.rate * load.seconds, MOST_EVENTS * part)
        made = 0
        while made < wanted:
            # One episode's length is small beside all of them, so an even spread over time keeps the rate even.
            episode = makers[kind](rng.choice(busy), rng.uniform(begin, end))
            episode = [move for move in episode if move.due < load.seconds]
            _name(episode, kind, attackers, cheering)
            moves.extend(episode)
            made += len(episode)
            episodes[kind] = episodes.get(kind, 0) + 1
    moves.sort(key=lambda move: (move.due, move.user))
    return Plan(moves, attackers, frozenset(cheering), episodes)


def _name(episode: list[Move], kind: str, attackers: dict[str, Attacker], cheering: set[str]) -> None:
    """Write down who acts in an episode."""
    for move in episode:
        if kind == "hype":
            cheering.add(move.user)
            continue
        attacker = attackers.get(move.user)
        if attacker is None:
            attacker = attackers[move.user] = Attacker(kind, move.room)
        attacker.moves += 1
