"""What a drift scenario is, and one at work: dated, dosed, seeded, with its ground truth.

A scenario is composed of mechanisms (`data/faults/mechanisms.py`), each on its layer of a payment's way. Whoever makes the
payments' way asks the injection at each layer, in this order; a layer that it does not act on comes back as it was.

    injection = SCENARIOS["price_rise"].inject(start=date(2026, 3, 6), seed=7)
    config = replace(config, changes=injection.changes)                      # world
    payments, touched = injection.apply(payments)                            # arrivals, then messages
    matrix, touched = injection.apply_features(matrix, payments)             # between the history and the model
    scores, touched = injection.apply_scores(matrix, payments, model)        # instead of model(matrix)
    labels, touched = injection.apply_labels(labels)                         # what the feed delivers
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from data.errors import BadInput
from data.faults.dose import Dose, Floats, Mask
from data.faults.features import Rows, differing
from data.faults.mechanisms import (
    ArrivalFault,
    FeatureChange,
    LabelBlock,
    LabelFault,
    Layer,
    Mechanism,
    MessageFault,
    ScoreChange,
    WorldChange,
)
from data.faults.scores import ScoreFunction
from data.ids import are_among
from data.onset import Onset
from data.world.config import Change

Action = Literal["ignore", "recalibrate", "retrain", "fix_pipeline", "roll_back", "hold"]
Source = Literal["world", "handbook"]
M = TypeVar("M", bound=Mechanism)


@dataclass(frozen=True)
class Part:
    """A mechanism in a scenario."""

    mechanism: Mechanism
    strength: float = 1.0  # for each unit of the scenario's strength
    columns: tuple[str, ...] = ()  # for a mechanism that can act on several; none: all of them


@dataclass(frozen=True)
class Scenario:
    """One kind of drift: what changes, how strongly, what must be seen and what must be done."""

    name: str
    catalogue_id: str
    mechanism: str
    strength: float
    strength_means: str
    columns: tuple[str, ...]  # columns of the message, or features, that change first
    expected: tuple[Action, ...]  # right decisions, any of them: of the first action that monitoring asks for, or of none
    must_fire: tuple[str, ...] = ()  # detectors, as `pipelines/monitoring/detectors.py` names them; "inputs:<column>" for one column
    must_stay_silent: tuple[str, ...] = ()  # detectors that cannot see it
    parts: tuple[Part, ...] = ()
    ramp_days: int = 0
    days: int | None = None  # how long it lasts; None = it stays
    every_days: int | None = None  # it comes back so many days after it began, again and again

    @property
    def acts_on(self) -> Layer | Literal["nothing"]:
        """The layer of its first mechanism."""
        return self.parts[0].mechanism.layer if self.parts else "nothing"

    @property
    def layers(self) -> frozenset[Layer]:
        """Every layer that it acts on."""
        return frozenset(part.mechanism.layer for part in self.parts)

    @property
    def needs(self) -> tuple[str, ...]:
        """Message columns without which it has nothing to act on."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns or part.mechanism.needs))

    def inject(
        self, start: date, *, seed: int, strength: float | None = None, ramp_days: int | None = None, until: date | None = None
    ) -> "Injection":
        """This scenario, dated and dosed; `until` is the first day without it. Raises BadInput when a dose makes no sense."""
        dose = self.strength if strength is None else strength
        ramp = self.ramp_days if ramp_days is None else ramp_days
        most = min((part.mechanism.most / part.strength for part in self.parts), default=np.inf)
        if not np.isfinite(dose) or not 0 < dose <= most or ramp < 0:
            upto = f", at most {most:g}," if np.isfinite(most) else ""
            raise BadInput(
                f"{self.name} takes a strength above 0{upto} and a ramp of 0 days or more.",
                next_step=f"Its strength means: {self.strength_means}; {self.strength:g} is the default.",
                where=self.name,
            )
        onset = Onset(start, ramp, self.days, self.every_days, until)
        return Injection(replace(self, strength=dose, ramp_days=ramp), onset, seed)


