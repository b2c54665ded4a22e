"""Brings models from the registry to the slots, in the background; the only part of the service that knows the registry.

Nothing waits for it: requests use what is in the slots, and a start uses the last good copy on disk. A registry that
is down or slow therefore costs freshness, never an answer.

A rollback does not wait for the registry either: whoever holds the lab's key hands its plan over (`obey`), and it is in force
when the call returns. The registry's own plan counts again once it has caught up.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from data.bundle import Model
from data.clock import Clock
from data.errors import BundleRefused, LabError
from data.serving_plan import ServingPlan
from services.scoring.model_store import ModelStore
from services.scoring.slots import Serving, Slots, Source

_log = logging.getLogger(__name__)


class PlanSource(Protocol):
    """What the courier needs of `data.registry.Registry`."""

    def plan(self) -> ServingPlan | None: ...
    def download(self, version: str, folder: Path) -> None: ...


class Courier:
    """Polls, verifies, tries, swaps. `poll` may also be called directly; calls do not overlap."""

    def __init__(
        self,
        registry: PlanSource,
        store: ModelStore,
        slots: Slots,
        clock: Clock,
        *,
        poll_s: float,
        unseal: Callable[[str], ServingPlan],
        on_swap: Callable[[Serving], None],
    ) -> None:
        """`unseal` reads a signed plan or raises PlanRefused; `on_swap` hears of every new picture; `clock` only dates what people read."""
        self._registry = registry
        self._store = store
        self._slots = slots
        self._clock = clock
        self._poll_s = poll_s
        self._unseal = unseal
        self._on_swap = on_swap
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self.problem: str | None = None  # why the last poll failed; None when it did not

    def start(self) -> None:
        """Load the last good plan from disk, then poll until `stop`."""
        last = self._store.last_good()
        if last is not None:
            try:
                champion, challenger = self._models(last.plan, download=False)
            except BundleRefused as error:
                self._note(error.code, str(error))
            else:
                self._swap(Serving(last.plan, champion, challenger, "last_good", last.confirmed_at))
        self._thread.start()

    def stop(self) -> None:
        """End the polling; waits for a download under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> None:
        """One look at the registry. Raises RegistryUnavailable, PlanRefused, BundleRefused, UnknownRun; the slots then stay as they are."""
        with self._turn:
            plan = self._registry.plan()
            if plan is None or self._is_behind(plan):
                return
            if self._serves(plan):
                self._slots.confirm(self._clock.now())
            else:
                self._follow(plan, "registry")

    def obey(self, sealed: str) -> ServingPlan:
        """Follow a plan that a holder of the lab's key hands over; returns it. It is in force at once when its models are in the slots.

        Takes no lock that a poll holds, so any thread may call it. Raises PlanRefused, BadInput; the slots then stay as they are.
        """
        plan = self._unseal(sealed)
        if plan.mode == "shadow":  # a rollout begins
            self._forgive()
        serving = self._slots.turn_to(plan, self._clock.now())
        if serving is not None:
            self._on_swap(serving)
        return plan

    def settle(self, plan: ServingPlan) -> None:
        """What `obey` left: bring models that were not at hand, and note the plan on disk. Raises as `poll` does."""
        if self._serves(plan):
            self._store.remember(plan, self._clock.now())
            return
        with self._turn:
            self._follow(plan, "told")

    def reload(self) -> None:
        """Poll now, and give versions that were set aside another chance. Raises as `poll` does."""
        self._forgive()
        self.poll()

    def _forgive(self) -> None:
        self._slots.refused.clear()
        self._slots.benched.clear()

    def _run(self) -> None:
        while True:
            try:
                self.poll()
                self.problem = None
            except LabError as error:
                self._note(error.code, str(error))
            except Exception as error:  # a poll may fail in any way; the next one starts afresh, and /v1/serving tells
                self._note(type(error).__name__, str(error))
            if self._stop.wait(self._poll_s):
                return

    def _serves(self, plan: ServingPlan) -> bool:
        """Whether the slots already hold this plan, with every model of it that may serve."""
        serving = self._slots.serving
        if serving is None or serving.source == "last_good" or serving.plan != plan:
            return False
        return plan.challenger is None or serving.challenger is not None or plan.challenger in self._set_aside()

    def _is_behind(self, plan: ServingPlan) -> bool:
        """Whether the registry still says what came before a plan that was handed over. Raises PlanRefused for any other older plan."""
        serving = self._slots.serving
        if serving is not None and serving.source == "told" and plan.epoch < serving.plan.epoch:
            return True
        self._slots.refuse_older(plan)
        return False

    def _follow(self, plan: ServingPlan, source: Source) -> None:
        now = self._clock.now()
        champion, challenger = self._models(plan, download=True)
        self._store.remember(plan, now)
        self._swap(Serving(plan, champion, challenger, source, now))

    def _models(self, plan: ServingPlan, *, download: bool) -> tuple[Model, Model | None]:
        """The plan's models. A champion must load; a challenger that is refused is set aside, and the champion serves alone."""
        champion = self._model(plan.champion, download)
        if plan.challenger is None or plan.challenger in self._set_aside():
            return champion, None
        try:
            return champion, self._model(plan.challenger, download)
        except BundleRefused as error:
            self._note(error.code, str(error))
            return champion, None

    def _model(self, version: str, download: bool) -> Model:
        if version in self._slots.refused:
            raise BundleRefused(self._slots.refused[version], next_step="Register the model again from its run.", where=version)
        try:
            return self._store.model(version, (lambda folder: self._registry.download(version, folder)) if download else None)
        except BundleRefused as error:
            if download:
                self._slots.refused[version] = error.message
            raise

    def _set_aside(self) -> set[str]:
        return self._slots.refused.keys() | self._slots.benched.keys()

    def _swap(self, serving: Serving) -> None:
        self._on_swap(serving)  # first: of a first model, the history that belongs to it is there before a payment can be
        self._slots.swap(serving)
        _log.info("serving version %s (epoch %d, from %s)", serving.champion.version, serving.plan.epoch, serving.source)

    def _note(self, code: str, message: str) -> None:
        if self.problem != message:  # once per change, not once per poll
            _log.warning("%s: %s", code, message)
        self.problem = message
