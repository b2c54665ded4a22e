"""The steps as Prefect flows: the same functions in the same order, seen and timed on Prefect's page.

The only file that imports Prefect. Each flow is thin: `pipelines/training/train.py` runs without it. The address of the Prefect
server is in the environment (`data.environment.use_servers`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import httpx
import pandas as pd
from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.context import TagsContext
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from prefect.states import Cancelled, Crashed, Pending

from data.bundle import Model
from data.errors import ServiceDown
from data.settings import Settings
from pipelines.batch.scoring import BatchRequest, BatchSummary, score_table
from pipelines.lease import is_running, this_process
from pipelines.monitoring.evidence import Deployment
from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.parity import ParityResult
from pipelines.monitoring.reference import Reference, WatchPlan
from pipelines.training.imbalance import ResamplingEffect, compare_resampling
from pipelines.training.request import TrainingOutcome, TrainingRequest
from pipelines.training.train import ingest_source, prepare, train_model

DEPLOYMENT: Final = "lab work"  # of every scheduled duty
_LEASE: Final = "process:"
# Requests are values of our own, checked where they are made; results stay in this process.
_PLAIN: Final[dict[str, Any]] = {"validate_parameters": False, "persist_result": False}


def training_flow(request: TrainingRequest, settings: Settings) -> TrainingOutcome:
    """`train_model` as the flow "training". Raises what `train_model` raises."""
    return _train("training", request, settings)


def retraining_flow(request: TrainingRequest, settings: Settings) -> TrainingOutcome:
    """The same as the flow "retraining", for a request that names a prediction log."""
    return _train("retraining", request, settings)


def resampling_flow(request: TrainingRequest, settings: Settings, seeds: tuple[int, ...]) -> tuple[ResamplingEffect, ...]:
    """Measure class weights, under-sampling and SMOTE on the request's rows as the flow "compare resampling"."""

    @flow(name="compare resampling", **_PLAIN)
    def compare(request: TrainingRequest, seeds: tuple[int, ...]) -> tuple[ResamplingEffect, ...]:
        dataset = as_task("ingest", ingest_source, request, settings)
        parts = as_task("features", prepare, request, dataset, settings.home / "cache", settings.log_place).parts
        effects: tuple[ResamplingEffect, ...] = as_task("compare", _compare_parts, parts, request, seeds, settings.threads or 1)
        return effects

    effects: tuple[ResamplingEffect, ...] = _run(compare, request, seeds)
    return effects


def monitoring_flow(
    frame: pd.DataFrame,
    reference: Reference,
    labels: pd.DataFrame,
    *,
    now: datetime,
    plan: WatchPlan,
    deployments: Sequence[Deployment] = (),
    parity: ParityResult | None = None,
) -> WindowResult:
    """`monitor.watch` as the flow "monitoring". Raises what `watch` raises."""
    judge = partial(watch, frame, reference, labels, now=now, plan=plan, deployments=deployments, parity=parity)
    result: WindowResult = _run(flow(name="monitoring", **_PLAIN)(_watch), judge)
    return result


def batch_scoring_flow(load: Callable[[], Model], request: BatchRequest, on_progress: Callable[[int, int], None]) -> BatchSummary:
    """`batch_scoring.score_table` with the model that `load` brings, as the flow "batch scoring". Raises what the two raise."""
    summary: BatchSummary = _run(flow(name="batch scoring", **_PLAIN)(_score_batch), load, request, on_progress)
    return summary


