"""Live traffic for the demo and the labs: days of payments sent to the scoring service in event time.

Payments go out in order of arrival, through the batch endpoint. A label goes out once it is known, after the payments
that came before; never when its payment was declined: nobody disputes a payment that never happened.
What the feed of labels may lose or hold back on the way is said by whoever made the stream.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import httpx
import pandas as pd

from data.errors import ServiceDown, StepFailed
from data.faults.dose import Mask

BATCH_ROWS = 1_000  # rows per request: the service answers one in some tens of milliseconds

LABELS_EVERY = timedelta(hours=6)  # of event time: between two deliveries of labels, as an overnight feed has it


@dataclass(frozen=True)
class LiveDay:
    """One day of payments as they arrive, and the labels that they will get."""

    transactions: pd.DataFrame  # TRANSACTION_COLUMNS
    arrival: pd.Series  # (n,) when each one reaches the service; differs from its event time where clocks are wrong
    labels: pd.DataFrame  # LABEL_COLUMNS


@dataclass
class Replay:
    """Sends payments up to any moment, and remembers where it is and which labels are not due yet."""

    url: str
    day_of: Callable[[date], LiveDay]
    now: datetime  # event time: everything that arrived before it has been sent
    end: datetime  # there are no payments from here on
    feed: Callable[[pd.DataFrame, Mask], pd.DataFrame] = lambda labels, _: labels  # `Drifts.feed`
    timeout_s: float = 30.0
    sent: int = 0
    failed: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    last_version: str = ""
    _day: date | None = None
    _today: LiveDay | None = None
    _pending: list[pd.DataFrame] = field(default_factory=list)
    _alerted: dict[str, str] = field(default_factory=dict)  # decisions other than to approve

    def run_until(self, until: datetime) -> datetime:
        """Send what arrives before `until`, or before the end; returns how far it came.

        Raises ServiceDown when the service does not answer, StepFailed when it refuses.
        """
        until = min(until, self.end)
        # Plain HTTP on this machine: to load the certificates of the world's authorities takes 20 ms.
        with httpx.Client(base_url=self.url, timeout=self.timeout_s, trust_env=False, verify=False) as client:
            while self.now < until:
                stop = min(until, _next_delivery(self.now))
                today = self._load(self.now.date())
                chosen = (today.arrival >= pd.Timestamp(self.now)) & (today.arrival < pd.Timestamp(stop))
                self._send_payments(client, today.transactions[chosen.to_numpy()])
                self.now = stop
                self._send_labels(client)
        return self.now

    def _load(self, day: date) -> LiveDay:
        if self._today is None or self._day != day:
            self._day, self._today = day, self.day_of(day)
            self.expect(self._today.labels)
        return self._today

    def expect(self, labels: pd.DataFrame) -> None:
        """Send these labels, too, once they are known. Only frauds are ever reported."""
        self._pending.append(labels[labels["is_fraud"]])

    def _send_payments(self, client: httpx.Client, transactions: pd.DataFrame) -> None:
        for start in range(0, len(transactions), BATCH_ROWS):
            rows = transactions.iloc[start : start + BATCH_ROWS].to_json(orient="records", date_format="iso", double_precision=15)
            answers = self._post(client, "/v1/score/batch", f'{{"transactions":{rows}}}', "predictions")
            self.decisions.update(a["decision"] for a in answers)
            self.last_version = answers[-1]["model_version"]
            self.sent += len(answers)
            self.remember({a["transaction_id"]: a["decision"] for a in answers})

    def remember(self, decisions: Mapping[str, str]) -> None:
        """Who is not to be reported, or may not be, because the service had doubts."""
        self._alerted.update((key, decision) for key, decision in decisions.items() if decision != "approve")

    def _send_labels(self, client: httpx.Client) -> None:
        pending = pd.concat(self._pending, ignore_index=True)
        decision = pending["transaction_id"].map(self._alerted)
        pending, decision = pending[decision != "decline"], decision[decision != "decline"]
        reports = self.feed(pending, decision.notna().to_numpy())
        reports = reports[reports["report_time"] <= pd.Timestamp(self.now)]
        self._pending = [pending.drop(reports.index)]
        reports = reports.sort_values(["report_time", "transaction_id"], kind="stable")
        for chunk in _chunks(reports[["transaction_id", "report_time", "is_fraud", "source"]]):
            self._post(
                client, "/v1/labels", f'{{"labels":{chunk.to_json(orient="records", date_format="iso", double_precision=15)}}}', None
            )

    def _post(self, client: httpx.Client, path: str, body: str, key: str | None) -> list[dict[str, str]]:
        try:
            response = client.post(path, content=body, headers={"content-type": "application/json"})
        except httpx.TransportError as error:
            self.failed += 1
            raise ServiceDown(
                f"The scoring service at {self.url} did not answer {path} ({type(error).__name__}).",
                next_step="See the log named by `lab status`, then run the command again.",
                where=path,
            ) from error
        if response.status_code != 200:
            self.failed += 1
            raise StepFailed(f"{path} answered {response.status_code}: {response.text[:300]}", next_step="Run `lab status`.", where=path)
        return json.loads(response.content)[key] if key else []


def _next_delivery(now: datetime) -> datetime:
    """The next full quarter of a day after `now`: labels go out then, and no stretch crosses midnight."""
    midnight = datetime.combine(now.date(), time(), UTC)
    return midnight + LABELS_EVERY * ((now - midnight) // LABELS_EVERY + 1)


def _chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + BATCH_ROWS] for start in range(0, len(frame), BATCH_ROWS))
