"""What an operator may set about rooms: their number, their mailboxes, how they fail and when they are put away."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, ge, gt, in_, le

FailMode = Literal["allow", "drop"]


def _seconds(default: float, *, least: float = 0.0) -> float:
    value: float = attrs.field(default=default, validator=and_(ge(least), le(86_400.0)))
    return value


def _count(default: int, *, least: int = 1, most: int = 10_000_000) -> int:
    value: int = attrs.field(default=default, validator=and_(ge(least), le(most)))
    return value


@attrs.frozen(kw_only=True)
class RoomSettings:
    """Bounds and times of the rooms of one process. Every duration is in seconds."""

    max_rooms: int = _count(100_000)
    """Rooms live at once. At the cap an event for one more room is rejected `room_limit`."""
    mailbox_events: int = _count(4_096, least=10)
    """Events waiting in one room. When full, the room sheds by class; a tenth is kept for reports and moderation."""
    mailbox_controls: int = _count(256)
    """Control records waiting in one room. When full, one more is refused and counted."""
    turn_events: int = _count(256, most=4_096)
    """Events a room or a reader decides before others get their turn."""

    fail_mode: FailMode = attrs.field(default="allow", validator=in_(("allow", "drop")))
    """The verdict of a gated event that was not judged."""
    gate_within_s: float = _seconds(0.2, least=0.001)
    """A gated event that waited this long gets the fail mode and is rejected `overload`."""
    decide_within_s: float = _seconds(1.0, least=0.001)
    """The same for an event that is not gated: one stuck room must not stop its connection for longer."""

    skew_generation_s: float = _seconds(30.0, least=1.0)
    """A session's clock offset is the largest seen in two generations of this length."""

    restart_first_s: float = _seconds(0.1, least=0.001)
    """Pause before the first restart of a room that crashed; it doubles up to `restart_most_s`."""
    restart_most_s: float = _seconds(5.0, least=0.001)
    restart_count: int = _count(5)
    """Restarts allowed within `restart_window_s`; one more and the room is quarantined."""
    restart_window_s: float = _seconds(10.0, least=0.1)
    restart_hold_s: float = _seconds(0.25)
    """Events wait through a restart pause up to this long; in a longer one they are rejected `overload` at once."""
    quarantine_s: float = _seconds(60.0, least=0.001)
    """A quarantined room rejects everything as `quarantined` for this long, then it is tried again."""
    crash_budget: int = _count(50)
    """Crashes of all rooms within `restart_window_s` beyond which the process calls itself not ready."""
    dead_letters: int = _count(100)
    """Poison events kept for the operator to look at; beyond it the oldest is forgotten (all are counted)."""

    idle_s: float = _seconds(600.0)
    """A room without input for this long is put away, once its windows have run out."""
    sweep_s: float = attrs.field(default=15.0, validator=[gt(0.0), le(3_600.0)])
    """How often rooms are looked over for idle ones."""
    chunk_rooms: int = _count(200, most=10_000)
    """Rooms swept, reloaded or ended before others get their turn."""

    grace_start_s: float = _seconds(30.0)
    """A room whose memory comes back from disk within this time after the start acts on no rates until it is over."""
    grace_reconnect_s: float = _seconds(10.0)
    """How long a room acts on no rates after its edge came back from an absence of `grace_absence_s` or more."""
    grace_absence_s: float = _seconds(5.0)
