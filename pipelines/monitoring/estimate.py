"""How good the alerts probably are, before any label is there: precision and recall expected from calibrated scores.

The idea is that of CBPE (NannyML, "confidence-based performance estimation"): a score of 0.2 that is calibrated is a fraud
in one case of five, so the scores of the alerts add up to the frauds among them. Three things make it honest here:

- the scores are calibrated first, on the reference's matured labels (uncalibrated they were 50 % off with no drift at all), and
  once more by as much as the labels of quiet live days ask for: a model grows stale without any drift;
- scores that follow the payments are not taken at their word. When people pay otherwise, or a clock is wrong, more honest
  payments are alerted and no fraudster works harder: the frauds caught per payment stay what quiet days promised. If fraud
  follows the payments, they rise with the scores. The truth lies between, so the geometric mean is told; where the two are
  far apart the scores have lost touch, and the level of quiet days is told. `as_scored` keeps the other reading;
- it says when it may not be believed: see `reasons`. No label-free estimate sees fraudsters change or features mixed up.

A fraud is one reported within the label delay, as in `performance`. Called by `reference` and `monitor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from data.bundle import Calibration
from pipelines.metrics import Interval
from pipelines.monitoring.performance import MINIMUM_FRAUDS, MaturedRows
from pipelines.monitoring.profile import CATEGORICAL, Days, Floats
from pipelines.monitoring.window_checks import Finding
from pipelines.training.calibrate import fit_platt

FOLLOWS: Final = 1.5  # how far scores may promise more frauds than quiet days did, and still be heard
UNSEEN_SHARE: Final = 0.05  # of the alerts; a new category on one payment in a hundred leaves the estimate as it is
SURE: Final = 1.96
CONTRADICTED: Final = 4.0  # standard errors between estimate and labels: campaigns last days, so those of single days are too small
UNREADABLE: Final = frozenset({"missing_column", "mixed_types", "not_numeric", "all_null", "infinite"})


@dataclass(frozen=True)
class Expected:
    """What calibrated scores promise of a span, per payment."""

    alerts: float
    caught: float  # frauds among them
    frauds: float  # frauds at all
    days: int

    @property
    def rates(self) -> tuple[float, float, float]:
        return self.alerts, self.caught, self.frauds

    @property
    def precision(self) -> float:
        return self.caught / self.alerts if self.alerts else 0.0

    @property
    def recall(self) -> float:
        return self.caught / self.frauds if self.frauds else 0.0


@dataclass(frozen=True)
class Calibrator:
    """Scores to the chance of a reported fraud, fitted once on the reference, and what it promises there."""

    calibration: Calibration
    usual: Expected
    rows: int
    caught: float  # frauds among the reference's alerts that labels really told of
    daily_error: float  # relative standard error of the frauds caught on one day: campaigns come and go

    def expect(self, frame: pd.DataFrame) -> Expected:
        """The promise for a span with `score`, `decision` and `event_time`; at least one row."""
        chance = self.calibration.probabilities(_log_odds(frame["score"].to_numpy(dtype=np.float64)))
        alert = (frame["decision"] != "approve").to_numpy()
        days = max(1, int(frame["event_time"].dt.floor("D").nunique()))
        return Expected(float(alert.mean()), float(chance[alert].sum() / len(frame)), float(chance.mean()), days)

    def usually(self, quiet: pd.DataFrame) -> Expected:
        """The promise of the reference and of quiet live rows, possibly none, together: the more days, the less one campaign counts."""
        if len(quiet) == 0:
            return self.usual
        live, past = self.expect(quiet), self.usual
        part = live.days / (live.days + past.days)
        alerts, caught, frauds = (part * a + (1 - part) * b for a, b in zip(live.rates, past.rates, strict=True))
        return Expected(alerts, caught, frauds, live.days + past.days)

    def refresh(self, quiet: pd.DataFrame, caught: float) -> float:
        """What to multiply promised catches with, once labels told of so many `caught` among matured quiet live rows."""
        promised = self.usual.caught * self.rows + (self.expect(quiet).caught * len(quiet) if len(quiet) else 0.0)
        return (self.caught + caught) / promised if promised > 0 else 1.0

    def between(self, days: int) -> float:
        """Relative standard error of what the reference promises of another span of so many days: both have their campaigns."""
        return self.daily_error * float(np.sqrt(1 / self.usual.days + 1 / days))


@dataclass(frozen=True)
class Estimate:
    """Precision and recall of the window's alerts, with 95 % intervals, and whether to believe them."""

    precision: Interval
    recall: Interval
    caught_per_thousand: float  # payments
    as_scored: float  # the precision if extra alerts were as good as the usual ones
    usual_precision: float
    usual_recall: float
    reasons: tuple[str, ...]  # why it is not valid; empty: it is
    measured: Interval | None = None  # the precision that labels gave since, of the payments old enough
    promised: float | None = None  # the estimate for those same payments

    @property
    def valid(self) -> bool:
        return not self.reasons

    @property
    def unchanged(self) -> bool:
        """Whether the reference's precision and recall lie inside."""
        return (
            self.precision.low <= self.usual_precision <= self.precision.high and self.recall.low <= self.usual_recall <= self.recall.high
        )

    def __str__(self) -> str:
        if self.reasons:
            return f"not valid: {self.reasons[0]}"
        p, r = self.precision, self.recall
        return (
            f"without labels, {p.value:.0%} of alerts should be frauds (95 %: {p.low:.0%} to {p.high:.0%}; {self.usual_precision:.0%} "
            f"in the reference), and {r.value:.0%} of frauds alerted"
        )


