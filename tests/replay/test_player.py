"""Replay: the same recording and configuration give the same bytes, on any machine, in any company."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings
from roomguard.errors import RecordingError
from roomguard.model.actions import encode_halves, join as join_halves
from roomguard.model.events import Control, Event
from roomguard.replay import Player, Summary, player
from roomguard.replay.player import CHUNK
from roomguard.testing import START, chat, control, feature, gift, join, like, limit, moderation, program, report, rule
from roomguard.wire.recording import decode_line, encode_line

BUSY = program(
    rule("flood", 'over("chat")', "ladder", "delete"),
    rule("wave", "users > 3", "delete", cluster="users"),
    rule("held", 'contains(text, "held")', "hold"),
    rule("reported", "reporters > 1", "kick", on=("report",)),
    rule("crowd", "everybody > 4", "restrict", duration_s=15.0),
    rule("regular", "rhythm < 2 or burst > 0", "warn"),
    features={
        "users": feature("distinct", 20.0, key="near", of="user"),
        "reporters": feature("distinct", 60.0, events=("report",)),
        "everybody": feature("count", 10.0, key="room"),
        "rhythm": feature("regularity", 60.0),
        "burst": feature("zscore", 5.0, key="room", events=("chat", "join")),
    },
    limits={"chat": limit("1/10s")},
)


def recording(rooms: int = 3, length: int = 400) -> list[Event | Control]:
    """Some rooms with a bit of everything, control records between."""
    records: list[Event | Control] = []
    for number in range(length):
        at, more = number * 0.37, {"id": f"e{number}", "room": f"r{number % rooms}"}
        user = f"u{number * 7 % 5}"
        match number % 11:
            case 0:
                records.append(join(user, at, **more))
            case 1:
                records.append(like(user, number % 50 + 1, at, **more))
            case 2:
                records.append(gift(user, number, at, streak="s", **more))
            case 3:
                records.append(report(user, f"u{number % 2}", at, **more))
            case 4 if number > 200:
                records.append(moderation("max", "unmute", user, at, **more))
            case _:
                texts = ("hello there", "hold on", "held back", "buy coins at coins.example now")
                who = {"account_age_s": number, "role": "viewer", "device": f"d{number % 3}"}
                records.append(chat(user, texts[number % 4], at, who=who, **more))
        if number % 60 == 59:
            records.append(control("grace", at, room=more["room"], ttl_s=2.0))
    return records


def play(records: Iterable[Event | Control], judge: Program = BUSY) -> tuple[bytes, Summary]:
    out = io.BytesIO()
    summary = Player(judge, out).play(records)
    return out.getvalue(), summary


def fresh(records: Iterable[Any]) -> list[Event | Control]:
    """The records as they come out of a file."""
    return [record for line in map(encode_line, records) if (record := decode_line(line)) is not None]


def test_twice_the_same_bytes() -> None:
    """Played twice, the same recording gives the same bytes; there is something of everything in them."""
    first, summary = play(fresh(recording()))
    second, _ = play(fresh(recording()))
    assert first == second
    actions = [json.loads(line) for line in first.splitlines()]
    assert {"mute", "delete", "kick", "warn", "restrict", "release"} <= {action["kind"] for action in actions}
    assert list(range(1, len(actions) + 1)) == [action["offset"] for action in actions]
    assert (len(actions), 3, 400, 6) == (summary.actions, summary.rooms, summary.events, summary.controls)
    assert (START, START + 399 * 0.37) == (summary.first_ts, summary.last_ts)
    assert sum(summary.tally.actions.values()) <= summary.actions


def test_keys_stand_in_order() -> None:
    """An action's keys come in the protocol's order, what is absent is absent, floats in evidence have six digits."""
    data, _ = play(fresh(recording()))
    order = ["id", "offset", "kind", "room", "user", "at", "reason", "message", "rule", "strategy", "config", "causes",
             "evidence", "cluster", "undoes", "duration_s", "until", "events", "mode", "cohort"]  # fmt: skip
    for line in data.splitlines():
        action = json.loads(line)
        assert list(action) == [key for key in order if key in action]
        assert None not in action.values()
        for value in action.get("evidence", {}).values():
            assert not isinstance(value, float) or value == float(f"{value:.6g}")


SCRIPT = """
import hashlib, io, sys
from tests.replay.test_player import fresh, play, recording
print(hashlib.sha256(play(fresh(recording()))[0]).hexdigest())
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_same_in_every_process(seed: str, checkout: Path) -> None:
    """The seed of Python's hashes, which orders sets and dicts of texts differently, changes nothing."""
    import hashlib  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, cwd=checkout, timeout=60,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(checkout)},
    )  # fmt: skip
    assert hashlib.sha256(play(fresh(recording()))[0]).hexdigest() == done.stdout.strip()


