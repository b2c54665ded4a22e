"""A load that comes whether or not the service keeps up (an open loop), made by wrk: `storm.lua` says how.

A caller in a closed loop waits for its answer and so slows down with the service, which hides an overload. Here the payments
have a timetable of their own, and CONNECTIONS callers to take its places. `missed` counts the places that none was free for;
while that is none, the time from sending to answer is the whole time a caller waited.
"""

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StepFailed
from tests.bench.serving_process import pinned
from tests.chaos.load import CARDS

CONNECTIONS = 1_000
SCRIPT = Path(__file__).with_suffix(".lua")
_MARGINS_S = 1  # to make the connections before the first payment, and for the last answers after the last


@dataclass(frozen=True)
class Outcome:
    """What came of a load. Times are from sending to answer, in steps of 0.1 ms; 0 when there were none."""

    offered: float  # payments sent per second
    missed: int  # payments not sent, because every connection waited for an answer
    statuses: dict[int, int]
    unanswered: int  # broken off, or sent and never heard of again
    unmarked: int  # answers without the request id of their request
    rejected_without_retry: int  # 429 and 503 that do not say when to come back
    admitted_per_s: float  # answered with 200 before the last payment was sent
    admitted_p99_ms: float
    rejected_p99_ms: float
    generator_share: float  # of its own core that wrk used; near 1 it measures itself


def storm(port: int, *, rate: float, seconds: int, first: int, core: int | None) -> Outcome:
    """Offer `rate` payments per second, numbered from `first`, from `core`; returns when all is answered. Raises StepFailed."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds + _MARGINS_S}s", "--timeout", "30s", "-s", str(SCRIPT)]
    command = ["wrk", *options, f"http://127.0.0.1:{port}/v1/score", "--", str(rate), str(seconds), str(first), str(CARDS)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pinned(core):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *_, line = [line for line in done.stdout.splitlines() if line.startswith("{")] or [""]
    if done.returncode != 0 or not line:
        raise StepFailed(f"wrk ended with status {done.returncode}: {done.stderr.strip()}.", next_step="Run it by hand.", where="wrk")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return read_outcome(json.loads(line), seconds, used / seconds)


def read_outcome(report: dict[str, Any], seconds: float, generator_share: float) -> Outcome:
    """From what storm.lua printed: counts, and rows of (status, tenths of a millisecond or -1, answers)."""
    rows = np.array(report["answers"], dtype=np.int64).reshape(-1, 3)
    status, tenths, answers = rows.T
    return Outcome(
        offered=report["sent"] / seconds,
        missed=report["missed"],
        statuses={int(each): int(answers[status == each].sum()) for each in np.unique(status)},
        unanswered=report["sent"] - int(answers.sum()),
        unmarked=int(answers[tenths < 0].sum()),
        rejected_without_retry=report["mute"],
        admitted_per_s=report["in_time"] / seconds,
        admitted_p99_ms=_p99_ms(rows[status == 200]),
        rejected_p99_ms=_p99_ms(rows[np.isin(status, (429, 503))]),
        generator_share=generator_share,
    )


def _p99_ms(rows: NDArray[np.int64]) -> float:
    """The upper end of the bucket that holds it."""
    if not len(rows):
        return 0.0
    _, tenths, answers = rows[np.argsort(rows[:, 1])].T
    within = np.cumsum(answers)
    return float(tenths[np.searchsorted(within, 0.99 * within[-1])] + 1) / 10
