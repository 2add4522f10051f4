"""Charts as inline SVG: lines over time and bars. Colours come from the page, so that light and dark both work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 12, 26
MOST_POINTS = 400  # a longer run is thinned out for the page; the JSON has every second
MOST_BARS = 12


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 2, 2.5, 5, 10):
        if factor * power >= value * 0.999999:
            return factor * power
    return 10 * power


def short(value: float) -> str:
    """A number for an axis: 1.2k instead of 1200."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def _thinned(count: int) -> range:
    return range(0, count, max(1, math.ceil(count / MOST_POINTS)))


def _segments(values: Sequence[float | None], x: Sequence[float], top: float) -> str:
    """An SVG path; a gap where there is no value."""
    height = HEIGHT - TOP - BOTTOM
    out = []
    pen = "M"
    for index in _thinned(len(values)):
        value = values[index]
        if value is None:
            pen = "M"
            continue
        out.append(f"{pen}{x[index]:.1f} {TOP + height * (1 - min(1.0, value / top)):.1f}")
        if pen == "M":
            out.append("h.1")  # a lone value is a dot
        pen = "L"
    return "".join(out)


def _grid(top: float) -> list[str]:
    out = []
    for step in range(5):
        y = TOP + (HEIGHT - TOP - BOTTOM) * step / 4
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(top * (4 - step) / 4)}</text>')
    return out


def lines(title: str, unit: str, seconds: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> str:
    """A figure with one line a series, drawn in the page's colours `--series-1` and on."""
    known = [value for values in series.values() for value in values if value is not None]
    top = nice_ceiling(max(known, default=1.0))
    span = max(1, len(seconds) - 1)
    x = [LEFT + (WIDTH - LEFT - RIGHT) * index / span for index in range(len(seconds))]
    parts = _grid(top)
    for index in {0, span // 2, span} if seconds else ():
        if index < len(seconds):
            anchor = "start" if index == 0 else "end" if index == span else "middle"
            parts.append(f'<text x="{x[index]:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{seconds[index]} s</text>')
    for number, values in enumerate(series.values(), 1):
        parts.append(f'<path class="line s{number}" d="{_segments(values, x, top)}"/>')
    for index in _thinned(len(seconds)):
        said = "\n".join(
            f"{name}: {short(value)} {unit}" for name, values in series.items() if (value := values[index]) is not None
        )
        width = max(2.0, (WIDTH - LEFT - RIGHT) / max(1, len(_thinned(len(seconds)))))
        parts.append(
            f'<rect class="hover" x="{x[index] - width / 2:.1f}" y="{TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>second {seconds[index]}\n{escape(said)}</title></rect>'
        )
    legend = "".join(f'<span><i class="s{number}"></i>{escape(name)}</span>' for number, name in enumerate(series, 1))
    return (
        f"<figure><figcaption>{escape(title)} <small>{escape(unit)}</small></figcaption>"
        f'<div class="legend">{legend}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def bars(title: str, counts: Mapping[str, int]) -> str:
    """A figure with one horizontal bar an entry, the most frequent dozen, the rest as one."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[MOST_BARS:])
    shown = ordered[:MOST_BARS] + ([("all others", rest)] if rest else [])
    most = max((count for _, count in shown), default=1) or 1
    height = max(40, 24 * len(shown) + 8)
    parts = []
    for index, (name, count) in enumerate(shown):
        y = 6 + index * 24
        width = max(1.5, (WIDTH - 250) * count / most)
        parts.append(f'<text x="170" y="{y + 13}" text-anchor="end">{escape(name[:26])}</text>')
        parts.append(
            f'<rect class="bar" x="178" y="{y}" width="{width:.1f}" height="17" rx="3">'
            f"<title>{escape(name)}: {count:,}</title></rect>"
        )
        parts.append(f'<text x="{184 + width:.1f}" y="{y + 13}">{count:,}</text>')
    if not shown:
        parts.append('<text x="20" y="24">none</text>')
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )
