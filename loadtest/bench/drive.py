"""The generator of the benchmarks: raw sockets and a selector, so that it never is what limits.

It writes as fast as the target reads, reads acks and actions, and calls each action `enforced` as an edge does.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence

import attrs
import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import WebSocketURI, parse_uri

from loadtest import messages
from loadtest.bench.frames import Lane

READ = 256 * 1024
STALLED = 60.0  # seconds without a single ack after which a target counts as stuck


class TargetFailed(Exception):
    """The target closed a connection, refused something, or stopped answering."""


@attrs.define
class Answers:
    """What came back."""

    acked: int = 0
    rejected: int = 0
    actions: int = 0
    """Different ones: a saturated target reads late that an action was enforced, and repeats it meanwhile."""
    repeats: int = 0
    first_rejection: str = ""
    known: set[str] = attrs.field(factory=set, repr=False)


def split_frames(buffer: bytearray) -> list[tuple[int, bytes]]:
    """Take all whole server frames off the buffer: opcode and payload of each.

    Raises:
        TargetFailed: a frame is fragmented, masked or compressed, which none of the targets has a reason for.
    """
    found = []
    position, size = 0, len(buffer)
    while size - position >= 2:
        first, length = buffer[position], buffer[position + 1]
        start = position + 2
        if length == 126:
            start += 2
        elif length == 127:
            start += 8
        if size < start:
            break
        if length > 125:
            length = int.from_bytes(buffer[position + 2 : start], "big")
        if first & 0xF0 != 0x80:
            raise TargetFailed(f"a frame begins with {first:#x}: not one whole plain frame")
        if size < start + length:
            break
        found.append((first & 0x0F, bytes(buffer[start : start + length])))
        position = start + length
    del buffer[:position]
    return found


class Connection:
    """One websocket, open, its welcome read."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = Answers()
        self._buffer = bytearray()
        self._waiting: deque[memoryview] = deque()
        self._urgent: list[bytes] = []
        self._handshake(parse_uri(f"ws://127.0.0.1:{port}{path}"))
        self.socket.setblocking(False)

    def _handshake(self, uri: WebSocketURI) -> None:
        """Shake hands by the sans-I/O protocol; what follows the response is left in the buffer."""
        protocol = ClientProtocol(uri)
        protocol.send_request(protocol.connect())
        self.socket.sendall(b"".join(protocol.data_to_send()))
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(READ)
            if not data:
                raise TargetFailed("closed during the handshake")
            head += data
        cut = head.index(b"\r\n\r\n") + 4
        protocol.receive_data(head[:cut])
        responses = [event for event in protocol.events_received() if isinstance(event, Response)]
        if not responses or responses[0].status_code != 101:
            raise TargetFailed(f"no websocket: {head[:200]!r}")
        self._buffer += head[cut:]

    def give(self, lane: Lane) -> None:
        """Queue all chunks of a lane."""
        self._waiting.extend(memoryview(chunk) for chunk in lane.chunks)

    @property
    def wants_to_write(self) -> bool:
        """Is anything left to send?"""
        return bool(self._waiting or self._urgent)

    def write(self) -> None:
        """Send as much as the socket takes now. Replies of ours go between chunks, which end where frames end."""
        while self._waiting or self._urgent:
            if self._urgent and (not self._waiting or not self._partial):
                self._waiting.appendleft(memoryview(b"".join(self._urgent)))
                self._urgent.clear()
            head = self._waiting[0]
            try:
                sent = self.socket.send(head)
            except BlockingIOError:
                return
            if sent < len(head):
                self._waiting[0] = head[sent:]
                return
            self._waiting.popleft()

    @property
    def _partial(self) -> bool:
        """Is the chunk at the head half sent?"""
        head = self._waiting[0]
        return head.nbytes < memoryview(head.obj).nbytes

    def read(self) -> None:
        """Take in what has come.

        Raises:
            TargetFailed: see `TargetFailed`.
        """
        try:
            data = self.socket.recv(READ)
        except BlockingIOError:
            return
        if not data:
            raise TargetFailed("the target closed a connection")
        self._buffer += data
        enforced: list[str] = []
        for opcode, payload in split_frames(self._buffer):
            if opcode == Opcode.PING:
                self._urgent.append(Frame(Opcode.PONG, payload).serialize(mask=True))
            elif opcode == Opcode.CLOSE:
                raise TargetFailed(f"closed: {payload!r}")
            elif opcode == Opcode.TEXT:
                self._message(payload, enforced)
        if enforced:
            text = msgspec.json.encode({"type": "enforced", "actions": enforced})
            self._urgent.append(Frame(Opcode.TEXT, text).serialize(mask=True))

    def _message(self, payload: bytes, enforced: list[str]) -> None:
        message = messages.decode(payload)
        answers = self.answers
        if isinstance(message, messages.Ack):
            answers.acked += message.accepted + len(message.rejected)
            answers.rejected += len(message.rejected)
            if message.rejected and not answers.first_rejection:
                answers.first_rejection = f"{message.rejected[0].code} {message.rejected[0].detail}"
        elif isinstance(message, messages.Actions):
            ids = {action.id for action in message.actions}
            answers.actions += len(ids - answers.known)
            answers.repeats += len(ids & answers.known)
            answers.known |= ids
            enforced += ids
        elif isinstance(message, messages.Error):
            raise TargetFailed(f"error {message.code}: {message.detail}")


def drive(connections: Sequence[Connection], lanes: Sequence[Lane]) -> float:
    """Send all lanes, one a connection, and wait until every event is acknowledged; the seconds it took.

    Raises:
        TargetFailed: see `TargetFailed`.
    """
    begun = last = time.monotonic()
    wanted = sum(connection.answers.acked for connection in connections) + sum(lane.total for lane in lanes)
    seen = -1
    with selectors.DefaultSelector() as selector:
        for connection, lane in zip(connections, lanes, strict=True):
            connection.give(lane)
            selector.register(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
        while (acked := sum(connection.answers.acked for connection in connections)) < wanted:
            now = time.monotonic()
            if acked != seen:
                seen, last = acked, now
            elif now - last > STALLED:
                raise TargetFailed(f"no ack for {STALLED:g} s; {acked:,} of {wanted:,} events acknowledged")
            for key, mask in selector.select(1.0):
                _serve(selector, key.data, mask)
    if acked > wanted:
        raise TargetFailed(f"{acked:,} events acknowledged of {wanted:,} sent")
    return time.monotonic() - begun


def _serve(selector: selectors.BaseSelector, connection: Connection, mask: int) -> None:
    if mask & selectors.EVENT_READ:
        connection.read()
    if connection.wants_to_write:
        connection.write()
    interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_to_write else 0)
    if selector.get_key(connection.socket).events != interest:
        selector.modify(connection.socket, interest, connection)
