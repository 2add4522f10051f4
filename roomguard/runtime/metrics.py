"""/metrics: numbers are pulled from `statistics()` when somebody asks, and cost nothing in between.

A source returns a frozen attrs object. Of its fields a number becomes a counter, or a gauge where the source says
so; a mapping becomes one series a key; a `HistogramStatistics` becomes a histogram; anything else is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds for durations, from a fast commit to a stuck disk."""


@attrs.frozen
class HistogramStatistics:
    """Counts below each bound, and one more for what is above all of them."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    def quantile(self, share: float) -> float:
        """The bound below which `share` (0 to 1) of the values lie; infinity above the last, 0 without values."""
        wanted = share * sum(self.counts)
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound if seen else 0.0
        return 0.0


class Histogram:
    """Counts values by size. One observation costs a bisection."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, `times` over; one that equals a bound lies below it."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def statistics(self) -> HistogramStatistics:
        """What was counted."""
        return HistogramStatistics(self._bounds, tuple(self._counts), self._total)


@attrs.frozen
class _Source:
    name: str
    read: Callable[[], Any]
    gauges: frozenset[str]
    label: str
    labels: Mapping[str, tuple[str, ...]]


class Metrics(Collector):
    """The page of all metrics; its own registry, so that nothing else of the process is on it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._sources: dict[str, _Source] = {}

    def add(
        self,
        name: str,
        read: Callable[[], Any],
        gauges: Collection[str] = (),
        label: str = "kind",
        labels: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Show what `read()` returns as `roomguard_NAME_FIELD`; mappings get their keys as label `label`.

        Fields named in `gauges` go up and down; all others only grow. `labels` names the labels of a field whose
        mapping has keys of several parts, or of another kind.
        """
        if name in self._sources:
            raise ValueError(f"there is a source {name!r} already")
        self._sources[name] = _Source(name, read, frozenset(gauges), label, labels or {})

    def page(self) -> bytes:
        """The text for a scraper."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks of a collector."""
        for source in self._sources.values():
            values = source.read()
            for field in attrs.fields(type(values)):
                metric = _metric(source, field.name, getattr(values, field.name))
                if metric is not None:
                    yield metric


def _metric(source: _Source, field: str, value: Any) -> Metric | None:
    name = f"roomguard_{source.name}_{field}"
    text = f"{field.replace('_', ' ')} ({source.name.replace('_', ' ')})"
    if isinstance(value, HistogramStatistics):
        return _histogram(name, text, value)
    family = GaugeMetricFamily if field in source.gauges or isinstance(value, bool) else CounterMetricFamily
    if isinstance(value, Mapping):
        labelled = family(name, text, labels=source.labels.get(field, (source.label,)))
        for key, number in value.items():
            labelled.add_metric([str(part) for part in key] if isinstance(key, tuple) else [str(key)], float(number))
        return labelled
    if isinstance(value, int | float):
        return family(name, text, value=float(value))
    return None


def _histogram(name: str, text: str, value: HistogramStatistics) -> Metric:
    buckets = []
    seen = 0
    for bound, count in zip((*map(str, value.bounds), "+Inf"), value.counts, strict=True):
        seen += count
        buckets.append((bound, float(seen)))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=value.total)
