"""A day of one room: a great many people come once and never again, and the guard's memory does not notice.

`ROOMGUARD_DAY_USERS=1000000` is the full figure (some minutes: `-o faulthandler_timeout=0`); the usual run takes fewer
through the same day. `--log-cli-level=INFO` shows the figures.
"""

from __future__ import annotations

import gc
import logging
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import pytest

from roomguard.configure import configure
from roomguard.engine.room import RoomGuard
from roomguard.model.events import AnyEvent
from roomguard.testing import START, chat, gift, join, leave, like

log = logging.getLogger(__name__)
USERS = int(os.environ.get("ROOMGUARD_DAY_USERS", "60000"))
DAY_S = 86_400.0
LOOKS = 24
"""Once an hour."""
BYTES_PER_USER = 1_500
"""What one remembered user of a room may take, everything that is kept because of them included."""
FLAT = 1.02
"""Of the looks at a full room the later half finds no more than so many times what the earlier half found."""
BYTES_PER_STRIKE = 180
"""What one strike takes at least: a name, a count and a time in a table. They are remembered for longer than a day, so
their table, which has its own cap, is still filling, and is taken out of what has to be flat."""
SHIPPED = Path(__file__).resolve().parent.parent.parent / "config.toml"
ADVERTS = (
    "cheap viewers and followers at bigviews dot example",
    "want to become famous? buy followers on www.example.com",
    "DM me for free coins, limited offer",
)


def visit(number: int, at: float, dice: Random) -> Iterator[AnyEvent]:
    """One person's evening: they come, say something or not, perhaps give or like, and go."""
    user = f"user-{number:07}"
    who: Any = {"device": f"d{number % 50_000}", "net": f"n{number % 3_000}", "account_age_s": dice.random() * 1e7}
    yield join(user, at, id=f"j{number}", who=who)
    for line in range(dice.choice((0, 1, 1, 2))):
        text = dice.choice(ADVERTS) if dice.random() < 0.02 else f"{dice.choice(WORDS)} {dice.choice(WORDS)} {number}"
        yield chat(user, text, at, id=f"c{number}-{line}", who=who)
    if dice.random() < 0.1:
        yield gift(user, 1, at, id=f"g{number}")
    if dice.random() < 0.3:
        yield like(user, 9, at, id=f"l{number}")
    if dice.random() < 0.5:
        yield leave(user, at, id=f"x{number}")


WORDS = "hello what a great show who is this can you play again love it from here so good see you later".split()


@pytest.mark.slow
def test_a_day_of_people_who_come_once() -> None:
    """Memory is flat once the room is full, and within its bound for each user it remembers."""
    program = configure(SHIPPED).program
    dice = Random(24)
    room = RoomGuard("r1", program)
    looks: list[int] = []
    strikes: list[int] = []
    actions = events = 0
    tracemalloc.start()
    begin = process_time()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(USERS):
            at = DAY_S * number / USERS
            for event in visit(number, at, dice):
                actions += len(room.receive(event, START + at).actions)
                events += 1
            if (number + 1) % (USERS // LOOKS) == 0:
                room.expire(START + at)
                gc.collect()
                looks.append(tracemalloc.get_traced_memory()[0] - before)
                strikes.append(room.statistics().strikes)
    finally:
        tracemalloc.stop()
    cap = program.settings.caps.users
    numbers = room.statistics()
    kept = numbers.users
    megabytes = [round(look / 1e6, 1) for look in looks]
    log.info("%d users, %d events, %d actions in %.0f s of CPU", USERS, events, actions, process_time() - begin)
    log.info("%d users and %d strikes kept, %d users forgotten", kept, numbers.strikes, room.tally.evicted_users)
    log.info("MB by the hour: %s", megabytes)

    assert min(cap * 15 // 16, USERS) <= kept <= cap
    assert USERS - kept == room.tally.evicted_users
    assert actions > 0
    assert 0 < numbers.strikes <= program.settings.caps.penalties
    full = [look for hour, look in enumerate(looks, 1) if USERS * hour / LOOKS >= cap]
    assert max(full) <= cap * BYTES_PER_USER
    flat = [look - BYTES_PER_STRIKE * count for look, count in zip(looks, strikes, strict=True)][-len(full) :]
    assert max(flat[len(flat) // 2 :]) <= FLAT * max(flat[: len(flat) // 2])
    assert len(room.snapshot()) < cap * BYTES_PER_USER