@dataclass(frozen=True)
class Injection:
    """A scenario at work."""

    scenario: Scenario
    onset: Onset
    seed: int

    @property
    def start(self) -> date:
        """Its first day."""
        return self.onset.start

    @property
    def end(self) -> date | None:
        """The first day on which it is over for good; None = it stays, or comes back."""
        return self.onset.end

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it asks of the world."""
        o = self.onset
        return tuple(
            Change(mechanism.kind, o.start, dose, o.ramp_days, o.until, o.days, o.every_days)
            for mechanism, dose, _ in self._of(WorldChange)
        )

    def apply(self, transactions: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
        """The payments as they arrive, and which of them it touched or added, shape (n,)."""
        arriving, added = self.apply_arrivals(transactions)
        sent, touched = self.apply_messages(arriving)
        return sent, added | touched

    def apply_arrivals(self, transactions: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
        """With the payments that arrive again, and which those are."""
        made = transactions["transaction_id"]
        for mechanism, strength, _ in self._of(ArrivalFault):
            transactions, _ = mechanism.act(transactions, self._dose(strength, transactions["event_time"]))
        return transactions, ~are_among(transactions["transaction_id"], made)

    def apply_messages(self, transactions: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
        """The messages under this fault, in the same order, and which rows it touched."""
        touched = np.zeros(len(transactions), dtype=np.bool_)
        for mechanism, strength, columns in self._of(MessageFault):
            dose = self._dose(strength, transactions["event_time"], columns or mechanism.columns)
            if dose.level.any():
                transactions, hit = mechanism.act(transactions, dose)
                touched |= hit
        return transactions, touched

    def apply_features(self, matrix: Floats, transactions: pd.DataFrame, before: Floats | None = None) -> tuple[Floats, Mask]:
        """What the model sees, and which rows differ. `before`: the features of the payment before the first, (k,), if any."""
        seen, ids = matrix, list(transactions["transaction_id"])
        for mechanism, strength, _ in self._of(FeatureChange):
            seen = mechanism.act(Rows(seen, ids, before), self._dose(strength, transactions["event_time"]))
        return seen, differing(seen, matrix)

    def apply_scores(self, matrix: Floats, transactions: pd.DataFrame, score: ScoreFunction) -> tuple[Floats, Mask]:
        """What is answered in place of `score(matrix)`, and which rows differ."""
        right, model = score(matrix), score
        for mechanism, strength, _ in self._of(ScoreChange):
            model = _in_place_of(model, mechanism, self._dose(strength, transactions["event_time"]))
        answered = right if model is score else model(matrix)
        return answered, answered != right

    def apply_labels(self, labels: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
        """The reports that arrive, and which of those given it touched."""
        touched, names = np.zeros(len(labels), dtype=np.bool_), labels.index
        labels = labels.set_axis(pd.RangeIndex(len(labels)))  # which ones are left, whatever they are called
        for mechanism, strength, _ in self._of(LabelFault):
            left = labels.index.to_numpy()
            labels, hit = mechanism.act(labels, self._dose(strength, labels["report_time"]))
            touched[left[hit]] = True
        return labels.set_axis(names[labels.index]), touched

    def blocked(self, labels: pd.DataFrame) -> Mask:
        """Which of these reports never come because the payment, which the model alerted on, was blocked."""
        blocked = np.zeros(len(labels), dtype=np.bool_)
        for mechanism, strength, _ in self._of(LabelBlock):
            blocked |= mechanism.act(labels, self._dose(strength, labels["event_time"]))
        return blocked

    def level(self, event_time: pd.Series) -> Floats:
        """Share of its full strength at each time, in [0, 1]."""
        milliseconds = event_time.astype("datetime64[ms, UTC]").astype(np.int64)  # of any resolution, or of none where it is empty
        return self.onset.level(np.asarray(milliseconds, dtype=np.int64))

    def require(self, transactions: pd.DataFrame, source: Source) -> None:
        """Raises BadInput when it cannot act here: a recorded file follows no world change, or lacks the columns."""
        if "world" in self.scenario.layers and source != "world":
            raise self._refused("changes how people behave, which recorded payments cannot follow")
        blank = [name for name in self.scenario.needs if _carries_nothing(transactions[name])]
        if blank:
            raise self._refused(f"acts on {', '.join(blank)}, which these payments do not carry")

    def truth(self, touched: Mask) -> "GroundTruth":
        """What really happened, for judging the monitors. `touched` has one entry per row of the stream."""
        s = self.scenario
        return GroundTruth(
            s.name, s.catalogue_id, s.mechanism, s.acts_on, s.strength, s.ramp_days, s.every_days, self.seed, self.start, self.end,
            s.columns, len(touched), int(np.sum(touched)), s.expected,
        )  # fmt: skip

    def _of(self, kind: type[M]) -> Iterator[tuple[M, float, tuple[str, ...]]]:
        """Its mechanisms of one kind, each with its strength and the columns chosen."""
        for part in self.scenario.parts:
            if isinstance(part.mechanism, kind):
                yield part.mechanism, part.strength * self.scenario.strength, part.columns

    def _dose(self, strength: float, times: pd.Series, columns: tuple[str, ...] = ()) -> Dose:
        return Dose(strength, self.level(times), self.seed, columns)

    def _refused(self, why: str) -> BadInput:
        return BadInput(
            f"{self.scenario.name} {why}.",
            next_step="Choose price_rise, price_fall, unit_change or time_zone; `lab drift list --json` says what each one needs.",
            where=self.scenario.name,
        )


@dataclass(frozen=True)
class GroundTruth:
    """The record of an injection. `rows_touched` is 0 for a change of the world: its truth table tells the frauds."""

    scenario: str
    catalogue_id: str
    mechanism: str
    acts_on: str
    strength: float
    ramp_days: int
    every_days: int | None
    seed: int
    start: date
    end: date | None
    columns: tuple[str, ...]
    rows: int
    rows_touched: int
    expected: tuple[Action, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON's types only."""
        facts = asdict(self)
        return facts | {"start": self.start.isoformat(), "end": self.end.isoformat() if self.end else None}


def _in_place_of(model: ScoreFunction, mechanism: ScoreChange, dose: Dose) -> ScoreFunction:
    return lambda matrix: mechanism.act(matrix, model, dose)


def _carries_nothing(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(object) == "unknown")).all())
