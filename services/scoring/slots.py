"""Who serves right now: one immutable picture behind one reference, so that a request never sees half a change."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from data.bundle import Model
from data.errors import NoModel, PlanRefused
from data.serving_plan import ServingPlan

Source = Literal["registry", "told", "last_good"]  # told: by a holder of the lab's key, ahead of the registry


@dataclass(frozen=True)
class Serving:
    """A plan and the loaded models that it names."""

    plan: ServingPlan
    champion: Model
    challenger: Model | None
    source: Source
    confirmed_at: datetime  # when the registry last said so; the wall clock, for people


class Slots:
    """Holds the current picture. The courier swaps it; the engine reads it once per request and may bench a challenger."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._changing = threading.Lock()  # two threads change the picture; readers need no lock
        self.benched: dict[str, str] = {}  # version -> why it no longer scores in this process
        self.refused: dict[str, str] = {}  # version -> why it was never loaded

    @property
    def serving(self) -> Serving | None:
        return self._serving

    def current(self) -> Serving:
        """The picture to serve with. Raises NoModel."""
        if self._serving is None:
            raise NoModel("No verified model is loaded.", next_step="Run `lab train`, then look at GET /v1/serving.", where="champion")
        return self._serving

    def swap(self, serving: Serving) -> None:
        """From the next request on, this serves; a benched challenger stays out. Raises PlanRefused when a later plan was faster."""
        with self._changing:
            self.refuse_older(serving.plan)
            benched = serving.challenger is not None and serving.challenger.version in self.benched
            self._serving = replace(serving, challenger=None) if benched else serving

    def turn_to(self, plan: ServingPlan, at: datetime) -> Serving | None:
        """The same for a plan of models that are here already; None, and nothing changes, when one is not. Waits for nobody."""
        with self._changing:
            serving = self._serving
            self.refuse_older(plan)
            if serving is None:
                return None
            here = {model.version: model for model in (serving.champion, serving.challenger) if model is not None}
            if not {plan.champion, plan.challenger or plan.champion} <= here.keys():
                return None
            self._serving = Serving(plan, here[plan.champion], here[plan.challenger] if plan.challenger else None, "told", at)
            return self._serving

    def confirm(self, at: datetime) -> None:
        """The registry said what already serves."""
        with self._changing:
            if self._serving is not None:
                self._serving = replace(self._serving, source="registry", confirmed_at=at)

    def bench(self, version: str, why: str) -> None:
        """Stop scoring with a challenger that failed; the champion answers its cards. The plan itself is not ours to change."""
        with self._changing:
            self.benched[version] = why
            serving = self._serving
            if serving is not None and serving.challenger is not None and serving.challenger.version == version:
                self._serving = replace(serving, challenger=None)

    def refuse_older(self, plan: ServingPlan) -> None:
        """A plan that was in force once is well signed too: put back by somebody else, it must not bring back who served then.

        Raises PlanRefused.
        """
        serving = self._serving
        if serving is not None and plan.epoch < serving.plan.epoch:
            raise PlanRefused(
                f"This serving plan is of epoch {plan.epoch}; epoch {serving.plan.epoch} was in force already.",
                next_step="Who serves stays. If the registry was made anew, stop the service and move models/ in LAB_HOME away.",
                where="serving_plan",
            )
