"""The rows, models and measures of this lab: read it, use it, leave it as it is.

`Study.here()` reads the history that `lab start` made. Rows are payments in order of time, in three parts: `train`, `validation` a
week after it, `test` after that. Frauds are those that were reported by the end of the history. Everything is seeded.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import Model, verify_bundle
from data.costs import DecisionCosts
from data.dataset import to_frame
from data.history import History, build_features
from data.registry import CHAMPION, Registry
from data.settings import Settings
from data.world import Change, World
from labs.stream import midnight, open_stream
from pipelines.metrics import average_precision, brier, money_saved_per_thousand, roc_auc
from pipelines.training.baselines import fit_logistic, logistic_margin
from pipelines.training.boost import fit_trees, margins
from pipelines.training.calibrate import fit_platt
from pipelines.training.evaluate import Evaluator, Scored
from pipelines.training.gate import GateRule, GateVerdict, judge_candidate
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.resample import Rows, rebalance, thin_genuine
from pipelines.training.split import Split, SplitPlan, split_at
from pipelines.training.table import TrainingTable, dataset_table

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Method = Literal["none", "class_weights", "under_sampling", "smote"]
Fill = Callable[[Floats, Floats], Floats]

COSTS = DecisionCosts()  # EUR: a review 3, a chargeback 15 beside the amount, a false decline 12
CAPACITY = 10.0  # alerts per thousand payments that the team can review
GENUINE = 20_000  # genuine rows of a fit; all frauds stay, weights keep the fraud share true
TREES = LightGBMParameters(rounds=100, learning_rate=0.06, max_bin=255, num_leaves=8)  # small, so that a fit takes a second
QUIET_DAYS = 10

METHODS: tuple[Method, ...] = ("class_weights", "under_sampling", "smote")
WEIGHTS = (4.0, 16.0, 64.0)  # of the sweep of scale_pos_weight
FITS: dict[str, dict[str, Any]] = {  # name -> how it is fitted
    **{method: {"method": method} for method in ("none", *METHODS)},
    "smote_filled": {"method": "smote"},
    **{f"weight_{weight:g}": {"method": "none", "weight": weight} for weight in WEIGHTS},
}


@dataclass(frozen=True)
class Attack:
    """Payments among which there is a kind of fraud that a classifier never saw. Arrays have shape (n, ...)."""

    features: Floats
    new: Flags  # frauds of that kind, by the world's own truth
    old: Flags  # frauds of the other kinds
    amount: Floats
    classifier: Floats  # scores of that classifier, higher is riskier


class Study:
    """One history, and what can be measured on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def here(cls) -> Self:
        return cls(Settings.load())

    # ---- rows

    @cached_property
    def train(self) -> TrainingTable:
        return self._table.part(self._split.train)

    @cached_property
    def validation(self) -> TrainingTable:
        return self._table.part(self._split.validation)

    @cached_property
    def test(self) -> TrainingTable:
        return self._table.part(self._split.test)

    def rows(self, seed: int) -> Rows:
        """What one fit learns from: every fraud of `train`, and GENUINE others that stand for all."""
        return thin_genuine(self.train, GENUINE, seed)

    # ---- models

    def fit(self, method: Method, seed: int, *, weight: float = 1.0, fill: Fill | None = None) -> tuple[Floats, Floats]:
        """Margins (log-odds) on validation and test. `weight`: LightGBM's scale_pos_weight. `fill`: replaces what is missing."""
        rows = self.rows(seed)
        filled = (lambda features: features) if fill is None else (lambda features: fill(rows.features, features))
        chosen = rebalance(Rows(filled(rows.features), rows.is_fraud, rows.weights), method, seed)
        # Judged on its own rows, every fit keeps all its rounds: early stopping would add its luck to the seed's.
        trees = fit_trees(chosen, chosen, replace(TREES, scale_pos_weight=weight), stop_after=TREES.rounds, seed=seed, threads=1)
        return margins(trees, filled(self.validation.features)), margins(trees, filled(self.test.features))

    def measure(self, name: str, seed: int, fill: Fill) -> dict[str, float]:
        """One of FITS on the test rows; only smote_filled uses `fill`.

        `promised`: frauds that its probabilities add up to, per real one. `saved`: EUR per thousand payments when each is reviewed
        that pays for its review by its probability; `saved_calibrated`: the same after Platt.
        """
        validation, test = self.fit(**FITS[name], seed=seed, fill=fill if name == "smote_filled" else None)
        y, amount = self.test.is_fraud, self.test.amount
        raw, calibrated = 1 / (1 + np.exp(-test)), fit_platt(validation, self.validation.is_fraud).probabilities(test)
        pays = [p * (amount + COSTS.chargeback_fee) > COSTS.review for p in (raw, calibrated)]
        return {
            "average_precision": average_precision(y, test),
            "roc_auc": roc_auc(y, test),
            "promised": float(raw.sum() / y.sum()),
            "brier": brier(y, raw),
            "saved": money_saved_per_thousand(y, pays[0], amount, COSTS),
            "saved_calibrated": money_saved_per_thousand(y, pays[1], amount, COSTS),
        }

    @cached_property
    def champion(self) -> Model:
        """The registered champion, verified: `.version`, `.policy`, `.score_many(features)`."""
        return self._champion[0]

    @property
    def champion_digest(self) -> str:
        """Identity of the champion's bundle: SHA-256 of its signed manifest."""
        return self._champion[1]

    def gate(self, seen: Floats, scores: Floats) -> GateVerdict:
        """The promotion gate on scores of `rows(0)` and of `test`, alerts from 0.5 on, against the champion with its policy."""
        rows, test = self.rows(0), self.test
        baseline = logistic_margin(fit_logistic(rows), rows.features)
        champion = self.champion.score_many(test.features)
        judge = Evaluator(test, COSTS, CAPACITY, resamples=50, seed=0)
        opponent = Scored(champion, champion, champion >= self.champion.policy.review_at)
        return judge_candidate(
            training_ap=average_precision(rows.is_fraud, seen, weights=rows.weights),
            baseline_training_ap=average_precision(rows.is_fraud, baseline, weights=rows.weights),
            champion=judge.compare(f"champion {self.champion.version}", Scored(scores, scores, scores >= 0.5), opponent),
            baselines=(),
            rule=GateRule(),
        )

    # ---- a new kind of fraud

    @cached_property
    def ordinary(self) -> Floats:
        """Features of 20,000 payments of `train` drawn at random, card testing left out, unlabelled: (n, features)."""
        chosen = np.flatnonzero(self._before_card_testing)
        return np.asarray(self._table.features[np.random.default_rng(0).choice(chosen, GENUINE, replace=False)])

    @cached_property
    def card_testing(self) -> Attack:
        """The test rows, and a classifier from before anybody tested cards: those frauds were taken out of its training rows."""
        rows = thin_genuine(self._table.rows(self._before_card_testing), GENUINE, 0)
        trees = fit_trees(rows, rows, TREES, stop_after=TREES.rounds, seed=0, threads=1)
        at = self._split.test.mask(self._table.event_s)
        fraud, kind = (facts[at] for facts in self._truth)
        new = fraud & (kind == "card_testing")
        return Attack(self.test.features, new, fraud & ~new, self.test.amount, margins(trees, self.test.features))

    @cached_property
    def quiet(self) -> Attack:
        """Ten days after the history in which new campaigns keep to the holder's phone, town and hours; the champion scores them."""
        stream, history = self._stream, History.load(self._settings.home / "history" / "snapshot")  # as training left it
        end = stream.live + timedelta(days=QUIET_DAYS)
        world = World(replace(stream.config, changes=(Change("new_tactic", stream.live),)))
        days = [world.day(stream.live + timedelta(days=day)) for day in range(QUIET_DAYS)]
        paid, labels, truth = (
            pd.concat([to_frame(day[kind], kind) for day in days], ignore_index=True) for kind in ("transactions", "labels", "truth")
        )
        earlier = stream.dataset.read("labels", stream.first, stream.live)
        after = earlier["report_time"] > pd.Timestamp(midnight(stream.live))  # the history knows the others
        reports = pd.concat([earlier[after], labels]).sort_values(["report_time", "transaction_id"], kind="stable")
        features, _ = build_features(paid, reports[reports["report_time"] <= pd.Timestamp(midnight(end))], history)
        fraud, kind = _truth_of(paid, truth)
        new = fraud & np.isin(kind, ["mule_merchant", "quiet_takeover"])
        amount = paid["amount_minor"].to_numpy(dtype=np.float64) / 100
        return Attack(features, new, fraud & ~new, amount, self.champion.score_many(features))

    # ---- read once

    @cached_property
    def _stream(self) -> Any:
        return open_stream(self._settings, None, 0)

    @cached_property
    def _split(self) -> Split:
        return split_at(midnight(self._stream.live), SplitPlan())

    @cached_property
    def _table(self) -> TrainingTable:
        """All rows with their features, kept by the digest of the days they come from: making them anew takes seconds."""
        stream, cut = self._stream, midnight(self._stream.live)
        columns = [field.name for field in fields(TrainingTable)]
        kept = self._settings.home / "cache" / "L04" / stream.dataset.digest(stream.first, stream.live)
        if not kept.is_dir():
            table, _ = dataset_table(stream.dataset, keep_from=self._split.train.start, until=cut, cut=cut)
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=kept.parent))
            for name in columns:
                np.save(partial / f"{name}.npy", getattr(table, name))
            with suppress(OSError):  # another process was first
                partial.rename(kept)
        return TrainingTable(*(np.load(kept / f"{name}.npy", mmap_mode="r") for name in columns))

    @cached_property
    def _truth(self) -> tuple[Flags, NDArray[Any]]:
        stream = self._stream
        paid, truth = (stream.dataset.read(kind, stream.first, stream.live) for kind in ("transactions", "truth"))
        return _truth_of(paid, truth)

    @property
    def _before_card_testing(self) -> Flags:
        fraud, kind = self._truth
        testing: Flags = fraud & (kind == "card_testing")
        return self._split.train.mask(self._table.event_s) & ~testing

    @cached_property
    def _champion(self) -> tuple[Model, str]:
        with Registry.of(self._settings) as registry, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            version = registry.alias(CHAMPION)
            assert version is not None  # `lab start` trained one
            registry.download(version, folder)
            manifest = verify_bundle(folder, key_folder=self._settings.home / "keys")
            return Model.load(folder, version), manifest.digest


