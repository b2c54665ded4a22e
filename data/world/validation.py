"""Is the world believable? Measures of drawn days against bands taken from real card data, and a hunt for leaks.

Pure functions of frames, for the tests (a small draw), `python -m tests.bench.world` (a large one) and anyone who
changes a habit or a tactic. Bands: the ULB, IEEE-CIS and Worldline figures in the comments; everything without a
source is the lab's own requirement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BURST_S: Final = 600
NOISE: Final = 4.0  # standard errors that a leak may seem to have by chance: one false alarm in 16,000


@dataclass(frozen=True)
class Finding:
    """One measure of a world and the band it should lie in."""

    name: str
    value: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        return self.low <= self.value <= self.high


def answered(transactions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Transactions with the truth beside them; only validation may join the two."""
    frame = transactions.merge(truth, on="transaction_id", validate="one_to_one")
    frame["second"] = frame["event_time"].astype("int64") / 1000.0
    return frame


def realism(frame: pd.DataFrame) -> list[Finding]:
    """The bands of real data. `frame` is what `answered` gives, at least two weeks of days."""
    fraud = frame["is_fraud"].to_numpy()
    amount = frame["amount_minor"].to_numpy()
    return [
        Finding("AUC of the amount alone", roc_auc(fraud, amount), 0.45, 0.65),  # ULB 0.56, IEEE 0.50
        Finding("AUC of the best single column", best_single_column(frame), 0.5, 0.90),
        Finding("burst ratio, fraud over genuine", burst_ratio(frame), 1.5, 4.0),  # IEEE 24 % over 12 %
        Finding("repeat-fraud lift", repeat_lift(frame), 10, 40),  # IEEE 24
        Finding("hourly peak of the fraud rate", hourly_peak(frame), 2, 10),  # IEEE 3, ULB 10
        Finding("fraud card-days with genuine rows", mixed_card_days(frame), 0.2, 0.95),  # a well-known simulator: 0
        Finding("median amount, fraud over genuine", float(np.median(amount[fraud]) / np.median(amount[~fraud])), 0.4, 1.8),
        Finding("quarter of frauds below, EUR", float(np.quantile(amount[fraud], 0.25)) / 100, 1, 20),  # ULB 1.00
    ]


