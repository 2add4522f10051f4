"""When Python's garbage collector looks at what, so that it never holds everything up for long.

What holds millions of things (users, their windows, events) is out of its sight. What is left are rooms with their
tasks, some dozens of objects each, which live long and die by reference counts. A look at all of them would take tens
of milliseconds for some thousand rooms, so there is none: what has survived two looks is *settled*, put where the
collector does not go. Settled things are freed like any other when nothing refers to them; only a cycle of them would
stay for ever. So whatever ends long after it began leaves no cycle: connections, rooms, crashes, configurations that
were replaced or refused, overrides. `tests/runtime/test_collector.py` holds each of them to it.
"""

from __future__ import annotations

import gc
from typing import Any

THRESHOLDS = (300, 4, 1_000_000)
"""New things between two looks at the young, and looks at the young for one at those that survived. There is no look at
all. What is freed, however old, is taken off the count of what is new: where rooms forget as much as they learn, ten
things and more are young for each that counts, and all that they refer to is cold. So the number is small. Of the last
600,000 of 1.5 million events in 5,000 rooms the looks took the same together with 2,000, but 2.8 ms each (4.2 at most)
and not 0.3 (0.7)."""
_MIDDLE = 1


def settle(phase: str, info: dict[str, Any]) -> None:
    """What `gc.callbacks` calls: what has survived a look at the middle-aged is settled."""
    if phase == "stop" and info["generation"] == _MIDDLE:
        gc.freeze()


def begin() -> None:
    """Settle what exists now, which lives as long as the process, and look at the young alone from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    if settle not in gc.callbacks:
        gc.callbacks.append(settle)
