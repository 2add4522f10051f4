"""`python -m loadtest.bench.flooder`: one room, busy at a fixed rate, beside whatever else loads a guard. A child."""

from __future__ import annotations

import argparse
import json
import select
import sys
import time

from loadtest.attacks import plan_attacks
from loadtest.bench.drive import Connection
from loadtest.bench.frames import lane_of
from loadtest.options import Load
from loadtest.rooms import Room
from loadtest.stream import LiveStream

FIRST_USER = 50_000_000
"""Nobody else's users."""
PEOPLE = 2_000
LINGER = 0.01


def flood(port: int, rate: float, seconds: float) -> tuple[int, int]:
    """Send for so long, whatever comes back: events sent, events acknowledged.

    Raises:
        TargetFailed: the guard closed the connection or refused a frame.
    """
    load = Load(rooms=1, edges=1, rate=rate, seconds=seconds, linger=LINGER, attack_share=0.0, run="hot")
    room = Room("hot", 1.0, rate, "en", FIRST_USER, PEOPLE)
    stream = LiveStream(load, 0, [room], plan_attacks(load, [room]))
    connection = Connection(port, "/v1/edge?session=flooder")
    wall, begun = time.time(), time.monotonic()
    sent = 0
    for index in range(stream.frames):
        while (left := begun + stream.due(index) - time.monotonic()) > 0 or connection.wants_to_write:
            _turn(connection, max(0.0, left))
        frame = stream.make(index, 0.0, wall)
        connection.give(lane_of(index + 1, frame.events, frame.count))
        sent += frame.count
    while connection.wants_to_write and time.monotonic() < begun + 2 * seconds:
        _turn(connection, 0.1)
    connection.socket.close()
    return sent, connection.answers.acked


def _turn(connection: Connection, wait: float) -> None:
    writers = [connection.socket] if connection.wants_to_write else []
    readable, writable, _ = select.select([connection.socket], writers, [], wait)
    if readable:
        connection.read()
    if writable or connection.wants_to_write:
        connection.write()


def main() -> int:
    """Flood, and print what was sent and acknowledged as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    sent, acked = flood(args.port, args.rate, args.seconds)
    json.dump({"sent": sent, "acked": acked}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
