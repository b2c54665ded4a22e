"""Drift exercises on a real champion: served as the running system would serve, and the same bytes each time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.features import FEATURES
from data.scenarios import SCENARIOS, scenario
from data.world import WorldConfig
from labs.exercises.contract import to_bytes
from labs.exercises.deployment import ONSET, Deployment, deploy
from labs.exercises.exercise import run_exercise
from labs.exercises.expectations import catalogue_review
from labs.exercises.serve import Served, serve
from labs.exercises.source import world_source
from pipelines.monitoring.detectors import DETECTORS


def under(deployment: Deployment, name: str, strength: float | None = None) -> Served:
    """A week of that scenario."""
    injection = scenario(name).inject(deployment.source.midnight(ONSET).date(), seed=7, strength=strength)
    return serve(deployment, injection, last=ONSET + 7)


@pytest.fixture(scope="module")
def quiet(deployment: Deployment) -> Served:
    return under(deployment, "none")


def test_equal_deployments_give_equal_bytes_and_the_model_of_the_same_rows_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world_source(WorldConfig(transactions_per_day=500, fraud_share=0.02))
    first = run_exercise(SCENARIOS["unit_change"], deploy(source, tmp_path), seed=7, strength=0.05, weeks=1)
    monkeypatch.setattr("labs.exercises.deployment.train", pytest.fail)
    second = run_exercise(SCENARIOS["unit_change"], deploy(source, tmp_path), seed=7, strength=0.05, weeks=1)
    assert to_bytes(first) == to_bytes(second)


def test_a_unit_error_ends_in_a_mended_pipeline_with_its_truth_and_its_delay(deployment: Deployment) -> None:
    outcome = run_exercise(SCENARIOS["unit_change"], deployment, seed=7, weeks=1)
    unit = next(monitor for monitor in outcome.monitors if monitor.name == "unit")
    assert outcome.decision == "fix_pipeline"
    assert outcome.truth.rows_touched > 0
    assert unit.role == "must fire"
    assert unit.first_alarm is not None
    assert unit.first_alarm.windows == 1
    assert unit.first_alarm.payments > 5_000
    assert outcome.causes[0].column == "amount"
    assert [monitor.name for monitor in outcome.monitors][: len(DETECTORS)] == [*DETECTORS]


def test_what_a_team_expects_is_what_an_exercise_is_judged_by(deployment: Deployment) -> None:
    expected = replace(catalogue_review(SCENARIOS["none"]).expected, decisions=("retrain",), must_fire=("inputs:hour",))
    outcome = run_exercise(SCENARIOS["none"], deployment, seed=7, expected=expected, weeks=1)
    assert outcome.result == "unexpected"
    assert outcome.reasons == ("inputs:hour stayed silent and must fire", "decided ignore where retrain is right")
    assert outcome.monitors[-1].name == "inputs:hour"


@pytest.mark.parametrize("name", ["currency", "null_burst", "time_zone", "mis_join", "wrong_model", "labels_stop", "selective_labels"])
def test_the_rows_that_differ_from_a_quiet_week_are_those_that_the_truth_names(deployment: Deployment, quiet: Served, name: str) -> None:
    served = under(deployment, name)
    assert (served.log["transaction_id"] == quiet.log["transaction_id"]).all()
    columns = ["event_time", "amount_minor", "latitude", "device_id", "category"]
    differs = np.zeros(len(served.log), dtype=bool)
    for column in columns:
        now, was = served.log[column].astype(object), quiet.log[column].astype(object)
        differs |= ((now != was) & ~(now.isna() & was.isna())).to_numpy()
    layers = SCENARIOS[name].layers
    if "features" in layers:
        differs |= ~((served.features == quiet.features) | (np.isnan(served.features) & np.isnan(quiet.features))).all(axis=1)
    if "scores" in layers:
        differs |= (served.log["score"] != quiet.log["score"]).to_numpy()
    if "labels" in layers:
        known = [set(zip(s.labels["transaction_id"], s.labels["report_time"], strict=True)) for s in (served, quiet)]
        differs |= served.log["transaction_id"].isin({key for key, _ in known[0] ^ known[1]}).to_numpy()
    assert differs.any()
    assert (differs <= served.touched).all()
    before = (quiet.log["event_time"] < pd.Timestamp(deployment.source.midnight(ONSET))).to_numpy()
    assert "labels" in layers or not served.touched[before].any()  # the reports of earlier payments were still to come


def test_retries_come_between_the_payments_and_bring_no_labels(deployment: Deployment, quiet: Served) -> None:
    served = under(deployment, "retry_storm")
    fresh = ~served.log["transaction_id"].isin(quiet.log["transaction_id"])
    assert fresh.sum() == served.touched.sum() > 0
    assert not served.labels["transaction_id"].isin(served.log["transaction_id"][fresh]).any()


def test_another_model_answers_under_another_version_from_its_first_day_on(deployment: Deployment) -> None:
    log = under(deployment, "wrong_model").log
    before = log["event_time"] < pd.Timestamp(deployment.source.midnight(ONSET))
    assert set(log["champion_version"][before]) == {"1"}
    assert set(log["champion_version"][~before]) == {"2"}


def test_a_mis_join_moves_the_card_features_of_the_log_and_no_message(deployment: Deployment, quiet: Served) -> None:
    served = under(deployment, "mis_join")
    rows = served.touched
    card = FEATURES.index("card_count_7d")
    amount = FEATURES.index("amount")
    assert (served.features[rows, card] != quiet.features[rows, card]).mean() > 0.5
    assert (served.features[:, amount] == quiet.features[:, amount]).all()
