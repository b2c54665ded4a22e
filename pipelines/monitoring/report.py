"""Evidently's report of one window against its reference: HTML for people, JSON and typed results for programs.

The one file that imports Evidently, and late: the import takes seven seconds and belongs in no other process. So that a
caller may overlap it with other work, the module also runs alone:

    python -m pipelines.monitoring.report --reference ref.parquet --current cur.parquet --out folder [--thresholds file.json] [--keep]

A report that is to be kept (its window alarmed) leaves its page, and a snapshot in the workspace that Evidently's own
pages open: `evidently ui --workspace <folder>/evidently`. Of any other only the values stay: a page takes four megabytes.

Methods and thresholds are all set here. Evidently's defaults change with the size of the reference, count nulls as
absent and raise false alarms in a third or more of quiet windows; ours are the two distances of `column_tests`, under
names of their own in the report, over the thresholds that the monitor computed for this very window: a score of 1 alarms. Columns
that Evidently would fail on become findings before it sees them.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import pandas as pd

from data.environment import prepare_environment
from data.errors import DiskFull, MissingFile
from pipelines.monitoring.column_tests import MINIMUM_DISTANCE, ColumnTest
from pipelines.monitoring.profile import CATEGORICAL, watched_columns
from pipelines.monitoring.window_checks import Finding, check_window

KOLMOGOROV: Final = "kolmogorov_smirnov_distance"
VARIATION: Final = "total_variation_distance"
WORKSPACE: Final = "evidently"  # the folder that `evidently ui --workspace` opens, beside the reports
PROJECT: Final = "Drift of served payments"
COLOURS: Final = 6  # that a panel of Evidently's has
SAMPLE_ROWS: Final = 20_000  # per side: enough for a picture; the tests proper see every row


@dataclass(frozen=True)
class ColumnResult:
    """What Evidently said of one column."""

    column: str
    method: str
    value: float
    threshold: float
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """The report of one window. Without columns to compare there is no HTML, only findings; nor where it was not to be kept."""

    columns: tuple[ColumnResult, ...]
    findings: tuple[Finding, ...]
    drifted_share: float
    html: Path | None
    json: Path
    snapshot: str | None  # its id in the workspace


def thresholds_of(tests: Sequence[ColumnTest]) -> dict[str, float]:
    """The distance from which each column alarms, as the monitor computed it."""
    return {test.column: test.threshold for test in tests}


def build_report(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    folder: Path,
    *,
    name: str,
    thresholds: Mapping[str, float],
    keep: bool = True,
    seed: int = 7,
) -> DriftReport:
    """Write `<name>.json` into `folder`, and if it is to be kept `<name>.html` and a snapshot; a report made again replaces the former.

    Columns without a threshold get the smallest distance that matters.
    """
    watched = watched_columns(reference)
    checked = check_window(current, reference, watched, words=CATEGORICAL)
    folder.mkdir(parents=True, exist_ok=True)
    columns: tuple[ColumnResult, ...] = ()
    html, kept = None, None
    if checked.columns:
        limits = {c: thresholds.get(c, MINIMUM_DISTANCE) for c in checked.columns}
        now, before = (_plain(frame, checked.columns, seed) for frame in (checked.frame, reference))
        snapshot = _evidently(now, before, limits, checked.frame.get("event_time"))
        columns = _results(snapshot, limits)
        if keep:
            html = folder / f"{name}.html"
            snapshot.save_html(str(html))
            kept = _keep(snapshot, folder, name, watched)
    share = sum(c.drifted for c in columns) / len(columns) if columns else 0.0
    report = DriftReport(columns, checked.findings, share, html, folder / f"{name}.json", kept)
    _write(report)
    return report


def _keep(snapshot: Any, folder: Path, name: str, columns: Sequence[str]) -> str:
    """Put the snapshot into the workspace, in place of the one that an earlier report of this name left; returns its id."""
    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(folder / WORKSPACE))
    found = workspace.search_project(PROJECT)
    project = found[0] if found else _project(workspace, columns)
    earlier = folder / f"{name}.json"
    if earlier.exists() and (old := json.loads(earlier.read_text()).get("snapshot")) and UUID(old) in workspace.list_runs(project.id):
        workspace.delete_run(project.id, old)
    return str(workspace.add_run(project.id, snapshot, name=name).id)


def _project(workspace: Any, columns: Sequence[str]) -> Any:
    """A project whose first page shows how far each column was in each window, a few columns to a panel."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import bar_plot_panel

    project = workspace.create_project(PROJECT, "Windows that alarmed, each against its frozen reference.")
    said = "Distance over its threshold, in each window that alarmed: from 1 on a column has moved too far"
    for first in range(0, len(columns), COLOURS):
        shown = columns[first : first + COLOURS]
        bars = [PanelMetric(legend=c, metric="ValueDrift", metric_labels={"column": c}) for c in shown]
        project.dashboard.add_panel(bar_plot_panel(f"How far from the reference: {shown[0]} to {shown[-1]}", bars, said))
    return project


