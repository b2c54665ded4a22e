"""What the service counts, under names that dashboards and alert rules share (`dashboards/`)."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from data.prediction_store import PredictionRecord
from services.scoring.slots import Serving

# The latency objective is in single milliseconds; Prometheus's own buckets begin at five.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Frauds are one payment in two hundred: most scores are small, and the thresholds lie above.
_SCORES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 0.9, 1.0)


class Metrics:
    """One set of collectors, in a registry of its own, so that two services in one test do not share counts."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.requests = Counter("fraud_requests", "HTTP requests", ["route", "status"], registry=r)
        self.request_seconds = Histogram(
            "fraud_request_seconds", "time to answer, commit included", ["route"], buckets=_SECONDS, registry=r
        )
        self.decisions = Counter("fraud_decisions", "answered payments", ["arm", "decision"], registry=r)
        self.scores = Histogram("fraud_score", "calibrated score of the arm that answered", ["arm"], buckets=_SCORES, registry=r)
        # Looking a labelled child up costs more than counting in it.
        self._decision, self._score = cache(self.decisions.labels), cache(self.scores.labels)
        self.replays = Counter("fraud_replays", "payments answered again from the log", registry=r)
        self.labels = Counter("fraud_labels", "labels taken in", ["is_fraud"], registry=r)
        self.challenger_failures = Counter("fraud_challenger_failures", "payments a challenger failed on", registry=r)
        self.history_rebuilds = Counter("fraud_history_rebuilds", "histories rebuilt from the log", registry=r)
        self.model_info = Gauge("fraud_model_info", "1 for the version in a slot", ["slot", "version"], registry=r)

    def answered(self, record: PredictionRecord) -> None:
        """Count one durable answer."""
        self._decision(record.arm, record.decision).inc()
        self._score(record.arm).observe(record.score)

    def serves(self, serving: Serving) -> None:
        """Show the versions in the slots."""
        self.model_info.clear()
        self.model_info.labels("champion", serving.champion.version).set(1)
        if serving.challenger is not None:
            self.model_info.labels("challenger", serving.challenger.version).set(1)
