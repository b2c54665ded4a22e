"""The whole watch on the synthetic world: a model really trained, drifts really injected, verdicts that must be right."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.costs import DecisionCosts, Policy, decline_threshold
from data.dataset import to_frame
from data.history import History, build_features
from data.scenarios import scenario
from data.world import World, WorldConfig
from pipelines.monitor import WindowResult, watch
from pipelines.reference import Reference, WatchPlan, freeze_reference, reference_frame

CONFIG = WorldConfig(transactions_per_day=1_500, fraud_share=0.02)  # many frauds, so that few rows tell
PLAN = WatchPlan()
TRAINED, SERVED, DRIFT = 30, 51, 58  # days: the model is trained before, the reference is the 14 days before serving
END = 86


def midnight(day: int) -> datetime:
    return datetime.combine(CONFIG.start + timedelta(days=day), time(), UTC)


def days(config: WorldConfig, first: int, last: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Transactions and labels of the world's days [first, last)."""
    world = World(config)
    tables = [world.day(config.start + timedelta(days=k)) for k in range(first, last)]
    transactions = pa.concat_tables([t["transactions"] for t in tables])
    return to_frame(transactions, "transactions"), to_frame(pa.concat_tables([t["labels"] for t in tables]), "labels")


@dataclass
class Lab:
    """A champion that has just been put to work."""

    model: object
    policy: Policy
    reference: Reference
    history: Path
    labels: pd.DataFrame

    def score(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict(features))  # type: ignore[attr-defined]

    def serve(self, name: str, *, last: int = END) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The prediction log and the labels from SERVED on, with that drift injected at DRIFT."""
        injection = scenario(name).inject(date.fromordinal(CONFIG.start.toordinal() + DRIFT), seed=7)
        transactions, labels = days(replace(CONFIG, changes=injection.changes), SERVED, last)
        transactions, _ = injection.apply(transactions)
        pending = self.labels[self.labels["report_time"] > pd.Timestamp(midnight(SERVED))]
        features, _ = build_features(transactions, pd.concat([pending, labels], ignore_index=True), History.load(self.history))
        log = reference_frame(transactions, features, self.score(features), self.policy, "1")
        return log, labels[~labels["transaction_id"].isin(log["transaction_id"][log["decision"] == "decline"])]

    def watch(self, served: tuple[pd.DataFrame, pd.DataFrame], day: int) -> WindowResult:
        return watch(served[0], self.reference, served[1], now=midnight(day), plan=PLAN)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    import lightgbm

    transactions, labels = days(CONFIG, 0, SERVED)
    features, history = build_features(transactions, labels)
    path = tmp_path_factory.mktemp("history") / "snapshot"
    history.save(path)
    known = labels[labels["is_fraud"] & (labels["report_time"] < pd.Timestamp(midnight(TRAINED + 7)))]
    y = transactions["transaction_id"].isin(known["transaction_id"]).to_numpy()
    early = (transactions["event_time"] < pd.Timestamp(midnight(TRAINED))).to_numpy()
    parameters = {"objective": "binary", "learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 50, "num_threads": 1, "verbose": -1}
    model = lightgbm.train(parameters, lightgbm.Dataset(features[early], y[early]), 60)
    scores = np.asarray(model.predict(features))
    policy = Policy(float(np.quantile(scores[~early], 0.99)), decline_threshold(DecisionCosts()))
    late = (transactions["event_time"] >= pd.Timestamp(midnight(SERVED - 14))).to_numpy()
    frame = reference_frame(transactions[late].reset_index(drop=True), features[late], scores[late], policy, "1")
    yield Lab(model, policy, freeze_reference(frame, labels, PLAN), path, labels)


def test_on_quiet_weeks_of_the_world_nothing_is_wrong(lab: Lab) -> None:
    served = lab.serve("none")
    results = [lab.watch(served, day) for day in range(SERVED + 7, END + 1, 7)]
    assert [r.verdict.decision for r in results] == ["ignore"] * len(results)
    # The budget is 1 % per window: two false alarms in five windows would have a chance of 0.1 %.
    assert sum(r.verdict.alarm for r in results) <= 1


def test_a_new_tactic_is_held_until_labels_tell_and_then_retrained(lab: Lab) -> None:
    served = lab.serve("new_tactic")
    first, later = lab.watch(served, DRIFT + 7), lab.watch(served, DRIFT + 21)
    assert first.verdict.decision == "hold"
    assert first.onset is not None
    assert first.onset.day == midnight(DRIFT).date()
    assert first.verdict.next_step.startswith("Wait for labels until")
    assert later.verdict.decision == "retrain"
    assert later.damage is not None
    assert later.damage.recall_at_capacity.low > 0.1


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [("null_burst", "null_rate", "latitude"), ("unit_change", "unit", "amount"), ("time_zone", "clock", "event_time")],
)
def test_a_fault_of_an_upstream_system_is_named_and_dated(lab: Lab, name: str, kind: str, column: str) -> None:
    result = lab.watch(lab.serve(name, last=DRIFT + 7), DRIFT + 7)
    assert (kind, column) in [(f.kind, f.column) for f in result.findings]
    assert result.verdict.decision == "fix_pipeline"
    assert result.onset is not None
    assert abs((result.onset.day - midnight(DRIFT).date()).days) <= 1


def test_a_price_rise_is_traced_to_the_amount_before_the_features_made_of_it(lab: Lab) -> None:
    result = lab.watch(lab.serve("price_rise", last=DRIFT + 7), DRIFT + 7)
    assert result.verdict.changed[0].startswith("amount moved higher")
    assert next(iter(result.onsets)) == "amount"
    assert result.onsets["amount"].day == midnight(DRIFT).date()
    assert not [f for f in result.findings if f.is_fault]


def test_a_new_category_is_noticed_and_nothing_is_done(lab: Lab) -> None:
    result = lab.watch(lab.serve("new_category", last=DRIFT + 7), DRIFT + 7)
    assert "unseen_level" in [f.kind for f in result.findings]
    assert result.verdict.decision == "ignore"


def test_a_result_is_plain_json(lab: Lab) -> None:
    import json

    facts = lab.watch(lab.serve("none", last=DRIFT), DRIFT).to_json()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
