"""Brings up what a lab needs: days of payments, a trained champion, a running service, a week of traffic, a challenger.

Each level is made once, kept, and put back when another lab changed it (`labs/engine/live_state.py`): the first lab of a course
takes about a minute, the next ones seconds. Called by `lab start`, `lab reset` and the proof of the authoring contract.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any, Final

from data.environment import use_servers
from data.errors import BadSetting, StepFailed
from data.features import FEATURE_SCHEMA_HASH
from data.ledger import Ledger
from data.settings import Settings
from labs.engine.course import Lab, Need
from labs.engine.live_state import Mark, is_kept, keep, put_back
from labs.previous import set_aside
from labs.service import serving_once_ready
from pipelines.training.provenance import recipe_digest
from services.supervisor import Supervisor

Tell = Callable[[str], None]  # what is being done now, in a few words
_QUICK: Final[dict[str, Any]] = {"candidates": 1, "early_stopping_rounds": 60, "bootstrap_resamples": 50}
# The champion stops at forty trees, so that there is something to gain: the challenger, with all it wants, is better beyond noise
# (average precision 0.31 against 0.25 on the default world), and the gate lets it pass.
_SIZE: Final = {"champion": {"rounds": 40, "genuine_rows": 30_000}, "challenger": {"rounds": 400, "genuine_rows": 60_000}}
_LATE_IMPORTS: Final = ("lightgbm", "sklearn.linear_model", "mlflow.lightgbm", "matplotlib.figure")  # while MLflow starts
_BUILT_ON: Final[dict[str, str | None]] = {"champion": None, "traffic": "champion", "challenger": "traffic"}
TRAFFIC_DAYS: Final = 7
# What decides the state that is made; anything else may change and the kept levels stay true.
_DECISIVE: Final = ("seed", "world_start", "world_days", "transactions_per_day", "label_delay_days", "alert_capacity_per_thousand",
                    "random_approve_share", "model_name")  # fmt: skip


def prepare(settings: Settings, lab: Lab, tell: Tell, *, anew: bool = False) -> None:
    """Bring the running system to what the lab needs, and start the servers that it needs; quick when all is there.

    `anew`: also put back what this lab itself changed. Raises what training and the supervisor raise.
    """
    Preparation(settings, tell).bring(lab, anew=anew)


def is_prepared(settings: Settings, lab: Lab) -> bool:
    """Whether the running system's state is this lab's: of its level, and changed by no other lab."""
    if lab.needs in ("nothing", "data"):
        return True
    mark = Mark.read(settings.home)
    return mark is not None and mark.level == _level(settings, lab.needs) and mark.changed_by in (None, lab.id)


class Preparation:
    """One home on its way to what a lab needs."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self.settings = settings
        self.tell = tell
        self.home = settings.home
        self.supervisor = Supervisor(settings)

    def bring(self, lab: Lab, *, anew: bool) -> None:
        """See `prepare`."""
        if lab.needs == "nothing":
            return
        if self.settings.store_url or self.settings.log_url:
            raise BadSetting(
                "Labs keep and put back the log in LAB_HOME, and this one is elsewhere.",
                next_step="Unset LAB_STORE_URL and LAB_LOG_URL for the labs.",
                where="LAB_STORE_URL" if self.settings.store_url else "LAB_LOG_URL",
            )
        if lab.needs == "data":
            self._history()
            return
        self._bring_state(_level(self.settings, lab.needs), lab.needs, again=anew or not is_prepared(self.settings, lab))
        self._serve(lab.needs)
        if lab.changes_live:
            Mark(_level(self.settings, lab.needs), lab.id).write(self.home)

    def make(self, need: Need) -> None:
        """Make the level of `need` and those it is built on, unless they are kept; leaves no server running."""
        if need not in ("nothing", "data"):
            self._build(_state_of(need))
        self.supervisor.stop()

    def _bring_state(self, level: str, need: Need, *, again: bool) -> None:
        if not is_kept(self.home, level):
            self._build(_state_of(need))
            again = (Mark.read(self.home) or Mark("")).level != level
        if again:
            self.tell("putting the system back to this lab's beginning")
            self.supervisor.stop(("scoring",))
            put_back(self.home, level)

    def _serve(self, need: Need) -> None:
        names = ("mlflow",) if need == "champion" else ("mlflow", "scoring")
        self.supervisor.launch(names)
        self.tell("starting MLflow" if need == "champion" else "starting MLflow and the scoring service")
        self.supervisor.wait(names)
        if "scoring" in names:
            serving_once_ready(self.settings)

    def _build(self, state: str) -> None:
        level, below = _name(self.settings, state), _BUILT_ON[state]
        if is_kept(self.home, level):
            return
        if below is None:
            self.supervisor.stop()
            set_aside(self.home)
        else:
            self._build(below)
            if Mark.read(self.home) != Mark(_name(self.settings, below)):
                self.supervisor.stop(("scoring",))
                put_back(self.home, _name(self.settings, below))
        with self.supervisor.owning(keep_up=True):
            {"champion": self._train_champion, "traffic": self._send_traffic, "challenger": self._train_challenger}[state]()
            self.supervisor.stop(("scoring",))
        keep(self.home, level)

    def _history(self) -> Any:
        from labs.stream import open_stream

        stream = open_stream(self.settings, None, 0)
        self.tell(f"making {self.settings.world_days} days of payments")
        stream.make_history(lambda _: None)
        return stream

    def _train_champion(self) -> None:
        self._train("champion")

    def _train_challenger(self) -> None:
        self._train("challenger")

    def _train(self, alias: str) -> None:
        self.supervisor.launch(("mlflow",))
        use_servers(self.settings.mlflow_url, self.settings.prefect_url, str(self.home / "prefect"))
        stream = self._history()
        self.tell("starting MLflow")
        for library in _LATE_IMPORTS:
            import_module(library)
        self.supervisor.wait(("mlflow",))
        from labs.stream import midnight
        from pipelines.training.request import Recipe, TrainingRequest
        from pipelines.training.train import train_model

        self.tell(f"training the {alias}")
        size, recipe = _SIZE[alias], Recipe(seed=self.settings.seed, **_QUICK)
        request = TrainingRequest(
            stream.source,
            midnight(stream.live),
            recipe=replace(recipe, parameters=replace(recipe.parameters, rounds=size["rounds"]), genuine_rows=size["genuine_rows"]),
            alert_capacity_per_thousand=self.settings.alert_capacity_per_thousand,
            random_approve_share=self.settings.random_approve_share,
            reason="prepared for the labs",
        )
        outcome = train_model(request, self.settings)
        if outcome.version is None or outcome.alias != alias:
            raise StepFailed(
                f"The {alias} of the labs was not registered: {'; '.join(outcome.gate.reasons)}.",
                next_step="Are LAB_SEED and the settings of the world as they were? `lab doctor` lists them.",
                where=alias,
            )
        facts = {"version": outcome.version, "run_id": outcome.run_id, "reasons": list(outcome.gate.reasons)}
        Ledger(self.home / "ledger.jsonl").record(f"{alias}_registered", facts, request.cut)

    def _send_traffic(self) -> None:
        from labs.live import take_up
        from labs.stream import midnight

        self.supervisor.launch(("mlflow", "scoring"))
        stream = self._history()
        self.supervisor.wait(("mlflow", "scoring"))
        serving_once_ready(self.settings)
        live = midnight(stream.live)
        replay = take_up(self.settings, stream, live, TRAFFIC_DAYS)
        for day in range(TRAFFIC_DAYS):
            self.tell(f"sending payments, day {day + 1} of {TRAFFIC_DAYS}")
            replay.run_until(live + timedelta(days=day + 1))


def _state_of(need: Need) -> str:
    """The kept state that a need rests on: a running service is a champion and a process."""
    return "champion" if need == "service" else need


def _level(settings: Settings, need: Need) -> str:
    return _name(settings, _state_of(need))


def _name(settings: Settings, state: str) -> str:
    """A kept state's folder: another world or another code make another one."""
    decisive = {name: str(getattr(settings, name)) for name in _DECISIVE} | {
        "features": FEATURE_SCHEMA_HASH,
        "training": recipe_digest(),
        "traffic_days": TRAFFIC_DAYS,
    }
    digest = hashlib.sha256(json.dumps([decisive, _QUICK, _SIZE], sort_keys=True).encode()).hexdigest()
    return f"{state}-{digest[:12]}"
