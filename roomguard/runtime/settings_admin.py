"""What an operator can set about the admin endpoint. Each limit says its unit and what happens at it."""

from __future__ import annotations

from typing import Any

import attrs


def _between(least: float, most: float = 2**53) -> Any:
    return attrs.validators.and_(attrs.validators.ge(least), attrs.validators.le(most))


@attrs.frozen(kw_only=True)
class AdminSettings:
    """Health, metrics and control over HTTP, on an address of its own."""

    host: str = "127.0.0.1"
    """Address or name to listen on. Without `tokens` it must be a loopback one, or the guard refuses to start."""
    port: int = attrs.field(default=8701, validator=_between(0, 65_535))
    """TCP port; 0 lets the system choose."""
    tokens: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Bearer tokens, each plain or as `sha256:HEX`. With any, all but /livez and /readyz ask for one, else 401."""
    token_file: str | None = None
    """File with more tokens, one a line, lines with # in front left out; only its owner and group may read it."""
    connections: int = attrs.field(default=64, validator=_between(1))
    """Connections at once; beyond it: 503, closed."""
    requests_per_connection: int = attrs.field(default=1_000, validator=_between(1))
    """Requests on one connection; then it is closed after the answer."""
    header_bytes: int = attrs.field(default=16_384, validator=_between(1_024, 65_536))
    """Most bytes of a request's head; beyond it: 431, closed."""
    body_bytes: int = attrs.field(default=65_536, validator=_between(0, 2**24))
    """Most bytes of a request's body; beyond it: 413, closed."""
    request_s: float = attrs.field(default=5.0, validator=_between(0.01, 3_600))
    """Seconds from the first byte of a request to its last, and between requests; then: 408, closed."""
    handler_s: float = attrs.field(default=30.0, validator=_between(0.01, 3_600))
    """Seconds an answer may take to make; then: 504."""
    send_s: float = attrs.field(default=10.0, validator=_between(0.01, 3_600))
    """Seconds an answer may take to send; then the connection is cut."""
