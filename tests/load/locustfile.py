"""Replays payments of a dataset against the scoring service at a fixed arrival rate, and sends labels when they are due.

    LAB_LOAD_DATASET=<folder> LAB_LOAD_DAY=2026-03-06 LAB_LOAD_REQUESTS=2000 \\
        locust -f tests/load/locustfile.py --headless --host http://127.0.0.1:8600

Payments go out in order of event time over a fixed number of connections, each when it is due; latency counts from
that moment, so that a service which stalls cannot hide it by slowing its callers down ("coordinated omission", Tene).
Locust's own percentiles are rounded; ours are exact. The exit status is 1 when the objective of slo.toml is missed.

LAB_LOAD_OBJECTIVE names another file in place of slo.toml; LAB_LOAD_RATE overrides the file's rate (payments per second);
LAB_LOAD_SUMMARY names a file for the figures as JSON.
"""

import heapq
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.exception import StopUser

from data.dataset import Dataset
from tests.load.summary import read_objective, summarise

OBJECTIVE, ARRIVALS = read_objective(Path(os.environ.get("LAB_LOAD_OBJECTIVE") or Path(__file__).with_name("slo.toml")))
JSON = {"Content-Type": "application/json"}
MOST_LABELS = 500  # per request


class Replay:
    """The one stream that all connections share, and what became of it."""

    def __init__(self, dataset: Dataset, first: date, requests: int, rate_per_s: float) -> None:
        self.interval_s = 1.0 / rate_per_s
        self.requests = requests
        self.taken = self.failures = self.labels_sent = self.label_failures = 0
        self.latencies_ms: list[float] = []
        self.ended = 0.0
        self._first = first
        self._dataset = dataset
        self._labels: dict[str, list[dict[str, Any]]] = {}  # by payment, until it is answered
        self._due: list[tuple[str, str, str]] = []  # (report time, id, body) of labels of answered payments: a heap
        self._payments = self._read()
        self._started: float | None = None

    @property
    def over(self) -> bool:
        return len(self.latencies_ms) >= self.requests

    def take(self) -> tuple[float, str, dict[str, Any], str] | None:
        """The next payment: when it is due, its id, facts and body; None after the last."""
        if self.taken >= self.requests:
            return None
        payment = next(self._payments, None)
        if payment is None:
            self.requests = self.taken  # the dataset is shorter than asked
            return None
        if self._started is None:
            self._started = time.perf_counter()
        due = self._started + self.taken * self.interval_s
        self.taken += 1
        return due, payment["transaction_id"], payment, json.dumps(payment)

    def answered(self, transaction_id: str, due: float, decision: str | None) -> None:
        """Note one answer; a declined payment never happened, so nobody will dispute it."""
        self.ended = time.perf_counter()
        self.latencies_ms.append((self.ended - due) * 1_000)
        self.failures += decision is None
        labels = self._labels.pop(transaction_id, [])
        for label in labels if decision in {"approve", "review"} else ():
            heapq.heappush(self._due, (label["report_time"], transaction_id, json.dumps(label)))

    def due_labels(self, event_time: str) -> list[str]:
        """Bodies of the labels known by `event_time`; ISO 8601 in UTC sorts as time does."""
        found = []
        while self._due and self._due[0][0] <= event_time and len(found) < MOST_LABELS:
            found.append(heapq.heappop(self._due)[2])
        return found

    @property
    def duration_s(self) -> float:
        return self.ended - self._started if self._started is not None else 0.0

    def _read(self) -> Iterator[dict[str, Any]]:
        """Payments day by day, in order of event time."""
        for day in self._dataset.days():
            if day >= self._first:
                for label in _rows(self._dataset, "labels", day):
                    self._labels.setdefault(label["transaction_id"], []).append(label)
                yield from _rows(self._dataset, "transactions", day)


def _rows(dataset: Dataset, kind: Any, day: date) -> list[dict[str, Any]]:
    if not dataset.path(kind, day).exists():
        return []
    frame = dataset.read(kind, day, day + timedelta(days=1))
    if kind == "labels":
        frame = frame[["transaction_id", "report_time", "is_fraud", "source"]]
    lines = frame.to_json(orient="records", lines=True, date_format="iso", double_precision=15)
    return [json.loads(line) for line in lines.splitlines()]


_replay: Replay


@events.init.add_listener
def begin(**_: Any) -> None:
    """Open the dataset that the environment names."""
    global _replay
    rate = float(os.environ.get("LAB_LOAD_RATE", ARRIVALS.rate_per_s))
    day = date.fromisoformat(os.environ["LAB_LOAD_DAY"])
    _replay = Replay(Dataset(Path(os.environ["LAB_LOAD_DATASET"])), day, int(os.environ["LAB_LOAD_REQUESTS"]), rate)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the summary and set the exit status."""
    r = _replay
    summary = summarise(r.latencies_ms, r.failures, r.duration_s, OBJECTIVE, labels_sent=r.labels_sent, label_failures=r.label_failures)
    environment.process_exit_code = 0 if summary.met else 1
    if target := os.environ.get("LAB_LOAD_SUMMARY"):
        Path(target).write_text(json.dumps(asdict(summary), indent=1) + "\n")


class Steady(LoadTestShape):
    """A fixed number of connections until every request is answered."""

    def tick(self) -> tuple[int, float] | None:
        """Asked by Locust once a second."""
        return None if _replay.over else (ARRIVALS.users, ARRIVALS.users)


class Payer(FastHttpUser):
    """One connection."""

    connection_timeout = network_timeout = 10.0

    @task
    def pay(self) -> None:
        """Send the next payment when it is due, after the labels that are known by then."""
        taken = _replay.take()
        if taken is None:
            raise StopUser
        due, transaction_id, payment, body = taken
        gevent.sleep(max(0.0, due - time.perf_counter()))
        with self.client.post("/v1/score", data=body, headers=JSON, catch_response=True) as answer:
            decision = answer.json()["decision"] if answer.status_code == 200 else None
        _replay.answered(transaction_id, due, decision)
        self.send_labels(payment["event_time"])

    def send_labels(self, event_time: str) -> None:
        """Send what has become known by `event_time`."""
        labels = _replay.due_labels(event_time)
        if labels:
            with self.client.post("/v1/labels", data=f'{{"labels":[{",".join(labels)}]}}', headers=JSON, catch_response=True) as answer:
                _replay.labels_sent += len(labels)
                _replay.label_failures += 0 if answer.status_code == 200 else len(labels)