def _truth_of(paid: pd.DataFrame, truth: pd.DataFrame) -> tuple[Flags, NDArray[Any]]:
    """Which payments are frauds, and of which kind of campaign: what no bank ever knows in full."""
    facts = truth.set_index("transaction_id").reindex(paid["transaction_id"])
    fraud: Flags = facts["is_fraud"].eq(True).to_numpy(dtype=bool)
    return fraud, facts["campaign_kind"].astype(object).to_numpy()


def riskiest(scores: Floats, per_thousand: float) -> NDArray[np.int64]:
    """Places of the `per_thousand` highest scores of a thousand, the highest first."""
    return np.argsort(-scores, kind="stable")[: int(len(scores) * per_thousand / 1000)]


def shared_alerts(classifier: Floats, strange: Floats, anomalies: float) -> Flags:
    """CAPACITY alerts per thousand: `anomalies` of them for what is strangest, the others for the classifier's riskiest."""
    alert = np.zeros(len(classifier), dtype=bool)
    alert[riskiest(classifier, CAPACITY - anomalies)] = True
    alert[riskiest(np.where(alert, -np.inf, strange), anomalies)] = True
    return alert


def saved(attack: Attack, alert: Flags) -> float:
    """EUR per thousand payments that reviewing these alerts saves."""
    return money_saved_per_thousand(attack.new | attack.old, alert, attack.amount, COSTS)
