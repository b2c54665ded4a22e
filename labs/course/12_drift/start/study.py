"""The payments and models of this lab: read it, use it, leave it as it is.

`Study.here()` reads the history that `lab start` made, scored and with its features, and what the service has served since. A window
and its reference are frames with INPUTS among their columns, in order of time. Everything is seeded.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.bundle import Model
from data.dataset import to_frame
from data.features import FEATURES
from data.history import build_features
from data.ids import are_among
from data.prediction_frames import window_frame
from data.registry import CHAMPION, Registry
from data.settings import Settings
from data.world import Change, World
from labs.stream import Stream, midnight, open_stream
from pipelines.metrics import average_precision
from pipelines.monitoring.parity import compare
from pipelines.monitoring.profile import CATEGORICAL, WATCHED
from pipelines.monitoring.report import default_alarm
from pipelines.training.boost import fit_trees
from pipelines.training.parameters import LightGBMParameters
from pipelines.training.resample import Rows

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
INPUTS: Final = tuple(name for name, role in WATCHED.items() if role != "score")  # what an input monitor watches: eleven columns
SIZES: Final = ((1_000, 500), (1_000, 2_000), (20_000, 500), (20_000, 10_000))  # payments of a reference, and of a window
BURN_IN: Final = timedelta(days=7)  # at first no card has a past
REFERENCE_DAYS: Final = 14
TREES = LightGBMParameters(rounds=40, learning_rate=0.06, max_bin=255, num_leaves=8)  # small: a fit takes half a second
FORTNIGHTS: Final = 8  # quiet ones, a model retrained on each
SEEDS: Final = 5
GENUINE: Final = 10_000
EXPLAINED: Final = 2_000  # payments that a summary of importances rests on
NEVER = datetime(2999, 1, 1, tzinfo=UTC)

EVIDENTLY_WINDOWS: Final = 12
NIGHT: Final = (1, 5)  # hours of the alert of step 2, UTC


class Pair(NamedTuple):
    """A window and what it is compared with."""

    window: pd.DataFrame
    reference: pd.DataFrame


class Study:
    """One system: its history, what it served, its champion."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def here(cls) -> Self:
        return cls(Settings.load())

    # ---- payments

    @cached_property
    def history(self) -> pd.DataFrame:
        """Quiet payments up to a label's delay before the first one served: event_time and INPUTS."""
        frame = self._kept("history")
        return frame[frame["event_time"] >= frame["event_time"].min().floor("D") + BURN_IN].reset_index(drop=True)

    @cached_property
    def served(self) -> pd.DataFrame:
        """What the service has answered so far, from the prediction log."""
        return window_frame(self._settings.log_place, midnight(self.stream.live), NEVER)

    @cached_property
    def stream(self) -> Stream:
        return open_stream(self._settings, None, 0)

    @property
    def incident(self) -> Pair:
        """The last week served, against the two weeks before it, history included."""
        end = self.served["event_time"].max().floor("D") + timedelta(days=1)
        every = pd.concat([self.history, self.served[self.history.columns]], ignore_index=True)
        start = end - timedelta(days=7)
        return Pair(between(every, start, end), between(every, start - timedelta(days=REFERENCE_DAYS), start))

    def invented(self, column: str, dimension: str, level: str, factor: float, begins: int, day: int) -> tuple[Pair, str]:
        """An incident to practise on, and its first day: a quiet week that begins so many days into the history, against two weeks before.

        From that day (0 to 6) of the week on, `column` of the payments of this level is multiplied by `factor`.
        """
        start = self.history["event_time"].min().floor("D") + timedelta(days=begins)
        window = between(self.history, start, start + timedelta(days=7))
        since = start + timedelta(days=day)
        hit = (window[dimension] == level) & (window["event_time"] >= since)
        window = window.assign(**{column: window[column].mask(hit, factor * window[column])})
        return Pair(window, between(self.history, start - timedelta(days=REFERENCE_DAYS), start)), f"{since:%Y-%m-%d}"

    def shuffled(self, reference: int, window: int, count: int, seed: int = 0) -> Iterator[Pair]:
        """So many quiet windows of payments drawn at random from the history, with references of other payments of it."""
        draw = np.random.default_rng([seed, reference, window])
        for _ in range(count):
            rows = draw.choice(len(self.history), reference + window, replace=False)
            yield Pair(self.history.iloc[np.sort(rows[reference:])], self.history.iloc[np.sort(rows[:reference])])

    def real(self, days: int, every: int) -> Iterator[Pair]:
        """Quiet windows as they came: `days` of the history, one window for `every` days, each against the 14 days before it."""
        first, end = self.history["event_time"].min().floor("D"), self.history["event_time"].max().floor("D")
        start = first + timedelta(days=REFERENCE_DAYS)
        while start + timedelta(days=days) <= end + timedelta(days=1):
            yield Pair(
                between(self.history, start, start + timedelta(days=days)),
                between(self.history, start - timedelta(days=REFERENCE_DAYS), start),
            )
            start += timedelta(days=every)

    def unseen(self) -> Iterator[Pair]:
        """The seven days that were served first, against the last 14 of the history."""
        reference = self.history[self.history["event_time"] >= self.history["event_time"].max().floor("D") - timedelta(days=13)]
        for day in range(7):
            yield Pair(self._served_days(day, day + 1), reference)

    def _served_days(self, first: int, end: int) -> pd.DataFrame:
        live = midnight(self.stream.live)
        return between(self.served[self.history.columns], live + timedelta(days=first), live + timedelta(days=end))

    def nights(self) -> Iterator[Pair]:
        """The small hours of every other quiet day, the last one served among them, each with the 15 days before it."""
        every = pd.concat([self.history, self._served_days(0, 7)[self.history.columns]], ignore_index=True)
        for day in every["event_time"].dt.floor("D").unique()[: REFERENCE_DAYS - 1 : -2][::-1]:
            start, end = (day + timedelta(hours=hour) for hour in NIGHT)
            yield Pair(between(every, start, end), between(every, day - timedelta(days=15), start))

    # ---- the champion

    @cached_property
    def champion(self) -> Model:
        """`.score_many(features)`, `.policy`, `.version`."""
        with Registry.of(self._settings) as registry:
            version = registry.alias(CHAMPION)
        assert version is not None  # `lab start` trained one
        return Model.load(self._settings.home / "models" / version, version)

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The last 14 days of the history: FEATURES as the champion takes them, channel and category as codes, and `is_fraud`."""
        return self._kept("judged")

    @property
    def features(self) -> pd.DataFrame:
        """FEATURES of the judged payments."""
        return self.judged[list(FEATURES)]

    def score(self, rows: pd.DataFrame) -> pd.Series:
        """The champion's scores of such features."""
        return pd.Series(self.champion.score_many(_matrix(rows)), name="score")

    def average_precision(self, rows: pd.DataFrame) -> float:
        """Of the champion on the judged payments, had their features been these."""
        return average_precision(self.judged["is_fraud"].to_numpy(), self.score(rows).to_numpy())

    def not_replayed(self, rows: pd.DataFrame) -> float:
        """Share of payments with features that the batch path, computing them again, does not give (`pipelines/monitoring/parity.py`)."""
        return compare(self.judged["transaction_id"], _matrix(rows), _matrix(self.features)).differing / len(rows)

    # ---- Evidently

    def evidently(self, reference: int, window: int, count: int, alter: Callable[[pd.DataFrame], pd.DataFrame] = lambda w: w) -> float:
        """Share of such windows in which Evidently's defaults call any of INPUTS drifted."""

        def ask() -> float:
            hits = sum(default_alarm(alter(pair.window), pair.reference, INPUTS) for pair in self.shuffled(reference, window, count))
            return hits / count

        return float(self._kept_json(f"evidently {reference} {window} {count} {alter.__name__}", ask))

    # ---- retrained models

    def importances(self, kind: str) -> Floats:
        """Summaries of importances, (models, features): the mean absolute SHAP value of each of FEATURES, summing to 1.

        `kind`: "quiet": one model for each of FORTNIGHTS quiet fortnights that follow the history, trained and explained on it, as a
        retraining every fortnight would; "new_tactic": the model of one more, in which fraudsters keep to the holder's own phone, town
        and hours; "seeds": SEEDS models of the first fortnight, which differ in nothing but the seed; "champion": the champion itself,
        never retrained, on the first fortnight and on the one of the new tactic.
        """
        return np.array(self._kept_json("importances", self._explain)[kind])

    def _explain(self) -> dict[str, list[list[float]]]:
        import lightgbm

        spans = self._fortnights()
        found: dict[str, list[list[float]]] = {"quiet": [], "new_tactic": [], "seeds": [], "champion": []}
        text = (self._settings.home / "models" / self.champion.version / "model.lgb").read_text()
        champion = lightgbm.Booster(model_str=text)
        for number, (features, fraud) in enumerate(spans):
            drifted = number == FORTNIGHTS
            found["new_tactic" if drifted else "quiet"].append(_summary(_retrain(features, fraud, 0), features))
            if number == 0:
                found["seeds"] = [_summary(_retrain(features, fraud, seed), features) for seed in range(SEEDS)]
            if number == 0 or drifted:
                found["champion"].append(_summary(champion, features))
        return found

    def _fortnights(self) -> Iterator[tuple[Floats, Flags]]:
        """Features of FORTNIGHTS quiet fortnights and one of a new tactic, and what was reported as fraud; one in memory at a time."""
        stream = self.stream
        paid, labels = (stream.dataset.read(kind, stream.first, stream.live) for kind in ("transactions", "labels"))
        _, history = build_features(paid, labels)
        turn = stream.live + timedelta(days=14 * FORTNIGHTS)
        world = World(replace(stream.config, changes=(Change("new_tactic", turn),)))
        for number in range(FORTNIGHTS + 1):
            days = [world.day(stream.live + timedelta(days=14 * number + day)) for day in range(14)]
            paid, labels = (
                pd.concat([to_frame(day[kind], kind) for day in days], ignore_index=True) for kind in ("transactions", "labels")
            )
            features, history = build_features(paid, labels.sort_values(["report_time", "transaction_id"], kind="stable"), history)
            yield features, are_among(paid["transaction_id"], labels.loc[labels["is_fraud"], "transaction_id"])

    # ---- kept, as making them takes seconds

    def _make(self) -> dict[str, pd.DataFrame]:
        stream = self.stream
        paid = stream.dataset.read("transactions", stream.first, stream.live - timedelta(days=self._settings.label_delay_days))
        labels = stream.dataset.labels_known_by(midnight(stream.live), stream.first, stream.live)
        features, _ = build_features(paid, labels)
        fraud = are_among(paid["transaction_id"], labels.loc[labels["is_fraud"], "transaction_id"])
        facts = paid[["event_time", "transaction_id"]].assign(is_fraud=fraud)
        numbers = pd.DataFrame(features, columns=list(FEATURES), index=paid.index)
        words = {name: paid[name] for name in INPUTS if name in CATEGORICAL}
        late = paid["event_time"] >= paid["event_time"].max().floor("D") - timedelta(days=REFERENCE_DAYS - 1)
        every = pd.concat([facts["event_time"], numbers[list(INPUTS)].assign(**words)], axis=1)
        return {"history": every, "judged": pd.concat([facts, numbers], axis=1)[late].reset_index(drop=True)}

    def _kept(self, name: str) -> pd.DataFrame:
        if not self._place(name, "parquet").exists():
            for part, frame in self._make().items():
                _whole(self._place(part, "parquet"), frame.to_parquet)
        return pd.read_parquet(self._place(name, "parquet"))

    def _kept_json(self, name: str, make: Callable[[], Any]) -> Any:
        file = self._place(name, "json")
        if not file.exists():
            _whole(file, lambda partial: partial.write_text(json.dumps(make())))
        return json.loads(file.read_text())

    def _place(self, name: str, suffix: str) -> Path:
        facts = [self.stream.dataset.digest(self.stream.first, self.stream.live), Path(__file__).read_text(), name]
        return self._settings.home / "cache" / "L12" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}.{suffix}"


