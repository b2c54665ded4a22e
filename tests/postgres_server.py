"""A real Postgres for tests: on a free port, in a folder of its own, as a user who is not root."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import psycopg

from tests.integration.scoring.server import wait_until


def _program(name: str) -> str | None:
    """On the path, or where Debian keeps it."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(kept[-1]) if kept else None)


POSTGRES, INITDB = _program("postgres"), _program("initdb")


class PostgresServer:
    """One server process; `stop` and `start` keep its address and its files."""

    def __init__(self, folder: Path) -> None:
        assert POSTGRES is not None and INITDB is not None
        self._data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self._as = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # Postgres refuses to be root
        if self._as:
            shutil.chown(folder, **self._as)
        self._run(INITDB, "--pgdata", str(self._data), "--username", "lab", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://lab@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        assert POSTGRES is not None
        words = ("-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "shared_buffers=16MB")
        self._process = subprocess.Popen([POSTGRES, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._as)  # type: ignore[call-overload]
        wait_until(self._answers, "Postgres answers")

    def empty(self) -> None:
        """Every table away."""
        with psycopg.connect(self.url, autocommit=True) as line:
            line.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def kill(self) -> None:
        """At once, as a power cut would; its children follow."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Postgres ended"
        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._as)
