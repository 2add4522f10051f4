"""A room in virtual time: say what happens, read what the guard does.

scene = Scene(program(rule("flood", 'over("chat")'), limits={"chat": limit("3/10s")}))
for second in range(4):
    scene.chat("ann", at=second)
assert scene.kinds("ann") == ["mute"]
"""

from __future__ import annotations

from typing import Any

from roomguard.engine.outcome import Alert, Outcome
from roomguard.engine.program import Program
from roomguard.engine.room import RoomGuard
from roomguard.model.actions import Action
from roomguard.model.events import Event, Verb
from roomguard.testing import builders
from roomguard.testing.builders import START


class Scene:
    """One room and all that came of it. Events get the ids e1, e2, ... in order, unless they are given one."""

    def __init__(self, program: Program, room: str = "r1") -> None:
        self.guard = RoomGuard(room, program)
        self.actions: list[Action] = []
        self.alerts: list[Alert] = []
        self.verdicts: list[str] = []
        self._events = 0

    def take(self, event: Event) -> Outcome:
        """Judge an event at its own time."""
        return self._keep(self.guard.receive(event, event.ts), verdict=True)

    def chat(self, user: str, text: str = "hello there", at: float = 0.0, **more: Any) -> Outcome:
        """A message; see `builders.chat`."""
        return self.take(builders.chat(user, text, at, **self._numbered(more)))

    def gift(self, user: str, count: int = 1, at: float = 0.0, **more: Any) -> Outcome:
        """A gift."""
        return self.take(builders.gift(user, count, at, **self._numbered(more)))

    def like(self, user: str, count: int = 1, at: float = 0.0, **more: Any) -> Outcome:
        """Likes."""
        return self.take(builders.like(user, count, at, **self._numbered(more)))

    def join(self, user: str, at: float = 0.0, **more: Any) -> Outcome:
        """Somebody comes in."""
        return self.take(builders.join(user, at, **self._numbered(more)))

    def leave(self, user: str, at: float = 0.0, **more: Any) -> Outcome:
        """Somebody goes."""
        return self.take(builders.leave(user, at, **self._numbered(more)))

    def plain(self, kind: str, user: str, at: float = 0.0, **more: Any) -> Outcome:
        """A join, leave, follow, unfollow or share."""
        return self.take(builders.plain(kind, user, at, **self._numbered(more)))

    def report(self, user: str, target: str, at: float = 0.0, **more: Any) -> Outcome:
        """Somebody reports somebody."""
        return self.take(builders.report(user, target, at, **self._numbered(more)))

    def moderation(self, user: str, verb: Verb, target: str, at: float = 0.0, **more: Any) -> Outcome:
        """A human in the room acts."""
        return self.take(builders.moderation(user, verb, target, at, **self._numbered(more)))

    def control(self, type_: str, at: float = 0.0, **more: Any) -> Outcome:
        """Something else that changes decisions; see `builders.control`."""
        record = builders.control(type_, at, **{"room": self.guard.room, **more})
        return self._keep(self.guard.control(record, record.ts), verdict=False)

    def undo(self, action: Action, at: float) -> Outcome:
        """Take an action back, by all that is known of it outside the room."""
        return self.control(
            "undo", at, action=action.id, kind=action.kind, user=action.user, rule=action.rule, until=action.until,
            events=None if action.events is None else list(action.events),
        )  # fmt: skip

    def expire(self, at: float) -> Outcome:
        """Let the deadlines due by `at` run."""
        return self._keep(self.guard.expire(START + at), verdict=False)

    def kinds(self, user: str | None = None) -> list[str]:
        """The kinds of the actions so far, on one user where one is given."""
        return [action.kind for action in self.actions if user is None or action.user == user]

    def hits(self, rule: str) -> dict[str, int]:
        """How often a rule hit, by what came of it."""
        return {outcome: count for (name, outcome), count in self.guard.tally.hits.items() if name == rule}

    def _numbered(self, more: dict[str, Any]) -> dict[str, Any]:
        self._events += 1
        return {"id": f"e{self._events}", "room": self.guard.room, **more}

    def _keep(self, outcome: Outcome, *, verdict: bool) -> Outcome:
        self.actions += outcome.actions
        self.alerts += outcome.alerts
        if verdict:
            self.verdicts.append(outcome.verdict)
        return outcome
