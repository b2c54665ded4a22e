"""What matured labels say of a window: how the model did, whether the labels themselves can be trusted, and since when it shows.

Pure functions of frames. Called by `monitor`, which passes rows whose columns it has checked.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import rate_p_value
from pipelines.monitoring.evidence import RANKING_LOSS, LabelFlow, RankingLoss
from pipelines.monitoring.onset import Onset, estimate_onset
from pipelines.monitoring.performance import Performance, damage, knowable_on, matured_rows, measure
from pipelines.monitoring.profile import Days, Floats, day_numbers, design_effect
from pipelines.monitoring.reference import Reference, WatchPlan, caught_days, fraud_days

SURE_QUANTILE: Final = 0.999  # how far a design effect estimated from few days is widened for an onset
MISSING_LABELS: Final = 0.5  # fewer than this share of the expected frauds: the label feed is broken, not the fraudsters


@dataclass(frozen=True)
class LabelEvidence:
    """All that the labels known by `now` say."""

    judged: pd.DataFrame  # payments with matured labels that everything here rests on
    performance: Performance | None  # None: too few known frauds
    damage: Performance | None  # reference less window
    ranking: RankingLoss | None
    flow: LabelFlow | None  # None: no payment is old enough
    onset: Onset | None  # given, or of the loss itself where nothing else moved
    knowable_on: date  # the first day on which the damage could be measured
    quiet: pd.DataFrame  # live payments from before the onset, or before the window where nothing moved
    quiet_matured: pd.DataFrame  # those of them whose labels have matured
    quiet_caught: float  # known frauds among the alerts of these

    @property
    def span(self) -> tuple[date, date] | None:
        """First and last day of the payments judged."""
        if self.performance is None:
            return None
        return self.judged["event_time"].min().date(), self.judged["event_time"].max().date()


def hear_labels(
    seen: pd.DataFrame, reference: Reference, labels: pd.DataFrame, onset: Onset | None, *, now: datetime, plan: WatchPlan, level: float
) -> LabelEvidence:
    """Judge the payments of `seen` that are old enough, since the `onset` where there is one. `labels` are those known by `now`.

    `level`: the error of one test.
    """
    rows = _judged(seen, onset, now, plan)
    performance = measure(matured_rows(rows, labels, plan.maturity), per_thousand=plan.per_thousand, costs=plan.costs, seed=plan.seed)
    lost = damage(reference.performance, performance) if reference.performance and performance else None
    ranking = _ranking_loss(reference, lost, plan)
    if onset is None and ranking is not None and ranking.relative >= RANKING_LOSS and ranking.p_value < plan.error_budget:
        onset = _performance_onset(seen, reference, labels, now, plan)
    flow = _label_flow(seen, reference, labels, now, plan, level)
    changed = onset.day if onset else (now - timedelta(days=plan.window_days)).date()
    quiet = seen[seen["event_time"] < pd.Timestamp(changed, tz="UTC")]
    old = quiet[quiet["event_time"] < pd.Timestamp(now - plan.maturity)]
    caught = float(caught_days(old, labels, plan.maturity).counts[:, 1].sum())
    judged_from = onset.day if onset else (now - plan.maturity - timedelta(days=plan.window_days)).date()
    knowable = _knowable_on(seen, reference, labels, max(judged_from, seen["event_time"].min().date()), now, plan)
    return LabelEvidence(rows, performance, lost, ranking, flow, onset, knowable, quiet, old, caught)


def _judged(seen: pd.DataFrame, onset: Onset | None, now: datetime, plan: WatchPlan) -> pd.DataFrame:
    """Payments with matured labels: since the onset, or of the last whole window of them; two windows at most."""
    end = pd.Timestamp(now - plan.maturity)
    windows = 1 if onset is None else 2
    start = end - pd.Timedelta(days=windows * plan.window_days)
    if onset is not None:
        start = max(start, pd.Timestamp(onset.day, tz="UTC"))
    return seen[(seen["event_time"] >= start) & (seen["event_time"] < end)]


def _ranking_loss(reference: Reference, lost: Performance | None, plan: WatchPlan) -> RankingLoss | None:
    """The loss of recall at a fixed rate of false alerts, and how likely it is to be the luck of the campaigns."""
    from scipy.special import ndtr

    if reference.performance is None or lost is None:
        return None
    loss, before = lost.recall_at_false_alerts, reference.performance.recall_at_false_alerts.value
    # Resampled cards do not know that one campaign hits many of them in a day: the days of the reference do.
    effect = design_effect(reference.caught, ordered=False, quantile=1 - plan.error_budget)
    error = max((loss.value - loss.low) / 1.96, 1e-9) * np.sqrt(effect)
    return RankingLoss(loss.value / before if before else 0.0, float(ndtr(-loss.value / error)))


def _performance_onset(seen: pd.DataFrame, reference: Reference, labels: pd.DataFrame, now: datetime, plan: WatchPlan) -> Onset | None:
    matured = seen[seen["event_time"] < pd.Timestamp(now - plan.maturity)]
    caught = caught_days(matured, labels, plan.maturity)
    effect = design_effect(reference.caught, ordered=False, quantile=SURE_QUANTILE)
    return estimate_onset(caught, reference.caught, caught.counts[-plan.window_days :].sum(axis=0), effect=effect)


def _label_flow(
    seen: pd.DataFrame, reference: Reference, labels: pd.DataFrame, now: datetime, plan: WatchPlan, level: float
) -> LabelFlow | None:
    """Whether frauds become known as fast as they used to, alerted or not. None while no whole day is old enough."""
    matured = _judged(seen, None, now, plan)
    if len(matured) == 0:
        return None
    counts, before = fraud_days(matured, labels, plan.maturity).counts.sum(axis=0), reference.frauds.counts.sum(axis=0)
    scale = counts.sum() / before.sum()
    effect = design_effect(reference.frauds, ordered=False, quantile=1 - level / 2)
    expected = before[1] * scale
    p = _rate_p_value(counts[1], counts.sum(), before[1], before.sum(), effect)
    rows = matured_rows(matured, labels, plan.maturity)
    told = rows.weight >= 1  # declined payments are believed frauds, and nobody reports them: they are not expected among the caught
    caught, missed = float((rows.y * rows.alert)[told].sum()), float((rows.y * (1 - rows.alert))[told].sum())
    believed = float((rows.y * rows.weight)[~told].sum())
    usual_missed, usual_caught = (float(v) for v in reference.caught.counts.sum(axis=0)[:2])
    caught_p = _rate_p_value(caught + believed, counts.sum(), usual_caught, before.sum(), effect)
    flow = LabelFlow(
        float(counts[1]), float(expected), p, bool(p < level and counts[1] < MISSING_LABELS * expected),
        caught, max(float(usual_caught * scale) - believed, 0.0), missed, float(usual_missed * scale), caught_p,
    )  # fmt: skip
    return replace(flow, one_sided=bool(caught_p < level and flow.looks_blocked))


def _rate_p_value(marked: float, rows: float, marked_before: float, rows_before: float, effect: float) -> float:
    return rate_p_value(marked / effect, rows / effect, marked_before / effect, rows_before / effect)


def _knowable_on(seen: pd.DataFrame, reference: Reference, labels: pd.DataFrame, since: date, now: datetime, plan: WatchPlan) -> date:
    """When the frauds since then had matured, or at the reference's rate of frauds will have."""
    old = seen[(seen["event_time"] >= pd.Timestamp(since, tz="UTC")) & (seen["event_time"] < pd.Timestamp(now - plan.maturity))]
    counts: Floats = _totals(reference.frauds)
    per_day = len(seen) / max(1, len(np.unique(day_numbers(seen["event_time"])))) * counts[1] / counts.sum()
    rows = matured_rows(old, labels, plan.maturity)
    return knowable_on(rows, day_numbers(old["event_time"])[rows.position], since, plan.maturity, frauds_per_day=float(per_day))


def _totals(days: Days) -> Floats:
    totals: Floats = days.counts.sum(axis=0)
    return totals
