"""Replays payments of a dataset against the scoring service at a fixed arrival rate, and sends labels when they are due.

    LAB_LOAD_DATASET=<folder> locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:8600

Payments go out in order of event time over a fixed number of connections, each when it is due; latency counts from
that moment, so that a service which stalls cannot hide it by slowing its callers down ("coordinated omission", Tene).
Locust's own percentiles are rounded; ours are exact. The exit status is 1 when the objective of slo.toml is missed.

LAB_LOAD_DAY       the first day, as in 2026-03-06; the dataset's first when absent
LAB_LOAD_REQUESTS  how many payments; all that are there when absent
LAB_LOAD_RATE      payments per second, in place of the objective's
LAB_LOAD_OBJECTIVE another file in place of slo.toml
LAB_LOAD_SUMMARY   a file for the figures as JSON
LAB_LOAD_WORKERS   processes that share the payments, each started with --worker beside one --master (and its --expect-workers)
"""

import json
import os
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, Runner, WorkerRunner

from data.dataset import Dataset
from tests.load.replay import Measured, Replay
from tests.load.summary import read_objective, summarise

OBJECTIVE, ARRIVALS = read_objective(Path(os.environ.get("LAB_LOAD_OBJECTIVE") or Path(__file__).with_name("slo.toml")))
WORKERS = int(os.environ.get("LAB_LOAD_WORKERS") or 1)
JSON = {"Content-Type": "application/json"}
TOLD = "measured"  # by a worker, to the master

_replay: Replay | None = None  # of a process that sends, once it has begun
_told: list[Measured] = []  # by workers that have ended


@events.init.add_listener
def listen(environment: Environment, **_: Any) -> None:
    """The master waits for what its workers measured."""
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(TOLD, lambda msg, **_: _told.append(Measured(**msg.data)))


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Open the dataset that the environment names; a worker knows its number by now."""
    global _replay
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        return
    dataset = Dataset(Path(os.environ["LAB_LOAD_DATASET"]))
    named, requests = os.environ.get("LAB_LOAD_DAY"), os.environ.get("LAB_LOAD_REQUESTS")
    _replay = Replay(
        dataset,
        date.fromisoformat(named) if named else min(dataset.days()),
        int(requests) if requests else None,
        float(os.environ.get("LAB_LOAD_RATE") or ARRIVALS.rate_per_s),
        *((runner.worker_index, WORKERS) if isinstance(runner, WorkerRunner) else ()),
    )


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the summary and set the exit status; a worker that told nothing fails the run."""
    if isinstance(environment.runner, WorkerRunner):
        return
    together, lost = Measured(), 0
    if isinstance(environment.runner, MasterRunner):
        for one in _told:
            together.add(one)
        lost = WORKERS - len(_told)
    elif _replay is not None:
        together = _replay.measured
    summary = summarise(
        together.latencies_ms,
        together.failures,
        together.duration_s,
        OBJECTIVE,
        labels_sent=together.labels_sent,
        label_failures=together.label_failures,
    )
    environment.process_exit_code = 0 if summary.met and not lost else 1
    if target := os.environ.get("LAB_LOAD_SUMMARY"):
        Path(target).write_text(json.dumps(asdict(summary), indent=1) + "\n")


def _is_over(runner: Runner | None) -> bool:
    """Asked of the process that leads, also before its first payment."""
    if isinstance(runner, MasterRunner):
        return len(_told) >= WORKERS or runner.worker_count == 0
    return _replay is not None and _replay.over


class Steady(LoadTestShape):
    """A fixed number of connections until every request is answered."""

    def tick(self) -> tuple[int, float] | None:
        """Asked by Locust once a second, in the process that leads."""
        return None if _is_over(self.runner) else (ARRIVALS.users, ARRIVALS.users)


class Payer(FastHttpUser):
    """One connection."""

    connection_timeout = network_timeout = 10.0

    @task
    def pay(self) -> None:
        """Send the next payment when it is due, after the labels that are known by then."""
        assert _replay is not None  # users come after the start
        taken = _replay.take()
        if taken is None:
            self.tell_when_over(_replay)
            raise StopUser
        due, transaction_id, payment, body = taken
        gevent.sleep(max(0.0, due - time.perf_counter()))
        with self.client.post("/v1/score", data=body, headers=JSON, catch_response=True) as answer:
            decision = answer.json()["decision"] if answer.status_code == 200 else None
        _replay.answered(transaction_id, due, decision)
        self.send_labels(_replay, payment["event_time"])
        self.tell_when_over(_replay)

    def send_labels(self, replay: Replay, event_time: str) -> None:
        """Send what has become known by `event_time`."""
        labels, measured = replay.due_labels(event_time), replay.measured
        if labels:
            with self.client.post("/v1/labels", data=f'{{"labels":[{",".join(labels)}]}}', headers=JSON, catch_response=True) as answer:
                measured.labels_sent += len(labels)
                measured.label_failures += 0 if answer.status_code == 200 else len(labels)

    def tell_when_over(self, replay: Replay) -> None:
        """A worker tells its master what it measured, once."""
        runner = self.environment.runner
        if isinstance(runner, WorkerRunner) and replay.over and not _told:
            _told.append(replay.measured)
            runner.send_message(TOLD, asdict(replay.measured))
