"""The service's own counters read as the client library's would."""

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

from services.scoring.tally import Distribution, Tally

BOUNDS = (0.1, 0.5, 1.0)


def text(*collectors: Collector) -> set[str]:
    """What Prometheus would scrape, less the moments of creation."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return {line for line in generate_latest(registry).decode().splitlines() if "_created" not in line}


def test_a_tally_reads_as_a_counter() -> None:
    ours, theirs = Tally("frauds", "seen", ["arm", "decision"]), Counter("frauds", "seen", ["arm", "decision"], registry=None)
    for key in (("champion", "approve"), ("challenger", "review"), ("champion", "approve")):
        ours.counts[key] += 1
        theirs.labels(*key).inc()
    assert text(ours) == text(theirs)


def test_a_distribution_reads_as_a_histogram() -> None:
    ours, theirs = Distribution("score", "given", ["arm"], BOUNDS), Histogram("score", "given", ["arm"], buckets=BOUNDS, registry=None)
    for value in (*np.random.default_rng(0).uniform(0, 2, 200).tolist(), *BOUNDS):
        ours.observe(("champion",), value)
        theirs.labels("champion").observe(value)
    assert text(ours) == text(theirs)
