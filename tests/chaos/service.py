"""One scoring process in a home of its own, started as the supervisor starts it, and harmed as a machine would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from data.settings import REPOSITORY
from tests.chaos.registry import RegistryProcess, free_port

SCORING = (sys.executable, "-m", "services.scoring")


class Lab:
    """A home folder, the registry that it follows, and at most one scoring process."""

    def __init__(self, home: Path, registry: RegistryProcess, *, key_folder: Path) -> None:
        self.home = home
        self.registry = registry
        self.port = free_port()
        self.settings = {"LAB_REGISTRY_POLL_S": "0.02"}  # more of them, as LAB_NAME: value, before `start`
        self.said = home / "scoring.log"  # all that the process wrote, over all its starts
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True)
        (home / "keys").symlink_to(key_folder)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self.http.close()

    @property
    def log(self) -> Path:
        """The prediction log's file."""
        return self.home / "predictions.db"

    @property
    def pid(self) -> int:
        assert self._process is not None, "no scoring process was started"
        return self._process.pid

    def start(self, command: Sequence[str] = SCORING, *, pass_fds: Sequence[int] = ()) -> float:
        """Start the process and wait until it is ready; returns the seconds from start to ready."""
        began = time.monotonic()
        self.launch(command, pass_fds=pass_fds)
        wait_until(lambda: self.is_ready() or not self.is_running(), "the service is ready", poll_s=0.02)
        assert self.is_running(), f"the service ended at its start:\n{self.said.read_text()[-2000:]}"
        return time.monotonic() - began

    def launch(self, command: Sequence[str] = SCORING, *, pass_fds: Sequence[int] = ()) -> None:
        """Start the process and return at once; it inherits the descriptors `pass_fds`."""
        environment = os.environ | {
            "LAB_HOME": str(self.home),
            "LAB_SCORING_PORT": str(self.port),
            "LAB_MLFLOW_PORT": str(self.registry.port),
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=said, stderr=said, pass_fds=pass_fds, start_new_session=True
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        try:
            return self.http.get("/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def serving(self) -> dict[str, Any]:
        """GET /v1/serving."""
        return dict(self.http.get("/v1/serving").json())

    def follows(self, epoch: int) -> bool:
        """Whether the plan of this epoch serves."""
        plan = self.serving()["plan"]
        return plan is not None and plan["epoch"] == epoch

    def kill(self) -> None:
        """kill -9, and wait for its end; nothing when it does not run."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def terminate(self, limit_s: float = 30.0) -> int:
        """SIGTERM, and wait for its end; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(limit_s)

    def end(self, limit_s: float = 30.0) -> int:
        """Wait for an end that something else brings about; returns the exit status (-9 for a kill)."""
        assert self._process is not None
        return self._process.wait(limit_s)


def wait_until(condition: Callable[[], bool], what: str, *, limit_s: float = 60.0, poll_s: float = 0.005) -> None:
    """Look until the condition holds; fail with `what` at the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        time.sleep(poll_s)
