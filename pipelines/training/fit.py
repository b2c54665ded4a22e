"""The fit step: three models on the training rows, and their answers on every part. Kept on disk by content.

A training that was killed after this step, or is run again with the same rows, recipe and code, takes the answers from
disk: the directory's name is the digest of all that decides them.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.partial import partial_of
from pipelines.metrics import average_precision
from pipelines.training.baselines import fit_logistic, logistic_margin, rules_margin
from pipelines.training.boost import Trial, fit_best, fit_trees, gain_shares, load_booster, margins, search
from pipelines.training.dask_fit import Cluster, fit_on_workers
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.request import ModelName, Recipe
from pipelines.training.resample import thin_genuine
from pipelines.training.table import TrainingTable

Floats = NDArray[np.float64]
MODELS: Final[tuple[ModelName, ...]] = ("rules", "logistic", "lightgbm")
JUDGED: Final = ("validation", "test")


@dataclass(frozen=True)
class Fitted:
    """The chosen model as text, and the margins of all models: `margins["lightgbm"]["test"]` has shape (n,)."""

    booster_text: str
    parameters: LightGBMParameters  # `rounds` is where early stopping ended
    trials: tuple[Trial, ...]
    importances: tuple[tuple[str, float], ...]
    training_ap: dict[ModelName, float]  # average precision on the rows fitted on
    margins: dict[ModelName, dict[str, Floats]]


def fit_models(parts: dict[str, TrainingTable], recipe: Recipe, *, threads: int, dask_address: str = "", trees: str = "") -> Fitted:
    """Fit rules (nothing to fit), logistic regression and LightGBM on `parts["train"]`.

    Where the recipe names workers they fit the last, the largest fit; `dask_address` is theirs, empty for some of this machine.
    `trees`: LightGBM's text of a model that is kept as it is, where the recipe says so.
    """
    train, validation = parts["train"], parts["validation"]
    logistic = fit_logistic(thin_genuine(train, recipe.search_genuine_rows, recipe.seed))
    trials: tuple[Trial, ...]
    if recipe.trees_of:
        booster = load_booster(trees)
        trials = (Trial(recipe.parameters, average_precision(validation.is_fraud, margins(booster, validation.features))),)
    else:
        trials = search(train, validation, recipe, threads=threads)
        fit = partial(fit_trees, threads=threads)
        if recipe.workers:
            fit = partial(fit_on_workers, cluster=Cluster(recipe.workers, threads, dask_address))
        booster = fit_best(train, validation, trials[0].parameters, recipe, fit)
    answer: dict[ModelName, Callable[[Floats], Floats]] = {
        "rules": rules_margin,
        "logistic": partial(logistic_margin, logistic),
        "lightgbm": partial(margins, booster),
    }
    seen = thin_genuine(train, recipe.genuine_rows, recipe.seed)
    return Fitted(
        booster.model_to_string(),
        replace(trials[0].parameters, rounds=booster.num_trees()),
        trials,
        gain_shares(booster),
        {name: average_precision(seen.is_fraud, answer[name](seen.features), weights=seen.weights) for name in MODELS},
        {name: {part: answer[name](parts[part].features) for part in JUDGED} for name in MODELS},
    )


def load_or_fit(
    folder: Path, parts: dict[str, TrainingTable], recipe: Recipe, threads: int, dask_address: str = "", trees: str = ""
) -> Fitted:
    """What `folder` holds, or else a new fit, which is then put there whole or not at all."""
    if folder.is_dir():
        return _load(folder)
    fitted = fit_models(parts, recipe, threads=threads, dask_address=dask_address, trees=trees)
    _save(folder, fitted)
    return fitted


def _save(folder: Path, fitted: Fitted) -> None:
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "model.lgb").write_text(fitted.booster_text)
    facts = {
        "parameters": asdict(fitted.parameters),
        "trials": [asdict(trial) for trial in fitted.trials],
        "importances": fitted.importances,
        "training_ap": fitted.training_ap,
    }
    (partial / "facts.json").write_text(json.dumps(facts))
    for model in MODELS:
        for part in JUDGED:
            np.save(partial / f"{model}.{part}.npy", fitted.margins[model][part])
    partial.rename(folder)


def _load(folder: Path) -> Fitted:
    facts = json.loads((folder / "facts.json").read_text())
    answers = {model: {part: np.load(folder / f"{model}.{part}.npy") for part in JUDGED} for model in MODELS}
    return Fitted(
        (folder / "model.lgb").read_text(),
        LightGBMParameters(**facts["parameters"]),
        tuple(Trial(LightGBMParameters(**trial["parameters"]), trial["average_precision"]) for trial in facts["trials"]),
        tuple((name, share) for name, share in facts["importances"]),
        facts["training_ap"],
        answers,
    )