def default_alarm(current: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether Evidently's defaults, as it would choose them for these columns, call any of them drifted.

    The tests are asked one by one, without a report around them: the same values (measured: none of 132 differed) in a
    thirtieth of the time.
    """
    prepare_environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests.registry import get_stattest
        from evidently.legacy.core import ColumnType

        for name in columns:
            kind = ColumnType.Categorical if name in CATEGORICAL else ColumnType.Numerical
            now, before = (_bare(frame[name]) for frame in (current, reference))
            if get_stattest(before, now, kind, None)(before, now, kind, None).drifted:
                return True
    return False


def calibrated_alarm(current: pd.DataFrame, reference: pd.DataFrame, thresholds: Mapping[str, float], seed: int = 7) -> bool:
    """Whether the report would call any column drifted: the same distances of the same rows, without Evidently's own time around them."""
    now, before = (_plain(frame, list(thresholds), seed) for frame in (current, reference))
    return any(_distance(name)(before[name].dropna(), now[name].dropna()) >= limit for name, limit in thresholds.items())


def _bare(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Without nulls, which Evidently leaves out, as plain words or numbers."""
    known = column.dropna()
    return known.astype(object if column.name in CATEGORICAL else np.float64).reset_index(drop=True)


def _plain(frame: pd.DataFrame, columns: Sequence[str], seed: int) -> pd.DataFrame:
    """The columns as float64 or str, which is all that Evidently reads safely; at most SAMPLE_ROWS of them."""
    rows = np.arange(len(frame))
    if len(frame) > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(frame), SAMPLE_ROWS, replace=False))
    part = frame.iloc[rows].reset_index(drop=True)
    return pd.DataFrame(
        {c: part[c].astype(object).where(part[c].notna(), None) if c in CATEGORICAL else part[c].astype(np.float64) for c in columns}
    )


def _evidently(current: pd.DataFrame, reference: pd.DataFrame, thresholds: Mapping[str, float], times: "pd.Series[Any] | None") -> Any:
    """Evidently's snapshot of the two frames, dated to the last of the window's event `times`."""
    prepare_environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own and its dependencies' deprecations
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        _register_distances(thresholds)
        words = [c for c in thresholds if c in CATEGORICAL]
        definition = DataDefinition(numerical_columns=[c for c in thresholds if c not in CATEGORICAL], categorical_columns=words)
        metrics = [ValueDrift(column=c, method=_test_name(c)) for c in thresholds]
        datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
        return Report(metrics).run(*datasets, timestamp=None if times is None else times.max().to_pydatetime())


def _results(snapshot: Any, thresholds: Mapping[str, float]) -> tuple[ColumnResult, ...]:
    scores = {m["config"]["column"]: float(m["value"]) for m in snapshot.dict()["metrics"]}
    return tuple(ColumnResult(c, _method(c), scores[c] * t, t, scores[c] >= 1) for c, t in thresholds.items())


def _method(column: str) -> str:
    return VARIATION if column in CATEGORICAL else KOLMOGOROV


def _distance(column: str) -> "Callable[[pd.Series[Any], pd.Series[Any]], float]":
    return _total_variation if column in CATEGORICAL else _kolmogorov


def _test_name(column: str) -> str:
    return f"{_method(column)} of {column}"


def _register_distances(thresholds: Mapping[str, float]) -> None:
    """Teach Evidently a test for each column, whose score is the distance over the column's threshold in this window.

    So 1 is too far in every column and window, on the workspace's pages too: they draw one series for each setting of a metric, and a
    threshold among its settings would begin a new one with each window. Registering a test again replaces it.
    """
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def scored(column: str) -> "Callable[[pd.Series[Any], pd.Series[Any], Any, float], tuple[float, bool]]":
        def score(reference: "pd.Series[Any]", current: "pd.Series[Any]", _kind: Any, limit: float) -> tuple[float, bool]:
            value = _distance(column)(reference, current) / thresholds[column]
            return value, value >= limit

        return score

    for column in thresholds:
        is_word = column in CATEGORICAL
        title = f"{'total variation' if is_word else 'Kolmogorov–Smirnov'} distance over its threshold"
        kind = ColumnType.Categorical if is_word else ColumnType.Numerical
        register_stattest(StatTest(_test_name(column), title, [kind], default_threshold=1.0), default_impl=scored(column))


def _kolmogorov(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> float:
    """Largest gap between two empirical distribution functions."""
    a, b = np.sort(reference.to_numpy(dtype=np.float64)), np.sort(current.to_numpy(dtype=np.float64))
    at = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


def _total_variation(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> float:
    """Half the summed differences of the levels' shares."""
    return float(current.value_counts(normalize=True).sub(reference.value_counts(normalize=True), fill_value=0).abs().sum() / 2)


def _write(report: DriftReport) -> None:
    facts = asdict(report) | {"html": report.html.name if report.html else None, "json": report.json.name}
    try:
        report.json.write_text(json.dumps(facts, indent=2) + "\n")
    except OSError as error:
        raise DiskFull(
            f"{report.json.name} could not be written ({error.strerror}).",
            next_step="Free some space, then check again.",
            where=report.json.name,
        ) from error


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise MissingFile(f"{path.name} is not there.", next_step="Give a Parquet file of a window.", where=path.name)
    return pd.read_parquet(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build one report from two Parquet files."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.monitoring.report", description="Evidently's report of a window.")
    for option in ("--reference", "--current", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--thresholds", type=Path, help="JSON object: column -> distance from which it alarms")
    parser.add_argument("--name", default="drift")
    parser.add_argument("--keep", action="store_true", help="leave the page and a snapshot too, not only the values")
    given = parser.parse_args(arguments)
    thresholds = json.loads(given.thresholds.read_text()) if given.thresholds else {}
    build_report(_read(given.current), _read(given.reference), given.out, name=given.name, thresholds=thresholds, keep=given.keep)


if __name__ == "__main__":
    main()
