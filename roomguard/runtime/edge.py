"""`/v1/edge` and `/v1/rooms/{room}`: who is connected, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import attrs
import trio

from roomguard.runtime.clock import SessionClock
from roomguard.runtime.edge_connection import RESTART, EdgeBus, EdgeConnection, EdgeCounters, EdgeHouse, Locate
from roomguard.runtime.handshake import RouteParams
from roomguard.runtime.rooms import Rooms
from roomguard.runtime.sessions import Attached, Sessions, SessionStatistics
from roomguard.runtime.settings_listen import ListenSettings
from roomguard.runtime.transport import Connection
from roomguard.wire import encode_drain, encode_welcome

TRY_LATER = 1013


@attrs.frozen(kw_only=True)
class EdgeStatistics:
    """Edge connections in numbers; counts are since the start."""

    connections: int
    opened: int
    frames: Mapping[str, int]
    """Frames by type."""
    bad_frames: Mapping[str, int]
    """Messages refused, by code."""
    malformed: Mapping[str, int]
    """Events refused alone, by code."""
    unknown_kinds: int
    """Events accepted though this version does not know their kind."""
    repaired_frames: int
    gated_frames: int
    clamped: int
    """Events whose time was too far from their arrival."""
    corrected: int
    """Frames from which a session's clock offset was taken."""
    slow: int
    """Connections cut because they did not read."""
    states: int
    enforced: int
    sessions: SessionStatistics


class EdgeDesk:
    """Serves edges. `serve` is the listener's handler for the endpoints "edge" and "room".

    `node` names this process, `epoch` this run of it; `new_jitter` gives numbers in [0, 1) for reconnect times.
    """

    def __init__(
        self,
        settings: ListenSettings,
        rooms: Rooms,
        bus: EdgeBus,
        *,
        node: str,
        epoch: str,
        locate: Locate | None = None,
        new_jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._node = node
        self._new_jitter = new_jitter
        self._draining = False
        self._connections: set[EdgeConnection] = set()
        self._empty = trio.Event()
        self.counters = EdgeCounters()
        self._house = EdgeHouse(settings=settings, rooms=rooms, bus=bus, counters=self.counters, locate=locate)
        generation_s = rooms.settings.skew_generation_s
        self.sessions = Sessions(
            bus,
            epoch=epoch,
            max_unacked=settings.max_unacked,
            max_sessions=settings.max_sessions,
            ttl_s=settings.session_ttl_s,
            new_clock=lambda: SessionClock(settings.clamp_back_s, settings.clamp_ahead_s, generation_s),
            now=rooms.clock,
        )

    async def serve(self, connection: Connection, params: RouteParams) -> None:
        """The life of one connection."""
        key = None
        if params.session is not None:
            # An edge that keeps a connection a room may name the same session on all of them.
            key = params.session if params.room is None else f"{params.room}\n{params.session}"
        attached = None if self._draining else self.sessions.attach(key)
        if attached is None:
            await connection.aclose(TRY_LATER, "stopping" if self._draining else "too many sessions")
            return
        session = attached.session
        edge = EdgeConnection(self._house, connection, attached, params.room)
        session.link = edge
        self._connections.add(edge)
        self.counters.opened += 1
        if attached.previous is not None:
            attached.previous.replaced()
        edge.say(self._welcome(attached))
        try:
            await edge.run()
        finally:
            self.sessions.detach(key, session, edge)
            self._connections.discard(edge)
            if not self._connections:
                self._empty.set()

    async def drain(self, within_s: float) -> None:
        """Stop: tell every edge to come back later, decide and acknowledge what was read, close with 1012.

        What is not acknowledged after `within_s` seconds is closed all the same; its edge sends it again elsewhere.
        """
        self._draining = True
        for edge in list(self._connections):
            reconnect_s = round(self._settings.drain_reconnect_s * (0.5 + self._new_jitter()), 3)
            edge.drain(encode_drain(reconnect_s))
        self._empty = trio.Event()
        if not self._connections:
            return
        with trio.move_on_after(within_s):
            await self._empty.wait()
        for edge in list(self._connections):
            edge.end(RESTART, "restart")
        if self._connections:
            with trio.move_on_after(self._settings.close_s):
                await self._empty.wait()

    def statistics(self) -> EdgeStatistics:
        """Edge connections in numbers."""
        counters = self.counters
        return EdgeStatistics(
            connections=len(self._connections),
            opened=counters.opened,
            frames={"events": counters.event_frames, **counters.frames},
            bad_frames=dict(counters.bad_frames),
            malformed=dict(counters.malformed),
            unknown_kinds=counters.unknown_kinds,
            repaired_frames=counters.repaired_frames,
            gated_frames=counters.gated_frames,
            clamped=counters.clamped,
            corrected=counters.corrected,
            slow=counters.slow,
            states=counters.states,
            enforced=counters.enforced,
            sessions=self.sessions.statistics(),
        )

    def _welcome(self, attached: Attached) -> bytes:
        settings, session = self._settings, attached.session
        return encode_welcome(
            node=self._node,
            epoch=session.epoch,
            config=self._rooms.program.version,
            resume_after=session.resume_after,
            max_unacked=settings.max_unacked,
            max_frame_bytes=settings.max_frame_bytes,
            max_events=settings.max_events,
        )
