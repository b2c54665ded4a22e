"""H9: a controller that is killed at random, with everything it touches on disk, and started again. Used by `tests/bench/rollout.py`.

Each rollout runs in a forked child, which a real SIGKILL ends before or after some effect: a call of the registry, a line of
the ledger (also in the middle of writing it), the service told, payments sent, MLflow's run kept. Then the same call is made
again, sometimes to be killed once more. What is counted are lies: two champions, a line that was acknowledged and is gone.
"""

import os
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.errors import PlanRefused
from data.ledger import Entry, Ledger
from data.registry import CHALLENGER, CHAMPION
from data.serving_plan import ServingPlan
from pipelines.rollout.controller import run_rollout
from pipelines.rollout.plan import RolloutPlan, Step
from tests.fakes import FakeRegistry
from tests.simulated_service import Faults, Model, SimulatedService

PLAN = RolloutPlan(
    steps=(
        Step("shadow", "shadow", 0.0, 200, 30.0, False),
        Step("canary 25 %", "canary", 0.25, 50, 30.0, False),
        Step("canary 50 %", "canary", 0.5, 100, 30.0, False),
        Step("soak", "soak", 1.0, 200, 30.0, True),
    ),
    maturity_days=0.5,
    first_look_minutes=360,
    longest_look_hours=12,
    money_margin=0.5,
    min_matured_payments=200,
    min_matured_frauds=1,
)
ENDS = {"promoted": Faults(), "rolled_back": Faults(breaks_after=2.2, broken=Model(fails=0.5))}  # the latter in a canary
AGAIN = 0.3  # of the resumed rollouts are killed, too
RESUME_LIMIT_S = 1.0


class Killed(NamedTuple):
    """What one kill led to."""

    result: str
    wanted: str
    kills: int
    lies: tuple[str, ...]
    resume_s: float  # of wall time, from the call to the first thing that moves event time, or to the end


