"""What the engine answers: values that say what should happen. The engine itself never sends."""

from __future__ import annotations

from typing import Literal

import attrs

from roomguard.model.actions import Action

Verdict = Literal["allow", "drop", "hold"]
AlertCode = Literal["rule_budget", "room_budget", "penalties_full", "holds_full", "room_mode"]


@attrs.frozen
class Alert:
    """Something an operator should hear of: a breaker that cut a rule off, a cap that forgot something, a raid."""

    code: AlertCode
    room: str
    rule: str
    at: float
    """Room time, Unix seconds."""
    detail: str


@attrs.frozen
class Outcome:
    """The answer to one input. `verdict` is for a gated edge; `actions` are in the order they must leave."""

    verdict: Verdict = "allow"
    actions: tuple[Action, ...] = ()
    alerts: tuple[Alert, ...] = ()


ALLOW = Outcome()
"""The common answer, shared: nothing to do."""

DROP = Outcome(verdict="drop")
"""Swallowed by a penalty in force."""
