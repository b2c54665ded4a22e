"""What the second and the fourth scoring process bring: `python -m tests.bench scale_out [--quick | --full]`.

One process over SQLite, one over Valkey on this disk; then N behind one port that share a Valkey, beside N that share
nothing, each with a Valkey and a port of its own. Both get the same load, one wrk for each worker. The second are "N of one", on
few cores too, where N workers, the store and wrk crowd each other whether they share or not. So efficiency is what
those who share reach of those who do not: in requests/s, and in CPU per request of the workers, which moves less.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
from tests.bench.serving_process import Server, free_port, running
from tests.bench.serving_variants import OURS
from tests.bench.table import conclude, publish
from tests.bench.wrk import Load, ensure_wrk, run_wrk
from tests.valkey_server import PROGRAM, ValkeyServer

LENGTHS = {"quick": (2, 3), "usual": (3, 5), "full": (5, 10)}  # rounds, seconds
CONNECTIONS = 64  # to each worker
APART = 700_000  # requests between the first ones of two wrk: more than one sends
GOAL = 0.8
_START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Layout:
    """So many groups of so many workers; those of a group share a Valkey and a port."""

    name: str
    groups: int
    workers: int
    shared: bool = True  # False: over SQLite

    @property
    def processes(self) -> int:
        return self.groups * self.workers


@dataclass(frozen=True)
class Run:
    """One layout in one round; CPU in microseconds per request."""

    layout: Layout
    round: int
    rate: float
    p99_us: int  # of the slowest wrk
    workers_us: float
    store_us: float
    memory_mb: float  # of the workers together
    busiest: float  # share of the workers' CPU time that the busiest of them took: 1 / workers when connections are spread evenly
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
    layouts = [Layout("1 process, SQLite", 1, 1, shared=False), Layout("1 over Valkey", 1, 1)]
    for count in (2, 4) if cores >= 4 else (2,):
        layouts += [Layout(f"{count} sharing", 1, count), Layout(f"{count} apart", count, 1)]
    runs = []
    for number in range(rounds):
        for layout in layouts if number % 2 == 0 else layouts[::-1]:
            runs.append(run := measure(material, folder, layout, number, seconds))
            sys.stdout.write(f"round {number + 1}/{rounds}  {layout.name}: {run.rate:,.0f} req/s, {run.workers_us:.0f} us CPU\n")
            sys.stdout.flush()
    sync = disk_sync_us(folder)
    return show(
        runs, f"{cores} cores; {rounds} rounds of {seconds} s, {CONNECTIONS} connections a worker; append and sync {sync[0]:,.0f} us"
    )


def measure(material: Material, folder: Path, layout: Layout, number: int, seconds: int) -> Run:
    """Start a layout, load it, stop it."""
    with ExitStack() as stack:
        groups = [stack.enter_context(group(material, folder / f"home{n}", layout)) for n in range(layout.groups)]
        ports = [server.port for server, _ in groups for _ in range(layout.workers)]
        stores = [store for _, store in groups if store is not None]

        def cpu() -> tuple[list[float], float, float]:
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            workers = [seconds for server, _ in groups for seconds in server.cpu_of_children()]
            return workers, sum(store.cpu_seconds() for store in stores), children.ru_utime + children.ru_stime

        sent = load(material, ports, WARM_UP_S, 0)
        before, busy, began = cpu(), machine_seconds(), time.monotonic()
        loads = load(material, ports, seconds, max(each.requests for each in sent) + CONNECTIONS)
        after, busy, took = cpu(), machine_seconds() - busy, time.monotonic() - began
        each = [ended - begun for begun, ended in zip(before[0], after[0], strict=True)]
        store_s, wrk_s = after[1] - before[1], after[2] - before[2]
        requests = sum(one.requests for one in loads)
        check_logs(stores, requests)
        return Run(
            layout, number, sum(one.rate for one in loads), max(one.p99_us for one in loads), sum(each) / requests * 1e6,
            store_s / requests * 1e6, sum(server.memory_mb() for server, _ in groups), max(each) / sum(each),
            max(0.0, (busy - sum(each) - store_s - wrk_s) / took),
        )  # fmt: skip


def load(material: Material, ports: Sequence[int], seconds: int, first: int) -> list[Load]:
    """One wrk for each port, at the same time."""
    with ThreadPoolExecutor(len(ports)) as threads:
        pending = [
            threads.submit(
                run_wrk,
                f"http://127.0.0.1:{port}{OURS.path}",
                material.folder / OURS.bodies,
                connections=CONNECTIONS,
                seconds=seconds,
                first=first + number * APART,
                span_s=SPAN_S,
            )
            for number, port in enumerate(ports)
        ]
        return [each.result() for each in pending]


@contextmanager
def group(material: Material, home: Path, layout: Layout) -> Iterator[tuple[Server, ValkeyServer | None]]:
    """The workers of one group over a new home and an empty store; all of them serve."""
    port, log = free_port(), home.parent.with_name("scale_out.log")
    shutil.rmtree(home, ignore_errors=True)
    material.home(home, OURS.models)
    store = ValkeyServer(home / "valkey") if layout.shared else None
    settings = {"LAB_HOME": str(home), "LAB_SCORING_PORT": str(port), "LAB_MLFLOW_PORT": str(free_port())}
    if store is not None:
        settings |= {"LAB_STORE_URL": store.url, "LAB_WORKERS": str(layout.workers)}
    command = [sys.executable, "-m", "services.keeper", "127.0.0.1", str(port), str(layout.workers), *OURS.command]
    try:
        with running(command, settings, port=port, path=OURS.path, body=first_body(OURS, material), core=None, log=log) as server:
            wait_for_workers(log, layout.workers)
            yield server, store
    finally:
        if store is not None:
            store.kill()


def wait_for_workers(log: Path, workers: int) -> None:
    """Until each has said that it serves. Raises StepFailed."""
    end = time.monotonic() + _START_LIMIT_S
    while log.read_text().count("serving version") < workers:
        if time.monotonic() > end:
            raise StepFailed("A worker does not serve.", next_step=f"Look at bench/{log.name} in LAB_HOME.", where=log.name)
        time.sleep(0.05)


def check_logs(stores: Sequence[ValkeyServer], answered: int) -> None:
    """Every answer is in a store. Raises StepFailed."""
    logs = [ValkeyLog(store.url) for store in stores]
    entries = sum(log.last_sequence() for log in logs)
    for log in logs:
        log.close()
    if stores and entries < answered:
        raise StepFailed(f"{answered} payments were answered and {entries} stored.", next_step="Run it again.", where="LAB_STORE_URL")


def show(runs: Sequence[Run], setting: str) -> int:
    """One table; judges every layout that shares, beside the one of as many processes that does not."""
    by_layout = {run.layout: [other for other in runs if other.layout == run.layout] for run in runs}
    rows: list[list[object]] = []
    misses = []
    for layout, mine in by_layout.items():
        ratios = ["", ""]
        if layout.workers > 1:
            apart = next(theirs for other, theirs in by_layout.items() if other.processes == layout.processes and other.groups > 1)
            pairs = list(zip(mine, apart, strict=True))
            rate, cpu = [we.rate / they.rate for we, they in pairs], [they.workers_us / we.workers_us for we, they in pairs]
            ratios = [spread(rate), spread(cpu)]
            if median(cpu) < GOAL:
                misses.append(f"{layout.name}: {median(cpu):.2f} of those who share nothing, by CPU per request; the goal is {GOAL}")
        rows.append([
            layout.name, figure(median([run.rate for run in mine])), figure(median([run.p99_us for run in mine])),
            spread([run.workers_us for run in mine]), spread([run.store_us for run in mine]), *ratios,
            f"{median([run.busiest for run in mine]):.2f}", f"{median([run.memory_mb for run in mine]):.0f}",
        ])  # fmt: skip
    columns = ["processes", "req/s", "p99 us", "CPU us/request", "+ store", "rate / apart", "CPU, apart / this", "busiest", "RSS MB"]
    others = median([run.others_cores for run in runs])
    heading = f"Scaling out (goal {GOAL} of as many apart). {setting}; other work {others:.1f} cores"
    publish("scale_out", heading, columns, rows, {"runs": [asdict(run) for run in runs]})
    return conclude(misses)


if __name__ == "__main__":
    raise SystemExit(main())
