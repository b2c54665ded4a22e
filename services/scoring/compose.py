"""Puts a scoring service together from settings; tests hand in a registry of their own."""

from collections.abc import Callable
from pathlib import Path

from data.clock import SystemClock
from data.keys import lab_key
from data.prediction_log import PredictionLog
from data.registry import Registry
from data.settings import Settings
from services.scoring.courier import Courier, PlanSource
from services.scoring.engine import Engine
from services.scoring.explain import Explainer
from services.scoring.explain_process import ExplainProcess, child_command
from services.scoring.metrics import Metrics
from services.scoring.model_store import ModelStore
from services.scoring.recovery import Recovery
from services.scoring.routes import Service
from services.scoring.slots import Serving, Slots
from services.scoring.trial import try_bundle


def compose(settings: Settings, registry: PlanSource | None = None, trial: Callable[[Path], None] = try_bundle) -> Service:
    """Open the log, bring the history back, and connect the parts. Raises LogUnavailable, BadInput."""
    home, keys = settings.home, settings.home / "keys"
    log, slots, metrics, clock = PredictionLog(home / "predictions.db"), Slots(), Metrics(), SystemClock()
    recovery, open_failure = Recovery(home / "history", log), settings.log_failure == "open"
    engine = Engine(slots, log, recovery, metrics, clock, answers_without_log=open_failure)

    def on_swap(serving: Serving) -> None:
        metrics.serves(serving)
        if slots.serving is None:
            engine.expect_history()

    courier = Courier(
        registry or Registry(settings.mlflow_url, settings.model_name, settings.http_timeout_s),
        ModelStore(home / "models", key_folder=keys, trial=trial),
        slots,
        clock,
        poll_s=settings.registry_poll_s,
        on_swap=on_swap,
    )
    return Service(
        engine=engine,
        log=log,
        slots=slots,
        courier=courier,
        explainer=Explainer(log, ExplainProcess(child_command(home / "models", keys))),
        metrics=metrics,
        clock=clock,
        lab_key=lab_key(keys),
    )
