"""What an operator can set about the listener and its connections. Each limit says its unit and what happens at it."""

from __future__ import annotations

from typing import Any, Literal

import attrs

Backend = Literal["trio-websocket", "sansio"]


def _between(least: float, most: float = 2**53) -> Any:
    return attrs.validators.and_(attrs.validators.ge(least), attrs.validators.le(most))


def _int(default: int, least: int, most: int = 2**53) -> int:
    value: int = attrs.field(default=default, validator=_between(least, most))
    return value


def _seconds(default: float, least: float = 0.01) -> float:
    value: float = attrs.field(default=default, validator=_between(least, 86_400))
    return value


@attrs.frozen(kw_only=True)
class ListenSettings:
    """The listener for edges and consumers."""

    host: str = "127.0.0.1"
    """Address or name to listen on. Without `tokens` it must be a loopback one, or the guard refuses to start."""
    port: int = _int(8700, 0, 65_535)
    """TCP port; 0 lets the system choose."""
    backend: Backend = "trio-websocket"
    """Websocket implementation: `trio-websocket`, or `sansio` (no task of its own; see docs/performance.md)."""
    backlog: int = _int(512, 1)
    """Connections the kernel keeps waiting to be accepted; beyond it clients wait and try again by themselves."""
    connections: int = _int(1_000, 1)
    """Connections at once, also never more than half of the process's file descriptors. Beyond it: 503, closed."""
    connections_per_peer: int = _int(250, 1)
    """Connections at once from one address (IPv6: one /64). Beyond it: 503, closed."""

    tokens: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Bearer tokens that open a connection, several for rotation; each plain or as `sha256:HEX`. Others get 401."""
    token_file: str | None = None
    """File with more tokens, one a line, lines with # in front left out; only its owner and group may read it."""
    origins: tuple[str, ...] = ()
    """Values of `Origin` that are let in. A browser always sends one, a server never: empty keeps browsers out."""
    cert_file: str | None = None
    """PEM file of the server's certificate chain; with `key_file` it turns TLS on."""
    key_file: str | None = attrs.field(default=None, repr=False)
    """PEM file of the certificate's private key."""
    client_ca_file: str | None = None
    """PEM file of the authority that must have signed a client's certificate (mTLS). Others fail the TLS handshake."""

    handshake_s: float = _seconds(5.0)
    """Seconds for TLS and HTTP handshake together; then the connection is dropped."""
    header_bytes: int = _int(16_384, 1_024, 65_536)
    """Most bytes of the HTTP handshake; beyond it: 400, closed."""
    message_s: float = _seconds(10.0)
    """Seconds from the first byte of a message to its last, while we read; then close 1008."""
    send_s: float = _seconds(10.0)
    """Seconds one write may take; then the TCP connection is aborted, since half a frame may be on its way."""
    ping_s: float = _seconds(25.0)
    """Seconds between our pings."""
    pong_s: float = _seconds(10.0)
    """Seconds of silence after a ping, while we read; then the TCP connection is aborted."""
    close_s: float = _seconds(2.0)
    """Seconds given to a peer to answer our close; then the connection is closed without it."""

    max_frame_bytes: int = _int(1_048_576, 1_024)
    """Bytes of one message; beyond it: close 1009."""
    max_events: int = _int(4_096, 1)
    """Events in one frame; beyond it the frame gets `error` (too_many_events)."""
    max_unacked: int = _int(64, 1)
    """Frames of a connection not acknowledged yet; at it the guard stops reading that connection."""
    small_frames_per_s: float = _seconds(500.0)
    """Control frames and fragments under 256 bytes a second that a connection may go on sending."""
    small_frames_burst: int = _int(2_000, 1)
    """How many of those may come at once. Beyond it: close 1008. Whole messages are held back by acks instead."""
    receive_bytes: int = _int(262_144, 4_096)
    """Bytes read from a socket at once."""
    tick_ms: float = attrs.field(default=1.5, validator=_between(0, 50))
    """Milliseconds between two readings of a connection while frames under 1 kB come thick (four in this time, on all
    connections together): they are read and answered several at a time, each waits no longer than this. At 10,000 a
    second that saves two fifths of the CPU, for 1 ms more to the answer. 0: never."""
    message_queue: int = _int(16, 1, 10_000)
    """Messages in fragments read ahead for a connection (trio-websocket only); when full it is not read."""
    outbox_bytes: int = _int(1_048_576, 1_024)
    """Bytes waiting to be sent on a connection; one that falls further behind is aborted and comes back."""

    clamp_back_s: float = attrs.field(default=5.0, validator=_between(0, 1e12))
    """Seconds an event's `ts` may lie before its arrival; an older one is set to that bound and counted."""
    clamp_ahead_s: float = attrs.field(default=1.0, validator=_between(0, 1e12))
    """Seconds an event's `ts` may lie after its arrival; a later one is set to that bound and counted."""
    session_ttl_s: float = _seconds(600.0)
    """Seconds a session is remembered after its last connection; then the edge may begin at any `seq`."""
    max_sessions: int = _int(10_000, 1)
    """Sessions remembered; beyond it the one unused for longest without a connection is forgotten."""
    max_rooms_per_connection: int = _int(20_000, 1)
    """Rooms one connection may have; events of a further one are rejected `room_limit`."""
    drain_reconnect_s: float = attrs.field(default=2.5, validator=_between(0, 3_600))
    """Seconds after which an edge is asked to come back when the guard stops."""
    drain_s: float = _seconds(20.0, 0.1)
    """Seconds for the whole way out when the guard stops; then it ends with what is on disk, and says so."""
