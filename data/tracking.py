"""Runs in MLflow over plain REST, for what must not depend on MLflow's client: that blocks for minutes on a dead server.

Like `data/registry.py`, every call has a time-out and none is repeated. Everything here may be said twice: a run is found by the
tag that names it, files are replaced, and MLflow keeps equal metric points once. Training logs with MLflow's own client.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import httpx

from data.errors import RegistryUnavailable
from data.settings import Settings

_API: Final = "/api/2.0/mlflow"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME: Final = "mlflow-artifacts:/"
_NAME: Final = "mlflow.runName"


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    at_ms: int  # event time
    step: int


class Run(NamedTuple):
    """One run of an experiment."""

    run_id: str
    files: str  # where its artifacts rest, behind the server's proxy


class Tracking:
    """One experiment on one server. Every method raises RegistryUnavailable when the server does not do what it is asked."""

    def __init__(self, url: str, experiment: str, timeout_s: float, transport: httpx.BaseTransport | None = None) -> None:
        self._experiment = experiment
        # trust_env=False: a machine's proxy settings must not come between two processes on loopback.
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport, trust_env=False)

    @classmethod
    def of(cls, settings: Settings, experiment: str) -> Self:
        """On the server that these settings name."""
        return cls(settings.mlflow_url, experiment, settings.http_timeout_s)

    def close(self) -> None:
        self._http.close()

    def run(self, name: str, began_ms: int) -> Run:
        """The run of this name, made at first use."""
        experiment = self._experiment_id()
        found = self._call(
            "POST", "runs/search", {"experiment_ids": [experiment], "filter": f"tags.`{_NAME}` = '{name}'", "max_results": 1}
        )
        if found.get("runs"):
            return _run(found["runs"][0]["info"])
        body = {"experiment_id": experiment, "run_name": name, "start_time": began_ms}
        return _run(self._call("POST", "runs/create", body)["run"]["info"])

    def log(self, run: Run, *, params: Mapping[str, str], tags: Mapping[str, str], points: Sequence[Point]) -> None:
        """Parameters, tags and metric points in one call. A parameter keeps its first value."""
        body = {
            "run_id": run.run_id,
            "params": [{"key": key, "value": value} for key, value in params.items()],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "metrics": [{"key": p.name, "value": p.value, "timestamp": p.at_ms, "step": p.step} for p in points],
        }
        self._call("POST", "runs/log-batch", body)

    def put(self, run: Run, file: str, content: str) -> None:
        """One artifact, in place of an earlier one of its name."""
        self._answer("PUT", f"{_FILES}/{run.files}/{file}", content=content.encode())

    def end(self, run: Run, at_ms: int) -> None:
        """The run is finished."""
        self._call("POST", "runs/update", {"run_id": run.run_id, "status": "FINISHED", "end_time": at_ms})

    def _experiment_id(self) -> str:
        response = self._send("GET", f"{_API}/experiments/get-by-name", params={"experiment_name": self._experiment})
        if response.is_success:
            return str(response.json()["experiment"]["experiment_id"])
        return str(self._call("POST", "experiments/create", {"name": self._experiment})["experiment_id"])

    def _call(self, method: str, route: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._answer(method, f"{_API}/{route}", json=body))
        return answer

    def _answer(self, method: str, route: str, **how: Any) -> bytes:
        response = self._send(method, route, **how)
        if response.is_error:
            raise RegistryUnavailable(
                f"MLflow answered {response.status_code}.", next_step="Read logs/mlflow.log in LAB_HOME, then try again.", where=route
            )
        return response.content

    def _send(self, method: str, route: str, **how: Any) -> httpx.Response:
        try:
            return self._http.request(method, route, **how)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"MLflow at {self._http.base_url} did not answer ({type(error).__name__}).",
                next_step="`lab status` shows what runs; `lab up` starts it.",
                where=str(self._http.base_url),
            ) from error


def _run(info: dict[str, Any]) -> Run:
    return Run(str(info["run_id"]), str(info["artifact_uri"]).removeprefix(_SCHEME).strip("/"))
