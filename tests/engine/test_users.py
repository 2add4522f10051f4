"""Users as a room keeps them: packed, in two records, and as plain data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from roomguard.configure import configure
from roomguard.engine import windows
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import CapSettings
from roomguard.testing import START, chat, feature, gift, join, program, report, rule

SHIPPED = configure(Path(__file__).parents[2] / "config.toml").program
# Some are parts of others, as numbered ids are.
IDS = st.lists(st.sampled_from([str(number) for number in range(15)] + ["é1", "1é", "0.1", "10.1"]), max_size=60)


@pytest.mark.parametrize("causes", [1, 2, 8])
def test_latest_ids_equal_a_model(causes: int) -> None:
    """A message is taken once while its id is among the latest, and these are told oldest first."""
    compiled = program(rule("any", "user_chats > 1000"), caps=CapSettings(causes=causes))

    @given(IDS)
    def compare(ids: list[str]) -> None:
        room = RoomGuard("r", compiled)
        model: list[str] = []
        again = 0
        for number, id_ in enumerate(ids):
            room.receive(chat("ann", "hi", float(number), id=id_), START + number)
            if id_ in model:
                again += 1
            else:
                model = [*model, id_][-causes:]
            assert tuple(model) == room.users["ann"].recent
        assert again == room.tally.duplicates

    compare()


def test_who_only_writes_has_no_second_record() -> None:
    """What few users need is made when it is first written to, and reads as nothing before."""
    room = RoomGuard("r", SHIPPED)
    for number in range(3):
        room.receive(chat("ann", "what a lovely evening this is", float(number)), START + number)
    ann = room.users["ann"]
    assert ann.more is None
    assert (0.0, (), "") == (ann.gifted, ann.streaks, ann.deleted)

    room.receive(gift("ann", 4.0), START + 4)
    assert ann.gifted > 0
    assert ann.nothing.gifted == 0.0


def test_last_use() -> None:
    """Every event of a user is a use of theirs; what others report is none."""
    room = RoomGuard("r", SHIPPED)
    room.receive(join("ann", 0.0), START)
    ann = room.users["ann"]
    used = [ann.used()]
    for event in (chat("ann", "hi", 1.0), join("ann", 2.0), report("ben", "ann", 3.0), chat("ann", "ho", 4.0)):
        room.receive(event, event.ts)
        used.append(ann.used())

    assert [START, START + 1, START + 2, START + 2, START + 4] == used


def test_a_program_that_begins_to_count_chats() -> None:
    """A feature that comes with a reload starts empty, though the room knew of earlier chats."""
    before = program(rule("any", "user_chats > 1000"))
    after = program(rule("any", "ten > 1000"), features={"ten": feature("count", 10.0)})
    room = RoomGuard("r", before)
    room.receive(chat("ann", "hi", 0.0), START)
    room.configure(after)
    assert (b"", START) == (room.users["ann"].times, room.users["ann"].used())

    room.receive(chat("ann", "ho", 1.0), START + 1)
    assert [START + 1] == windows.unpacked(room.users["ann"].times)
