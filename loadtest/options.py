"""What a load test is told, as one frozen value. Times in seconds unless the name says otherwise."""

from __future__ import annotations

from pathlib import Path

import attrs

SCENARIOS = ("mixed", "flood", "raid", "hype", "churn")


@attrs.frozen(kw_only=True)
class Load:
    """What is sent. The same `Load` gives the same events, whatever the machine does with them."""

    scenario: str = "mixed"
    rooms: int = 5_000
    edges: int = 4
    rate: float = 50_000.0
    """Events a second of all edges together."""
    seconds: float = 30.0
    batch: int = 128
    """Most events a frame carries."""
    linger: float = 0.005
    """Longest time an edge gathers events for a frame, so that low rates use smaller frames.

    As an edge should: at 50,000 events a second over four edges, frames of 60 cost the guard some percent more CPU than
    those of 128, which 20 ms would fill, and acks come in half the time."""
    seed: int = 7
    zipf: float = 1.1
    gap: float = 20.0
    """Mean seconds between two events of one ordinary user: fixes how many users there are."""
    users: int | None = None
    """So many users instead, all rooms together."""
    attack_share: float | None = None
    """Share of the events that attacks send; None takes the scenario's own."""
    attacks_after: float = 2.0
    """No attack begins earlier: what came before is what the guard knows of the room."""
    gate: float = 0.0
    """Share of the frames that ask for verdicts."""
    open_rooms: bool = True
    run: str = ""
    """Stands in event ids: another one for each run against a guard that lives on."""


@attrs.frozen(kw_only=True)
class Playback:
    """Recordings to play instead of a scenario."""

    files: tuple[Path, ...] = ()
    speed: float = 1.0
    keep_ts: bool = False


@attrs.frozen(kw_only=True)
class Target:
    """Whom to talk to: a guard of our own, or one that runs already."""

    url: str | None = None
    token: str | None = None
    guard_pid: int | None = None
    config: Path | None = None
    data: Path | None = None
    """Where our own guard keeps its journal; None is a temporary folder."""
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of our guard above its file, as key and value."""
    pin: bool = False
    """Our guard on core 0, this process on core 1."""


@attrs.frozen(kw_only=True)
class Limits:
    """Thresholds; what is None is not asked for. A missed one is exit code 1."""

    max_p99_ms: float | None = None
    max_p99_idle_trips: float | None = None
    max_action_p99_ms: float | None = None
    max_lost: int | None = None
    max_unacked: int | None = None
    max_rejected: int | None = None
    max_shed: int | None = None
    max_errors: int | None = None
    max_cpu_us: float | None = None
    max_rss_mb: float | None = None
    min_recall: float | None = None
    max_innocents: int | None = None
    max_innocent_share: float | None = None
    min_rate_share: float | None = None


@attrs.frozen(kw_only=True)
class Options:
    """One run."""

    load: Load = Load()
    playback: Playback = Playback()
    target: Target = Target()
    limits: Limits = Limits()
    drain: float = 10.0
    """How long to wait for the last acks once everything is sent."""
    settle: float = 1.0
    """How long to wait for the last actions once everything is acknowledged."""
    idle_trips: int = 200
    """Single-event frames sent one after the other before the load, to know the round trip of an idle guard."""
    json: Path | None = None
    report: Path | None = None
    actions: Path | None = None
    """Where to write every action as it came, one a line."""
    events: Path | None = None
    """Where to write every event as it was sent, one a line: a recording. Costs as much again as sending."""
    guard_log: Path | None = None
    """Where to write what our own guard prints."""
    quiet: bool = False
