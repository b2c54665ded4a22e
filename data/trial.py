"""Try a model where a crash hurts nobody: in a child process, on frozen rows with known scores, within limits.

The compiled code that scores checks no bounds: should a bad text ever pass its reader, it shows here. The service calls
`try_bundle` before it loads a model, a rollout before it begins; the child runs this file:

    python -m data.trial <bundle folder> <tolerance>
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from data.bundle import GOLDEN_TOLERANCE, MODEL
from data.errors import BundleRefused, LabError

TIME_LIMIT_S = 30.0  # a model of 2,000 trees loads and scores 20 rows in under one second; the machine may be busy
CPU_LIMIT_S = 5  # of work, so that a model that is never done does not take a core for the whole time limit
MEMORY_LIMIT_BYTES = 2 * 2**30  # of address space, most of it reserved by libraries and never touched
_REFUSED = 3


class Trial(NamedTuple):
    """A model that passed."""

    rows: int  # frozen rows that it scored as it should
    load_s: float  # of CPU, to read its text


def try_bundle(folder: Path, tolerance: float = GOLDEN_TOLERANCE) -> Trial:
    """Load and score `folder` in a child. Raises BundleRefused when it is refused, crashes, or exceeds its limits."""
    command = [sys.executable, "-m", "data.trial", str(folder), repr(tolerance)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, cwd=Path(__file__).parents[1], check=False)
    except subprocess.TimeoutExpired as error:
        raise _refusal(f"{MODEL}: expected a trial of at most {TIME_LIMIT_S:.0f} s, found one that had not ended.") from error
    if done.returncode == _REFUSED:
        message, where = json.loads(done.stdout)
        raise _refusal(message, where)
    if done.returncode != 0:
        raise _refusal(f"{MODEL}: expected a trial that ends by itself, found one that {_end(done.returncode)}.")
    return Trial(*json.loads(done.stdout))


def _refusal(message: str, where: str = MODEL) -> BundleRefused:
    return BundleRefused(message, next_step="The version that serves stays; register the model again from its run.", where=where)


def _end(status: int) -> str:
    """How a child ended, in words."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"


def _run(folder: Path, tolerance: float) -> int:
    from data.bundle import Model, check_golden

    try:
        began = time.process_time()
        model = Model.load(folder)
        load_s = time.process_time() - began
        rows = check_golden(folder, model, tolerance)
    except LabError as error:
        json.dump((error.message, error.where), sys.stdout)
        return _REFUSED
    json.dump(Trial(rows, load_s), sys.stdout)
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    os.nice(10)  # the payments go first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is an answer, not something to debug
    sys.exit(_run(Path(sys.argv[1]), float(sys.argv[2])))