def by_room(data: bytes) -> dict[str, list[dict[str, Any]]]:
    rooms: dict[str, list[dict[str, Any]]] = {}
    for line in data.splitlines():
        action = json.loads(line)
        del action["offset"]
        rooms.setdefault(action["room"], []).append(action)
    return rooms


def test_rooms_know_nothing_of_each_other() -> None:
    """Each room's actions are the same alone and in company, and as a live room gives them; only offsets differ."""
    records = recording()
    together = by_room(play(fresh(records))[0])
    for room in ("r0", "r1", "r2"):
        own = [record for record in records if record.room == room]
        alone = by_room(play(fresh(own))[0])
        live = RoomGuard(room, BUSY)
        lines = []
        for record in fresh(own):
            outcome = (
                live.control(record, record.ts) if isinstance(record, Control) else live.receive(record, record.ts)
            )
            lines += [join_halves(encode_halves(action), 1) for action in outcome.actions]
        assert together[room] == alone[room] == by_room(b"\n".join(lines))[room]


def test_a_crash_in_the_middle_is_replayed() -> None:
    """A recording with a reset in it, as a crash leaves it, replays to what the live room did after it."""
    records = [record for record in fresh(recording(1)) if isinstance(record, Event)]
    live = RoomGuard("r0", BUSY)
    before = [action for record in records[:200] for action in live.receive(record, record.ts).actions]
    at = records[199].ts + 0.1
    before += live.expire(at).actions
    reset = control("reset", at - START, room="r0", state=msgspec.Raw(live.survivors()), ttl_s=3.0)
    revived = RoomGuard("r0", BUSY)
    revived.control(reset, at)
    after = [action for record in records[200:] for action in revived.receive(record, record.ts).actions]
    data, _ = play(fresh([*records[:200], reset, *records[200:]]))
    expected = [json.loads(join_halves(encode_halves(action), 0)) for action in (*before, *after)]
    assert [{**one, "offset": 0} for one in expected] == [
        {**json.loads(line), "offset": 0} for line in data.splitlines()
    ]


def test_timers_are_replayed() -> None:
    """A deadline that a timer ran stands in the recording, and what nobody ran is not run after the last record."""
    judge = program(rule("held", 'contains(text, "held")', "hold"), hold_s=10.0)
    held = [chat("ann", "held", at, id=f"e{at}") for at in (0, 1)]
    data, summary = play([*held, control("expire", 10)], judge)
    assert [("release", START + 10)] == [(one["kind"], one["at"]) for one in map(json.loads, data.splitlines())]
    assert (1, 2, 1) == (summary.actions, summary.events, summary.controls)
    assert b"" == play(held, judge)[0]
    late, _ = play([*held, join("ben", 60)], judge)
    assert [START + 10, START + 11] == [json.loads(line)["at"] for line in late.splitlines()]


def test_another_configuration_is_noticed() -> None:
    """A recording says by which configuration it was judged; another one than ours is named in the summary."""
    same = control("config", 0, config=BUSY.version)
    assert "" == play([same])[1].other_config
    assert "abc" == play([same, control("config", 1, config="abc")])[1].other_config


def test_undo_is_replayed() -> None:
    """An undo in a recording gives its inverse in the replay."""
    judge = program(rule("bad", 'contains(text, "bad")', "mute"))
    (line,) = play([chat("ann", "bad")], judge)[0].splitlines()
    undo = control("undo", 5, action=json.loads(line)["id"], kind="mute", user="ann", rule="bad")
    both = [json.loads(one) for one in play([chat("ann", "bad"), undo, undo], judge)[0].splitlines()]
    assert [("mute", None), ("unmute", both[0]["id"])] == [(one["kind"], one.get("undoes")) for one in both]


def test_nothing_to_play() -> None:
    """An empty recording gives nothing, and no times."""
    data, summary = play([])
    assert (b"", 0, None, None) == (data, summary.events, summary.first_ts, summary.last_ts)


def test_progress_is_told() -> None:
    """The callback hears of a long replay now and then, with how far it is."""
    heard: list[float | None] = []
    count = CHUNK + 5
    records = (join(f"u{number % 50}", number, id=f"e{number}") for number in range(count))
    Player(program(budget=BudgetSettings()), io.BytesIO()).play(records, lambda summary: heard.append(summary.last_ts))
    assert heard == [START + CHUNK - 1, START + count - 1]


def test_what_comes_before_a_fault_is_judged() -> None:
    """Where a recording breaks off, all that was read of it has been judged and written."""

    def broken() -> Iterator[Event | Control]:
        yield from recording()
        raise RecordingError("the file ends in the midst of a line")

    out = io.BytesIO()
    with pytest.raises(RecordingError):
        Player(BUSY, out).play(broken())
    assert out.getvalue() == play(recording())[0]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_how_many_are_judged_at_once_changes_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms are judged one after the other, some records at a time; what is written has the recording's order."""
    data, summary = play(recording())
    monkeypatch.setattr(player, "CHUNK", chunk)
    again, counted = play(recording())
    assert again == data
    assert counted == summary
    assert data
