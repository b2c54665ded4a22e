"""Holds listening sockets, and keeps a process of one program behind each: a process may be replaced, the address stays.

    python -m services.keeper <host> <port> <workers> <command ...>

- SIGHUP ends the processes as SIGTERM does, and starts the next ones; who connects meanwhile waits in a socket's queue.
- A process that ran for a while and then died, or was killed, is started again, more and more slowly; one that cannot even
  start ends the keeper with its status, so that whoever started it hears why.
- SIGTERM ends the processes and then the keeper.

A process finds its socket as LAB_LISTEN_FD. Never two processes behind one socket: the next one reads what the last one
wrote. Several workers each have a socket of their own on the same port, and the kernel spreads connections over them
(SO_REUSEPORT; macOS gives them all to one). The supervisor starts keepers.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

LISTEN_FD = "LAB_LISTEN_FD"
BACKLOG = 2_048  # connections that wait while a process is replaced
STEADY_S = 10.0  # a process that ran as long did not die of its start
FIRST_PAUSE_S, SLOWEST_S = 0.1, 5.0  # before a process that died is started again; doubled each time


class Keeper:
    """One socket, one process behind it. `run` waits in a thread of its own; the other methods may be called from any."""

    def __init__(self, listener: socket.socket, command: Sequence[str]) -> None:
        self._listener = listener
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = threading.Event()
        self._replacing = False

    def run(self) -> int:
        """Keep the process until `leave`; returns the last exit status."""
        steady, pause = False, FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            status = self._run_once()
            replaced, self._replacing = self._replacing, False
            if replaced or time.monotonic() - began > STEADY_S or status == -signal.SIGKILL:  # a kill is somebody else's doing
                steady, pause = True, FIRST_PAUSE_S
            if self._leaving.is_set() or not steady:
                return status
            if not replaced:
                self._leaving.wait(pause)
                pause = min(SLOWEST_S, 2 * pause)

    def replace(self) -> None:
        """End the process; the next one is started."""
        self._replacing = True
        self._end_process()

    def leave(self) -> None:
        """End the process, and keep none. It is told once: a second signal would cut its own end short."""
        if not self._leaving.is_set():
            self._leaving.set()
            self._end_process()

    def _run_once(self) -> int:
        descriptor = self._listener.fileno()
        environment = os.environ | {LISTEN_FD: str(descriptor)}
        self._process = subprocess.Popen(self._command, env=environment, pass_fds=(descriptor,))
        if self._leaving.is_set():  # asked before there was a process to hand it to
            self._process.terminate()
        return self._process.wait()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()


def keep(keepers: Sequence[Keeper]) -> int:
    """Run all until SIGTERM, or until one cannot start its process: then the others end too. Returns the first status that is not 0."""

    def everywhere(act: Callable[[Keeper], None]) -> None:
        for keeper in keepers:
            act(keeper)

    signal.signal(signal.SIGHUP, lambda *_: everywhere(Keeper.replace))
    for leaving in (signal.SIGTERM, signal.SIGINT):
        signal.signal(leaving, lambda *_: everywhere(Keeper.leave))
    statuses: list[int] = []

    def run(keeper: Keeper) -> None:
        statuses.append(keeper.run())
        everywhere(Keeper.leave)

    threads = [threading.Thread(target=run, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # signals are handled meanwhile
    return next((status for status in statuses if status != 0), 0)


def main(host: str, port: int, workers: int, command: Sequence[str]) -> int:
    """Listen, then keep the command running, once for each worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        if workers > 1:  # sockets that share a port would share it with another keeper's too: find it free first
            socket.create_server((host, port), family=family).close()
        listeners = [
            stack.enter_context(socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=workers > 1))
            for _ in range(workers)
        ]
        return keep([Keeper(listener, command) for listener in listeners])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
