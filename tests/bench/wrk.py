"""wrk, the load generator: found or installed, run once, its report read. A Python generator saturates before the service does.

wrk is closed-loop: each connection sends its next request when the last is answered. It corrects its percentiles for the
requests that a stall kept back (coordinated omission), so one long pause weighs as it would for a steady stream of callers.
"""

import json
import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from data.errors import StepFailed

SCRIPT = Path(__file__).with_name("score.lua")
MOST_REFUSED = 0.01  # of the requests of a run; they are not counted as answered
TIMEOUT_S = 30  # the slowest server needs 0.7 s at 64 connections on a machine of its own


@dataclass(frozen=True)
class Load:
    """One run of wrk; `requests` were answered. Latencies in microseconds."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    generator_share: float  # of its own core that wrk used; near 1 it measures itself
    refused: int = 0  # beside those answered

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def ensure_wrk() -> None:
    """Install wrk where that is allowed. Raises StepFailed that names the command where it is not."""
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        if subprocess.run(["apt-get", "install", "--yes", "wrk"], **quiet).returncode != 0:  # type: ignore[call-overload]
            subprocess.run(["apt-get", "update"], **quiet)  # type: ignore[call-overload]
            subprocess.run(["apt-get", "install", "--yes", "wrk"], **quiet)  # type: ignore[call-overload]
    if shutil.which("wrk") is None:
        raise StepFailed(
            "The load generator wrk is not on this machine.",
            next_step="Install it: `sudo apt-get install wrk` on Debian and Ubuntu, `brew install wrk` on macOS.",
            where="wrk",
        )


def run_wrk(url: str, bodies: Path, *, connections: int, seconds: int, first: int, span_s: int) -> Load:
    """Send the lines of `bodies` for so long; `first` and `span_s` are score.lua's. Raises StepFailed when any request failed."""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s", "-s", str(SCRIPT)]
    command = ["wrk", *options, url, "--", str(bodies), str(first), str(span_s)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise StepFailed(f"wrk ended with status {done.returncode}: {done.stderr.strip()}.", next_step="Run it by hand.", where="wrk")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return read_report(done.stdout, used)


def read_report(output: str, cpu_s: float) -> Load:
    """What score.lua printed after wrk's own summary; `cpu_s` is what wrk itself used. Raises StepFailed without it, or for errors.

    A service that refuses what it would answer late refuses all who wait when the machine stands still for milliseconds, and
    those with 64 connections ask again at once: one pause costs a run of seconds a thousandth of its requests, or several.
    """
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), None)
    if line is None:
        raise StepFailed("wrk ended without a report.", next_step="Run it by hand.", where="wrk")
    facts = json.loads(line)
    if facts["refused"] > MOST_REFUSED * facts["requests"] or facts["broken"] or not facts["requests"]:
        raise StepFailed(
            f"Of {facts['requests']} requests {facts['refused']} were refused and {facts['broken']} broke off: "
            "the figures would be those of errors.",
            next_step="Look at bench/serving.log in LAB_HOME.",
            where="wrk",
        )
    return Load(
        requests=facts["requests"] - facts["refused"],
        seconds=facts["seconds"],
        p50_us=facts["p50_us"],
        p99_us=facts["p99_us"],
        generator_share=cpu_s / facts["seconds"],
        refused=facts["refused"],
    )
