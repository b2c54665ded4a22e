"""Each guardrail sees what it is for, lets pass what is none, and no step is left before every margin is kept."""

from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.ledger import Ledger
from pipelines.rollout.calibrated import Calibrated
from pipelines.rollout.controller import RolloutOutcome, run_rollout
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW
from pipelines.rollout.guardrails import begin, enter, observe
from pipelines.rollout.judge import judge
from pipelines.rollout.paired import FIRST_SCORES, Failures, Scores
from pipelines.rollout.plan import Budgets
from pipelines.rollout.sequential import rejects
from tests.logged_service import two_versions
from tests.poisoned_future import PoisonedFuture
from tests.simulated_service import START, Model, SimulatedService
from tests.unit.test_judge import AT, CANARY, COSTS, PLAN, SHADOW, in_canary, look, served, verdict

EASY = replace(PLAN, steps=tuple(replace(step, min_payments=1, needs_money=step.mode == "soak") for step in PLAN.steps))


def spread_scores(count: int, seed: int = 1) -> Any:
    """Scores as a fraud model gives them: most near nothing, few high; shape (count,)."""
    return np.minimum(np.random.default_rng(seed).lognormal(-6, 1.5, count), 0.3)


def test_all_error_budgets_together_are_one_percent() -> None:
    assert sum(asdict(Budgets()).values()) == pytest.approx(0.01)


# --- scores and alerts


@pytest.mark.parametrize(("factor", "paused"), [(3.0, True), (1 / 3, True), (1.5, False), (0.7, False)])
def test_a_lost_calibrator_pauses_within_two_thousand_payments_and_a_mild_one_does_not(factor: float, paused: bool) -> None:
    scores = spread_scores(2_000)
    judgement = verdict(look(served(2_000, champion_score=scores, challenger_score=scores * factor)), EASY)
    assert (judgement.verdict == "pause") == paused
    assert ("recalibrate it" in "".join(judgement.reasons)) == paused


def test_three_times_the_scores_of_a_surer_model_are_found_although_most_payments_are_not_higher() -> None:
    """A better model is sure of fewer payments: it is the higher one on none but those, and what it expects in all is what tells."""
    sure, scores = np.arange(20_000) % 100 == 0, spread_scores(20_000)
    rest = np.where(sure, 0.0, 0.6 * scores)
    rows = served(20_000, champion_score=scores, challenger_score=np.where(sure, (3 * scores.sum() - rest.sum()) / sure.sum(), rest))
    higher = rows.challenger_score > 2 * rows.champion_score
    assert higher[rows.champion_score > np.quantile(rows.champion_score, 0.9)].mean() < 0.5
    assert rejects(Scores().add(rows, PLAN).log_e, PLAN.budgets.scores)


def test_another_model_that_expects_as_many_frauds_is_of_the_same_magnitude() -> None:
    scores, otherwise = spread_scores(20_000), np.random.default_rng(2).lognormal(-0.125, 0.5, 20_000)  # of mean 1
    assert Scores().add(served(20_000, champion_score=scores, challenger_score=scores * otherwise), PLAN).log_e < 0


@pytest.mark.parametrize(("expected_per_fraud", "verdict_then"), [(3.0, "pause"), (1.0, "advance"), (0.2, "pause")])
def test_other_scores_wait_for_labels_that_agree_with_them_and_money_does_not_end_the_wait(
    expected_per_fraud: float, verdict_then: str
) -> None:
    """The challenger catches every fraud and the champion none, so money is on its side each time."""
    fraud = np.arange(12_000) % 100 == 0
    facts = {"challenger_decision": np.where(fraud, REVIEW, APPROVE), "challenger_score": 0.01 * expected_per_fraud}
    facts["champion_score"] = facts["challenger_score"] / 4 if expected_per_fraud >= 1 else 0.01
    before = observe(begin(SHADOW, EASY, COSTS, AT), look(served(12_000, **facts), days=9), EASY)
    waiting, judgement = judge(before, look(served(1, event_time_s=int((AT + timedelta(days=9)).timestamp())), days=9.1), EASY)
    assert "labels must say that they are right and worth it (no labels have matured)" in "".join(judgement.reasons)
    labelled = look(served(0), served(12_000, **facts), fraud, days=16)
    judgement = judge(replace(waiting, last_payment=AT + timedelta(days=16)), labelled, EASY)[1]
    assert judgement.verdict == verdict_then
    assert judgement.e_values["costs_no_more"] > 3
    found = f"they expected {120 * expected_per_fraud:,.0f} frauds where 120 were reported"
    assert (found in judgement.reasons[0]) == (verdict_then == "pause")


