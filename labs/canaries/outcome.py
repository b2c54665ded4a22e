"""The output contract of a canary exercise: what was wrong, what the judge saw in each step, how it ended, and who was exposed.

`Outcome.to_json` is what `lab canary run --json` and `lab ci canary --format json` print. Its form has a version, which changes
when a field changes its meaning or goes; the same scenario and seed give the same bytes.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

from labs.canaries.scenario import Expectation, Worth
from labs.exercises.contract import Result as Rightness
from labs.exercises.contract import plain, said
from pipelines.rollout.actions import Result

SCHEMA: Final = "canary-exercise/1"
Mistake = Literal["", "wrongful rollback", "missed regression"]


@dataclass(frozen=True)
class Truth:
    """What nobody but the exercise knew. Money is EUR per thousand payments, challenger less champion, had every label been known."""

    mechanism: str
    challenger: str
    worth: Worth
    costs_more: float
    costs_more_interval: tuple[float, float]  # 95 %
    alerts_per_thousand: tuple[float, float]  # champion, challenger
    holds: bool  # whether its scores are, on this seed, what the scenario takes them for

    @property
    def money(self) -> str:
        """What its scores cost or save, in words."""
        low, high = self.costs_more_interval
        sign, word = (1, "cost") if self.costs_more >= 0 else (-1, "save")
        first, last = sorted((sign * low, sign * high))
        more = " more" if sign > 0 else ""
        return f"{word} {abs(self.costs_more):,.0f} EUR{more} per thousand payments ({first:,.0f} to {last:,.0f})"


@dataclass(frozen=True)
class StepOutcome:
    """One stretch of the rollout, as the judge last saw it."""

    step: str
    mode: str
    share: float
    since: str  # event time, ISO 8601
    until: str
    payments: int  # answered meanwhile
    exposed: int  # of cards that were given to the challenger
    verdict: str
    reasons: tuple[str, ...]
    e_values: dict[str, float]  # per guardrail, log10


@dataclass(frozen=True)
class LookOutcome:
    """One look, for the page: when, in which step, what the judge said, and its e-values (log10)."""

    at: str
    step: str
    share: float
    verdict: str
    e_values: dict[str, float]


@dataclass(frozen=True)
class Check:
    """Something that must hold however a rollout ends."""

    promise: str
    held: bool
    found: str = ""


@dataclass(frozen=True)
class Outcome:
    """One exercise."""

    scenario: str
    catalogue_id: str
    seed: int
    source: str
    plan_digest: str
    truth: Truth
    ended: Result
    ended_at: str  # event time
    reasons_given: tuple[str, ...]  # the judge's, for the end
    pauses: tuple[str, ...]  # why it stood still, each reason once
    steps: tuple[StepOutcome, ...]
    looks: tuple[LookOutcome, ...]
    exposed: int  # payments of cards that were given to the challenger
    seen: int  # payments that it scored, its shadow's among them
    noticed: int | None  # those of them until the judge first objected, by a pause or a rollback; None: it never did
    checks: tuple[Check, ...]
    expected: Expectation
    kind: ClassVar = "canary"
    schema: ClassVar = SCHEMA

    @property
    def dose(self) -> str:
        """What was chosen beside the scenario."""
        return f"seed {self.seed}"

    @property
    def told(self) -> str:
        """How it ended, in which step, and who met it."""
        paused = " after a pause" if self.pauses else ""
        where = f" in {self.steps[-1].step}" if self.steps and self.ended != "promoted" else ""
        return f"{said(self.ended)}{where}{paused}; {self.exposed:,} payments exposed"

    @property
    def evidence(self) -> tuple[str, ...]:
        """The judge's reasons: for standing still, and for the end."""
        return (*(f"paused: {reason}" for reason in self.pauses), *self.reasons_given)

    @property
    def mistake(self) -> Mistake:
        """The two that cost: to stop what is no worse, and to let pass what is."""
        if self.truth.worth == "worse":
            return "missed regression" if self.ended == "promoted" else ""
        return "wrongful rollback" if self.ended == "rolled_back" and "rolled_back" not in self.expected.results else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not as expected; empty when it is."""
        expected, wrong = self.expected, []
        if self.ended not in expected.results:
            right = " or ".join(map(said, expected.results))
            wrong.append(f"ended {said(self.ended)} where {right} is right" + (f": a {self.mistake}" if self.mistake else ""))
        elif expected.says and not any(expected.says in reason for reason in (*self.reasons_given, *self.pauses)):
            wrong.append(f"no reason speaks of “{expected.says}”")
        if expected.pauses and not self.pauses:
            wrong.append("it never paused")
        if expected.exposed_at_most is not None and self.exposed > expected.exposed_at_most:
            wrong.append(f"{self.exposed:,} payments exposed, at most {expected.exposed_at_most:,} wanted")
        if expected.noticed_at_most is not None and (self.noticed is None or self.noticed > expected.noticed_at_most):
            when = "never" if self.noticed is None else f"after {self.noticed:,} payments"
            wrong.append(f"noticed {when}, after at most {expected.noticed_at_most:,} wanted")
        if wrong and not self.truth.holds:
            wrong.append(f"on this seed the scenario does not hold: its scores {self.truth.money}")
        wrong += [f"not kept: {check.promise} ({check.found})" for check in self.checks if not check.held]
        return tuple(wrong)

    @property
    def result(self) -> Rightness:
        """An undecided rollout that should have been decided is inconclusive, unless something else was wrong too.

        So is one of a "better" challenger that is none on this seed: small worlds have such weeks, and the judge may say so.
        """
        if not self.reasons:
            return "as expected"
        if not self.truth.holds and all(check.held for check in self.checks):
            return "inconclusive"
        undecided = self.ended == "inconclusive" and "inconclusive" not in self.expected.results
        return "inconclusive" if undecided and len(self.reasons) == 1 else "unexpected"

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order of the contract."""
        ends = {"mistake": self.mistake, "result": self.result, "reasons": self.reasons}
        found: dict[str, Any] = plain({"schema": SCHEMA} | asdict(self) | ends)
        return found
