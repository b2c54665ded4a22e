"""A real Valkey or Redis for tests: on a free port, in a folder of its own, with the durability that the log asks for."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.integration.scoring.server import wait_until

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class ValkeyServer:
    """One server process; `stop` and `start` keep its address and its files."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options or DURABLE
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        return redis.Redis(port=self.port, retry=None)

    def start(self) -> None:
        assert PROGRAM is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        words = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "", *self._options)
        self._process = subprocess.Popen([PROGRAM, *words], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "the store answers")

    def cpu_seconds(self) -> float:
        """CPU time so far, user and system."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def pause(self) -> None:
        """It keeps its connections, and says nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the store ended"
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False
