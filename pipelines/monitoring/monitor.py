"""Watch a window of the prediction log: what moved against the frozen reference, since when, at what cost, what to do.

A plain function over frames; `flows.py` wraps it for Prefect. Frames are those of `data.prediction_frames`. Time is
event time: `now` ends the window and decides which labels are known.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from data.errors import EmptyWindow
from pipelines.monitoring.column_tests import ColumnTest, Sample
from pipelines.monitoring.detectors import Detection
from pipelines.monitoring.estimate import UNHEARD, Conditions, Estimate, Matured, estimate
from pipelines.monitoring.evidence import AlertRate, Deployment, Evidence, LabelFlow
from pipelines.monitoring.fault_tests import MAY_BE_NULL, far_from_usual
from pipelines.monitoring.label_evidence import SURE_QUANTILE, LabelEvidence, hear_labels
from pipelines.monitoring.onset import Onset, estimate_onset
from pipelines.monitoring.parity import ParityResult
from pipelines.monitoring.performance import Performance
from pipelines.monitoring.portfolio import detections, examine, sequential
from pipelines.monitoring.profile import CATEGORICAL, Days, Integers, Mask, count_days, day_numbers, design_effect
from pipelines.monitoring.reference import Reference, WatchPlan, alert_days
from pipelines.monitoring.root_cause import Cause, root_causes
from pipelines.monitoring.verdict import Verdict, decide
from pipelines.monitoring.window_checks import CheckedWindow, Finding, check_window


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
    knowable_on: date  # the first day on which labels could tell what it cost, past or to come
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
    parity: ParityResult | None = None,
) -> WindowResult:
    """Judge the `plan.window_days` before `now`.

    `frame`: what was served since the reference, the window included (onset and matured payments need what came before
    it); `labels`: LABEL_COLUMNS, those reported after `now` are left out. `deployments`: of the change log, in
    the window (`change_log.deployments`). `parity`: of features of the window's rows, where they were recomputed. Raises
    EmptyWindow when nothing was served.
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
    # A log that has just begun fills only part of its first window: the season is that of the part.
    begun = max(start, window["event_time"].min().floor("h").to_pydatetime())
    examined = examine(window, reference, start=begun, end=now, plan=plan)
    seen = check_window(raw, reference.frame, watched, words=CATEGORICAL).frame
    if parity is not None:
        examined = replace(examined, findings=parity.findings + examined.findings)
    samples, tests, findings, alerts, level = examined.samples, examined.tests, examined.findings, examined.alert_rate, examined.level
    moved = examined.moved
    onsets = _onsets(seen, reference, samples, moved, findings) | _alert_onset(seen, reference, alerts, plan)
    told = hear_labels(seen, reference, known, onsets[next(iter(onsets))] if onsets else None, now=now, plan=plan, level=level)
    deployed = bool(set(window["champion_version"].astype(str).unique()) - reference.versions) or bool(deployments)
    remembered = sequential(seen, reference, known, start=start, now=now, plan=plan)
    found = detections(examined, remembered, told.flow, deployed=deployed, end=now)
    causes = root_causes(examined.pair, samples, moved, findings, onsets)
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
        estimate=_estimate(examined.checked, reference, told, _conditions(moved, findings, alerts, found)),
        payments=len(told.judged),
    )
    return WindowResult(
        start, now, len(window), tests, findings, alerts, told.flow, told.onset, onsets, told.span,
        told.performance, told.damage, decide(evidence), found, causes, told.knowable_on, evidence.estimate,
    )  # fmt: skip


def _conditions(moved: Sequence[ColumnTest], findings: Sequence[Finding], alerts: AlertRate, found: Sequence[Detection]) -> Conditions:
    """What the label-free estimate must know of the window."""
    roles = {test.role for test in moved}
    alarmed = {detection.detector for detection in found if detection.alarmed}
    return Conditions(
        findings,
        bool(roles - {"score"}),
        alerts.moved or "score" in roles,
        "caught_frauds" in alarmed,
        not alarmed & {"label_flow", "label_age"},
    )


def _estimate(checked: CheckedWindow, reference: Reference, told: LabelEvidence, conditions: Conditions) -> Estimate | None:
    if reference.calibrator is None or "score" not in checked.columns:
        return None
    precision = None if told.performance is None else told.performance.alert_precision
    if not conditions.labels_sound:
        return estimate(reference.calibrator, checked.frame, reference.frame, told.quiet, UNHEARD, conditions)
    matured = Matured(told.quiet_matured, told.quiet_caught, told.judged, precision)
    return estimate(reference.calibrator, checked.frame, reference.frame, told.quiet, matured, conditions)


def _onsets(
    seen: pd.DataFrame, reference: Reference, samples: Sequence[Sample], moved: Sequence[ColumnTest], findings: Sequence[Finding]
) -> dict[str, Onset]:
    """Since when, for each column that moved or is at fault; faults first, then causes before symptoms."""
    day = day_numbers(seen["event_time"])
    by_name = {s.binning.column: (s, d) for s, d in zip(samples, _days_of(reference, samples), strict=True)}
    marks = {f.column: _marked(f.column, seen, reference.frame) for f in findings if f.kind in ("null_rate", "unit")}
    onsets: dict[str, Onset] = {}
    faulty = ["hour" if f.kind == "clock" else f.column for f in findings if f.kind in ("null_rate", "unit", "clock")]
    faulty += [f.column for f in findings if f.kind in ("range", "value_spike") and f.column in by_name]
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
