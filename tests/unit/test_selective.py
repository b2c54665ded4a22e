"""The random hold-out: who is let through, and for how many payments a known outcome stands."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from data.costs import Policy
from data.reasons import RANDOM_APPROVE
from pipelines.batch.answers import answer_rows
from pipelines.monitoring.performance import matured_rows
from pipelines.selective import outcome_weights
from services.scoring.decide import judge_payments
from tests.bundles import random_features
from tests.payments import labels, served
from tests.records import facts
from tests.scorers import PlainModel, slots_of

IDS = [f"tx_{n:06d}" for n in range(20_000)]


def test_by_default_nobody_is_let_through() -> None:
    assert not any(Policy(0.3, 0.75).lets_through(key) for key in IDS)


def test_the_share_that_is_let_through_is_the_policys_and_is_drawn_by_the_id_alone() -> None:
    few, more = Policy(0.3, 0.75, random_approve_share=0.05), Policy(0.1, 0.2, random_approve_share=0.2)
    spared = {key for key in IDS if few.lets_through(key)}
    assert len(spared) / len(IDS) == pytest.approx(0.05, abs=0.005)
    assert spared < {key for key in IDS if more.lets_through(key)}


def test_a_policy_of_an_older_bundle_lets_nobody_through() -> None:
    facts = Policy(0.3, 0.75, random_approve_share=0.05).to_json()
    assert Policy.from_json(facts).random_approve_share == 0.05
    del facts["random_approve_share"]
    assert Policy.from_json(facts).random_approve_share == 0.0


def log(declined: int, spared: int, approved: int = 100) -> tuple[pd.DataFrame, np.ndarray]:
    decisions = ["decline"] * declined + ["approve"] * (spared + approved)
    held_out = np.array([False] * declined + [True] * spared + [False] * approved)
    return pd.DataFrame({"decision": decisions, "model_version": "1"}), held_out


def test_each_payment_held_out_stands_for_those_that_were_declined() -> None:
    weights = outcome_weights(*log(declined=95, spared=5))
    assert weights is not None
    assert weights.sum() == 200
    assert set(weights[:95]) == {0.0}
    assert set(weights[95:100]) == {20.0}
    assert set(weights[100:]) == {1.0}


def test_a_handful_stands_for_nothing() -> None:
    assert outcome_weights(*log(declined=400, spared=4)) is None
    assert outcome_weights(*log(declined=0, spared=0)) is not None


def test_recall_measured_with_a_hold_out_is_that_of_all_payments() -> None:
    frame = served(20, 3_000, fraud_share=0.03, skill=5.0)
    declined = frame["score"].to_numpy() > 0.3
    held_out = declined & (np.random.default_rng(0).random(len(frame)) < 0.2)
    decision = frame["decision"].astype(object).mask(declined & ~held_out, "decline").mask(held_out, "approve")
    shown = frame.assign(decision=decision, held_out=held_out, model_version="1")
    known = labels(frame)
    known = known[~known["transaction_id"].isin(frame.loc[declined & ~held_out, "transaction_id"])]

    def recall(rows: pd.DataFrame) -> float:
        matured = matured_rows(rows, known, timedelta(days=7))
        return float((matured.weight * matured.y * matured.alert).sum() / matured.frauds)

    true = float(frame["fraud"][frame["decision"] != "approve"].sum() / frame["fraud"].sum())
    approved = shown[decision != "decline"].assign(held_out=False)
    assert recall(shown) == pytest.approx(true, abs=0.02)
    assert recall(approved) < true - 0.1  # what looking at approved payments alone would say


def test_the_service_and_a_batch_let_the_same_payments_through() -> None:
    matrix = random_features(400, seed=3)

    class Lenient(PlainModel):
        policy = Policy(review_at=0.0, decline_at=0.0, random_approve_share=0.3)

    table = answer_rows(Lenient(), np.array(IDS[:400], dtype=object), matrix).to_pandas()  # type: ignore[arg-type]
    spared = table["transaction_id"].map(Lenient.policy.lets_through)
    assert spared.sum() > 50
    assert (table["decision"] == np.where(spared, "approve", "decline")).all()
    assert all(list(codes) == [RANDOM_APPROVE] for codes in table["reasons"][spared])
    serving = slots_of(Lenient()).current()
    judged = judge_payments(serving, [facts(key) for key in IDS[:400]], matrix, patience=None)  # type: ignore[arg-type]
    assert [one.decision for one in judged] == table["decision"].tolist()
    assert [one.reasons for one in judged] == [tuple(codes) for codes in table["reasons"]]