def test_other_scores_that_labels_agree_with_wait_for_money_too() -> None:
    """A stale model may expect as many frauds as there are and see them elsewhere."""
    fraud = np.arange(12_000) % 500 == 0  # 24: fewer than money is judged on
    facts = {"challenger_score": 24 / 12_000, "champion_score": 6 / 12_000}
    rows = served(12_000, **facts)
    fresh = replace(rows, event_time_s=rows.event_time_s + 7 * 86_400)
    judgement = verdict(look(fresh, rows, fraud, days=16), EASY)
    assert judgement.e_values["miscalibrated_no_more"] > np.log10(1 / PLAN.promotion_alpha)
    assert "right and worth it" in judgement.reasons[0]


@pytest.mark.parametrize("expected_per_fraud", [2.0, 0.5])  # the edges of what `reported_factor` takes for right
def test_scores_that_are_wrong_are_called_right_no_more_often_than_promised(expected_per_fraud: float) -> None:
    random, score, called = np.random.default_rng(5), 0.01, 0
    for _ in range(300):
        known = Calibrated.start(PLAN)
        for _ in range(10):
            known = known.add(served(500, challenger_score=score), random.random(500) < score / expected_per_fraud, PLAN)
            if rejects(known.log_e, PLAN.promotion_alpha):
                called += 1
                break
    assert called <= 15 + 10  # of 300 at 5 %, and three standard errors


def test_a_declined_payment_says_nothing_about_calibration() -> None:
    assert Calibrated.start(PLAN).add(served(50, decision=DECLINE, challenger_score=0.9), np.zeros(50, dtype=bool), PLAN) == (
        Calibrated.start(PLAN)
    )


def test_two_models_that_differ_only_on_payments_nobody_would_look_at_have_the_same_scores() -> None:
    scores = spread_scores(20_000)
    bulk = scores < np.quantile(scores, 0.85)
    assert Scores().add(served(20_000, champion_score=scores, challenger_score=np.where(bulk, scores / 4, scores)), PLAN).log_e < 0


def test_the_first_scores_fix_the_quantiles_however_the_evidence_is_cut() -> None:
    rows = served(3_000, champion_score=spread_scores(3_000), challenger_score=spread_scores(3_000, 2))
    parts, index = Scores(), np.arange(3_000)
    for low, high in ((0, 7), (7, FIRST_SCORES - 1), (FIRST_SCORES - 1, FIRST_SCORES + 5), (FIRST_SCORES + 5, 3_000)):
        parts = parts.add(rows.where((index >= low) & (index < high)), PLAN)
    assert parts.log_e == pytest.approx(Scores().add(rows, PLAN).log_e)


def test_other_alerts_wait_for_labels_and_labels_that_show_their_worth_end_the_wait() -> None:
    fraud = np.arange(12_000) % 100 == 0
    caught = np.where(fraud, REVIEW, APPROVE)
    before = observe(begin(SHADOW, EASY, COSTS, AT), look(served(12_000, challenger_decision=caught), days=9), EASY)
    waiting, judgement = judge(before, look(served(1, event_time_s=int((AT + timedelta(days=9)).timestamp())), days=9.1), EASY)
    assert judgement.verdict == "pause"
    assert "labels must say" in judgement.reasons[0]
    labelled = look(served(0), served(12_000, challenger_decision=caught), fraud, days=16)
    assert judge(replace(waiting, last_payment=AT + timedelta(days=16)), labelled, EASY)[1].verdict == "advance"


# --- margins: an upper limit must be under each before a step is left


