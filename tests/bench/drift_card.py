"""The report card of the catalogue over many seeds: scenario × detector, delays, silence, root cause and decisions. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data.scenarios import SCENARIOS
from labs.exercises.outcome import MonitorOutcome, Outcome
from pipelines.monitoring.detectors import DETECTORS
from tests.bench.drift_goals import Goal, Rate, quantiles

SUDDEN = ("unit_change", "currency", "null_burst", "error_code", "new_category", "time_zone", "mis_join", "feature_skew")  # data faults
QUIET = ("none", "channel_push")


@dataclass(frozen=True)
class Cell:
    """One detector on one scenario."""

    scenario: str
    detector: str
    role: str
    fired: Rate
    windows: tuple[float, float]  # delay to the first alarm: median, 95th percentile
    payments: tuple[float, float]
    labelled_frauds: tuple[float, float]


@dataclass(frozen=True)
class Card:
    """All outcomes, and what they add up to."""

    outcomes: tuple[Outcome, ...]

    @cached_property
    def scenarios(self) -> list[str]:
        """Names in the catalogue's order."""
        here = {outcome.scenario for outcome in self.outcomes}
        return [*(name for name in SCENARIOS if name in here), *sorted(here.difference(SCENARIOS))]

    def of(self, scenario: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.scenario == scenario]

    def id(self, scenario: str) -> str:
        return self.of(scenario)[0].catalogue_id

    def cell(self, scenario: str, detector: str) -> Cell:
        """One detector on one scenario, over all seeds. Where a column of the inputs must fire, it speaks for them."""
        named = [m.name for m in self.of(scenario)[0].monitors if m.role == "must fire" and m.name.startswith(f"{detector}:")]
        wanted = named[0] if named else detector
        mine = [monitor for outcome in self.of(scenario) for monitor in outcome.monitors if monitor.name == wanted]
        alarms = [monitor.first_alarm for monitor in mine if monitor.first_alarm is not None]
        delays = (quantiles([getattr(alarm, unit) for alarm in alarms]) for unit in ("windows", "payments", "labelled_frauds"))
        return Cell(scenario, detector, mine[0].role if mine else "may fire", Rate(len(alarms), len(mine)), *delays)

    @cached_property
    def cells(self) -> list[Cell]:
        return [self.cell(scenario, detector) for scenario in self.scenarios for detector in DETECTORS]

    def decisions(self, scenarios: Iterable[str]) -> Rate:
        """Exercises that ended in a right decision."""
        results = [outcome.decision_result == "as expected" for name in scenarios for outcome in self.of(name)]
        return Rate(sum(results), len(results))

    def wrong(self, scenario: str) -> Rate:
        """Exercises that ended in a wrong action; holding is none."""
        results = [outcome.decision_result == "unexpected" for outcome in self.of(scenario)]
        return Rate(sum(results), len(results))

    def false_alarms(self, detector: str) -> Rate:
        """Alarms of one detector in the windows before any onset. Each seed's are the same in all its exercises: they count once."""
        once = {outcome.seed: outcome for outcome in self.outcomes}.values()
        mine = [monitor for outcome in once for monitor in outcome.monitors if monitor.name == detector]
        return Rate(sum(m.false_alarms for m in mine), sum(m.quiet_windows for m in mine))

    def cause(self, scenario: str, first: int) -> Rate:
        """Exercises in which a column that really changed is among the `first` that monitoring named; one that names none is a miss."""
        told = [outcome for outcome in self.of(scenario) if outcome.truth.columns]
        return Rate(sum(bool({c.column for c in o.causes[:first]} & {*o.truth.columns}) for o in told), len(told))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        by_scenario = [
            {
                "scenario": name,
                "id": self.id(name),
                "decided_right": asdict(self.decisions([name])),
                "decided_wrong": asdict(self.wrong(name)),
                "top_1_cause": asdict(self.cause(name, 1)),
                "top_3_cause": asdict(self.cause(name, 3)),
            }
            for name in self.scenarios
        ]
        false = {detector: asdict(self.false_alarms(detector)) for detector in DETECTORS}
        return {"scenarios": by_scenario, "cells": [asdict(cell) for cell in self.cells], "false_alarms": false}


def judge_card(card: Card) -> list[Goal]:
    """G7, G10, G11 and G12, from the exercises."""
    return [_sudden(card), _causes(card), _silence(card), _decisions(card)]


def _sudden(card: Card) -> Goal:
    """The first alarm of any detector that must fire."""
    delays = [d for name in SUDDEN for outcome in card.of(name) if (d := _first(outcome, lambda m: m.role == "must fire")) is not None]
    exercises = sum(len(card.of(name)) for name in SUDDEN)
    median, late = quantiles(delays)
    unseen = exercises - len(delays)
    measured = f"median {median:g}, p95 {late:g} windows; {unseen} of {exercises} never seen"
    return Goal("G7", "delay of sudden data faults", "median 1 window, p95 ≤ 2", measured, median <= 1 and late <= 2 and not unseen)


def _first(outcome: Outcome, wanted: Callable[[MonitorOutcome], bool]) -> int | None:
    return min((m.first_alarm.windows for m in outcome.monitors if wanted(m) and m.first_alarm is not None), default=None)


def _causes(card: Card) -> Goal:
    top = [sum((card.cause(name, first) for name in card.scenarios), Rate(0, 0)) for first in (1, 3)]
    measured = f"top-1 {top[0].percent()}, top-3 {top[1].percent()}"
    reached = None if not top[0].of else top[0].value >= 0.95 and top[1].value >= 0.99
    return Goal("G10", "root cause", "top-1 ≥ 95 %, top-3 ≥ 99 %", measured, reached)


def _silence(card: Card) -> Goal:
    """An exercise looks several times, so its budget is that of the windows after its onset, and for each detector that of all together."""
    loud = []
    for cell in card.cells:
        if cell.role != "must stay silent":
            continue
        looks = [
            len(outcome.windows) - monitor.quiet_windows
            for outcome in card.of(cell.scenario)
            for monitor in outcome.monitors
            if monitor.name == cell.detector
        ]
        budget = 1 - (1 - card.outcomes[0].error_budget) ** float(np.mean(looks))
        allowed = budget + 3 * np.sqrt(budget * (1 - budget) / cell.fired.of)
        if cell.fired.value > allowed:
            loud.append(f"{card.id(cell.scenario)} {cell.scenario}: {cell.detector} in {cell.fired.percent()}")
    silent = sum(cell.role == "must stay silent" for cell in card.cells)
    measured = "; ".join([f"{len(loud)} of {silent} cells over it", *loud])
    return Goal("G11", "silence of those that must be silent", "budget + 3 standard errors", measured, not loud)


def _decisions(card: Card) -> Goal:
    drifts, quiet = card.decisions(name for name in card.scenarios if name not in QUIET), card.decisions(QUIET)
    measured = f"{drifts.percent()}; D0 and D1 {quiet.percent()}"
    reached = None if not drifts.of or not quiet.of else drifts.value >= 0.95 and quiet.value >= 0.99
    return Goal("G12", "decisions that are right", "≥ 95 %; D0 and D1 ≥ 99 % no action", measured, reached)


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for every exercise that did not end as expected."""
    return [f"{o.catalogue_id} {o.scenario}, seed {o.seed}: {'; '.join(o.reasons)}" for o in outcomes if o.result != "as expected"]
