"""A real scoring server on a free port, for tests: real bundles, a registry that can fail, no child processes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from data.bundle import Model, check_golden
from data.settings import LOOPBACK, Settings
from services.scoring.app import create_app
from services.scoring.compose import compose
from services.scoring.fast_path import connections
from services.scoring.routes import Service
from tests.fakes import FakeRegistry
from tests.records import transaction


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    """Wait for a condition; fail with `what` at the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        threading.Event().wait(0.01)


def trial_in_process(folder: Path) -> None:
    """The trial's checks without its child process, which costs half a second and has a test of its own."""
    check_golden(folder, Model.load(folder))


@contextmanager
def serve_service(service: Service, app: Any = None, **options: Any) -> Iterator[httpx.Client]:
    """Serve a composed service in a thread; stop it as SIGTERM would. `app` stands in for its own; `options` are uvicorn's."""
    options = {"http": connections(service, LOOPBACK), "loop": "asyncio", "log_config": None} | options
    server = uvicorn.Server(uvicorn.Config(app or create_app(service), port=0, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "server started")
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def serve(settings: Settings, registry: FakeRegistry) -> Iterator[httpx.Client]:
    """Serve a new service over `settings`."""
    with serve_service(compose(settings, registry, trial_in_process)) as client:
        yield client


@contextmanager
def serve_ready(settings: Settings, registry: FakeRegistry) -> Iterator[httpx.Client]:
    """The same, once a model is in the slot."""
    with serve(settings, registry) as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "ready")
        yield client


def body(number: int, **changes: Any) -> dict[str, Any]:
    """`transaction(number)` as JSON."""
    return dict(json.loads(transaction(number, **changes).model_dump_json()))


def score(client: httpx.Client, number: int, **changes: Any) -> dict[str, Any]:
    """The answer to `transaction(number)`."""
    answer = client.post("/v1/score", json=body(number, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def version_serving(client: httpx.Client) -> Any:
    """The champion in the slot."""
    return client.get("/v1/serving").json()["champion"]
