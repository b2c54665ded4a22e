"""What a world is: its size, rates and dated changes. Two equal configurations make the same bytes, anywhere.

Anybody may build one; `data/scenarios.py` adds changes to it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Final, Literal

from data.errors import BadInput
from data.onset import Onset

GENERATOR_VERSION: Final = 1  # raise it whenever equal configurations would give other rows
MAX_FRAUD_SHARE: Final = 0.10  # campaigns are drawn at this share and thinned to the wanted one
FRAUD_SHARES: Final = {"scarce": 0.001, "worldline": 0.0025, "default": 0.005, "handbook": 0.008, "ieee": 0.035}

ChangeKind = Literal["new_tactic", "behaviour_shift", "inflation", "channel_mix", "fraud_rate"]


@dataclass(frozen=True)
class Change:
    """One dated change of the world. Rows of days before `start` stay what they were, to the byte.

    What `strength` means: new_tactic: share of new campaigns that follow the new playbook (0 to 1); behaviour_shift:
    1 = six in ten purchases move home and online, to the evening and to shops never used before; inflation: relative
    rise of prices (0.5 = half as much again); channel_mix: share of card-present purchases that move online; fraud_rate:
    relative rise of the fraud share (1 = doubled).
    """

    kind: ChangeKind
    start: date
    strength: float = 1.0
    ramp_days: int = 0  # 0 = a step; otherwise the strength is reached evenly over so many days
    end: date | None = None  # first day on which it is over; None = it stays
    days: int | None = None  # how long it lasts
    every_days: int | None = None  # it comes back so many days after it began, again and again

    def level(self, day: date) -> float:
        """Its strength on one day."""
        return self.strength * Onset(self.start, self.ramp_days, self.days, self.every_days, self.end).level_on(day)


@dataclass(frozen=True)
class WorldConfig:
    """The knobs. Population and shops scale with the traffic, so cards and tills are equally busy at any size."""

    seed: int = 7
    start: date = date(2026, 1, 5)
    transactions_per_day: int = 8_000  # mean genuine traffic at the start
    fraud_share: float = FRAUD_SHARES["default"]  # of all payments, in expectation
    growth_per_year: float = 0.10
    cards_per_daily_transaction: float = 1.5  # a card pays two times in three days
    transactions_per_terminal: float = 4.0  # mean per day; popularity follows a power law
    disputed_share: float = 0.0004  # of genuine payments, reported as fraud by their own cardholder
    unreported_share: float = 0.08  # of frauds that nobody ever reports (small ones more often)
    alert_share: float = 0.35  # of reported frauds that the cardholder notices within hours
    chargeback_median_days: float = 7.0  # of the others
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        if self.transactions_per_day < 100:
            self._refuse("transactions_per_day", "at least 100")
        if not 0 <= self.fraud_share <= MAX_FRAUD_SHARE:
            self._refuse("fraud_share", f"between 0 and {MAX_FRAUD_SHARE}")
        for name in ("disputed_share", "unreported_share", "alert_share"):
            if not 0 <= getattr(self, name) <= 1:
                self._refuse(name, "between 0 and 1")
        if any(change.start < self.start for change in self.changes):
            self._refuse("changes", "dated on or after the first day of the world")

    def _refuse(self, name: str, expected: str) -> None:
        raise BadInput(f"The world's {name} must be {expected}.", next_step=f"Correct {name} and run again.", where=name)

    def level(self, kind: ChangeKind, day: date) -> float:
        """Summed strength of the changes of one kind on one day."""
        return sum(change.level(day) for change in self.changes if change.kind == kind)

    def digest(self, day: date) -> str:
        """Identity of one day's rows: the knobs and the changes begun by then, not those to come."""
        begun = replace(self, changes=tuple(change for change in self.changes if change.start <= day))
        facts = {"generator": GENERATOR_VERSION, "day": day, **asdict(begun)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
