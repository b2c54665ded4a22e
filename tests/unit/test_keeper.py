"""A keeper holds the address while the process behind it is replaced."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.settings import REPOSITORY
from services.keeper import LISTEN_FD
from tests.integration.scoring.server import wait_until

# Answers each connection with its own process id, and ends at SIGTERM.
ANSWERER = f"""
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.socket(fileno=int(os.environ["{LISTEN_FD}"]))
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(str(os.getpid()).encode())
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def keep(port: int, *command: str, workers: int = 1) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "services.keeper", "127.0.0.1", str(port), str(workers), *command]
    return subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def ask(port: int) -> int:
    """The id of the process that answers; waits in the socket's queue while there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        return int(connection.recv(64) or 0)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def kept() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    with keep(port, sys.executable, "-c", ANSWERER) as keeper:
        try:
            wait_until(lambda: listens(port), "the keeper listens")
            yield keeper, port
        finally:
            keeper.terminate()


def test_its_process_is_replaced_and_no_caller_is_refused(kept: tuple[subprocess.Popen[bytes], int]) -> None:
    keeper, port = kept
    first = ask(port)
    keeper.send_signal(signal.SIGHUP)
    answered: list[int] = []

    def is_replaced() -> bool:
        answered.append(ask(port))
        return answered[-1] not in (0, first)

    wait_until(is_replaced, "another process answers")
    assert keeper.poll() is None


def test_it_ends_with_its_process_when_asked(kept: tuple[subprocess.Popen[bytes], int]) -> None:
    keeper, port = kept
    process = ask(port)
    keeper.terminate()
    assert keeper.wait(30) == 0
    wait_until(lambda: not Path(f"/proc/{process}").exists(), "the process is gone")
    assert not listens(port)


def test_a_process_that_cannot_start_ends_it_with_its_status() -> None:
    with keep(free_port(), sys.executable, "-c", "raise SystemExit(78)") as keeper:
        assert keeper.wait(30) == 78


def test_several_workers_share_the_address_and_all_are_replaced() -> None:
    port = free_port()
    with keep(port, sys.executable, "-c", ANSWERER, workers=2) as keeper:
        try:
            wait_until(lambda: listens(port), "the keeper listens")
            first = two_who_answer(port, set())
            keeper.send_signal(signal.SIGHUP)
            assert not first & two_who_answer(port, first)
        finally:
            keeper.terminate()
    assert keeper.returncode == 0 and not listens(port)


def two_who_answer(port: int, but_not: set[int]) -> set[int]:
    """The ids of two processes that answer, others than those."""
    found: set[int] = set()

    def both() -> bool:
        found.update({ask(port)} - but_not - {0})
        return len(found) == 2

    wait_until(both, "two processes answer")
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_no_reason_to_start_the_process(tmp_path: Path, workers: int) -> None:
    mark = tmp_path / "started"
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        command = f"open({os.fspath(mark)!r}, 'w')"
        with keep(taken.getsockname()[1], sys.executable, "-c", command, workers=workers) as keeper:
            assert keeper.wait(30) != 0
    assert not mark.exists()
