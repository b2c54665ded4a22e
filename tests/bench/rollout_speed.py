"""H5: how soon a rollback is felt, in a running service under load, and whether a client ever notices. Used by `tests/bench/rollout.py`.

A scoring process of its own, a registry beside it, clients that together send 200 payments a second whatever comes back. Two
questions: from the judge's verdict to the last answer of the challenger, by the controller's own actions with the ledger on
disk; and from the first failure of a challenger that crashes to the last payment it is asked about.
"""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from data.costs import Policy
from data.ledger import Ledger
from data.serving_plan import ServingPlan
from data.settings import Settings
from labs.service import hand_over
from pipelines.rollout.actions import Action, complete, intend
from tests.bundles import make_bundle
from tests.chaos.load import Connection, payment
from tests.chaos.registry import RegistryProcess
from tests.chaos.service import SCORING, Lab, wait_until
from tests.chaos.wraps import FAULTY_VERSION, wrapped
from tests.fakes import FakeRegistry

RATE, CLIENTS = 200, 20  # payments a second, over so many connections
AT = datetime(2026, 3, 2, tzinfo=UTC)


class Seen(NamedTuple):
    """One answer."""

    at: float  # time.perf_counter
    status: int
    arm: str
    seconds: float


class Steady:
    """Clients that send at a set rate, answered or not: an open loop."""

    def __init__(self, port: int) -> None:
        self.seen: list[Seen] = []
        self._port = port
        self._stop = threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def failures(self) -> int:
        return sum(one.status != 200 for one in self.seen)

    def last_of_challenger(self, since: float) -> float | None:
        """When its last answer after `since` was received."""
        return max((one.at for one in self.seen if one.arm == "challenger" and one.at > since), default=None)

    async def _all(self) -> None:
        began = time.perf_counter()
        await asyncio.gather(*(self._client(began + client / RATE) for client in range(CLIENTS)))

    async def _client(self, due: float) -> None:
        connection = Connection(self._port)
        while not self._stop.is_set():
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            due += CLIENTS / RATE
            self._number += 1
            sent = time.perf_counter()
            try:
                status, body = await connection.post("/v1/score", payment(self._number).body)
                arm = json.loads(body)["arm"] if status == 200 else ""
            except (OSError, EOFError, TimeoutError):
                status, arm = 0, ""
            now = time.perf_counter()
            self.seen.append(Seen(now, status, arm, now - sent))
        await connection.close()


@contextmanager
def running(folder: Path, *command: str) -> Iterator[Lab]:
    """A service with versions 1 and 2, and the faulty one, over a registry process."""
    keys = folder / "keys"
    for number in (1, 2, int(FAULTY_VERSION)):
        make_bundle(folder / str(number), keys, seed=number, sequence=number, policy=Policy(0.5, 0.9), trees=300)
    with RegistryProcess(folder / "registry", keys) as registry, Lab(folder / "home", registry, key_folder=keys) as lab:
        for version in ("1", "2", FAULTY_VERSION):
            registry.add_version(version, folder / version)
        registry.set_plan(ServingPlan(0, "1"))
        registry.start()
        lab.settings["LAB_REGISTRY_POLL_S"] = "1.0"  # as it is outside of tests
        lab.start(command or SCORING)
        yield lab


class Rollbacks(NamedTuple):
    """Of every rollback: milliseconds from the verdict to the last answer of the challenger received after it; 0 for none."""

    felt_ms: list[float]
    in_process_ms: list[float]  # the same from the moment at which the plan was handed over: without ledger and disk
    answers: int
    failures: int
    answer_p99_ms: float  # of any payment meanwhile: what the machine makes of one round trip


def rollbacks(folder: Path, count: int, share: float = 0.5) -> Rollbacks:
    """Withdraw a canary so many times under load, as the controller does it: verdict, intent, service, registry, done."""
    felt, in_process = [], []
    with running(folder) as lab, Steady(lab.port) as load:
        settings = Settings(home=lab.home, scoring_port=lab.port, mlflow_port=lab.registry.port)
        ledger, registry = Ledger(folder / "ledger.jsonl"), _registry()
        for number in range(count):
            canary = ServingPlan(2 * number + 1, "1", "2", "canary", share, f"rollout-{number}")
            registry.set_plan(canary)
            lab.registry.set_plan(canary)
            hand_over(settings, canary)
            began = time.perf_counter()
            wait_until(lambda began=began: load.last_of_challenger(began) is not None, "the challenger answers")  # type: ignore[misc]
            withdrawn = ServingPlan(canary.epoch + 1, "1", rollout_id=canary.rollout_id)
            action = Action("withdraw", canary, withdrawn, 0, "rolled_back", ("measured",))
            told: list[float] = []

            def notify(plan: ServingPlan, told: list[float] = told) -> None:
                told.append(time.perf_counter())
                hand_over(settings, plan)

            decided = time.perf_counter()
            intend(action, registry, ledger, canary.rollout_id, AT, {"verdict": "roll_back", "reasons": ["measured"]})
            complete(action, registry, ledger, notify, canary.rollout_id, AT)
            lab.registry.set_plan(withdrawn)
            settled = len(load.seen) + 20
            wait_until(lambda settled=settled: len(load.seen) >= settled, "more answers")  # type: ignore[misc]
            last = load.last_of_challenger(decided)
            felt.append(0.0 if last is None else (last - decided) * 1e3)
            in_process.append(0.0 if last is None else max((last - told[0]) * 1e3, 0.0))
    return Rollbacks(felt, in_process, len(load.seen), load.failures, percentile([1e3 * one.seconds for one in load.seen], 99))


def _registry() -> FakeRegistry:
    """The part of the registry that no client waits for."""
    registry = FakeRegistry()
    registry.ensure()
    for alias in ("champion", "challenger"):
        registry.set_alias(alias, registry.create_version("run", "nowhere", {}))
    return registry


class Crash(NamedTuple):
    """A challenger that fails on every payment from some moment on."""

    out_s: float  # from the first failure to the moment at which it is seen to be out
    asked: int  # payments that it failed on
    answers: int
    failures: int


def crash(folder: Path) -> Crash:
    """A canary that was well, and then raises on every payment."""
    with running(folder, *wrapped("challenger-raises")) as lab, Steady(lab.port) as load:
        settings = Settings(home=lab.home, scoring_port=lab.port, mlflow_port=lab.registry.port)
        canary = ServingPlan(1, "1", FAULTY_VERSION, "canary", 0.05, "rollout-1")
        lab.registry.set_plan(canary)
        hand_over(settings, canary)
        wait_until(lambda: _failed(lab) > 0 or _is_out(lab), "it fails", poll_s=0.001)
        first = time.perf_counter()
        wait_until(lambda: _is_out(lab), "it is out", poll_s=0.001)
        out_s = time.perf_counter() - first
        settled = len(load.seen) + RATE
        wait_until(lambda: len(load.seen) >= settled, "more answers")
    lab.kill()
    with closing(sqlite3.connect(lab.log)) as log:
        (asked,) = log.execute(
            "SELECT count(*) FROM predictions WHERE challenger_version IS NOT NULL AND challenger_score IS NULL"
        ).fetchone()
    return Crash(out_s, int(asked), len(load.seen), load.failures)


def _failed(lab: Lab) -> float:
    lines = lab.http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("fraud_challenger_errors_total"))


def _is_out(lab: Lab) -> bool:
    return FAULTY_VERSION in lab.serving()["benched"]


def percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))
