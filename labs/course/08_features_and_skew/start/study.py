"""The rows, models and measures of this lab: read it, use it, leave it as it is. Everything is seeded.

`Fits` makes small models on the days before the service went live. `Live` reads the prediction log: each payment as it was served,
and again as the batch path computes it. Frauds are all that were ever reported, as if you had waited six weeks.
"""

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import FACTS, Model
from data.costs import DecisionCosts
from data.features import CARD_WINDOWS_S, CATEGORICAL_FEATURES, DAY_S, FEATURE_INDEX, FEATURES, HOUR_S
from data.open_log import open_log
from data.prediction_frames import Window, window
from data.registry import CHAMPION, Registry
from data.settings import Settings
from labs.stream import Stream, midnight, open_stream
from labs.versions import load_version
from labs.watching import ALWAYS, first_history
from pipelines.metrics import average_precision, money_saved_per_thousand
from pipelines.monitoring.parity import ParityResult, compare, recompute
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.resample import Rows, thin_genuine
from pipelines.training.split import Split, SplitPlan, split_at
from pipelines.training.table import TrainingTable, dataset_table

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

_PURCHASE = ["amount", "hour", "weekday", "channel", "category"]
_TOTALS = ("card_count", "card_sum", "terminal_count")
_HABIT = ("card_max", "amount_to_card", "card_age")
GROUPS: dict[str, list[str]] = {
    "purchase": _PURCHASE,
    "card totals": [f for f in FEATURES if f.startswith(("card_count", "card_sum", "card_mean", "card_terminals"))],
    "card habit": [f for f in FEATURES if f.startswith(_HABIT)],
    "last time": [f for f in FEATURES if f.startswith("seconds_since")],
    "place": [f for f in FEATURES if "distance" in f or f == "speed_kmh"],
    "terminal totals": [f for f in FEATURES if f.startswith("terminal_count") or f == "amount_to_terminal_mean"],
    "reports": [f for f in FEATURES if "report" in f or "risk" in f],
}
SEEDS = range(3)
GENUINE = 10_000  # genuine rows of a fit, weighted up; all frauds stay
TREES = LightGBMParameters(rounds=60, learning_rate=0.1, max_bin=255, num_leaves=8)  # small, so that a fit takes a third of a second
COSTS = DecisionCosts()
AGES = ("live", "an hour old", "of the last midnight", "of three midnights ago", "of a week ago")
MEMORY_DAYS = 31  # of history that a total may still look at


@dataclass
class Fits:
    """The days before the service went live: fits learn from `train`, and are judged on the two weeks after it."""

    stream: Stream

    @classmethod
    def here(cls) -> Self:
        return cls(open_stream(Settings.load(), None, 0))

    def ranks(self, names: list[str], seed: int) -> float:
        """Average precision of a small model that sees these features alone."""
        import lightgbm

        rows, judge = thin_genuine(self._train, GENUINE, seed), self._judge
        places, settings = [FEATURE_INDEX[name] for name in names], TREES.to_lightgbm(seed=seed, threads=1)
        kinds: Any = {"feature_name": names, "categorical_feature": [name for name in CATEGORICAL_FEATURES if name in names]}
        data = lightgbm.Dataset(rows.features[:, places], rows.is_fraud, weight=rows.weights, params=settings, **kinds)
        trees = lightgbm.train(settings, data, num_boost_round=TREES.rounds)
        scores = trees.predict(judge.features[:, places], raw_score=True, num_threads=1)
        return average_precision(judge.is_fraud, scores, weights=judge.weights)

    @cached_property
    def _table(self) -> TrainingTable:
        cut = midnight(self.stream.live)
        return dataset_table(self.stream.dataset, keep_from=self._split.train.start, until=cut, cut=cut)[0]

    @cached_property
    def _train(self) -> TrainingTable:
        return self._table.part(self._split.train)

    @cached_property
    def _judge(self) -> Rows:
        seconds = self._table.event_s
        later = self._table.rows(self._split.validation.mask(seconds) | self._split.test.mask(seconds))
        return thin_genuine(later, 3 * GENUINE, seed=0)

    @property
    def _split(self) -> Split:
        return split_at(midnight(self.stream.live), SplitPlan())


