"""What a training is asked to do and what it answers: frozen values that go to JSON and back unchanged.

The request is stored with the run and is enough to repeat it (`pipelines/training/reproduce.py`). Everything that a report,
the console or a lab shows of a training is in the outcome.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from data.costs import DecisionCosts
from data.fault_windows import FaultWindow
from data.world.config import WorldConfig
from pipelines.metrics import Interval
from pipelines.training.gate import GateRule, GateVerdict
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.split import Split, SplitPlan

EVERY_ROW: Final = 10**12  # for `Recipe.genuine_rows`: leave out none
ModelName = Literal["rules", "logistic", "lightgbm"]
Resampling = Literal["none", "class_weights", "smote", "under_sampling"]


@dataclass(frozen=True)
class WorldSource:
    """The synthetic world: its knobs and how many days of it."""

    config: WorldConfig
    days: int
    kind: Literal["world"] = "world"


@dataclass(frozen=True)
class FileSource:
    """A file that nobody here made, or a span of days of it."""

    path: Path
    first: date | None = None
    days: int | None = None
    kind: Literal["file"] = "file"


@dataclass(frozen=True)
class LogSource:
    """Payments served since the dataset ended: rows of the lab's prediction log with event times in [start, cut)."""

    start: datetime
    faults: tuple[FaultWindow, ...] = ()  # spans whose rows are left out


@dataclass(frozen=True)
class Recipe:
    """How the model is made."""

    seed: int = 7
    parameters: LightGBMParameters = field(default_factory=lambda: LightGBMParameters(rounds=400, learning_rate=0.05, max_bin=1023))
    candidates: int = 3  # settings tried in the search, `parameters` being the first
    # Genuine rows kept, at most; weights restore the fraud share. On the world's default draw 66,000 rows reach the same
    # average precision as 268,000 (0.24, seed noise 0.01) in a quarter of the time.
    genuine_rows: int = 60_000
    search_genuine_rows: int = 20_000
    resampling: Resampling = "none"
    early_stopping_rounds: int = 40
    bootstrap_resamples: int = 100
    workers: int = 0  # Dask workers that fit the model together; 0: this process does
    trees_of: str = ""  # the version whose trees are kept: only calibration and thresholds are chosen anew; empty: new trees


@dataclass(frozen=True)
class TrainingRequest:
    """One training. `cut` is its "now": no payment and no label after it is used."""

    source: WorldSource | FileSource
    cut: datetime
    log: LogSource | None = None
    split: SplitPlan = field(default_factory=SplitPlan)
    recipe: Recipe = field(default_factory=Recipe)
    gate: GateRule = field(default_factory=GateRule)
    costs: DecisionCosts = field(default_factory=DecisionCosts)
    alert_capacity_per_thousand: float = 10.0
    random_approve_share: float = 0.0  # of payments due to be declined, that the new model's policy lets through
    reason: str = "first training"

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = TypeAdapter(TrainingRequest).dump_python(self, mode="json")
        return facts

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "TrainingRequest":
        return TypeAdapter(TrainingRequest).validate_python(facts)


@dataclass(frozen=True)
class Curve:
    """Points of one line of a plot, thinned to a few hundred."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class ModelEvaluation:
    """One model on the test rows. The keys of `metrics` are those of `pipelines.training.evaluate.METRICS`."""

    name: ModelName
    metrics: dict[str, Interval]
    card_precision_ceiling: float
    precision_recall: Curve  # recall, precision
    run_id: str = ""


@dataclass(frozen=True)
class CalibrationFacts:
    """Platt's two numbers and what they changed on the test rows."""

    slope: float
    intercept: float
    brier_before: float
    brier_after: float
    before: Curve  # mean predicted probability, share of fraud
    after: Curve


@dataclass(frozen=True)
class ThresholdFacts:
    """Where the policy cuts, and the curve it was chosen on (validation rows)."""

    review_at: float
    decline_at: float
    alerts_per_thousand: float
    saved_per_thousand: float
    capacity_per_thousand: float
    cost_curve: Curve  # alerts per thousand, EUR saved per thousand


@dataclass(frozen=True)
class PartFacts:
    """Size of one part of the split."""

    rows: int
    frauds: int


@dataclass(frozen=True)
class Excluded:
    """Rows of the prediction log that were not learned from."""

    why: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows left out: {self.why}"


@dataclass(frozen=True)
class TrainingOutcome:
    """What came of it. `version` is None when the gate refused; `created` is False when the same inputs had been registered."""

    run_id: str
    gate: GateVerdict
    version: str | None
    alias: str | None
    created: bool
    models: tuple[ModelEvaluation, ...]
    calibration: CalibrationFacts
    thresholds: ThresholdFacts
    importances: tuple[tuple[str, float], ...]  # share of gain, the largest first
    parameters: LightGBMParameters  # chosen by the search; rounds = where it stopped
    split: Split
    parts: dict[str, PartFacts]
    data_digest: str
    code_revision: str
    bundle_digest: str
    durations_s: dict[str, float]
    champion: ModelEvaluation | None = None  # the opponent on the same test rows, when there was one
    excluded: tuple[Excluded, ...] = ()  # of the prediction log

    def model(self, name: ModelName) -> ModelEvaluation:
        return next(model for model in self.models if model.name == name)

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = TypeAdapter(TrainingOutcome).dump_python(self, mode="json")
        return facts

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "TrainingOutcome":
        return TypeAdapter(TrainingOutcome).validate_python(facts)
