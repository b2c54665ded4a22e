"""One scoring service on trial: a Python file, started as a child on a free port with a folder of its own, asked, and ended.

PORT      where it is to listen, on loopback
FOLDER    where it may write: its prediction log, its models
LAB_…     the lab's settings, the registry being the gate
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psutil

from data.settings import Settings
from labs.endpoint.gate import RegistryGate
from labs.engine.learner import end_group
from labs.engine.outcome import Incorrect

START_S: Final = 30.0  # to listen: imports take one second, more on a busy machine
ANSWER_S: Final = 5.0  # for one answer
IDLE_S: Final = 1.0  # after which a connection is not used again; uvicorn closes them after five
POLL_S: Final = 0.2  # LAB_REGISTRY_POLL_S of a service on trial
REGISTRY_S: Final = 2.0  # its LAB_HTTP_TIMEOUT_S: how long a silent registry keeps whoever waits for it
LOG: Final = "predictions.jsonl"


class Reply(NamedTuple):
    """What came back; status 0 when nothing did within ANSWER_S."""

    status: int
    headers: dict[str, str]
    content: bytes
    seconds: float

    def json(self) -> dict[str, Any]:
        """The content as a JSON object; empty when it is none."""
        try:
            content = json.loads(self.content)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


class Client:
    """One kept-alive connection, opened when needed, and anew after a pause: a server may have closed it meanwhile."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request. Whatever goes wrong with the connection is a reply of status 0."""
        json_type = {"content-type": "application/json"} if body is not None else {}
        began = time.perf_counter()
        if began - self._used > IDLE_S:
            self._connection.close()
        self._used = began
        try:
            self._connection.request(method, path, body, {**json_type, **(headers or {})})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Reply(0, {}, b"", time.perf_counter() - began)
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, named, content, time.perf_counter() - began)

    def post(self, path: str, message: object, headers: Mapping[str, str] | None = None) -> Reply:
        """POST a message as JSON."""
        return self.ask("POST", path, json.dumps(message).encode(), headers)


class ServiceProcess:
    """The service's process; `folder` and `port` outlive a stop, so that it can be started again on what it left behind."""

    def __init__(self, file: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.file, self.folder = file, folder
        self.folder.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._environment = {**os.environ, **environment, "PORT": str(self.port), "FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
        self._said = folder.with_name(f"{folder.name}.out")
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Client(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> float:
        """Start it and wait until it listens; returns the seconds that took. Raises Incorrect when it does not."""
        began = time.monotonic()
        with self._said.open("ab") as said:
            command = [sys.executable, str(self.file)]
            self._process = subprocess.Popen(
                command, cwd=self.file.parent, env=self._environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        while time.monotonic() < began + START_S:
            if self._process.poll() is not None:
                raise Incorrect(f"{self.file.name} ended at its start: {self.last_words}", f"`python {self.file.name}`")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return time.monotonic() - began
            time.sleep(0.01)
        raise Incorrect(f"{self.file.name} listens on no port within {START_S:.0f} s.", "What does it wait for before uvicorn runs?")

    def stop(self) -> None:
        """End it with everything that it started; nothing when it does not run."""
        self.client.__exit__(None, None, None)
        if self._process is not None:
            end_group(self._process)
            self._process = None

    def ready_within(self, limit_s: float) -> float | None:
        """Seconds until GET /ready answers 200; None when it does not within the limit, or is no route at all."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < limit_s:
            if (status := self.client.ask("GET", "/ready").status) == http.client.OK:
                return passed
            if status == http.client.NOT_FOUND:
                return None
            time.sleep(0.02)
        return None

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process itself."""
        assert self._process is not None
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    @property
    def said(self) -> str:
        """All that it wrote to its terminal."""
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    @property
    def last_words(self) -> str:
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its prediction log. Raises Incorrect for a line that is no JSON object."""
        file = self.folder / LOG
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        try:
            return [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError):
            raise Incorrect(f"{LOG} holds a line that is no JSON object.", "One object a line, whatever is in it.") from None


@contextmanager
def on_trial(
    file: Path, settings: Settings, *, champion: str = "1", challenger: str | None = None
) -> Iterator[tuple[ServiceProcess, RegistryGate]]:
    """A service that was not started yet, in a folder that is gone afterwards, and the gate through which it sees the registry."""
    aliases = {"champion": champion} | ({"challenger": challenger} if challenger else {})
    with TemporaryDirectory() as folder, RegistryGate(settings.mlflow_url, **aliases) as gate:
        hurried = {"LAB_MLFLOW_ADDRESS": gate.url, "LAB_REGISTRY_POLL_S": str(POLL_S), "LAB_HTTP_TIMEOUT_S": str(REGISTRY_S)}
        with ServiceProcess(file, Path(folder) / "service", settings.as_environment() | hurried) as service:
            yield service, gate


@contextmanager
def on_show(file: Path, settings: Settings, *, challenger: str | None = None) -> Iterator[tuple[ServiceProcess, RegistryGate]]:
    """The same for a script that a person runs: what is wrong with the service ends it with a sentence."""
    sys.stderr.write(f"Starting {file.name} …\n")
    try:
        with on_trial(file, settings, challenger=challenger) as pair:
            yield pair
    except Incorrect as fault:
        sys.exit(f"{fault.why}\n{fault.look}")
