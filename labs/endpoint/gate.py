"""A gate in front of the registry, for one service on trial: it passes MLflow's answers on, until it is told to fail, stall or lie.

The live registry stays as it is. Who is champion and challenger behind the gate is the gate's to say, so that a swap changes
nothing for anybody else; and one made-up version can have damaged files.
"""

import json
import re
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from data.bundle import MODEL

State = Literal["open", "down", "silent"]
DAMAGED: Final = "999"  # a version whose model file differs in one byte from what was signed
_API: Final = "/api/2.0/mlflow"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
_NO_SUCH: Final = (404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST"}).encode())
_LEAF: Final = re.compile(rb"leaf_value=-?[0-9.]*[1-9]")


class RegistryGate:
    """Listens on a port of its own. `aliases`: who is what; `state`: down drops every connection, silent never answers."""

    def __init__(self, registry_url: str, **aliases: str) -> None:
        """`registry_url`: MLflow's; `aliases`: a version for each, as champion="1"."""
        self.aliases: dict[str, str] = aliases
        self._opened = threading.Condition()
        self._state: State = "open"
        handler = type("_Bound", (_Handler,), {"gate": self, "registry_url": registry_url})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.state = "down"
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def state(self) -> State:
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        with self._opened:
            self._state = state
            self._opened.notify_all()

    def pass_through(self) -> bool:
        """Whether a request may be answered; waits while the gate is silent."""
        with self._opened:
            self._opened.wait_for(lambda: self._state != "silent")
            return self._state == "open"

    def answer(self, registry_url: str, target: str) -> tuple[int, bytes]:
        """Status and content of a GET."""
        path, query = (url := urlsplit(target)).path, parse_qs(url.query)
        if path == f"{_API}/registered-models/alias":
            version = self.aliases.get(query["alias"][0])
            return _NO_SUCH if version is None else self._facts(registry_url, query["name"][0], version)
        if path == f"{_API}/model-versions/get":
            return self._facts(registry_url, query["name"][0], query["version"][0])
        asked = query.get("path", [path.removeprefix(f"{_FILES}/")])[0]
        damaged = asked.startswith(DAMAGED)
        true = target.replace(f"{DAMAGED}/", "", 1).replace(f"{DAMAGED}%2F", "", 1) if damaged else target
        content = _from_registry(registry_url, true)
        return 200, _damage(content) if damaged and path.endswith(f"/{MODEL}") else content

    def _facts(self, registry_url: str, model: str, version: str) -> tuple[int, bytes]:
        true = "1" if version == DAMAGED else version
        content = _from_registry(registry_url, f"{_API}/model-versions/get?name={model}&version={true}")
        if version == DAMAGED:
            facts: dict[str, Any] = json.loads(content)["model_version"]
            scheme, _, place = facts["source"].partition(":/")
            facts |= {"version": version, "source": f"{scheme}:/{DAMAGED}/{place.lstrip('/')}"}
            content = json.dumps({"model_version": facts}).encode()
        return 200, content


@cache
def _from_registry(registry_url: str, target: str) -> bytes:
    """MLflow's own answer; asked once, as a version and its files never change."""
    return httpx.get(f"{registry_url}{target}", trust_env=False, timeout=10).raise_for_status().content


def _damage(model: bytes) -> bytes:
    """The text with one digit of one leaf in each tree made another: LightGBM would read it and score wrongly."""
    return _LEAF.sub(lambda leaf: leaf[0][:-1] + (b"1" if leaf[0][-1:] == b"9" else b"9"), model)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two small writes: 40 ms each otherwise
    gate: RegistryGate
    registry_url: str

    def do_GET(self) -> None:
        self.close_connection = not self.gate.pass_through()
        if self.close_connection:
            return
        status, content = self.gate.answer(self.registry_url, self.path)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the trial speaks for itself."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A service on trial may be ended while it asks."""
