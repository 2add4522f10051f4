"""What the engine counts about itself. One tally may be shared by all rooms; rooms never read it to decide."""

from __future__ import annotations

from collections import Counter

import attrs


@attrs.define
class Tally:
    """Counters since the start. Keys of `hits` are (rule, outcome)."""

    hits: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """Outcomes: enforce, shadow, exempt, grace, budget, rollout, in_force (what the rule asks for is so already), tier
    and hype (no hit under the limits that hold for this user or in this crowd)."""
    actions: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """(rule, kind) of actions emitted."""
    modes: Counter[str] = attrs.field(factory=Counter)
    """How often rooms went into each mode."""
    overrides: Counter[str] = attrs.field(factory=Counter)
    """Overrides taken, expired, ended by an empty one, forgotten at the cap; names in them that were ignored."""
    alerts: Counter[str] = attrs.field(factory=Counter)
    """Alerts that reached the operator, by code."""
    dropped: int = 0
    """Events swallowed by a penalty in force."""
    duplicates: int = 0
    """Events whose id the user's latest events already had."""
    cut: int = 0
    """Texts longer than what is judged."""
    evicted_users: int = 0
    """Users forgotten at the cap."""
    forgotten_penalties: int = 0
    """Penalties forgotten at the cap."""
