"""The result as one page that needs nothing else: no script, no font, no address outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from loadtest.charts import bars, lines
from loadtest.outcome import Document

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2230; --muted: #5d6878; --rule: #e1e5eb;
  --series-1: #2563c9; --series-2: #c2570c; --series-3: #4d7c0f; --good: #217a3c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #12161d; --card: #1b212b; --ink: #e7ebf2; --muted: #9aa6b8;
  --rule: #303949; --series-1: #79aaf7; --series-2: #f0a060; --series-3: #a3cf62; --good: #6cc788; --bad: #f28b82; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 20px 60px; max-width: 1240px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 17px; margin: 34px 0 10px; }
.under { color: var(--muted); margin: 4px 0 20px; }
.tiles, .charts { display: grid; gap: 14px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); margin-top: 14px; }
.tile, figure, .table { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; margin: 0; }
.tile b { display: block; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span, small, .legend { color: var(--muted); font-size: 13px; }
figcaption { font-weight: 600; } .legend span { margin-right: 14px; }
.legend i { display: inline-block; width: 14px; height: 3px; margin-right: 6px; vertical-align: middle; }
svg { width: 100%; height: auto; display: block; margin-top: 6px; } svg text { fill: var(--muted); font-size: 12px; }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.bar { fill: var(--series-1); } .hover { fill: transparent; } .hover:hover { fill: var(--muted); fill-opacity: .12; }
path.s1 { stroke: var(--series-1); } path.s2 { stroke: var(--series-2); } path.s3 { stroke: var(--series-3); }
i.s1 { background: var(--series-1); } i.s2 { background: var(--series-2); } i.s3 { background: var(--series-3); }
.good { color: var(--good); } .bad { color: var(--bad); } .table { overflow-x: auto; padding: 4px 16px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--rule); } tr:last-child td { border: 0; }
th:first-child, td:first-child { text-align: left; } th { color: var(--muted); font-weight: 500; }
"""


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    return escape(str(value))


def _tile(name: str, value: str, note: str = "", mood: str = "") -> str:
    return (
        f'<div class="tile"><span>{escape(name)}</span><b class="{mood}">{value}</b><span>{escape(note)}</span></div>'
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{_show(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _tiles(doc: Document) -> str:
    events, guard, ack = doc["events"], doc["guard"], doc["latency_ms"]["ack"]
    innocents = doc["innocents"]
    trips = "" if doc["p99_idle_trips"] is None else f"{doc['p99_idle_trips']:g} idle round trips"
    tiles = [
        _tile("events a second", _show(events["rate"]), f"{events['sent']:,} sent"),
        _tile("lost", _show(events["lost"]), f"{events['unacked']:,} unacked", "bad" if events["lost"] else "good"),
        _tile(
            "rejected", _show(events["rejected"]), f"{events['shed']:,} shed", "bad" if events["rejected"] else "good"
        ),
        _tile("p99 event to ack", f"{_show(ack['p99'])} ms", trips),
        _tile("p99 event to action", f"{_show(doc['latency_ms']['action']['p99'])} ms"),
        _tile("guard's CPU", f"{_show(guard['cpu_us_per_event'])} µs", f"an event, {_show(guard['cpu_s'])} s in all"),
        _tile("guard's memory", f"{_show(guard['rss_peak_mb'])} MB", "at most"),
    ]
    if doc["recall"] is not None:
        tiles.append(_tile("attackers caught", f"{doc['recall']:.1%}"))
    if not doc["options"]["recordings"]:
        of = f"of {innocents['users']:,}"
        tiles.append(_tile("innocents hit", _show(innocents["hit"]), of, "bad" if innocents["hit"] else "good"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _charts(doc: Document) -> str:
    seconds = doc["seconds"]
    numbers = [second["second"] for second in seconds]

    def column(name: str, scale: float = 1.0) -> list[float | None]:
        return [None if second[name] is None else second[name] * scale for second in seconds]

    charts = [
        lines(
            "Latency",
            "ms",
            numbers,
            {"ack p99": column("ack_p99"), "action p99": column("action_p99"), "ack p50": column("ack_p50")},
        ),
        lines("Throughput", "events/s", numbers, {"sent": column("sent"), "answered": column("answered")}),
        lines("CPU", "% of a core", numbers, {"guard": column("guard_cpu", 100), "generator": column("own_cpu", 100)}),
        lines("Guard's memory", "MB", numbers, {"resident": column("guard_rss", 1 / 2**20)}),
        bars("Actions by rule", doc["actions"]["by_rule"]),
        bars("Actions by kind", doc["actions"]["by_kind"]),
    ]
    return f'<div class="charts">{"".join(charts)}</div>'


def _tables(doc: Document) -> str:
    names = {
        "ack": "event to ack, from when it was due",
        "ack_from_send": "event to ack, from the real send",
        "action": "event to action, from when it was due",
        "action_from_send": "event to action, from the real send",
        "verdict": "event to verdict",
        "sent_late": "frames sent late by",
    }
    latencies = [
        (names[name], *(figures[key] for key in ("count", "p50", "p99", "p99_9", "max", "mean")))
        for name, figures in doc["latency_ms"].items()
    ]
    out = ["<h2>Latency, ms</h2>", _table(("", "count", "p50", "p99", "p99.9", "max", "mean"), latencies)]
    if doc["attacks"]:
        keys = ("accounts", "caught", "recall", "only_room_restricted", "first_action_s_p50", "first_action_s_p90")
        head = ("attack", "accounts", "caught", "recall", "only the room restricted", "first action, s, p50", "p90")
        rows = [(kind, *(attack[key] for key in keys)) for kind, attack in doc["attacks"].items()]
        out += ["<h2>Attacks</h2>", _table(head, rows)]
    if doc["innocents"]["by_rule"]:
        what = "Users hit, by rule" if doc["options"]["recordings"] else "Innocents hit, by rule"
        out += [f"<h2>{what}</h2>", _table(("rule", "users"), doc["innocents"]["by_rule"].items())]
    if doc["events"]["rejected_by_code"]:
        out += ["<h2>Rejected</h2>", _table(("code", "events"), doc["events"]["rejected_by_code"].items())]
    wire = [*doc["wire"].items(), *doc["errors"].items(), *doc["closes"].items()]
    out += ["<h2>Wire</h2>", _table(("", "count"), wire)]
    out += ["<h2>Options</h2>", _table(("", "value"), doc["options"].items())]
    return "".join(out)


def page(doc: Document) -> str:
    """The whole page."""
    options, script = doc["options"], doc["script"]
    what = ", ".join(options["recordings"]) if options["recordings"] else options["scenario"]
    under = (
        f"{script['rooms']:,} rooms, {script['users']:,} users, {script['edges']} edges, {script['seconds']:,.0f} s, "
        f"configuration {doc['guard']['config'] or 'unknown'}, Python {doc['machine']['python']}"
    )
    wrong = [
        *(f"failed: {failure}" for failure in doc["failures"]),
        *(f"missed: {miss}" for miss in doc.get("missed", ())),
    ]
    problems = "".join(f'<p class="bad">{escape(line)}</p>' for line in wrong)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load test: {escape(what)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Load test: {escape(what)}</h1><p class="under">{escape(under)}</p>{problems}'
        f"{_tiles(doc)}{_charts(doc)}{_tables(doc)}</body></html>\n"
    )