@dataclass
class Live:
    """The prediction log, payment by payment in order of arrival. Arrays have shape (n, ...)."""

    settings: Settings
    stream: Stream

    @classmethod
    def here(cls) -> Self:
        settings = Settings.load()
        return cls(settings, open_stream(settings, None, 0))

    @property
    def payments(self) -> pd.DataFrame:
        """TRANSACTION_COLUMNS and the answers."""
        return self._log.frame

    @property
    def served(self) -> Floats:
        """The features as the model saw them, (n, FEATURE_COUNT)."""
        return self._log.matrix

    @cached_property
    def _log(self) -> Window:
        return window(self.settings.log_place, *ALWAYS)

    @cached_property
    def again(self) -> Floats:
        """The same features by the batch path: history as training left it, then every payment and report of the log."""
        with closing(open_log(self.settings)) as log:
            history, events = first_history(self.settings, log), list(log.events_since(0))
        assert history is not None  # `lab start` trained a champion
        return recompute(events, history)

    def parity(self, rows: Flags) -> ParityResult:
        """Served against recomputed, for these rows."""
        return compare(self.payments["transaction_id"][rows], self.served[rows], self.again[rows])

    @cached_property
    def differs(self) -> Flags:
        """Which payments were served otherwise than the batch path has them, in any feature."""
        same = (self.served == self.again) | (np.isnan(self.served) & np.isnan(self.again))
        return ~same.all(axis=1)

    @cached_property
    def day(self) -> NDArray[np.object_]:
        """The day of each payment."""
        return self.payments["event_time"].dt.date.to_numpy()

    def week(self, first: date) -> Flags:
        """The payments of seven days."""
        flags: Flags = (self.day >= first) & (self.day < first + timedelta(days=7))
        return flags

    @cached_property
    def is_fraud(self) -> Flags:
        """Everything that was ever reported of them."""
        known = [self.stream.day(day).labels for day in sorted(set(self.day))]
        frauds = {key for labels in known for key in labels["transaction_id"][labels["is_fraud"]]}
        return self.payments["transaction_id"].isin(frauds).to_numpy()

    @cached_property
    def amount(self) -> Floats:
        return self.payments["amount_minor"].to_numpy(dtype=np.float64) / 100

    @cached_property
    def champion(self) -> Model:
        """The registered champion, verified."""
        with Registry.of(self.settings) as registry:
            return load_version(self.settings, registry, registry.alias(CHAMPION) or "")

    def worth(self, features: Floats, rows: Flags) -> dict[str, float]:
        """What the champion makes of these rows with `features` (n, FEATURE_COUNT), alerting by its own policy.

        `missed`: frauds that it lets pass; `saved`: EUR per thousand payments.
        """
        scores, fraud = self.champion.score_many(features[rows]), self.is_fraud[rows]
        alert = scores >= self.champion.policy.review_at
        saved = money_saved_per_thousand(fraud, alert, self.amount[rows], COSTS)
        return {"ap": average_precision(fraud, scores), "missed": float((fraud & ~alert).sum()), "saved": saved}

    @cached_property
    def promised(self) -> float:
        """The average precision that the champion reached on its test week, as its sealed bundle says."""
        facts = json.loads((self.settings.home / "models" / self.champion.version / FACTS).read_text())
        return float(facts["metrics"]["average_precision"])

    @cached_property
    def stretch(self) -> "Stretch":
        """The first day that was served otherwise, or the last one of the log."""
        return stretch(self, min(self.day[self.differs], default=max(self.day)))

    # ---- totals at any moment

    def with_totals(self, age: str) -> Floats:
        """`again`, but the totals of cards and terminals are of the age (one of AGES): up to a moment before the payment and no further."""
        if age == "live":
            return self.again
        features, moments = self.again.copy(), self._moments(age)
        for owner in ("card", "terminal"):
            for span, length in CARD_WINDOWS_S.items():
                count, cents = self._between(owner, moments - length, moments)
                features[:, FEATURE_INDEX[f"{owner}_count_{span}"]] = count
                if owner == "card":
                    features[:, FEATURE_INDEX[f"card_sum_{span}"]] = cents / 100
                    mean = np.divide(cents / 100, count, out=np.full(len(count), np.nan), where=count > 0)
                    features[:, FEATURE_INDEX[f"card_mean_{span}"]] = mean
        return features

    def _moments(self, age: str) -> Integers:
        if age == "an hour old":
            return self.seconds - HOUR_S
        nights = {"of the last midnight": 0, "of three midnights ago": 3, "of a week ago": 7}[age]
        return self.seconds - self.seconds % DAY_S - nights * DAY_S

    @cached_property
    def seconds(self) -> Integers:
        """Of each payment, since 1970."""
        return _seconds(self.payments)

    @cached_property
    def before(self) -> pd.DataFrame:
        """The last MEMORY_DAYS days before the service went live."""
        return self.stream.dataset.read("transactions", self.stream.live - timedelta(days=MEMORY_DAYS), self.stream.live)

    def _between(self, owner: str, after: Integers, until: Integers) -> tuple[Integers, Integers]:
        """Payments and cents of each payment's own card or terminal in (after, until]."""
        if owner not in self._sorted:
            ids = pd.concat([self.before[f"{owner}_id"].astype(str), self.payments[f"{owner}_id"].astype(str)])
            codes = pd.factorize(ids)[0].astype(np.int64) << 33  # seconds fit below
            keys = codes + np.concatenate([_seconds(self.before), self.seconds])
            order = np.argsort(keys, kind="stable")
            cents = np.concatenate([self.before["amount_minor"], self.payments["amount_minor"]])[order]
            self._sorted[owner] = codes[len(self.before) :], keys[order], np.concatenate([[0], np.cumsum(cents)])
        own, keys, running = self._sorted[owner]
        first, last = (np.searchsorted(keys, own + moment, side="right") for moment in (after, until))
        return last - first, running[last] - running[first]

    @cached_property
    def _sorted(self) -> dict[str, tuple[Integers, Integers, Integers]]:
        return {}


