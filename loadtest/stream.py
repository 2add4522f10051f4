"""What one edge sends: numbered frames at fixed times, their events made when they are due.

A frame's content follows from the options alone. The clock only decides when it goes out, and the wall clock of the
start only moves `ts`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import attrs

from loadtest.attacks import Attacker, Move, Plan
from loadtest.crowd import Crowd
from loadtest.options import Load
from loadtest.rooms import Room


@attrs.frozen
class Frame:
    """The events of a frame: JSON objects with commas between, how many, and whether verdicts are wanted."""

    events: str
    count: int
    gate: bool


class Stream(Protocol):
    """What an edge plays."""

    frames: int
    """How many there are."""

    rooms: Sequence[str]
    """The rooms this edge carries."""

    def due(self, index: int) -> float:
        """When frame `index` is to be sent, in seconds after the start. Never falls."""

    def make(self, index: int, start: float, wall: float) -> Frame:
        """Frame `index`; called once each, in order.

        `start` and `wall` are the start of the run by the monotonic and by the wall clock.
        """

    def frame_of(self, event_id: str) -> int | None:
        """The index of the frame that carried an event; None if it is none of ours."""

    def titles(self) -> Sequence[str]:
        """Events that open the rooms, as JSON with `{ts}` where the time goes; may be empty."""


class LiveStream:
    """The crowd of some rooms, with what attackers do there in between."""

    def __init__(self, load: Load, edge: int, rooms: list[Room], plan: Plan) -> None:
        share = sum(room.share for room in rooms)
        rate = load.rate * share
        self.rooms: Sequence[str] = [room.name for room in rooms]
        self.per_frame = max(1, min(load.batch, int(rate * load.linger)))
        self.frames = max(1, round(rate * load.seconds / self.per_frame))
        self._planned = rooms
        self._interval = load.seconds / self.frames
        self._phase = self._interval * edge / load.edges  # edges take turns instead of sending all at once
        own = frozenset(self.rooms)
        self._moves: list[Move] = [move for move in plan.moves if move.room in own]
        self._attackers: dict[str, Attacker] = plan.attackers
        self._next_move = 0
        self._crowd = Crowd(rooms, f"{load.seed} edge {edge}")
        self._edge = edge
        self._tag = f"{load.run}{load.seed:x}.{edge}."
        gates = random.Random(f"{load.seed} gates {edge}")
        self._gates = tuple(gates.random() < load.gate for _ in range(997))

    def due(self, index: int) -> float:
        """See `Stream`."""
        return self._phase + (index + 1) * self._interval

    def make(self, index: int, start: float, wall: float) -> Frame:
        """See `Stream`. Events of attackers take their turn as soon as they are due; the crowd fills the rest."""
        count = self.per_frame
        first = index * count
        begin = self.due(index) - self._interval
        step = self._interval / count
        moves, following = self._moves, self._next_move
        event, tag = self._crowd.event, self._tag
        out = []
        known = -1
        stamp = ""
        for turn in range(count):
            at = begin + turn * step
            millis = int((wall + at) * 1000)
            if millis != known:
                known, stamp = millis, f"{millis / 1000:.3f}"
            event_id = f"{tag}{first + turn}"
            if following < len(moves) and moves[following].due <= at:
                out.append(self._move(moves[following], event_id, stamp, start + self.due(index)))
                following += 1
                continue
            out.append(event(event_id, stamp))
        self._next_move = following
        return Frame(",".join(out), count, self._gates[index % 997])

    def _move(self, move: Move, event_id: str, stamp: str, meant: float) -> str:
        attacker = self._attackers.get(move.user)
        if attacker is not None and attacker.began is None:
            attacker.began = meant
        return (
            f'{{"id":"{event_id}","kind":"{move.kind}","room":"{move.room}","user":"{move.user}","ts":{stamp}'
            f"{move.tail}}}"
        )

    def frame_of(self, event_id: str) -> int | None:
        """See `Stream`."""
        if not event_id.startswith(self._tag):
            return None
        number = event_id[len(self._tag) :]
        return int(number) // self.per_frame if number.isdecimal() else None

    def titles(self) -> Sequence[str]:
        """See `Stream`."""
        return [
            f'{{"id":"{self._tag}o{number}","kind":"room_open","room":"{room.name}","ts":{{ts}},'
            f'"title":"Room {room.name}","tags":["games"],"lang":"{room.language}","host":"h{room.name}"}}'
            for number, room in enumerate(self._planned)
        ]


def live_streams(load: Load, planned: Sequence[list[Room]], plan: Plan) -> list[LiveStream]:
    """One stream an edge."""
    return [LiveStream(load, edge, rooms, plan) for edge, rooms in enumerate(planned)]
