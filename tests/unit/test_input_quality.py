"""What is odd about answered payments is counted by field, channel and feature, and by nothing that a caller writes."""

import numpy as np
import pytest
from prometheus_client import generate_latest

from data.errors import LogUnavailable
from data.features import FEATURE_COUNT, FEATURE_INDEX, FEATURES
from data.forest_text import read_ranges
from services.scoring.input_quality import GROUP
from services.scoring.metrics import Metrics
from tests.bundles import random_features, train_booster
from tests.records import record

PLACED = {"channel": "chip", "latitude": 1.0, "longitude": 1.0, "device_id": "d", "category": "fuel"}


def scraped(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def answered(metrics: Metrics, number: int, features: dict[str, float] | None = None, **changes: object) -> None:
    made = record(number)
    values = made.features.copy()
    for name, value in (features or {}).items():
        values[FEATURE_INDEX[name]] = value
    metrics.answered(made._replace(payment=made.payment._replace(**PLACED | changes), features=values))


def test_fields_without_a_value_are_counted_by_channel() -> None:
    metrics = Metrics()
    answered(metrics, 1, latitude=None)
    answered(metrics, 2, channel="online", latitude=None, device_id=None)
    answered(metrics, 3, category="unknown")
    found = scraped(metrics)
    assert found['fraud_payments_total{channel="chip"}'] == 2
    assert found['fraud_null_values_total{channel="chip",field="place"}'] == 1
    assert found['fraud_null_values_total{channel="online",field="place"}'] == 1
    assert found['fraud_null_values_total{channel="online",field="device_id"}'] == 1
    assert found['fraud_null_values_total{channel="chip",field="category"}'] == 1


def test_a_word_that_no_model_knows_is_counted_and_not_repeated() -> None:
    metrics = Metrics()
    answered(metrics, 1, category="crypto_mining")
    answered(metrics, 2, category="fuel")
    assert scraped(metrics)['fraud_unseen_levels_total{field="category"}'] == 1
    assert "crypto_mining" not in generate_latest(metrics.registry).decode()


def test_values_outside_the_training_rows_are_counted_and_missing_ones_are_not() -> None:
    metrics = Metrics()
    metrics.input_quality.follow(np.array([[0.0] * FEATURE_COUNT, [1e9] * FEATURE_COUNT]))
    for number, amount in enumerate((2e9, -1.0, 5.0, np.nan)):
        answered(metrics, number, dict.fromkeys(FEATURES, 1.0) | {"amount": amount})
    found = scraped(metrics)
    assert found['fraud_out_of_range_values_total{feature="amount"}'] == 2
    assert found['fraud_out_of_range_values_total{feature="hour"}'] == 0


def test_whole_groups_are_counted_without_anybody_asking() -> None:
    metrics = Metrics()
    for number in range(GROUP):
        answered(metrics, number)
    assert metrics.input_quality.payments.counts["chip",] == GROUP


def test_freshness_is_the_event_time_of_the_newest_answer() -> None:
    metrics = Metrics()
    answered(metrics, 1)
    assert scraped(metrics)["fraud_newest_event_timestamp_seconds"] == record(1).payment.event_time_ms // 1000


def test_the_ranges_are_those_of_the_models_training_rows() -> None:
    ranges = read_ranges(train_booster(trees=2).model_to_string().encode())
    rows = random_features(20_000, seed=0)
    assert ranges.shape == (2, FEATURE_COUNT)
    amount = FEATURE_INDEX["amount"]
    assert np.isfinite(ranges[:, amount]).all() and ranges[0, amount] < np.nanmedian(rows[:, amount]) < ranges[1, amount]
    assert not np.isfinite(ranges[:, FEATURE_INDEX["category"]]).any()


@pytest.mark.parametrize("text", [b"", b"tree\nversion=v4", b"feature_infos=[1:x] none [1:2", b"feature_infos=[1e999999:2]"])
def test_a_model_that_does_not_say_its_ranges_is_served_all_the_same(text: bytes) -> None:
    metrics = Metrics()
    metrics.input_quality.follow(read_ranges(text))
    answered(metrics, 1, {"amount": 1e12})
    assert scraped(metrics)['fraud_out_of_range_values_total{feature="amount"}'] == 0


def test_a_refusal_counts_as_a_request_and_by_its_code() -> None:
    metrics = Metrics()
    metrics.refused("/v1/score")
    metrics.failed(LogUnavailable("The disk is full.", next_step="Make room."))
    metrics.failed(KeyError("nobody foresaw it"))
    found = scraped(metrics)
    assert found['fraud_requests_total{route="/v1/score",status="503"}'] == 1
    assert found['fraud_errors_total{code="overloaded"}'] == 1
    assert found['fraud_errors_total{code="log_unavailable"}'] == 1
    assert found['fraud_errors_total{code="internal"}'] == 1


def test_every_metric_has_a_sentence_of_help_and_a_process_shows_its_resources() -> None:
    metrics = Metrics()
    assert all(family.documentation for family in metrics.registry.collect())
    assert scraped(metrics)["process_resident_memory_bytes"] > 0
