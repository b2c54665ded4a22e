"""Record a training in MLflow: parameters, metrics, plots, data, code, environment, and the sealed bundle.

The only file that imports MLflow. One parent run per training, one nested run per model family, so that MLflow's
comparison view tells the story rules -> logistic regression -> LightGBM. The bundle rests in the LightGBM run.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.bundle import Calibration, seal_bundle, write_scoring_files
from data.costs import Policy
from data.errors import RegistryUnavailable, UnknownRun
from data.features import FEATURE_SCHEMA_HASH, FEATURES
from pipelines.lease import is_running, this_process
from pipelines.training.boost import load_booster

EXPERIMENT: Final = "fraud"
BUNDLE: Final = "model"  # artifact folder of the LightGBM run
_OWNER: Final = "lab.process"  # who writes a run, so that an interrupted one can be told from a living one


@dataclass(frozen=True)
class BundleParts:
    """What the scoring service needs beside the trees, and what goes into facts.json."""

    booster_text: str
    calibration: Calibration
    policy: Policy
    golden: NDArray[np.float64]  # (n, FEATURE_COUNT)
    golden_scores: NDArray[np.float64]  # (n,) calibrated
    sequence: int
    facts: dict[str, Any]


class Tracker:
    """One MLflow server. Raises RegistryUnavailable when it does not answer."""

    def __init__(self, url: str) -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=url)
        self.url = url
        with _reachable(url):
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)

    def close_interrupted(self) -> int:
        """Mark runs whose process has died as killed; returns how many. A rerun then leaves nothing "running" behind."""
        with _reachable(self.url):
            running = self._client.search_runs([self._experiment], "attributes.status = 'RUNNING'", max_results=1000)
            dead = [run for run in running if not is_running(run.data.tags.get(_OWNER, ""))]
            for run in dead:
                self._client.set_terminated(run.info.run_id, "KILLED")
        return len(dead)

    @contextmanager
    def run(self, name: str, tags: dict[str, str], parent: str | None = None) -> Iterator["TrackedRun"]:
        """A run that ends FINISHED, or FAILED when the block raises."""
        family = {"mlflow.parentRunId": parent} if parent else {}
        with _reachable(self.url):
            run_id = self._client.create_run(self._experiment, tags={**tags, **family, _OWNER: this_process()}, run_name=name).info.run_id
            try:
                yield TrackedRun(self._client, run_id)
            except BaseException:
                self._client.set_terminated(run_id, "FAILED")
                raise
            self._client.set_terminated(run_id, "FINISHED")

    def facts(self, run_id: str) -> dict[str, Any]:
        """Tags, metrics and `training.json` of a training, by its run id or that of one of its models. Raises UnknownRun."""
        from mlflow.exceptions import MlflowException

        with _reachable(self.url):
            try:
                run = self._client.get_run(run_id)
                parent = run.data.tags.get("mlflow.parentRunId", run_id)
                with tempfile.TemporaryDirectory() as folder:
                    file = self._client.download_artifacts(parent, "training.json", folder)
                    facts: dict[str, Any] = json.loads(Path(file).read_text())
            except MlflowException as error:
                raise UnknownRun(
                    "MLflow holds no such training.", next_step="`lab registry` lists versions with their runs.", where=run_id
                ) from error
        return facts


class TrackedRun:
    """One run that is being written."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log(self, params: dict[str, Any], metrics: dict[str, float], tags: dict[str, str]) -> None:
        """Everything in one call."""
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            self.run_id,
            metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],  # time 0: event time is in the tags
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )

    def log_json(self, name: str, facts: Any) -> None:
        self._client.log_dict(self.run_id, facts, name)

    def log_folder(self, folder: Path, name: str) -> None:
        self._client.log_artifacts(self.run_id, str(folder), name)

    def artifact_uri(self, name: str) -> str:
        return f"{self._client.get_run(self.run_id).info.artifact_uri}/{name}"


def write_bundle(folder: Path, parts: BundleParts, key_folder: Path) -> str:
    """Save the model as MLflow does, add what scoring needs, seal it; returns the bundle's digest. `folder` must not exist."""
    import mlflow.lightgbm
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(Schema([ColSpec("double", name) for name in FEATURES]), Schema([ColSpec("double")]))
    # Stated requirements: MLflow would otherwise find them by loading the model in another process, for half a minute.
    pins = [f"{name}=={version(name)}" for name in ("lightgbm", "numpy")]
    metadata = {"feature_schema_hash": FEATURE_SCHEMA_HASH}
    with _quiet():
        mlflow.lightgbm.save_model(load_booster(parts.booster_text), folder, signature=signature, pip_requirements=pins, metadata=metadata)
    write_scoring_files(folder, calibration=parts.calibration, policy=parts.policy, golden=parts.golden, golden_scores=parts.golden_scores)
    return seal_bundle(folder, key_folder=key_folder, sequence=parts.sequence, facts=parts.facts).digest


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what MLflow 3.17 says on saving: that its own type hints are vague, and that pip (absent under uv) has no version."""
    log = logging.getLogger("mlflow.utils.environment")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
    log.setLevel(level)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """MLflow's many ways of saying that the server is away, as one."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise _away(url, error) from error
    except Exception as error:
        if type(error).__name__ == "MlflowException" and "failed with exception" in str(error):
            raise _away(url, error) from error
        raise


def _away(url: str, error: Exception) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"MLflow at {url} did not answer ({type(error).__name__}).",
        next_step="`lab status` shows what runs; `lab up` starts it.",
        where=url,
    )


def as_params(prefix: str, value: Any) -> dict[str, Any]:
    """A dataclass as flat MLflow parameters."""
    return {f"{prefix}.{name}": item for name, item in asdict(value).items() if not isinstance(item, dict)}
