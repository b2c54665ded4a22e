"""The whole watch on the synthetic world: a model really trained, drifts really injected, verdicts that must be right."""

import json

import pytest

from data.world import WorldConfig
from tests.drift_lab import DRIFT, END, SERVED, DriftLab, build_lab, world_source


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> DriftLab:
    config = WorldConfig(transactions_per_day=1_500, fraud_share=0.02)  # many frauds, so that few rows tell
    return build_lab(world_source(config), tmp_path_factory.mktemp("lab"))


def test_on_quiet_weeks_of_the_world_nothing_is_wrong(lab: DriftLab) -> None:
    served = lab.serve("none")
    results = [lab.watch(served, day) for day in range(SERVED + 7, END + 1, 7)]
    assert [r.verdict.decision for r in results] == ["ignore"] * len(results)
    # The budget is 1 % per window: two false alarms in five windows would have a chance of 0.1 %.
    assert sum(r.verdict.alarm for r in results) <= 1


def test_a_new_tactic_is_dated_at_once_and_retrained_when_labels_tell(lab: DriftLab) -> None:
    served = lab.serve("new_tactic")
    first, later = lab.watch(served, DRIFT + 7), lab.watch(served, DRIFT + 21)
    assert first.verdict.decision in ("hold", "ignore")  # nobody can know yet
    assert first.damage is None
    assert first.onset is not None
    assert first.onset.day == lab.source.midnight(DRIFT).date()
    assert later.verdict.decision == "retrain"
    assert later.damage is not None
    assert later.damage.recall_at_capacity.low > 0


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [("null_burst", "null_rate", "latitude"), ("unit_change", "unit", "amount"), ("time_zone", "clock", "event_time")],
)
def test_a_fault_of_an_upstream_system_is_named_and_dated(lab: DriftLab, name: str, kind: str, column: str) -> None:
    result = lab.watch(lab.serve(name, last=DRIFT + 7), DRIFT + 7)
    assert (kind, column) in [(f.kind, f.column) for f in result.findings]
    assert result.verdict.decision == "fix_pipeline"
    assert result.onset is not None
    assert abs((result.onset.day - lab.source.midnight(DRIFT).date()).days) <= 1


def test_a_price_rise_is_traced_to_the_amount_before_the_features_made_of_it(lab: DriftLab) -> None:
    result = lab.watch(lab.serve("price_rise", last=DRIFT + 7), DRIFT + 7)
    assert result.verdict.changed[0].startswith("amount moved higher")
    assert next(iter(result.onsets)) == "amount"
    assert result.onsets["amount"].day == lab.source.midnight(DRIFT).date()
    assert not [f for f in result.findings if f.is_fault]


def test_a_new_category_is_noticed_and_nothing_is_done(lab: DriftLab) -> None:
    result = lab.watch(lab.serve("new_category", last=DRIFT + 7), DRIFT + 7)
    assert "unseen_level" in [f.kind for f in result.findings]
    assert result.verdict.decision == "ignore"


def test_two_payments_are_no_reason_to_mend_or_train_anything(lab: DriftLab) -> None:
    payments, labels = lab.serve("none", last=SERVED + 1)
    verdict = lab.watch((payments.head(2), labels), SERVED + 1).verdict
    assert verdict.decision == "hold"
    assert "2 payments are too few" in verdict.headline


def test_a_result_is_plain_json(lab: DriftLab) -> None:
    facts = lab.watch(lab.serve("none", last=DRIFT), DRIFT).to_json()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
