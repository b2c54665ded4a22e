"""MLflow's registry interface over a folder, as a process of its own: it can be ended, or replaced by a port that says nothing.

    plan.json               the serving plan, signed; absent means that nobody said yet who serves
    artifacts/<version>/    the files of a version
    listed/<version>        a name that the listing of the version's files adds: a registry may be lied to, or lie

It answers the three requests that `data/registry.py` makes of MLflow when it serves; `tests/contract/test_registry.py` holds
that file to the real server. Standard library only, so that it starts in a tenth of a second:

    python -m tests.chaos.registry <folder> <port>
"""

import json
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from data.serving_plan import ServingPlan, seal
from data.settings import REPOSITORY, Settings

MODEL = Settings.model_fields["model_name"].default
_API = "/api/2.0/mlflow"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"


class RegistryProcess:
    """The registry as a test sees it: say who serves, and let it die, fall silent and come back."""

    def __init__(self, folder: Path, key_folder: Path) -> None:
        """`key_folder` holds the key that signs its plans."""
        self.folder = folder
        self._key_folder = key_folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "artifacts").mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def add_version(self, version: str, bundle: Path) -> None:
        """Register the files of `bundle`."""
        shutil.copytree(bundle, self.folder / "artifacts" / version)

    def list_too(self, version: str, name: str) -> None:
        """Have the listing of a version's files name one more, wherever it leads."""
        lie = self.folder / "listed" / version
        lie.parent.mkdir(exist_ok=True)
        lie.write_text(name)

    def set_plan(self, plan: ServingPlan) -> None:
        """Say who serves from now on."""
        self.forge_plan(seal(plan, MODEL, self._key_folder))

    def forge_plan(self, sealed: str) -> None:
        """Whatever somebody with access to the registry writes there; nobody sees half of it."""
        partial = self.folder / "plan.partial"
        partial.write_text(sealed)
        partial.replace(self.folder / "plan.json")

    def start(self) -> None:
        """Answer from now on; returns when it does."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "tests.chaos.registry", str(self.folder), str(self.port)]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the registry did not start"

    def stop(self) -> None:
        """From now on its port refuses connections."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()


class SilentPort:
    """A black hole: takes every connection and reads what is sent, but never answers. Counts the connections."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._swallow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (*self._kept, self._listener):
            each.close()

    def _swallow(self) -> None:
        with suppress(OSError):  # the listener was shut down
            while True:
                self._kept.append(self._listener.accept()[0])
                self.connections += 1


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two small writes: 40 ms each otherwise
    folder: Path

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == f"{_API}/registered-models/get":
            self._json({"registered_model": {"tags": self._tags()}})
        elif url.path == f"{_API}/model-versions/get":
            version = query["version"]
            self._json({"model_version": {"version": version, "source": f"mlflow-artifacts:/{version}"}})
        elif url.path == _FILES:
            root = self.folder / "artifacts" / query["path"]
            self._json({"files": [{"path": file.name, "is_dir": file.is_dir()} for file in root.iterdir()] + self._lies(query["path"])})
        else:
            self._send_file(self.folder / "artifacts" / unquote(url.path.removeprefix(f"{_FILES}/")))

    def log_message(self, *_: object) -> None:
        pass

    def _tags(self) -> list[dict[str, str]]:
        plan = self.folder / "plan.json"
        return [{"key": "serving_plan", "value": plan.read_text()}] if plan.exists() else []

    def _lies(self, version: str) -> list[dict[str, Any]]:
        lie = self.folder / "listed" / version
        return [{"path": lie.read_text(), "is_dir": False}] if lie.is_file() else []

    def _send_file(self, file: Path) -> None:
        """Piece by piece: it may be a gigabyte, of which the other side takes only so much."""
        self.send_response(200)
        self.send_header("content-length", str(file.stat().st_size))
        self.end_headers()
        with file.open("rb") as content, suppress(ConnectionError):
            shutil.copyfileobj(content, self.wfile, 2**20)

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value).encode())

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # its caller was killed: that is what it is here for
            super().handle_error(request, client_address)


def _serve(folder: Path, port: int) -> None:
    _Handler.folder = folder
    server = _Server(("127.0.0.1", port), _Handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
