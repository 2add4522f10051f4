"""Breakers: how much a rule, and a room as a whole, may act in one minute of room time.

Minutes are whole minutes of room time (`floor(now / 60)`), so that a replay trips the same breakers. The rule that
would overrun its budget runs in shadow for the rest of that minute, and an alert is raised once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from roomguard.engine.outcome import Alert
from roomguard.engine.settings import BudgetSettings

_NOTHING: dict[str, int] = {}


class Brakes:
    """The counters of one room's current minute."""

    __slots__ = ("_alerted", "_by_rule", "_minute", "_room")

    def __init__(self) -> None:
        self._minute = -1
        self._room = 0
        # Own ones from the first minute on in which something is spent, which in most rooms does not come.
        self._by_rule = _NOTHING
        self._alerted: Collection[str] = ()

    def spend(self, budget: BudgetSettings, room: str, rule: str, now: float, alerts: list[Alert]) -> bool:
        """Take one action of `rule` out of the budget. False: it is used up, the rule only counts."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self._room = 0
            self._by_rule = {}
            self._alerted = ()
        spent = self._by_rule.get(rule, 0)
        if spent >= budget.actions_per_rule_minute:
            self._alert("rule_budget", room, rule, now, f"{spent} actions in this minute", alerts)
            return False
        if self._room >= budget.actions_per_room_minute:
            self._alert("room_budget", room, "", now, f"{self._room} actions in this minute", alerts)
            return False
        self._by_rule[rule] = spent + 1
        self._room += 1
        return True

    def _alert(self, code: Any, room: str, rule: str, now: float, detail: str, alerts: list[Alert]) -> None:
        key = f"{code}:{rule}"
        if key not in self._alerted:
            self._alerted = (*self._alerted, key)
            alerts.append(Alert(code, room, rule, now, detail))

    def dump(self) -> Any:
        """Plain data for a snapshot."""
        return [self._minute, self._room, self._by_rule, sorted(self._alerted)]

    def load(self, data: Any) -> None:
        """What `dump` gave."""
        self._minute, self._room = data[0], data[1]
        self._by_rule = dict(data[2])
        self._alerted = tuple(data[3])
