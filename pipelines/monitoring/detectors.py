"""The detectors of the portfolio by name, and what each says of one window: one typed result, whatever statistic is behind it.

Scenarios name the detectors that must fire and those that must stay silent; exercises, verdicts and reports read results
by these names. `monitor.watch` makes them; anything may read them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Detector = Literal[
    "schema",  # columns missing, doubled, of another type, or without one usable value
    "null_rate",  # more nulls than the channels explain
    "range",  # more values far out in a tail than the reference has
    "unit",  # amounts a hundred times what is usual at their terminal, or a hundredth
    "unseen_level",  # a word that the reference never held
    "value_spike",  # one exact value many times more frequent: an error code
    "clock",  # the profile of the day, turned by whole hours
    "inputs",  # two-sample tests of messages and features; "inputs:<column>" names one of them
    "score",  # two-sample test of the score
    "alert_rate",  # share of payments alerted, by window
    "alert_rate_stream",  # the same, payment by payment
    "caught_frauds",  # share of labelled frauds that were alerted, label by label
    "label_flow",  # frauds becoming known, payment by payment
    "label_age",  # how old labels are when they come, and for how long none came
    "volume",  # payments per hour, and the same payment sent again under another id
    "parity",  # served features that the batch path does not reproduce
    "change_log",  # another version answered than the reference's
]
DETECTORS: Final[tuple[Detector, ...]] = get_args(Detector)


@dataclass(frozen=True)
class Detection:
    """What one detector says of one window, by its strongest evidence.

    `p_value` is raw (the level it is held against shares the window's budget); `log_e` is the natural logarithm of a
    sequential detector's statistic. Neither is there for checks that are certain, or that had nothing to look at.
    """

    detector: Detector
    alarmed: bool
    p_value: float | None = None
    log_e: float | None = None
    column: str = ""  # the column of the strongest evidence; "" where there is none to name
    columns: tuple[str, ...] = ()  # all that alarmed, the strongest first
    effect: float = 0.0  # in the detector's own unit: a distance, a rise of a share, a ratio
    first_alarm: datetime | None = None  # event time at which the alarm was known; a window test knows at its end
    observations: int | None = None  # that a sequential detector had seen by then, or by now: payments, labelled frauds


def fired(detections: Iterable[Detection]) -> frozenset[str]:
    """The names of those that alarmed, with "inputs:<column>" for each column of the two-sample tests."""
    alarmed = [d for d in detections if d.alarmed]
    return frozenset(d.detector for d in alarmed) | {f"inputs:{c}" for d in alarmed if d.detector == "inputs" for c in d.columns}
