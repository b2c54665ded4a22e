"""The service's side of its explaining child: starts it at the first question, asks, and ends it when it fails.

TreeSHAP costs a hundred times what a score costs, and LightGBM's library, which computes it, may end its process. So it
runs in a child, one question at a time, at low priority; a scoring request never waits for it and does not notice its
death. A thread of its own talks to it, because starting a process and waiting for an answer both block.
"""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import ExplainerFailed
from services.scoring.edge import Overloaded
from services.scoring.explain_wire import Finding, Question

TIME_LIMIT_S = 10.0  # for one answer, the child's start included: 0.3 s of CPU, at low priority on a machine that may be busy
MOST_ASKED = 4  # questions at once, the one that is being answered included


class ExplainProcess:
    """One child at most. `ask` belongs to the event loop, everything else to the thread."""

    def __init__(self, command: Sequence[str], *, time_limit_s: float = TIME_LIMIT_S) -> None:
        """`command`: see `child_command`."""
        self._command = command
        self._time_limit_s = time_limit_s
        self._child: _Child | None = None
        self._places = threading.Semaphore(MOST_ASKED)
        self._thread = ThreadPoolExecutor(1, "explain")

    async def ask(self, version: str, features: NDArray[np.float64]) -> Finding:
        """What this version's model makes of one row, shape (FEATURE_COUNT,).

        Raises ModelGone, BundleRefused, ModelFailed; Overloaded when too many wait; ExplainerFailed when the child does.
        """
        if not self._places.acquire(blocking=False):
            raise Overloaded(f"{MOST_ASKED} explanations are under way already.", next_step="Ask again in a second.", where="explain")
        job = self._thread.submit(self._ask, Question(version, features.tolist()))
        job.add_done_callback(lambda _: self._places.release())  # also when the caller has gone
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """End the child, after the question that it is at."""
        self._thread.shutdown(cancel_futures=True)
        self._end()

    def _ask(self, question: Question) -> Finding:
        try:
            line = self._running().ask(question.line())
        except OSError as error:  # its start failed, it died, or its time is up: whatever it still says is not an answer
            self._end()
            why = f"took longer than {self._time_limit_s:g} s" if isinstance(error, TimeoutError) else "died"
            raise ExplainerFailed(
                f"The process that explains {why}.", next_step="Ask again: the next one starts.", where="explain"
            ) from error
        return Finding.of(line)

    def _running(self) -> "_Child":
        if self._child is None or self._child.is_dead():
            self._end()
            self._child = _Child(self._command, self._time_limit_s)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A running process whose standard input is a socket: lines go both ways, with a time limit, and either end's death ends it."""

    def __init__(self, command: Sequence[str], time_limit_s: float) -> None:
        self._socket, theirs = socket.socketpair()
        try:
            # What LightGBM prints on standard output is dropped; stack traces of ours go to the service's log.
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.settimeout(time_limit_s)
        self._lines = self._socket.makefile("rb")

    def ask(self, line: bytes) -> bytes:
        """The line that answers this one. Raises OSError."""
        self._socket.sendall(line)
        answer = self._lines.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionResetError
        return answer

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._lines.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()


def child_command(models: Path, key_folder: Path) -> list[str]:
    """What starts the child over the bundles in `models`."""
    return [sys.executable, "-m", "services.scoring.explain_child", str(models), str(key_folder)]
