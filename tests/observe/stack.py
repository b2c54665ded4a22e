"""An embedded lab with its worker and a real Prometheus beside it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from data.log_database import read
from data.open_log import open_log
from data.schema import Transaction
from data.settings import REPOSITORY, Settings
from labs.engine.levels import level_of
from labs.engine.live_state import put_back
from labs.engine.prepare import Preparation
from labs.service import serving_once_ready
from services.supervisor import Supervisor
from tests.observe.compressed import write_config

PATIENCE_S = 240.0  # for a condition, on a machine that does other things


@dataclass
class Stack:
    """One lab, watched."""

    settings: Settings
    supervisor: Supervisor
    address: str  # of Prometheus
    heard: set[str] = field(default_factory=set)  # alerts that have fired so far

    def lab(self, *arguments: str) -> str:
        """A command of the lab."""
        return run(self.settings, *arguments)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The rows that Prometheus answers. Raises when it refuses the expression."""
        answer = httpx.get(f"{self.address}/api/v1/query", params={"query": expression}, trust_env=False, timeout=30)
        assert answer.is_success, f"{expression}: {answer.text}"
        rows: list[dict[str, Any]] = answer.json()["data"]["result"]
        return rows

    def firing(self) -> set[str]:
        """Alerts that fire now."""
        names = {row["metric"]["alertname"] for row in self.ask('ALERTS{alertstate="firing"}')}
        self.heard |= names
        return names

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Raises when it does not come true in time."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:.0f} s"
            time.sleep(0.5)

    def fires(self, *names: str) -> None:
        """Wait until each has fired, together or one after the other."""
        missing = set(names)
        self.wait(f"{missing} to fire", lambda: not missing.difference_update(self.firing()) and not missing)

    def resolves(self, *names: str) -> None:
        """Wait until none of them fires."""
        self.wait(f"{names} to resolve", lambda: not self.firing() & set(names))


def run(settings: Settings, *arguments: str) -> str:
    """`lab ...` in a process of its own; its standard output. Exit status 1 is a finding, not a failure."""
    command = [sys.executable, "-c", "from labs.cli import main; main()", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), f"lab {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


def environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **settings.as_environment(), "OMP_NUM_THREADS": "1"}


@contextmanager
def watched_lab(settings: Settings, prometheus: Path, folder: Path, own_port: int) -> Iterator[Stack]:
    """A champion that has served for a week, `lab work` in rounds of a second, and Prometheus; all stopped at the end."""
    Preparation(settings, lambda *_: None).make("traffic")
    put_back(settings.home, level_of(settings, "traffic"))
    config = write_config(folder, settings, own_port)
    address = f"http://127.0.0.1:{own_port}"
    worker = [sys.executable, "-c", "from labs.cli import main; main()", "work"]
    database = [str(prometheus / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    database += [f"--web.listen-address=127.0.0.1:{own_port}", "--log.level=warn"]
    with Supervisor(settings).owning() as supervisor:
        supervisor.start(("mlflow", "scoring"))
        serving_once_ready(settings)
        run(settings, "work", "--once")  # the week that was served before; from here on the worker has caught up
        stack = Stack(settings, supervisor, address)
        with started(settings, worker, folder / "work.log"), asking(settings):
            stack.wait("the worker's metrics", lambda: answers(f"http://127.0.0.1:{settings.work_port}/metrics"))
            with started(settings, database, folder / "prometheus.log"):
                stack.wait("Prometheus to scrape", lambda: answers(f"{address}/-/ready") and len(stack.ask("up == 1")) == 3)
                yield stack


@contextmanager
def started(settings: Settings, command: list[str], log: Path) -> Iterator[None]:
    """A process of its own, ended at the end."""
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(settings), stdout=file, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def asking(settings: Settings) -> Iterator[None]:
    """Somebody asks meanwhile."""
    leaving = threading.Event()
    thread = threading.Thread(target=keep_asking, args=(settings, leaving))
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False, timeout=30).is_success
    except httpx.TransportError:
        return False


def keep_asking(settings: Settings, leaving: threading.Event) -> None:
    """A payment that was answered before, again and again: requests that change nothing of the log."""
    ((transaction_id,),) = read(settings.log_place, "SELECT transaction_id FROM predictions LIMIT 1", ())
    with closing(open_log(settings)) as log:
        known = log.logged(transaction_id)
    assert known is not None
    facts = known.payment._asdict()
    del facts["event_time_ms"]
    body = Transaction(event_time=known.payment.event_time, **facts).model_dump_json()
    with httpx.Client(base_url=settings.scoring_url, trust_env=False, timeout=10) as client:
        while not leaving.wait(0.1):
            with suppress(httpx.TransportError):  # the outage that is asked for
                client.post("/v1/score", content=body, headers={"content-type": "application/json"})
