"""Given: the champion and what is offered in its place. `python offers.py` asks gate.py about both offers.

`python offers.py --later` also looks at the four weeks after, which nobody had when the offers were made.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.history import build_features
from data.registry import Registry
from data.settings import Settings
from labs.stream import midnight, open_stream
from labs.versions import load_version
from pipelines.metrics import Interval, average_precision, paired_difference
from pipelines.training.boost import fit_trees, margins
from pipelines.training.request import Recipe
from pipelines.training.resample import thin_genuine
from pipelines.training.split import SplitPlan, split_at
from pipelines.training.table import TrainingTable, dataset_table

CHAMPION, CHALLENGER = "1", "2"  # registered versions
SEEDS = tuple(range(11, 21))  # a colleague trained the champion's recipe once with each, and offers the best
GENUINE, TREES = 30_000, replace(Recipe().parameters, rounds=40)  # the champion's recipe; its own seed was 7
RISKIEST = 4_000  # payments below these ranks for both models move average precision by less than 0.001
LATER_DAYS = 28

Floats = NDArray[np.float64]


class Payments(NamedTuple):
    """Arrays (n,)."""

    card: NDArray[np.int64]
    day: NDArray[np.int64]  # from 0
    is_fraud: NDArray[np.bool_]


class Offers:
    """Everything scored by the champion, by the challenger and by the ten trainings, on the test week and on the weeks after."""

    seeds = tuple(f"seed {seed}" for seed in SEEDS)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def week(self) -> Payments:
        """The week that champion and challenger were tested on, labels as they are known now."""
        return self._payments("week")

    @cached_property
    def later(self) -> Payments:
        """The four weeks after the history, with every label that will ever be reported."""
        return self._payments("later")

    def scores(self, name: str, when: str = "week") -> Floats:
        """`name`: "1", "2" or "seed 11" … "seed 20"; `when`: "week" or "later"."""
        return np.asarray(self._kept[f"{when} {name}"])

    @cached_property
    def luckiest(self) -> str:
        """The one of the ten trainings with the highest average precision in the test week."""
        return max(self.seeds, key=self.measured)

    def measured(self, name: str, when: str = "week") -> float:
        """Average precision."""
        return average_precision(self._payments(when).is_fraud, self.scores(name, when))

    def by_day(self, name: str) -> list[float]:
        """Average precision on each day of the test week."""
        week, scores = self.week, self.scores(name)
        return [average_precision(week.is_fraud[week.day == day], scores[week.day == day]) for day in range(7)]

    def logged(self, candidate: str) -> dict[str, float]:
        """What the runs say: champion and challenger were measured on the week, the colleague's on the one day that looked best."""
        said = self.measured(candidate) if candidate in (CHAMPION, CHALLENGER) else max(self.by_day(candidate))
        return {"champion": self.measured(CHAMPION), "candidate": said}

    def rows(self, candidate: str, champion: str = CHAMPION, days: tuple[int, ...] = tuple(range(7))) -> pd.DataFrame:
        """What the gate is given."""
        on = np.isin(self.week.day, days)
        one, other = self.scores(champion)[on], self.scores(candidate)[on]
        counts = self.week.is_fraud[on] | (_rank(one) < RISKIEST) | (_rank(other) < RISKIEST)
        columns = {"card": self.week.card[on], "is_fraud": self.week.is_fraud[on], "champion": one, "candidate": other}
        return pd.DataFrame(columns)[counts].reset_index(drop=True)

    def lead(self, candidate: str, when: str = "later") -> Interval:
        """Average precision of the candidate less the champion's on the same payments, cards resampled."""
        paid = self._payments(when)
        scores = (self.scores(name, when) for name in (candidate, CHAMPION))
        return paired_difference(average_precision, paid.is_fraud, *scores, groups=paid.card, seed=0, n=50)

    # ---- made once, then kept

    def _payments(self, when: str) -> Payments:
        return Payments(*(np.asarray(self._kept[f"{when} {column}"]) for column in Payments._fields))

    @cached_property
    def _kept(self) -> dict[str, NDArray[Any]]:
        stream = open_stream(self._settings, None, 0)
        decisive = json.dumps([stream.dataset.digest(stream.first, stream.live), str(TREES), GENUINE, *SEEDS, LATER_DAYS])
        kept = self._settings.home / "cache" / "L06" / f"{hashlib.sha256(decisive.encode()).hexdigest()[:16]}.npz"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(f".{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.savez(file, **dict(self._make(stream)))
            partial.replace(kept)
        with np.load(kept) as arrays:
            return dict(arrays)

    def _make(self, stream: Any) -> Iterator[tuple[str, NDArray[Any]]]:
        cut = midnight(stream.live)
        split = split_at(cut, SplitPlan())
        table, history = dataset_table(stream.dataset, keep_from=split.train.start, until=cut, cut=cut)
        train, week, later = table.part(split.train), table.part(split.test), _later(stream, history)
        parts = {"week": week.features, "later": later[1]}
        yield from _named("week", Payments(_codes(week.card), week.day - week.day.min(), week.is_fraud))
        yield from _named("later", later[0])
        with Registry.of(self._settings) as registry:
            for version in (CHAMPION, CHALLENGER):
                model = load_version(self._settings, registry, version)
                yield from ((f"{when} {version}", model.score_many(np.ascontiguousarray(rows))) for when, rows in parts.items())
        for seed in SEEDS:
            print(f"training the champion's recipe with seed {seed}", file=sys.stderr)
            trees = _train(train, seed)
            yield from ((f"{when} seed {seed}", margins(trees, rows)) for when, rows in parts.items())


def _train(train: TrainingTable, seed: int) -> Any:
    rows = thin_genuine(train, GENUINE, seed)
    return fit_trees(rows, rows, TREES, stop_after=TREES.rounds, seed=seed, threads=1)


def _later(stream: Any, history: Any) -> tuple[Payments, Floats]:
    """Payments after the history with their features, made as the service would."""
    days = [stream.day(stream.live + timedelta(days=n)) for n in range(LATER_DAYS)]
    paid, labels = (pd.concat([getattr(day, kind) for day in days], ignore_index=True) for kind in ("transactions", "labels"))
    earlier = stream.dataset.read("labels", stream.first, stream.live)
    unknown = earlier["report_time"] > pd.Timestamp(midnight(stream.live))  # the history knows the others
    reports = pd.concat([earlier[unknown], labels]).sort_values(["report_time", "transaction_id"], kind="stable")
    end = pd.Timestamp(midnight(stream.live + timedelta(days=LATER_DAYS)))
    features, _ = build_features(paid, reports[reports["report_time"] <= end], history)
    day = (paid["event_time"] - pd.Timestamp(midnight(stream.live))).dt.days.to_numpy()
    is_fraud = paid["transaction_id"].isin(labels.loc[labels["is_fraud"], "transaction_id"]).to_numpy(dtype=bool)
    return Payments(_codes(paid["card_id"].astype(str).to_numpy(np.str_)), day, is_fraud), features


def _named(when: str, payments: Payments) -> Iterator[tuple[str, NDArray[Any]]]:
    return ((f"{when} {column}", array) for column, array in payments._asdict().items())


def _codes(ids: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def _rank(scores: Floats) -> NDArray[np.int64]:
    """0 for the highest."""
    return np.argsort(np.argsort(-scores, kind="stable"), kind="stable")


def main(arguments: list[str]) -> None:
    from gate import promote

    offers = Offers(Settings.load())
    print(f"champion, by day of the test week: {'  '.join(f'{value:.2f}' for value in offers.by_day(CHAMPION))}\n")
    print(f"{'average precision':<34}{'logged':>8}{'champion':>10}{'same rows':>11}  your gate")
    named = ((f"version {CHALLENGER}", CHALLENGER), (f"{offers.luckiest}, best of ten", offers.luckiest))
    for name, candidate in named:
        logged = offers.logged(candidate)
        verdict = "promotes" if promote(offers.rows(candidate), logged) else "refuses"
        print(f"{name:<34}{logged['candidate']:>8.3f}{logged['champion']:>10.3f}{offers.measured(candidate):>11.3f}  {verdict}")
    if "--later" in arguments:
        print(f"\n{f'lead over the champion in the next {LATER_DAYS} days':<50}")
        for name, candidate in named:
            lead = offers.lead(candidate)
            print(f"{name:<34}{lead.value:>+8.3f}   [{lead.low:+.3f}, {lead.high:+.3f}]")


if __name__ == "__main__":
    main(sys.argv[1:])
