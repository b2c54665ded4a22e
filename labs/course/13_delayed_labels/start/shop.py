"""Given: a shop that declines the model's ten riskiest of a thousand payments outright and reviews the next ten.

Its champion learned from three weeks in which everything was let through. Then the shop declined, for 32 days: its log. `Shop` also
knows what no shop knows: which declined payments would have been reported as frauds. Everything is seeded.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.costs import DecisionCosts
from data.history import build_features
from data.settings import Settings
from data.world import WorldConfig
from labs.exercises.source import world_source
from pipelines.metrics import average_precision
from pipelines.training.boost import fit_trees, margins
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.resample import Rows

TRAINED, OPENS, CLOSES, END = 21, 28, 60, 81  # days: learned before TRAINED; the log is [OPENS, CLOSES); judged on [CLOSES, END)
DECLINED = REVIEWED = 0.01  # of the payments
SHARE = 0.10  # of those due to be declined that a hold-out lets through, at random
SHARES = (0.02, 0.05, 0.10, 0.20, 0.50)
COSTS = DecisionCosts()
_GENUINE = 20_000  # genuine rows of a fit, and of those that judge it; they stand for all
_TREES = LightGBMParameters(rounds=100, learning_rate=0.06, max_bin=255, num_leaves=8)  # small: a fit takes a second

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counted = Callable[[pd.DataFrame], tuple[Any, Any]]
Learned = Callable[[pd.DataFrame], tuple[Any, Any, Any]]


class Estimate(NamedTuple):
    """What a shop believes of its model's alerts, declined or reviewed."""

    recall: float  # of the frauds, those that were alerted
    precision: float  # of the alerts, those that were frauds
    average_precision: float


class Shop:
    """`fraud`, `score`, `amount`, `declined`, `reviewed`: of each payment of the log, shape (n,)."""

    def __init__(self, settings: Settings | None = None) -> None:
        chosen = settings or Settings.load()
        self._folder = _made(chosen.home / "cache" / "L13", chosen.seed, chosen.transactions_per_day)
        self.fraud, self.score, self.amount = (self._array(name) for name in ("fraud", "score", "amount"))
        self.declined: Flags = _riskiest(self.score, DECLINED)
        self.reviewed: Flags = _riskiest(self.score, DECLINED + REVIEWED) & ~self.declined

        self._alert = self.declined | self.reviewed

    # ---- what the shop knows

    def rows(self, draw: int, share: float = SHARE) -> pd.DataFrame:
        """The shop's log where a random `share` of what was due to be declined was let through: one draw of that hold-out.

        decision: "approve", "review" or "decline"; held_out: was due to be declined, and let through; reported: as a fraud, which
        nobody does of a payment that was declined; score.
        """
        spared = self.declined & (np.random.default_rng([draw, 13]).random(len(self.score)) < share)
        gone = self.declined & ~spared
        decision = pd.Categorical.from_codes(np.select([gone, self.reviewed], [2, 1], 0), ["approve", "review", "decline"])
        return pd.DataFrame({"decision": decision, "held_out": spared, "reported": self.fraud & ~gone, "score": self.score})

    def estimate(self, rows: pd.DataFrame, counted: Counted) -> Estimate:
        """Recall, precision and average precision of the shop's alerts, by what `counted` makes of its log."""
        fraud, weight = (np.asarray(answer, dtype=np.float64) for answer in counted(rows))
        return self._measure(fraud, weight)

    def recall(self, rows: pd.DataFrame, counted: Counted) -> float:
        """The first of these alone, which is quicker."""
        fraud, weight = (np.asarray(answer, dtype=np.float64) for answer in counted(rows))
        return float((weight * fraud)[self._alert].sum() / (weight * fraud).sum())

    # ---- what is true

    @cached_property
    def truth(self) -> Estimate:
        """The same, if nothing had been declined."""
        return self._measure(self.fraud.astype(np.float64), np.ones(len(self.fraud)))

    def price(self, share: float) -> float:
        """EUR per thousand payments that letting a random `share` of the declined through costs: frauds less false declines."""
        lost = np.where(self.fraud, self.amount + COSTS.chargeback_fee, -COSTS.false_decline)
        return float(1000 * share * lost[self.declined].sum() / len(self.score))

    def spread(self, share: float, counted: Counted, draws: int = 40) -> float:
        """Standard deviation of the estimated recall from one draw of the hold-out to the next, as a share of the true recall."""
        said = [self.recall(self.rows(draw, share), counted) for draw in range(draws)]
        return float(np.std(said) / self.truth.recall)

    # ---- learning again

    def learn_again(self, rows: pd.DataFrame, learned: Learned, seed: int = 0) -> float:
        """Average precision, on the three weeks after, of a model that learned from the log as `learned` says."""
        keep, fraud, weight = learned(rows)
        return self._fit(np.asarray(keep, dtype=bool), np.asarray(fraud, dtype=bool), np.asarray(weight, dtype=np.float64), seed)

    @cached_property
    def of_all(self) -> float:
        """The same of a model that learned from everything, as if nothing had been declined. Mean of two seeds, as the next two."""
        return self._kept("of_all", self.declined | True, self.fraud)

    @cached_property
    def of_survivors(self) -> float:
        """The same where declined payments are left out."""
        return self._kept("of_survivors", ~self.declined, self.fraud)

    @cached_property
    def of_unreported(self) -> float:
        """The same where declined payments count as genuine, as nobody reported them."""
        return self._kept("of_unreported", self.declined | True, self.fraud & ~self.declined)

    def _measure(self, fraud: Floats, weight: Floats) -> Estimate:
        caught = float((weight * fraud)[self._alert].sum())
        known = weight > 0
        return Estimate(
            caught / float((weight * fraud).sum()),
            caught / float(weight[self._alert].sum()),
            average_precision(fraud[known], self.score[known], weights=weight[known]),
        )

    def _fit(self, keep: Flags, fraud: Flags, weight: Floats, seed: int) -> float:
        places, stands_for = self._array("places"), self._array("stands_for")
        chosen = keep[places]
        at = places[chosen]
        rows = Rows(np.asarray(self._array("features")[chosen]), fraud[at], weight[at] * stands_for[chosen])
        trees = fit_trees(rows, rows, _TREES, stop_after=_TREES.rounds, seed=seed, threads=1)
        after = margins(trees, self._array("later_features"))
        return average_precision(self._array("later_fraud"), after, weights=self._array("later_weight"))

    def _kept(self, name: str, keep: Flags, fraud: Flags) -> float:
        """Fitted once, and kept beside the data that it comes from."""
        file = self._folder / f"{name}.json"
        if not file.exists():
            reached = [self._fit(keep, fraud, np.ones(len(fraud)), seed) for seed in range(2)]
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(float(np.mean(reached))))
            partial.replace(file)
        return float(json.loads(file.read_text()))

    def _array(self, name: str) -> Any:
        return np.load(self._folder / f"{name}.npy", mmap_mode="r")


