"""The test rig: scoring services of your own beside the running one, and the front before them. Read it, use it, leave it as it is.

Nobody loads the system that people pay with: invented payments would stand in its log and its history for ever. The rig starts the
same program in homes of its own, with the champion and the history of the running lab, and throws all that away afterwards.
Answers there do not wait for the disk (LAB_LOG_WRITE=buffered), so that your disk is no part of the numbers.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray

from data.settings import REPOSITORY, Settings
from labs.stream import open_stream

HERE = Path(__file__).parent
START_S = 30.0
LOAD_S = 60.0  # beside what the steps take


@dataclass(frozen=True)
class Step:
    """What one step of a load was like; arrays have one place for each request, in the order of their due times."""

    seconds: float
    batch: int
    due_s: NDArray[np.float64]  # since the step began
    took_ms: NDArray[np.float64]
    status: NDArray[np.int64]  # 0: no answer at all
    told_when: NDArray[np.bool_]  # a Retry-After came with it

    @property
    def answered(self) -> NDArray[np.bool_]:
        return self.status == 200

    @property
    def per_s(self) -> float:
        """Payments answered per second of the step: those that came while it lasted."""
        return float(self.batch * (self.answered & (self.due_s + self.took_ms / 1000 <= self.seconds)).sum() / self.seconds)

    @property
    def refused(self) -> float:
        """Share of the requests that were told to come back later."""
        return float(np.isin(self.status, (429, 503)).mean()) if len(self.status) else 0.0

    def ms(self, percent: float) -> float:
        """A percentile of the answers' times; infinite when there was none."""
        took = self.took_ms[self.answered]
        return float(np.percentile(took, percent)) if len(took) else np.inf


@dataclass
class Service:
    """One process that answers on `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Seconds of CPU that it took so far, its threads included."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def answered(self) -> int:
        """How many payments its log holds."""
        return int(httpx.get(self.url + "/v1/serving", timeout=5.0).json()["log_sequence"])

    def stop_for(self, seconds: float) -> None:
        """Let it stand still, as a long collection of garbage or a slow disk would."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def scoring(settings: Settings, count: int = 1) -> Iterator[list[Service]]:
    """So many scoring services, each with a log and a history of its own, from the running lab's champion and history."""
    with ExitStack() as stack:
        # Who writes the log of a service that was killed ends a moment after it.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="L09-", ignore_cleanup_errors=True)))
        services = [_launched(stack, _home(settings, folder / f"replica{i}")) for i in range(count)]
        for service in services:
            wait_until_up(service, "/ready")
        yield services


@contextmanager
def front(settings: Settings, replicas: list[Service], *, shedding: str | Path = "-", routing: str | Path = "-") -> Iterator[Service]:
    """front.py before these replicas, with these rules; "-": none."""
    with ExitStack() as stack:
        port = free_port()
        command = [sys.executable, str(HERE / "front.py"), str(port), str(shedding), str(routing), *(replica.url for replica in replicas)]
        service = _process(stack, command, settings, f"http://127.0.0.1:{port}")
        wait_until_up(service, "/front")
        yield service


def _home(settings: Settings, home: Path) -> Settings:
    """A home that holds what a scoring service starts from."""
    for part in ("keys", "models"):
        shutil.copytree(settings.home / part, home / part)
    (home / "history").mkdir()
    shutil.copy2(beginning(settings), home / "history" / "snapshot")
    return settings.model_copy(update={"home": home, "scoring_port": free_port(), "log_write": "buffered"})


def beginning(settings: Settings) -> Path:
    """The state behind the features when the running service answered its first payment, as training left it."""
    return settings.home / "history" / "snapshot"


def _launched(stack: ExitStack, settings: Settings) -> Service:
    command = [sys.executable, "-m", "services.scoring"]
    return _process(stack, command, settings, f"http://127.0.0.1:{settings.scoring_port}")


def _process(stack: ExitStack, command: list[str], settings: Settings, url: str) -> Service:
    environment = {**os.environ, **settings.as_environment()}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return Service(url, process)


def wait_until_up(service: Service, path: str) -> None:
    """Until this path is answered with 200."""
    wait_for(lambda: httpx.get(service.url + path, timeout=1.0).status_code == 200, service.process)


def wait_for(ready: Callable[[], Any], process: "subprocess.Popen[bytes]") -> None:
    """Until it is so. Raises RuntimeError when the process ends before, or the time is over."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ready():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"a process of the rig did not start: {process.args}")


@dataclass(frozen=True)
class Loaded:
    """What a run of load.py found: its steps, and the seconds of CPU that Locust itself took while they lasted."""

    steps: list[Step]
    client_cpu_s: float


def load(settings: Settings, url: str, steps: list[dict[str, Any]], users: int, during: Callable[[], None] = lambda: None) -> Loaded:
    """Run load.py with these steps in a process of its own, and `during` beside it once the steps have begun."""
    with tempfile.TemporaryDirectory() as name:
        out, begun, payments = Path(name) / "rows.json", Path(name) / "begun", payments_file(settings)
        command = [sys.executable, "-m", "locust", "-f", str(HERE / "load.py"), "--headless", "--only-summary", "--skip-log-setup"]
        command += ["-u", str(users), "-r", str(users), "--host", url]
        named = {"L09_STEPS": json.dumps(steps), "L09_PAYMENTS": str(payments), "L09_OUT": str(out), "L09_BEGUN": str(begun)}
        process = subprocess.Popen(command, cwd=HERE, env={**os.environ, **named}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(begun.exists, process)
            during()
            process.wait(LOAD_S + sum(step["seconds"] for step in steps))
        finally:
            process.kill()
            process.wait()
        told = json.loads(out.read_text())
        rows = np.array(told["rows"], dtype=np.float64).reshape(-1, 5)
    ends = np.cumsum([step["seconds"] for step in steps])
    found = []
    for i, step in enumerate(steps):
        mine = rows[rows[:, 0] == i]
        mine = mine[np.argsort(mine[:, 1], kind="stable")]
        due = mine[:, 1] - (ends[i] - step["seconds"])
        found.append(Step(step["seconds"], step.get("batch", 1), due, 1000 * mine[:, 2], mine[:, 3].astype(np.int64), mine[:, 4] > 0))
    return Loaded(found, told["cpu_s"])


def payments_file(settings: Settings) -> Path:
    """A day of payments after those that were served, as JSON, one a line, "@" for the id."""
    stream = open_stream(settings, None, 0)
    day = stream.live + timedelta(days=7)
    file = settings.home / "cache" / "L09" / f"{day}.jsonl"
    if not file.exists():
        payments = stream.day(day).transactions.assign(transaction_id="@")
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        payments.to_json(partial, orient="records", lines=True, date_format="iso", double_precision=15)
        partial.replace(file)
    return file


def say(what: str) -> None:
    """What a script is about to start: some seconds pass before it has something to show."""
    print(f"Starting {what} …", file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
