"""The fit step: three models on the training rows, and their answers on every part. Kept on disk by content.

A training that was killed after this step, or is run again with the same rows, recipe and code, takes the answers from
disk: the directory's name is the digest of all that decides them.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.baselines import fit_logistic, logistic_margin, rules_margin
from pipelines.boost import Trial, fit_best, gain_shares, margins, search
from pipelines.parameters import LightGBMParameters
from pipelines.request import ModelName, Recipe
from pipelines.resample import thin_genuine
from pipelines.table import TrainingTable

Floats = NDArray[np.float64]
MODELS: Final[tuple[ModelName, ...]] = ("rules", "logistic", "lightgbm")
PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class Fitted:
    """The chosen model as text, and the margins of all models: `margins["lightgbm"]["test"]` has shape (test rows,)."""

    booster_text: str
    parameters: LightGBMParameters  # `rounds` is where early stopping ended
    trials: tuple[Trial, ...]
    importances: tuple[tuple[str, float], ...]
    margins: dict[ModelName, dict[str, Floats]]


def fit_models(parts: dict[str, TrainingTable], recipe: Recipe, *, threads: int) -> Fitted:
    """Fit rules (nothing to fit), logistic regression and LightGBM on `parts["train"]`."""
    train, validation = parts["train"], parts["validation"]
    logistic = fit_logistic(thin_genuine(train, recipe.search_genuine_rows, recipe.seed))
    trials = search(train, validation, recipe, threads=threads)
    booster = fit_best(train, validation, trials[0].parameters, recipe, threads=threads)
    chosen = {**asdict(trials[0].parameters), "rounds": booster.num_trees()}
    return Fitted(
        booster.model_to_string(),
        LightGBMParameters(**chosen),
        trials,
        gain_shares(booster),
        {
            "rules": {name: rules_margin(part.features) for name, part in parts.items()},
            "logistic": {name: logistic_margin(logistic, part.features) for name, part in parts.items()},
            "lightgbm": {name: margins(booster, part.features) for name, part in parts.items()},
        },
    )


def load_or_fit(folder: Path, parts: dict[str, TrainingTable], recipe: Recipe, threads: int) -> Fitted:
    """What `folder` holds, or else a new fit, which is then put there whole or not at all."""
    if folder.is_dir():
        return _load(folder)
    fitted = fit_models(parts, recipe, threads=threads)
    _save(folder, fitted)
    return fitted


def _save(folder: Path, fitted: Fitted) -> None:
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "model.lgb").write_text(fitted.booster_text)
    facts = {
        "parameters": asdict(fitted.parameters),
        "trials": [asdict(trial) for trial in fitted.trials],
        "importances": fitted.importances,
    }
    (partial / "facts.json").write_text(json.dumps(facts))
    for model in MODELS:
        for part in PARTS:
            np.save(partial / f"{model}.{part}.npy", fitted.margins[model][part])
    partial.rename(folder)


def _load(folder: Path) -> Fitted:
    facts = json.loads((folder / "facts.json").read_text())
    answers = {model: {part: np.load(folder / f"{model}.{part}.npy") for part in PARTS} for model in MODELS}
    return Fitted(
        (folder / "model.lgb").read_text(),
        LightGBMParameters(**facts["parameters"]),
        tuple(Trial(LightGBMParameters(**trial["parameters"]), trial["average_precision"]) for trial in facts["trials"]),
        tuple((name, share) for name, share in facts["importances"]),
        answers,
    )
