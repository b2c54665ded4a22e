"""The whole training against a real MLflow server, on a small world: once, twice, killed, retrained, reproduced."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.bundle import MODEL, Model, check_golden, verify_bundle
from data.errors import BadBatch, NotEnoughLabels, RegistryUnavailable, UnknownRun
from data.history import History
from data.registry import Registry
from data.settings import Settings
from data.world.config import WorldConfig
from pipelines.lease import this_process
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.reproduce import reproduce
from pipelines.training.request import Recipe, TrainingOutcome, TrainingRequest, WorldSource
from pipelines.training.split import SplitPlan
from pipelines.training.track import EXPERIMENT, Tracker
from pipelines.training.train import train_model

DAYS = 42
WORLD = WorldConfig(seed=3, transactions_per_day=1_000, fraud_share=0.03)
CUT = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(DAYS)
QUICK = Recipe(
    parameters=LightGBMParameters(rounds=120, learning_rate=0.08, max_bin=127),
    candidates=1,
    bootstrap_resamples=20,
)
REQUEST = TrainingRequest(WorldSource(WORLD, DAYS), CUT, split=SplitPlan(gap_days=4), recipe=QUICK)
_model_number = iter(range(10_000))


def new_lab(mlflow_url: str, home: Path) -> Settings:
    """An empty home, and a registered model of its own on the shared server."""
    port = int(mlflow_url.rsplit(":", 1)[1])
    return Settings(home=home, mlflow_port=port, model_name=f"training-{next(_model_number)}", threads=1, http_timeout_s=30)


@pytest.fixture
def lab(mlflow_url: str, tmp_path: Path) -> Settings:
    return new_lab(mlflow_url, tmp_path / "lab")


@pytest.fixture(scope="module")
def trained(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, TrainingOutcome]:
    """A lab whose first training is done: version 1 is champion."""
    lab = new_lab(mlflow_url, tmp_path_factory.mktemp("trained") / "lab")
    return lab, train_model(REQUEST, lab)


def registry_of(lab: Settings) -> Registry:
    return Registry(lab.mlflow_url, lab.model_name, 30, lab.home / "keys")


def test_the_first_training_leaves_a_champion_that_verifies_and_a_history_to_serve_from(
    trained: tuple[Settings, TrainingOutcome], tmp_path: Path
) -> None:
    lab, outcome = trained
    assert outcome.gate.passed, outcome.gate.reasons
    assert (outcome.version, outcome.alias, outcome.created) == ("1", "champion", True)
    with registry_of(lab) as registry:
        assert registry.alias("champion") == "1"
        facts = registry.version("1")
        registry.download("1", tmp_path / "bundle")
    assert facts.run_id == outcome.model("lightgbm").run_id
    assert facts.tags["bundle_digest"] == outcome.bundle_digest
    assert verify_bundle(tmp_path / "bundle", key_folder=lab.home / "keys").digest == outcome.bundle_digest
    assert check_golden(tmp_path / "bundle", Model.load(tmp_path / "bundle")) == 20
    assert len(History.load(lab.home / "history" / "snapshot").digest()) == 64
    assert TrainingOutcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    assert str(lab.home) not in "".join(path.read_text(errors="replace") for path in (tmp_path / "bundle").iterdir() if path.is_file())


def test_the_runs_tell_the_story_from_rules_to_boosting_under_one_training(trained: tuple[Settings, TrainingOutcome]) -> None:
    from mlflow.tracking import MlflowClient

    lab, outcome = trained
    client = MlflowClient(lab.mlflow_url)
    parent = client.get_run(outcome.run_id)
    children = [client.get_run(model.run_id) for model in outcome.models]
    assert [child.data.params["model"] for child in children] == ["rules", "logistic", "lightgbm"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {outcome.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert children[-1].data.metrics["average_precision"] == outcome.model("lightgbm").metrics["average_precision"].value
    plots = {file.path for file in client.list_artifacts(outcome.run_id, "plots")}
    assert plots == {f"plots/{name}.png" for name in ("precision_recall", "calibration", "cost_curve", "importance")}


def test_the_same_inputs_make_no_second_version_and_skip_the_work(trained: tuple[Settings, TrainingOutcome]) -> None:
    lab, first = trained
    called: list[str] = []
    again = train_model(replace(REQUEST, reason="asked again"), lab, run=noting(called))
    assert (again.version, again.created, again.run_id) == (first.version, False, first.run_id)
    assert "fit" not in called
    with registry_of(lab) as registry:
        assert len(registry.versions()) == 1


def noting(called: list[str], die_after: str | None = None) -> Callable[..., Any]:
    """Runs steps and notes their names; raises KeyboardInterrupt after one of them, as a stop from outside does."""

    def run(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        called.append(name)
        answer = function(*arguments)
        if name == die_after:
            raise KeyboardInterrupt
        return answer

    return run


def test_a_training_stopped_after_any_step_goes_on_where_it_was_and_registers_once(lab: Settings) -> None:
    for step in ("ingest", "validate", "features", "fit", "assess", "publish"):
        with pytest.raises(KeyboardInterrupt):
            train_model(REQUEST, lab, run=noting([], die_after=step))
    outcome = train_model(REQUEST, lab)
    assert (outcome.version, outcome.alias) == ("1", "champion")
    with registry_of(lab) as registry:
        assert len(registry.versions()) == 1
        assert registry.alias("champion") == "1"


def test_a_candidate_that_is_not_better_than_the_champion_is_tracked_but_not_registered(trained: tuple[Settings, TrainingOutcome]) -> None:
    lab, _ = trained
    weak = replace(REQUEST, recipe=replace(QUICK, seed=11, parameters=replace(QUICK.parameters, rounds=2)))
    outcome = train_model(weak, lab)
    assert not outcome.gate.passed
    assert (outcome.version, outcome.alias) == (None, None)
    assert any("champion 1" in reason or "diverged" in reason for reason in outcome.gate.reasons)
    with registry_of(lab) as registry:
        assert len(registry.versions()) == 1
        assert registry.alias("challenger") is None


def test_a_recalibration_keeps_the_champions_trees_and_passes_where_its_threshold_saves_more(lab: Settings, tmp_path: Path) -> None:
    first = train_model(replace(REQUEST, alert_capacity_per_thousand=0.5), lab)  # a team that could look at next to nothing
    again = train_model(replace(REQUEST, recipe=replace(QUICK, trees_of="1")), lab)
    assert (again.version, again.alias, again.gate.passed) == ("2", "challenger", True)
    assert again.thresholds.review_at < first.thresholds.review_at
    assert any(reason.startswith("average precision +0.000 [+0.000, +0.000] against champion 1") for reason in again.gate.reasons)
    with registry_of(lab) as registry:
        for version in ("1", "2"):
            registry.download(version, tmp_path / version)
    models = [Model.load(tmp_path / version, version) for version in ("1", "2")]
    assert (tmp_path / "1" / MODEL).read_bytes() == (tmp_path / "2" / MODEL).read_bytes()
    assert models[0].policy.review_at > models[1].policy.review_at
    assert reproduce(again.run_id, lab).equal


def test_runs_of_a_process_that_is_gone_are_closed_and_those_of_a_living_one_are_not(mlflow_url: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow_url)
    tracker = Tracker(mlflow_url)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    dead = client.create_run(experiment, tags={"lab.process": "1@0.00"}).info.run_id
    alive = client.create_run(experiment, tags={"lab.process": this_process()}).info.run_id
    assert tracker.close_interrupted() == 1
    assert client.get_run(dead).info.status == "KILLED"
    assert client.get_run(alive).info.status == "RUNNING"
    client.set_terminated(alive)


def test_a_training_is_repeated_to_the_last_bit_from_its_run_id_alone(trained: tuple[Settings, TrainingOutcome], tmp_path: Path) -> None:
    lab, outcome = trained
    again = reproduce(outcome.model("lightgbm").run_id, lab.model_copy(update={"home": tmp_path / "another-lab"}))
    assert again.equal, again.metrics
    # A commit or an edit between the two is no fault of the reproduction.
    assert [line for line in again.differences if not line.startswith("code_revision")] == []
    assert {pair.model for pair in again.metrics} == {"rules", "logistic", "lightgbm"}


def test_an_unknown_run_cannot_be_reproduced(lab: Settings) -> None:
    with pytest.raises(UnknownRun):
        reproduce("0" * 32, lab)


def test_too_few_labels_are_refused_before_anything_is_fitted(lab: Settings) -> None:
    called: list[str] = []
    starved = replace(REQUEST, split=replace(REQUEST.split, least_frauds=100_000))
    with pytest.raises(NotEnoughLabels):
        train_model(starved, lab, run=noting(called))
    assert called[-1] == "features"


def test_a_bad_day_stops_the_training_and_the_next_one_makes_it_anew(lab: Settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_model(REQUEST, lab, run=noting([], die_after="ingest"))
    day = lab.home / "datasets" / "world" / "transactions" / "2026-01-09.parquet"
    table = pq.ParquetFile(day).read()
    foreign = pa.array(["USD"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("currency"), table.schema.field("currency"), foreign), day)
    with pytest.raises(BadBatch, match="2026-01-09"):
        train_model(REQUEST, lab)
    assert (lab.home / "quarantine" / "2026-01-09" / "report.txt").exists()
    with pytest.raises(KeyboardInterrupt):
        train_model(REQUEST, lab, run=noting([], die_after="validate"))
    assert pq.ParquetFile(day).read()["currency"].unique().to_pylist() == ["EUR"]


def test_a_dead_server_costs_seconds_and_loses_nothing(lab: Settings) -> None:
    dead = lab.model_copy(update={"mlflow_port": 9})  # the discard port: nothing listens
    with pytest.raises(RegistryUnavailable, match="lab up"):
        train_model(REQUEST, dead)
    with pytest.raises(KeyboardInterrupt):
        train_model(REQUEST, lab, run=noting([], die_after="fit"))
