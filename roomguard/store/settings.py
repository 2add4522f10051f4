"""What an operator can set about the action bus and its journal. Durations say their unit, sizes are bytes."""

from __future__ import annotations

from typing import Any

import attrs


def _at_least(least: float) -> Any:
    """An attrs validator for a finite number that is not below `least`."""
    return attrs.validators.and_(attrs.validators.ge(least), attrs.validators.le(2**53))


@attrs.frozen(kw_only=True)
class BusSettings:
    """The action bus. Every buffer of it is bounded by a number below."""

    data_dir: str = "data"
    """Folder of the journal, made if it is missing. One process at a time may use it."""
    commit_wait_ms: float = attrs.field(default=0.0, validator=_at_least(0))
    """How long a commit waits for more actions, milliseconds. What comes during a commit shares the next anyway."""
    commit_actions: int = attrs.field(default=512, validator=_at_least(1))
    """Most actions in one transaction; the rest shares the next one."""
    backlog: int = attrs.field(default=20_000, validator=_at_least(1))
    """Actions waiting for the disk beyond which readers of edges pause. Actions themselves are never shed."""
    dedupe_ids: int = attrs.field(default=65_536, validator=_at_least(1))
    """Action ids remembered in memory; an older repeat is still found in the journal."""
    keep_days: float = attrs.field(default=7.0, validator=_at_least(0))
    """Actions older than this many days are dropped from the journal; penalties in force stay."""
    keep_bytes: int = attrs.field(default=256 * 2**20, validator=_at_least(2**20))
    """Size of the actions kept beyond which the oldest actions are dropped; penalties in force stay."""
    prune_actions: int = attrs.field(default=500, validator=_at_least(1))
    """Actions looked at in one step of dropping old ones, so that a commit never waits long behind it."""
    prune_every_s: float = attrs.field(default=60.0, validator=_at_least(0.1))
    """Seconds between looks for actions to drop."""
    reserve_bytes: int = attrs.field(default=8 * 2**20, validator=_at_least(0))
    """Size of a file given back to the disk when it is full, so that the oldest actions can be dropped and the newest
    kept. Where that is not enough, all actions being penalties in force, they wait in memory until there is space."""
    full_retry_s: float = attrs.field(default=1.0, validator=_at_least(0.01))
    """Seconds between tries while the disk is full."""
    snapshot_rooms: int = attrs.field(default=100_000, validator=_at_least(1))
    """Room snapshots kept; beyond it the one written longest ago is dropped."""
    snapshot_days: float = attrs.field(default=30.0, validator=_at_least(0))
    """Snapshots older than this many days are dropped."""
    open_kick_s: float = attrs.field(default=60.0, validator=_at_least(0))
    """How long after a restart's look at the journal a kick without an end counts as in force, from its time on."""
    subscriber_actions: int = attrs.field(default=8_192, validator=_at_least(1))
    """Actions waiting for one connection; one that falls further behind is cut and comes back."""
    subscriber_bytes: int = attrs.field(default=8 * 2**20, validator=_at_least(1))
    """The same in bytes."""
    resend_every_s: float = attrs.field(default=3.0, validator=_at_least(0.01))
    """Seconds between repeats to a connection that has not called an action enforced."""
    resend_times: int = attrs.field(default=10, validator=_at_least(0))
    """Repeats before an action is given up on and counted."""
    resend_actions: int = attrs.field(default=32_768, validator=_at_least(1))
    """Actions repeated at once; beyond it the one waiting longest is given up on and counted."""
    consumers: int = attrs.field(default=256, validator=_at_least(1))
    """Consumer names remembered; a new one beyond it is refused."""
    consumer_days: float = attrs.field(default=30.0, validator=_at_least(0))
    """A name whose consumer has not been heard of for this many days is forgotten."""
    consumer_frame_bytes: int = attrs.field(default=256 * 2**10, validator=_at_least(1))
    """Size of one frame to a consumer; a single larger action still goes out alone."""
    consumer_send_s: float = attrs.field(default=10.0, validator=_at_least(0.01))
    """Seconds one frame to a consumer may take; then the connection is cut and resumes by offset."""
    consumer_ack_ms: float = attrs.field(default=50.0, validator=_at_least(0))
    """How long acks of consumers are gathered before they are written, milliseconds."""
