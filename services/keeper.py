"""Holds a listening socket, and keeps one process of a program behind it: the process may be replaced, the address stays.

    python -m services.keeper <host> <port> <command ...>

- SIGHUP ends the process as SIGTERM does, and starts the next one; who connects meanwhile waits in the socket's queue.
- A process that ran for a while and then died is started again, more and more slowly; one that cannot even start ends the
  keeper with its status, so that whoever started it hears why.
- SIGTERM ends the process and then the keeper.

The process finds the socket as LAB_LISTEN_FD. One process at a time, never two side by side: the state behind the
features has one owner, and the next one reads what the last one wrote. The supervisor starts keepers.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

LISTEN_FD = "LAB_LISTEN_FD"
BACKLOG = 2_048  # connections that wait while the process is replaced
STEADY_S = 10.0  # a process that ran as long did not die of its start
FIRST_PAUSE_S, SLOWEST_S = 0.1, 5.0  # before a process that died is started again; doubled each time


class Keeper:
    """One socket, one process behind it."""

    def __init__(self, listener: socket.socket, command: Sequence[str]) -> None:
        self._listener = listener
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = False
        self._replacing = False

    def run(self) -> int:
        """Keep the process until SIGTERM; returns the last exit status."""
        signal.signal(signal.SIGHUP, self._replace)
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)
        steady, pause = False, FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            status = self._run_once()
            replaced, self._replacing = self._replacing, False
            if replaced or time.monotonic() - began > STEADY_S:
                steady, pause = True, FIRST_PAUSE_S
            if self._leaving or not steady:
                return status
            if not replaced:
                time.sleep(pause)
                pause = min(SLOWEST_S, 2 * pause)

    def _run_once(self) -> int:
        descriptor = self._listener.fileno()
        environment = os.environ | {LISTEN_FD: str(descriptor)}
        self._process = subprocess.Popen(self._command, env=environment, pass_fds=(descriptor,))
        if self._leaving:  # asked before there was a process to hand it to
            self._process.terminate()
        return self._process.wait()

    def _replace(self, *_: int | FrameType | None) -> None:
        self._replacing = True
        self._end_process()

    def _leave(self, *_: int | FrameType | None) -> None:
        self._leaving = True
        self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()


def main(host: str, port: int, command: Sequence[str]) -> int:
    """Listen, then keep the command running."""
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG) as listener:
        return Keeper(listener, command).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
