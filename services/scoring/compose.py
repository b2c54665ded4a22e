"""Puts a scoring service together from settings; tests hand in a registry of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from data.bundle import MODEL
from data.clock import Clock, SystemClock
from data.errors import BadSetting
from data.forest_text import HEAD_BYTES, read_ranges
from data.keys import lab_key
from data.open_log import open_log
from data.prediction_store import PredictionStore
from data.registry import Registry
from data.serving_plan import unseal
from data.settings import Settings
from data.trial import try_bundle
from services.scoring.challenger_fault import ChallengerFaults
from services.scoring.courier import Courier, PlanSource
from services.scoring.engine import Engine
from services.scoring.explain import Explainer
from services.scoring.explain_process import ExplainProcess, child_command
from services.scoring.feature_fault import FeatureFaults
from services.scoring.metrics import Metrics
from services.scoring.model_store import ModelStore
from services.scoring.recovery import Recovery
from services.scoring.routes import Service
from services.scoring.scorer import Scorer
from services.scoring.slots import Serving, Slots

STORE_TIMEOUT_S: Final = 1.0  # a payment waits twice this for a store that says nothing; then it is answered without it


def compose(settings: Settings, registry: PlanSource | None = None, trial: Callable[[Path], object] = try_bundle) -> Service:
    """Open the log, bring the history back, and connect the parts. Raises LogUnavailable, BadInput, BadSetting."""
    home, keys = settings.home, settings.home / "keys"
    slots, metrics, clock = Slots(), Metrics(), SystemClock()
    faults = None if settings.store_url else (FeatureFaults(), ChallengerFaults())
    log, engine = _alone(settings, slots, metrics, clock, *faults) if faults else _shared(settings, slots, metrics, clock)

    def on_swap(serving: Serving) -> None:
        metrics.serves(serving)
        with (home / "models" / serving.champion.version / MODEL).open("rb") as model:
            metrics.input_quality.follow(read_ranges(model.read(HEAD_BYTES)))
        if slots.serving is None:
            engine.expect_history()

    courier = Courier(
        registry or Registry.of(settings),
        ModelStore(home / "models", key_folder=keys, trial=trial),
        slots,
        clock,
        poll_s=settings.registry_poll_s,
        unseal=lambda sealed: unseal(sealed, settings.model_name, keys),
        on_swap=on_swap,
    )
    metrics.watch(slots, under_way=lambda: engine.under_way, log_lag=lambda: engine.log_lag, problem=lambda: courier.problem)
    metrics.watch_disk(home)
    return Service(
        engine=engine,
        log=log,
        slots=slots,
        courier=courier,
        explainer=Explainer(log, ExplainProcess(child_command(home / "models", keys))),
        metrics=metrics,
        clock=clock,
        lab_key=lab_key(keys),
        faults=faults and faults[0],
        challenger_faults=faults and faults[1],
    )


def _alone(
    settings: Settings, slots: Slots, metrics: Metrics, clock: Clock, faults: FeatureFaults, challenger_faults: ChallengerFaults
) -> tuple[PredictionStore, Scorer]:
    """Log and history of one process that owns both."""
    log = open_log(settings, owned=True)
    recovery = Recovery(settings.home / "history", log)
    choices = {"answers_without_log": settings.log_failure == "open", "answers_before_commit": settings.log_write == "buffered"}
    return log, Engine(slots, log, recovery, metrics, clock, faults=faults, challenger_faults=challenger_faults, **choices)


def _shared(settings: Settings, slots: Slots, metrics: Metrics, clock: Clock) -> tuple[PredictionStore, Scorer]:
    """Log and history of one among several processes."""
    from data.owed_answers import OwedAnswers
    from data.valkey_log import ValkeyLog  # its client is a tenth of a second of import
    from services.scoring.debts import Debts
    from services.scoring.shared_engine import SharedEngine
    from services.scoring.shared_snapshots import SharedSnapshots

    if settings.log_failure == "open" or settings.log_write == "buffered":
        raise BadSetting(
            "LAB_LOG_FAILURE=open and LAB_LOG_WRITE=buffered are for one process: with a shared log there are no features without it.",
            next_step="Unset them, or LAB_STORE_URL.",
            where="LAB_STORE_URL",
        )
    log = ValkeyLog(settings.store_url, min(settings.http_timeout_s, STORE_TIMEOUT_S))
    debts = Debts(OwedAnswers(settings.home / "owed.db"), metrics)
    engine = SharedEngine(slots, log, SharedSnapshots(settings.home / "history", log), debts, metrics, clock)
    metrics.watch_store(lambda: engine.is_store_away)
    return log, engine
