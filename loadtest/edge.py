"""One edge server: a session, its frames at their times, what is in flight, and what the guard answers.

Open loop: when a frame is due follows from the schedule and never from how fast the guard answers. A frame that has
to wait (a full window of unacknowledged frames, a lost connection, a busy machine) goes out late, and its latency
counts from when it was meant to go.

Times are read from the monotonic clock itself, and waited for by `Pacer`: a loop's own clock moves in steps of a
millisecond on uvloop.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from array import array
from collections.abc import Sequence
from time import monotonic
from typing import BinaryIO, TextIO

import attrs
import msgspec

from loadtest import messages
from loadtest.link import Link, LinkError
from loadtest.messages import Ack, Action, Actions, Drain, Error, State, Verdicts, Welcome
from loadtest.pace import Pacer
from loadtest.stream import Frame, Stream
from loadtest.tally import Tally

HANDSHAKE_TIMEOUT = 10.0
ATTEMPTS = 8
BURST = 16  # late frames sent before others get a turn
ROOMS_PER_SUBSCRIBE = 1_000
IDLE_ROOM = "loadtest-idle"  # of its own: a recording's room must not be pulled to the present by our measuring


@attrs.frozen
class Dumps:
    """Where to write what passes, if anywhere: actions as lines of JSON, events as a recording."""

    actions: TextIO | None = None
    events: BinaryIO | None = None


class EdgeFailed(Exception):
    """The edge cannot go on: it never got a connection, or lost it for good."""


@attrs.define
class Flight:
    """A frame that was sent and not acknowledged."""

    payload: bytes
    count: int
    gate: bool
    measured: bool
    judged: bool = False


class Edge:
    """Plays one stream over one session."""

    def __init__(self, url: str, token: str | None, stream: Stream, tally: Tally, dumps: Dumps, pacer: Pacer) -> None:
        self.failed: str | None = None
        self.welcome: Welcome | None = None
        self._url = url
        self._token = token
        self._stream = stream
        self._tally = tally
        self._dumps = dumps
        self._pacer = pacer
        self._own_rooms = frozenset(stream.rooms)
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None  # set from the welcome on: nothing may be sent before it
        self._joining: Link | None = None
        self._welcomed = asyncio.Event()
        self._moved = asyncio.Event()  # something was acknowledged, or the connection changed
        self._flights: dict[int, Flight] = {}
        self._seq = 0
        self._highest_ack = 0
        self._before_load = 0  # frames sent before the load: seq = index + 1 + this
        self._meant = array("d", [0.0])  # by seq
        self._sent = array("d", [0.0])
        self._leaving = False
        self._reconnecting: asyncio.Task[None] | None = None
        self._reconnect_after = 0.2
        self._jitter = random.Random(url)
        self.next_frame = 0

    # ------------------------------------------------------------------ connection

    async def connect(self) -> None:
        """Open the session.

        Raises:
            EdgeFailed: it cannot be had.
        """
        self._welcomed.clear()
        link = self._joining = Link(self._url, self._token, self._on_text, self._on_closed)
        try:
            await link.open(HANDSHAKE_TIMEOUT)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await self._welcomed.wait()
        except (LinkError, TimeoutError) as error:
            link.abort()
            raise EdgeFailed(str(error) or "no welcome came") from error

    async def leave(self) -> None:
        """End the session."""
        self._leaving = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        if self._link is not None:
            self._link.close()
            await asyncio.sleep(0.05)
            self._link.abort()

    def _on_closed(self, code: int | None, reason: str) -> None:
        if self._leaving or self._link is None:
            return
        self._tally.closes[f"{code or 'lost'} {reason}".strip()] += 1
        self._link = None
        self._moved.set()
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = self._loop.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        wait = self._reconnect_after
        for _ in range(ATTEMPTS):
            await asyncio.sleep(wait * self._jitter.uniform(0.8, 1.2))
            wait = min(5.0, wait * 2)
            try:
                await self.connect()
            except EdgeFailed as error:
                self.failed = str(error)
                continue
            self.failed = None
            self._reconnect_after = 0.2
            self._tally.counts.reconnects += 1
            self._moved.set()
            return
        self._moved.set()

    # ------------------------------------------------------------------ sending

    async def open_rooms(self, batch: int) -> None:
        """Announce all rooms of the stream, a few frames in flight at a time."""
        titles = self._stream.titles()
        now = f"{time.time():.3f}"
        for start in range(0, len(titles), batch):
            chunk = [title.replace("{ts}", now) for title in titles[start : start + batch]]
            await self._window(4)
            self._send(Frame(",".join(chunk), len(chunk), gate=False), monotonic(), measured=False)
        await self.settle(30.0)

    async def idle_trips(self, count: int) -> list[float]:
        """Round trips of single-event frames, one after the other, in seconds."""
        trips = []
        for number in range(count):
            begun = monotonic()
            event = (
                f'{{"id":"trip-{self._seq}-{number}","kind":"viewers","room":"{IDLE_ROOM}",'
                f'"ts":{time.time():.3f},"count":1}}'
            )
            self._send(Frame(event, 1, gate=False), begun, measured=False)
            await self._window(1)
            trips.append(monotonic() - begun)
            await asyncio.sleep(0.001)
        return trips

    async def play(self, start: float, wall: float, until: float) -> None:
        """Send all frames of the stream, each when it is due; give up at `until`. Times by the monotonic clock."""
        self._before_load = self._seq
        stream = self._stream
        row = 0
        while self.next_frame < stream.frames:
            # Made before it is due, so that making it is no part of what the guard takes.
            frame = stream.make(self.next_frame, start, wall)
            meant = start + stream.due(self.next_frame)
            if meant > monotonic():
                row = 0
                await self._pacer.until(meant)
            elif row >= BURST:
                row = 0
                await asyncio.sleep(0)
            if not await self._window(self.window, until):
                return
            self._send(frame, meant, measured=True)
            self.next_frame += 1
            row += 1

    @property
    def window(self) -> int:
        """How many frames may be in flight."""
        return self.welcome.max_unacked if self.welcome else 1

    async def _window(self, size: int, until: float | None = None) -> bool:
        """Wait until fewer than `size` frames are in flight on a live connection; False once `until` has come."""
        deadline = monotonic() + 60.0 if until is None else until
        while len(self._flights) >= size or self._link is None:
            left = deadline - monotonic()
            if left <= 0 or self._dead:
                if until is None:
                    raise EdgeFailed(self.failed or "the guard stopped answering")
                return False
            self._moved.clear()
            try:
                async with asyncio.timeout(left):
                    await self._moved.wait()
            except TimeoutError:
                continue
        return True

    @property
    def _dead(self) -> bool:
        return self._link is None and self._reconnecting is not None and self._reconnecting.done()

    def _send(self, frame: Frame, meant: float, *, measured: bool) -> None:
        self._seq += 1
        gate = ',"gate":true' if frame.gate else ""
        payload = f'{{"type":"events","seq":{self._seq}{gate},"events":[{frame.events}]}}'.encode()
        now = monotonic()
        self._flights[self._seq] = Flight(payload, frame.count, frame.gate, measured)
        self._meant.append(meant)
        self._sent.append(now)
        counts = self._tally.counts
        counts.sent += frame.count
        counts.frames += 1
        counts.bytes += len(payload)
        if measured:
            self._tally.lateness.add(now - meant)
        if self._link is not None:
            self._link.send(payload)
        if self._dumps.events is not None:
            events = msgspec.json.decode(f"[{frame.events}]", type=list[msgspec.Raw])
            self._dumps.events.writelines(bytes(event) + b"\n" for event in events)

    async def settle(self, longest: float) -> bool:
        """Wait for the acks of all that is in flight; False if some are missing after `longest` seconds."""
        until = monotonic() + longest
        while self._flights:
            if not await self._window(len(self._flights), until):
                return False
        return True

    # ------------------------------------------------------------------ receiving

    def _on_text(self, text: bytes) -> None:
        now = monotonic()
        try:
            message = messages.decode(text)
        except msgspec.DecodeError:
            self._tally.counts.unknown_messages += 1
            return
        if isinstance(message, Ack):
            self._on_ack(message, now)
        elif isinstance(message, Actions):
            self._on_actions(message.actions, now, text)
        elif isinstance(message, Verdicts):
            self._on_verdicts(message, now)
        elif isinstance(message, Welcome):
            self._on_welcome(message)
        elif isinstance(message, State):
            self._tally.counts.states += 1
        elif isinstance(message, Error):
            self._on_error(message)
        elif isinstance(message, Drain):
            self._tally.counts.drains += 1
            self._reconnect_after = message.reconnect_s

    def _on_ack(self, ack: Ack, now: float) -> None:
        tally = self._tally
        tally.counts.acks += 1
        flight = self._flights.pop(ack.seq, None)
        if flight is None:
            tally.counts.acks_unasked += 1
            return
        tally.counts.acks_out_of_order += ack.seq < self._highest_ack
        self._highest_ack = max(self._highest_ack, ack.seq)
        self._moved.set()
        for rejection in ack.rejected:
            tally.rejected[rejection.code] += 1
        tally.counts.accepted += ack.accepted
        tally.counts.uncovered += flight.count - ack.accepted - len(ack.rejected)
        if flight.gate and not flight.judged:
            tally.counts.verdicts_missing += 1
        if flight.measured:
            tally.acked(self._meant[ack.seq], self._sent[ack.seq], now, flight.count)

    def _on_verdicts(self, verdicts: Verdicts, now: float) -> None:
        self._tally.counts.verdict_frames += 1
        self._tally.verdicts.update(verdicts.verdicts)
        flight = self._flights.get(verdicts.seq)
        if flight is None:
            self._tally.counts.verdicts_after_ack += 1
            return
        flight.judged = True
        self._tally.verdict.add(now - self._meant[verdicts.seq], flight.count)

    def _on_actions(self, actions: list[Action], now: float, text: bytes) -> None:
        tally = self._tally
        fresh = []
        for action in actions:
            if action.room not in self._own_rooms:
                tally.counts.actions_elsewhere += 1
            if tally.is_new(action):
                fresh.append(action)
                tally.judge(action, now)
        self._time_actions(fresh, now)
        if self._link is not None:
            ids = [action.id for action in actions]
            self._link.send(msgspec.json.encode({"type": "enforced", "actions": ids}))
        if self._dumps.actions is not None:
            self._write(self._dumps.actions, text, {action.id for action in fresh})

    def _time_actions(self, actions: list[Action], now: float) -> None:
        """Latency of each action from its latest cause; a cluster counts from the latest cause of all its members."""
        newest: dict[str, int] = {}
        for action in actions:
            if action.undoes is not None or action.kind in ("release", "lift"):
                continue  # brought on by time or by a human, not by an event
            key = action.cluster or action.id
            for cause in action.causes:
                index = self._stream.frame_of(cause)
                if index is not None and index < self.next_frame:
                    newest[key] = max(index, newest.get(key, 0))
        for action in actions:
            index = newest.get(action.cluster or action.id)
            if index is not None and action.undoes is None:
                seq = index + 1 + self._before_load
                self._tally.acted(self._meant[seq], self._sent[seq], now)

    @staticmethod
    def _write(file: TextIO, text: bytes, fresh: set[str]) -> None:
        whole = msgspec.json.decode(text)
        for action in whole["actions"]:
            if action["id"] in fresh:
                file.write(json.dumps(action, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _on_error(self, error: Error) -> None:
        self._tally.errors[error.code] += 1
        flight = self._flights.pop(error.seq, None) if error.seq is not None and error.code != "seq_gap" else None
        if flight is not None:  # the whole frame was refused: that is its answer
            self._tally.rejected[f"error:{error.code}"] += flight.count
            self._moved.set()
        if error.code == "seq_gap" and error.expected is not None:
            self._resend(error.expected - 1)

    def _on_welcome(self, welcome: Welcome) -> None:
        before, self.welcome = self.welcome, welcome
        self._link = self._joining
        self._welcomed.set()
        if before is None:
            return
        if welcome.epoch == before.epoch:
            for seq in [seq for seq in self._flights if seq <= welcome.resume_after]:
                flight = self._flights.pop(seq)  # decided; only the answer was lost with the connection
                self._tally.counts.accepted += flight.count
                self._tally.counts.accepted_by_resume += flight.count
        self._subscribe()
        self._resend(welcome.resume_after if welcome.epoch == before.epoch else 0)

    def _subscribe(self) -> None:
        """Take all rooms again, so that actions for them come even where no event follows."""
        rooms: Sequence[str] = self._stream.rooms
        for start in range(0, len(rooms), ROOMS_PER_SUBSCRIBE):
            chunk = list(rooms[start : start + ROOMS_PER_SUBSCRIBE])
            if self._link is not None:
                self._link.send(msgspec.json.encode({"type": "subscribe", "rooms": chunk}))

    def _resend(self, after: int) -> None:
        for seq, flight in self._flights.items():  # dicts keep the order in which frames were sent
            if seq > after and self._link is not None:
                self._link.send(flight.payload)
                self._tally.counts.resent += flight.count

    # ------------------------------------------------------------------ afterwards

    def unacked(self) -> int:
        """Events in frames that were never acknowledged."""
        return sum(flight.count for flight in self._flights.values())

    def unsent(self) -> int:
        """Frames of the stream that were never sent."""
        return self._stream.frames - self.next_frame