@cache
def here() -> Shop:
    return Shop()


def _made(folder: Path, seed: int, per_day: int) -> Path:
    """The folder of this world's arrays; made once."""
    kept = folder / f"seed-{seed}-{per_day}"
    if not kept.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder))
        for name, array in _arrays(seed, per_day).items():
            np.save(partial / f"{name}.npy", array)
        with suppress(OSError):  # another process was first
            partial.rename(kept)
    return kept


def _arrays(seed: int, per_day: int) -> dict[str, NDArray[Any]]:
    source = world_source(WorldConfig(seed=seed, transactions_per_day=per_day))
    paid, labels = source.days(0, END, ())
    features, _ = build_features(paid, labels)
    fraud = paid["transaction_id"].isin(labels.loc[labels["is_fraud"], "transaction_id"]).to_numpy(dtype=bool)
    day = ((paid["event_time"] - pd.Timestamp(source.midnight(0))) // pd.Timedelta(days=1)).to_numpy()
    early, log, later = np.flatnonzero(day < TRAINED), np.flatnonzero((day >= OPENS) & (day < CLOSES)), np.flatnonzero(day >= CLOSES)
    places, stands_for = _thinned(fraud[early], 0)
    rows = Rows(features[early][places], fraud[early][places], stands_for)
    score = margins(fit_trees(rows, rows, _TREES, stop_after=_TREES.rounds, seed=0, threads=1), features[log])
    places, stands_for = _thinned(fraud[log] | _riskiest(score, DECLINED), 1)
    judging, judges_for = _thinned(fraud[later], 2)
    amount = paid["amount_minor"].to_numpy(dtype=np.float64) / 100
    return {
        "fraud": fraud[log],
        "score": score,
        "amount": amount[log],
        "places": places,
        "stands_for": stands_for,
        "features": features[log[places]],
        "later_features": features[later[judging]],
        "later_fraud": fraud[later[judging]],
        "later_weight": judges_for,
    }


def _riskiest(score: Floats, share: float) -> Flags:
    ranks = np.argsort(np.argsort(-score, kind="stable"), kind="stable")
    risky: Flags = ranks < share * len(score)
    return risky


def _thinned(kept: Flags, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """Places of all that is to be kept and of some of the others, and how many each stands for."""
    others = np.flatnonzero(~kept)
    some = np.random.default_rng([seed, 4]).choice(others, min(_GENUINE, len(others)), replace=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(kept), some]))
    return chosen, np.where(kept[chosen], 1.0, len(others) / len(some))
