"""The rooms: how popular each is, who sits in it, and which edge server carries it."""

from __future__ import annotations

import heapq
import itertools
import random

import attrs

from loadtest.options import Load
from loadtest.words import pick_language

SMALLEST_CROWD = 24
OVERLAP = 0.25  # share of a room's crowd that also sits in the next one, so that people are in one to three rooms


@attrs.frozen
class Room:
    """One room. Its people are the numbers `first_user` to `first_user + crowd - 1`."""

    name: str
    share: float
    rate: float
    language: str
    first_user: int
    crowd: int


def zipf_shares(count: int, exponent: float) -> list[float]:
    """Shares of `count` rooms, the most popular first; they sum to 1."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def plan_rooms(load: Load) -> list[Room]:
    """All rooms, the most popular first."""
    rng = random.Random(f"{load.seed} rooms")
    shares = zipf_shares(load.rooms, load.zipf)
    people = load.users if load.users is not None else load.rate * load.gap
    rooms = []
    first_user = 0
    for number, share in enumerate(shares):
        crowd = max(SMALLEST_CROWD, round(people * share))
        rooms.append(Room(f"r{number:05d}", share, load.rate * share, pick_language(rng), first_user, crowd))
        first_user += max(1, round(crowd * (1 - OVERLAP)))
    return rooms


def people(rooms: list[Room]) -> int:
    """How many different ordinary users the rooms hold."""
    return max(room.first_user + room.crowd for room in rooms)


def split(rooms: list[Room], edges: int) -> list[list[Room]]:
    """The rooms of each edge: each room on one edge, so that its order is kept; loads as even as Zipf allows."""
    carried: list[list[Room]] = [[] for _ in range(edges)]
    heap = [(0.0, edge) for edge in range(edges)]
    for room in rooms:
        load, edge = heapq.heappop(heap)
        carried[edge].append(room)
        heapq.heappush(heap, (load + room.share, edge))
    return carried


def wheel(shares: list[float], size: int) -> list[int]:
    """`size` slots of indexes, each index as often as its share (at least once): a uniform draw becomes a weighted one.

    Raises:
        ValueError: there are more shares than slots.
    """
    if len(shares) > size:
        raise ValueError(f"{len(shares)} shares do not fit {size} slots")
    whole = sum(shares)
    spare = size - len(shares)
    ends = [round(end / whole * spare) for end in itertools.accumulate(shares)]
    counts = [1 + end - start for start, end in itertools.pairwise([0, *ends])]
    return [index for index, count in enumerate(counts) for _ in range(count)]
