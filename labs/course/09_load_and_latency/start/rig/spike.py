"""Three times as many requests as can be answered, for a while: `python -m rig.spike`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.settings import Settings
from rig import Step, front, load, say, scoring
from rig.ladder import BATCH

USERS = 400  # connections: enough that nobody waits on our side
QUIET, TIMES, AFTER = 1.0, 3.0, 0.3  # seconds to find the capacity; then so many times that; then so much of it
SECONDS = 1.5
WINDOW_S = 0.25


@dataclass(frozen=True)
class Spike:
    """What became of it. `needed` is what an answer needs when nobody waits: 1 / capacity, in ms."""

    needed_ms: float
    capacity_per_s: float  # requests
    refused: float  # share of the spike's requests
    told_when: float  # share of those refused that were told when to come back; NaN when none was
    lost: int  # neither answered nor refused
    waited: float  # median time of the spike's answers, in `needed_ms`
    goodput: float  # answered per second in the spike, over the capacity
    recovered_s: float  # from the spike's end until answers took less than ten times what they need


def strike(settings: Settings, folder: Path) -> Spike:
    """The spike, against one service behind the front with the shedding.py of a folder."""
    steps = [
        {"users": 3, "seconds": QUIET, "batch": BATCH},
        {"times": TIMES, "seconds": SECONDS, "batch": BATCH},
        {"times": AFTER, "seconds": SECONDS, "batch": BATCH},
    ]
    with scoring(settings) as replicas, front(settings, replicas, shedding=folder / "shedding.py") as service:
        quiet, spike, after = load(settings, service.url, steps, USERS).steps
    capacity = quiet.per_s / BATCH
    needed_ms = 1000 / capacity
    refused = np.isin(spike.status, (429, 503))
    return Spike(
        needed_ms=needed_ms,
        capacity_per_s=capacity,
        refused=spike.refused,
        told_when=float(spike.told_when[refused].mean()) if refused.any() else np.nan,
        lost=sum(int((~step.answered & ~np.isin(step.status, (429, 503))).sum()) for step in (quiet, spike, after)),
        waited=spike.ms(50) / needed_ms,
        goodput=spike.per_s / quiet.per_s,
        recovered_s=_recovered_s(after, 10 * needed_ms),
    )


def _recovered_s(after: Step, limit_ms: float) -> float:
    """The first quarter of a second whose requests were answered, and within the limit; the whole step when there is none."""
    for start in np.arange(0.0, after.seconds, WINDOW_S):
        mine = (after.due_s >= start) & (after.due_s < start + WINDOW_S)
        if mine.any() and after.answered[mine].mean() > 0.5 and np.median(after.took_ms[mine]) <= limit_ms:
            return float(start)
    return after.seconds


if __name__ == "__main__":
    say("a scoring service, the front, and three times as many requests as they can answer")
    found = strike(Settings.load(), Path.cwd())
    print(f"capacity            {found.capacity_per_s:,.0f} requests of {BATCH} payments a second; one needs {found.needed_ms:.1f} ms")
    told = f", {found.told_when:.0%} of them told when to come back" if found.refused else ""
    print(f"refused             {found.refused:.0%} of the spike's requests{told}")
    print(f"lost                {found.lost} without an answer")
    print(f"answered            {found.goodput:.0%} of the capacity, after {found.waited:,.0f} times what an answer needs (median)")
    print(f"after the spike     {found.recovered_s:.2f} s until answers are quick again")
