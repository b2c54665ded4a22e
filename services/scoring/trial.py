"""Try a model where a crash hurts nobody: in a child process, on frozen rows with known scores, within limits.

LightGBM may end the process that parses a bad text. The service calls `try_bundle`; the child runs this file:

    python -m services.scoring.trial <bundle folder>
"""

import resource
import subprocess
import sys
from pathlib import Path

from data.errors import BundleRefused, LabError

TIME_LIMIT_S = 30.0  # a model of 2,000 trees loads and scores 20 rows in under one second; the machine may be busy
MEMORY_LIMIT_BYTES = 2 * 2**30  # of address space, most of it reserved by libraries and never touched
_REFUSED = 3


def try_bundle(folder: Path) -> None:
    """Load and score `folder` in a child. Raises BundleRefused when it is refused, crashes, or exceeds its limits."""
    command = [sys.executable, "-m", "services.scoring.trial", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, cwd=Path(__file__).parents[2], check=False)
    except subprocess.TimeoutExpired as error:
        raise _refusal(f"the trial did not end within {TIME_LIMIT_S:.0f} s") from error
    if done.returncode == _REFUSED:
        raise _refusal(done.stdout.strip())
    if done.returncode != 0:
        raise _refusal(f"the trial process ended with status {done.returncode}")


def _refusal(why: str) -> BundleRefused:
    return BundleRefused(
        f"The model failed its trial: {why}.",
        next_step="The version that serves stays; register the model again from its run.",
        where="model.lgb",
    )


def _run(folder: Path) -> int:
    from data.bundle import Model, check_golden

    try:
        check_golden(folder, Model.load(folder))
    except LabError as error:
        sys.stdout.write(error.message.rstrip("."))
        return _REFUSED
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is an answer, not something to debug
    sys.exit(_run(Path(sys.argv[1])))
