"""Named drifts: seeded, dated, composable changes with their ground truth and the decision they ask for.

A scenario acts on the *world* (people and fraudsters change; `WorldConfig.changes`), on *messages* (an upstream system
changes what it sends; any source of payments, foreign files too) or, the control, on nothing. The ids are those of the
drift catalogue: D0 is the quiet control.

    injection = SCENARIOS["price_rise"].inject(start=date(2026, 3, 6), seed=7)
    payments, touched = injection.apply(payments)      # messages; the same frame when the scenario acts on the world
    config = replace(config, changes=injection.changes)
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from data import faults
from data.errors import BadInput
from data.faults import Dose, Fault, Floats, Mask
from data.world.config import Change, ChangeKind

Action = Literal["ignore", "recalibrate", "retrain", "fix_pipeline", "roll_back", "hold"]
Source = Literal["world", "handbook"]

DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Scenario:
    """One kind of drift: what changes, how strongly, what must be seen and what must be done."""

    name: str
    catalogue_id: str
    mechanism: str
    strength: float
    strength_means: str
    columns: tuple[str, ...]  # message columns that change first
    expected: tuple[Action, ...]  # decisions that are right once labels have matured; which of several, the damage says
    must_fire: tuple[str, ...] = ()
    must_stay_silent: tuple[str, ...] = ()
    fault: Fault | None = None
    world: tuple[tuple[ChangeKind, float], ...] = ()  # kind, and its share of the scenario's strength
    needs: tuple[str, ...] = ()  # message columns without which it has nothing to act on
    ramp_days: int = 0
    days: int | None = None  # how long it lasts; None = it stays

    @property
    def acts_on(self) -> Literal["messages", "world", "nothing"]:
        if self.fault is not None:
            return "messages"
        return "world" if self.world else "nothing"

    def inject(self, start: date, *, seed: int, strength: float | None = None, ramp_days: int | None = None) -> "Injection":
        """This scenario, dated and dosed. Raises BadInput when a dose makes no sense."""
        dose = self.strength if strength is None else strength
        ramp = self.ramp_days if ramp_days is None else ramp_days
        if not np.isfinite(dose) or dose <= 0 or ramp < 0:
            raise BadInput(
                f"{self.name} takes a strength above 0 and a ramp of 0 days or more.",
                next_step=f"Its strength means: {self.strength_means}; {self.strength} is the default.",
                where=self.name,
            )
        return Injection(replace(self, strength=dose, ramp_days=ramp), start, seed)


@dataclass(frozen=True)
class Injection:
    """A scenario at work from the day `start` on, until further notice or for its `days`."""

    scenario: Scenario
    start: date
    seed: int
    end: date | None = field(init=False)

    def __post_init__(self) -> None:
        days = self.scenario.days
        object.__setattr__(self, "end", None if days is None else date.fromordinal(self.start.toordinal() + days))

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it asks of the world; nothing for a fault of messages."""
        s = self.scenario
        return tuple(Change(kind, self.start, part * s.strength, s.ramp_days, self.end) for kind, part in s.world)

    def apply(self, transactions: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
        """The messages as they arrive under this fault, in the same order, and which rows it touched, shape (n,)."""
        level = self.level(transactions["event_time"])
        if self.scenario.fault is None or not level.any():
            return transactions, np.zeros(len(transactions), dtype=np.bool_)
        return self.scenario.fault(transactions, Dose(self.scenario.strength, level, self.seed))

    def level(self, event_time: pd.Series) -> Floats:
        """Share of its full strength at each time, in [0, 1]; a ramp rises by the day, as `Change.level` does."""
        day = event_time.astype("datetime64[ms, UTC]").astype(np.int64).to_numpy() // DAY_MS - (self.start - date(1970, 1, 1)).days
        level = np.minimum(1.0, (day + 1) / (self.scenario.ramp_days + 1))
        over = np.inf if self.scenario.days is None else self.scenario.days
        return np.where((day < 0) | (day >= over), 0.0, level)

    def require(self, transactions: pd.DataFrame, source: Source) -> None:
        """Raises BadInput when it cannot act here: a recorded file follows no world change, or lacks the columns."""
        if self.scenario.acts_on == "world" and source != "world":
            raise BadInput(
                f"{self.scenario.name} changes how people behave, which recorded payments cannot follow.",
                next_step="Choose price_rise, price_fall, unit_change or time_zone, which act on messages.",
                where=self.scenario.name,
            )
        blank = [name for name in self.scenario.needs if _carries_nothing(transactions[name])]
        if blank:
            raise BadInput(
                f"{self.scenario.name} acts on {', '.join(blank)}, which these payments do not carry.",
                next_step="Choose price_rise, price_fall, unit_change or time_zone; `lab drift list` says what each one needs.",
                where=self.scenario.name,
            )

    def truth(self, touched: Mask) -> "GroundTruth":
        """What really happened, for judging the monitors. `touched` has one entry per row of the stream."""
        s = self.scenario
        return GroundTruth(
            s.name, s.catalogue_id, s.mechanism, s.acts_on, s.strength, s.ramp_days, self.seed, self.start, self.end,
            s.columns, len(touched), int(np.sum(touched)), s.expected,
        )  # fmt: skip


@dataclass(frozen=True)
class GroundTruth:
    """The record of an injection. `rows_touched` is 0 for a change of the world: its truth table tells the frauds."""

    scenario: str
    catalogue_id: str
    mechanism: str
    acts_on: str
    strength: float
    ramp_days: int
    seed: int
    start: date
    end: date | None
    columns: tuple[str, ...]
    rows: int
    rows_touched: int
    expected: tuple[Action, ...]

    def to_json(self) -> dict[str, Any]:
        facts = asdict(self)
        return facts | {"start": self.start.isoformat(), "end": self.end.isoformat() if self.end else None}


def apply_all(injections: Sequence[Injection], transactions: pd.DataFrame) -> tuple[pd.DataFrame, Mask]:
    """Several faults, one after the other; a row is touched when any of them touched it."""
    touched = np.zeros(len(transactions), dtype=np.bool_)
    for injection in injections:
        transactions, hit = injection.apply(transactions)
        touched |= hit
    return transactions, touched


def scenario(name: str) -> Scenario:
    """The scenario of that name. Raises BadInput naming those that exist."""
    if name not in SCENARIOS:
        raise BadInput("No such drift scenario.", next_step=f"Choose one of {', '.join(SCENARIOS)}.", where="scenario")
    return SCENARIOS[name]


def _carries_nothing(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(object) == "unknown")).all())


