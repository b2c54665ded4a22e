"""Repeat a training from its run id alone, and compare. Called by `lab reproduce` and the labs.

The run holds the request, so the rows are made or read again, the models fitted again, and every metric compared
with `==`. When something differs, the reproduction says which ingredient: data, code, lock, libraries, machine.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.registry import Registry
from data.settings import Settings
from pipelines.training.assess import assess
from pipelines.training.fit import fit_models
from pipelines.training.ingest import ingest
from pipelines.training.provenance import provenance
from pipelines.training.publish import Training, training_facts
from pipelines.training.request import TrainingRequest
from pipelines.training.track import Tracker
from pipelines.training.train import inputs_digest, kept_trees, prepare


@dataclass(frozen=True)
class MetricPair:
    """One number then and now."""

    model: str
    name: str
    then: float
    now: float


@dataclass(frozen=True)
class Reproduction:
    """`equal` when every metric came out the same to the last bit."""

    run_id: str
    equal: bool
    metrics: tuple[MetricPair, ...]
    differences: tuple[str, ...]  # ingredients that are not what they were, in words


def reproduce(run_id: str, settings: Settings) -> Reproduction:
    """Train again as the run did, registering nothing. Raises UnknownRun, RegistryUnavailable and what ingest raises."""
    then = Tracker(settings.mlflow_url).facts(run_id)
    request = TrainingRequest.from_json(then["request"])
    now = _train_again(request, int(then["provenance"]["threads"]), settings)
    pairs = tuple(
        MetricPair(model, name, value, now["metrics"][model][name])
        for model, metrics in then["metrics"].items()
        for name, value in metrics.items()
    )
    equal, found = all(pair.then == pair.now for pair in pairs), differences(then, now)
    if not equal and request.recipe.workers:
        found += (f"workers: {request.recipe.workers} of them fitted the model, and sum in an order of their own each time",)
    return Reproduction(run_id, equal, pairs, found)


def differences(then: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """Which ingredients changed between two trainings' facts."""
    changed = [] if then["data_digest"] == now["data_digest"] else ["data: the rows are not those of the run"]
    for name, before in then["provenance"].items():
        after = now["provenance"][name]
        if before != after:
            changed.append(f"{name}: was {before}, is {after}")
    return tuple(changed)


def _train_again(request: TrainingRequest, threads: int, settings: Settings) -> dict[str, Any]:
    """The facts of a fresh training in a home of its own: no cache is read, nothing of the lab is touched."""
    scratch = settings.home / "cache"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="reproduce-") as folder:
        dataset = ingest(request.source, Path(folder) / "dataset", label_delay_days=settings.label_delay_days)
        prepared = prepare(request, dataset, Path(folder), settings.log_place)
    with Registry.of(settings) as registry:
        trees = kept_trees(request, registry, settings.home / "keys")
    fitted = fit_models(prepared.parts, request.recipe, threads=threads, dask_address=settings.dask_address, trees=trees)
    training = Training(
        request,
        prepared.split,
        prepared.parts,
        prepared.data_digest,
        inputs_digest(request, prepared.data_digest, threads),
        provenance(threads),
        fitted,
        assess(fitted, prepared.parts, request, None),
    )
    return training_facts(training)
