"""The levels of prepared state, and how each is made: a champion trained, a week of traffic sent, a challenger trained.

Through the same functions as `lab train` and `lab rollout`, Prefect aside. Called by labs/engine/prepare.py, which keeps what is made here.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from data.environment import use_servers
from data.errors import StepFailed
from data.features import FEATURE_SCHEMA_HASH
from data.ledger import Ledger
from data.settings import Settings
from labs.engine.course import Need
from labs.service import serving_once_ready
from pipelines.training.provenance import recipe_digest
from services.supervisor import Supervisor

if TYPE_CHECKING:
    from labs.stream import Stream

State = Literal["champion", "traffic", "challenger"]
Tell = Callable[[str, float], None]  # what is done now, and the seconds that it takes on two cores
BUILT_ON: Final[dict[State, State | None]] = {"champion": None, "traffic": "champion", "challenger": "traffic"}
SECONDS: Final[dict[State, float]] = {"champion": 28.0, "traffic": 14.0, "challenger": 26.0}  # to make each, on two cores
_HISTORY_S: Final = 2.0  # of those, for the days of payments (nothing when they are there)
_TRAINING_S: Final[dict[State, float]] = {"champion": 16.0, "challenger": 23.0}  # for its six steps; the rest, MLflow starts
TRAFFIC_DAYS: Final = 7
_QUICK: Final[dict[str, Any]] = {"candidates": 1, "early_stopping_rounds": 60, "bootstrap_resamples": 50}
# The champion stops at forty trees, so that there is something to gain: the challenger, with all it wants, is better beyond noise
# (average precision 0.31 against 0.25 on the default world), and the gate lets it pass.
_SIZE: Final = {"champion": {"rounds": 40, "genuine_rows": 30_000}, "challenger": {"rounds": 400, "genuine_rows": 60_000}}
_LATE_IMPORTS: Final = ("lightgbm", "sklearn.linear_model", "mlflow.lightgbm", "matplotlib.figure")  # while MLflow starts
# What decides the state that is made; anything else may change and the kept levels stay true.
_DECISIVE: Final = ("seed", "world_start", "world_days", "transactions_per_day", "label_delay_days", "alert_capacity_per_thousand",
                    "random_approve_share", "model_name")  # fmt: skip


def state_of(need: Need) -> State | None:
    """The kept state that a need rests on: a running service is a champion and a process; days of payments are their own."""
    states: dict[Need, State] = {"champion": "champion", "service": "champion", "traffic": "traffic", "challenger": "challenger"}
    return states.get(need)


def level_of(settings: Settings, state: State) -> str:
    """What a kept state is called: another world or another code make another one."""
    decisive = {name: str(getattr(settings, name)) for name in _DECISIVE}
    facts = [decisive, FEATURE_SCHEMA_HASH, recipe_digest(), TRAFFIC_DAYS, _QUICK, _SIZE]
    return f"{state}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}"


def make_history(settings: Settings, tell: Tell) -> "Stream":
    """The days of payments on disk; returns the stream that goes on with them."""
    from labs.stream import open_stream

    stream = open_stream(settings, None, 0)
    tell(f"making {settings.world_days} days of payments", _HISTORY_S)
    stream.make_history(lambda _: None)
    return stream


def make_state(state: State, settings: Settings, supervisor: Supervisor, tell: Tell) -> None:
    """Take the running system from the state below to `state`; leaves servers running. Raises what its steps raise, and StepFailed."""
    if state == "traffic":
        _send_traffic(settings, supervisor, tell)
    else:
        _train(state, settings, supervisor, tell)


def _train(alias: State, settings: Settings, supervisor: Supervisor, tell: Tell) -> None:
    supervisor.launch(("mlflow",))
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    stream = make_history(settings, tell)
    tell("starting MLflow", SECONDS[alias] - _HISTORY_S - _TRAINING_S[alias])
    for library in _LATE_IMPORTS:
        import_module(library)
    supervisor.wait(("mlflow",))
    from labs.stream import midnight
    from pipelines.training.request import Recipe, TrainingRequest
    from pipelines.training.train import train_model

    size, recipe = _SIZE[alias], Recipe(seed=settings.seed, **_QUICK)
    request = TrainingRequest(
        stream.source,
        midnight(stream.live),
        recipe=replace(recipe, parameters=replace(recipe.parameters, rounds=size["rounds"]), genuine_rows=size["genuine_rows"]),
        alert_capacity_per_thousand=settings.alert_capacity_per_thousand,
        random_approve_share=settings.random_approve_share,
        reason="prepared for the labs",
    )

    def run(step: str, function: Callable[..., Any], *arguments: Any) -> Any:
        tell(f"training the {alias}: {step}", _TRAINING_S[alias] / 6)
        return function(*arguments)

    outcome = train_model(request, settings, run=run)
    if outcome.version is None or outcome.alias != alias:
        raise StepFailed(
            f"The {alias} of the labs was not registered: {'; '.join(outcome.gate.reasons)}.",
            next_step="Are LAB_SEED and the settings of the world as they were? `lab doctor` lists them.",
            where=alias,
        )
    facts = {"version": outcome.version, "run_id": outcome.run_id, "reasons": list(outcome.gate.reasons)}
    Ledger(settings.home / "ledger.jsonl").record(f"{alias}_registered", facts, request.cut)


def _send_traffic(settings: Settings, supervisor: Supervisor, tell: Tell) -> None:
    from labs.live import take_up
    from labs.stream import midnight

    supervisor.launch(("mlflow", "scoring"))
    stream = make_history(settings, tell)
    tell("starting the scoring service", 4)
    supervisor.wait(("mlflow", "scoring"))
    serving_once_ready(settings)
    live = midnight(stream.live)
    replay = take_up(settings, stream, live, TRAFFIC_DAYS)
    for day in range(TRAFFIC_DAYS):
        tell(f"sending payments, day {day + 1} of {TRAFFIC_DAYS}", 8 / TRAFFIC_DAYS)
        replay.run_until(live + timedelta(days=day + 1))
