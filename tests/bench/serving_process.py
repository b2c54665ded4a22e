"""One server under measurement: on a core of its own, timed from its start to its first answer, its CPU time and memory read."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from data.errors import ProcessDied
from data.settings import REPOSITORY

START_LIMIT_S = 120.0
_LOOK_S = 0.005  # between two looks at a server that does not answer yet


@dataclass(frozen=True)
class Cores:
    """Where the server and its load run; None for both where the machine has one core, or cannot pin."""

    server: int | None
    load: int | None

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """The last allowed core for the server: the first one answers most interrupts."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(None, None)
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[-1], allowed[0]) if len(allowed) > 1 else cls(None, None)

    def describe(self) -> str:
        if self.server is None:
            return "nothing pinned: one core, or no way to pin"
        return f"server on core {self.server}, wrk on core {self.load}"


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This thread, and every process it starts meanwhile, on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A running server. `first_answer_s` is the time from its start to its first answer of 200."""

    def __init__(self, process: psutil.Process, port: int, first_answer_s: float) -> None:
        self.port = port
        self.first_answer_s = first_answer_s
        self._process = process

    def cpu_seconds(self) -> float:
        """CPU time of the process, its threads and its children, those that have ended too; user and system."""
        return sum(sum(process.cpu_times()[:4]) for process in self._tree())

    def cpu_of_children(self) -> list[float]:
        """The same of each of its living children, oldest first: the workers behind a keeper."""
        children = sorted(self._process.children(), key=lambda child: child.pid)
        return [times.user + times.system for times in (child.cpu_times() for child in children)]

    def memory_mb(self) -> float:
        """Resident memory of the same, in MB of 2**20 bytes."""
        return sum(process.memory_info().rss for process in self._tree()) / 2**20

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def _tree(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextmanager
def running(
    command: list[str], environment: dict[str, str], *, port: int, path: str, body: bytes, core: int | None, log: Path
) -> Iterator[Server]:
    """Start `command` on `core`, wait until it answers `body` with 200, stop it and its children at the end. Raises ProcessDied."""
    with log.open("wb") as sink, pinned(core):
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=_with_our_programs(environment), cwd=REPOSITORY, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        while (status := ask(port, path, body)) != http.client.OK:
            if process.poll() is not None or time.perf_counter() - began > START_LIMIT_S:
                said = log.read_text(errors="replace")[-2000:]
                raise ProcessDied(
                    f"{' '.join(command[1:4])} gave no answer (last status: {status}):\n{said}", next_step="Start it by hand.", where=path
                )
            time.sleep(_LOOK_S)
        yield Server(psutil.Process(process.pid), port, time.perf_counter() - began)
    finally:
        _stop(process)


def ask(port: int, path: str, body: bytes) -> int | None:
    """The status that one POST gets; None while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
    """The answer to one POST on an open connection. Raises ProcessDied for any status but 200."""
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise ProcessDied(f"status {answer.status}: {json.loads(content)}", next_step="Look at bench/serving.log in LAB_HOME.", where=path)
    return content


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _with_our_programs(environment: dict[str, str]) -> dict[str, str]:
    """This process's variables, those, and the programs beside this interpreter: MLflow starts `uvicorn` by its name."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return os.environ | {"PATH": path} | environment


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """The whole group, politely first: some servers fork."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
