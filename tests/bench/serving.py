"""The scoring service beside an empty endpoint and what people write instead: `python -m tests.bench serving [--quick | --full]`.

wrk loads each server in turn with a closed loop of 1, 8 and 64 connections; ratios are taken within a round and shown as
median (min–max). The service is the real process over a real home on this disk: history of 45 days, durable log, rules,
metrics. Other work on the machine makes rates and above all latencies those of the machine, ratios too: the first title says
how much there was. CPU time per request moves least. With --quick, only what a shared machine cannot spoil is judged: CPU per
request, and that scores are equal to the last bit.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.environment import prepare_environment
from data.errors import LabError
from data.settings import Settings
from tests.bench.serving_checks import batches, card_megabytes, disk_sync_us, equal_scores, starts
from tests.bench.serving_goals import Finding, figure, judge_load, median, spread
from tests.bench.serving_load import CONCURRENCIES, Run, run_rounds
from tests.bench.serving_material import LEAVES, TREES, Material, make_material
from tests.bench.serving_process import Cores
from tests.bench.serving_variants import ANCHOR, BUFFERED, OURS, VARIANTS
from tests.bench.table import conclude, publish
from tests.bench.wrk import ensure_wrk

LENGTHS = {"quick": (2, 2), "usual": (3, 3), "full": (5, 5)}  # rounds, seconds at each concurrency


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; 0 when the goals are reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    for name, (rounds, seconds) in LENGTHS.items():
        text = f"{rounds} rounds, {seconds} s at each concurrency"
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="usual", help=text)
    parser.add_argument("--only", default="", metavar="WORD", help="load the anchor and the variants whose names hold WORD; nothing else")
    options = parser.parse_args(argv)
    prepare_environment()
    home = Settings.load().home / "bench"
    home.mkdir(parents=True, exist_ok=True)
    try:
        ensure_wrk()
        with tempfile.TemporaryDirectory(prefix="serving-", dir=home) as folder:  # on the disk that a real log would be on
            return bench(Path(folder), options.length, options.only)
    except LabError as error:
        return conclude([str(error)])


def bench(folder: Path, length: str, only: str) -> int:
    """Measure all, show all, judge."""
    cores, (rounds, seconds) = Cores.of_this_machine(), LENGTHS[length]
    material = make_material(folder)
    variants = [variant for variant in VARIANTS if variant is ANCHOR or only in variant.name]
    runs = run_rounds(variants, material, cores, rounds=rounds, seconds=seconds, folder=folder)
    others = median([run.others_cores for run in runs])
    setting = (
        f"{TREES} trees x {LEAVES} leaves (mean {material.leaves:.1f}); {cores.describe()}; {rounds} rounds of {seconds} s; "
        f"other work of the machine: {others:.1f} cores"
    )
    show_load(runs, setting, disk_sync_us(folder))
    if only:
        return 0
    findings = judge_load(runs) + check(material, cores, folder, length)
    show_goals(findings)
    return conclude(
        [finding.miss() for finding in findings if finding.judged and not finding.met and (finding.steady or length != "quick")]
    )


def show_load(runs: Sequence[Run], setting: str, sync_us: tuple[float, float]) -> None:
    """Two tables, one of throughput, one of latency; all runs go with the first."""
    by_name: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.round):
        by_name.setdefault(run.variant, []).append(run)
    fast: list[list[object]] = []
    slow: list[list[object]] = []
    for name, mine in by_name.items():
        over = [run.loads[64].rate / base.loads[64].rate for run, base in zip(mine, by_name[ANCHOR.name], strict=True)]
        rates = [figure(median([run.loads[c].rate for run in mine])) for c in CONCURRENCIES]
        cpu, used = spread([run.cpu_us[64] for run in mine]), median([run.core_used(64) for run in mine])
        fast.append([name, *rates, spread(over), cpu, f"{used:.2f}"])
        micros = [figure(median([getattr(run.loads[c], p) for run in mine])) for c in CONCURRENCIES for p in ("p50_us", "p99_us")]
        slow.append(
            [name, *micros, f"{median([run.memory_mb for run in mine]):.0f}", f"{median([run.first_answer_s for run in mine]):.2f}"]
        )
    facts: dict[str, Any] = {"setting": setting, "runs": [asdict(run) for run in runs]}
    columns = ["req/s", *(f"c={c}" for c in CONCURRENCIES), "x the empty, c=64", "CPU us/request", "core used"]
    publish("serving", f"Serving. {setting}", columns, fast, facts)
    columns = ["latency, us", *(f"{p} c={c}" for c in CONCURRENCIES for p in ("p50", "p99")), "RSS MB", "start s"]
    sync = f"to append 4 KB and sync this disk takes {sync_us[0]:,.0f} us, p99 {sync_us[1]:,.0f}"
    publish("serving_latency", f"Medians; memory after the load, start to first score; {sync}", columns, slow, {"disk_sync_us": sync_us})


def check(material: Material, cores: Cores, folder: Path, length: str) -> list[Finding]:
    """What is measured without wrk, beside its goals."""
    cards = 200_000 if length == "quick" else 1_000_000
    equal = equal_scores(material, cores, folder)
    calls = 10 if length == "quick" else 40
    # The judged one has its log written by a process beside it, which needs a core to be beside it.
    batch = [
        (variant, batches(variant, material, where, folder, calls), variant is BUFFERED)
        for variant, where in ((OURS, cores), (BUFFERED, Cores(None, None)))
    ]
    first = starts(material, cores, folder, times=3 if length == "quick" else 5)
    unequal = max(equal["answered_to_booster"], equal["challenger_to_booster"])
    return [
        Finding("largest difference to Booster.predict", OURS.name, [unequal], 0.0, "at most", steady=True, judged=True, facts=dict(equal)),
        *(
            Finding("batch of 1,000: rows/s over the model's", of.name, _over(facts), 0.70, "at least", judged=judged, facts=dict(facts))
            for of, facts, judged in batch
        ),
        Finding("start to first score, no history, s", OURS.name, first["wall_s"], 1.0, "at most", judged=True, facts=dict(first)),
        Finding("RSS with two models, MB", OURS.name, [equal["memory_two_models_mb"]], 120, "at most", judged=True),
        Finding(f"MB per million cards, from {cards:,}", OURS.name, [card_megabytes(cards)], 600, "at most", judged=True),
    ]


def _over(batch: Mapping[str, list[float]]) -> list[float]:
    return [service / model for service, model in zip(batch["service"], batch["model"], strict=True)]


def show_goals(findings: Sequence[Finding]) -> None:
    """A line per measure, a column per service of ours."""
    names = list(dict.fromkeys(finding.of for finding in findings))
    rows: list[list[object]] = []
    for what in dict.fromkeys(finding.what for finding in findings):
        mine = {finding.of: finding for finding in findings if finding.what == what}
        rows.append([what, next(iter(mine.values())).goal(), *(mine[name].cell() if name in mine else "" for name in names)])
    facts = {"findings": [asdict(finding) | {"met": finding.met} for finding in findings]}
    equal = next(finding.facts for finding in findings if "answered_to_booster" in finding.facts)
    title = (
        f"Goals; load is judged by {BUFFERED.name!r}. Scores compared: {equal['rows']:,} payments, "
        f"{equal['rows_missing_a_value']:,} with missing values, {equal['rows_with_an_unseen_category']:,} of unseen categories"
    )
    publish("serving_goals", title, ["measure", "goal", *names], rows, facts)


if __name__ == "__main__":
    raise SystemExit(main())
