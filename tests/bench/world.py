"""Measure the world: realism, leaks, difficulty, speed. `python -m tests.bench world [--quick | --full]`.

Prints each value beside its band and writes the same to <home>/bench/world*.json. The speed runs draw up to 20 million
payments; `--quick` stops at 5 million, `--full` goes on to 50.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from data.dataset import Dataset
from data.environment import prepare_environment
from data.world import World, WorldConfig, make_days
from data.world.validation import Finding, answered, independence, labelling, leaks, realism
from tests.bench import world_difficulty as difficulty
from tests.bench.table import conclude, publish

DAYS = 60
PER_DAY = 250_000  # of the speed runs
MILLIONS = {"quick": (1, 5), "usual": (1, 5, 20), "full": (1, 5, 20, 50)}
ROWS_PER_CPU_SECOND = 300_000  # at least
GIGABYTES = 4.0  # at most


def main(argv: Sequence[str] | None = None) -> int:
    """Print all tables; 0 when every value lies in its band."""
    parser = argparse.ArgumentParser(description=__doc__)
    length = parser.add_mutually_exclusive_group()
    for name in ("quick", "full"):
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="usual", help="see above")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--draw", type=int, help=argparse.SUPPRESS)  # the child process of `speed`
    options = parser.parse_args(argv)
    prepare_environment()
    if options.draw:
        print(json.dumps(draw(options.draw)))  # noqa: T201
        return 0
    findings = [*believable(options.seed), *speed(MILLIONS[options.length])]
    return conclude([f"{f.name}: {f.value:.4g}, outside {f.low:.4g} to {f.high:.4g}" for f in findings if not f.inside])


def believable(seed: int) -> list[Finding]:
    """Realism, leaks, labels and difficulty of the default world."""
    config = WorldConfig(seed=seed)
    frames = difficulty.drawn(config, DAYS)
    frame = answered(frames["transactions"], frames["truth"])
    findings = [*realism(frame), *leaks(frame), *independence(frame), *labelling(frame, frames["labels"])]
    findings += hardness(difficulty.split(frames, config.start))
    rows = [[f.name, f"{f.value:.4f}", f"{f.low:.3f} to {f.high:.3f}", "in" if f.inside else "OUT"] for f in findings]
    facts = {"seed": seed, "days": DAYS, "payments": len(frame), "fraud_share": float(frame["is_fraud"].mean())}
    publish("world", f"The world against its bands: seed {seed}, {len(frame):,} payments", ["measure", "value", "band", ""], rows, facts)
    return findings


def hardness(data: difficulty.Split) -> list[Finding]:
    """Average precision of the contenders, their order, and the ceiling."""
    contenders = difficulty.scores(data, seeds=(1, 2))
    ap = {name: difficulty.average_precision(data, score) for name, score in contenders.items()}
    best = (ap["LightGBM, seed 1"] + ap["LightGBM, seed 2"]) / 2
    noise = abs(ap["LightGBM, seed 1"] - ap["LightGBM, seed 2"])
    recall = difficulty.recall_at_capacity(data, contenders["LightGBM, seed 1"])
    return [
        Finding("AP of LightGBM", best, 0.1, 0.6),  # Worldline 0.095, IEEE 0.55-0.62
        Finding("AP of logistic regression", ap["logistic regression"], 0.05, best - 2 * noise),
        Finding("AP of the rules", ap["rules"], data.truth.mean() * 1.5, ap["logistic regression"] - 2 * noise),
        Finding("AP of two seeds of LightGBM, difference", noise, 0.0, 0.03),
        Finding("AP of knowing the campaigns: the ceiling", difficulty.ceiling(data), best, 0.99),
        Finding("recall of LightGBM at 10 alerts per thousand", recall, 0.3, 0.9),
    ]


def speed(millions: tuple[int, ...]) -> list[Finding]:
    """Cost per row while the world grows, each size in a process of its own, and of the default world with its files."""
    measured = [_in_a_process(count) for count in millions]
    rows = [[f"{m['rows']:,.0f}", f"{m['rows'] / m['cpu_s']:,.0f}", f"{m['gigabytes']:.2f}"] for m in measured]
    stored = store()
    rows.append(
        [f"{stored['rows']:,.0f} on disk, {WorldConfig().transactions_per_day:,} a day", f"{stored['rows'] / stored['cpu_s']:,.0f}", ""]
    )
    publish("world_speed", f"Drawing days of {PER_DAY:,} payments", ["payments", "per CPU second", "GB at most"], rows, {"runs": measured})
    rates = [m["rows"] / m["cpu_s"] for m in measured]
    return [
        Finding("rows per CPU second, slowest", min(rates), ROWS_PER_CPU_SECOND, float("inf")),
        Finding("largest over smallest cost per row", max(rates) / min(rates), 1.0, 1.5),
        Finding("memory, GB", max(m["gigabytes"] for m in measured), 0.0, GIGABYTES),
    ]


def draw(millions: int) -> dict[str, float]:
    """Draw days until there are so many million rows; what it cost this process."""
    world = World(WorldConfig(transactions_per_day=PER_DAY))
    opening = world.config.start
    world.day(opening)  # the campaigns under way when the world opens are drawn once, whatever its size
    began, rows, day = time.process_time(), 0, opening + timedelta(days=1)
    while rows < millions * 1_000_000:
        rows += len(world.day(day)["transactions"])
        day += timedelta(days=1)
    cpu_s = time.process_time() - began
    unit = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kilobytes elsewhere
    return {"rows": rows, "cpu_s": cpu_s, "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def store() -> dict[str, float]:
    """Sixty days of the default world, written to Parquet by one process."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(Path(folder))
        began = time.process_time()
        make_days(WorldConfig(), dataset, DAYS, workers=1)
        cpu_s = time.process_time() - began
        rows = len(dataset.read("truth", dataset.days()[0], dataset.days()[-1] + timedelta(days=1)))
    return {"rows": rows, "cpu_s": cpu_s}


def _in_a_process(millions: int) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "tests.bench.world", "--draw", str(millions)], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    sys.exit(main())
