"""Live traffic for the demo and the labs: days of payments sent to the scoring service in event time.

Payments go out in order of arrival, through the batch endpoint. A label goes out on the evening of the day on which
it became known, unless its payment was declined: nobody disputes a payment that never happened.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import httpx
import pandas as pd

from data.errors import ServiceDown, StepFailed

BATCH_ROWS = 1_000  # rows per request: the service answers one in some tens of milliseconds

DayOf = Callable[[date], tuple[pd.DataFrame, pd.DataFrame]]  # a day's transactions and the labels they will get


@dataclass
class Replay:
    """Sends days one after the other and remembers the labels that are not due yet."""

    url: str
    day_of: DayOf
    next_day: date
    timeout_s: float = 30.0
    sent: int = 0
    failed: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    last_version: str = ""
    _pending: list[pd.DataFrame] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """Event time: the end of the last day sent."""
        return datetime.combine(self.next_day, time(), UTC)

    def run_until(self, end: date, on_day: Callable[[date], None] | None = None) -> None:
        """Send every day before `end`. Raises ServiceDown when the service does not answer, StepFailed when it refuses."""
        with httpx.Client(base_url=self.url, timeout=self.timeout_s) as client:
            while self.next_day < end:
                transactions, labels = self.day_of(self.next_day)
                declined = self._send_payments(client, transactions)
                self._pending.append(labels[labels["is_fraud"] & ~labels["transaction_id"].isin(declined)])
                self.next_day += timedelta(days=1)
                self._send_labels(client)
                if on_day is not None:
                    on_day(self.next_day)

    def _send_payments(self, client: httpx.Client, transactions: pd.DataFrame) -> set[str]:
        declined: set[str] = set()
        for start in range(0, len(transactions), BATCH_ROWS):
            rows = transactions.iloc[start : start + BATCH_ROWS].to_json(orient="records", date_format="iso")
            answers = self._post(client, "/v1/score/batch", f'{{"transactions":{rows}}}', "predictions")
            self.decisions.update(a["decision"] for a in answers)
            self.versions.update(a["model_version"] for a in answers)
            self.last_version = answers[-1]["model_version"]
            self.sent += len(answers)
            declined.update(a["transaction_id"] for a in answers if a["decision"] == "decline")
        return declined

    def _send_labels(self, client: httpx.Client) -> None:
        pending = pd.concat(self._pending, ignore_index=True)
        due = pending["report_time"] <= pd.Timestamp(self.now)
        self._pending = [pending[~due]]
        reports = pending[due].sort_values(["report_time", "transaction_id"], kind="stable")
        for chunk in _chunks(reports[["transaction_id", "report_time", "is_fraud", "source"]]):
            self._post(client, "/v1/labels", f'{{"labels":{chunk.to_json(orient="records", date_format="iso")}}}', None)

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


def _chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + BATCH_ROWS] for start in range(0, len(frame), BATCH_ROWS))
