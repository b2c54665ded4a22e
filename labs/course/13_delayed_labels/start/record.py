"""Given: what the scoring service logged of the live payments, which reports of fraud came in, and what was usual before.

`read()` opens the record of the running lab. Times are event time: `today` is the moment after the last payment sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.prediction_frames import labels_frame, window_frame
from data.settings import Settings
from labs.commands.drift import champion_at_work
from labs.live import LiveSource
from labs.stream import midnight
from labs.watching import Watcher
from pipelines.metrics import average_precision
from pipelines.monitoring.column_tests import ColumnTest
from pipelines.monitoring.portfolio import examine
from pipelines.monitoring.reference import Reference, WatchPlan
from pipelines.monitoring.streams import Observations, caught_stream

NEVER = pd.Timestamp("2100-01-01", tz="UTC")
WEEK = timedelta(days=7)
DRIFT = "new_pattern"
FEE = 15.0  # EUR that a fraud costs beside its amount
Judged = Callable[[pd.DataFrame, datetime], tuple[Any, Any]]
Heard = Callable[[list[bool], float], int | None]


@dataclass(frozen=True)
class Record:
    """Everything that is known today."""

    log: pd.DataFrame  # of each payment: what it was, what was answered
    labels: pd.DataFrame  # LABEL_COLUMNS
    live: datetime  # since when the service answers
    today: datetime
    onset: datetime | None  # first day of the drift in the live payments, by whoever injected it
    reference: Reference  # quiet weeks of history, answered by the same champion
    plan: WatchPlan

    @property
    def usual(self) -> float:
        """Share of the reported frauds that had been alerted, in quiet weeks."""
        return float(self.reference.streams.caught.share[0])

    def weeks(self) -> list[tuple[datetime, datetime]]:
        """Whole weeks since going live."""
        n = (self.today - self.live + timedelta(seconds=1)) // WEEK
        return [(self.live + k * WEEK, self.live + (k + 1) * WEEK) for k in range(n)]

    def inputs(self, start: datetime, end: datetime) -> tuple[ColumnTest, ...]:
        """Each watched column of [start, end) beside the reference, as `lab drift check` tests it."""
        window = self.log[_inside(self.log["event_time"], start, end)]
        return examine(window, self.reference, start=start, end=end, plan=self.plan).tests

    def known(self, today: datetime) -> pd.DataFrame:
        """What was known on another day: event_time, report_time (NEVER: no report had come) and score of the payments that were let
        through by then. Nobody reports a declined one."""
        log = self.log[(self.log["event_time"] < pd.Timestamp(today)) & (self.log["decision"] != "decline")]
        frauds = self.labels[self.labels["is_fraud"] & (self.labels["report_time"] <= pd.Timestamp(today))]
        reported = log["transaction_id"].map(frauds.groupby("transaction_id")["report_time"].min()).fillna(NEVER)
        return log[["event_time", "score"]].assign(report_time=reported).reset_index(drop=True)

    def precision_of(self, week: tuple[datetime, datetime], today: datetime, judged: Judged) -> float:
        """Average precision of the payments of a week, judged today. NaN where none of them may judge, or no fraud is among them."""
        rows = self.known(today)
        judges, fraud = (np.asarray(answer, dtype=bool) for answer in judged(rows[["event_time", "report_time"]], today))
        judges = judges & _inside(rows["event_time"], *week)
        if not fraud[judges].any():
            return float("nan")
        return average_precision(fraud[judges], rows["score"].to_numpy()[judges])

    def reports(self, *, at_once: bool = False) -> Observations:
        """Reported frauds in the order of their reports, the first of a card a day and of a till an hour: `.time` (ms since 1970) of
        the report, `.heads`: the payment had been alerted. `at_once`: as if each had been reported when it was paid."""
        return caught_stream(self.log, self.labels.assign(report_time=self.labels["event_time"]) if at_once else self.labels)

    def heard(self, hear: Heard, *, at_once: bool = False) -> tuple[datetime, int] | None:
        """When `hear` raises the alarm, and after how many reports since the onset. None: it never does."""
        reports = self.reports(at_once=at_once)
        place = hear([bool(one) for one in reports.heads], self.usual)
        if place is None:
            return None
        since = 0 if self.onset is None else round(self.onset.timestamp() * 1000)
        when = pd.Timestamp(int(reports.time[place]), unit="ms", tz="UTC").to_pydatetime()
        return when, int((reports.time[: place + 1] >= since).sum())

    def missed(self, start: datetime, end: datetime) -> tuple[int, float]:
        """Frauds of [start, end), known today, that were let through, and the EUR that they cost."""
        frauds = self.labels.loc[self.labels["is_fraud"], "transaction_id"]
        rows = self.log[_inside(self.log["event_time"], start, end) & (self.log["decision"] == "approve").to_numpy()]
        rows = rows[rows["transaction_id"].isin(frauds)]
        return len(rows), float((rows["amount_minor"].to_numpy(dtype=np.float64) / 100 + FEE).sum())


def read(settings: Settings | None = None) -> Record:
    """The record of the running lab."""
    settings = settings or Settings.load()
    model, dataset, live, today = champion_at_work(settings)
    watcher = Watcher.for_champion(settings, dataset, model, live=live)
    drifts = [midnight(one.since) for one in LiveSource.load(settings.home).drifts if one.scenario == DRIFT]
    log, labels = window_frame(settings.log_place, live, today), labels_frame(settings.log_place, today)
    return Record(log, labels, live, today, drifts[0] if drifts else None, watcher.reference, watcher.plan)


def _inside(time: "pd.Series[Any]", start: datetime, end: datetime) -> NDArray[np.bool_]:
    return ((time >= pd.Timestamp(start)) & (time < pd.Timestamp(end))).to_numpy()
