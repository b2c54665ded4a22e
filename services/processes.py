"""Facts about operating-system processes: who they are, whether they still run, and how to end a whole tree.

Used by the supervisor and by `lab doctor`.
"""

import hashlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_POLL_S = 0.02
_SAME_BIRTH_S = 1.0  # two readings of one birth differ by rounding; a reused pid is younger by far more


@dataclass(frozen=True)
class Running:
    """One process as remembered on disk: `born` tells it from a later process with the same pid."""

    pid: int
    born: float  # see `_birth`
    launch: str  # digest of command and settings it was started with

    @classmethod
    def of(cls, pid: int, launch: str) -> "Running":
        return cls(pid, _birth(psutil.Process(pid)), launch)

    @classmethod
    def read(cls, file: Path) -> "Running | None":
        """What `write` remembered; None when there is nothing, or only half of it after a crash."""
        try:
            return cls(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(file)

    @staticmethod
    def digest(command: tuple[str, ...], environment: dict[str, str]) -> str:
        """Identity of a way to start a process."""
        return hashlib.sha256(json.dumps([command, sorted(environment.items())]).encode()).hexdigest()

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return abs(_birth(process) - self.born) < _SAME_BIRTH_S and not has_ended(process)
        except psutil.NoSuchProcess:
            return False

    def memory_mb(self) -> float | None:
        """Resident memory of the process and its children, MB; None once it has ended."""
        try:
            process = psutil.Process(self.pid)
            tree = [process, *process.children(recursive=True)]
            return sum(member.memory_info().rss for member in tree) / 1e6
        except psutil.NoSuchProcess:
            return None

    def seconds_up(self) -> float | None:
        """Since its start, by the wall clock, for people; None once it has ended."""
        try:
            return time.time() - psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return None


def _birth(process: psutil.Process) -> float:
    """When a process began, in seconds that stay the same when the clock is set.

    Linux counts from the boot, and psutil adds the boot's own time, which moves with the clock; other systems keep a date.
    """
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0.0)


def end_tree(pid: int, *, grace_s: float) -> None:
    """Ask process `pid` to end, then kill whatever of its session and children is left after `grace_s`.

    Only the leader gets SIGTERM: it stops its own workers in its own order. Returns when all are gone.
    """
    try:
        leader = psutil.Process(pid)
        tree = [leader, *leader.children(recursive=True)]
        leader.terminate()
    except psutil.NoSuchProcess:
        return
    _wait_for_end(tree, grace_s)
    with suppress(ProcessLookupError):  # nobody is left: the usual case
        os.killpg(pid, signal.SIGKILL)  # the group also holds children that were made since
    _wait_for_end(tree, grace_s)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more. A zombie has ended: in a container without an init nobody may ever collect it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_for_end(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not all(has_ended(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def port_owner(host: str, port: int) -> str | None:
    """Who listens on `port`, in words; None when the port is free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError:
            return _listener(port)
    return None


def _listener(port: int) -> str:
    try:
        pids = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN}
        names = [f"{psutil.Process(pid).name()} (process {pid})" for pid in pids if pid is not None]
    except psutil.Error:  # another user's process, or gone by now
        names = []
    return names[0] if names else "another program"
