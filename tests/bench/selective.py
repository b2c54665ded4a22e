"""What declining hides, and what a random hold-out tells: recall and average precision on the world's truth.

python -m tests.bench.selective              # 8 seeds
python -m tests.bench.selective --seeds 3    # fewer

A champion that declines its 0.4 % riskiest payments is measured three ways on the same four quiet weeks: on approved payments
alone, with declined ones counted at their score (what monitoring does without a hold-out), and with a hold-out of each share.
Goal: with a tenth let through, both measures are right within a tenth on average.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from data.scenarios import SCENARIOS
from data.settings import Settings
from data.world import WorldConfig
from labs.exercises.deployment import END, ONSET, deploy
from labs.exercises.serve import serve
from labs.exercises.source import PAYMENTS_PER_DAY, world_source
from pipelines.metrics import average_precision
from pipelines.monitoring.performance import MaturedRows, matured_rows
from tests.bench.table import conclude, publish

DECLINED = 0.004  # of payments: the default costs decline so few that there is nothing to see
SHARES = (0.05, 0.10, 0.20)  # of the declined that are let through
DRAWS = 10  # hold-outs per seed and share
GOAL, GOAL_SHARE = 0.10, 0.10  # few frauds at great weights: an average precision of a month varies by a quarter
Measured = tuple[float, float]  # recall of the alerts, average precision


def main(arguments: Sequence[str] | None = None) -> int:
    """Print bias and spread of each way to measure; 0 when the goal is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.selective", description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    given = parser.parse_args(arguments)
    found: dict[str, list[tuple[Measured, Measured]]] = {}
    for seed in range(1, given.seeds + 1):
        for way, measured, true in one_seed(seed):
            found.setdefault(way, []).append((measured, true))
    rows: list[list[object]] = []
    misses = []
    for way, pairs in found.items():
        said, right = np.array([m for m, _ in pairs]), np.array([t for _, t in pairs])
        bias = said.mean(axis=0) / right.mean(axis=0) - 1
        spread = (said / right).std(axis=0)
        rows.append([way, *(f"{v:.3f}" for v in (*right.mean(axis=0), *said.mean(axis=0))), *(f"{v:+.1%}" for v in bias),
                     *(f"{v:.1%}" for v in spread)])  # fmt: skip
        if way == _name(GOAL_SHARE):
            misses = [f"{what} is off by {v:+.1%}" for what, v in zip(("recall", "average precision"), bias, strict=True) if abs(v) > GOAL]
    columns = ["measured on", "true recall", "true AP", "recall", "AP", "bias of recall", "bias of AP", "spread of recall", "spread of AP"]
    publish("selective", "What declining hides", columns, rows, {"seeds": given.seeds, "declined": DECLINED, "draws": DRAWS})
    return conclude(misses)


def one_seed(seed: int) -> Iterator[tuple[str, Measured, Measured]]:
    """Each way to measure on one world: its name, what it says, and what is true."""
    deployment = deploy(world_source(WorldConfig(seed=seed, transactions_per_day=PAYMENTS_PER_DAY)), Settings.load().home)
    quiet = SCENARIOS["none"].inject(deployment.source.midnight(ONSET).date(), seed=seed)
    served = serve(deployment, quiet, last=END)
    log, maturity = served.log, deployment.plan.maturity
    declined = (log["score"] >= log["score"].quantile(1 - DECLINED)).to_numpy()
    alerted = declined | (log["decision"] != "approve").to_numpy()
    truth = matured_rows(_shown(log, alerted, declined & False, declined & False), _labels(log, served.frauds), maturity)
    true = _measure(truth)
    shown = _shown(log, alerted, declined, declined & False)
    labels = _labels(log, served.frauds & ~declined)
    yield "approved payments alone", _measure(matured_rows(shown[~declined], labels, maturity)), true
    yield "declined ones at their score", _measure(matured_rows(shown, labels, maturity)), true
    rng = np.random.default_rng(seed)
    for share in SHARES:
        for _ in range(DRAWS):
            spared = declined & (rng.random(len(log)) < share)
            rows = matured_rows(_shown(log, alerted, declined, spared), _labels(log, served.frauds & (~declined | spared)), maturity)
            yield _name(share), _measure(rows), true


def _name(share: float) -> str:
    return f"a hold-out of {share:.0%}"


def _shown(log: pd.DataFrame, alerted: np.ndarray, declined: np.ndarray, spared: np.ndarray) -> pd.DataFrame:
    """The log as these decisions would have left it."""
    decision = np.select([spared, declined, alerted], ["approve", "decline", "review"], "approve")
    return log.assign(decision=decision, held_out=spared, model_version="1")


def _labels(log: pd.DataFrame, fraud: np.ndarray) -> pd.DataFrame:
    """Reports of these frauds, all in time."""
    rows = log.loc[fraud, ["transaction_id", "event_time"]]
    return rows.assign(report_time=rows["event_time"], is_fraud=True)


def _measure(rows: MaturedRows) -> Measured:
    caught = float((rows.weight * rows.y * rows.alert).sum())
    return caught / rows.frauds, average_precision(rows.y, rows.score, weights=rows.weight)


if __name__ == "__main__":
    sys.exit(main())
