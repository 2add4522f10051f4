"""The benchmark suite: every target gets the same frames; a figure counts only where every event got its ack."""

# ruff: noqa: RUF001 - letters of other scripts that look like Latin ones are what is tested

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from loadtest.bench.__main__ import main
from loadtest.bench.drive import TargetFailed, split_frames
from loadtest.bench.frames import Lane, Workload, build, recorded
from loadtest.bench.whole import Sample, summarize
from loadtest.bench.yardsticks.rules import Rules, TunedRules, phrases
from loadtest.recording import RecordingError
from loadtest.words import CHEERS


def sent(lanes: tuple[Lane, ...]) -> list[list[dict[str, Any]]]:
    """The messages of each lane, read by a server's protocol."""
    out = []
    for lane in lanes:
        protocol = Protocol(SERVER, state=OPEN, max_size=None)
        protocol.receive_data(b"".join(lane.chunks))
        out.append([json.loads(frame.data) for frame in protocol.events_received() if isinstance(frame, Frame)])
    return out


def events(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for message in messages for event in message["events"]]


@pytest.fixture(scope="module")
def work() -> Workload:
    return build(4_000, 16, connections=4, rooms=50)


def test_frames_carry_the_batch_and_count_up(work: Workload) -> None:
    """Each connection's `seq` runs from 1 through warm-up and measurement; each frame holds one batch."""
    for warm, measured in zip(sent(work.warm), sent(work.measured), strict=True):
        whole = warm + measured
        assert [message["seq"] for message in whole] == list(range(1, len(whole) + 1))
        assert {len(message["events"]) for message in whole} == {16}


def test_lanes_say_how_much_they_hold(work: Workload) -> None:
    """What is waited for is what is sent."""
    for lane, messages in zip(work.measured, sent(work.measured), strict=True):
        assert lane.total == len(events(messages))
    assert sum(lane.total for lane in work.measured) == pytest.approx(4_000, rel=0.02)


def test_a_room_stays_on_its_connection(work: Workload) -> None:
    """The order of a room is kept."""
    rooms = [{event["room"] for event in events(messages)} for messages in sent(work.measured)]

    assert sum(map(len, rooms)) == len(set.union(*rooms))


def test_batches_carry_the_same_people() -> None:
    """Batch size changes the frames, not how many events there are."""
    totals = [sum(lane.total for lane in build(3_000, batch, connections=2, rooms=20).measured) for batch in (1, 8)]

    assert totals[0] == pytest.approx(totals[1], rel=0.02)


def test_a_recording_can_be_the_workload(tmp_path: Path) -> None:
    """Its first events in order, `ts` with the spacing recorded, beginning now."""
    path = tmp_path / "r.jsonl"
    lines = [
        {"id": f"e{number}", "kind": "like", "room": f"r{number % 3}", "user": "u", "ts": number, "count": 1}
        for number in range(220)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    work = recorded(path, 200, 16, connections=3)
    lanes = [events(warm + rest) for warm, rest in zip(sent(work.warm), sent(work.measured), strict=True)]

    times = sorted(event["ts"] for lane in lanes for event in lane)
    assert [round(ts - times[0], 2) for ts in times] == list(range(220))
    assert all(lane == sorted(lane, key=lambda event: event["ts"]) for lane in lanes)
    with pytest.raises(RecordingError, match="330 are needed"):
        recorded(path, 300, 16)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_chat_has_the_share_that_is_asked_for(share: float) -> None:
    """What is left out leaves as many events as were wanted, in order."""
    made = build(4_000, 16, connections=2, rooms=20, chat_share=share)
    lanes = [events(warm + rest) for warm, rest in zip(sent(made.warm), sent(made.measured), strict=True)]
    kinds = [event["kind"] for lane in lanes for event in lane]

    assert kinds.count("chat") / len(kinds) == pytest.approx(share, abs=0.03)
    assert len(kinds) == pytest.approx(4_400, rel=0.05)
    assert all(lane == sorted(lane, key=lambda event: event["ts"]) for lane in lanes)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_the_splitter_finds_every_frame(size: int, step: int) -> None:
    """Frames of every length form are found however the bytes are cut."""
    if size > 1_000 and step == 1:
        step = 997
    wire = Frame(Opcode.TEXT, b"x" * size).serialize(mask=False) + Frame(Opcode.PING, b"p").serialize(mask=False)
    buffer = bytearray()
    found = []
    for start in range(0, len(wire), step):
        buffer += wire[start : start + step]
        found += split_frames(buffer)

    assert found == [(Opcode.TEXT, b"x" * size), (Opcode.PING, b"p")]
    assert not buffer


def test_the_splitter_refuses_what_it_does_not_know() -> None:
    """A fragment is no whole message and must not be counted as one."""
    with pytest.raises(TargetFailed):
        split_frames(bytearray(Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=False)))


