"""How soon the sequential detectors see a change of a rate, on simulated payments and labels: G8 and G9.

The streams are independent coins, as in the published measurements; the detectors are the product's, with its
tolerances, at the run length of those measurements. A change comes after a quiet stretch, as in life.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.stream_detectors import FEWER_CAUGHT, MORE_ALERTS, EDetector
from pipelines.streams import TOLERATED_ALERTS, TOLERATED_CAUGHT
from tests.bench.drift_goals import Goal, quantiles


@dataclass(frozen=True)
class Stream:
    """One change of one rate."""

    name: str
    odds: tuple[float, ...]
    tolerated: float  # how many times the usual odds are no change
    run_length: float  # observations to a false alarm, in the mean, at least
    usual: float
    changed: float
    quiet: int  # observations before the change
    watched: int  # and after it


CAUGHT: Final = ("caught frauds", FEWER_CAUGHT, 1 / TOLERATED_CAUGHT, 5_000.0)
ALERTS: Final = ("alert rate", MORE_ALERTS, TOLERATED_ALERTS, 1_000_000.0)
STREAMS: Final = (
    *(Stream(*CAUGHT, 0.23, changed, 200, 3_000) for changed in (0.0014, 0.038, 0.165)),
    *(Stream(*ALERTS, 0.00505, changed, 20_000, 60_000) for changed in (0.0081, 0.0146)),
)


@dataclass(frozen=True)
class Delays:
    """Delays in observations; a run that did not see the change counts as longer than watched."""

    stream: Stream
    delays: tuple[float, ...]

    @property
    def median(self) -> float:
        return quantiles(self.delays)[0]

    @property
    def late(self) -> float:
        return quantiles(self.delays)[1]


def measure_streams(runs: int) -> list[Delays]:
    """So many runs of each stream."""
    return [Delays(stream, tuple(_run(stream, [k, run]) for run in range(runs))) for k, stream in enumerate(STREAMS)]


def judge_streams(measured: Sequence[Delays]) -> list[Goal]:
    """G8 and G9."""
    few, some, many, wave2, wave5 = (f"{d.stream.changed:.2%}: {d.median:,.0f} (p95 {d.late:,.0f})" for d in measured)
    m = [d.median for d in measured]
    return [
        Goal("G8", "labelled frauds until a fall of recall from 23 % shows", "≤ 50 to 4 % or less; ≤ 300 to 16.5 %",
             f"to {few}; {some}; {many}", m[0] <= 50 and m[1] <= 50 and m[2] <= 300),
        Goal("G9", "payments until a rise of alerts from 0.505 % shows (fraud 2 %, 5 %)", "≤ 8,000; ≤ 1,600", f"to {wave2}; {wave5}",
             m[3] <= 8_000 and m[4] <= 1_600),
    ]  # fmt: skip


def _run(stream: Stream, seed: Sequence[int]) -> float:
    rng = np.random.default_rng(seed)
    rate = np.repeat([stream.usual, stream.changed], [stream.quiet, stream.watched])
    odds = stream.tolerated * stream.usual / (1 - stream.usual)
    null = np.full(len(rate), odds / (1 + odds))
    _, alarms = EDetector(stream.odds, stream.run_length).feed(rng.random(len(rate)) < rate, null)
    late = np.flatnonzero(alarms[stream.quiet :])
    return float(late[0] + 1) if len(late) else float("inf")
