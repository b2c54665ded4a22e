"""What the service counts, under names that dashboards and alert rules share (`dashboards/`).

Base units, a sentence of help each, and labels with few values: never a card, an id or a word of the caller's.
"""

import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from data.errors import LabError
from data.features import FEATURE_SCHEMA_HASH
from data.prediction_store import PredictionRecord
from services.scoring.input_quality import InputQuality
from services.scoring.slots import Serving, Slots
from services.scoring.tally import Distribution, Tally

# The latency objective is in single milliseconds; Prometheus's own buckets begin at five.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Frauds are one payment in two hundred: most scores are small, and the thresholds lie above.
_SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 0.9, 1.0)
SCORE_ROUTE: Final = "/v1/score"
INTERNAL: Final = "internal"  # the code of a failure that nobody foresaw
# There from the start: a series that begins with its first failure shows no rise.
_ALERTED: Final = ("log_unavailable", "model_failed", "no_model", "overloaded", INTERNAL)


class Metrics:
    """One set of collectors, in a registry of its own, so that two services in one test do not share counts."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.input_quality = quality = InputQuality()
        self._requests = Tally("fraud_requests", "HTTP requests, those that an overload refused included", ["route", "status"])
        self._request_seconds = Distribution(
            "fraud_request_duration_seconds", "time to answer, commit included; refusals left out", ["route"], _SECONDS
        )
        self._errors = Tally("fraud_errors", "failures by the code that the caller was told", ["code"])
        self._decisions = Tally("fraud_decisions", "answered payments", ["arm", "decision"])
        self._scores = Distribution("fraud_score", "calibrated score of the arm that answered", ["arm"], _SCORES)
        self._payments, self._nulls, self._unseen, self._ranges = quality.payments, quality.nulls, quality.unseen, quality.out_of_range
        counted = (self._requests, self._request_seconds, self._errors, self._decisions, self._scores)
        for collector in (*counted, self._payments, self._nulls, self._unseen, self._ranges):
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
        self.answered_alone = Counter("fraud_answers_without_store", "answers given while the shared store was away", registry=r)
        self.contradicted = Counter(
            "fraud_answers_contradicted", "of those, ones to a payment for which the store keeps another answer", registry=r
        )
        self._store_away = Gauge("fraud_store_away", "1 while the shared store is away and payments are answered without it", registry=r)
        self.history_rebuilds = Counter("fraud_history_rebuilds", "histories rebuilt from the log", registry=r)
        self.model_info = Gauge("fraud_model_info", "1 for the version in a slot", ["slot", "version"], registry=r)
        self._build = Gauge("fraud_build_info", "1; what this process is made of", ["python", "feature_schema"], registry=r)
        self._newest = Gauge("fraud_newest_event_timestamp_seconds", "event time of the newest answered payment, Unix time", registry=r)
        self._under_way = Gauge("fraud_payments_under_way", "payments that are not answered, or not on the disk", registry=r)
        self._log_lag = Gauge("fraud_log_lag_entries", "answers and labels on their way to the log's disk", registry=r)
        self._registry_failed = Gauge("fraud_registry_failed", "1 when the last look at the registry failed", registry=r)
        self._confirmed = Gauge(
            "fraud_registry_confirmed_timestamp_seconds", "when the registry last confirmed who serves, Unix time; 0 never", registry=r
        )
        self._free = Gauge("fraud_home_free_bytes", "bytes free on the disk of LAB_HOME", registry=r)
        self._size = Gauge("fraud_home_size_bytes", "bytes of that disk", registry=r)
        ProcessCollector(registry=r)
        self._begin()

    def _begin(self) -> None:
        self._build.labels(platform.python_version(), FEATURE_SCHEMA_HASH[:12]).set(1)
        self._newest.set_function(self._newest_event_s)
        for status in ("200", "500", "503"):
            self._requests.counts[SCORE_ROUTE, status] = 0
        for code in _ALERTED:
            self._errors.counts[code,] = 0

    def watch(self, slots: Slots, *, under_way: Callable[[], int], log_lag: Callable[[], int], problem: Callable[[], str | None]) -> None:
        """Ask these when Prometheus asks: payments under way, entries not on the disk, and why the last look at the registry failed."""
        self._under_way.set_function(under_way)
        self._log_lag.set_function(log_lag)
        self._registry_failed.set_function(lambda: float(problem() is not None))
        self._confirmed.set_function(lambda: slots.serving.confirmed_at.timestamp() if slots.serving else 0.0)

    def watch_store(self, is_away: Callable[[], bool]) -> None:
        """The same of the shared store."""
        self._store_away.set_function(is_away)

    def watch_disk(self, folder: Path) -> None:
        """The same for the disk of a folder that is there."""
        self._free.set_function(lambda: float(shutil.disk_usage(folder).free))
        self._size.set_function(lambda: float(shutil.disk_usage(folder).total))

    def requested(self, route: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        self._requests.counts[route, str(status)] += 1
        self._request_seconds.observe((route,), seconds)

    def refused(self, route: str) -> None:
        """Count one that an overload refused before anything looked at it."""
        self._requests.counts[route, "503"] += 1
        self._errors.counts["overloaded",] += 1

    def failed(self, error: Exception) -> None:
        """Count a failure that a caller was told of."""
        self._errors.counts[error.code if isinstance(error, LabError) else INTERNAL,] += 1

    def answered(self, record: PredictionRecord) -> None:
        """Count one durable answer."""
        self._decisions.counts[record.arm, record.decision] += 1
        self._scores.observe((record.arm,), record.score)
        self.input_quality.take(record)

    def serves(self, serving: Serving) -> None:
        """Show the versions in the slots."""
        self.model_info.clear()
        self.model_info.labels("champion", serving.champion.version).set(1)
        if serving.challenger is not None:
            self.model_info.labels("challenger", serving.challenger.version).set(1)

    def _newest_event_s(self) -> float:
        self.input_quality.settle()
        return float(self.input_quality.newest_event_s)
