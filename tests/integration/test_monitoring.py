"""The whole watch on the synthetic world: a model really trained, drifts really injected, verdicts that must be right."""

import json
from dataclasses import replace

import pytest

from data.scenarios import scenario
from labs.exercises.deployment import END, LIVE, ONSET, Deployment
from labs.exercises.exercise import look
from labs.exercises.serve import Served, serve


def under(deployment: Deployment, name: str, last: int = END) -> Served:
    """What is served from LIVE on, with that drift from ONSET on."""
    return serve(deployment, scenario(name).inject(deployment.source.midnight(ONSET).date(), seed=7), last=last)


def test_on_quiet_weeks_of_the_world_nothing_is_wrong(deployment: Deployment) -> None:
    served = under(deployment, "none")
    results = [look(deployment, served, day) for day in range(LIVE + 7, END + 1, 7)]
    assert [r.verdict.decision for r in results] == ["ignore"] * len(results)
    # The budget is 1 % per window: two false alarms in five windows would have a chance of 0.1 %.
    assert sum(r.verdict.alarm for r in results) <= 1


def test_a_new_tactic_is_dated_at_once_and_retrained_when_labels_tell(deployment: Deployment) -> None:
    served = under(deployment, "new_tactic")
    first, later = look(deployment, served, ONSET + 7), look(deployment, served, ONSET + 21)
    assert first.verdict.decision in ("hold", "ignore")  # nobody can know yet
    assert first.damage is None
    assert first.onset is not None
    assert first.onset.day == deployment.source.midnight(ONSET).date()
    assert later.verdict.decision == "retrain"
    assert later.damage is not None
    assert later.damage.recall_at_capacity.low > 0


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [("null_burst", "null_rate", "latitude"), ("unit_change", "unit", "amount"), ("time_zone", "clock", "event_time")],
)
def test_a_fault_of_an_upstream_system_is_named_and_dated(deployment: Deployment, name: str, kind: str, column: str) -> None:
    result = look(deployment, under(deployment, name, last=ONSET + 7), ONSET + 7)
    assert (kind, column) in [(f.kind, f.column) for f in result.findings]
    assert result.verdict.decision == "fix_pipeline"
    assert result.onset is not None
    assert abs((result.onset.day - deployment.source.midnight(ONSET).date()).days) <= 1


def test_a_price_rise_is_traced_to_the_amount_before_the_features_made_of_it(deployment: Deployment) -> None:
    result = look(deployment, under(deployment, "price_rise", last=ONSET + 7), ONSET + 7)
    assert result.verdict.changed[0].startswith("amount moved higher")
    assert next(iter(result.onsets)) == "amount"
    assert result.onsets["amount"].day == deployment.source.midnight(ONSET).date()
    assert not [f for f in result.findings if f.is_fault]


def test_a_new_category_is_noticed_and_nothing_is_done(deployment: Deployment) -> None:
    result = look(deployment, under(deployment, "new_category", last=ONSET + 7), ONSET + 7)
    assert "unseen_level" in [f.kind for f in result.findings]
    assert result.verdict.decision == "ignore"


def test_two_payments_are_no_reason_to_mend_or_train_anything(deployment: Deployment) -> None:
    served = under(deployment, "none", last=ONSET + 1)
    verdict = look(
        deployment, replace(served, log=served.log.head(2), features=served.features[:2], recomputed=served.recomputed[:2]), LIVE + 1
    ).verdict
    assert verdict.decision == "hold"
    assert "2 payments are too few" in verdict.headline


def test_a_result_is_plain_json(deployment: Deployment) -> None:
    facts = look(deployment, under(deployment, "none", last=ONSET + 1), ONSET).to_json()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
