"""What the second and the fourth scoring process bring: `python -m tests.bench scale_out [--quick | --full]`.

One process over SQLite, then 1, 2 and 4 behind one port that share a Valkey on this disk, loaded with wrk in turn. A shared log
costs twice: the exchange with the store, and a history that every process keeps up with the payments of all. Efficiency is
rate_N / (N rate_1) where every worker, the store and wrk have a core each; elsewhere it is CPU_1 / CPU_N per request of
the workers, which is what the rates would come to if there were cores, and the title says so.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from data.environment import prepare_environment
from data.errors import LabError, StepFailed
from data.settings import Settings
from data.valkey_log import ValkeyLog
from tests.bench.serving_checks import disk_sync_us
from tests.bench.serving_goals import figure, median, spread
from tests.bench.serving_load import WARM_UP_S, first_body, machine_seconds
from tests.bench.serving_material import SPAN_S, Material, make_material
from tests.bench.serving_process import Server, ask, free_port, running
from tests.bench.serving_variants import OURS
from tests.bench.table import conclude, publish
from tests.bench.wrk import ensure_wrk, run_wrk
from tests.valkey_server import PROGRAM, ValkeyServer

LENGTHS = {"quick": (2, 3), "usual": (3, 5), "full": (5, 10)}  # rounds, seconds
CONNECTIONS = 64  # to each worker, so that each has the load of the one: N workers are there for N times the callers
GOAL = 0.8
ALONE = 0  # workers of the variant that shares nothing
_START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Run:
    """One number of workers in one round; CPU in microseconds per request."""

    workers: int
    round: int
    rate: float
    p99_us: int
    workers_us: float
    store_us: float
    memory_mb: float  # of the workers together
    busiest: float  # share of the workers' CPU time that the busiest of them took: 1 / workers when the kernel spreads evenly
    others_cores: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 when the goal is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench scale_out", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    for name, (rounds, seconds) in LENGTHS.items():
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="usual", help=f"{rounds} x {seconds} s")
    options = parser.parse_args(argv)
    prepare_environment()
    if PROGRAM is None:
        return conclude(["Neither valkey-server nor redis-server is here: `sudo apt-get install redis-server` on Debian."])
    home = Settings.load().home / "bench"
    home.mkdir(parents=True, exist_ok=True)
    try:
        ensure_wrk()
        with tempfile.TemporaryDirectory(prefix="scale-", dir=home) as folder:  # on the disk that a real store would be on
            return bench(Path(folder), *LENGTHS[options.length])
    except LabError as error:
        return conclude([str(error)])


def bench(folder: Path, rounds: int, seconds: int) -> int:
    """Measure all in turn, show, judge."""
    material, cores = make_material(folder), len(os.sched_getaffinity(0))
    counts = [ALONE, 1, 2, *([4] if cores >= 4 else [])]
    runs = []
    for number in range(rounds):
        for workers in counts if number % 2 == 0 else counts[::-1]:
            runs.append(run := measure(material, folder, workers, number, seconds))
            sys.stdout.write(f"round {number + 1}/{rounds}  {title(workers)}: {run.rate:,.0f} req/s, {run.workers_us:.0f} us CPU\n")
            sys.stdout.flush()
    sync = disk_sync_us(folder)
    return show(
        runs, cores, f"{rounds} rounds of {seconds} s, {CONNECTIONS} connections a worker; to append 4 KB and sync takes {sync[0]:,.0f} us"
    )


def title(workers: int) -> str:
    return "1 process, SQLite" if workers == ALONE else f"{workers} sharing Valkey"


def measure(material: Material, folder: Path, workers: int, number: int, seconds: int) -> Run:
    """Start so many workers, load them, stop them."""
    with serving(material, folder, workers) as (server, store):
        url, bodies = f"http://127.0.0.1:{server.port}{OURS.path}", material.folder / OURS.bodies
        connections = CONNECTIONS * max(1, workers)
        warm = run_wrk(url, bodies, connections=connections, seconds=WARM_UP_S, first=0, span_s=SPAN_S)
        before, busy, began = (*cpu_of(server, store),), machine_seconds(), time.monotonic()
        sent = warm.requests + connections
        load = run_wrk(url, bodies, connections=connections, seconds=seconds, first=sent, span_s=SPAN_S)
        after, busy, took = (*cpu_of(server, store),), machine_seconds() - busy, time.monotonic() - began
        each = [ended - begun for begun, ended in zip(before[0], after[0], strict=True)]
        store_s = after[1] - before[1]
        if store is not None:
            check_log(store, warm.requests + load.requests)
        others = (busy - sum(each) - store_s - load.generator_share * load.seconds) / took
        return Run(
            workers, number, load.rate, load.p99_us, sum(each) / load.requests * 1e6, store_s / load.requests * 1e6,
            server.memory_mb(), max(each) / sum(each), max(0.0, others),
        )  # fmt: skip


@contextmanager
def serving(material: Material, folder: Path, workers: int) -> Iterator[tuple[Server, ValkeyServer | None]]:
    """Workers over a new home and, when they share one, an empty store; all of them answer."""
    home, port, log = folder / "home", free_port(), folder.with_name("scale_out.log")
    shutil.rmtree(home, ignore_errors=True)
    material.home(home, OURS.models)
    store = ValkeyServer(home / "valkey") if workers != ALONE else None
    settings = {"LAB_HOME": str(home), "LAB_SCORING_PORT": str(port), "LAB_MLFLOW_PORT": str(free_port())}
    if store is not None:
        settings |= {"LAB_STORE_URL": store.url, "LAB_WORKERS": str(workers)}
    command = [sys.executable, "-m", "services.keeper", "127.0.0.1", str(port), str(max(1, workers)), *OURS.command]
    body = first_body(OURS, material)
    try:
        with running(command, settings, port=port, path=OURS.path, body=body, core=None, log=log) as server:
            end = time.monotonic() + _START_LIMIT_S
            while log.read_text().count("serving version") < max(1, workers):
                if time.monotonic() > end:
                    raise StepFailed("A worker does not serve.", next_step=f"Look at bench/{log.name} in LAB_HOME.", where=log.name)
                ask(port, OURS.path, body)
            yield server, store
    finally:
        if store is not None:
            store.kill()


def cpu_of(server: Server, store: ValkeyServer | None) -> tuple[list[float], float]:
    """CPU seconds so far: of each worker, and of the store."""
    return server.cpu_of_children(), store.cpu_seconds() if store is not None else 0.0


def check_log(store: ValkeyServer, answered: int) -> None:
    """Every answer is in the store. Raises StepFailed."""
    log = ValkeyLog(store.url)
    entries = log.last_sequence()
    log.close()
    if entries < answered:
        raise StepFailed(f"{answered} payments were answered and {entries} stored.", next_step="Run it again.", where=store.url)


def show(runs: Sequence[Run], cores: int, setting: str) -> int:
    """One table; judges the efficiency of every number of workers beyond one."""
    by_count = {run.workers: [other for other in runs if other.workers == run.workers] for run in runs}
    rows: list[list[object]] = []
    misses = []
    measures = set()
    for workers, mine in by_count.items():
        by_rate = cores >= workers + 2
        pairs = list(zip(by_count[1], mine, strict=True))
        rate = [other.rate / (max(1, workers) * one.rate) for one, other in pairs]
        cpu = [one.workers_us / other.workers_us for one, other in pairs]
        judged = rate if by_rate else cpu
        if workers > 1:
            measures.add("rates" if by_rate else "CPU per request, as there are too few cores for rates")
            if median(judged) < GOAL:
                misses.append(f"{title(workers)}: efficiency {median(judged):.2f}, the goal is {GOAL}")
        rows.append([
            title(workers), figure(median([run.rate for run in mine])), figure(median([run.p99_us for run in mine])),
            spread([run.workers_us for run in mine]), spread([run.store_us for run in mine]), spread(rate), spread(cpu),
            f"{median([run.busiest for run in mine]):.2f}", f"{median([run.memory_mb for run in mine]):.0f}",
        ])  # fmt: skip
    columns = ["workers", "req/s", "p99 us", "CPU us/request", "+ store", "rate_N / N rate_1", "CPU_1 / CPU_N", "busiest", "RSS MB"]
    others = median([run.others_cores for run in runs])
    heading = (
        f"Scaling out, judged by {' and '.join(sorted(measures))} (goal {GOAL}). {cores} cores; {setting}; other work {others:.1f} cores"
    )
    publish("scale_out", heading, columns, rows, {"runs": [asdict(run) for run in runs], "cores": cores})
    return conclude(misses)


if __name__ == "__main__":
    raise SystemExit(main())
