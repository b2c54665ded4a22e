"""The payments of a load run, when each is due, and what became of them. One object for all connections of a process."""

import heapq
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any

from data.dataset import Dataset

MOST_LABELS = 500  # per request


@dataclass
class Measured:
    """What one process saw; of several, all together."""

    latencies_ms: list[float] = field(default_factory=list)  # of every payment, answered or not
    failures: int = 0
    duration_s: float = 0.0
    labels_sent: int = 0
    label_failures: int = 0

    def add(self, other: "Measured") -> None:
        """They ran side by side."""
        self.latencies_ms += other.latencies_ms
        self.failures += other.failures
        self.duration_s = max(self.duration_s, other.duration_s)
        self.labels_sent += other.labels_sent
        self.label_failures += other.label_failures


class Replay:
    """Payments of a dataset from a day on, in order of event time, `rate_per_s` of them due each second.

    Of several processes, number `worker` of `workers` sends every payment whose place is its own, when that place is due.
    """

    def __init__(self, dataset: Dataset, first: date, requests: int | None, rate_per_s: float, worker: int = 0, workers: int = 1) -> None:
        """`requests`: how many payments, of all processes together; None: all there are."""
        self.measured = Measured()
        self._interval_s = 1.0 / rate_per_s
        self._dataset, self._first = dataset, first
        self._labels: dict[str, list[dict[str, Any]]] = {}  # by payment, until it is answered
        self._due: list[tuple[str, str, str]] = []  # (report time, id, body) of labels of answered payments: a heap
        self._payments = islice(enumerate(self._read()), worker, requests, workers)
        self._taken, self._all_taken = 0, False
        self._started: float | None = None

    @property
    def over(self) -> bool:
        """Every payment was sent, and answered or not."""
        return self._all_taken and len(self.measured.latencies_ms) == self._taken

    def take(self) -> tuple[float, str, dict[str, Any], str] | None:
        """The next payment: when it is due, its id, facts and body; None after the last."""
        taken = next(self._payments, None)
        if taken is None:
            self._all_taken = True
            return None
        place, payment = taken
        if self._started is None:
            self._started = time.perf_counter()
        self._taken += 1
        return self._started + place * self._interval_s, payment["transaction_id"], payment, json.dumps(payment)

    def answered(self, transaction_id: str, due: float, decision: str | None) -> None:
        """Note one answer; a declined payment never happened, so nobody will dispute it."""
        now = time.perf_counter()
        assert self._started is not None  # it was taken
        self.measured.duration_s = now - self._started
        self.measured.latencies_ms.append((now - due) * 1_000)
        self.measured.failures += decision is None
        labels = self._labels.pop(transaction_id, [])
        for label in labels if decision in {"approve", "review"} else ():
            heapq.heappush(self._due, (label["report_time"], transaction_id, json.dumps(label)))

    def due_labels(self, event_time: str) -> list[str]:
        """Bodies of the labels known by `event_time`; ISO 8601 in UTC sorts as time does."""
        found = []
        while self._due and self._due[0][0] <= event_time and len(found) < MOST_LABELS:
            found.append(heapq.heappop(self._due)[2])
        return found

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
