"""One training, from rows to registered version: the steps in order, as plain functions. No Prefect here.

    ingest -> validate -> features -> split -> fit -> assess -> publish

The same entry serves the first champion and every retraining. Run twice with the same inputs it makes one version;
killed anywhere and run again, it takes finished steps from disk and goes on (`home`/cache, named by content).
`pipelines/flows.py` runs the same steps as Prefect tasks by passing its own `run`.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data.bundle import MODEL, Model, verify_bundle
from data.dataset import Dataset
from data.errors import NotEnoughLabels
from data.log_database import LogPlace
from data.partial import partial_of
from data.registry import CHAMPION, Registry
from data.schema import event_seconds
from data.settings import Settings
from pipelines.training.assess import Assessment, assess
from pipelines.training.dask_fit import Cluster, check_cluster
from pipelines.training.fit import Fitted, load_or_fit
from pipelines.training.ingest import ingest
from pipelines.training.learnable import check_labels_arrive, check_labels_cover, check_rows
from pipelines.training.provenance import provenance, recipe_digest
from pipelines.training.publish import Training, publish
from pipelines.training.register import INPUTS_TAG, settle_alias, version_of
from pipelines.training.request import Excluded, FileSource, TrainingOutcome, TrainingRequest, WorldSource
from pipelines.training.split import Split, check_labels, split_at
from pipelines.training.table import ServedRows, TrainingTable, dataset_table, served_rows, stack
from pipelines.training.track import Tracker
from pipelines.training.validate import validate_days

COMPARED: Final = timedelta(days=28)  # of the dataset, that the log's rows are held against
Run = Callable[..., Any]  # (step name, function, *arguments) -> the function's answer


@dataclass(frozen=True)
class Prepared:
    """The rows of a training, cut in parts, and their identity."""

    split: Split
    parts: dict[str, TrainingTable]
    data_digest: str
    excluded: tuple[Excluded, ...]  # of the prediction log


def train_model(
    request: TrainingRequest, settings: Settings, *, registry: Registry | None = None, run: Run | None = None
) -> TrainingOutcome:
    """Train, judge and register. Raises BadBatch, NotEnoughLabels, OneClass, EmptyWindow, RegistryUnavailable, what ingest raises.

    A retraining also raises PoisonedRows and LabelsMissing, when the log or its labels cannot be trusted, and a fit on workers
    ClusterFailed.

    `run` calls each step; by default it just calls. A refusal by the gate is an outcome, not an error.
    """
    if registry is None:
        with Registry.of(settings) as own:
            return train_model(request, settings, registry=own, run=run)
    steps = _Steps(run or _call)
    threads = settings.threads or os.cpu_count() or 1
    if request.recipe.workers:
        check_cluster(Cluster(request.recipe.workers, threads, settings.dask_address))
    dataset = steps("ingest", ingest_source, request, settings)
    steps("validate", validate_days, dataset, date.min, _dataset_end(request).date(), settings.home / "quarantine")
    prepared: Prepared = steps("features", prepare, request, dataset, settings.home, settings.log_place)
    inputs = inputs_digest(request, prepared.data_digest, threads)
    cache = settings.home / "cache" / "training" / inputs
    known = known_outcome(cache, registry, inputs)
    if known is not None:
        return known
    trees = kept_trees(request, registry, settings.home / "keys")
    fitted: Fitted = steps("fit", load_or_fit, cache / "fitted", prepared.parts, request.recipe, threads, settings.dask_address, trees)
    assessment: Assessment = steps("assess", assess_against_champion, fitted, prepared, request, registry, settings.home / "keys", inputs)
    training = Training(
        request, prepared.split, prepared.parts, prepared.data_digest, inputs, provenance(threads), fitted, assessment, prepared.excluded
    )
    outcome: TrainingOutcome = steps("publish", publish_to, training, settings.mlflow_url, registry, settings.home / "keys")
    outcome = replace(outcome, durations_s=steps.durations_s)
    if outcome.version is not None:
        file = cache / "outcome.json"
        partial_of(file).write_text(json.dumps(outcome.to_json()))
        partial_of(file).replace(file)
    return outcome


def ingest_source(request: TrainingRequest, settings: Settings) -> Dataset:
    """The dataset of the request's source, in its own folder."""
    return ingest(request.source, dataset_folder(request.source, settings.home), label_delay_days=settings.label_delay_days)


def dataset_folder(source: WorldSource | FileSource, home: Path) -> Path:
    """Where a source's days rest: one folder per kind, for whoever replays them."""
    return home / "datasets" / ("world" if isinstance(source, WorldSource) else source.path.stem)


