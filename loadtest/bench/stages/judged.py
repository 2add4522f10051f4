"""`python -m loadtest.bench.stages.judged FILE`: the work that is timed beside another revision's. A child's program.

FILE is a recording. Says `ready` when all is loaded and begins when it is told to, by a line, so that two of them
begin at once. Events are decoded some at a time, as frames bring them, and only judging is timed. Prints, as one line
of JSON, what an event cost.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

import msgspec

import roomguard
from roomguard.cli.common import config_path
from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.engine.tally import Tally
from roomguard.model.events import AnyEvent
from roomguard.runtime import collector

BATCH = 128


def judged(path: Path) -> tuple[int, float]:
    """Judge a recording's events as a guard of this revision does: how many, and the CPU seconds it took."""
    program, tally = configure(config_path(None), environment={}).program, Tally()
    decode = msgspec.json.Decoder(AnyEvent).decode
    guards: dict[str, RoomGuard] = {}
    collector.begin()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    count, spent = 0, 0.0
    with path.open("rb") as file:
        while lines := list(islice(file, BATCH)):
            events = [decode(line) for line in lines]
            began = time.process_time()
            for event in events:
                guard = guards.get(event.room)
                if guard is None:
                    guard = guards[event.room] = RoomGuard(event.room, program, tally)
                guard.receive(event, event.ts)
            spent += time.process_time() - began
            count += len(events)
    return count, spent


def main() -> int:
    """See above."""
    count, spent = judged(Path(sys.argv[1]))
    json.dump({"roomguard": roomguard.__file__, "events": count, "cpu_us": spent / count * 1e6}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