def dearer(window: pd.DataFrame) -> pd.DataFrame:
    """Amounts a quarter higher, and what is made of them."""
    names = ("amount", "amount_to_card_mean", "amount_to_terminal_mean")
    return window.assign(**{name: window[name] * 1.25 for name in names})


def moved_online(window: pd.DataFrame) -> pd.DataFrame:
    """One in ten of the purchases in a shop is made online."""
    moved = (window["channel"] != "online").to_numpy() & (np.random.default_rng(0).random(len(window)) < 0.1)
    return window.assign(channel=window["channel"].astype(object).mask(moved, "online"))


def forgotten(window: pd.DataFrame) -> pd.DataFrame:
    """The habit of one card in twenty is not found: its feature is missing."""
    return window.assign(amount_to_card_mean=window["amount_to_card_mean"].mask(np.random.default_rng(0).random(len(window)) < 0.05))


# What a monitor must see, and the column that it must name.
DRIFTS: Final = {"amounts × 1.25": (dearer, "amount"), "1 in 10 moves online": (moved_online, "channel"),
                 "5 % lose a feature": (forgotten, "amount_to_card_mean")}  # fmt: skip


def _matrix(rows: pd.DataFrame) -> Floats:
    return np.ascontiguousarray(rows[list(FEATURES)].to_numpy(dtype=np.float64))


