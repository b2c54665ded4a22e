"""The learner's code, run in a process of its own: it may loop, crash or exit without taking the check along.

Called by the Workplace. Whatever goes wrong there is the answer's fault and comes back as Incorrect (or NotStarted, for
NotImplementedError), with the last line of the exception and the line of the file.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from labs.engine.outcome import Incorrect, NotStarted

_CHILD: Final = Path(__file__).with_name("learner_child.py")
_LOAD_S: Final = 20.0  # the file's imports: pandas and scikit-learn take 3 s, more on a busy machine


class LearnersFault(Incorrect):
    """The learner's code failed; `trace` is its stack, shown on request."""

    def __init__(self, why: str, look: str, trace: str = "") -> None:
        super().__init__(why, look)
        self.trace = trace


@dataclass(frozen=True)
class Finished:
    """A script that ran to its end."""

    status: int
    stdout: str
    stderr: str


class LearnerCode:
    """One Python file of the learner, loaded. Its functions are called with `call`; whole processes are cheap to abandon."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self.file = file
        ours, theirs = Pipe()
        self._pipe: Connection = ours
        command = [sys.executable, "-P", str(_CHILD), str(theirs.fileno()), str(file)]
        self._process = subprocess.Popen(
            command,
            cwd=file.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        self.functions: list[str] = self._answer("to be imported", _LOAD_S)

    def call(self, function: str, *arguments: Any, timeout_s: float = 10.0, **keywords: Any) -> Any:
        """The answer of one of its functions; arguments and answer are copied. Raises Incorrect or NotStarted."""
        if function not in self.functions:
            raise Incorrect(f"{self.file.name} defines no function `{function}`.", f"Define it in {self.file.name}; its name counts.")
        self._pipe.send((function, arguments, keywords))
        return self._answer(f"for `{function}`", timeout_s)

    def close(self) -> None:
        """End its process, and whatever that started."""
        self._pipe.close()
        end_group(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _answer(self, purpose: str, timeout_s: float) -> Any:
        name = self.file.name
        try:
            if not self._pipe.poll(timeout_s):
                self.close()
                raise LearnersFault(
                    f"{name} took longer than {timeout_s:g} s {purpose}.", f"Is there an endless loop in {name}, or one over rows?"
                )
            good, value = self._pipe.recv()
        except (EOFError, ConnectionError):
            self.close()
            raise LearnersFault(f"{name} ended its process {purpose}.", f"Leave out `exit()` in {name}; it must return.") from None
        except (AttributeError, ImportError, TypeError) as error:  # its answer is of a class that only its own process knows
            raise LearnersFault(
                f"{name} answered {purpose} with a value of its own class.", "Return plain values, arrays or frames."
            ) from error
        if good:
            return value
        self.close()
        raise _fault(name, value)


def _fault(name: str, told: Mapping[str, Any]) -> Exception:
    if told["kind"] == "NotImplementedError":
        return NotStarted(told["text"] or f"Write what {name} leaves open.")
    line = f", line {told['line']}" if told["line"] else ""
    return LearnersFault(f"{name} failed: {told['said']}", f"{name}{line}", told["trace"])


def run_script(file: Path, arguments: tuple[str, ...], environment: Mapping[str, str], timeout_s: float) -> Finished:
    """Run a file to its end, by its suffix (.py or .sh). Raises Incorrect when it takes longer."""
    program = [sys.executable, str(file)] if file.suffix == ".py" else ["bash", "-eu", str(file)]
    process = subprocess.Popen(
        [*program, *arguments],
        cwd=file.parent,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        end_group(process)
        raise LearnersFault(f"{file.name} took longer than {timeout_s:g} s.", f"Is there an endless loop in {file.name}?") from None
    return Finished(process.returncode, out, err)


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads its session, with everything in it; returns when it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