def test_a_challenger_whose_failures_may_still_be_too_many_goes_no_further() -> None:
    assert verdict(look(served(900)), EASY).reasons == (
        "not yet shown to fail on at most 0.5% of payments more than the champion: that takes more than 600 without a failure",
    )
    failing = np.where(np.arange(1_200) % 400 == 0, np.nan, 0.004)  # not shown to be too many, nor to be few enough
    assert verdict(look(served(1_200, challenger_score=failing)), EASY).verdict == "hold"
    assert verdict(look(served(1_200)), EASY).verdict == "advance"


def test_a_challenger_whose_slow_answers_may_still_be_too_many_goes_no_further() -> None:
    known = observe(begin(SHADOW, EASY, COSTS, AT), look(served(2_000)), EASY)
    canary = enter(known, CANARY, 2, AT + timedelta(days=2))
    few, many = served(1_200, CANARY), served(2_600, CANARY)
    judgement = verdict(look(few, days=2.1), EASY, canary)
    assert judgement.verdict == "hold"
    assert f"5% of its answers are slow: 0 of {int(few.by_challenger.sum())} were" in judgement.reasons[0]
    assert verdict(look(many, days=2.1), EASY, canary).verdict == "advance"


# --- the unit of evidence


def test_a_card_that_fails_again_and_again_weighs_as_much_as_one_failure_and_others_as_they_are() -> None:
    nan = np.where(np.arange(100) < 12, np.nan, 0.004)
    one_card = served(100, challenger_score=nan, card_id=np.array(["card_1"] * 100, dtype=object))
    assert Failures().add(one_card, PLAN).more.heads == 1
    assert Failures().add(served(100, challenger_score=nan), PLAN).more.heads == 12
    again = Failures().add(one_card, PLAN).add(one_card, PLAN)
    assert again.more.heads == 1


def test_in_the_soak_where_all_cards_are_its_failures_are_still_compared_on_every_payment() -> None:
    soak = replace(CANARY, mode="soak", share=1.0)
    rows = served(800, soak)
    scores = np.where(np.arange(800) < 20, np.nan, 0.004)
    failing = replace(rows, challenger_score=scores, by_challenger=np.isfinite(scores))
    judgement = verdict(look(failing), learned=replace(in_canary(), serving=soak, step=5))
    assert (judgement.verdict, judgement.reasons[0][:26]) == ("roll_back", "failures: on 20 cards its ")


# --- what cannot be


@pytest.mark.parametrize("latency", [float("nan"), float("inf"), -1.0])
def test_an_answer_that_took_no_possible_time_rolls_back(latency: float) -> None:
    times = np.full(50, 2.0)
    times[7] = latency
    assert "a time that is none" in verdict(look(served(50, latency_ms=times))).reasons[0]


def test_a_label_of_a_payment_that_is_not_old_enough_is_refused() -> None:
    with pytest.raises(ValueError, match="age of maturity"):
        verdict(look(served(10), served(10), True, days=6.9))


def roll_out(folder: Path, kind: type[SimulatedService], challenger: Model) -> RolloutOutcome:
    registry = two_versions()
    service = kind(registry, Model(), challenger, per_day=3_000)
    ports: dict[str, Any] = {"registry": registry, "ledger": Ledger(folder / f"{kind.__name__}.jsonl"), "evidence": service}
    patient = replace(EASY, steps=tuple(replace(step, max_days=30) for step in EASY.steps), longest_look_hours=24)
    return run_rollout(patient, **ports, traffic=service.traffic, notify=service.notify, inspect=service.inspect, at=START)


@pytest.mark.parametrize(("challenger", "result"), [(Model(recall=0.75), "promoted"), (Model(recall=0.1), "rolled_back")])
def test_a_poisoned_future_changes_nothing_that_is_decided(tmp_path: Path, challenger: Model, result: str) -> None:
    clean, poisoned = (roll_out(tmp_path, kind, challenger) for kind in (SimulatedService, PoisonedFuture))
    assert clean.judgements == poisoned.judgements
    assert clean.result == result


def test_the_same_guardrail_rejects_only_beyond_its_budget() -> None:
    assert not rejects(np.log(999.0), 0.001)
    assert rejects(np.log(1_001.0), 0.001)
