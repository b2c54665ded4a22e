"""What the service counts, under names that dashboards and alert rules share (`dashboards/`).

Every request counts in half a dozen places. The client library's own counters take a lock and a microsecond each; here
one thread counts in plain dictionaries, and the library reads them when Prometheus asks.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from data.prediction_store import PredictionRecord
from services.scoring.slots import Serving

# The latency objective is in single milliseconds; Prometheus's own buckets begin at five.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Frauds are one payment in two hundred: most scores are small, and the thresholds lie above.
_SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 0.9, 1.0)

Key = tuple[str, ...]  # the values of the labels, in order


class Tally(Collector):
    """A counter of one thread."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str]) -> None:
        self._name, self._meaning, self._labelnames = name, meaning, labels
        self.counts: defaultdict[Key, int] = defaultdict(int)

    def collect(self) -> Iterator[Metric]:
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


class Metrics:
    """One set of collectors, in a registry of its own, so that two services in one test do not share counts."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._requests = Tally("fraud_requests", "HTTP requests", ["route", "status"])
        self._request_seconds = Distribution("fraud_request_seconds", "time to answer, commit included", ["route"], _SECONDS)
        self._decisions = Tally("fraud_decisions", "answered payments", ["arm", "decision"])
        self._scores = Distribution("fraud_score", "calibrated score of the arm that answered", ["arm"], _SCORES)
        for collector in (self._requests, self._request_seconds, self._decisions, self._scores):
            r.register(collector)
        self.replays = Counter("fraud_replays", "payments answered again from the log", registry=r)
        self.labels = Counter("fraud_labels", "labels taken in", ["is_fraud"], registry=r)
        self.challenger_failures = Counter(
            "fraud_challenger_failures", "challengers taken out, for their failures, their scores or their time", registry=r
        )
        self.challenger_errors = Counter(
            "fraud_challenger_errors", "payments that the challenger could not score, and the champion answered", registry=r
        )
        self.unlogged = Counter("fraud_unlogged_answers", "answers that nothing keeps (LAB_LOG_FAILURE=open)", registry=r)
        self.history_rebuilds = Counter("fraud_history_rebuilds", "histories rebuilt from the log", registry=r)
        self.model_info = Gauge("fraud_model_info", "1 for the version in a slot", ["slot", "version"], registry=r)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        self._requests.counts[route, str(status)] += 1
        self._request_seconds.observe((route,), seconds)

    def answered(self, record: PredictionRecord) -> None:
        """Count one durable answer."""
        self._decisions.counts[record.arm, record.decision] += 1
        self._scores.observe((record.arm,), record.score)

    def serves(self, serving: Serving) -> None:
        """Show the versions in the slots."""
        self.model_info.clear()
        self.model_info.labels("champion", serving.champion.version).set(1)
        if serving.challenger is not None:
            self.model_info.labels("challenger", serving.challenger.version).set(1)
