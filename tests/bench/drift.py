"""What monitoring is worth: false alarms on quiet weeks, the verdict on each scenario, and what a retraining wins back.

python -m tests.bench.drift                 # all tables
python -m tests.bench.drift --seeds 20      # more quiet weeks
python -m tests.bench.drift --data <file>   # the first table on recorded payments too (the Handbook's, say)

Goals: quiet weeks ask for nothing more often than the error budget explains; no drift ends in a wrong action (to hold is
none: labels may be too few); a retraining wins back what the drift took.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from data.costs import DecisionCosts
from data.dataset import Dataset
from data.history import History, build_features
from data.scenarios import DEMO_SCENARIO, SCENARIOS
from data.sources import import_file
from data.world import WorldConfig
from pipelines.metrics import average_precision, recall_at_capacity
from tests.bench.table import conclude, publish
from tests.drift_lab import DRIFT, END, PLAN, SERVED, DriftLab, build_lab, fit, known, recorded_source, world_source

RETRAINED = END - 7  # the challenger learns from payments between DRIFT and RETRAINED - 7, with labels known by RETRAINED


def quiet(seeds: int) -> list[str]:
    """Alarms and wrong decisions on weeks in which nothing happened; returns the goal missed."""
    alarms = wrong = windows = 0
    seconds = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            lab = build_lab(world_source(WorldConfig(seed=seed, transactions_per_day=4_000)), Path(folder))
            served = lab.serve("none")
        for day in range(SERVED + 7, END + 1, 7):
            start = time.process_time()
            verdict = lab.watch(served, day).verdict
            seconds.append(time.process_time() - start)
            windows, alarms, wrong = windows + 1, alarms + verdict.alarm, wrong + (verdict.decision != "ignore")
    rows: list[list[object]] = [[windows, alarms, wrong, f"{np.median(seconds):.2f}"]]
    publish(
        "drift_quiet", "Quiet weeks of the world", ["windows", "with any alarm", "not ignored", "CPU s per window"], rows, {"seeds": seeds}
    )
    allowed = int(binom.ppf(0.999, windows, PLAN.error_budget))
    return [f"quiet weeks: {alarms} alarms in {windows} windows, at most {allowed} are luck"] if alarms > allowed else []


def verdicts(lab: DriftLab) -> list[str]:
    """The decision after one week of each drift and after four, beside the right one; returns the wrong actions."""
    rows: list[list[object]] = []
    misses = []
    for name, scenario in SCENARIOS.items():
        served = lab.serve(name)
        first, last = lab.watch(served, DRIFT + 7), lab.watch(served, END)
        days = "" if first.onset is None else f"{(first.onset.day - lab.source.midnight(DRIFT).date()).days:+d} d"
        cause = first.verdict.changed[0][:48] if first.verdict.changed else ""
        decision = (first if scenario.days else last).verdict.decision  # what lasts only days is over after four weeks
        if decision not in (*scenario.expected, "hold"):
            misses.append(f"{name}: {decision}, where {' or '.join(scenario.expected)} is right")
        rows.append([name, first.verdict.decision, last.verdict.decision, " / ".join(scenario.expected), days, cause])
    columns = ["scenario", "after a week", "after four", "right", "onset", "first cause"]
    publish("drift_verdicts", "Verdicts on injected drifts", columns, rows, {"drift_day": DRIFT})
    return misses


def recovery(lab: DriftLab, source: str, name: str) -> list[str]:
    """The champion before and after the drift, and a model trained on what came after it, on the last week."""
    ap: list[float] = []
    log, labels = lab.serve(name)
    every = lab.source.days(SERVED, END, SCENARIOS[name].inject(lab.source.midnight(DRIFT).date(), seed=7).changes)[1]
    features, _ = build_features(
        log,
        pd.concat([lab.labels[lab.labels["report_time"] > pd.Timestamp(lab.source.midnight(SERVED))], every]),
        History.load(lab.history),
    )
    day = ((log["event_time"] - pd.Timestamp(lab.source.midnight(0))).dt.days).to_numpy()
    seen = (day >= DRIFT) & (day < RETRAINED - 7)
    challenger = fit(features[seen], known(log, labels, lab.source.midnight(RETRAINED))[seen])(features)
    truth = known(log, every, lab.source.midnight(END) + timedelta(days=120)).astype(float)
    champion = log["score"].to_numpy()
    rows: list[list[object]] = []
    for who, score, part in (
        ("champion, week before", champion, day < DRIFT),
        ("champion, last week", champion, day >= RETRAINED),
        ("retrained, last week", challenger, day >= RETRAINED),
    ):
        y, s = truth[part], score[part]
        top = np.argsort(-s)[: len(s) // 100]  # ten in a thousand
        costs = DecisionCosts()
        saved = float((y[top] * (log["amount"].to_numpy()[part][top] + costs.chargeback_fee) - costs.review).sum() / len(s) * 1000)
        figures = (average_precision(y, s), recall_at_capacity(y, s, 10.0), float(y[top].mean()))
        rows.append([who, int(y.sum()), *(f"{v:.3f}" for v in figures), f"{saved:.0f}"])
        ap.append(figures[0])
    columns = ["model", "frauds", "average precision", "recall at 10 per 1000", "precision there", "EUR saved per 1000 there"]
    publish(f"drift_recovery_{source}", f"Lost and won back: {name} on {source}", columns, rows, {"scenario": name})
    before, after, retrained = ap
    lost = [f"{name} on {source}: average precision fell from {before:.3f} to {after:.3f} only"] if after > before / 2 else []
    return lost + ([f"{name} on {source}: a retraining reaches {retrained:.3f} of {before:.3f}"] if retrained < before else [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all tables; 0 when the goals are reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        lab = build_lab(world_source(WorldConfig()), Path(folder))
        misses = [*recovery(lab, "world", DEMO_SCENARIO["world"]), *verdicts(lab)]
    if given.data:
        with tempfile.TemporaryDirectory() as folder:
            dataset = Dataset(Path(folder) / "data")
            import_file(given.data, dataset, days=END + 1)
            misses += recovery(build_lab(recorded_source(dataset), Path(folder)), "handbook", DEMO_SCENARIO["handbook"])
    if given.seeds:
        misses += quiet(given.seeds)
    return conclude(misses)


if __name__ == "__main__":
    sys.exit(main())