@dataclass(frozen=True)
class Stretch:
    """A day's payments at a sixth of the terminals, after all that their cards and terminals did in the month before."""

    events: list[tuple[str, str, int, int]]  # card, terminal, seconds since 1970, cents: in order of arrival
    asked: list[bool]  # whether it is one of the day's
    again: Integers  # (asked, 12): their totals by the batch path, as `online.totals` gives them
    served: Integers  # (asked, 12): as they were served

    @property
    def midnight(self) -> int:
        """When the day begins, in seconds since 1970."""
        return self.events[self.asked.index(True)][2] // DAY_S * DAY_S


def stretch(live: Live, day: date) -> Stretch:
    """`day`: one of the log's."""
    events = pd.concat([_events(live.before), _events(live.payments)], ignore_index=True)
    on_day = (np.arange(len(events)) >= len(live.before)) & (events["at"] // DAY_S == int(midnight(day).timestamp()) // DAY_S)
    asked = on_day & events["terminal"].isin(sorted(set(events["terminal"][on_day]))[::6])
    needed = events["terminal"].isin(set(events["terminal"][asked])) | events["card"].isin(set(events["card"][asked]))
    needed &= events.index <= np.flatnonzero(asked)[-1]
    places = np.flatnonzero(asked) - len(live.before)
    rows = list(events[needed].itertuples(index=False, name=None))
    return Stretch(rows, asked[needed].to_list(), as_totals(live.again[places]), as_totals(live.served[places]))


def as_totals(features: Floats) -> Integers:
    """Of rows of features, (n, FEATURE_COUNT), what `online.totals` gives: payments and cents of the card, payments at the terminal."""
    columns = [features[:, FEATURE_INDEX[f"{name}_{window}"]] for name in _TOTALS for window in CARD_WINDOWS_S]
    return np.rint(np.column_stack(columns) * ([1] * 4 + [100] * 4 + [1] * 4)).astype(np.int64)


def _events(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"card": frame["card_id"].astype(str), "terminal": frame["terminal_id"].astype(str)}
    return pd.DataFrame({**names, "at": _seconds(frame), "cents": frame["amount_minor"].astype(np.int64)})


def _seconds(frame: pd.DataFrame) -> Integers:
    return frame["event_time"].dt.as_unit("s").astype(np.int64).to_numpy()
