"""The days since the reference as series, for plots: how far each column is from it, alerts, and frauds caught."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from pipelines.monitoring.profile import CATEGORICAL, Days, Floats, count_days, day_numbers, population_stability, to_deciles
from pipelines.monitoring.reference import Reference, WatchPlan, alert_days, caught_days
from pipelines.monitoring.window_checks import check_window

MATERIAL_PSI = 0.1  # the line that credit scoring draws (Siddiqi, Credit Risk Scorecards, 2006): 0.1 look, 0.25 act


@dataclass(frozen=True)
class Series:
    """One line: a value per day, None where there is none."""

    name: str
    values: tuple[float | None, ...]
    threshold: float | None = None


@dataclass(frozen=True)
class Timeline:
    """What happened by day. All series have the length of `days`."""

    days: tuple[date, ...]
    distances: tuple[Series, ...]  # PSI of each watched column against the reference, the largest first
    alert_rate: Series  # share of payments alerted; the threshold is the reference's rate
    recall: Series  # of the frauds known in time, the share alerted, over a window ending that day; None until matured

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"days": [day.isoformat() for day in self.days]}


def timeline(frame: pd.DataFrame, reference: Reference, labels: pd.DataFrame, *, now: datetime, plan: WatchPlan, top: int = 6) -> Timeline:
    """The served `frame` before `now` by day: the `top` columns that strayed farthest, alerts and recall."""
    seen = frame[frame["event_time"] < pd.Timestamp(now)]
    day = day_numbers(seen["event_time"])
    days = np.unique(day)
    checked = check_window(seen, reference.frame, [b.column for b in reference.binnings], words=CATEGORICAL)
    lines = []
    for binning, before in zip(reference.binnings, reference.days, strict=True):
        if binning.column in checked.columns:
            counts = count_days(binning.codes(checked.frame[binning.column]), day, binning.size)
            lines.append(Series(binning.column, _distances(counts, before, ordered=binning.ordered), MATERIAL_PSI))
    lines.sort(key=lambda line: -max(v or 0.0 for v in line.values))
    alerts = alert_days(seen).counts
    usual = reference.alerts.counts.sum(axis=0)
    known = labels[labels["report_time"] <= pd.Timestamp(now)]
    matured = seen[seen["event_time"] < pd.Timestamp(now - plan.maturity)]
    return Timeline(
        tuple(date.fromordinal(date(1970, 1, 1).toordinal() + int(d)) for d in days),
        tuple(lines[:top]),
        Series("alert rate", tuple((alerts[:, 1] / alerts.sum(axis=1)).tolist()), float(usual[1] / usual.sum())),
        Series("recall", _trailing_recall(caught_days(matured, known, plan.maturity), days, plan.window_days), _recall(reference.caught)),
    )


def _distances(seen: Days, reference: Days, *, ordered: bool) -> tuple[float, ...]:
    """PSI of each day against the same weekday of the reference, or all of it where that weekday is not in it."""
    total = reference.counts.sum(axis=0)[:-1]
    values = []
    for day, counts in zip(seen.days, seen.counts[:, :-1], strict=True):
        same = reference.days % 7 == day % 7
        usual = reference.counts[same, :-1].sum(axis=0) if same.any() else total
        pair = (to_deciles(counts, total), to_deciles(usual, total)) if ordered else (counts, usual)
        values.append(population_stability(*pair))
    return tuple(values)


def _trailing_recall(caught: Days, days: Any, width: int) -> tuple[float | None, ...]:
    values: list[float | None] = []
    last = caught.days.max(initial=-1)
    for day in days:
        inside = (caught.days > day - width) & (caught.days <= day)
        counts: Floats = caught.counts[inside].sum(axis=0)
        values.append(float(counts[1] / counts.sum()) if day <= last and counts.sum() > 0 else None)
    return tuple(values)


def _recall(caught: Days) -> float | None:
    counts = caught.counts.sum(axis=0)
    return float(counts[1] / counts.sum()) if counts.sum() else None