def leaks(frame: pd.DataFrame) -> list[Finding]:
    """Things that must know nothing: AUC 0.5 within chance.

    One fraud per campaign and per terminal, since those are alike; the honest side counts as Kish's effective number of
    terminals, since a busy shop's price endings and id recur in thousands of rows.
    """
    fraud = frame["is_fraud"]
    own = frame[fraud].drop_duplicates("campaign_id").drop_duplicates("terminal_id")
    sample = frame[~fraud | frame.index.isin(own.index)]
    answer = sample["is_fraud"].to_numpy()
    traffic = frame.loc[~fraud, "terminal_id"].value_counts(normalize=True).to_numpy()
    error = NOISE * np.sqrt((1 / len(own) + float((traffic**2).sum())) / 12)
    minute = sample.groupby(sample["second"] // 60)["second"]
    known: dict[str, NDArray[np.float64]] = {
        "transaction id": _token_number(sample["transaction_id"]),
        "card id": _token_number(sample["card_id"]),
        "terminal id": _token_number(sample["terminal_id"]),
        "cents of the amount": (sample["amount_minor"] % 100).to_numpy(float),
        "amount a whole number": np.asarray(sample["amount_minor"] % 100 == 0, float),
        "milliseconds": (sample["second"] % 1).to_numpy(float),
        "order within the minute": ((minute.rank(method="first") - 0.5) / minute.transform("size")).to_numpy(float),
    }
    areas = {name: roc_auc(answer, score) for name, score in known.items()}
    for column in ("latitude", "device_id", "category"):
        areas[f"{column} missing, channel by channel"] = _missing_within_channels(sample, column)
    return [Finding(f"leak: {name}", area, 0.5 - error, 0.5 + error) for name, area in areas.items()]


def independence(frame: pd.DataFrame) -> list[Finding]:
    """Pairs that share a cause in careless generators: mutual information in bits, less what chance alone would give."""
    day = (frame["second"] // 86_400).astype("int64")
    honest = ~frame["is_fraud"]
    category, digit = frame["category"].cat.codes, frame["amount_minor"] % 10
    pairs: dict[str, tuple[pd.Series, pd.Series]] = {
        "category and date": (category[honest], day[honest]),
        "channel and date": (frame["channel"].cat.codes[honest], day[honest]),
        "last digit of the amount and date": (digit, day),
        "seconds of the minute and category": ((frame["second"] % 60).astype("int64"), category),
    }
    return [
        Finding(f"bits shared by {name}", mutual_information(a.to_numpy(), b.to_numpy()), -0.004, 0.010) for name, (a, b) in pairs.items()
    ]


def labelling(frame: pd.DataFrame, labels: pd.DataFrame) -> list[Finding]:
    """How late, partial and noisy the labels are."""
    told = labels.merge(frame[["transaction_id", "is_fraud"]], on="transaction_id", suffixes=("", "_truth"))
    days = (told["report_time"] - told["event_time"]).dt.total_seconds() / 86_400
    real = told["is_fraud_truth"]
    claimed = told["is_fraud"]
    return [
        Finding("median delay of a label, days", float(days[real].median()), 2, 10),
        Finding("frauds reported within a day", float((days[real] < 1).mean()), 0.15, 0.5),
        Finding("longest delay, days", float(days.max()), 20, 90.001),
        Finding("frauds never reported", 1 - real.sum() / frame["is_fraud"].sum(), 0.03, 0.20),
        Finding("fraud labels that are wrong", float((claimed & ~real).sum() / claimed.sum()), 0.02, 0.15),
    ]


def roc_auc(answer: NDArray[np.bool_], score: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Area under the ROC curve by ranks, ties at half (Mann and Whitney 1947)."""
    ranks = pd.Series(score).rank().to_numpy()
    positives = int(answer.sum())
    negatives = len(answer) - positives
    return float((ranks[answer].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_single_column(frame: pd.DataFrame) -> float:
    """The best AUC of any column, either way round: levels scored by their fraud rate on odd days, judged on even ones.

    An id met on even days only has no rate and is left out: that an id is new is a fact of history, not of the column.
    """
    odd = (frame["second"] // 86_400 % 2 == 1).to_numpy()
    fraud = frame["is_fraud"].to_numpy()
    judged = fraud[~odd]
    columns = {
        "amount": frame["amount_minor"] // 500,
        "hour": frame["second"] % 86_400 // 3600,
        "weekday": frame["event_time"].dt.weekday,
        **{name: frame[name].astype("object").fillna("none") for name in ("channel", "category", "card_id", "terminal_id", "device_id")},
    }
    best = roc_auc(judged, frame["amount_minor"].to_numpy()[~odd])
    for values in columns.values():
        rate = pd.Series(fraud[odd]).groupby(values.to_numpy()[odd]).mean()
        score = values[~odd].map(rate).to_numpy(float)
        met = np.isfinite(score)
        area = roc_auc(judged[met], score[met])
        best = max(best, area, 1 - area)
    return best


def burst_ratio(frame: pd.DataFrame) -> float:
    """Share of frauds within ten minutes of the card's previous payment, over the same share of genuine payments."""
    wait = frame["second"] - frame.groupby("card_id", observed=True)["second"].shift()
    soon = (wait < BURST_S).to_numpy()
    fraud = frame["is_fraud"].to_numpy()
    return float(soon[fraud].mean() / soon[~fraud].mean())


def repeat_lift(frame: pd.DataFrame) -> float:
    """P(fraud | the card's previous payment was fraud) over P(fraud | it was not)."""
    before = frame.groupby("card_id", observed=True)["is_fraud"].shift()
    fraud = frame["is_fraud"].to_numpy()
    return float(fraud[(before == True).to_numpy()].mean() / fraud[(before == False).to_numpy()].mean())  # noqa: E712 - missing is neither


def hourly_peak(frame: pd.DataFrame) -> float:
    """Highest fraud rate of an hour of the day over the mean rate."""
    rate = frame.groupby(frame["second"] % 86_400 // 3600)["is_fraud"].mean()
    return float(rate.max() / frame["is_fraud"].mean())


def mixed_card_days(frame: pd.DataFrame) -> float:
    """Share of the card-days with fraud that hold a genuine payment too."""
    share = frame.groupby([frame["card_id"].cat.codes, frame["second"] // 86_400])["is_fraud"].mean()
    return float((share[share > 0] < 1).mean())


def mutual_information(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Bits that two columns share, less the bias (r - 1)(c - 1) / 2n of the plain estimate (Miller 1955)."""
    table = pd.crosstab(a, b).to_numpy().astype(float)
    n = table.sum()
    expected = np.outer(table.sum(1), table.sum(0)) / n
    seen = table > 0
    nats = float((table[seen] * np.log(table[seen] / expected[seen])).sum() / n)
    bias = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * n)
    return float((nats - bias) / np.log(2))


def _token_number(ids: pd.Series) -> NDArray[np.float64]:
    last_eight: Callable[[str], int] = lambda token: int(token[-8:], 16)  # noqa: E731
    return ids.astype("object").map(last_eight).to_numpy(float)


def _missing_within_channels(frame: pd.DataFrame, column: str) -> float:
    """AUC of "this field is empty" within each channel, averaged over the frauds. `unknown` counts as empty."""
    empty = frame[column].isna() | (frame[column].astype("object") == "unknown")
    areas, weights = [], []
    for _, rows in frame.assign(empty=empty).groupby("channel", observed=True):
        fraud = rows["is_fraud"].to_numpy()
        if fraud.any():
            areas.append(roc_auc(fraud, rows["empty"].to_numpy(float)))
            weights.append(fraud.sum())
    return float(np.average(areas, weights=weights))
