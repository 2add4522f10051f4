"""The figures of a run as one JSON value (its schema stands in the package's docstring), and its thresholds."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from loadtest.attacks import Attacker
from loadtest.options import Limits, Options
from loadtest.runner import Run, idle_median
from loadtest.tally import CATCHES, Tally

SCHEMA = 1
Document = dict[str, Any]


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _options(options: Options) -> Document:
    load, playback, target = options.load, options.playback, options.target
    return {
        **{name: value for name, value in attrs.asdict(load).items() if name != "run"},
        "recordings": [path.name for path in playback.files],
        "speed": playback.speed,
        "keep_ts": playback.keep_ts,
        "own_guard": target.url is None,
        "pinned": target.pin,
    }


def _attacks(tally: Tally) -> dict[str, Document]:
    """By kind of attack: how many accounts, how many were stopped, and how soon."""
    by_kind: dict[str, list[tuple[str, Attacker]]] = {}
    for user, attacker in tally.attackers.items():
        if attacker.began is not None:
            by_kind.setdefault(attacker.kind, []).append((user, attacker))
    return {kind: _attack(tally, members) for kind, members in sorted(by_kind.items())}


def _attack(tally: Tally, members: list[tuple[str, Attacker]]) -> Document:
    stopped = Counter[str]()
    caught = restricted = 0
    delays = []
    for user, attacker in members:
        actions = {kind: at for kind, at in tally.caught.get(user, {}).items() if kind in CATCHES}
        stopped.update(actions)
        caught += bool(actions)
        if actions and attacker.began is not None:
            delays.append(min(actions.values()) - attacker.began)
        elif not actions and attacker.room in tally.restricted:
            restricted += 1
    delays.sort()
    return {
        "accounts": len(members),
        "caught": caught,
        "recall": round(caught / len(members), 4),
        "actions": dict(sorted(stopped.items())),
        "only_room_restricted": restricted,
        "first_action_s_p50": _rounded(delays[len(delays) // 2] if delays else None),
        "first_action_s_p90": _rounded(delays[len(delays) * 9 // 10] if delays else None),
    }


def _innocents(run: Run) -> Document:
    hit = run.tally.innocents
    rules: Counter[str] = Counter()
    for counted in hit.values():
        rules.update(counted.keys())
    users = run.script.users
    return {
        "users": users,
        "hit": len(hit),
        "share": round(len(hit) / users, 6) if users else None,
        "hit_in_hype": len(run.script.cheering & hit.keys()),
        "by_rule": dict(rules.most_common()),
        "examples": sorted(hit)[:10],
    }


def _events(run: Run) -> Document:
    tally = run.tally
    return {
        "sent": tally.counts.sent,
        "sent_in_load": run.load_events,
        "rate": round(run.load_events / run.elapsed) if run.elapsed else 0,
        "unsent_frames": run.unsent_frames,
        "accepted": tally.counts.accepted,
        "rejected": sum(tally.rejected.values()),
        "rejected_by_code": dict(tally.rejected.most_common()),
        "shed": tally.shed,
        "lost": tally.lost,
        "unacked": run.unacked,
    }


def _latencies(tally: Tally) -> Document:
    histograms = {
        "ack": tally.ack,
        "ack_from_send": tally.ack_from_send,
        "action": tally.action,
        "action_from_send": tally.action_from_send,
        "verdict": tally.verdict,
        "sent_late": tally.lateness,
    }
    return {name: histogram.summary_ms() for name, histogram in histograms.items()}


def _guard(run: Run) -> Document:
    before, after = run.guard_before, run.guard_after
    cpu = after.cpu - before.cpu if before and after else None
    return {
        "cpu_s": _rounded(cpu, 2),
        "cpu_us_per_event": _rounded(cpu / run.load_events * 1e6 if cpu is not None and run.load_events else None, 2),
        "rss_before_mb": _rounded(before.rss / 2**20 if before else None, 1),
        "rss_after_mb": _rounded(after.rss / 2**20 if after else None, 1),
        "rss_peak_mb": _rounded(run.guard_peak / 2**20 if run.guard_peak else None, 1),
        "config": run.config,
        "exit": run.guard_exit,
    }


def document(run: Run) -> Document:
    """Everything a run has to say."""
    tally, counts = run.tally, run.tally.counts
    idle = idle_median(run)
    p99 = tally.ack.percentile(0.99)
    attacks = _attacks(tally)
    accounts = sum(one["accounts"] for one in attacks.values())
    caught = sum(one["caught"] for one in attacks.values())
    own = run.own_cpu / run.load_events * 1e6 if run.load_events else None
    return {
        "schema": SCHEMA,
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "options": _options(run.options),
        "script": {
            "rooms": run.script.rooms,
            "users": run.script.users,
            "edges": len(run.script.streams),
            "seconds": run.script.seconds,
            "attackers": len(run.script.attackers),
            "episodes": run.script.episodes,
            "skipped_records": run.script.skipped,
        },
        "sending_s": round(run.sending, 3),
        "elapsed_s": round(run.elapsed, 3),
        "events": _events(run),
        "wire": attrs.asdict(counts),
        "verdicts": dict(tally.verdicts.most_common()),
        "errors": dict(tally.errors.most_common()),
        "closes": dict(tally.closes.most_common()),
        "idle_trip_ms": _rounded(idle * 1e3 if idle else None),
        "latency_ms": _latencies(tally),
        "p99_idle_trips": _rounded(p99 / idle if p99 is not None and idle else None, 1),
        "actions": {
            "by_kind": dict(tally.by_kind.most_common()),
            "by_rule": dict(tally.by_rule.most_common()),
            "by_reason": dict(tally.by_reason.most_common()),
            "rooms_restricted": len(tally.restricted),
        },
        "attacks": attacks,
        "recall": round(caught / accounts, 4) if accounts else None,
        "innocents": _innocents(run),
        "guard": _guard(run),
        "generator": {"cpu_s": round(run.own_cpu, 2), "cpu_us_per_event": _rounded(own, 2)},
        "seconds": [attrs.asdict(second) for second in run.seconds],
        "failures": run.failures,
    }


@attrs.frozen
class Missed:
    """A threshold and what came instead."""

    name: str
    wanted: float
    got: float | None

    def __str__(self) -> str:
        got = "nothing was measured" if self.got is None else f"{self.got:g}"
        return f"--{self.name.replace('_', '-')} {self.wanted:g}: {got}"


def _rate_share(doc: Document) -> float | None:
    """How much of the wanted rate was reached: what was never sent, and the time it took too long, count against it."""
    seconds = doc["script"]["seconds"]
    wanted = doc["options"]["rate"] * seconds
    if doc["options"]["recordings"] or not wanted:
        return None
    return float(doc["events"]["sent_in_load"] / wanted * seconds / max(seconds, doc["sending_s"]))


_FIGURES: dict[str, Callable[[Document], float | None]] = {
    "max_p99_ms": lambda doc: doc["latency_ms"]["ack"]["p99"],
    "max_p99_idle_trips": lambda doc: doc["p99_idle_trips"],
    "max_action_p99_ms": lambda doc: doc["latency_ms"]["action"]["p99"],
    "max_lost": lambda doc: doc["events"]["lost"],
    "max_unacked": lambda doc: doc["events"]["unacked"],
    "max_rejected": lambda doc: doc["events"]["rejected"],
    "max_shed": lambda doc: doc["events"]["shed"],
    "max_errors": lambda doc: sum(doc["errors"].values()),
    "max_cpu_us": lambda doc: doc["guard"]["cpu_us_per_event"],
    "max_rss_mb": lambda doc: doc["guard"]["rss_peak_mb"],
    "min_recall": lambda doc: doc["recall"],
    "max_innocents": lambda doc: doc["innocents"]["hit"],
    "max_innocent_share": lambda doc: doc["innocents"]["share"],
    "min_rate_share": _rate_share,
}


def missed(limits: Limits, doc: Document) -> list[Missed]:
    """The thresholds that were not kept. One whose figure was not measured is not kept."""
    out = []
    for name, figure in _FIGURES.items():
        wanted = getattr(limits, name)
        if wanted is None:
            continue
        got = figure(doc)
        kept = got is not None and (got <= wanted if name.startswith("max") else got >= wanted)
        if not kept:
            out.append(Missed(name, wanted, got))
    return out
