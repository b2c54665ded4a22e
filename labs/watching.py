"""Monitoring of a running lab: its champion's reference, windows of its prediction log, Evidently's report of one.

The reference of a first champion is the part of the history that it was not trained on and whose labels have matured, scored
offline by its own bundle; that of a promoted one, what it was tried on in its rollout: it learned from the weeks before, and the
payments of its day may be others than those of the first. Used by the demo and by `lab drift check`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import Model
from data.dataset import Dataset
from data.environment import DEFAULTS
from data.errors import EmptyWindow, StepFailed
from data.features import FEATURE_COUNT
from data.history import History, build_features
from data.ledger import Ledger
from data.log_database import LogPlace
from data.open_log import open_log
from data.prediction_frames import labels_frame, served_features, window, window_frame
from data.prediction_store import Payment, PredictionStore
from data.settings import REPOSITORY, Settings
from data.shared_log import SharedLog
from labs.archive import readable_log
from pipelines.monitoring.change_log import deployments, promoted_at
from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.noise_floor import noise_for
from pipelines.monitoring.parity import ParityResult, compare, recompute
from pipelines.monitoring.reference import Reference, WatchPlan, freeze_reference, reference_frame
from pipelines.monitoring.report import thresholds_of
from pipelines.monitoring.timeline import Timeline, timeline
from services.scoring.recovery import FROM_TRAINING
from services.scoring.shared_snapshots import SharedSnapshots

ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
REFERENCE_DAYS = 14  # whole weeks, so that each weekday is there twice
WEEK = 7  # days that a reference has at least
Judge = Callable[..., WindowResult]
EVIDENTLY_TIMEOUT_S = 180.0  # ten times what it takes on a quiet machine


@dataclass(frozen=True)
class EvidentlyRun:
    """What Evidently's report said, in short, and where it is."""

    columns: int
    drifted: int
    names: tuple[str, ...]  # of the drifted columns
    html: Path | None