class Matured(NamedTuple):
    """Live payments old enough for labels: those of quiet days, and those that the window's damage rests on."""

    quiet: pd.DataFrame
    caught: float  # known frauds among the alerts of `quiet`
    judged: pd.DataFrame
    precision: Interval | None  # measured on `judged`


UNHEARD: Final = Matured(pd.DataFrame(), 0.0, pd.DataFrame(), None)  # no label is old enough, or to be trusted


@dataclass(frozen=True)
class Conditions:
    """What the estimate rests on, beside the scores."""

    findings: Sequence[Finding]
    inputs_moved: bool
    outputs_moved: bool  # score or alert rate
    caught_alarm: bool  # labelled frauds are caught less often than they used to
    labels_sound: bool = True  # those that there are, neither stopped nor late: else nothing is learned from them


def fit_calibrator(frame: pd.DataFrame, rows: MaturedRows, caught: Days) -> Calibrator | None:
    """Calibrate the reference's scores on its matured labels. None where they hold too few frauds.

    Declined payments are left out of the fit: nobody knows what they were. `caught`: frauds missed and alerted, by day.
    """
    known = rows.weight >= 1.0
    fraud = rows.y[known] > 0
    if fraud.sum() < MINIMUM_FRAUDS:
        return None
    calibration = fit_platt(_log_odds(rows.score[known]), fraud)
    daily = caught.counts[:, 1]
    error = float(daily.std(ddof=1) / daily.mean()) if len(daily) > 1 and daily.mean() > 0 else 1.0
    bare = Calibrator(calibration, Expected(0.0, 0.0, 0.0, 1), len(frame), float(daily.sum()), error)
    return replace(bare, usual=bare.expect(frame))


