"""The drifts in a running lab's payments: what they make of a day's arrivals and of the reports that follow.

For the streams of payments and whoever sends them. Faults of features and of scores act elsewhere, in the service
(`labs/injecting.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pandas as pd

from data.faults.dose import Mask
from data.scenarios import SCENARIOS, Injection, Scenario
from data.scenarios.team_file import load_scenarios
from data.world import Change
from labs.replay import LiveDay
from pipelines.monitoring.detectors import DETECTORS
from pipelines.monitoring.profile import WATCHED


def known_scenarios(file: Path | None) -> Mapping[str, Scenario]:
    """The catalogue's, and those of a team's file. Raises what `load_scenarios` raises."""
    detectors = [*DETECTORS, *(f"inputs:{column}" for column in WATCHED)]
    return {**SCENARIOS, **(load_scenarios(file, detectors) if file else {})}


@dataclass
class Drifts:
    """Those of one stream, in the order in which they were injected."""

    injections: list[Injection] = field(default_factory=list)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What they ask of the world."""
        return tuple(change for one in self.injections for change in one.changes)

    @property
    def lag(self) -> timedelta:
        """How much later than usual a report may come."""
        parts = [(part, one.scenario.strength) for one in self.injections for part in one.scenario.parts]
        return timedelta(days=max((part.strength * dose for part, dose in parts if part.mechanism.name == "delay_reports"), default=0.0))

    def arriving(self, transactions: pd.DataFrame, labels: pd.DataFrame) -> LiveDay:
        """A day of payments as it reaches the service: repeated first, then each message with its faults."""
        for one in self.injections:
            transactions, _ = one.apply_arrivals(transactions)
        sent = transactions
        for one in self.injections:
            sent, _ = one.apply_messages(sent)
        return LiveDay(sent, transactions["event_time"], labels)

    def feed(self, labels: pd.DataFrame, alerted: Mask) -> pd.DataFrame:
        """Those of these reports that arrive, and when; `alerted`: whose payments the model alerted on, shape (n,)."""
        for one in self.injections:
            kept = ~(alerted & one.blocked(labels))
            labels, alerted = labels[kept], alerted[kept]
            left, _ = one.apply_labels(labels)
            labels, alerted = left, alerted[labels.index.isin(left.index)]
        return labels
