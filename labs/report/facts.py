"""Everything the demo found out, as plain typed values: what the evidence report shows and `lab demo --json` prints.

The demo fills them in, `labs/report` draws them. Times are event time, ISO 8601 in UTC; a missing number is None.
Lists that belong together have one length (a test of the report's sample proves that each is drawn).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from data.errors import BadInput, MissingFile


@dataclass(frozen=True)
class Estimate:
    """A metric with the interval that says how sure it is."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Points of a line."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """One thing that the demo did. `summary` is the line told in the terminal."""

    name: str
    summary: str
    seconds: float
    passed: bool


@dataclass(frozen=True)
class SourceFacts:
    """Where the payments came from."""

    name: str  # "synthetic world, seed 7" or a file name
    first_day: str
    last_day: str
    transactions: int
    fraud_share: float
    digest: str


@dataclass(frozen=True)
class ModelFacts:
    """One model on the test rows: all models of a table were judged on the same ones."""

    name: str  # "rules", "logistic regression", "LightGBM", "LightGBM, retrained"
    version: str | None  # registered version; None for a baseline
    average_precision: Estimate
    roc_auc: Estimate
    card_precision_at_100: Estimate
    card_precision_ceiling: float  # what a perfect ranking would reach on these days
    recall_at_capacity: Estimate
    brier: Estimate
    saved_per_thousand: Estimate  # EUR per thousand payments, against approving everything
    precision_recall: Curve  # x recall, y precision
    run_id: str | None = None  # MLflow run


@dataclass(frozen=True)
class TrainingFacts:
    """The first training: the models side by side, and the threshold chosen for the registered one."""

    models: tuple[ModelFacts, ...]  # at most four
    train_days: str  # "2026-01-05 to 2026-02-10"
    test_days: str
    test_rows: int
    test_frauds: int
    gate: tuple[str, ...]  # its reasons, one sentence each
    calibration_before: Curve  # of the registered model: x mean predicted probability of a bin, y share of frauds in it
    calibration_after: Curve
    savings: Curve  # x alerts per thousand payments, y EUR saved per thousand
    review_at: float  # the chosen threshold on the calibrated score
    decline_at: float
    alerts_per_thousand: float  # at the chosen threshold
    saved_per_thousand: float
    capacity_per_thousand: float


@dataclass(frozen=True)
class LatencyFacts:
    """What the load saw. Bin `i` counts answers between `edges_ms[i]` and `edges_ms[i + 1]`."""

    requests: int
    failures: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slo_p95_ms: float
    slo_p99_ms: float
    slo_error_ratio: float
    met: bool
    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Shift:
    """One thing that monitoring found changed."""

    what: str  # column, score, alert rate
    method: str
    value: float
    threshold: float
    moved: bool
    since: str | None = None


@dataclass(frozen=True)
class Series:
    """One line of a timeline: a value per day, None where there is none (labels that are not known yet)."""

    name: str
    values: tuple[float | None, ...]
    threshold: float | None = None


@dataclass(frozen=True)
class Marker:
    """A named day on a timeline."""

    day: str
    text: str


@dataclass(frozen=True)
class DriftFacts:
    """The injected drift and what monitoring made of it, without having been told."""

    scenario: str
    mechanism: str  # one sentence: what was really done to the payments
    started: str
    decision: str  # of the verdict: ignore, recalibrate, retrain, fix_pipeline, roll_back, hold
    since: str | None
    confidence: str  # how sure, in words and numbers
    damage: str
    action: str
    shifts: tuple[Shift, ...]
    days: tuple[str, ...]
    distances: tuple[Series, ...]  # of a column to its reference: the four that moved most, the farthest first
    alert_rate: Series
    recall: Series  # of the payments whose labels have matured
    markers: tuple[Marker, ...]
    detail: str | None = None  # path of Evidently's own report


@dataclass(frozen=True)
class RolloutStep:
    """One judgement on the way: which share of the cards the challenger answered, and what the judge said."""

    at: str
    stage: Literal["preflight", "shadow", "canary", "soak", "promoted", "rolled_back", "inconclusive", "aborted"]
    share: float
    payments: int  # answered in this step, both arms
    verdict: str
    reason: str


@dataclass(frozen=True)
class RolloutFacts:
    """From challenger to decision."""

    result: str  # promoted, rolled_back, inconclusive
    champion_before: str
    champion_after: str
    served_before: str  # as the scoring service itself reported it
    served_after: str
    steps: tuple[RolloutStep, ...]
    requests: int
    failures: int


@dataclass(frozen=True)
class LedgerLine:
    """One line of the hash-chained ledger."""

    sequence: int
    at: str
    kind: str
    text: str
    previous: str
    digest: str


@dataclass(frozen=True)
class DemoFacts:
    """One run of the demo. Parts that it did not reach are None, and `passed` is then False."""

    passed: bool
    verdict: str  # one paragraph: what happened, and what it is worth
    event_time: str  # where event time stood at the end
    seconds: float
    steps: tuple[Step, ...]
    source: SourceFacts
    training: TrainingFacts | None = None
    latency: LatencyFacts | None = None
    drift: DriftFacts | None = None
    retrained: tuple[ModelFacts, ...] = ()  # champion and challenger after the drift, on the same rows
    rollout: RolloutFacts | None = None
    ledger: tuple[LedgerLine, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()  # name and value: python, packages, machine, seed, revision
    reproduce: tuple[tuple[str, str], ...] = ()  # command, and what it does
    pages: tuple[tuple[str, str], ...] = ()  # title and address of what was left running

    def to_json(self) -> str:
        """Indented JSON; `from_json` gives an equal value back."""
        return _ADAPTER.dump_json(self, indent=2).decode()

    @classmethod
    def from_json(cls, text: str) -> "DemoFacts":
        """Raises BadInput naming the first field that does not fit."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise BadInput(
                "These are not the facts of a demo of this version.", next_step="Run `lab demo` to write new ones.", where=where
            ) from None

    def save(self, file: Path) -> None:
        """Write whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(self.to_json())
        partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> "DemoFacts":
        """What `save` wrote. Raises MissingFile before the first demo."""
        if not file.exists():
            raise MissingFile("There is no demo to report on yet.", next_step="Run `lab demo` first.", where=str(file))
        return cls.from_json(file.read_text())


_ADAPTER = TypeAdapter(DemoFacts)
