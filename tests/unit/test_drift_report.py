import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import MissingFile
from data.settings import REPOSITORY
from pipelines.monitoring.monitor import watch
from pipelines.monitoring.profile import CATEGORICAL, WATCHED, watched_columns
from pipelines.monitoring.reference import WatchPlan, freeze_reference
from pipelines.monitoring.report import COLOURS, PROJECT, WORKSPACE, build_report, calibrated_alarm, main
from pipelines.monitoring.window_checks import check_window
from tests.payments import START, labels, served

REFERENCE = served(14, 500)
WINDOW = served(7, 500, seed=1, first_day=14)


def _mixed(window: pd.DataFrame) -> pd.DataFrame:
    values = window["amount"].astype(object)
    values.iloc[::50] = "a lot"
    return window.assign(amount=values)


MALFORMED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "all null": (lambda w: w.assign(amount=np.nan), "all_null"),
    "missing": (lambda w: w.drop(columns="amount"), "missing_column"),
    "extra": (lambda w: w.assign(surprise=1), "extra_column"),
    "words": (lambda w: w.assign(amount=w["amount"].map(str)), "not_numeric"),
    "empty": (lambda w: w.iloc[:0], "empty_window"),
    "one row": (lambda w: w.iloc[:1], "small_window"),
    "nullable dtypes": (lambda w: w.assign(amount=w["amount"].astype("Float64")), "nullable_dtype"),
    "infinite": (lambda w: w.assign(amount=w["amount"].where(np.arange(len(w)) % 100 > 0, np.inf)), "infinite"),
    "constant": (lambda w: w.assign(amount=5.0), "constant"),
    "duplicate columns": (lambda w: pd.concat([w, w[["amount"]]], axis=1), "duplicate_column"),
    "other order": (lambda w: w[list(reversed(w.columns))], "column_order"),
    "mixed types": (_mixed, "mixed_types"),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


def test_a_report_names_the_column_that_moved_and_keeps_its_page(reports: Path) -> None:
    window = WINDOW.assign(amount=WINDOW["amount"] * 1.5)
    report = build_report(window, REFERENCE, reports, name="moved", thresholds={"amount": 0.05})
    assert {c.column for c in report.columns} == set(WATCHED)
    moved = next(c for c in report.columns if c.column == "amount")
    assert (moved.drifted, moved.threshold, moved.method) == (True, 0.05, "kolmogorov_smirnov_distance")
    assert [calibrated_alarm(window, REFERENCE, {"amount": moved.value + more}) for more in (-1e-9, 1e-9)] == [True, False], (
        "the same value"
    )
    assert report.html is not None
    assert report.html.stat().st_size > 100_000
    assert json.loads(report.json.read_text())["drifted_share"] == pytest.approx(report.drifted_share)


def test_a_report_made_again_leaves_one_snapshot_of_event_time_in_the_workspace(tmp_path: Path) -> None:
    few = ["event_time", "amount"]
    first, again = (build_report(WINDOW[few], REFERENCE[few], tmp_path, name="twice", thresholds={}) for _ in range(2))
    kept = list((tmp_path / WORKSPACE).glob("*/snapshots/*.json"))
    assert [file.stem for file in kept] == [again.snapshot]
    assert first.snapshot != again.snapshot
    assert json.loads(kept[0].read_text())["timestamp"].startswith(str(WINDOW["event_time"].max().date()))