def between(frame: pd.DataFrame, start: Any, end: Any) -> pd.DataFrame:
    """The rows of [start, end)."""
    time = frame["event_time"]
    return frame[(time >= pd.Timestamp(start)) & (time < pd.Timestamp(end))].reset_index(drop=True)


def _retrain(features: Floats, fraud: Flags, seed: int) -> Any:
    """A small model of every fraud and GENUINE others, which stand for all."""
    genuine, frauds = np.flatnonzero(~fraud), np.flatnonzero(fraud)
    kept = np.append(np.random.default_rng(seed).choice(genuine, GENUINE, replace=False), frauds)
    weights = np.append(np.full(GENUINE, len(genuine) / GENUINE), np.ones(len(frauds)))
    table = Rows(features[kept], fraud[kept], weights)
    return fit_trees(table, table, TREES, stop_after=TREES.rounds, seed=seed, threads=1)


def _summary(trees: Any, features: Floats) -> list[float]:
    chosen = np.random.default_rng(0).choice(len(features), EXPLAINED, replace=False)
    values = np.abs(np.asarray(trees.predict(features[chosen], pred_contrib=True, num_threads=1))[:, :-1]).mean(axis=0)
    return [float(value) for value in values / values.sum()]


def _whole(file: Path, write: Callable[[Path], Any]) -> None:
    """Written whole or not at all; another process may be as far."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{id(file):x}.partial")
    write(partial)
    with suppress(OSError):
        partial.replace(file)
