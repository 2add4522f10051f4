"""The whole generator over real sockets against TallyGuard: what it reports is what happened there."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import attrs
import pytest

from loadtest.options import Load, Options, Playback, Target
from loadtest.outcome import Document, document
from loadtest.recording import RecordingError, played_streams
from loadtest.runner import plan, run
from tests.loadtest.fake_guard import Faults, TallyGuard, listening

LOAD = Load(rooms=30, edges=2, rate=1_500, seconds=1, batch=16, attacks_after=0.2, scenario="flood", open_rooms=False)
OPTIONS = Options(load=LOAD, idle_trips=5, drain=0.5, settle=0.1)


def played(guard: TallyGuard, options: Options = OPTIONS) -> Document:
    """One run against `guard`."""

    async def go() -> Document:
        async with listening(guard) as url:
            chosen = attrs.evolve(options, target=Target(url=url))
            return document(await run(chosen, plan(chosen), lambda _second, _tally: None))

    return asyncio.run(go())


def test_a_sound_guard_loses_nothing() -> None:
    """All that is sent is accepted, floods are caught, each action is called enforced, latencies are known."""
    guard = TallyGuard(limit=4)
    doc = played(guard)

    assert doc["events"]["sent"] == doc["events"]["accepted"] == len(guard.events)
    assert doc["events"]["lost"] == 0
    assert doc["attacks"]["flood"]["caught"] > 0
    assert doc["attacks"]["flood"]["caught"] == sum(user in _attackers() for _, user in guard.muted)
    assert sorted(guard.enforced) == sorted(f"act-{number}" for number in range(1, guard.offset + 1))
    assert doc["latency_ms"]["ack"]["count"] == doc["events"]["sent_in_load"]
    assert doc["latency_ms"]["action"]["count"] == guard.offset
    assert doc["latency_ms"]["ack"]["p50"] >= doc["latency_ms"]["ack_from_send"]["p50"] * 0.98
    assert doc["idle_trip_ms"] > 0
    assert doc["wire"]["actions_out_of_order"] == doc["wire"]["unknown_messages"] == 0
    assert not doc["failures"]


def _attackers() -> set[str]:
    return set(plan(OPTIONS).attackers)


def _events_of_one_frame_of_each_edge() -> int:
    return sum(stream.make(0, 0.0, 0.0).count for stream in plan(OPTIONS).streams)


def test_every_room_arrives_in_order() -> None:
    """Events of a room reach the guard in the order of their numbers."""
    guard = TallyGuard()
    played(guard)
    last: dict[str, int] = {}
    for event in guard.events:
        if event["id"].startswith("trip"):
            continue
        number = int(event["id"].rpartition(".")[2])
        assert number > last.get(event["room"], -1)
        last[event["room"]] = number


def test_frames_without_an_answer_are_lost() -> None:
    """A frame that is never acknowledged is lost, also where later ones are acknowledged."""
    doc = played(TallyGuard(faults=Faults(silent_seqs=frozenset({8, 9}))))

    assert doc["events"]["lost"] == doc["events"]["unacked"] == 2 * _events_of_one_frame_of_each_edge()


def test_a_guard_that_stops_answering_leaves_unacked_frames() -> None:
    """A full window stays unacked, and the run ends by itself."""
    guard = TallyGuard(max_unacked=4, faults=Faults(silent_seqs=frozenset(range(30, 100_000))))
    doc = played(guard, attrs.evolve(OPTIONS, drain=0.3))

    assert doc["events"]["lost"] == doc["events"]["unacked"] == 4 * _events_of_one_frame_of_each_edge()
    assert doc["events"]["unsent_frames"] > 0


def test_an_ack_that_covers_too_few_events_loses_the_rest() -> None:
    """Accepted and rejected must add up to the frame."""
    doc = played(TallyGuard(faults=Faults(short_seqs=frozenset({7, 8, 9}))))

    assert doc["events"]["lost"] == doc["wire"]["uncovered"] == 6
    assert doc["events"]["unacked"] == 0


def test_rejections_are_counted_by_code() -> None:
    """An event that was shed is answered, and said to be shed."""
    guard = TallyGuard(faults=Faults(reject_kind="like"))
    doc = played(guard)
    likes = sum(event["kind"] == "like" for event in guard.events)

    assert doc["events"]["rejected_by_code"] == {"shed": likes}
    assert doc["events"]["shed"] == likes
    assert doc["events"]["lost"] == 0


def test_a_lost_connection_is_resumed() -> None:
    """The session goes on where it was: nothing lost, nothing judged twice, the frame taken but unanswered counted."""
    guard = TallyGuard(faults=Faults(drop_after=20))
    doc = played(guard)
    ids = [event["id"] for event in guard.events]

    assert doc["wire"]["reconnects"] == 2
    assert len(ids) == len(set(ids)) == doc["events"]["accepted"]
    assert doc["events"]["lost"] == 0
    assert doc["wire"]["accepted_by_resume"] > 0
    assert not doc["errors"]


def test_gated_frames_get_their_verdicts() -> None:
    """A frame that asks for verdicts gets one an event, before its ack."""
    doc = played(TallyGuard(), attrs.evolve(OPTIONS, load=attrs.evolve(LOAD, gate=0.5)))

    assert doc["verdicts"]["allow"] == doc["latency_ms"]["verdict"]["count"] > 0
    assert doc["wire"]["verdicts_after_ack"] == doc["wire"]["verdicts_missing"] == 0


def write_recording(path: Path, room: str, count: int, start: float = 1_000.0) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"type": "config", "room": room, "ts": start, "config": "c"}) + "\n")
        for number in range(count):
            event = {"id": f"{room}-{number}", "kind": "chat", "room": room, "user": "u1", "ts": start + number * 0.1}
            file.write(json.dumps({**event, "text": f"hello {number}"}) + "\n")


@pytest.mark.parametrize("keep", [False, True])
def test_a_recording_is_played_whole_and_in_order(tmp_path: Path, *, keep: bool) -> None:
    """Each line arrives once, its room in order, its `ts` with the recorded spacing, shifted to now unless kept."""
    for room in ("a", "b", "c"):
        write_recording(tmp_path / f"{room}.jsonl", room, 300)
    guard = TallyGuard(limit=10_000)
    files = tuple(tmp_path / f"{room}.jsonl" for room in "abc")
    options = attrs.evolve(OPTIONS, playback=Playback(files=files, speed=30, keep_ts=keep))
    doc = played(guard, options)
    events = [event for event in guard.events if not event["id"].startswith("trip")]

    assert doc["script"]["skipped_records"] == {"config": 3}
    assert doc["events"]["sent_in_load"] == len(events) == 900
    for room in "abc":
        own = [event for event in events if event["room"] == room]
        assert [event["text"] for event in own] == [f"hello {number}" for number in range(300)]
        assert own[-1]["ts"] - own[0]["ts"] == pytest.approx(29.9, abs=1e-3)
    assert (events[0]["ts"] == 1_000.0) is keep


def test_a_bare_chat_log_is_a_recording_of_its_file(tmp_path: Path) -> None:
    """Lines of only `ts`, `user` and `text` become chats of a room named after the file."""
    path = tmp_path / "some_room.2024.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write('{"ts": 5, "user": "u1", "text": "hi", "label": "ban"}\n')
    script = played_streams(Playback(files=(path,)), LOAD)
    event = json.loads(script.streams[0].make(0, 0.0, 100.0).events)

    assert event == {
        "kind": "chat",
        "user": "u1",
        "ts": 100.0,
        "text": "hi",
        "id": "some_room-1",
        "room": "some_room",
    }


@pytest.mark.parametrize("line", ["[1]", "{", '{"kind":"chat"}', '{"ts":1,"user":"u"}'])
def test_a_broken_recording_names_file_and_line(tmp_path: Path, line: str) -> None:
    """What is no event and no control record stops the run before it starts."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"ts":1,"user":"u","text":"t"}\n' + line + "\n", encoding="utf-8")

    with pytest.raises(RecordingError, match=r"bad\.jsonl:2: "):
        played_streams(Playback(files=(path,)), LOAD)


def test_what_was_sent_and_done_can_be_kept(tmp_path: Path) -> None:
    """The events written are a recording of what the guard got; the actions are all it took, once each."""
    guard = TallyGuard(limit=4)
    events, actions = tmp_path / "events.jsonl", tmp_path / "actions.jsonl"
    played(guard, attrs.evolve(OPTIONS, events=events, actions=actions))
    written = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    taken = [json.loads(line)["id"] for line in actions.read_text(encoding="utf-8").splitlines()]

    assert sorted(written, key=lambda event: event["id"]) == sorted(guard.events, key=lambda event: event["id"])
    assert sorted(taken) == sorted(f"act-{number}" for number in range(1, guard.offset + 1))
    assert played_streams(Playback(files=(events,)), LOAD).events == len(written)
