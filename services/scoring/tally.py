"""Counters and histograms of one thread, which the client library reads when Prometheus asks.

Every request counts in half a dozen places; the library's own counters take a lock and a microsecond each. For the scoring process.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Key = tuple[str, ...]  # the values of the labels, in order


class Tally(Collector):
    """A counter of one thread."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], before: Callable[[], None] = lambda: None) -> None:
        """`before` is called before it is read: it counts what still waits."""
        self._name, self._meaning, self._labelnames, self._before = name, meaning, labels, before
        self.counts: defaultdict[Key, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
        self._before()
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labelnames)
        for key, count in self.counts.items():
            family.add_metric(key, count)
        yield family


class Distribution(Collector):
    """A histogram of one thread."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._meaning, self._labelnames, self._bounds = name, meaning, labels, bounds
        self._counts: defaultdict[Key, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[Key, float] = defaultdict(float)

    def observe(self, key: Key, value: float) -> None:
        self._counts[key][bisect_left(self._bounds, value)] += 1
        self._sums[key] += value

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labelnames)
        bounds = [*map(str, self._bounds), "+Inf"]
        for key, counts in self._counts.items():
            family.add_metric(key, list(zip(bounds, accumulate(counts), strict=True)), self._sums[key])
        yield family
