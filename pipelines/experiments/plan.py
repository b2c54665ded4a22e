"""From a question to a plan: designs side by side, each in payments, events and days, labels included. Pure."""

import math
from dataclasses import dataclass

from data.errors import BadInput
from pipelines.experiments.power import TYPICAL, Question, paired_coin, paired_once, sequential, split_coin, split_once


@dataclass(frozen=True)
class Traffic:
    """What comes in, and when its outcome is known."""

    per_day: float  # payments
    label_delay_days: float  # until the outcome of a payment may be counted

    def __post_init__(self) -> None:
        """Raises BadInput naming the value that makes no sense."""
        for name, value, least in (("traffic", self.per_day, 1.0), ("label-delay", self.label_delay_days, 0.0)):
            if not least <= value < math.inf:
                raise BadInput(f"{name} must be {least:g} or more.", next_step=f"Correct --{name} and run again.", where=name)

    def days(self, payments: float) -> float:
        """Whole days of traffic, and the wait for the last labels; infinite where no number of payments is enough."""
        return math.ceil(payments / self.per_day) + self.label_delay_days if math.isfinite(payments) else math.inf


@dataclass(frozen=True)
class Design:
    """One way to run the experiment."""

    name: str
    paired: bool  # both models score every payment; else each card has one
    peeking: bool  # may be looked at whenever one likes
    payments: float  # by which it has found the effect with the wanted power
    typical: float  # by which half of the runs that find it have; the same as `payments` for one look
    events: float  # among the payments, under either model
    days: float


def designs(question: Question, traffic: Traffic) -> tuple[Design, ...]:
    """Split and paired shadow, each looked at once and at any time."""
    found = []
    for paired, coin, once in (
        (False, split_coin(question), split_once(question)),
        (True, paired_coin(question), paired_once(question)),
    ):
        any_time, half = sequential(question, coin), sequential(question, coin, TYPICAL)
        kind = "paired shadow" if paired else "split by card"
        for peeking, payments, typical in ((False, once, once), (True, any_time, half)):
            name = f"{kind}, {'any time' if peeking else 'one look'}"
            found.append(Design(name, paired, peeking, payments, typical, payments * question.base_rate, traffic.days(payments)))
    return tuple(found)