class Killer:
    """Ends this process at its n-th tick; 0 never."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def tick(self, last_act: Callable[[], None] = lambda: None) -> None:
        self.count += 1
        if self.count == self.at:
            last_act()
            os.kill(os.getpid(), signal.SIGKILL)


class DiskRegistry(FakeRegistry):
    """Each write is on disk, whole, when it returns."""

    def __init__(self, file: Path, killer: Killer) -> None:
        super().__init__()
        self._file, self._killer = file, killer
        if file.exists():
            self._exists, self._versions, self._aliases, self._plan = pickle.loads(file.read_bytes())

    def _called(self, method: str) -> None:
        self._killer.tick()
        super()._called(method)

    def keep(self) -> None:
        _write(self._file, pickle.dumps((self._exists, self._versions, self._aliases, self._plan)))
        self._killer.tick()

    def set_alias(self, alias: str, version: str) -> None:
        super().set_alias(alias, version)
        self.keep()

    def delete_alias(self, alias: str) -> None:
        super().delete_alias(alias)
        self.keep()

    def set_plan(self, plan: ServingPlan) -> None:
        super().set_plan(plan)
        self.keep()


class DiskLedger(Ledger):
    """Notes which lines were acknowledged; may die with half a line written."""

    def __init__(self, path: Path, killer: Killer) -> None:
        super().__init__(path)
        self._killer = killer

    def record_all(self, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]:
        self._killer.tick(self._tear)
        entries = super().record_all(lines, at)
        with self.path.with_name("acknowledged").open("a") as file:
            file.writelines(entry.hash + "\n" for entry in entries)
        self._killer.tick()
        return entries

    def _tear(self) -> None:
        with self.path.open("ab") as file:
            file.write(b'{"sequence": 7, "at": "2026-')


class DiskService(SimulatedService):
    """Log, clock and the plan it follows survive the controller; a plan that is older than its own is refused."""

    file: Path
    killer: Killer

    def traffic(self, until: datetime) -> datetime:
        self.killer.tick()
        reached = super().traffic(until)
        self.keep()
        self.killer.tick()
        return reached

    def notify(self, plan: ServingPlan) -> None:
        self.killer.tick()
        if self.serving is not None and plan.epoch < self.serving.epoch:
            raise PlanRefused("An older plan.", next_step="Hand over a newer one.")
        super().notify(plan)
        self.keep()
        self.killer.tick()

    def keep(self) -> None:
        _write(self.file, pickle.dumps({name: value for name, value in vars(self).items() if name not in ("registry", "killer")}))


class Stage:
    """Everything of one rollout, in a folder."""

    def __init__(self, folder: Path, wanted: str, killer: Killer) -> None:
        self.folder, self.killer = folder, killer
        self.registry = DiskRegistry(folder / "registry", killer)
        self.ledger = DiskLedger(folder / "ledger.jsonl", killer)
        how: dict[str, Any] = {"faults": ENDS[wanted], "alike": 0.2, "per_day": 800, "label_delay_days": 0.1}
        self.service = DiskService(self.registry, Model(), Model(recall=0.9, false_alerts=0.005), **how)
        self.service.file, self.service.killer = folder / "service", killer
        if self.service.file.exists():
            vars(self.service).update(pickle.loads(self.service.file.read_bytes()))
            return
        at, killer.at = killer.at, 0
        self.registry.ensure()
        for alias in (CHAMPION, CHALLENGER):
            self.registry.set_alias(alias, self.registry.create_version("run", "nowhere", {}))
        self.service.keep()
        killer.at, killer.count = at, 0

    def roll_out(self) -> str:
        """To its end, or to the kill; notes when event time first moved."""
        began = time.perf_counter()

        def traffic(until: datetime) -> datetime:
            self._moved(began)
            return self.service.traffic(until)

        outcome = run_rollout(
            PLAN,
            registry=self.registry,
            ledger=self.ledger,
            evidence=self.service,
            traffic=traffic,
            notify=self.service.notify,
            inspect=self.service.inspect,
            record=lambda entries, rollout_id: self.killer.tick(),
            at=self.service.now,
        )
        self._moved(began)
        return outcome.result

    def _moved(self, began: float) -> None:
        file = self.folder / "resumed_s"
        if not file.exists():
            file.write_text(str(time.perf_counter() - began))


def count_ticks(folder: Path, wanted: str) -> int:
    """How many points there are at which a rollout of this end may be killed."""
    folder.mkdir()
    killer = Killer(0)
    result = Stage(folder, wanted, killer).roll_out()
    assert result == wanted, f"the undisturbed rollout ended {result}, not {wanted}"
    return killer.count


def kill_and_resume(folder: Path, wanted: str, ticks: int, random: np.random.Generator) -> Killed:
    """One rollout, killed at random, resumed until it ends by itself."""
    folder.mkdir()
    kills, lies = 0, []
    status = _in_child(folder, wanted, int(random.integers(1, ticks + 1)))
    while status == signal.SIGKILL:
        kills += 1
        lies += _lies_after(folder)
        (folder / "resumed_s").unlink(missing_ok=True)
        again = int(random.integers(1, ticks + 1)) if random.random() < AGAIN else 0
        status = _in_child(folder, wanted, again)
    if status:
        lies.append(f"the resumed controller ended with status {status}")
    lies += _lies_at_the_end(folder)
    resumed = folder / "resumed_s"
    return Killed(_result(folder), wanted, kills, tuple(lies), float(resumed.read_text()) if resumed.exists() else 0.0)


def _in_child(folder: Path, wanted: str, kill_at: int) -> int:
    """0, or the number of the signal that ended it, or the exit status of a failure."""
    child = os.fork()
    if child == 0:
        try:
            ledger = Ledger(folder / "ledger.jsonl")
            if not any(entry.kind == "rollout_ended" for entry in ledger.entries()):
                Stage(folder, wanted, Killer(kill_at)).roll_out()
            os._exit(0)
        except BaseException as error:
            (folder / "failure").write_text(repr(error))
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]).__abs__()


def _lies_after(folder: Path) -> list[str]:
    """What must hold even while nobody runs the rollout: each acknowledged line is there, and one plan names one champion."""
    lies = _lost(folder)
    registry = DiskRegistry(folder / "registry", Killer(0))
    plan = registry.plan()
    if registry.alias(CHAMPION) is None or (plan and plan.champion not in ("1", "2")):
        lies.append("nobody is champion")
    return lies


def _lies_at_the_end(folder: Path) -> list[str]:
    lies = _lost(folder)
    registry = DiskRegistry(folder / "registry", Killer(0))
    plan, alias = registry.plan(), registry.alias(CHAMPION)
    following = pickle.loads((folder / "service").read_bytes())["serving"]
    if plan is None or plan.mode != "champion_only" or len({plan.champion, alias, following.champion}) != 1 or following != plan:
        lies.append(f"two champions: alias {alias}, plan {plan}, service {following}")
    entries = Ledger(folder / "ledger.jsonl").entries()
    kinds = [entry.kind for entry in entries]
    if kinds.count("rollout_started") != 1 or kinds.count("rollout_ended") != 1 or kinds.count("intent") != kinds.count("done"):
        lies.append(f"the ledger does not add up: {kinds}")
    return lies


def _lost(folder: Path) -> list[str]:
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.verify()
    acknowledged = folder / "acknowledged"
    known = {entry.hash for entry in ledger.entries()}
    lost = [line for line in (acknowledged.read_text().split() if acknowledged.exists() else []) if line not in known]
    return [f"{len(lost)} acknowledged line(s) of the ledger are gone"] if lost else []


def _result(folder: Path) -> str:
    ended = [entry for entry in Ledger(folder / "ledger.jsonl").entries() if entry.kind == "rollout_ended"]
    return str(ended[-1].facts["result"]) if ended else "open"


def _write(file: Path, content: bytes) -> None:
    partial = file.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(file)


def run(folder: Path, count: int, seed: int) -> list[Killed]:
    """`count` rollouts, each killed at least once; half of them are to be promoted, half rolled back."""
    ticks = {wanted: count_ticks(folder / f"undisturbed-{wanted}", wanted) for wanted in ENDS}
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        wanted = [*ENDS][number % len(ENDS)]
        found.append(kill_and_resume(folder / str(number), wanted, ticks[wanted], random))
    return found
