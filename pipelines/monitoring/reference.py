"""The frozen span of payments that windows are compared with, and how to watch.

A good reference is out of sample for the model that scored it, whole weeks long (two or more, so that days of one kind
can be compared), quiet, and answered by the version that serves. Made once per promotion by whoever calls `monitor`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from data.costs import DECISIONS, DecisionCosts, Policy
from data.errors import EmptyWindow
from data.features import FEATURES
from data.rules import rule_severity
from data.schema import TRANSACTION_COLUMNS
from pipelines.monitoring.column_tests import ERROR_BUDGET
from pipelines.monitoring.estimate import Calibrator, fit_calibrator
from pipelines.monitoring.fault_tests import Usual
from pipelines.monitoring.label_tests import Delays
from pipelines.monitoring.performance import Performance, matured_rows, measure
from pipelines.monitoring.profile import (
    CATEGORICAL,
    Binning,
    Days,
    Floats,
    Integers,
    Profile,
    Season,
    count_days,
    day_numbers,
    design_effect,
    fit_binning,
    season_of,
    watched_columns,
)
from pipelines.monitoring.streams import SURE, StreamRates, first_alerts
from pipelines.monitoring.value_tests import Values
from pipelines.monitoring.volume_tests import Traffic
from pipelines.monitoring.window_checks import check_window


@dataclass(frozen=True)
class WatchPlan:
    """How to watch. Windows of whole weeks need no correction for weekdays."""

    window_days: int = 7
    maturity_days: int = 7  # labels reported later than this after their payment count in neither window nor reference
    error_budget: float = ERROR_BUDGET  # chance of any false alarm in a quiet window, of all detectors together
    per_thousand: float = 10.0  # alert capacity
    costs: DecisionCosts = field(default_factory=DecisionCosts)
    seed: int = 7
    noise: Mapping[str, float] = field(default_factory=dict)  # design effects by "detector:column", as `noise_floor` measured them

    @property
    def maturity(self) -> timedelta:
        return timedelta(days=self.maturity_days)


@dataclass(frozen=True)
class Reference:
    """The span, its columns in bins, and how well the model did on it."""

    frame: pd.DataFrame
    binnings: tuple[Binning, ...]
    profiles: tuple[Profile, ...]  # per binning
    usual: Usual
    values: Values
    traffic: Traffic
    delays: Delays
    streams: StreamRates
    alert_profile: Profile  # bins: approved, alerted, (none)
    first_alerts: Profile  # bins: not, first alert of its card and its till that day, (none)
    frauds: Days  # bins: not known as fraud in time, known, (none)
    caught: Days  # of the known frauds; bins: missed, alerted, (none)
    performance: Performance | None  # None: too few known frauds
    versions: frozenset[str]
    calibrator: Calibrator | None  # None: too few known frauds

    @property
    def days(self) -> tuple[Days, ...]:
        """Counts by day, per binning."""
        return tuple(profile.days for profile in self.profiles)

    @property
    def alerts(self) -> Days:
        """Payments approved and alerted, by day."""
        return self.alert_profile.days

    def season(self, start: datetime, end: datetime) -> Season:
        """What gives this reference the hours of the week of a window [start, end)."""
        return season_of(self.alerts.days, start, end)


def reference_frame(transactions: pd.DataFrame, features: Floats, scores: Floats, policy: Policy, version: str) -> pd.DataFrame:
    """Rows scored and decided offline, rules included, in the columns of the prediction log that monitoring reads.

    `transactions` (n rows, TRANSACTION_COLUMNS), `features` (n, FEATURE_COUNT), calibrated `scores` (n,).
    """
    made = {name: features[:, i] for i, name in enumerate(FEATURES) if name not in TRANSACTION_COLUMNS}
    decision = np.array(DECISIONS)[np.maximum(policy.severities(scores), rule_severity(features))]
    answers = {"score": scores, "decision": pd.Categorical(decision), "champion_version": pd.Categorical([version] * len(scores))}
    columns = pd.DataFrame(made | answers, index=transactions.index)
    return pd.concat([transactions[list(TRANSACTION_COLUMNS)], columns], axis=1)


def freeze_reference(frame: pd.DataFrame, labels: pd.DataFrame, plan: WatchPlan) -> Reference:
    """Bin, count and judge the reference once. `labels` (LABEL_COLUMNS) must reach `plan.maturity` past its last payment.

    Raises EmptyWindow when it holds too little to compare anything with.
    """
    names = watched_columns(frame)
    checked = check_window(frame, frame, names, words=CATEGORICAL)
    # A column that is null throughout is one that this source does not carry, as places in the Handbook's payments.
    faults = [f.message for f in checked.findings if f.kind in ("empty_window", "small_window") or (f.is_fault and f.kind != "all_null")]
    if faults:
        raise EmptyWindow(
            f"This span cannot serve as a reference. {faults[0]}",
            next_step="Choose whole weeks of sound payments that the champion has not been trained on.",
            where="reference",
        )
    binnings = tuple(fit_binning(name, checked.frame[name]) for name in checked.columns)
    time, frauds = frame["event_time"], fraud_days(frame, labels, plan.maturity)
    rows = matured_rows(checked.frame, labels, plan.maturity)
    caught = caught_days(frame, labels, plan.maturity)
    return Reference(
        frame=checked.frame,
        binnings=binnings,
        profiles=tuple(Profile.of(b.codes(checked.frame[b.column]), time, b.size) for b in binnings),
        usual=Usual.of(checked.frame),
        values=Values.of(checked.frame),
        traffic=Traffic.of(checked.frame),
        delays=Delays.of(frame, labels, effect=design_effect(frauds, ordered=False, quantile=SURE)),
        streams=StreamRates.of(frame, labels, plan.maturity_days),
        alert_profile=Profile.of_marks((frame["decision"] != "approve").to_numpy(), time),
        first_alerts=Profile.of_marks(first_alerts(frame), time),
        frauds=frauds,
        caught=caught,
        performance=measure(rows, per_thousand=plan.per_thousand, costs=plan.costs, seed=plan.seed),
        versions=frozenset(frame["champion_version"].astype(str).unique()),
        calibrator=fit_calibrator(checked.frame, rows, caught),
    )


def alert_days(frame: pd.DataFrame) -> Days:
    """Payments approved and alerted, by day."""
    return count_days((frame["decision"] != "approve").to_numpy().astype(np.int64), day_numbers(frame["event_time"]), 3)


def fraud_days(frame: pd.DataFrame, labels: pd.DataFrame, maturity: timedelta) -> Days:
    """Payments not known as fraud and known, by day; declined ones at their score, since they had no chance of a label."""
    rows = matured_rows(frame, labels, maturity, trusting=True)
    return _weighted_days(day_numbers(frame["event_time"])[rows.position], rows.y, rows.weight)


def caught_days(frame: pd.DataFrame, labels: pd.DataFrame, maturity: timedelta) -> Days:
    """Frauds missed and alerted, by day."""
    rows = matured_rows(frame, labels, maturity)
    return _weighted_days(day_numbers(frame["event_time"])[rows.position], rows.alert, rows.weight * rows.y)


def _weighted_days(day: Integers, bins: Floats, weight: Floats) -> Days:
    days, index = np.unique(day, return_inverse=True)
    flat = np.bincount(index * 3 + bins.astype(np.int64), weights=weight, minlength=3 * len(days)).astype(np.float64)
    return Days(days, flat.reshape(len(days), 3))
