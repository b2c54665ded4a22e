"""One seed's world, champion and challengers: what every canary exercise of that seed has in common.

The calendar, in days of the world: fraudsters change their tactics on TACTICS; the champion learns the week before CALIBRATE,
the better challenger four weeks, the stale one what came before TACTICS. Calibration and threshold come from the week after
CALIBRATE, with the reports known by LIVE, when the rollout begins; there are no payments from END on.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import Calibration, Model
from data.costs import DecisionCosts, Policy, decline_threshold
from data.forest import Forest
from data.history import build_features
from data.rules import rule_severity
from data.world import Change, WorldConfig
from labs.canaries.scenario import Challenger
from labs.exercises.deployment import kept_model, known_frauds
from labs.exercises.source import Days, PaymentSource, world_source
from pipelines.training.calibrate import fit_platt

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
T = TypeVar("T")

TACTICS, CALIBRATE, LIVE, END = 21, 49, 63, 108
NEW_TACTICS: Final = 0.7  # share of the campaigns from TACTICS on
ALERTS: Final = 0.006  # share of payments above the threshold: with those of the rules, about the capacity of the fraud team
LEARNED: Final = {"champion": (CALIBRATE - 7, CALIBRATE), "better": (CALIBRATE - 28, CALIBRATE), "stale": (0, TACTICS)}
COLUMNS_OFF: Final = 1  # of the skewed challenger's features
INFLATION: Final = 3.0  # of the uncalibrated one's scores
NEVER: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, eq=False)
class Live:
    """The payments of the rollout: one array per fact, all of length n, in order of arrival."""

    transaction_id: NDArray[np.object_]
    card_id: NDArray[np.object_]
    event_time_s: Integers
    amount: Floats  # EUR
    report_time_s: Integers  # when it is reported as fraud, were it not declined; NEVER for most
    features: Floats  # (n, FEATURE_COUNT)
    rules: NDArray[np.int8]  # severity that the rules ask for


@dataclass(frozen=True)
class Opinion:
    """What one model makes of every payment of a `Live`."""

    score: Floats  # (n,) calibrated
    decision: NDArray[np.int8]  # (n,) at its own policy, never milder than the rules


class Learner(NamedTuple):
    """A trained model."""

    text: bytes  # as LightGBM writes it
    calibration: Calibration
    model: Model


@dataclass(frozen=True, eq=False)
class Stage:
    """Made by `set_stage`, and never changed but for what it remembers."""

    source: PaymentSource
    learners: dict[str, Learner]
    live: Live
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def start(self) -> datetime:
        """When the rollout begins."""
        return self.source.midnight(LIVE)

    @property
    def end(self) -> datetime:
        return self.source.midnight(END)

    def live_with(self, shoppers_move_on: int | None) -> Live:
        """The payments, shoppers having changed their ways on that day of the rollout if any."""
        if shoppers_move_on is None:
            return self.live
        since = self.source.midnight(LIVE + shoppers_move_on).date()
        return self.remember(("live", since), lambda: _live(self.source, _days(self.source, Change("behaviour_shift", since, 0.6))))

    def opinion(self, live: Live, who: Challenger) -> Opinion:
        """Of a challenger, or ("same") of the champion, on these payments."""
        return self.remember(("opinion", id(live), who), lambda: _opinion(self.learner(who).model, live, who))

    def learner(self, who: Challenger) -> Learner:
        """The model behind a challenger."""
        return self.learners["champion" if who == "same" else "stale" if who == "stale" else "better"]

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found


def set_stage(config: WorldConfig, home: Path) -> Stage:
    """A world and its models, trained, or taken from `home` where the same rows were learned before."""
    source = world_source(config)
    days = _days(source)
    features, _ = build_features(*days)
    learners = {name: _learner(source, days, features, learned, home) for name, learned in LEARNED.items()}
    return Stage(source, learners, _live(source, days, features))


def _days(source: PaymentSource, *changes: Change) -> Days:
    return source.days(0, END, (Change("new_tactic", source.midnight(TACTICS).date(), NEW_TACTICS), *changes))


def _learner(source: PaymentSource, days: Days, features: Floats, learned: tuple[int, int], home: Path) -> Learner:
    """A model of the days [learned), calibrated and given its threshold on the week after CALIBRATE."""
    time = days.transactions["event_time"]

    def span(first: int, last: int) -> NDArray[np.bool_]:
        return ((time >= pd.Timestamp(source.midnight(first))) & (time < pd.Timestamp(source.midnight(last)))).to_numpy()

    rows, week = span(*learned), span(CALIBRATE, CALIBRATE + 7)
    text = kept_model(features[rows], known_frauds(*days, by=source.midnight(CALIBRATE))[rows], home)
    forest = Forest(text)
    margins = forest.margins(features[week])
    calibration = fit_platt(margins, known_frauds(*days, by=source.midnight(LIVE))[week])
    threshold = float(np.quantile(calibration.probabilities(margins), 1 - ALERTS))
    return Learner(text, calibration, Model("", forest, calibration, Policy(threshold, decline_threshold(DecisionCosts()))))


def _live(source: PaymentSource, days: Days, features: Floats | None = None) -> Live:
    """The payments from LIVE on."""
    matrix = build_features(*days)[0] if features is None else features
    payments = days.transactions
    rows = (payments["event_time"] >= pd.Timestamp(source.midnight(LIVE))).to_numpy()
    frauds = days.labels[days.labels["is_fraud"]].groupby("transaction_id", observed=True)["report_time"].min()
    reported = payments.loc[rows, "transaction_id"].map(frauds)
    times = np.where(reported.isna(), NEVER, reported.to_numpy("datetime64[s]").astype(np.int64))
    return Live(
        transaction_id=payments.loc[rows, "transaction_id"].to_numpy(object),
        card_id=payments.loc[rows, "card_id"].astype(object).to_numpy(object),
        event_time_s=payments.loc[rows, "event_time"].to_numpy("datetime64[s]").astype(np.int64),
        amount=payments.loc[rows, "amount_minor"].to_numpy(np.float64) / 100,
        report_time_s=times,
        features=matrix[rows],
        rules=rule_severity(matrix[rows]),
    )


def _opinion(model: Model, live: Live, who: Challenger) -> Opinion:
    score = model.score_many(np.roll(live.features, COLUMNS_OFF, axis=1) if who == "skewed" else live.features)
    if who == "uncalibrated":
        score = np.minimum(INFLATION * score, 1.0)
    return Opinion(score, np.maximum(model.policy.severities(score), live.rules))
