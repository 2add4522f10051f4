"""The parts of a running guard in one value: what `/metrics`, `/status` and `/readyz` are read from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import attrs

from roomguard.engine.modes import LEVELS
from roomguard.engine.outcome import AlertCode
from roomguard.engine.tally import Tally
from roomguard.runtime.admin import AdminServer
from roomguard.runtime.bus import ActionBus
from roomguard.runtime.consumers import ConsumerDesk
from roomguard.runtime.edge import EdgeDesk
from roomguard.runtime.lag import LagMeter
from roomguard.runtime.listener import Listener
from roomguard.runtime.metrics import Metrics
from roomguard.runtime.operations import Operations
from roomguard.runtime.recorder import Recorder
from roomguard.runtime.reload import Reloader
from roomguard.runtime.rooms import Rooms


@attrs.frozen
class EngineStatistics:
    """What the engines of all rooms decided."""

    decisions: Mapping[tuple[str, str], int]
    """Hits by rule and outcome: enforce, shadow, exempt, grace, budget, rollout."""
    actions: Mapping[tuple[str, str], int]
    """By rule and kind."""
    modes: Mapping[str, int]
    """How often rooms went into each mode; 0 while none did."""
    overrides: Mapping[str, int]
    """What became of overrides: taken, expired, ended, forgotten at the cap; ignored counts names, not overrides."""
    alerts: Mapping[str, int]
    """By code."""
    dropped: int
    duplicates: int
    cut: int
    evicted_users: int
    forgotten_penalties: int


@attrs.frozen
class ProcessStatistics:
    """What this process is."""

    info: Mapping[str, int]
    """1 for the configuration in force."""
    ready: bool
    paused: bool
    start_time_seconds: float


@attrs.define(kw_only=True)
class House:
    """All parts of one guard. `admin` is set last, since it is given what reads the others."""

    bus: ActionBus
    rooms: Rooms
    edges: EdgeDesk
    consumers: ConsumerDesk
    listener: Listener
    operations: Operations
    reloader: Reloader[Any]
    recorder: Recorder | None
    tally: Tally
    lag: LagMeter
    started: float
    """Unix seconds."""
    listening: bool = False
    admin: AdminServer | None = None

    def not_ready(self) -> list[str]:
        """Why no new edge should come here; empty if it should."""
        reasons = []
        if self.bus.failed is not None:
            reasons.append(f"the journal failed: {self.bus.failed}")
        if self.bus.stalled:
            reasons.append("the disk is full")
        if self.rooms.degraded:
            reasons.append("too many rooms crash")
        if not self.listening:
            reasons.append("not listening: starting or stopping")
        return reasons

    def status(self) -> dict[str, Any]:
        """The state of the guard for people, as JSON."""
        rooms, bus, reload = self.rooms.statistics(), self.bus.statistics(), self.reloader.statistics()
        program = self.rooms.program
        reasons = self.not_ready()
        return {
            "ready": not reasons,
            "reasons": reasons,
            "config": program.version,
            "mode": program.settings.mode,
            "paused": self.operations.paused,
            "uptime_s": round(self.rooms.clock() - self.started, 1),
            "rooms": rooms.rooms,
            "edges": self.edges.statistics().connections,
            "consumers": self.consumers.statistics().connections,
            "events": sum(rooms.events.values()),
            "actions": bus.published,
            "alerts": rooms.alerts,
            "offset": bus.last_offset,
            "waiting_for_disk": bus.waiting,
            "loop_lag_p99_s": self.lag.statistics().seconds.quantile(0.99),
            "quarantined": sorted(self.rooms.supervisor.quarantined)[:100],
            "dead_letters": [attrs.asdict(letter) for letter in list(self.rooms.supervisor.dead_letters)[-10:]],
            "recording": None if self.recorder is None else attrs.asdict(self.recorder.statistics()),
            "rules": self._rules(),
            "reload": {"ok": reload.last_ok, "loaded": reload.loaded, "refused": reload.refused,
                       "last_success": reload.last_success},
        }  # fmt: skip

    def _rules(self) -> dict[str, dict[str, int]]:
        """Hits of each rule by outcome: beside what was enforced stands what would have been."""
        rules: dict[str, dict[str, int]] = {}
        for (rule, outcome), count in sorted(self.tally.hits.items()):
            rules.setdefault(rule, {})[outcome] = count
        return rules

    def _engine(self) -> EngineStatistics:
        tally = self.tally
        return EngineStatistics(
            decisions=dict(tally.hits),
            actions=dict(tally.actions),
            modes=_known(LEVELS, tally.modes),
            overrides=_known(("taken", "expired", "ended", "forgotten", "ignored"), tally.overrides),
            alerts=_known(get_args(AlertCode), tally.alerts),
            dropped=tally.dropped,
            duplicates=tally.duplicates,
            cut=tally.cut,
            evicted_users=tally.evicted_users,
            forgotten_penalties=tally.forgotten_penalties,
        )

    def _process(self) -> ProcessStatistics:
        return ProcessStatistics(
            info={self.rooms.program.version: 1},
            ready=not self.not_ready(),
            paused=self.operations.paused,
            start_time_seconds=self.started,
        )

    def metrics(self) -> Metrics:
        """The page of all metrics."""
        metrics = Metrics()
        engine = {
            "decisions": ("rule", "outcome"), "actions": ("rule", "action"),
            "modes": ("mode",), "overrides": ("outcome",), "alerts": ("code",),
        }  # fmt: skip
        metrics.add("engine", self._engine, labels=engine)
        metrics.add("rooms", self.rooms.statistics, _ROOMS, labels={"shed": ("kind", "cause"), "rejected": ("code",)})
        metrics.add("supervisor", self.rooms.supervisor.statistics, {"quarantined_now"})
        metrics.add("edges", self.edges.statistics, {"connections"}, labels={"bad_frames": ("code",)})
        metrics.add("sessions", self.edges.sessions.statistics, {"sessions", "connected", "unacked"})
        metrics.add("consumers", self.consumers.statistics, {"connections"})
        metrics.add("listener", self.listener.statistics, {"open"}, labels={"refused": ("reason",), "ended": ("how",)})
        metrics.add("bus", self.bus.statistics, {"waiting", "peak_waiting", "last_offset"})
        metrics.add("delivery", self.bus.delivery_statistics, {"subscriptions", "rooms", "repeating"})
        metrics.add("reload", self.reloader.statistics, {"last_success"})
        metrics.add("loop_lag", self.lag.statistics)
        metrics.add("process", self._process, {"info", "start_time_seconds"}, labels={"info": ("config",)})
        if self.recorder is not None:
            metrics.add("recorder", self.recorder.statistics, {"waiting_bytes"})
        if self.admin is not None:
            metrics.add("admin", self.admin.statistics, {"open"}, labels={"replies": ("status",)})
        return metrics


_ROOMS = frozenset({"rooms", "timers", "patience", "peak_mailbox"})


def _known(keys: Iterable[str], counted: Mapping[str, int]) -> dict[str, int]:
    """Counts by these keys and no others: a series is there before it first counts, and their number is fixed."""
    return {key: counted.get(key, 0) for key in keys}