class Schedule:
    """Duties deployed on Prefect's server, each due every so often there. What its page does to them (pause, run now) counts.

    Their runs are performed in this process: `due`, then `duty_flow`. A method raises ServiceDown when the server does not answer.
    """

    def __init__(self, names: Sequence[str], every_s: float) -> None:
        """Deploy each anew: `every_s` may have changed since."""
        every = IntervalSchedule(interval=timedelta(seconds=every_s))
        with _server() as client:
            self._names = {
                client.create_deployment(
                    client.create_flow_from_name(_duty(name)),
                    DEPLOYMENT,
                    schedules=[DeploymentScheduleCreate(schedule=every)],
                    description="Performed by `lab work`, which does what is due by event time and nothing twice.",
                ): name
                for name in names
            }

    def due(self, now: datetime) -> dict[str, UUID]:
        """The latest run of each duty that was to begin by `now`. Earlier ones, which nobody performed, are cancelled: it does it all."""
        with _server() as client:
            runs: list[Any] = client.get_scheduled_flow_runs_for_deployments(list(self._names), scheduled_before=now)
            latest: dict[str, UUID] = {}
            for run in sorted(runs, key=lambda run: run.expected_start_time):
                name = self._names[run.deployment_id]
                if name in latest:
                    client.set_flow_run_state(latest[name], Cancelled(message="a later run did what was due"), force=True)
                latest[name] = run.id
        return latest


def duty_flow(name: str, duty: Callable[[], str], run_id: UUID | None = None) -> str:
    """A duty of `lab work` as a flow, in the scheduled run of that id if there is one; returns its line. Raises what it raises."""

    @flow(name=_duty(name), **_PLAIN)
    def perform() -> str:
        return duty()

    said: Any
    if run_id is None:
        said = _run(perform)
        return str(said)
    close_interrupted_flows()
    with _server() as client:
        client.update_flow_run(run_id, tags=[f"{_LEASE}{this_process()}"])
        client.set_flow_run_state(run_id, Pending())
        run = client.read_flow_run(run_id)
    said = run_flow(perform, flow_run=run)
    return str(said)


def _duty(name: str) -> str:
    return f"work: {name}"


@contextmanager
def _server() -> Iterator[SyncPrefectClient]:
    try:
        with get_client(sync_client=True) as client:
            yield client
    except (httpx.HTTPError, PrefectException) as error:
        raise ServiceDown(
            f"Prefect's server did not do what was asked ({type(error).__name__}).", next_step="Look at its log.", where="prefect"
        ) from error


def as_task(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a step as a Prefect task. The arguments stay out of Prefect's sight: it would walk and hash every array."""

    @task(name=name, cache_policy=NO_CACHE, persist_result=False)
    def step() -> Any:
        return function(*arguments)

    with TagsContext(current_tags=set()):  # for a task with tags Prefect asks its server for a slot per tag: a third of a second each
        return step()


def close_interrupted_flows() -> int:
    """Mark flow runs whose process has died as crashed; returns how many. Prefect itself leaves them running."""
    with get_client(sync_client=True) as client:
        running = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.RUNNING]}}}))
        closed = 0
        for run in running:
            leases = [tag.removeprefix(_LEASE) for tag in run.tags if tag.startswith(_LEASE)]
            if leases and not any(is_running(lease) for lease in leases):
                client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
                closed += 1
    return closed


def _run(flow_function: Any, *arguments: Any) -> Any:
    close_interrupted_flows()
    with tags(f"{_LEASE}{this_process()}"):
        return flow_function(*arguments)


def _watch(watched: Callable[[], WindowResult]) -> WindowResult:
    result: WindowResult = as_task("watch", watched)
    return result


def _score_batch(load: Callable[[], Model], request: BatchRequest, on_progress: Callable[[int, int], None]) -> BatchSummary:
    model = as_task("load the model", load)
    summary: BatchSummary = as_task("score", score_table, model, request, on_progress)
    return summary


def _train(name: str, request: TrainingRequest, settings: Settings) -> TrainingOutcome:
    """Prefect keeps a flow's parameters: the request may be seen there, the settings may hold a password."""

    @flow(name=name, **_PLAIN)
    def train(request: TrainingRequest) -> TrainingOutcome:
        return train_model(request, settings, run=as_task)

    outcome: TrainingOutcome = _run(train, request)
    return outcome


def _compare_parts(parts: Any, request: TrainingRequest, seeds: tuple[int, ...], threads: int) -> tuple[ResamplingEffect, ...]:
    return compare_resampling(parts["train"], parts["validation"], parts["test"], request.recipe, seeds=seeds, threads=threads)
