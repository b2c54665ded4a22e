"""The portfolio: every detector over one window, under one error budget, and one `Detection` for each name in `DETECTORS`.

The budget is the chance that a quiet window raises any alarm at all. Half of it goes to tests of the window, in equal
parts (Bonferroni); half to the sequential detectors, whose mean run length to a false alarm is that many windows. Checks that
are certain (a missing column, another version) cost nothing. Called by `monitor` and `noise_floor`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.column_tests import MINIMUM_ALERT_RATIO, ColumnTest, Sample, compare_marks, ranked, test_column
from pipelines.monitoring.detectors import DETECTORS, Detection, Detector
from pipelines.monitoring.evidence import AlertRate, LabelFlow
from pipelines.monitoring.fault_tests import MAY_BE_NULL, Pair, clock_finding, null_findings, unit_finding, unseen_findings
from pipelines.monitoring.label_tests import age_detection
from pipelines.monitoring.profile import CATEGORICAL, Season
from pipelines.monitoring.reference import Reference, WatchPlan
from pipelines.monitoring.streams import StreamPlan, first_alerts, watch_streams
from pipelines.monitoring.value_tests import RANGED, SPIKING, range_findings, spike_findings
from pipelines.monitoring.volume_tests import hours, volume_findings
from pipelines.monitoring.window_checks import CheckedWindow, Finding, FindingKind, check_window

DETECTOR_OF: Final[dict[FindingKind, Detector]] = {
    "missing_column": "schema", "duplicate_column": "schema", "mixed_types": "schema", "not_numeric": "schema",
    "all_null": "schema", "infinite": "schema", "constant": "schema",
    "null_rate": "null_rate", "range": "range", "unit": "unit", "unseen_level": "unseen_level", "value_spike": "value_spike",
    "clock": "clock", "volume": "volume", "lost_payments": "volume", "duplicates": "volume", "parity": "parity",
}  # fmt: skip
STREAM_SHARE: Final = 0.5  # of the budget, for the three sequential detectors
STREAMS: Final = 3
# Tests besides those of the binned columns and of their unseen levels: unit, clock, alert rate, volume, duplicates, label
# age, and the window's label flow, of all frauds and of those alerted.
OTHER_TESTS: Final = 8


@dataclass(frozen=True)
class Examined:
    """What the tests of one window found, before labels are judged."""

    checked: CheckedWindow
    pair: Pair
    samples: tuple[Sample, ...]
    tests: tuple[ColumnTest, ...]
    findings: tuple[Finding, ...]
    alert_rate: AlertRate
    level: float

    @property
    def moved(self) -> tuple[ColumnTest, ...]:
        """The columns that moved, causes first."""
        return ranked(self.tests)


def test_level(reference: Reference, plan: WatchPlan) -> float:
    """The error level of one test of a window."""
    tests = len(reference.binnings) + len(CATEGORICAL) + len(MAY_BE_NULL) + len(RANGED) + len(SPIKING) + OTHER_TESTS
    return plan.error_budget * (1 - STREAM_SHARE) / tests


def examine(window: pd.DataFrame, reference: Reference, *, start: datetime, end: datetime, plan: WatchPlan) -> Examined:
    """All tests that need no labels, over the rows of one window [start, end)."""
    level = test_level(reference, plan)
    checked = check_window(window, reference.frame, [b.column for b in reference.binnings], words=CATEGORICAL)
    season = reference.season(start, end)
    pair = Pair(checked.frame, reference.frame, season, level, reference.usual, plan.noise)
    samples = _samples(checked, reference, season, level, plan.noise)
    tests = tuple(test_column(sample, level) for sample in samples)
    found = checked.findings + _faults(pair, checked, reference, tests, (end - start) / timedelta(days=1)) + _season(season)
    return Examined(checked, pair, samples, tests, found, _alert_rate(window, reference, season, level, plan.noise), level)


def sequential(
    seen: pd.DataFrame, reference: Reference, known: pd.DataFrame, *, start: datetime, now: datetime, plan: WatchPlan
) -> tuple[Detection, ...]:
    """The detectors that remember, over all rows served since the reference and the labels known by `now`."""
    streams = StreamPlan(STREAMS / (plan.error_budget * STREAM_SHARE), plan.window_days, plan.noise)
    said = watch_streams(seen, known, reference.streams, start=start, now=now, maturity_days=plan.maturity_days, plan=streams)
    return (*said, age_detection(seen, known, reference.delays, start=start, now=now, level=test_level(reference, plan)))


def detections(
    examined: Examined, remembered: Iterable[Detection], flow: LabelFlow | None, *, deployed: bool, end: datetime
) -> tuple[Detection, ...]:
    """One result per detector, in the order of DETECTORS; those with nothing to look at are silent."""
    alerts = examined.alert_rate
    said = {d.detector: d for d in (_of_tests("inputs", examined.tests), _of_tests("score", examined.tests), *remembered)}
    for finding in examined.findings:
        if finding.kind in DETECTOR_OF:
            name = DETECTOR_OF[finding.kind]
            said[name] = _with_finding(said.get(name, Detection(name, False)), finding)
    rise = alerts.value / alerts.reference if alerts.reference else 0.0
    said["alert_rate"] = Detection("alert_rate", alerts.moved, alerts.p_value, column="decision", effect=rise)
    if flow is not None and (flow.broken or flow.one_sided) and not said["label_flow"].alarmed:
        said["label_flow"] = replace(said["label_flow"], alarmed=True, p_value=min(flow.p_value, flow.caught_p_value))
    said["change_log"] = Detection("change_log", deployed)
    every = (said.get(name, Detection(name, False)) for name in DETECTORS)
    return tuple(replace(d, first_alarm=end) if d.alarmed and d.first_alarm is None else d for d in every)


def _samples(checked: CheckedWindow, reference: Reference, season: Season, level: float, noise: Mapping[str, float]) -> tuple[Sample, ...]:
    samples = []
    for binning, profile in zip(reference.binnings, reference.profiles, strict=True):
        if binning.column in checked.columns:
            current = np.bincount(binning.codes(checked.frame[binning.column]), minlength=binning.size).astype(np.float64)
            name = "score" if binning.role == "score" else "inputs"
            samples.append(Sample.of(binning, current, profile, season, level, noise.get(f"{name}:{binning.column}")))
    return tuple(samples)


def _faults(pair: Pair, checked: CheckedWindow, reference: Reference, tests: Sequence[ColumnTest], days: float) -> tuple[Finding, ...]:
    if len(pair.current) == 0:
        return ()
    found = null_findings(pair) + unseen_findings(pair, [b for b in reference.binnings if b.column in checked.columns])
    moved = {t.column: t.value for t in tests if t.drifted}
    unit = unit_finding(pair) if {"amount", "terminal_id"} <= set(checked.frame) and "amount" in checked.columns else []
    # Amounts in another unit lie out of range too: the more telling of the two is said.
    found += (unit or range_findings(pair, reference.values, moved)) + spike_findings(pair, reference.values, moved)
    if "hour" in checked.columns:
        now = np.bincount(hours(checked.frame), minlength=25)[:24].astype(np.float64)
        before = reference.traffic.clock.expected(pair.season)[:24]
        found += clock_finding(pair, now, before)
    return tuple(found + volume_findings(pair, reference.traffic, days))


def _season(season: Season) -> tuple[Finding, ...]:
    text = {"day": "The reference lacks some weekdays of this window; hours of the day are matched instead.",
            "none": "The reference lacks some hours of this window; no season is matched."}  # fmt: skip
    return (Finding("season", "event_time", text[season.name]),) if season.name in text else ()


def _alert_rate(window: pd.DataFrame, reference: Reference, season: Season, level: float, noise: Mapping[str, float]) -> AlertRate:
    """All alerts are told; tested are the first ones of a card and a till, which vary nearly as independent ones do."""
    rows = len(window)
    first = float(first_alerts(window).sum())
    rate = compare_marks(reference.first_alerts, first, rows, season, level, noise.get("alert_rate:decision"))
    ratio = rate.value / rate.before if rate.before else np.inf
    large = ratio >= MINIMUM_ALERT_RATIO or ratio <= 1 / MINIMUM_ALERT_RATIO
    usual = reference.alert_profile.expected(season)
    return AlertRate(
        float((window["decision"] != "approve").mean()),
        float(usual[1] / max(usual.sum(), 1e-9)),
        rate.p_value,
        bool(rate.p_value < level and large),
    )


def _of_tests(name: Detector, tests: Sequence[ColumnTest]) -> Detection:
    mine = sorted((t for t in tests if (t.role == "score") == (name == "score")), key=lambda t: (not t.drifted, t.p_value, -t.value))
    if not mine:
        return Detection(name, False)
    first = mine[0]
    return Detection(
        name, first.drifted, first.p_value, column=first.column, columns=tuple(t.column for t in mine if t.drifted), effect=first.value
    )


def _with_finding(so_far: Detection, finding: Finding) -> Detection:
    """The strongest finding speaks for the detector; all their columns are kept."""
    columns = tuple(dict.fromkeys((*so_far.columns, finding.column)))
    if so_far.alarmed and finding.share <= so_far.effect:
        return replace(so_far, columns=columns)
    return replace(so_far, alarmed=True, p_value=finding.p_value, column=finding.column, columns=columns, effect=finding.share)