def prepare(request: TrainingRequest, dataset: Dataset, home: Path, log: LogPlace) -> Prepared:
    """Features, labels known at the cut, and the parts. A first training also leaves the history for the service.

    `home`: where that history goes; `log`: where what was served is read.

    Raises what `check_labels` and, for a retraining, `check_served` raise.
    """
    split = split_at(request.cut, request.split)
    table, history = dataset_table(dataset, keep_from=split.train.start, until=_dataset_end(request), cut=request.cut)
    excluded: tuple[Excluded, ...] = ()
    if request.log:
        served = served_rows(log, request.log, request.cut)
        check_served(served, dataset, request)
        table, excluded = stack(table, served.table), served.excluded
    else:
        history.save(home / "history" / "snapshot")
    try:
        check_labels(split, request.split, table.event_s, table.is_fraud)
    except NotEnoughLabels as short:
        left_out = "".join(f" {part}." for part in excluded if part.rows)
        raise type(short)(short.message + left_out, next_step=short.next_step, where=short.where) from short
    parts = {"train": table.part(split.train), "validation": table.part(split.validation), "test": table.part(split.test)}
    digest = hashlib.sha256("".join(part.digest for part in parts.values()).encode()).hexdigest()
    return Prepared(split, parts, digest, excluded)


def check_served(served: ServedRows, dataset: Dataset, request: TrainingRequest) -> None:
    """Raise PoisonedRows or LabelsMissing unless the log's rows and labels are like those of the dataset before them."""
    end = _dataset_end(request)
    first = max(dataset.days()[0], (end - COMPARED).date())
    before, labels = dataset.read("transactions", first, end.date()), dataset.labels_known_by(request.cut, first, end.date())
    check_rows(served.frame, before)
    frauds = [known[known["is_fraud"]] for known in (labels, served.labels)]
    check_labels_arrive(pd.concat([f["report_time"] for f in frauds]).drop_duplicates(), request.cut)
    old = served.table.event_s < event_seconds(request.cut - timedelta(days=request.split.settle_days))
    usual = before["transaction_id"].isin(frauds[0]["transaction_id"]).mean()
    check_labels_cover(served.frame[old], served.table.is_fraud[old], float(usual))


def inputs_digest(request: TrainingRequest, data_digest: str, threads: int) -> str:
    """Identity of a training: its rows, its recipe and its code. Where the rows lie and why it was asked do not count."""
    facts = request.to_json()
    decisive = {name: facts[name] for name in ("split", "recipe", "costs", "alert_capacity_per_thousand", "random_approve_share")}
    text = json.dumps([decisive, data_digest, recipe_digest(), threads], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def known_outcome(cache: Path, registry: Registry, inputs: str) -> TrainingOutcome | None:
    """What these inputs led to before, if they have a registered version; its alias is set if a kill prevented that."""
    version = version_of(registry, inputs)
    if version is None or not (cache / "outcome.json").exists():
        return None
    outcome = TrainingOutcome.from_json(json.loads((cache / "outcome.json").read_text()))
    return replace(outcome, version=version.version, alias=settle_alias(registry, version.version), created=False)


def kept_trees(request: TrainingRequest, registry: Registry, key_folder: Path) -> str:
    """LightGBM's text of the version whose trees the recipe keeps; empty where it wants new ones. Raises what `download` raises."""
    version = request.recipe.trees_of
    if not version:
        return ""
    with verified(registry, version, key_folder) as folder:
        return (folder / MODEL).read_text()


def assess_against_champion(
    fitted: Fitted, prepared: Prepared, request: TrainingRequest, registry: Registry, key_folder: Path, inputs: str
) -> Assessment:
    """Assess, with the registered champion as opponent when there is one that these inputs did not make themselves."""
    version = registry.alias(CHAMPION)
    if version is None or registry.version(version).tags.get(INPUTS_TAG) == inputs:
        return assess(fitted, prepared.parts, request, None)
    with verified(registry, version, key_folder) as folder:
        return assess(fitted, prepared.parts, request, Model.load(folder, version))


@contextmanager
def verified(registry: Registry, version: str, key_folder: Path) -> Iterator[Path]:
    """A folder with the version's bundle, its seal checked, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        registry.download(version, Path(folder))
        verify_bundle(Path(folder), key_folder=key_folder)
        yield Path(folder)


def publish_to(training: Training, mlflow_url: str, registry: Registry, key_folder: Path) -> TrainingOutcome:
    """Publish through MLflow at `mlflow_url`."""
    return publish(training, Tracker(mlflow_url), registry, key_folder)


def _dataset_end(request: TrainingRequest) -> datetime:
    """Until when rows come from the dataset; from then on they come from the log."""
    return request.log.start if request.log else request.cut


class _Steps:
    """Calls steps and notes how long each took (wall time, for people; nothing is decided by it)."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.durations_s: dict[str, float] = {}

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        answer = self._run(name, function, *arguments)
        self.durations_s[name] = round(time.perf_counter() - began, 3)
        return answer


def _call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ARG001  # the name is for other runners
    return function(*arguments)
