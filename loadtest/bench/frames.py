"""The frames every target gets: made beforehand, masked, in chunks ready to be written."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import msgspec
from websockets.frames import Frame, Opcode

from loadtest.attacks import plan_attacks
from loadtest.bench.checkouts import HERE
from loadtest.crowd import KIND_SHARES
from loadtest.options import Load
from loadtest.recording import RecordingError, read
from loadtest.rooms import plan_rooms, split
from loadtest.stream import LiveStream, live_streams

EVENT_RATE = 5_000.0
"""Events a second of event time. A saturated target takes them faster; `ts` keep the pace of people."""

CHUNK = 64 * 1024
"""Bytes written at once: several frames a read, the best case for every target."""


@attrs.frozen
class Lane:
    """What one connection sends: chunks of whole frames, and how many events each holds."""

    chunks: tuple[bytes, ...]
    events: tuple[int, ...]

    @property
    def total(self) -> int:
        """All events."""
        return sum(self.events)


@attrs.frozen
class Workload:
    """Frames for all connections, in two parts: one to warm up, one to measure. `seq` runs through both."""

    batch: int
    warm: tuple[Lane, ...]
    measured: tuple[Lane, ...]


def build(
    events: int,
    batch: int,
    *,
    connections: int = 8,
    rooms: int = 5_000,
    seed: int = 7,
    users: int | None = None,
    chat_share: float | None = None,
) -> Workload:
    """`events` to measure after a tenth as many to warm up; mixed traffic, rooms dealt out to connections.

    With a `chat_share` (0 to 1) chats or all others are left out here and there until that is their share; the events
    that remain have the same pace as before.
    """
    whole = events + events // 10
    made = whole if chat_share is None else round(whole * _surplus(chat_share))
    load = Load(
        rooms=rooms,
        edges=connections,
        rate=EVENT_RATE,
        seconds=made / EVENT_RATE,
        batch=batch if chat_share is None else 64,
        linger=1e9,
        seed=seed,
        users=users,
    )
    planned = plan_rooms(load)
    parts = split(planned, connections)
    streams = live_streams(load, [part for part in parts if part], plan_attacks(load, planned))
    now = time.time()
    if chat_share is None:
        lanes = [_lanes(stream, now, events / whole) for stream in streams]
    else:
        thinned = [_thinned(stream, now, chat_share) for stream in streams]
        lanes = [
            cut([part[at : at + batch] for at in range(0, len(part), batch)], events / whole)
            for part in thinned
            if part
        ]
    return Workload(batch, tuple(warm for warm, _ in lanes), tuple(measured for _, measured in lanes))


USUAL_CHAT_SHARE = KIND_SHARES["chat"]


def _surplus(share: float) -> float:
    """How many times as many events have to be made for what is left to be enough."""
    return max(share / USUAL_CHAT_SHARE, (1 - share) / (1 - USUAL_CHAT_SHARE))


def _thinned(stream: LiveStream, now: float, share: float) -> list[str]:
    """The events of a stream, chats or others left out evenly until chats have their share."""
    keep_chat = min(1.0, share / USUAL_CHAT_SHARE / _surplus(share))
    keep_other = min(1.0, (1 - share) / (1 - USUAL_CHAT_SHARE) / _surplus(share))
    listed = msgspec.json.Decoder(list[msgspec.Raw])
    owed = {True: 0.0, False: 0.0}
    out: list[str] = []
    for index in range(stream.frames):
        for raw in listed.decode(f"[{stream.make(index, 0.0, now).events}]"):
            text = bytes(raw).decode()
            chat = '"kind":"chat"' in text
            owed[chat] += keep_chat if chat else keep_other
            if owed[chat] >= 1.0:
                owed[chat] -= 1.0
                out.append(text)
    return out


def recorded(path: Path, events: int, batch: int, *, connections: int = 8) -> Workload:
    """The first events of a recording instead, moved to begin now; rooms are dealt out to connections in turn.

    Raises:
        RecordingError: it cannot be used, or holds less than `events` and a tenth of them.
        OSError: it cannot be read.
    """
    whole = events + events // 10
    rooms: dict[str, int] = {}
    dealt: list[list[str]] = [[] for _ in range(connections)]
    lines = list(itertools.islice(read(path, Counter()), whole))
    if len(lines) < whole:
        raise RecordingError(f"{path}: {len(lines):,} events, {whole:,} are needed")
    shift = time.time() - lines[0].ts
    for line in lines:
        event = msgspec.json.encode({**line.event, "ts": round(line.ts + shift, 3)})
        dealt[rooms.setdefault(line.room, len(rooms) % connections)].append(event.decode())
    lanes = [
        cut([part[at : at + batch] for at in range(0, len(part), batch)], events / whole) for part in dealt if part
    ]
    return Workload(batch, tuple(warm for warm, _ in lanes), tuple(measured for _, measured in lanes))


class SharedMissing(Exception):
    """There is no generator beside the checkout, or it failed; the message says which."""


@contextlib.contextmanager
def shared_recording(events: int, seed: int) -> Iterator[Path]:
    """A recording by the generator beside the checkout, as many events as `recorded` wants, until the block is left.

    Raises:
        SharedMissing: see there.
    """
    program = HERE.parent / "shared" / "tools" / "workload.py"
    if not program.is_file():
        raise SharedMissing("--workload shared: there is no shared/tools/workload.py beside the checkout")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "shared.jsonl"
        command = [sys.executable, str(program), "--events", str(events + events // 10), "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--wire", "recording", "--out", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SharedMissing(f"--workload shared: {done.stderr.strip()[-1_000:]}")
        yield path


def _lanes(stream: LiveStream, now: float, measured_share: float) -> tuple[Lane, Lane]:
    made = [stream.make(index, 0.0, now) for index in range(stream.frames)]
    return _cut_encoded([(frame.events, frame.count) for frame in made], measured_share)


def cut(frames: Sequence[Sequence[str]], measured_share: float) -> tuple[Lane, Lane]:
    """Frames of events as JSON as two lanes, the first to warm up: a share of them, at least one frame."""
    return _cut_encoded([(",".join(events), len(events)) for events in frames], measured_share)


def lane_of(seq: int, events: str, count: int) -> Lane:
    """One frame of `count` events, their JSON with commas between."""
    return _lane([_masked(seq, events)], [count])


def _masked(seq: int, events: str) -> bytes:
    return Frame(Opcode.TEXT, f'{{"type":"events","seq":{seq},"events":[{events}]}}'.encode()).serialize(mask=True)


def _cut_encoded(frames: Sequence[tuple[str, int]], measured_share: float) -> tuple[Lane, Lane]:
    """The frames of one connection as warm-up and measured lane."""
    payloads = [_masked(seq, events) for seq, (events, _) in enumerate(frames, 1)]
    counts = [count for _, count in frames]
    cut = max(1, round(len(frames) * (1 - measured_share)))
    return _lane(payloads[:cut], counts[:cut]), _lane(payloads[cut:], counts[cut:])


def _lane(payloads: Sequence[bytes], counts: Sequence[int]) -> Lane:
    chunks: list[bytes] = []
    events: list[int] = []
    gathered: list[bytes] = []
    size = held = 0
    for payload, count in zip(payloads, counts, strict=True):
        gathered.append(payload)
        size += len(payload)
        held += count
        if size >= CHUNK:
            chunks.append(b"".join(gathered))
            events.append(held)
            gathered, size, held = [], 0, 0
    if gathered:
        chunks.append(b"".join(gathered))
        events.append(held)
    return Lane(tuple(chunks), tuple(events))
