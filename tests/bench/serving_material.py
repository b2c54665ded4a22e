"""What the serving bench needs before it starts anything: two models of the world, sealed; homes that serve them; requests.

1/, 2/              sealed bundles, two seeds of the same settings; keys/ beside them
classifier.joblib   the first as a pickled LGBMClassifier; mlflow/ the same as MLflow saves it
snapshot            the history of the days before the first request
payments.txt        a payment a line, for score.lua; features.txt and invocations.txt the same rows as features
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.dataset import to_frame
from data.features import CATEGORICAL_FEATURES, FEATURES
from data.history import build_features
from data.serving_plan import ServingPlan
from data.world import World, WorldConfig
from services.scoring.model_store import ModelStore
from tests.bundles import POLICY, write_bundle

TREES, LEAVES = 300, 31
HISTORY_DAYS, LOAD_DAYS = 45, 14  # whole weeks of load, so that its second round falls on the same weekdays
TRAINING_DAYS = 15  # the last of the history
SPAN_S = LOAD_DAYS * 86_400


@dataclass(frozen=True)
class Material:
    """The folder of all files, and the rows behind them."""

    folder: Path
    boosters: tuple[lightgbm.Booster, lightgbm.Booster]
    payments: tuple[dict[str, Any], ...]  # of the load days, as JSON values, in order
    features: NDArray[np.float64]  # of the same, (n, FEATURE_COUNT)
    leaves: float  # mean per tree of the first model

    def home(self, folder: Path, models: int, *, empty_history: bool = False) -> Path:
        """A new LAB_HOME that serves the champion, and with two models a challenger in its shadow."""
        (folder / "history").mkdir(parents=True)
        shutil.copytree(self.folder / "keys", folder / "keys")
        if not empty_history:
            shutil.copyfile(self.folder / "snapshot", folder / "history" / "snapshot")
        store = ModelStore(folder / "models", key_folder=folder / "keys", trial=lambda _: None)  # the trial is not what is measured
        for version in ("1", "2")[:models]:
            shutil.copytree(self.folder / version, folder / "models" / version)
        plan = ServingPlan(1, "1", "2", "shadow", rollout_id="bench") if models > 1 else ServingPlan(1, "1")
        store.remember(plan, datetime(2026, 1, 5, tzinfo=UTC))
        return folder


def make_material(folder: Path) -> Material:
    """Draw the world, train, seal, and write the requests. About half a minute of CPU."""
    config = WorldConfig()
    world = World(config)
    drawn = [world.day(config.start + timedelta(days=n)) for n in range(HISTORY_DAYS + LOAD_DAYS)]
    frame = to_frame(pa.concat_tables([day["transactions"] for day in drawn]).unify_dictionaries(), "transactions")
    labels = to_frame(pa.concat_tables([day["labels"] for day in drawn]).unify_dictionaries(), "labels")
    labels = labels[labels["is_fraud"]]
    before = (frame["event_time"] < midnight(config, HISTORY_DAYS)).to_numpy()
    known, history = build_features(frame[before], labels)
    history.save(folder / "snapshot")
    features, _ = build_features(frame[~before], labels, history)
    recent = (frame["event_time"][before] >= midnight(config, HISTORY_DAYS - TRAINING_DAYS)).to_numpy()
    fraud = frame["transaction_id"][before].isin(set(labels["transaction_id"])).to_numpy()
    classifiers = [_train(known[recent], fraud[recent], seed) for seed in (1, 2)]
    for number, classifier in enumerate(classifiers, start=1):
        write_bundle(
            folder / str(number),
            folder / "keys",
            classifier.booster_,
            features[:20],
            sequence=number,
            policy=POLICY,
            run_id=f"bench-{number}",
        )
    _save_for_others(folder, classifiers[0], features)
    payments = tuple(_as_json(frame[~before]))
    _write_requests(folder, payments, features)
    leaves = float(np.mean([tree["num_leaves"] for tree in classifiers[0].booster_.dump_model()["tree_info"]]))
    return Material(folder, (classifiers[0].booster_, classifiers[1].booster_), payments, features, leaves)


def midnight(config: WorldConfig, day: int) -> pd.Timestamp:
    return pd.Timestamp(config.start + timedelta(days=day), tz="UTC")


def _train(features: NDArray[np.float64], fraud: NDArray[np.bool_], seed: int) -> lightgbm.LGBMClassifier:
    """TREES full trees: few rows per leaf are allowed, as frauds are rare and a smaller tree would be faster."""
    classifier = lightgbm.LGBMClassifier(
        n_estimators=TREES, num_leaves=LEAVES, learning_rate=0.03, min_child_samples=5, subsample=0.8, subsample_freq=1,
        colsample_bytree=0.8, random_state=seed, n_jobs=1, verbose=-1,
    )  # fmt: skip
    return classifier.fit(pd.DataFrame(features, columns=list(FEATURES)), fraud, categorical_feature=list(CATEGORICAL_FEATURES))


def _save_for_others(folder: Path, classifier: lightgbm.LGBMClassifier, features: NDArray[np.float64]) -> None:
    import joblib  # type: ignore[import-untyped]
    import mlflow.lightgbm
    from mlflow.types.schema import ColSpec, Schema

    classifier.n_jobs = None  # the library's default, which the server's one core limits anyway
    joblib.dump(classifier, folder / "classifier.joblib")
    signature = mlflow.models.ModelSignature(Schema([ColSpec("double", name) for name in FEATURES]), Schema([ColSpec("double")]))
    mlflow.lightgbm.save_model(classifier.booster_, folder / "mlflow", signature=signature, pip_requirements=["lightgbm"])


def _as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Payments as the API takes them, absent values left out."""
    rows = frame.assign(event_time=frame["event_time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dict("records")
    return [{str(name): value for name, value in row.items() if isinstance(value, str) or value == value} for row in rows]


def _write_requests(folder: Path, payments: tuple[dict[str, Any], ...], features: NDArray[np.float64]) -> None:
    with (folder / "payments.txt").open("w") as lines:
        for payment in payments:
            seconds = int(datetime.fromisoformat(payment["event_time"]).timestamp())
            rest = {name: value for name, value in payment.items() if name not in ("transaction_id", "event_time")}
            lines.write(f"{seconds}\t{json.dumps(rest, separators=(',', ':'))[1:]}\n")
    rows = [[None if value != value else value for value in row] for row in features[:10_000].tolist()]
    with (folder / "features.txt").open("w") as lines:
        lines.writelines(json.dumps(dict(zip(FEATURES, row, strict=True)), separators=(",", ":")) + "\n" for row in rows)
    with (folder / "invocations.txt").open("w") as lines:
        for row in rows:
            lines.write(json.dumps({"dataframe_split": {"columns": FEATURES, "data": [row]}}, separators=(",", ":")) + "\n")
