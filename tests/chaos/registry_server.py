"""A registry over HTTP for real scoring processes: MLflow's REST interface, as far as `data/registry.py` uses it, over a FakeRegistry.

A real MLflow takes 15 seconds to start and cannot be made to misbehave; the contract tests keep the fake honest.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from data.registry import PLAN_TAG
from data.serving_plan import ServingPlan
from tests.fakes import FakeRegistry

_API, _FILES = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class RegistryServer:
    """The running server. `listed_too` adds names to the listing of a version, whether or not such files exist."""

    fake: FakeRegistry
    port: int
    listed_too: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  # paths, in order of arrival
    _epoch: int = 0

    def register(self, folder: Path) -> str:
        """Register the bundle in `folder` as the next version; returns its number."""
        return self.fake.create_version(f"run of {folder.name}", str(folder), {})

    def promote(self, version: str) -> None:
        """Make `version` the champion of the serving plan."""
        self._epoch += 1
        self.fake.set_plan(ServingPlan(epoch=self._epoch, champion=version))

    def files_asked_of(self, version: str) -> int:
        """How many requests were made for the files of one version."""
        return sum(path.startswith(f"{_FILES}/{version}/") for path in self.requests)


@contextmanager
def serve_registry(port: int = 0) -> Iterator[RegistryServer]:
    """Serve an empty registry on loopback until the block ends."""
    fake = FakeRegistry()
    fake.ensure()

    class Handler(_Handler):
        registry: RegistryServer

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        Handler.registry = RegistryServer(fake, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Handler.registry
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    registry: RegistryServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.registry.requests.append(unquote(url.path))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.startswith(_API):
            self._json(*self._api(url.path.removeprefix(_API), query))
        elif url.path == _FILES:
            self._json(200, {"files": self._listing(query["path"])})
        else:
            self._file(unquote(url.path).removeprefix(_FILES + "/"))

    def log_message(self, *arguments: Any) -> None:
        pass

    def _api(self, method: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        fake = self.registry.fake
        if method == "registered-models/get":
            plan = fake.plan()
            tags = [{"key": PLAN_TAG, "value": json.dumps(plan.to_json())}] if plan else []
            return 200, {"registered_model": {"name": fake.name, "tags": tags}}
        if method == "model-versions/get":
            version = query["version"]
            return 200, {"model_version": {"version": version, "run_id": "", "source": f"mlflow-artifacts:/{version}"}}
        return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}

    def _listing(self, path: str) -> list[dict[str, Any]]:
        version, _, below = path.partition("/")
        entries = sorted((self._folder(version) / below).iterdir())
        found: list[dict[str, Any]] = [{"path": entry.name, "is_dir": entry.is_dir()} for entry in entries]
        planted = self.registry.listed_too.get(version)
        return [*found, {"path": planted, "is_dir": False}] if planted and not below else found

    def _file(self, path: str) -> None:
        version, _, name = path.partition("/")
        file = self._folder(version) / name
        if not file.is_file():
            self._json(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
            return
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        with file.open("rb") as content:
            try:
                shutil.copyfileobj(content, self.wfile, 2**20)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the caller had enough, as it should of a huge file

    def _folder(self, version: str) -> Path:
        return Path(self.registry.fake.version(version).source)

    def _json(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