@dataclass
class EvidentlyJob:
    """A report that is being made."""

    process: "subprocess.Popen[str]"
    json: Path
    inputs: tuple[Path, ...]

    def result(self) -> EvidentlyRun:
        """Wait for it. Raises StepFailed with the last line that Evidently's process said."""
        try:
            _, said = self.process.communicate(timeout=EVIDENTLY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said = f"nothing within {EVIDENTLY_TIMEOUT_S:g} s"
        for file in self.inputs:
            file.unlink()
        if self.process.returncode != 0:
            last = said.strip().splitlines()[-1:] or ["nothing"]
            raise StepFailed(
                f"Evidently's report could not be made. It said: {last[0].rstrip('.')}.",
                next_step="Check again: `lab drift check`. The verdict does not depend on this report.",
                where="evidently",
            )
        return _read(self.json)


@dataclass
class Watcher:
    """Watches one lab against one frozen reference."""

    settings: Settings
    reference: Reference
    live: datetime  # since when the champion answers
    plan: WatchPlan
    judge: Judge = watch
    _replayed: "Replayed | None" = None

    @classmethod
    def for_champion(cls, settings: Settings, dataset: Dataset, model: Model, *, live: datetime, judge: Judge = watch) -> "Watcher":
        """Freeze the reference of a first champion: the last REFERENCE_DAYS before `live` whose labels have matured.

        `judge`: `pipelines.monitoring.monitor.watch`, or the flow of `pipelines.flows` that runs it in sight of Prefect.
        """
        plan = watch_plan(settings, model)
        frame, labels = scored_history(dataset, model, live, plan)
        late = frame["event_time"] >= pd.Timestamp(live - plan.maturity - timedelta(days=REFERENCE_DAYS))
        return cls(settings, freeze_reference(frame[late].reset_index(drop=True), labels, plan), live, plan, judge)

    @classmethod
    def at_work(cls, settings: Settings, dataset: Dataset, model: Model, *, live: datetime, now: datetime) -> "Watcher":
        """The same for whoever is champion `now`; `live` is when the first one went live.

        One that a rollout promoted is watched since then; one that was put back by hand may be the wrong one, so
        that its windows hold what was answered before it too. Raises EmptyWindow before a promoted one has served for a day, and
        before a week of payments that it was tried on has matured.
        """
        came = promoted_at(Ledger(settings.home / "ledger.jsonl").entries(), model.version)
        tried = tried_on(settings.log_place, model, came) if came else None
        if came is None or tried is None:
            return cls.for_champion(settings, dataset, model, live=live)
        plan = watch_plan(settings, model)
        first = max(came + timedelta(days=1), tried["event_time"].min().to_pydatetime() + timedelta(days=WEEK) + plan.maturity)
        if now < first:
            raise EmptyWindow(
                f"Version {model.version} answers since {came:%Y-%m-%d}, too short a time to be watched.",
                next_step=f"Send payments, and check again from {first:%Y-%m-%d %H:%M} on, in their time.",
                where="window",
            )
        plan = replace(plan, window_days=min(plan.window_days, (now - came).days))
        matured = tried[tried["event_time"] < pd.Timestamp(now - plan.maturity)].reset_index(drop=True)
        labels = labels_frame(settings.log_place, now)
        return cls(settings, freeze_reference(matured, labels, plan), came, plan)

    def watch(self, now: datetime) -> WindowResult:
        """Judge the window that ends now."""
        readable_log(self.settings)
        entries = Ledger(self.settings.home / "ledger.jsonl").entries()
        changes = deployments(entries, now - timedelta(days=self.plan.window_days), now)
        served, known, parity = self._served(now), self._labels(now), self.parity(now)
        return self.judge(served, self.reference, known, now=now, plan=self.plan, deployments=changes, parity=parity)

    def parity(self, now: datetime) -> ParityResult | None:
        """Every payment of the window ending `now`, its features computed again from the log's events; None without a first history."""
        served = served_features(self.settings.log_place, now - timedelta(days=self.plan.window_days), now)
        with closing(open_log(self.settings)) as log:
            if self._replayed is None:
                self._replayed = Replayed.of(first_history(self.settings, log))
            if self._replayed is None:
                return None
            self._replayed.go_on(log)  # after the window was read, so that it holds all of it
        return compare(pd.Series(served.ids, dtype="str"), served.matrix, self._replayed.at(served.places))

    def timeline(self, now: datetime) -> Timeline:
        """The days since the reference, for a plot."""
        return timeline(self._served(now), self.reference, self._labels(now), now=now, plan=self.plan)

    def start_evidently(self, result: WindowResult) -> EvidentlyJob:
        """Begin Evidently's report of a window, in a process of its own: its import takes seconds and much memory.

        Its page and snapshot are kept where the window alarmed.
        """
        folder = self.settings.home / "reports"
        name = f"drift_{result.start:%Y-%m-%d}_{result.end:%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        inputs = {part: folder / f"{name}.{part}.parquet" for part in ("reference", "current")}
        self.reference.frame.to_parquet(inputs["reference"])
        window_frame(self.settings.log_place, result.start, result.end).to_parquet(inputs["current"])
        limits = folder / f"{name}.thresholds.json"
        limits.write_text(json.dumps(thresholds_of(result.tests)))
        command = [sys.executable, "-m", "pipelines.monitoring.report", "--out", str(folder), "--name", name, "--thresholds", str(limits)]
        command += ["--keep"] * result.verdict.alarm
        command += [word for part, file in inputs.items() for word in (f"--{part}", str(file))]
        environment = {**DEFAULTS, **os.environ}
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return EvidentlyJob(process, folder / f"{name}.json", (*inputs.values(), limits))

    def _served(self, now: datetime) -> pd.DataFrame:
        return window_frame(self.settings.log_place, self.live, now)

    def _labels(self, now: datetime) -> pd.DataFrame:
        return labels_frame(self.settings.log_place, now)


@dataclass
class Replayed:
    """The features of the log's payments by the batch path, kept from window to window: a payment belongs to the week of its own clock,
    and may have arrived in another."""

    history: History  # after the last entry taken in
    sequence: int = 0  # of that entry
    places: list[int] = field(default_factory=list)  # of the payments in the log
    rows: list[NDArray[np.float64]] = field(default_factory=list)  # their features, one matrix a reading

    @classmethod
    def of(cls, history: History | None) -> "Replayed | None":
        """Nothing taken in yet."""
        return None if history is None else cls(history)

    def go_on(self, log: PredictionStore) -> None:
        """Take in what the log holds more."""
        if events := list(log.events_since(self.sequence)):
            self.rows.append(recompute(events, self.history))
            self.places += [event.sequence for event in events if isinstance(event, Payment)]
            self.sequence = events[-1].sequence

    def at(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The features of the payments at these places, (n, FEATURE_COUNT)."""
        return np.concatenate(self.rows)[np.searchsorted(self.places, places)] if len(places) else np.empty((0, FEATURE_COUNT))


def first_history(settings: Settings, log: PredictionStore) -> History | None:
    """What was known before the log's first entry; None for a lab that never trained. Raises BadInput, LogUnavailable."""
    folder = settings.home / "history"
    if settings.store_url:
        return SharedSnapshots(folder, cast(SharedLog, log)).beginning()
    return History.load(folder / FROM_TRAINING) if (folder / FROM_TRAINING).exists() else None


def tried_on(log: LogPlace, model: Model, until: datetime) -> pd.DataFrame | None:
    """The payments before `until` that `model` scored as challenger, as if it had answered them; None when there are none."""
    span = (ALWAYS[0], until)
    frame, features = window(log, *span)
    scored = ((frame["challenger_version"].astype(object) == model.version) & frame["challenger_score"].between(0, 1)).to_numpy()
    if not scored.any():
        return None
    rows = frame[scored].reset_index(drop=True)
    return reference_frame(rows, features[scored], rows["challenger_score"].to_numpy(), model.policy, model.version)


def watch_plan(settings: Settings, model: Model) -> WatchPlan:
    """How this lab watches this champion: its settings, and what `lab drift calibrate` measured for it."""
    return WatchPlan(
        maturity_days=settings.label_delay_days,
        error_budget=settings.drift_false_alarms_per_thousand / 1000,
        per_thousand=settings.alert_capacity_per_thousand,
        costs=model.policy.costs,
        noise=noise_for(settings.home, model.version),
    )


def scored_history(dataset: Dataset, model: Model, live: datetime, plan: WatchPlan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every payment before `live` whose labels have matured, answered by `model` offline, and the labels known at `live`."""
    first, end = dataset.days()[0], (live - plan.maturity).date()
    transactions, labels = dataset.read("transactions", first, end), dataset.labels_known_by(live, first, end)
    features, _ = build_features(transactions, labels)
    return reference_frame(transactions, features, model.score_many(features), model.policy, model.version), labels


def _read(file: Path) -> EvidentlyRun:
    facts = json.loads(file.read_text())
    drifted = tuple(column["column"] for column in facts["columns"] if column["drifted"])
    return EvidentlyRun(len(facts["columns"]), len(drifted), drifted, file.with_name(facts["html"]) if facts["html"] else None)
