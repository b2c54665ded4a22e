"""The judge says what the evidence allows, with its numbers, and nothing when it cannot trust the evidence."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.costs import DecisionCosts
from data.errors import BadInput, MissingFile
from data.serving_plan import ServingPlan
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, Evidence, Reports, Served, settled_frauds, trouble_of
from pipelines.rollout.guardrails import Learned, begin, enter
from pipelines.rollout.judge import Judgement, judge
from pipelines.rollout.money import Money
from pipelines.rollout.plan import DEFAULT_PLAN, RolloutPlan, Step

AT = datetime(2026, 3, 2, tzinfo=UTC)
COSTS = DecisionCosts()
PLAN = RolloutPlan.load()
SHADOW = ServingPlan(2, "1", "2", "shadow", 0.0, "r")
CANARY = ServingPlan(3, "1", "2", "canary", 0.05, "r")


def served(count: int, serving: ServingPlan = SHADOW, **facts: Any) -> Served:
    """Payments of different cards, a minute apart, on which all is well and both models approve; `facts` differ from that."""
    cards = [f"card_{n}" for n in range(count)]
    usual: dict[str, Any] = {
        "transaction_id": [f"tx_{n}" for n in range(count)],
        "card_id": cards,
        "event_time_s": int(AT.timestamp()) + 60 * np.arange(count),
        "amount": 50.0,
        "rollout_id": serving.rollout_id,
        "epoch": serving.epoch,
        "champion_version": serving.champion,
        "challenger_version": serving.challenger,
        "by_challenger": [serving.arm(card) == "challenger" for card in cards],
        "champion_score": 0.004,
        "challenger_score": 0.004,
        "champion_decision": APPROVE,
        "challenger_decision": APPROVE,
        "decision": APPROVE,
        "latency_ms": 2.0,
    }
    types = {"event_time_s": np.int64, "epoch": np.int64, "by_challenger": np.bool_, "decision": np.int8}
    types |= {"amount": np.float64, "latency_ms": np.float64, "champion_score": np.float64, "challenger_score": np.float64}
    types |= {"champion_decision": np.int8, "challenger_decision": np.int8}
    columns = {name: np.array(np.broadcast_to(value, count), dtype=types.get(name, object)) for name, value in (usual | facts).items()}
    return Served(**columns)


def no_payments() -> Served:
    return served(0)


def look(fresh: Served, settled: Served | None = None, fraud: Any = (), days: float = 0.5, **facts: Any) -> Evidence:
    now = AT + timedelta(days=days)
    settled = no_payments() if settled is None else settled
    outcome = np.array(np.broadcast_to(fraud if len(settled) else (), len(settled)), dtype=bool)
    return Evidence(now, fresh, settled, outcome, facts.pop("newest_report", now), **facts)


def verdict(evidence: Evidence, plan: RolloutPlan = PLAN, learned: Learned | None = None) -> Judgement:
    return judge(learned or begin(SHADOW, plan, COSTS, AT), evidence, plan)[1]


def in_canary() -> Learned:
    return enter(begin(SHADOW, PLAN, COSTS, AT), CANARY, 2, AT)


# --- verdicts


def test_below_its_minimum_evidence_it_waits_and_says_how_much_is_missing() -> None:
    judgement = verdict(look(served(500)))
    assert (judgement.verdict, judgement.reasons) == ("hold", ("500 of 20,000 payments",))


def test_a_step_with_its_evidence_in_advances() -> None:
    plan = replace(PLAN, steps=(replace(PLAN.steps[0], min_payments=500), *PLAN.steps[1:]))
    assert verdict(look(served(2_000)), plan).verdict == "advance"


def test_a_step_whose_time_is_up_without_a_verdict_is_inconclusive() -> None:
    judgement = verdict(look(served(500, event_time_s=int(AT.timestamp()) + 86_400 * 21 - 60), days=21))
    assert judgement.verdict == "inconclusive"
    assert judgement.reasons[:2] == ("shadow is over after 21 days", "500 of 20,000 payments")


def test_the_first_score_that_is_no_probability_rolls_back() -> None:
    for score in (float("inf"), -0.001, 1e9):
        scores = np.full(500, 0.004)
        scores[77] = score
        assert verdict(look(served(500, challenger_score=scores))).verdict == "roll_back", score


def test_a_challenger_that_the_service_took_out_is_rolled_back_with_its_reason() -> None:
    judgement = verdict(look(served(5), trouble="benched: RuntimeError while scoring"))
    assert (judgement.verdict, judgement.reasons) == (
        "roll_back",
        ("the service took the challenger out: benched: RuntimeError while scoring",),
    )


def test_failures_of_the_challenger_alone_roll_back_and_shared_ones_do_not() -> None:
    nan = np.where(np.arange(500) < 20, np.nan, 0.004)
    assert verdict(look(served(500, challenger_score=nan))).verdict == "roll_back"
    assert verdict(look(served(500, challenger_score=nan, champion_score=nan))).verdict == "hold"
    some = np.where(np.arange(500) % 2, nan, 0.004)
    other = np.where(np.arange(500) % 2, 0.004, nan)
    assert verdict(look(served(500, challenger_score=some, champion_score=other))).verdict == "hold"


def test_one_card_that_always_fails_is_one_piece_of_evidence() -> None:
    nan = np.where(np.arange(500) < 20, np.nan, 0.004)
    cards = np.array(["card_bad" if n < 20 else f"card_{n}" for n in range(500)], dtype=object)
    assert verdict(look(served(500, challenger_score=nan, card_id=cards))).verdict == "hold"


# --- the right arm


def test_payments_of_another_rollout_or_an_earlier_plan_are_not_evidence() -> None:
    for facts in ({"rollout_id": "another"}, {"epoch": 1}, {"challenger_version": ""}):
        judgement = verdict(look(served(500, **facts)))
        assert judgement.reasons == ("0 of 20,000 payments",), facts


@pytest.mark.parametrize("facts", [{"challenger_version": "3"}, {"champion_version": "0"}, {"by_challenger": True}])
def test_payments_answered_by_another_model_or_arm_withhold_every_verdict(facts: dict[str, Any]) -> None:
    plan = replace(PLAN, steps=(replace(PLAN.steps[0], min_payments=500), *PLAN.steps[1:]))
    rows = served(1000, challenger_score=np.nan)  # enough to roll back, were it trusted
    wrong = served(3, **facts)
    mixed = Served(**{f.name: np.concatenate([getattr(rows, f.name), getattr(wrong, f.name)]) for f in fields(Served)})
    judgement = verdict(look(mixed), plan)
    assert judgement.verdict == "pause"
    assert "3 payment(s) were answered by another model or arm" in judgement.reasons[0]


def test_a_fallback_to_the_champion_is_not_a_wrong_arm() -> None:
    rows = served(2000, CANARY)
    scores = np.where(rows.by_challenger & (np.arange(2000) < 40), np.nan, 0.004)
    fell_back = replace(rows, challenger_score=scores, by_challenger=rows.by_challenger & np.isfinite(scores))
    assert "another model or arm" not in "".join(verdict(look(fell_back), learned=in_canary()).reasons)


def test_a_sample_ratio_mismatch_withholds_even_a_bad_verdict() -> None:
    rows = served(6000, CANARY)
    slow = np.where(rows.by_challenger, 80.0, 2.0)
    whole = verdict(look(replace(rows, latency_ms=slow), days=5), learned=in_canary())
    assert whole.verdict == "roll_back"
    lost = replace(rows, latency_ms=slow).where(~rows.by_challenger | (np.arange(6000) % 2 == 0))
    judgement = verdict(look(lost, days=5), learned=in_canary())
    assert judgement.verdict == "pause"
    assert "sample-ratio mismatch" in judgement.reasons[0]


# --- guardrails of the answers


def test_slow_answers_of_the_challenger_roll_back_and_slow_answers_of_both_do_not() -> None:
    rows = served(4000, CANARY)
    own = replace(rows, latency_ms=np.where(rows.by_challenger & (np.arange(4000) % 5 == 0), 80.0, 2.0))
    assert verdict(look(own, days=3), learned=in_canary()).verdict == "roll_back"
    both = replace(rows, latency_ms=np.where(np.arange(4000) % 5 == 0, 80.0, 2.0))
    judgement = verdict(look(both, days=3), learned=in_canary())
    assert judgement.verdict == "pause"
    assert "too little machine for two models" in judgement.reasons[0]


def test_more_alerts_than_the_team_can_review_roll_back() -> None:
    alerts = np.where(np.arange(4000) % 25 == 0, REVIEW, APPROVE)  # 40 per thousand
    assert verdict(look(served(4000, challenger_decision=alerts), days=3)).verdict == "roll_back"


def test_more_alerts_than_the_champion_within_what_can_be_reviewed_are_no_harm_but_wait_for_labels() -> None:
    alerts = np.where(np.arange(4000) % 80 == 0, REVIEW, APPROVE)  # 12.5 per thousand, the champion none
    judgement = verdict(look(served(4000, challenger_decision=alerts), days=3))
    assert judgement.verdict == "pause"
    assert "12.5 per thousand payments, the champion 0.0: labels must say" in judgement.reasons[0]


def test_many_alerts_where_the_champion_has_as_many_are_no_harm() -> None:
    alerts = np.where(np.arange(4000) % 25 == 0, REVIEW, APPROVE)
    assert verdict(look(served(4000, challenger_decision=alerts, champion_decision=alerts), days=3)).verdict == "hold"


def test_a_mute_challenger_is_rolled_back() -> None:
    alerts = np.where(np.arange(20_000) % 100 == 0, REVIEW, APPROVE)
    assert "hardly any alerts" in verdict(look(served(20_000, champion_decision=alerts), days=14)).reasons[0]


def test_scores_of_another_magnitude_withhold_the_verdict() -> None:
    judgement = verdict(look(served(30_000, champion_score=0.005, challenger_score=0.15), days=21))
    assert judgement.verdict == "inconclusive"
    assert "its scores are 30 times the champion's" in judgement.reasons[1]


# --- silence


@pytest.mark.parametrize(("hours", "expected"), [(23, "hold"), (25, "pause"), (73, "roll_back")])
def test_without_payments_it_pauses_and_then_fails_closed(hours: float, expected: str) -> None:
    judgement = verdict(look(no_payments(), days=hours / 24))
    assert judgement.verdict == expected
    assert ("no payment scored by both models" in judgement.reasons[0]) == (hours > 24)


@pytest.mark.parametrize(("days", "expected"), [(2.9, "hold"), (3.1, "pause"), (9.1, "roll_back")])
def test_without_labels_it_pauses_and_then_fails_closed(days: float, expected: str) -> None:
    fresh = served(10, event_time_s=int((AT + timedelta(days=days)).timestamp()) - 60)
    judgement = verdict(look(fresh, days=days, newest_report=None))
    assert judgement.verdict == expected
    assert ("no label since" in judgement.reasons[0]) == (days > 3)


# --- money


def losses(champion: int, challenger: int, *, fraud: bool, answered: int = APPROVE, amount: float = 100.0) -> tuple[float, float]:
    """(difference, gain) of one payment."""
    row = served(1, champion_decision=champion, challenger_decision=challenger, decision=answered, amount=amount)
    money = Money.start(PLAN, COSTS).add(row, np.array([fraud]), PLAN, COSTS)
    return money.difference.total, money.gain.total


@pytest.mark.parametrize(
    ("champion", "challenger", "fraud", "amount", "difference"),
    [
        (APPROVE, REVIEW, True, 60.0, 3.0 - 75.0),
        (REVIEW, APPROVE, True, 100.0, 115.0 - 3.0),
        (APPROVE, REVIEW, True, 5_000.0, 3.0 - 115.0),  # capped
        (APPROVE, REVIEW, False, 100.0, 3.0),
        (APPROVE, APPROVE, True, 100.0, 0.0),
        (REVIEW, REVIEW, False, 100.0, 0.0),
    ],
)
def test_money_counts_what_each_decision_would_have_cost(
    champion: int, challenger: int, fraud: bool, amount: float, difference: float
) -> None:
    assert losses(champion, challenger, fraud=fraud, amount=amount)[0] == pytest.approx(difference)


def test_a_declined_payment_speaks_against_whichever_conclusion_is_drawn() -> None:
    """The champion declined, the challenger would have approved: nobody knows whether it was fraud."""
    row = served(1, champion_decision=DECLINE, decision=DECLINE, amount=100.0)
    money = Money.start(PLAN, COSTS).add(row, np.array([False]), PLAN, COSTS)
    assert money.unknown == 1
    assert money.gain.total == pytest.approx(-115.0)  # against "not worse": it was fraud, and the challenger lets it pass
    assert money.worse < 0  # against "worse": it was genuine, and the champion lost the customer's margin


def test_a_spree_on_one_card_counts_as_one_days_evidence() -> None:
    spree = served(20, card_id="card_1", challenger_decision=REVIEW, amount=150.0)
    money = Money.start(PLAN, COSTS).add(spree, np.ones(20, dtype=bool), PLAN, COSTS)
    assert money.difference.count == 1
    assert money.difference.total == pytest.approx(60.0 - 115.0)  # 20 reviews against one capped loss


def money_case(challenger_catches: float, champion_catches: float, count: int = 40_000, frauds: int = 200) -> Judgement:
    random = np.random.default_rng(3)
    fraud = np.arange(count) % (count // frauds) == 0
    champion = np.where(fraud & (random.random(count) < champion_catches), REVIEW, APPROVE)
    challenger = np.where(fraud & (random.random(count) < challenger_catches), REVIEW, APPROVE)
    settled = served(count, champion_decision=champion, challenger_decision=challenger, amount=random.lognormal(4, 0.8, count))
    last = replace(in_canary(), step=5, serving=replace(CANARY, mode="soak", share=1.0))
    fresh = served(9_000, last.serving, event_time_s=int((AT + timedelta(days=35)).timestamp()) - 60)
    return verdict(look(fresh, settled, fraud, days=35), learned=last)


def test_a_challenger_shown_to_cost_less_is_promoted_with_its_odds() -> None:
    judgement = money_case(0.7, 0.4)
    assert judgement.verdict == "promote"
    assert judgement.money_per_thousand is not None
    assert judgement.money_per_thousand[0] < judgement.money_per_thousand[2] < 0
    assert "costs at most 5% more" in judgement.reasons[1]


def test_a_challenger_shown_to_cost_more_is_rolled_back() -> None:
    judgement = money_case(0.1, 0.5)
    assert judgement.verdict == "roll_back"
    assert "it costs more" in judgement.reasons[0]


def test_a_challenger_about_as_good_is_not_promoted_on_too_little() -> None:
    assert money_case(0.52, 0.5).verdict in ("hold", "inconclusive")


def test_a_few_lucky_frauds_are_below_the_least_evidence() -> None:
    judgement = money_case(1.0, 0.0, count=10_000, frauds=20)
    assert judgement.e_values["costs_no_more"] > 1.4
    assert judgement.verdict in ("hold", "inconclusive")
    assert "20 frauds (at least 5,000 and 25)" in "".join(judgement.reasons)


def test_a_label_counts_only_if_it_was_reported_by_the_age_of_maturity() -> None:
    rows = served(4)
    week = 7 * 86_400
    times = rows.event_time_s + np.array([week - 1, week, week + 1, 60])
    reports = Reports(rows.transaction_id, times, np.array([True, True, True, False]))
    assert settled_frauds(rows, reports, week).tolist() == [True, True, False, False]


# --- plan and edges


def test_the_default_plan_is_within_its_own_rules_and_its_file_is_where_it_says() -> None:
    assert DEFAULT_PLAN.exists()
    assert [step.mode for step in PLAN.steps] == ["shadow", "canary", "canary", "canary", "canary", "soak"]
    assert RolloutPlan.load().digest == PLAN.digest
    assert replace(PLAN, seed=8).digest != PLAN.digest


STEP = Step("canary", "canary", 0.1, 1, 1.0, True)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (STEP,),
        (PLAN.steps[0], PLAN.steps[0]),
        (PLAN.steps[0], replace(STEP, share=1.0)),
        (PLAN.steps[0], replace(STEP, mode="soak")),
        (PLAN.steps[0], replace(STEP, mode="soak", share=1.0), replace(STEP, share=0.5)),
        (replace(PLAN.steps[0], share=0.1), STEP),
        (PLAN.steps[0], replace(STEP, share=0.2), STEP),
        (PLAN.steps[0], replace(STEP, needs_money=False)),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused(steps: tuple[Step, ...]) -> None:
    with pytest.raises(BadInput, match="cannot be kept"):
        replace(PLAN, steps=steps)


def test_budgets_above_one_percent_are_refused() -> None:
    with pytest.raises(BadInput, match="1 %"):
        replace(PLAN, budgets=replace(PLAN.budgets, errors=0.01))


def test_a_plan_file_that_is_missing_or_wrong_is_named(tmp_path: Any) -> None:
    with pytest.raises(MissingFile):
        RolloutPlan.load(tmp_path / "none.toml")
    for text in ("steps = 3", "unknown = 1", "[[steps]]\nname = 'x'", "not toml"):
        (tmp_path / "plan.toml").write_text(text)
        with pytest.raises(BadInput, match=r"plan\.toml|cannot be kept"):
            RolloutPlan.load(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("errors = nan", "budgets.errors: Input should be a finite number"),  # a guardrail that could never trip
        ("errors = 0.0", "budgets.errors"),
        ("money = -0.1", "budgets.money"),
        ("erors = 0.001", "budgets.erors"),
    ],
)
def test_a_budget_that_is_no_chance_is_refused_by_name(line: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(f"{DEFAULT_PLAN.read_text()}\n[budgets]\n{line}\n")
    with pytest.raises(BadInput, match=place):
        RolloutPlan.load(tmp_path / "plan.toml")


@pytest.mark.parametrize("line", ["promotion_alpha = 50", "maturity_days = '7'", "seed = 2026-01-01", "tolerance = -1", "needs_money = 1"])
def test_a_value_of_another_kind_is_refused_before_a_rollout_begins(line: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(f"{line}\n{DEFAULT_PLAN.read_text()}")
    with pytest.raises(BadInput, match=line.split()[0]):
        RolloutPlan.load(tmp_path / "plan.toml")


def test_what_the_service_says_of_a_challenger_becomes_trouble() -> None:
    serving = {"benched": {"2": "its score was not a number"}, "refused": {"3": "signature"}}
    assert trouble_of(serving, "2") == "benched: its score was not a number"
    assert trouble_of(serving, "3") == "refused: signature"
    assert trouble_of(serving, "4") == ""
