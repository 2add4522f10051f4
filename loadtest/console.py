"""What a person at the terminal sees: a line each second, a table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

from loadtest.outcome import Document, Missed
from loadtest.runner import Second
from loadtest.tally import Tally


class Progress:
    """A line each second; on a terminal it stays in place. Silent if `quiet`."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._status: Status | None = None

    def say(self, text: str) -> None:
        """One line about what happens now."""
        if self._quiet:
            return
        if not self._console.is_terminal:
            self._console.print(text, highlight=False)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def second(self, second: Second, tally: Tally) -> None:
        """The line of one second."""
        guard = "" if second.guard_cpu is None else f"  guard {second.guard_cpu:.0%} cpu"
        memory = "" if second.guard_rss is None else f" {second.guard_rss / 2**20:.0f} MB"
        p99 = "-" if second.ack_p99 is None else f"{second.ack_p99:.1f} ms"
        self.say(
            f"{second.second:4d} s  sent {second.sent:7,}/s  answered {second.answered:7,}/s  p99 {p99:>9}  "
            f"actions {tally.counts.actions:6,}  waiting {tally.lost:6,}{guard}{memory}  own {second.own_cpu:.0%}"
        )

    def done(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _latency(figures: dict[str, Any]) -> str:
    if not figures["count"]:
        return "-"
    return "  ".join(f"{name.replace('_', '.')} {figures[name]:,.2f}" for name in ("p50", "p99", "p99_9", "max"))


def _rows(doc: Document) -> list[tuple[str, str]]:
    events, guard, generator = doc["events"], doc["guard"], doc["generator"]
    codes = "  ".join(f"{code} {count:,}" for code, count in events["rejected_by_code"].items())
    innocents = doc["innocents"]
    idle = doc["idle_trip_ms"]
    trips = "" if doc["p99_idle_trips"] is None else f" ({doc['p99_idle_trips']:.1f} idle trips)"
    rows = [
        ("events sent", f"{events['sent']:,} in {events['rate']:,}/s"),
        ("accepted, rejected", f"{events['accepted']:,}, {events['rejected']:,}  {codes}"),
        ("lost, of them unacked", f"{events['lost']:,}, {events['unacked']:,}"),
        ("idle round trip, median", "-" if idle is None else f"{idle:.3f} ms"),
        ("event to ack, ms", _latency(doc["latency_ms"]["ack"]) + trips),
        ("  from the real send", _latency(doc["latency_ms"]["ack_from_send"])),
        ("event to action, ms", _latency(doc["latency_ms"]["action"])),
        ("  from the real send", _latency(doc["latency_ms"]["action_from_send"])),
        ("frames sent late by, ms", _latency(doc["latency_ms"]["sent_late"])),
    ]
    if doc["latency_ms"]["verdict"]["count"]:
        rows.append(("event to verdict, ms", _latency(doc["latency_ms"]["verdict"])))
    if guard["cpu_s"] is not None:
        per_event = "-" if guard["cpu_us_per_event"] is None else f"{guard['cpu_us_per_event']:.2f} µs an event"
        rows.append(("guard's CPU", f"{guard['cpu_s']:.2f} s, {per_event}"))
        rows.append(("guard's memory", f"{guard['rss_before_mb']} MB, at most {guard['rss_peak_mb'] or '-'} MB"))
    rows.append(
        ("generator's CPU", f"{generator['cpu_s']:.2f} s, {generator['cpu_us_per_event'] or 0:.2f} µs an event")
    )
    rows.append(
        ("actions", "  ".join(f"{kind} {count:,}" for kind, count in doc["actions"]["by_kind"].items()) or "none")
    )
    for kind, attack in doc["attacks"].items():
        soon = attack["first_action_s_p50"]
        after = "" if soon is None else f", first action after {soon:.2f} s"
        restricted = attack["only_room_restricted"]
        room = f", {restricted:,} only by restricting the room" if restricted else ""
        rows.append((f"{kind}: caught", f"{attack['caught']:,} of {attack['accounts']:,}{after}{room}"))
    rules = "  ".join(f"{rule} {count:,}" for rule, count in list(innocents["by_rule"].items())[:5])
    hype = f", {innocents['hit_in_hype']:,} of them only cheered" if innocents["hit_in_hype"] else ""
    labelled = "users hit (nobody is labelled)" if doc["options"]["recordings"] else "innocents hit"
    rows.append((labelled, f"{innocents['hit']:,} of {innocents['users']:,}{hype}  {rules}"))
    return rows


def summary(console: Console, doc: Document, misses: Sequence[Missed]) -> None:
    """The table at the end, and what went wrong below it."""
    options = doc["options"]
    what = "recording" if options["recordings"] else options["scenario"]
    script = doc["script"]
    table = Table(
        title=f"{what}: {script['rooms']:,} rooms, {script['edges']} edges, {script['seconds']:,.0f} s",
        show_header=False,
    )
    for name, value in _rows(doc):
        table.add_row(name, value)
    console.print(table, highlight=False)
    for failure in doc["failures"]:
        console.print(f"failed: {failure}", style="red", highlight=False, markup=False)
    for miss in misses:
        console.print(f"missed: {miss}", style="red", highlight=False, markup=False)
