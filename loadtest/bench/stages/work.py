"""What stages work on: one crowd's events, always the same, as payloads and decoded, and fresh rooms to judge them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec

from loadtest.attacks import plan_attacks
from loadtest.options import Load
from loadtest.rooms import plan_rooms
from loadtest.stream import live_streams
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.model.events import AnyEvent, Chat
from roomguard.wire import Events, FrameDecoder

START = 1_700_000_000.0
"""Unix seconds of the first event."""
RATE = 200.0
"""Events a second of event time: windows of 10 s and of a minute fill, and run out again, within one run."""
ROOMS = 100
BATCH = 128


@attrs.frozen
class Traffic:
    """The events of one run: JSON of each, and decoded. Stages may use them again: judging leaves them as they are."""

    json: tuple[str, ...]
    decoded: tuple[AnyEvent, ...]

    def __len__(self) -> int:
        return len(self.decoded)

    def of(self, *kinds: type[Any]) -> list[AnyEvent]:
        """Those of some kinds."""
        return [event for event in self.decoded if type(event) in kinds]

    def payloads(self, batch: int) -> list[str]:
        """Frames of `batch` events, `seq` from 1."""
        return [
            f'{{"type":"events","seq":{seq},"events":[{",".join(self.json[at : at + batch])}]}}'
            for seq, at in enumerate(range(0, len(self.json), batch), 1)
        ]


@functools.cache
def events(count: int, attack_share: float = 0.0, seed: int = 7) -> Traffic:
    """`count` events of mixed traffic; without attacks unless asked for, so that nothing but the stage is timed."""
    load = Load(
        rooms=ROOMS, edges=1, rate=RATE, seconds=count / RATE, batch=BATCH, linger=1e9, seed=seed,
        attack_share=attack_share,
    )  # fmt: skip
    planned = plan_rooms(load)
    plan = plan_attacks(load, planned)
    (stream,) = live_streams(load, [planned], plan)
    payloads = [
        f'{{"type":"events","seq":{index + 1},"events":[{stream.make(index, 0.0, START).events}]}}'
        for index in range(stream.frames)
    ]
    decoder = FrameDecoder()
    decoded: list[AnyEvent] = []
    for payload in payloads:
        frame = decoder.decode(payload)
        if not isinstance(frame, Events) or frame.rejected:
            raise ValueError(f"the generator made a frame that is none: {payload[:200]}")
        decoded += frame.events
    return Traffic(tuple(_split(payloads)), tuple(decoded))


def _split(payloads: Sequence[str]) -> list[str]:
    """The JSON of each event, as it was sent."""
    frames = msgspec.json.Decoder(dict[str, msgspec.Raw])
    listed = msgspec.json.Decoder(list[msgspec.Raw])
    out: list[str] = []
    for payload in payloads:
        out += [bytes(one).decode() for one in listed.decode(frames.decode(payload)["events"])]
    return out


def texts(count: int, *, plain: bool) -> list[str]:
    """Different chat texts, in ASCII alone or with other letters in each."""
    found: dict[str, None] = {}
    for seed in range(1, 40):
        for event in events(8_000, seed=seed).of(Chat):
            if isinstance(event, Chat) and not event.emotes and event.text.isascii() is plain:
                found[event.text] = None
        if len(found) >= count:
            return list(found)[:count]
    raise ValueError(f"the generator has no {count} different texts")


def repeated(inputs: Sequence[AnyEvent], times: int) -> list[AnyEvent]:
    """The same again and again, each time later than before, under ids of their own."""
    length = inputs[-1].ts - inputs[0].ts + 1.0
    return [
        msgspec.structs.replace(event, id=f"{turn}-{event.id}", ts=event.ts + turn * length)
        for turn in range(times)
        for event in inputs
    ]


def judged(program: Program, inputs: Sequence[AnyEvent]) -> Callable[[], object]:
    """Work: new rooms take these events, each at its own time."""
    guards: dict[str, RoomGuard] = {event.room: RoomGuard(event.room, program) for event in inputs}
    pairs: list[tuple[Callable[..., object], AnyEvent, float]] = [
        (guards[event.room].receive, event, event.ts) for event in inputs
    ]

    def work() -> None:
        for receive, event, now in pairs:
            receive(event, now)

    return work


def looped(call: Callable[[Any], object], values: Sequence[Any]) -> Callable[[], object]:
    """Work: call it with every value."""

    def work() -> None:
        for value in values:
            call(value)

    return work
