"""One event of a recording explained."""

from __future__ import annotations

from roomguard.model.events import Control, Event
from roomguard.replay import explained
from roomguard.testing import START, chat, control, feature, limit, program, rule

COUNTED = program(
    rule("many", "chats > 2"), rule("slow", 'wait_s("talk") > 0', "delay"), features={"chats": feature("count")},
    limits={"talk": limit("1/1s", algorithm="pace")},
)  # fmt: skip


def records() -> list[Event | Control]:
    """Two rooms whose events have the same ids, and control records between."""
    found: list[Event | Control] = []
    for number in range(5):
        found += [
            chat("ann", at=number * 2, id=f"e{number}", room="r1"),
            chat("ben", at=number * 2 + 1, id=f"e{number}", room="r2"),
        ]
    found.insert(5, control("override", 4.5, room="r1", ttl_s=60.0, settings={"many": "shadow"}))
    found.insert(6, control("expire", 4.5, room="r1"))
    return found


def test_everything_before_is_judged() -> None:
    """An event is explained in the state that all before it left, in the rooms that have one of its id."""
    third, fourth = (list(explained(records(), COUNTED, name)) for name in ("e2", "e3"))

    assert [("r1", "hit", ("enforce",)), ("r2", "hit", ("enforce",))] == [
        (one.room, one.rules[0].answer, one.rules[0].outcomes) for one in third
    ]
    assert {"chats": 3} == third[0].rules[0].parts[0].values
    assert ["a penalty in force drops it"] * 2 == [one.unjudged for one in fourth]


def test_control_records_count() -> None:
    """What an operator changed is in force for the event that is explained."""
    altered = [record for record in records() if isinstance(record, Control) or record.id != "e2"]
    r1, r2 = explained(altered, COUNTED, "e3")

    assert (("shadow",), ("enforce",)) == (r1.rules[0].outcomes, r2.rules[0].outcomes)


def test_one_room_or_none() -> None:
    """A room may be named; an id that nobody has gives nothing; one that was sent twice is told twice."""
    assert ["r2"] == [one.room for one in explained(records(), COUNTED, "e2", "r2")]
    assert [] == list(explained(records(), COUNTED, "e9"))
    twice = [chat("ann", id="e1"), chat("ann", id="e1", at=1)]
    assert ["", "it was taken before"] == [one.unjudged for one in explained(twice, COUNTED, "e1")]
    assert [START, START + 1] == [one.at for one in explained(twice, COUNTED, "e1")]
