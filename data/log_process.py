"""A process beside the service that writes its log, for a service that does not wait for it.

On a thread of the service's own process the writing takes its turns of the interpreter's lock and of the core, and every
request that comes meanwhile waits for milliseconds. What was sent to the process is stored, whatever becomes of the service.
Only `data/prediction_log.py` uses this.

    python -m data.log_process <log> <name of the log>
"""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import msgpack

from data.group_commit import DirectCommit, unavailable
from data.id_index import IdIndex
from data.log_writer import LogWriter, Row

GATHER_S: Final = 0.02  # between two groups: a row of many costs half of a row of few, and nobody waits for it
PIPE_BYTES: Final = 1 << 20  # what Linux gives anybody: two thousand payments, a tenth of a second at full load
_LENGTH: Final = 4  # bytes
_Sent: TypeAlias = tuple[int, bool, tuple[Row, ...]]  # number of the group, whether to commit again after a failed one, rows
_Answer: TypeAlias = tuple[int, tuple[str, ...], str]  # number of the group, ids that another body holds, why it failed
_Message = TypeVar("_Message", _Sent, _Answer)


class ProcessCommit:
    """The committing of `data/group_commit.py`, done by another process. Nobody waits for it who does not wait for a future."""

    def __init__(self, path: Path, name: str, lock: int) -> None:
        """`lock`: a descriptor that is open as long as somebody may write to this log."""
        self._command = [sys.executable, "-m", "data.log_process", str(path.absolute()), name]
        self._lock = lock
        self._turn = threading.Lock()
        self._waiting: dict[int, Future[frozenset[str]]] = {}
        self._sent = 0
        self._failed = ""
        self._reopens = self._closing = False
        self._start()

    def submit(self, items: Sequence[Row]) -> Future[frozenset[str]]:
        """Send items, kept together and in order. The future ends after their commit, or raises LogUnavailable."""
        outcome: Future[frozenset[str]] = Future()
        with self._turn:
            if self._closing:
                raise unavailable("it is closed")
            if self._failed:
                outcome.set_exception(unavailable(self._failed))
                return outcome
            message = packed((self._sent + 1, self._reopens, items))
            self._sent += 1
            self._waiting[self._sent] = outcome
            self._reopens = False
            self._unsent += message
            self._send()
        return outcome

    def reopen(self) -> None:
        """Commit again after a failed group; by a new process if the last one is gone. Does nothing when none failed."""
        if not self._failed:
            return
        wait(list(self._waiting.values()))
        with self._turn:
            if self._gone:
                self._end()
                self._start()
            self._reopens, self._failed = True, ""

    def drain(self) -> None:
        """Wait until everything submitted so far has been committed or refused."""
        self.submit(()).exception()

    def close(self) -> None:
        """Let the process store what it was sent, and wait for its end."""
        self.drain()
        with self._turn:
            self._closing = True
        self._end()  # not in turn: the thread that is waited for may want one

    def _start(self) -> None:
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=Path(__file__).parents[1], pass_fds=(self._lock,)
        )
        assert self._child.stdin is not None
        self._pipe = self._child.stdin.fileno()
        os.set_blocking(self._pipe, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._unsent, self._gone = b"", False
        self._reader = threading.Thread(target=self._read, name="prediction log answers", daemon=True)
        self._reader.start()

    def _send(self) -> None:
        """As much as the pipe takes. It is full while the disk hangs; the next answer makes room."""
        try:
            self._unsent = self._unsent[os.write(self._pipe, self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent = b""  # the thread that reads the answers sees the end too, and refuses all that wait

    def _read(self) -> None:
        """The life of a thread: pass on what became of each group, until the process ends."""
        assert self._child.stdout is not None
        for answers in messages(self._child.stdout.fileno(), msgpack.Decoder(_Answer)):
            for number, refused, why in answers:
                outcome = self._waiting.pop(number)
                if why:
                    self._failed = why
                    outcome.set_exception(unavailable(why))
                else:
                    outcome.set_result(frozenset(refused))
            with self._turn:
                if self._unsent:
                    self._send()
        with self._turn:  # nobody is left to answer who submits from now on
            self._gone = True
            self._failed = "the process that writes it has ended"
            lost = list(self._waiting.values())
            self._waiting.clear()
        for outcome in lost:
            outcome.set_exception(unavailable(self._failed))

    def _end(self) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._reader.join()
        self._child.stdout.close()


def serve(requests: int, answers: int, writer: LogWriter) -> None:
    """Commit what comes in at one descriptor, and tell the other what became of it, until nothing more can come."""
    commit: DirectCommit[sqlite3.Connection, Row, frozenset[str]] = DirectCommit(writer.connect, writer.write)
    for gathered in messages(requests, msgpack.Decoder(_Sent)):
        if any(reopens for _, reopens, _ in gathered):  # nothing was sent between the failure and this
            commit.reopen()
        outcome = commit.submit([row for _, _, rows in gathered for row in rows])
        error = outcome.exception()
        said = ((), str(error)) if error else (tuple(outcome.result()), "")
        with suppress(BrokenPipeError):  # the service is gone; what it sent is stored all the same
            os.write(answers, b"".join(packed((number, *said)) for number, _, _ in gathered))
        time.sleep(GATHER_S)
    commit.close()


def packed(message: tuple[Any, ...]) -> bytes:
    """A message for `messages`: its length, and MessagePack."""
    body = msgpack.encode(message)
    return len(body).to_bytes(_LENGTH, "little") + body


def messages(pipe: int, decoder: msgpack.Decoder[_Message]) -> Iterator[list[_Message]]:
    """What has come out of a pipe, time after time, until its other end is closed; a message that is not whole is none."""
    held = b""
    while some := os.read(pipe, PIPE_BYTES):
        held += some
        whole, start = [], 0
        while len(held) >= (body := start + _LENGTH):
            end = body + int.from_bytes(held[start:body], "little")
            if len(held) < end:
                break
            whole.append(decoder.decode(held[body:end]))
            start = end
        held = held[start:]
        yield whole


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM):  # of a terminal or a group of processes; the service's end is ours
        signal.signal(ignored, signal.SIG_IGN)
    log = Path(sys.argv[1])
    with closing(IdIndex(log, sys.argv[2])) as ids:
        serve(sys.stdin.fileno(), sys.stdout.fileno(), LogWriter(log, ids, synchronous=False))
