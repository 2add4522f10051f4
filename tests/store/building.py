"""Actions for the tests of the journal and the bus."""

from __future__ import annotations

from typing import Any

from roomguard.model.actions import Action, action_id

NOW = 1_700_000_000.0


def action(number: int, **changes: Any) -> Action:
    """The action number `number`: a mute of a minute in one of a few rooms."""
    room = changes.pop("room", f"room-{number % 3}")
    kind = changes.pop("kind", "mute")
    values: dict[str, Any] = {
        "id": action_id(room, f"user-{number}", kind, "flood", f"event-{number}"),
        "kind": kind,
        "room": room,
        "user": f"user-{number}",
        "at": NOW + number,
        "reason": "flood",
        "message": "Slow down, please — 慢一点.",
        "rule": "chat_flood",
        "strategy": "default",
        "config": "c0ffee",
        "causes": (f"event-{number}",),
        "evidence": {"user_chat_10s": 11, "share": 0.25, "exact": True},
    }
    if kind == "mute":
        values |= {"duration_s": 60.0, "until": NOW + number + 60.0}
    return Action(**(values | changes))
