"""Random rooms with everything switched on: timers, restores and reloads on the way change no byte of what is sent."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import attrs
import pytest

from roomguard.configure import configure
from roomguard.engine.program import Program, compile_program
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import ElevatedSettings, ModesSettings, RaidSettings, StrategySettings
from roomguard.model.actions import Action
from roomguard.model.events import Chat, Control, Event, Gift, Join, Moderation, RoomOpen, Viewers, Who
from roomguard.testing import START

TEXTS = ("hello", "x" * 220, "a b c d " * 30, "follow me for free viewers", "@a1 @b2 @c3 @d4")
OVERRIDES: tuple[dict[str, Any], ...] = (
    {"flood_10s": 3.0}, {"room_mode": "raid"}, {"strategy": "kids"}, {"bogus": 1.0}, {"flood": "shadow"}, {},
)  # fmt: skip


@pytest.fixture(scope="module")
def everything() -> Program:
    """The shipped rules with jitter, notices, hours, and modes that begin early and restrict."""
    settings = configure(Path(__file__).parents[2] / "config.toml").settings.engine
    rules = (attrs.evolve(r, jitter_s=5.0 if r.name in ("flood", "copies") else 0.0) for r in settings.rules)
    night = StrategySettings(hours="22:14-22:30", thresholds={"flood_10s": 2})
    modes = ModesSettings(
        elevated=ElevatedSettings(hits=2, dwell_s=5.0, restrict="slow"),
        raid=RaidSettings(hits=4, dwell_s=10.0, restrict="followers", scale={"flood_10s": 0.5}),
        settle_s=0.0, window_s=20.0,
    )  # fmt: skip
    strategies = {**settings.strategies, "night": night}
    return compile_program(
        attrs.evolve(settings, rules=tuple(rules), notice_s=20.0, strategies=strategies, modes=modes)
    )


def record(dice: random.Random, number: int, ts: float) -> Event | Control:
    """Something that may happen in a room."""
    user = f"u{dice.randrange(12)}"
    common: dict[str, Any] = {"id": f"e{number}", "ts": ts, "room": "r"}
    draw = dice.random()
    if draw < 0.7:
        who = dice.choice([None, Who(role="subscriber", device="d")])
        return Chat(user=user, text=dice.choice(TEXTS), lang=dice.choice([None, "de"]), who=who, **common)
    if draw < 0.8:
        return Join(user=user, who=Who(account_age_s=5.0), **common)
    if draw < 0.84:
        settings = dice.choice(OVERRIDES)
        return Control(type="override", room="r", ts=ts, settings=settings, ttl_s=dice.choice([None, 5.0, 60.0]))
    if draw < 0.88:
        return Viewers(count=dice.randrange(50), **common)
    if draw < 0.92:
        verb = dice.choice(["unmute", "mute", "kick", "readmit"])
        return Moderation(user="mod", verb=verb, target=user, duration_s=30.0, **common)
    if draw < 0.95:
        return Control(type="expect_raid", room="r", ts=ts, size=3, ttl_s=20.0)
    if draw < 0.97:
        return RoomOpen(host=f"h{dice.randrange(2)}", tags=dice.choice([None, ["kids"]]), **common)
    return Gift(user=user, gift="g", count=5, value=30.0, **common)


def feed(room: RoomGuard, item: Event | Control) -> tuple[Action, ...]:
    outcome = room.control(item, item.ts) if isinstance(item, Control) else room.receive(item, item.ts)
    return outcome.actions


@pytest.mark.parametrize("seed", range(25))
def test_disturbed_and_undisturbed_rooms_agree(everything: Program, seed: int) -> None:
    """A room that is never interrupted and one that is all the time send the same, each id once."""
    dice = random.Random(seed)
    times = [START]
    for _ in range(300):
        times.append(times[-1] + dice.choice([0, 0.1, 0.5, 1, 3, 30, 200]))
    items = [record(dice, number, ts) for number, ts in enumerate(times)]
    one, other = RoomGuard("r", everything), RoomGuard("r", everything)
    sent = [action for item in copy.deepcopy(items) for action in feed(one, item)]
    seen: list[Action] = []
    for item in items:
        while (due := other.next_deadline()) is not None and due <= item.ts and dice.random() < 0.7:
            seen += other.expire(due).actions
            assert (other.next_deadline() or due + 1) > due
        if dice.random() < 0.1:
            before = other.snapshot()
            other = RoomGuard.restore("r", everything, before)
            assert before == other.snapshot()
        if dice.random() < 0.05:
            other.configure(everything)
        seen += feed(other, item)

    assert sent == seen
    assert len(sent) == len({action.id for action in sent}) > 0
