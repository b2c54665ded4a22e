"""Experiments on the user's own payments: what is taken from the prediction log and from batch scoring, and what is left out."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.bundle import Model, seal_bundle
from data.errors import BadInput
from data.prediction_log import PredictionLog
from data.settings import Settings
from labs import contenders
from pipelines.experiments.scored import DECLINE
from tests.bundles import make_bundle, random_features
from tests.records import fraud_label, record, transaction

ROWS = 900  # a payment every twenty minutes: twelve days and a half


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lab whose log holds ROWS payments, two admitted versions, and a third whose seal is broken."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(contenders, "LEAST_PAYMENTS", 100)
    monkeypatch.setattr(contenders, "LEAST_FRAUDS", 3)
    for number in (1, 2, 3):
        make_bundle(tmp_path / "models" / str(number), tmp_path / "keys", seed=number, sequence=number, trees=3)
    (tmp_path / "models" / "3" / "policy.json").write_text("{}")
    features = random_features(ROWS, seed=4)
    start = transaction(0).event_time
    log = PredictionLog(tmp_path / "predictions.db")
    log.append(
        [
            record(
                k, transaction(k, event_time=start + timedelta(minutes=20 * k)), features=features[k], champion_version="2",
                decision="decline" if k % 50 == 7 else "approve",
            )
            for k in range(ROWS)
        ]
    )  # fmt: skip
    log.add_labels([fraud_label(k, days=3) for k in range(0, 200, 20)] + [fraud_label(1, days=12)])
    log.close()
    return Settings.load()


def test_served_payments_are_scored_by_every_version_whose_seal_holds_the_last_champion_first(settings: Settings) -> None:
    found = contenders.from_log(settings, models=2)
    assert found is not None
    assert [model.name for model in found.models] == ["version 2", "version 1"]
    folder, features = settings.home / "models" / "1", random_features(ROWS, seed=4)
    kept = [k for k in range(ROWS) if k % 50 != 7 and k * 20 <= (ROWS - 1) * 20 - 7 * 24 * 60]
    assert len(found) == len(kept)
    assert found.models[1].score.tolist() == Model.load(folder).score_many(features[kept]).tolist()


def test_what_was_declined_is_left_out_and_a_fraud_counts_by_the_age_at_which_a_rollout_judges(settings: Settings) -> None:
    found = contenders.from_log(settings, models=2)
    assert found is not None
    assert "8 declined ones left out" in found.source
    assert int(found.is_fraud.sum()) == 10  # the one reported on day 12 was too late


def test_payments_that_a_version_learnt_from_are_left_out_and_only_of_versions_that_take_part(settings: Settings) -> None:
    facts = settings.home / "models" / "1" / "facts.json"
    facts.write_text(json.dumps({"trained_until": (transaction(0).event_time + timedelta(days=1)).isoformat()}))
    seal_bundle(facts.parent, key_folder=settings.home / "keys", sequence=1, facts=json.loads(facts.read_text()))
    both, champion = (contenders.from_log(settings, models=count) for count in (2, 1))
    assert both is not None and champion is not None
    assert int(both.time_s.min()) >= int((transaction(0).event_time + timedelta(days=1)).timestamp())
    assert int(champion.time_s.min()) == int(transaction(0).event_time.timestamp())
    assert [model.name for model in champion.models] == ["version 2"]


def test_too_few_versions_payments_or_frauds_are_no_material(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert contenders.from_log(settings, models=3) is None
    monkeypatch.setattr(contenders, "LEAST_FRAUDS", 11)
    assert contenders.from_log(settings, models=2) is None


def test_a_lab_that_served_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    assert contenders.from_log(Settings.load(), models=0) is None


@pytest.fixture
def tables(tmp_path: Path) -> Callable[[list[str]], tuple[Path, Path]]:
    """IN and OUT of a batch, written with these ids in OUT."""

    def write(answered: list[str]) -> tuple[Path, Path]:
        ids = ["a", "b", "c"]
        times = pd.to_datetime(["2026-01-07", "2026-01-05", "2026-01-06"], utc=True).astype("datetime64[ms, UTC]")
        paid = pd.DataFrame({"transaction_id": ids, "event_time": times, "card_id": ["x", "y", "x"], "amount_minor": [100, 250, 300]})
        scores = pd.DataFrame({"transaction_id": answered, "score": 0.9, "decision": pd.Categorical(["decline"] * len(answered))})
        paid.to_parquet(tmp_path / "in.parquet")
        scores.to_parquet(tmp_path / "out.parquet")
        return tmp_path / "in.parquet", tmp_path / "out.parquet"

    return write


def test_batch_scored_payments_are_matched_by_id_and_put_in_order_of_time(tables: Callable[[list[str]], tuple[Path, Path]]) -> None:
    found = contenders.from_batch(*tables(["a", "b"]))
    assert found.amount.tolist() == [2.5, 1.0]
    assert found.cards[found.card].tolist() == ["y", "x"]
    assert found.champion.decision.tolist() == [DECLINE, DECLINE]
    assert np.isfinite(found.champion.score).all()


def test_a_payment_that_was_delivered_twice_is_one(tables: Callable[[list[str]], tuple[Path, Path]], tmp_path: Path) -> None:
    payments, answers = tables(["a", "b", "b"])
    pd.concat([pd.read_parquet(payments)] * 2).to_parquet(payments)
    assert contenders.from_batch(payments, answers).amount.tolist() == [2.5, 1.0]


def test_a_batch_of_other_payments_is_refused(tables: Callable[[list[str]], tuple[Path, Path]]) -> None:
    with pytest.raises(BadInput, match="No payment of the one table is in the other"):
        contenders.from_batch(*tables(["z"]))