def estimate(
    calibrator: Calibrator,
    window: pd.DataFrame,
    reference: pd.DataFrame,
    quiet: pd.DataFrame,
    matured: Matured,
    conditions: Conditions,
) -> Estimate:
    """Estimate the window's alert quality. All frames have the columns of the log.

    `quiet`: live payments from before the change, possibly none. The reference alone says what labels contradict: an
    estimate that has learned from them cannot be refuted by them.
    """
    usual, now = calibrator.usually(quiet), calibrator.expect(window)
    shifted = conditions.inputs_moved or any(f.is_fault for f in conditions.findings)
    fresh = calibrator.refresh(matured.quiet, matured.caught)
    caught = fresh * _caught(now, usual, shifted=shifted)
    recall = usual.recall if shifted else now.recall
    error = calibrator.between(now.days)
    promised = None if matured.precision is None else _precision(calibrator, matured.judged, usual, shifted=shifted)
    reasons = _reasons(window, reference, conditions)
    if promised is not None and matured.precision is not None and _contradicted(calibrator, promised, matured):
        reasons.append(f"labels contradict it: {matured.precision.value:.1%} of alerts were frauds where it promised {promised:.1%}")
    return Estimate(
        _interval(caught / now.alerts if now.alerts else 0.0, error), _interval(recall, error), 1000 * caught, fresh * now.precision,
        calibrator.usual.precision, calibrator.usual.recall, tuple(reasons), matured.precision, promised,
    )  # fmt: skip


def _caught(now: Expected, usual: Expected, *, shifted: bool) -> float:
    """Frauds caught per payment, where payments `shifted` or not. Scores that promise no more than usual have nothing to be doubted."""
    if not shifted or now.caught <= usual.caught:
        return now.caught
    return usual.caught if now.caught > FOLLOWS * usual.caught else float(np.sqrt(now.caught * usual.caught))


def _precision(calibrator: Calibrator, frame: pd.DataFrame, usual: Expected, *, shifted: bool) -> float:
    now = calibrator.expect(frame)
    return _caught(now, usual, shifted=shifted) / max(now.alerts, 1e-9)


def _contradicted(calibrator: Calibrator, promised: float, matured: Matured) -> bool:
    error = calibrator.between(calibrator.expect(matured.judged).days)
    measured = 0.0 if matured.precision is None else matured.precision.value
    return bool(abs(np.log(max(promised, 1e-4) / max(measured, 1e-4))) > CONTRADICTED * error)


def _reasons(window: pd.DataFrame, reference: pd.DataFrame, conditions: Conditions) -> list[str]:
    """Why a reader must not believe it, as far as it can be known without labels."""
    found = [
        f"the features served are not those that training would compute ({f.column})" for f in conditions.findings if f.kind == "parity"
    ]
    found += [f"{f.message}" for f in conditions.findings if f.kind in UNREADABLE]
    if conditions.outputs_moved and not conditions.inputs_moved and not any(f.is_fault for f in conditions.findings):
        found.append("scores or alerts moved while the payments did not: another model, or another share of frauds")
    unseen = _unseen_share(window[window["decision"] != "approve"], reference)
    if unseen > UNSEEN_SHARE:
        found.append(f"{unseen:.0%} of the alerts lie where the reference holds no payment")
    if conditions.caught_alarm and conditions.labels_sound:
        found.append("labels contradict it: frauds reported lately were alerted less often than before")
    return found


def _unseen_share(alerts: pd.DataFrame, reference: pd.DataFrame) -> float:
    """Share of alerts with a level never seen, or an amount beyond the reference's largest and smallest."""
    if len(alerts) == 0:
        return 0.0
    outside = np.zeros(len(alerts), dtype=np.bool_)
    for name in CATEGORICAL & set(alerts.columns) & set(reference.columns):
        outside |= ~alerts[name].isin(reference[name].unique()).to_numpy() & alerts[name].notna().to_numpy()
    if "amount" in alerts.columns and "amount" in reference.columns:
        outside |= ~alerts["amount"].between(reference["amount"].min(), reference["amount"].max()).to_numpy()
    return float(outside.mean())


def _log_odds(score: Floats) -> Floats:
    kept = np.clip(np.nan_to_num(score, nan=0.0), 1e-9, 1 - 1e-9)
    odds: Floats = np.log(kept / (1 - kept))
    return odds


def _interval(value: float, error: float) -> Interval:
    """Around a positive quantity with this relative standard error, at most 1."""
    return Interval(value, value * float(np.exp(-SURE * error)), min(1.0, value * float(np.exp(SURE * error))))