def test_the_tuned_yardstick_judges_alike() -> None:
    """Tuning changes the cost of a verdict, never the verdict."""
    plain, tuned = Rules(), TunedRules()
    texts = [
        *CHEERS,
        phrases()[3],
        f"so {phrases()[700].upper()} there",
        "ＷＷＷ．ＥＸＡＭＰＬＥ．ＣＯＭ",
        "see https://a.example/x",
        "http://localhost and no dot",
        "THIS IS SHOUTED AT ALL",
        "THIS is not all SHOUTED",
        "ПРИВЕТ ВСЕМ КАК ДЕЛА",
        "123456789012 !!!",
        "晚上好呀这把稳了声音有点小",
    ]

    assert [tuned.text(text) for text in texts] == [plain.text(text) for text in texts]
    assert {plain.text(text) for text in texts} == {None, "blocked_phrase", "link", "capitals"}


def test_a_mute_holds_for_its_time() -> None:
    """Who is muted is not judged again, and then is."""
    rules = Rules()
    event = {"id": "1", "kind": "chat", "room": "r", "user": "u", "ts": 100.0, "text": "www.x.example"}

    assert rules.judge(event) == "link"
    assert rules.judge({**event, "ts": 150.0}) is None
    assert rules.judge({**event, "ts": 160.0}) == "link"


def test_ratios_are_of_medians() -> None:
    """Each figure stands beside the base of its own batch size."""

    def sample(target: str, run: int, cpu: float) -> Sample:
        return Sample(target, 16, run, 1_000, cpu, 0.0, 1.0, 10, 0, 0, 50.0)

    samples = [sample("y1", run, cpu) for run, cpu in enumerate((10, 11, 50))]
    samples += [sample("guard", run, cpu) for run, cpu in enumerate((5, 5.5, 6))]
    rows = {row["target"]: row for row in summarize(samples)}

    assert rows["y1"]["cpu_us"] == 11
    assert rows["guard"]["ratio"] == 0.5
    assert rows["guard"]["cpu_us_max"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("target", ["y1", "y1_tuned", "y1_valkey", "y3", "floor"])
def test_each_yardstick_acknowledges_everything(target: str, tmp_path: Path) -> None:
    """One short run of each batch size: all events acknowledged, mutes where there is a decision."""
    out = tmp_path / "out.json"
    command = f"whole --events 3000 --batch 1,16,128 --runs 1 --rooms 50 --targets {target} --json {out}"

    assert main(command.split()) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert [row["batch"] for row in document["rows"]] == [1, 16, 128]
    assert all(row["cpu_us"] > 0 and row["rejected"] == 0 for row in document["rows"])
    assert all((row["action_share"] > 0) is (target != "floor") for row in document["rows"])


@pytest.mark.parametrize(
    "arguments",
    [
        "whole --targets y9",
        "whole --batch 1,x",
        "whole --runs 0",
        "whole --against HEAD --targets y1",
        "whole --workload nowhere.jsonl",
        "stages --runs 0",
        "stages --events 10",
        "memory --rooms 1",
        "latency --parts all",
        "latency --loads fast",
        "curves --factors weather",
        "curves --chat-share 101",
        "curves --judging 2",
        "nothing",
    ],
)
def test_usage_errors_leave_with_2(arguments: str) -> None:
    """What makes no sense is refused before anything is started."""
    with pytest.raises(SystemExit) as left:
        main(arguments.split())

    assert left.value.code == 2