_LABEL_FREE = ("null rate", "unseen level", "range")

SCENARIOS: Final[dict[str, Scenario]] = {
    s.name: s
    for s in (
        Scenario(
            "none", "D0", "a quiet control: nothing changes", 1.0, "nothing", (), ("ignore",),
            must_stay_silent=("every test",),
        ),
        Scenario(
            "channel_push", "D1", "a marketing push moves purchases online", 0.1, "share of card-present purchases that move online",
            ("channel",), ("ignore",), ("channel",), ("recall",), world=(("channel_mix", 1.0),),
        ),
        Scenario(
            "price_rise", "D2", "all prices rise", 2.0, "factor on every amount", ("amount",), ("retrain", "recalibrate", "ignore"),
            ("amount", "score", "alert rate"), _LABEL_FREE, fault=faults.scale_amounts,
        ),
        Scenario(
            "price_fall", "D2", "all prices fall by half", 0.5, "factor on every amount", ("amount",), ("retrain",),
            ("amount", "recall"), _LABEL_FREE, fault=faults.scale_amounts,
        ),
        Scenario(
            "unit_change", "D3", "some terminals send cents as euros", 0.01, "share of terminals",
            ("amount",), ("fix_pipeline",), ("unit",), ("null rate", "unseen level"), fault=faults.change_unit,
        ),
        Scenario(
            "null_burst", "D5", "place and device go missing for three days", 0.3, "share of rows that lose them",
            ("latitude", "longitude", "device_id"), ("fix_pipeline",), ("null rate",), ("amount", "unseen level"),
            fault=faults.drop_details, needs=("latitude",), days=3,
        ),
        Scenario(
            "new_category", "D7", "a merchant category that nobody has seen", 0.01, "share of terminals",
            ("category",), ("ignore",), ("unseen level",), ("null rate", "recall"), fault=faults.add_category, needs=("category",),
        ),
        Scenario(
            "time_zone", "D8", "clocks are wrong", 3.0, "hours", ("hour",), ("fix_pipeline",), ("hour",),
            ("null rate", "amount"), fault=faults.shift_clock,
        ),
        Scenario(
            "fraud_wave", "D11", "more frauds of the known kinds", 3.0, "relative rise of the fraud share (3 = four times as many)",
            (), ("recalibrate", "ignore"), ("alert rate",), ("null rate", "unseen level"), world=(("fraud_rate", 1.0),),
        ),
        Scenario(
            "new_tactic", "D12", "fraudsters change their tactic while shoppers move home", 1.0, "share of new campaigns",
            ("channel", "hour", "category"), ("retrain",), ("recall",), ("null rate",),
            world=(("new_tactic", 1.0), ("behaviour_shift", 0.6)),
        ),
    )
}  # fmt: skip

# The drift that `lab demo` injects: on either source the champion loses clearly, and a model retrained on labels matured
# since the onset wins it back clearly (measured by `python -m tests.bench.drift`). Prices half as high again only ask
# the Handbook's champion for another threshold; doubled ones break its ranking.
DEMO_SCENARIO: Final[dict[Source, str]] = {"world": "new_tactic", "handbook": "price_fall"}
