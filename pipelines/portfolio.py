"""The portfolio: one `Detection` for every name in `DETECTORS`, gathered from what tests and checks found in a window.

Called by `monitor`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pipelines.detectors import DETECTORS, Detection, Detector
from pipelines.drift_evidence import AlertRate, LabelFlow
from pipelines.drift_tests import ColumnTest
from pipelines.window_checks import Finding, FindingKind

DETECTOR_OF: Final[dict[FindingKind, Detector]] = {
    "missing_column": "schema", "duplicate_column": "schema", "mixed_types": "schema", "not_numeric": "schema",
    "all_null": "schema", "infinite": "schema", "constant": "schema",
    "null_rate": "null_rate", "unseen_level": "unseen_level", "unit": "unit", "clock": "clock", "volume": "volume", "parity": "parity",
}  # fmt: skip


def detections(
    tests: Sequence[ColumnTest],
    findings: Iterable[Finding],
    alerts: AlertRate,
    flow: LabelFlow | None,
    *,
    deployed: bool,
    end: datetime,
) -> tuple[Detection, ...]:
    """One result per detector, in the order of DETECTORS; those with nothing to look at are silent."""
    said = {d.detector: d for d in (_of_tests("inputs", tests), _of_tests("score", tests))}
    for finding in findings:
        if finding.kind in DETECTOR_OF:
            name = DETECTOR_OF[finding.kind]
            said[name] = _with_finding(said.get(name, Detection(name, False)), finding)
    rise = _ratio(alerts.value, alerts.reference)
    said["alert_rate"] = Detection("alert_rate", alerts.moved, alerts.p_value, column="decision", effect=rise)
    if flow is not None:
        said["label_flow"] = Detection("label_flow", flow.broken, flow.p_value, effect=_ratio(flow.known, flow.expected))
    said["change_log"] = Detection("change_log", deployed)
    every = (said.get(name, Detection(name, False)) for name in DETECTORS)
    return tuple(replace(d, first_alarm=end) if d.alarmed and d.first_alarm is None else d for d in every)


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


def _ratio(value: float, before: float) -> float:
    return value / before if before else 0.0
