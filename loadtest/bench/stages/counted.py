"""`python -m loadtest.bench.stages.counted DIRECTORY`: the work whose instructions are counted. A child's program.

It is made to run under `valgrind --tool=callgrind --trace-children=no --callgrind-out-file=DIRECTORY/%p`: everything is
loaded and compiled once, then each piece of work runs in a fork of its own, which is counted by itself, start-up
included. Each kind of event is run in two sizes, so that their difference is the events alone. Prints, as one line of
JSON, which process did what.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence

import roomguard
from loadtest.bench.stages.work import Traffic, events
from roomguard.cli.common import config_path
from roomguard.configure import configure
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.wire import Events, FrameDecoder

KINDS = ("chat", "like", "join", "gift", "mixed")
WARM = 4_000
"""Events judged before: rooms and users are there, windows are full, most texts are known."""
POOL = 14_000
"""Events of traffic in all."""
MOST = 1_600
"""Events of one kind at most; of rarer ones all that the traffic has. A quarter of them is the smaller size."""
BATCH = 16


def frames(chosen: Sequence[str]) -> list[bytes]:
    """Events in frames."""
    return [
        f'{{"type":"events","seq":{seq},"events":[{",".join(chosen[at : at + BATCH])}]}}'.encode()
        for seq, at in enumerate(range(0, len(chosen), BATCH), 1)
    ]


def chosen(traffic: Traffic, kind: str) -> list[str]:
    """The events of a kind after the warm-up."""
    pairs = zip(traffic.json[WARM:], traffic.decoded[WARM:], strict=True)
    return [text for text, event in pairs if kind in ("mixed", event.__struct_config__.tag)][:MOST]


def judged(payloads: Sequence[bytes], program: Program, guards: dict[str, RoomGuard]) -> int:
    """Decode and judge, as the runtime does but for the way in between. How many events were taken."""
    decode = FrameDecoder().decode
    count = 0
    for payload in payloads:
        frame = decode(payload)
        if not isinstance(frame, Events):
            raise TypeError(payload[:100])
        for event in frame.events:
            guard = guards.get(event.room)
            if guard is None:
                guard = guards[event.room] = RoomGuard(event.room, program)
            guard.receive(event, event.ts)
        count += len(frame.events)
    return count


def main() -> int:
    """Fork for each piece of work; 1 if one of the forks failed."""
    program = configure(config_path(None), environment={}).program
    traffic = events(POOL)
    guards: dict[str, RoomGuard] = {}
    judged(frames(traffic.json[:WARM]), program, guards)
    gc.collect()
    gc.freeze()
    gc.disable()  # when it looks depends on all that was made before; what it costs is not the events' own
    forks: list[tuple[int, str, int]] = []
    for kind in KINDS:
        found = chosen(traffic, kind)
        for size in (len(found) // 4, len(found)):
            payloads = frames(found[:size])
            sys.stdout.flush()
            pid = os.fork()
            if not pid:
                os._exit(0 if judged(payloads, program, guards) == size else 1)
            _, status = os.waitpid(pid, 0)
            if status:
                return 1
            forks.append((pid, kind, size))
    json.dump({"roomguard": roomguard.__file__, "forks": forks}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
