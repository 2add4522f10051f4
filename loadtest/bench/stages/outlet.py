"""What leaves: counting, encoding and writing down actions."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from loadtest.bench.stages.stage import Stage
from loadtest.bench.stages.work import START, Traffic, looped
from roomguard.engine.room import RoomGuard
from roomguard.engine.settings import BudgetSettings
from roomguard.engine.tally import Tally
from roomguard.model.actions import Action
from roomguard.model.events import AnyEvent, Chat
from roomguard.store.journal import Journal
from roomguard.store.records import Draft, draft
from roomguard.store.settings import BusSettings
from roomguard.testing import program, rule
from roomguard.wire import encode_line

ACTIONS = 2_048


def actions(traffic: Traffic) -> list[Action]:
    """Real actions, one a chat of whoever is not exempt, at most `ACTIONS`."""
    ample = BudgetSettings(actions_per_room_minute=10**6, actions_per_rule_minute=10**6)
    hitting = program(rule("hits", "length >= 1", "delete"), budget=ample)
    guards: dict[str, RoomGuard] = {}
    out: list[Action] = []
    for event in traffic.of(Chat):
        guard = guards.setdefault(event.room, RoomGuard(event.room, hitting))
        out += guard.receive(event, event.ts).actions
    return out[:ACTIONS]


def _appended(made: Sequence[Action], batch: int) -> Callable[[], object]:
    """A new journal, in a folder that goes away with the work."""
    folder = tempfile.TemporaryDirectory(prefix="bench-journal-")
    journal = Journal(BusSettings(data_dir=str(Path(folder.name) / "data")))
    drafts: list[Draft] = [draft(action) for action in made]

    def work() -> None:
        with folder:
            for at in range(0, len(drafts), batch):
                journal.append(drafts[at : at + batch], START)
            journal.close()

    return work


def _counted(inputs: Sequence[AnyEvent]) -> Callable[[], object]:
    """What the room and the registry count for an event that hits: nothing is read until somebody asks."""
    tally = Tally()
    kinds: Counter[type[AnyEvent]] = Counter()
    verdicts: Counter[str] = Counter()

    def work() -> None:
        for event in inputs:
            kinds[type(event)] += 1
            tally.hits["hits", "enforce"] += 1
            tally.actions["hits", "delete"] += 1
            verdicts["drop"] += 1

    return work


def stages(traffic: Traffic) -> list[Stage]:
    """Counting beside the decision it counts; encoding; the journal by batch."""
    chats = traffic.of(Chat)
    made = actions(traffic)
    out = [
        Stage(
            "metrics", "the counters of an event that hits", len(chats), lambda: _counted(chats), "us/hit",
            beside="decision_enforced", most_ratio=0.15,
        ),
        Stage(
            "record", "an event to its line of a recording: only with --record", len(chats),
            lambda: looped(encode_line, chats),
        ),
        Stage("encode_action", "an action to its row", len(made), lambda: looped(draft, made), "us/action"),
    ]  # fmt: skip
    for batch in (1, 64, 512):
        some = made[: 256 if batch == 1 else len(made)]

        def prepare(some: Sequence[Action] = some, batch: int = batch) -> Callable[[], object]:
            return _appended(some, batch)

        what = f"actions written and synced, {batch} a commit"
        out.append(Stage(f"journal_{batch}", what, len(some), prepare, "us/action"))
    return out
