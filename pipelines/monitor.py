"""Watch a window of the prediction log: what moved against the frozen reference, since when, at what cost, what to do.

A plain function over frames; `flows.py` wraps it for Prefect. Frames are those of `data.prediction_frames`. Time is
event time: `now` ends the window and decides which labels are known.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import EmptyWindow
from pipelines.detectors import Detection
from pipelines.drift_evidence import AlertRate, Deployment, Evidence, LabelFlow
from pipelines.drift_profile import CATEGORICAL, Days, Floats, Integers, Mask, count_days, day_numbers, design_effect, season_weights
from pipelines.drift_tests import MINIMUM_ALERT_RATIO, ColumnTest, Sample, ranked, rate_p_value, test_column
from pipelines.estimate import Conditions, Estimate, estimate
from pipelines.fault_tests import MAY_BE_NULL, Pair, clock_finding, far_from_usual, null_findings, unit_finding, unseen_findings
from pipelines.label_evidence import SURE_QUANTILE, LabelEvidence, hear_labels
from pipelines.onset import Onset, estimate_onset
from pipelines.performance import Performance
from pipelines.portfolio import detections
from pipelines.reference import Reference, WatchPlan, alert_days
from pipelines.root_cause import Cause, root_causes
from pipelines.verdict import Verdict, decide
from pipelines.window_checks import CheckedWindow, Finding, check_window

HOURS: Final = np.arange(25.0)


@dataclass(frozen=True)
class WindowResult:
    """Everything said about one window; `to_json` gives plain values."""

    start: datetime
    end: datetime
    payments: int
    tests: tuple[ColumnTest, ...]
    findings: tuple[Finding, ...]
    alert_rate: AlertRate
    label_flow: LabelFlow | None
    onset: Onset | None
    onsets: dict[str, Onset]  # of each column that moved
    judged: tuple[date, date] | None  # first and last day of the matured payments that damage rests on
    performance: Performance | None
    damage: Performance | None
    verdict: Verdict
    detections: tuple[Detection, ...]  # one per name in DETECTORS
    causes: tuple[Cause, ...]  # the likeliest first
    estimate: Estimate | None  # None: the reference holds too few frauds to calibrate on, or the window no scores

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = _plain(asdict(self) | {"verdict": self.verdict.to_json()})
        return facts


def watch(
    frame: pd.DataFrame,
    reference: Reference,
    labels: pd.DataFrame,
    *,
    now: datetime,
    plan: WatchPlan,
    deployments: Sequence[Deployment] = (),
) -> WindowResult:
    """Judge the `plan.window_days` before `now`.

    `frame`: what was served since the reference, the window included (onset and matured payments need what came before
    it); `labels`: LABEL_COLUMNS, those reported after `now` are left out. `deployments`: of the change log, since
    the reference (`change_log.deployments`). Raises EmptyWindow when nothing was served.
    """
    start = now - timedelta(days=plan.window_days)
    known = labels[labels["report_time"] <= pd.Timestamp(now)]
    watched = [b.column for b in reference.binnings]
    raw = frame[frame["event_time"] < pd.Timestamp(now)]
    window = raw[raw["event_time"] >= pd.Timestamp(start)]
    if len(window) == 0:
        raise EmptyWindow(
            f"No payments between {start:%Y-%m-%d} and {now:%Y-%m-%d}.", next_step="Send traffic, then check again.", where="window"
        )
    checked = check_window(window, reference.frame, watched, words=CATEGORICAL)
    seen = check_window(raw, reference.frame, watched, words=CATEGORICAL).frame
    weights, season = season_weights(reference.frame["event_time"], start, now)
    level = plan.error_budget / (len(reference.binnings) + len(CATEGORICAL) + len(MAY_BE_NULL) + 2)
    samples = _samples(checked, reference, weights, level)
    tests = tuple(test_column(sample, level) for sample in samples)
    findings = checked.findings + _faults(checked, reference, weights, level) + _season(season)
    alerts = _alert_rate(window, reference, weights, level)
    moved = ranked(tests)
    onsets = _onsets(seen, reference, samples, moved, findings) | _alert_onset(seen, reference, alerts, plan)
    told = hear_labels(seen, reference, known, onsets[next(iter(onsets))] if onsets else None, now=now, plan=plan, level=level)
    deployed = bool(set(window["champion_version"].astype(str).unique()) - reference.versions) or bool(deployments)
    found = detections(tests, findings, alerts, told.flow, deployed=deployed, end=now)
    causes = root_causes(Pair(checked.frame, reference.frame, weights, level), samples, moved, findings, onsets)
    evidence = Evidence(
        moved=moved,
        findings=findings,
        onset=told.onset,
        alert_rate=alerts,
        label_flow=told.flow,
        damage=told.damage,
        ranking=told.ranking,
        knowable_on=told.knowable_on,
        deployed=deployed,
        error_budget=plan.error_budget,
        deployments=tuple(deployments),
        detections=found,
        causes=causes,
        estimate=_estimate(checked, seen, reference, told, _conditions(moved, findings, alerts, found)),
        payments=len(told.judged),
    )
    return WindowResult(
        start, now, len(window), tests, findings, alerts, told.flow, told.onset, onsets, told.span,
        told.performance, told.damage, decide(evidence), found, causes, evidence.estimate,
    )  # fmt: skip


def _conditions(moved: Sequence[ColumnTest], findings: Sequence[Finding], alerts: AlertRate, found: Sequence[Detection]) -> Conditions:
    """What the label-free estimate must know of the window."""
    roles = {test.role for test in moved}
    caught = any(d.alarmed for d in found if d.detector == "caught_frauds")
    return Conditions(findings, bool(roles - {"score"}), alerts.moved or "score" in roles, caught)


def _estimate(
    checked: CheckedWindow, seen: pd.DataFrame, reference: Reference, told: LabelEvidence, conditions: Conditions
) -> Estimate | None:
    if reference.calibrator is None or "score" not in checked.columns:
        return None
    quiet = seen[seen["event_time"] < pd.Timestamp(told.onset.day, tz="UTC")] if told.onset else seen.iloc[:0]
    judged = None if told.performance is None else (told.judged, told.performance.alert_precision)
    return estimate(reference.calibrator, checked.frame, reference.frame, quiet, conditions, judged=judged)


def _samples(checked: CheckedWindow, reference: Reference, weights: Floats, level: float) -> list[Sample]:
    kish = float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))
    samples = []
    for binning, codes, days in zip(reference.binnings, reference.codes, reference.days, strict=True):
        if binning.column not in checked.columns:
            continue
        current = np.bincount(binning.codes(checked.frame[binning.column]), minlength=binning.size).astype(np.float64)
        before = np.bincount(codes, weights=weights, minlength=binning.size).astype(np.float64)
        samples.append(Sample.of(binning, current, before, days, kish=kish, level=level))
    return samples


def _faults(checked: CheckedWindow, reference: Reference, weights: Floats, level: float) -> tuple[Finding, ...]:
    pair = Pair(checked.frame, reference.frame, weights, level)
    words = [b for b in reference.binnings if b.column in checked.columns]
    found = null_findings(pair) + unseen_findings(pair, words)
    if {"amount", "terminal_id"} <= set(checked.frame) and "amount" in checked.columns:
        found += unit_finding(pair)
    if "hour" in checked.columns:
        profiles = (np.histogram(checked.frame["hour"], HOURS)[0], np.histogram(reference.frame["hour"], HOURS, weights=weights)[0])
        found += clock_finding(pair, *(profile.astype(np.float64) for profile in profiles))
    return tuple(found)


def _season(season: str) -> tuple[Finding, ...]:
    text = {"day": "The reference lacks some weekdays of this window; hours of the day are matched instead.",
            "none": "The reference lacks some hours of this window; no season is matched."}  # fmt: skip
    return (Finding("season", "event_time", text[season]),) if season in text else ()


def _alert_rate(window: pd.DataFrame, reference: Reference, weights: Floats, level: float) -> AlertRate:
    effect = design_effect(reference.alerts, ordered=False, quantile=1 - level / 2)
    value = float((window["decision"] != "approve").mean())
    before = float(weights @ (reference.frame["decision"] != "approve").to_numpy() / weights.sum())
    n, m = len(window) / effect, float(weights.sum() ** 2 / (weights**2).sum()) / effect
    p = rate_p_value(value * n, n, before * m, m)
    ratio = value / before if before else np.inf
    large = ratio >= MINIMUM_ALERT_RATIO or ratio <= 1 / MINIMUM_ALERT_RATIO
    return AlertRate(value, before, p, bool(p < level and large))


def _onsets(
    seen: pd.DataFrame, reference: Reference, samples: Sequence[Sample], moved: Sequence[ColumnTest], findings: Sequence[Finding]
) -> dict[str, Onset]:
    """Since when, for each column that moved or is at fault; faults first, then causes before symptoms."""
    day = day_numbers(seen["event_time"])
    by_name = {s.binning.column: (s, d) for s, d in zip(samples, _days_of(reference, samples), strict=True)}
    marks = {f.column: _marked(f.column, seen, reference.frame) for f in findings if f.kind in ("null_rate", "unit")}
    onsets: dict[str, Onset] = {}
    faulty = ["hour" if f.kind == "clock" else f.column for f in findings if f.kind in ("null_rate", "unit", "clock")]
    unseen = [f.column for f in findings if f.kind == "unseen_level"]
    for name in dict.fromkeys([*faulty, *(t.column for t in moved), *unseen]):
        if name in marks:
            found = _mark_onset(*marks[name], day, day_numbers(reference.frame["event_time"]))
        else:
            sample, days = by_name[name]
            effect = max(1.0, float(sample.current[:-1].sum()) / max(sample.current_rows, 1.0))
            counts = count_days(sample.binning.codes(seen[name]), day, sample.binning.size)
            found = estimate_onset(counts, days, sample.current, effect=effect)
        if found is not None:
            onsets[name] = found
    return onsets


def _alert_onset(seen: pd.DataFrame, reference: Reference, alerts: AlertRate, plan: WatchPlan) -> dict[str, Onset]:
    if not alerts.moved:
        return {}
    days = alert_days(seen)
    effect = design_effect(reference.alerts, ordered=False, quantile=SURE_QUANTILE)
    found = estimate_onset(days, reference.alerts, days.counts[-plan.window_days :].sum(axis=0), effect=effect)
    return {} if found is None else {"alert rate": found}


def _days_of(reference: Reference, samples: Sequence[Sample]) -> list[Days]:
    days = dict(zip([b.column for b in reference.binnings], reference.days, strict=True))
    return [days[s.binning.column] for s in samples]


def _marked(column: str, seen: pd.DataFrame, before: pd.DataFrame) -> tuple[Mask, Mask]:
    """The rows at fault: those null, or with an amount far from their terminal's usual one."""
    if column in MAY_BE_NULL:
        return seen[column].isna().to_numpy(), before[column].isna().to_numpy()
    return far_from_usual(seen, before)[:2]


def _mark_onset(now: Mask, before: Mask, day: Integers, day_before: Integers) -> Onset | None:
    counts, usual = count_days(now.astype(np.int64), day, 3), count_days(before.astype(np.int64), day_before, 3)
    effect = design_effect(usual, ordered=False, quantile=SURE_QUANTILE)
    share = counts.counts[:, 1] / counts.counts.sum(axis=1)
    peak, base = share.max(), usual.counts[:, 1].sum() / usual.counts.sum()
    last = int(np.flatnonzero(share > (peak + base) / 2)[-1])  # a burst may be over: what came after it says nothing of its start
    burst = Days(counts.days[: last + 1], counts.counts[: last + 1])
    return estimate_onset(burst, usual, counts.counts[int(share.argmax())], effect=effect)


def _plain(value: Any) -> Any:
    """Dataclasses, dates and tuples as JSON has them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
