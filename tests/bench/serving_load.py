"""The load part of the serving bench: every variant started, loaded at three concurrencies and stopped, in turn, round by round."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from data.errors import StepFailed
from data.prediction_log import PredictionLog
from tests.bench.serving_material import SPAN_S, Material
from tests.bench.serving_process import Cores, Server, free_port, pinned, running
from tests.bench.serving_variants import Variant
from tests.bench.wrk import Load, run_wrk

CONCURRENCIES = (1, 8, 64)
WARM_UP_S = 1


@dataclass(frozen=True)
class Run:
    """One variant in one round; loads and CPU by concurrency."""

    variant: str
    round: int
    loads: dict[int, Load]
    cpu_us: dict[int, float]  # per request, of the server and its children
    memory_mb: float  # after the load
    first_answer_s: float
    others_cores: float  # cores' worth of time that neither the server nor wrk used: what other work the machine did meanwhile

    def core_used(self, connections: int) -> float:
        """Share of its core that the server used; well under 1 it waited: for the disk, for wrk, or for other work of the machine."""
        return self.cpu_us[connections] * self.loads[connections].rate / 1e6


def run_rounds(variants: Sequence[Variant], material: Material, cores: Cores, *, rounds: int, seconds: int, folder: Path) -> list[Run]:
    """Interleaved: a slow minute of the machine falls on all. Every other round goes backwards, so that a drift cancels out."""
    runs = []
    for number in range(rounds):
        for variant in variants if number % 2 == 0 else variants[::-1]:
            with serving(variant, material, cores, folder) as server:
                run = _load(server, variant, number, material, cores, seconds)
            if variant.models:
                check_log(folder / "home" / "predictions.db", run)
            rates = ", ".join(f"{load.rate:,.0f}" for load in run.loads.values())
            sys.stdout.write(f"round {number + 1}/{rounds}  {variant.name}: {rates} req/s, {run.cpu_us[64]:.0f} us CPU\n")
            sys.stdout.flush()
            runs.append(run)
    return runs


@contextmanager
def serving(variant: Variant, material: Material, cores: Cores, folder: Path, *, empty_history: bool = False) -> Iterator[Server]:
    """`variant` on its core and answering; one of ours over a new home, `folder`/home, which is there until the next start."""
    port, home = free_port(), folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    environment = {}
    if variant.models:
        material.home(home, variant.models, empty_history=empty_history)
        # Nobody listens on the registry's port: the service serves its last good copy and keeps asking, as on any bad day.
        environment = {"LAB_HOME": str(home), "LAB_SCORING_PORT": str(port), "LAB_MLFLOW_PORT": str(free_port()), **variant.settings}
    command = [part.format(port=port, material=material.folder) for part in variant.command]
    first, log = first_body(variant, material), folder.with_name("serving.log")  # outside of what is deleted at the end
    with running(command, environment, port=port, path=variant.path, body=first, core=cores.server, log=log) as server:
        yield server


def first_body(variant: Variant, material: Material) -> bytes:
    """A request of the kind that the variant takes, under an id that wrk does not use."""
    if variant.bodies == "payments.txt":
        return json.dumps(material.payments[0] | {"transaction_id": "first"}).encode()
    with (material.folder / variant.bodies).open("rb") as lines:
        return lines.readline()


def _load(server: Server, variant: Variant, number: int, material: Material, cores: Cores, seconds: int) -> Run:
    url, bodies = f"http://127.0.0.1:{server.port}{variant.path}", material.folder / variant.bodies
    sent = 0

    def load(connections: int, length: int) -> tuple[Load, float]:
        nonlocal sent
        before = server.cpu_seconds()
        with pinned(cores.load):
            done = run_wrk(url, bodies, connections=connections, seconds=length, first=sent, span_s=SPAN_S)
        sent += done.requests + done.refused + connections  # those on their way when the time was up have used their numbers too
        return done, (server.cpu_seconds() - before) / done.requests * 1e6

    load(max(CONCURRENCIES), WARM_UP_S)
    began, busy = time.monotonic(), machine_seconds()
    measured = {connections: load(connections, seconds) for connections in CONCURRENCIES}
    busy, took = machine_seconds() - busy, time.monotonic() - began
    ours = sum(done.generator_share * done.seconds + done.requests * cpu / 1e6 for done, cpu in measured.values())
    return Run(
        variant.name,
        number,
        {connections: done for connections, (done, _) in measured.items()},
        {connections: cpu for connections, (_, cpu) in measured.items()},
        server.memory_mb(),
        server.first_answer_s,
        max(0.0, (busy - ours) / took),
    )


def machine_seconds() -> float:
    """CPU time that all cores together have spent on anything, what a hypervisor took included."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def check_log(log: Path, run: Run) -> None:
    """Every answer is in the log of a server that has stopped. Raises StepFailed."""
    answered, stored = sum(load.requests for load in run.loads.values()), PredictionLog(log)
    entries = stored.last_sequence()
    stored.close()
    if entries < answered:
        raise StepFailed(
            f"{run.variant} answered {answered} payments and stored {entries}: its speed is not that of a durable log.",
            next_step="Look at bench/serving.log in LAB_HOME.",
            where=log.name,
        )