def test_the_workspaces_first_page_has_a_bar_for_every_column_whatever_its_threshold(tmp_path: Path) -> None:
    limits = {"hour": (0.001, 1.0), "channel": (1.0, 0.001)}
    for k in range(2):
        thresholds = {column: limit[k] for column, limit in limits.items()}
        build_report(WINDOW.drop(columns="amount"), REFERENCE, tmp_path, name=str(k), thresholds=thresholds)
    from evidently.ui.workspace import Workspace  # by now its import warns of nothing

    workspace = Workspace(str(tmp_path / WORKSPACE))
    (project,) = workspace.search_project(PROJECT)
    panels = project.dashboard.model().panels
    bars = [bar for panel in panels for bar in panel.values]
    assert [bar.metric_labels["column"] for bar in bars] == watched_columns(REFERENCE), "also one that this window lacks, and once"
    assert all(len(panel.values) <= COLOURS for panel in panels)
    runs = [json.loads(file.read_text())["metric_results"].values() for file in (tmp_path / WORKSPACE).glob("*/snapshots/*.json")]
    settings = [sorted(str(result["metric_value_location"]["metric"]["params"]) for result in run) for run in runs]
    assert settings[0] == settings[1], "one series of bars, not one for each threshold"
    for column in limits:
        told = [next(str(r["widget"]) for r in run if r["display_name"].endswith(f" {column}")) for run in runs]
        assert sorted("Data drift detected" in one for one in told) == [False, True], "by the threshold of its own window"


def test_of_a_window_that_did_not_alarm_only_the_values_stay(tmp_path: Path) -> None:
    report = build_report(WINDOW[["amount"]], REFERENCE[["amount"]], tmp_path, name="quiet", thresholds={}, keep=False)
    assert (report.html, report.snapshot) == (None, None)
    assert [file.name for file in tmp_path.iterdir()] == ["quiet.json"]
    assert [c.column for c in report.columns] == ["amount"]


def test_evidently_and_the_monitor_measure_the_same_distances(reports: Path) -> None:
    reference = freeze_reference(REFERENCE, labels(REFERENCE), WatchPlan())
    window = WINDOW.assign(amount=WINDOW["amount"] * 1.5)
    tests = watch(window, reference, labels(window), now=START + timedelta(days=21), plan=WatchPlan()).tests
    reported = {c.column: c.value for c in build_report(window, REFERENCE, reports, name="same", thresholds={}).columns}
    for test in tests:
        # Fifty bins hide at most a fiftieth of a distribution function.
        assert reported[test.column] == pytest.approx(test.value, abs=0.02)


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_window_is_a_finding_and_no_crash(kind: str) -> None:
    damage, expected = MALFORMED[kind]
    checked = check_window(damage(WINDOW), REFERENCE, list(WATCHED), words=CATEGORICAL)
    assert expected in [f.kind for f in checked.findings]
    for name in set(checked.columns) - CATEGORICAL:
        assert checked.frame[name].dtype == np.float64


@pytest.mark.parametrize("kind", sorted(MALFORMED))
def test_evidently_survives_every_malformed_window(kind: str, reports: Path) -> None:
    few = ["amount", "channel", "score"]  # each column costs Evidently some tenths of a second
    report = build_report(MALFORMED[kind][0](WINDOW[few]), REFERENCE[few], reports, name=kind, thresholds={})
    assert report.json.exists()
    assert (report.html is None) == (kind == "empty")


@pytest.mark.parametrize("kind", [k for k in MALFORMED if k != "empty"])
def test_the_monitor_answers_every_malformed_window_with_a_verdict(kind: str) -> None:
    window = MALFORMED[kind][0](WINDOW)
    reference = freeze_reference(REFERENCE, labels(REFERENCE), WatchPlan())
    result = watch(window, reference, labels(WINDOW), now=START + timedelta(days=21), plan=WatchPlan())
    faults = {"all null", "missing", "words", "infinite", "duplicate columns", "mixed types", "constant"}
    assert (result.verdict.decision == "fix_pipeline") == (kind in faults)


def test_a_sound_window_has_no_findings() -> None:
    assert check_window(WINDOW, REFERENCE, list(WATCHED), words=CATEGORICAL).findings == ()


def test_the_command_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.parquet")
    with pytest.raises(MissingFile, match=r"none\.parquet is not there"):
        main(["--reference", missing, "--current", missing, "--out", str(tmp_path)])


def test_importing_the_report_does_not_import_evidently() -> None:
    code = "import sys, pipelines.monitoring.report, pipelines.monitoring.monitor; sys.exit('evidently' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
