"""What is sent: the same for the same seed, popular by Zipf, and truthfully labelled."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from loadtest.attacks import plan_attacks
from loadtest.options import SCENARIOS, Load, Options
from loadtest.rooms import people, plan_rooms, split, wheel, zipf_shares
from loadtest.runner import Script, plan

LOAD = Load(rooms=200, edges=3, rate=2_000, seconds=8, batch=32)


def all_events(script: Script) -> list[dict[str, Any]]:
    frames = [stream.make(index, 0.0, 1.7e9) for stream in script.streams for index in range(stream.frames)]
    events: list[dict[str, Any]] = []
    for frame in frames:
        made = json.loads(f"[{frame.events}]")
        assert len(made) == frame.count
        events += made
    return events


def events_of(load: Load) -> list[dict[str, Any]]:
    return all_events(plan(Options(load=load)))


def test_the_same_seed_gives_the_same_events() -> None:
    """A load is a function of its options."""
    assert events_of(LOAD) == events_of(LOAD)


def test_another_seed_gives_other_events() -> None:
    """The seed reaches rooms, texts and attacks."""
    other = Load(rooms=200, edges=3, rate=2_000, seconds=8, batch=32, seed=8)

    assert [event.get("text") for event in events_of(LOAD)] != [event.get("text") for event in events_of(other)]


def test_batches_cut_the_stream_and_change_no_choice_of_people() -> None:
    """How events are cut into frames changes neither how many there are nor who attacks."""
    small = plan(Options(load=Load(rooms=200, edges=3, rate=2_000, seconds=8, batch=1)))
    large = plan(Options(load=LOAD))

    assert small.attackers.keys() == large.attackers.keys()
    assert len(all_events(small)) == pytest.approx(len(all_events(large)), rel=0.01)


def test_popularity_follows_zipf() -> None:
    """The n-th room gets a share of 1 / n ** 1.1, in the plan and in what is sent."""
    shares = zipf_shares(200, 1.1)
    assert shares[0] / shares[9] == pytest.approx(10**1.1)
    assert sum(shares) == pytest.approx(1)

    counts = Counter(event["room"] for event in events_of(Load(rooms=200, edges=3, rate=20_000, seconds=5)))
    for rank in (0, 1, 4, 20):
        assert counts[f"r{rank:05d}"] / counts.total() == pytest.approx(shares[rank], rel=0.15)


def test_a_wheel_gives_each_share_its_slots_and_nobody_none() -> None:
    """A uniform draw from the wheel is a draw by weight."""
    slots = Counter(wheel([1000.0, 100.0, 0.0001], 2048))

    assert slots.total() == 2048
    assert slots[2] == 1
    assert slots[0] / slots[1] == pytest.approx(10, rel=0.02)


def test_each_room_is_on_one_edge_and_loads_are_even() -> None:
    """The order of a room is kept by sending it from one edge."""
    rooms = plan_rooms(LOAD)
    parts = split(rooms, 3)

    assert sorted(room.name for part in parts for room in part) == sorted(room.name for room in rooms)
    loads = [sum(room.share for room in part) for part in parts]
    assert max(loads) - min(loads) < 0.02


def test_event_ids_are_unique_and_find_their_frame() -> None:
    """An action's cause leads back to the frame that carried it."""
    script = plan(Options(load=LOAD))
    seen: set[str] = set()
    for stream in script.streams:
        for index in range(stream.frames):
            for event in json.loads(f"[{stream.make(index, 0.0, 1.7e9).events}]"):
                assert stream.frame_of(event["id"]) == index
                assert event["id"] not in seen
                seen.add(event["id"])
    assert script.streams[0].frame_of("someone-else's") is None
    assert script.streams[0].frame_of("7.0.x") is None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_attackers_are_labelled_truthfully(scenario: str) -> None:
    """Who is labelled an attacker attacks and does nothing else; nobody of the crowd carries such a name."""
    load = Load(scenario=scenario, rooms=200, edges=2, rate=3_000, seconds=10)
    script = plan(Options(load=load))
    moves = plan_attacks(load, plan_rooms(load)).moves
    attack_events = Counter(move.user for move in moves)
    sent = Counter(event.get("user") for event in all_events(script))
    ordinary = {f"u{number}" for number in range(people(plan_rooms(load)))}

    assert ordinary.isdisjoint(script.attackers)
    for user, attacker in script.attackers.items():
        assert sent[user] <= attack_events[user] == attacker.moves
        assert (attacker.began is not None) == (sent[user] > 0)
    if scenario == "hype":
        assert not script.attackers
    else:
        assert sum(sent[user] for user in script.attackers) > 0


def test_attacks_look_as_their_kind_says() -> None:
    """A flood is one account at machine speed, a raid many with the same offer, a churn join and leave."""
    load = Load(scenario="mixed", rooms=300, rate=10_000, seconds=20)
    attacks = plan_attacks(load, plan_rooms(load))
    moves: dict[str, list[Any]] = {}
    for move in attacks.moves:
        if move.user in attacks.attackers:
            moves.setdefault(move.user, []).append(move)

    kinds = {attacker.kind for attacker in attacks.attackers.values()}
    assert kinds == {"flood", "raid", "links", "churn"}
    for user, attacker in attacks.attackers.items():
        made = {move.kind for move in moves[user]}
        if attacker.kind == "flood" and len(moves[user]) > 5:
            gap = moves[user][1].due - moves[user][0].due
            assert gap <= 0.2
        if attacker.kind == "raid":
            assert made <= {"join", "chat"}
        if attacker.kind == "churn" and len(moves[user]) > 1:
            assert made in ({"join", "leave"}, {"follow", "unfollow"})


def test_ordinary_people_type_at_the_speed_of_people() -> None:
    """Nobody of the crowd sends more than a handful of chats within ten seconds in one room."""
    load = Load(rooms=100, edges=1, rate=2_000, seconds=20, attack_share=0.0, open_rooms=False)
    most = 0
    times: dict[tuple[str, str], list[float]] = {}
    for event in events_of(load):
        if event["kind"] == "chat":
            times.setdefault((event["room"], event["user"]), []).append(event["ts"])
    for sent in times.values():
        for index, at in enumerate(sent):
            most = max(most, sum(1 for other in sent[index:] if other <= at + 10))

    assert most <= 5


def test_a_gift_streak_counts_up_and_ends() -> None:
    """A streak re-sends its gift with a growing total until `streak_end`."""
    streaks: dict[str, list[dict[str, Any]]] = {}
    for event in events_of(Load(rooms=5, edges=1, rate=3_000, seconds=10, attack_share=0.0)):
        if "streak" in event:
            streaks.setdefault(event["streak"], []).append(event)

    assert streaks
    for gifts in streaks.values():
        counts = [gift["count"] for gift in gifts]
        assert counts == sorted(set(counts))
        assert len({gift["user"] for gift in gifts}) == 1
        assert all("streak_end" not in gift for gift in gifts[:-1])
