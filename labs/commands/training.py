"""`lab train` and `lab reproduce`: the training flow by hand, and the same training again from its run id."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from data.environment import use_servers
from data.errors import BadInput, EmptyWindow, GateRefused, NoModel
from data.fault_windows import fault_windows
from data.ledger import Ledger
from data.prediction_frames import logged_span
from data.registry import CHAMPION, Registry
from data.settings import Settings
from labs.archive import readable_log
from labs.live import LiveSource
from labs.stream import midnight, open_stream
from labs.terminal import console, print_json, table
from pipelines.training.request import EVERY_ROW, LogSource, Recipe, TrainingOutcome, TrainingRequest
from pipelines.training.split import SplitPlan
from services.supervisor import Supervisor

if TYPE_CHECKING:
    from pipelines.training.reproduce import Reproduction

_SHOWN = {"average_precision": 3, "roc_auc": 3, "card_precision_at_100": 3, "recall_at_capacity": 2, "saved_per_thousand": 0}


@dataclass(frozen=True)
class Asked:
    """What `lab train` was asked for."""

    retrain: bool = False  # on what was served since the history ended
    recalibrate: bool = False  # on the same, but the champion's trees are kept: only calibration and thresholds are new
    days: int | None = None  # of payments to learn from, the newest
    workers: int = 0  # of Dask
    all_rows: bool = False

    @property
    def on_log(self) -> bool:
        return self.retrain or self.recalibrate


def train(data: Path | None, asked: Asked, *, as_json: bool) -> int:
    """Train, judge and register.

    MLflow and Prefect are started for the time of the training where they do not run. Returns the exit status. Raises BadInput for
    options that exclude each other, NoModel when there are no trees to keep, GateRefused with the gate's reasons (JSON holds them
    already: 1 is returned), and what the steps raise.
    """
    if asked.recalibrate and (asked.retrain or asked.workers or asked.all_rows or asked.days):
        raise BadInput(
            "--recalibrate fits no trees: --retrain, --days, --workers and --all-rows do not go with it.",
            next_step="Leave the others out, or train new trees: `lab train --retrain`.",
            where="--recalibrate",
        )
    settings = Settings.load()
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    out = console(to_stderr=as_json)
    with Supervisor(settings).owning() as supervisor, out.status("starting MLflow and Prefect") as status:
        supervisor.launch(("mlflow", "prefect"))
        status.update("making the days of payments")
        request = _request(settings, data, on_log=asked.on_log, days=asked.days)
        genuine_rows = EVERY_ROW if asked.all_rows else request.recipe.genuine_rows
        request = replace(request, recipe=replace(request.recipe, workers=asked.workers, genuine_rows=genuine_rows))
        supervisor.wait(("mlflow", "prefect"))
        if asked.recalibrate:
            request = _with_champions_trees(request, settings)
        status.update("recalibrating" if asked.recalibrate else "retraining" if asked.retrain else "training")
        outcome = _run(request, settings)
    if as_json:
        print_json(outcome.to_json())
        return 0 if outcome.version is not None else GateRefused.exit_status
    _print_outcome(outcome)
    if outcome.version is None:
        raise GateRefused(
            f"The gate refused the model: {'; '.join(outcome.gate.reasons)}",
            next_step="Nothing was registered; the run with its plots is in MLflow (`lab up mlflow`).",
            where=outcome.run_id,
        )
    return 0


def retrain(settings: Settings, *, recalibrate: bool) -> TrainingOutcome:
    """On what was served since the history ended, with servers that run already; a refusal is in the outcome. For `lab work`.

    `recalibrate`: keep the champion's trees.
    """
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    request = _request(settings, LiveSource.load(settings.home).data, on_log=True, reason="asked for by monitoring")
    return _run(_with_champions_trees(request, settings) if recalibrate else request, settings)


def reproduce(run_id: str, *, as_json: bool) -> int:
    """Train again as the run did and compare every metric; returns 0 when all are equal, 1 otherwise. Raises UnknownRun."""
    settings = Settings.load()
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    with Supervisor(settings).owning() as supervisor, console(to_stderr=as_json).status("training again"):
        supervisor.start(("mlflow",))
        from pipelines.training.reproduce import reproduce as repeat

        result = repeat(run_id, settings)
    if as_json:
        print_json(asdict(result))
    else:
        _print_reproduction(result)
    return 0 if result.equal else 1


def _request(settings: Settings, data: Path | None, *, on_log: bool, days: int | None = None, reason: str = "by hand") -> TrainingRequest:
    stream = open_stream(settings, data, 0)
    stream.make_history(lambda _: None)
    live = midnight(stream.live)
    split = SplitPlan.for_retraining() if on_log else SplitPlan()
    return TrainingRequest(
        stream.source,
        _end_of_log(settings) if on_log else live,
        log=LogSource(live, fault_windows(_ledger(settings))) if on_log else None,
        split=replace(split, train_days=days or split.train_days),
        recipe=Recipe(seed=settings.seed),
        alert_capacity_per_thousand=settings.alert_capacity_per_thousand,
        random_approve_share=settings.random_approve_share,
        reason=reason,
    )


def _with_champions_trees(request: TrainingRequest, settings: Settings) -> TrainingRequest:
    """Raises NoModel without a champion."""
    with Registry.of(settings) as registry:
        champion = registry.alias(CHAMPION)
    if champion is None:
        raise NoModel("There is no champion whose trees could be kept.", next_step="Train one: `lab train`.", where="champion")
    return replace(request, recipe=replace(request.recipe, trees_of=champion))


def _end_of_log(settings: Settings) -> datetime:
    span = logged_span(readable_log(settings))
    if span is None:
        raise EmptyWindow("Nothing has been served yet.", next_step="Send payments first; `lab train` needs none.", where="window")
    return midnight(span[1].date() + timedelta(days=1))


def _run(request: TrainingRequest, settings: Settings) -> TrainingOutcome:
    from pipelines.flows import retraining_flow, training_flow

    outcome = (training_flow if request.log is None else retraining_flow)(request, settings)
    if outcome.created:
        facts = {"version": outcome.version, "run_id": outcome.run_id, "reasons": list(outcome.gate.reasons)}
        _ledger(settings).record(f"{outcome.alias}_registered", facts, request.cut)
    return outcome


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.home / "ledger.jsonl")


def _print_outcome(outcome: TrainingOutcome) -> None:
    rows = table("model", *(name.replace("_", " ") for name in _SHOWN))
    for model in outcome.models:
        rows.add_row(model.name, *(f"{model.metrics[name].value:,.{digits}f}" for name, digits in _SHOWN.items()))
    out = console()
    out.print(rows)
    out.print(
        f"\nReview from a score of {outcome.thresholds.review_at:.3f}: {outcome.thresholds.alerts_per_thousand:.1f} alerts and "
        f"{outcome.thresholds.saved_per_thousand:.0f} EUR saved per thousand payments."
    )
    for line in (*(str(part) for part in outcome.excluded if part.rows), *outcome.gate.reasons):
        out.print(f"  · {line}")
    if outcome.version is not None:
        was = "registered as" if outcome.created else "known already as"
        out.print(f"[green]✓[/] {was} version {outcome.version} ({outcome.alias}), run {outcome.run_id}")


def _print_reproduction(result: "Reproduction") -> None:
    rows = table("model", "metric", "then", "now", "")
    for pair in result.metrics:
        rows.add_row(pair.model, pair.name, f"{pair.then:.6f}", f"{pair.now:.6f}", "" if pair.then == pair.now else "[red]differs[/]")
    out = console()
    out.print(rows)
    for difference in result.differences:
        out.print(f"  · {difference}")
    verdict = "[green]✓[/] every metric is equal to the last bit" if result.equal else "[red]✗[/] the run could not be repeated exactly"
    out.print(f"{verdict}, run {result.run_id}", soft_wrap=True)
