"""A drift exercise's outcome made by hand, for tests of what is made of it."""

from dataclasses import replace
from datetime import date

from data.scenarios import Action, GroundTruth, scenario
from labs.exercises.expectations import catalogue_review
from labs.exercises.outcome import Alarm, CauseOutcome, ColumnOutcome, Damage, MonitorOutcome, Outcome, WindowOutcome
from pipelines.metrics import Interval

START = date(2026, 3, 4)
ALARM = Alarm(date(2026, 3, 10), 24_500, 1, 12, "amount", 0.4)


def monitor(name: str, alarm: Alarm | None = None) -> MonitorOutcome:
    """A monitor that may fire, and did so or not."""
    return MonitorOutcome(name, "may fire", alarm, int(alarm is not None), 1, 0, Interval(0.0, 0.0, 975.0))


def outcome(decision: Action = "fix_pipeline", *monitors: MonitorOutcome) -> Outcome:
    """Cents for euros, decided on so after its first week."""
    chosen = scenario("unit_change")
    truth = GroundTruth(
        chosen.name, "D3", chosen.mechanism, "messages", 0.01, 0, None, 7, START, None, ("amount",), 130_000, 1_049, chosen.expected
    )
    return Outcome(
        scenario=chosen.name,
        catalogue_id="D3",
        seed=7,
        strength=0.01,
        source="synthetic world, seed 7",
        error_budget=0.001,
        truth=truth,
        first_transaction="tx_1",
        monitors=monitors or (replace(monitor("unit", ALARM), role="must fire"), monitor("score")),
        causes=(CauseOutcome("amount", "unit", 0.01, None),),
        columns=(ColumnOutcome("amount", "Kolmogorov–Smirnov distance", 0.1, 1e-20, True),),
        windows=(
            WindowOutcome(date(2026, 3, 3), 24_000, (), "ignore", "Nothing is wrong.", None),
            WindowOutcome(date(2026, 3, 10), 24_500, ("unit",), decision, "Amounts <100 times> as large.", None),
        ),
        damage=Damage(date(2026, 3, 18), Interval(0.1, 0.0, 0.2), Interval(0.1, 0.0, 0.2), Interval(float("nan"), 0.0, 2.0)),
        decision=decision,
        decided_on=date(2026, 3, 10),
        evidence=("Amounts at 12 terminals, term_1 & others first, are 100 times what is usual",),
        expected=catalogue_review(chosen).expected,
    )
