"""Bare sockets: handshakes and frames by hand, for what no websocket client would send."""

from __future__ import annotations

import base64
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress

from tests.e2e.guards import Guard

CONT, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9


def request(path: str = "/v1/edge", **headers: str) -> bytes:
    fields = {
        "Host": "guard",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def frame(opcode: int, data: bytes = b"", *, final: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A frame as it goes over the wire; the mask is zero, which masks nothing."""
    size = len(data)
    head = bytes([(0x80 if final else 0) | rsv | opcode])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65_536:
        head += bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + size.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + data


@contextmanager
def raw(guard: Guard, first: bytes = b"", *, small: bool = False) -> Generator[socket.socket, None, None]:
    """A TCP connection that said this; `small` leaves no room for what is not read."""
    with socket.socket() as peer:
        if small:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.settimeout(30)
        peer.connect(("127.0.0.1", guard.port))
        peer.sendall(first)
        yield peer


def opened(peer: socket.socket) -> bytes:
    """What came behind the answer to the handshake, which was yes."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = peer.recv(65_536)
        assert more, answer
        answer += more
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    return rest


def rest_of(peer: socket.socket) -> bytes:
    """Everything until the other side ends it."""
    found = b""
    with suppress(ConnectionError):
        while more := peer.recv(65_536):
            found += more
    return found
