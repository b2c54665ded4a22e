"""The verdict of a load run."""

import math
from pathlib import Path

from tests.load.summary import Objective, percentile, read_objective, summarise

OBJECTIVE = Objective(p95_ms=10.0, p99_ms=50.0, error_ratio=0.01)


def test_percentiles_are_exact_values_that_were_seen() -> None:
    ordered = [float(i) for i in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([7.0], 0.01) == 7.0 and math.isnan(percentile([], 0.5))


def test_a_run_within_its_limits_meets_the_objective() -> None:
    summary = summarise([5.0] * 99 + [40.0], failures=1, duration_s=2.0, objective=OBJECTIVE, labels_sent=0, label_failures=0)
    assert summary.met and summary.missed == ()
    assert (summary.requests, summary.requests_per_s, summary.p95_ms, summary.max_ms) == (100, 50.0, 5.0, 40.0)


def test_each_limit_that_is_missed_is_named() -> None:
    summary = summarise([60.0] * 100, failures=2, duration_s=1.0, objective=OBJECTIVE, labels_sent=0, label_failures=0)
    assert not summary.met and [text.split()[0] for text in summary.missed] == ["p95", "p99", "error"]
    failing_labels = summarise([1.0] * 100, failures=0, duration_s=1.0, objective=OBJECTIVE, labels_sent=50, label_failures=5)
    assert [text.split()[0] for text in failing_labels.missed] == ["error"]


def test_a_run_without_answers_misses_its_objective() -> None:
    assert not summarise([], failures=0, duration_s=0.0, objective=OBJECTIVE, labels_sent=0, label_failures=0).met


def test_every_answer_falls_into_one_bin() -> None:
    latencies = [0.0, 0.49, 0.5, 9.99, 10.0, 99.0, 1_000_000.0]
    summary = summarise(latencies, failures=0, duration_s=1.0, objective=OBJECTIVE, labels_sent=0, label_failures=0)
    assert sum(summary.counts) == len(latencies) and len(summary.counts) == len(summary.edges_ms) - 1
    assert summary.counts[0] == 2 and summary.counts[-1] == 1


def test_the_objective_of_the_lab_is_readable() -> None:
    objective, arrivals = read_objective(Path(__file__).parents[1] / "load" / "slo.toml")
    assert 0 < objective.p95_ms <= objective.p99_ms and objective.error_ratio < 0.01
    assert arrivals.rate_per_s > 0 and arrivals.users > 0
