"""What the features should be, worked out the slow way: lists, comprehensions and exact fractions, no windows in sight.

Shares no code with the kernel; only the names and the written meaning in `data/features.py`.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.features import FEATURES
from data.history import History, Payed
from data.schema import CATEGORIES, CHANNELS

HOUR, DAY = 3_600, 86_400
CARD_MEMORY, PRIOR, DELAY = 256, 10, 7 * DAY
CARD_WINDOWS = {"1h": HOUR, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
TERMINAL_WINDOWS = {"1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
EARTH_KM = 6371.0088


@dataclass(frozen=True)
class Payment:
    """One row, with the time its fraud became known (None: genuine, or never reported)."""

    transaction_id: str
    time: int
    card: str
    terminal: str
    amount: int
    channel: str = "chip"
    category: str = "grocery"
    latitude: float = math.nan
    longitude: float = math.nan
    device: str | None = None
    report_time: int | None = None


def tables(payments: Sequence[Payment]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The payments as the lab's tables, in the given order, and their labels in an unhelpful order."""
    moment = lambda seconds: pd.to_datetime(pd.Series(seconds, dtype="int64"), unit="s", utc=True).astype("datetime64[ms, UTC]")  # noqa: E731
    transactions = pd.DataFrame(
        {
            "transaction_id": pd.Series([p.transaction_id for p in payments], dtype="str"),
            "event_time": moment([p.time for p in payments]),
            "card_id": pd.Categorical([p.card for p in payments]),
            "terminal_id": pd.Categorical([p.terminal for p in payments]),
            "amount_minor": np.array([p.amount for p in payments], dtype=np.int64),
            "currency": pd.Categorical(["EUR"] * len(payments)),
            "channel": pd.Categorical([p.channel for p in payments]),
            "category": pd.Categorical([p.category for p in payments]),
            "latitude": np.array([p.latitude for p in payments], dtype=float),
            "longitude": np.array([p.longitude for p in payments], dtype=float),
            "device_id": pd.Categorical([p.device for p in payments]),
        }
    )
    known = {p.transaction_id: (p.time, p.report_time, True) for p in payments if p.report_time is not None}
    genuine = {p.transaction_id: (p.time, p.time + DAY, False) for p in payments if p.report_time is None}
    rows = sorted([(i, *facts) for i, facts in [*known.items(), *genuine.items()]], key=lambda row: str(row[0])[::-1])
    labels = pd.DataFrame(
        {
            "transaction_id": pd.Series([row[0] for row in rows], dtype="str"),
            "event_time": moment([row[1] for row in rows]),
            "report_time": moment([row[2] for row in rows]),
            "is_fraud": np.array([row[3] for row in rows], dtype=bool),
            "source": pd.Categorical(["chargeback"] * len(rows)),
        }
    )
    return transactions, labels


def in_order_of_arrival(payments: Iterable[Payment]) -> Iterable[tuple[Payment, list[Payment], bool]]:
    """Each payment with the frauds that became known before it, and whether its id came before. "Now" is the latest event time seen."""
    now, waiting, ids = -1, [], set()
    for payment in payments:
        now = max(now, payment.time)
        due = sorted((p for p in waiting if p.report_time <= now), key=lambda p: p.report_time)
        waiting = [p for p in waiting if p.report_time > now]
        repeat = payment.transaction_id in ids
        ids.add(payment.transaction_id)
        if not repeat and payment.report_time is not None:
            waiting.append(payment)
        yield payment, due, repeat


def payed(p: Payment) -> Payed:
    """The payment as a history takes it."""
    return p.card, p.terminal, p.time, p.amount, p.channel, p.category, p.latitude, p.longitude, p.device


def online(payments: Iterable[Payment], history: History) -> NDArray[np.float64]:
    """The payments one at a time, as the scoring service sees them; a repeat is answered from what was stored."""
    rows: dict[str, NDArray[np.float64]] = {}
    answers = []
    for p, due, repeat in in_order_of_arrival(payments):
        for fraud in due:
            history.report(card_id=fraud.card, terminal_id=fraud.terminal, report_time_s=fraud.report_time)
        if not repeat:
            rows[p.transaction_id] = history.advance(*payed(p))
        answers.append(rows[p.transaction_id])
    return np.array(answers)


def expected(payments: Iterable[Payment]) -> NDArray[np.float64]:
    """What every row's features should be, shape (n, FEATURE_COUNT)."""
    reference, rows, answers = _Reference(), {}, []
    for payment, due, repeat in in_order_of_arrival(payments):
        for fraud in due:
            reference.card_reports[fraud.card].append(fraud.report_time)
            reference.terminal_reports[fraud.terminal].append(fraud.report_time)
        if not repeat:
            features = reference.see(payment)
            assert set(features) == set(FEATURES)
            rows[payment.transaction_id] = [features[name] for name in FEATURES]
            reference.remember(payment, features["amount_to_card_mean"])
        answers.append(rows[payment.transaction_id])
    return np.array(answers)


def kilometres(a: Payment, b: Payment) -> float:
    """Great-circle distance by the haversine formula, NaN when either has no place."""
    if any(math.isnan(degrees) for degrees in (a.latitude, a.longitude, b.latitude, b.longitude)):
        return math.nan
    phi_a, phi_b, d_lambda = math.radians(a.latitude), math.radians(b.latitude), math.radians(b.longitude - a.longitude)
    h = math.sin((phi_b - phi_a) / 2) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(d_lambda / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def _largest(values: Iterable[float]) -> float:
    numbers = [v for v in values if not math.isnan(v)]
    return max(numbers) if numbers else math.nan


class _Reference:
    def __init__(self) -> None:
        self.card: dict[str, list[tuple[Payment, float]]] = defaultdict(list)  # remembered, with each one's ratio to habit
        self.gone: dict[str, list[Payment]] = defaultdict(list)  # no longer remembered one by one
        self.terminal: dict[str, list[Payment]] = defaultdict(list)
        self.card_reports: dict[str, list[int]] = defaultdict(list)
        self.terminal_reports: dict[str, list[int]] = defaultdict(list)

    def see(self, p: Payment) -> dict[str, float]:
        return {
            "amount": p.amount / 100,
            "hour": p.time % DAY / HOUR,
            "weekday": pd.Timestamp(p.time, unit="s").weekday(),
            "channel": CHANNELS.index(p.channel) if p.channel in CHANNELS else -1,
            "category": CATEGORIES.index(p.category) if p.category in CATEGORIES else -1,
            **self._card_windows(p),
            **self._habit(p),
            **self._recency(p),
            **self._terminal(p),
            **self._reports(p),
        }

    def _card_windows(self, p: Payment) -> dict[str, float]:
        seen = [(q, ratio) for q, ratio in self.card[p.card] if q.time <= p.time]
        inside = lambda seconds: [(q, r) for q, r in seen if q.time > p.time - seconds]  # noqa: E731
        found = {}
        for name, seconds in CARD_WINDOWS.items():
            window = [q for q, _ in inside(seconds)]
            total = Fraction(sum(q.amount for q in window), 100)
            found[f"card_count_{name}"] = len(window)
            found[f"card_sum_{name}"] = float(total)
            found[f"card_mean_{name}"] = float(total / len(window)) if window else math.nan
            found[f"card_terminals_{name}"] = len({q.terminal for q in window})
            found[f"card_distance_km_{name}"] = _largest(kilometres(p, q) for q in window)
        for days in (7, 30):
            found[f"card_max_{days}d"] = _largest(q.amount / 100 for q, _ in inside(days * DAY))
        for days in (7, 14, 28):
            found[f"card_max_ratio_{days}d"] = _largest(float(np.float32(r)) for _, r in inside(days * DAY))
        return found

    def _habit(self, p: Payment) -> dict[str, float]:
        life = [q.amount for q in self.gone[p.card]] + [q.amount for q, _ in self.card[p.card] if q.time <= p.time]
        first = min((q.time for q in self.gone[p.card] + [q for q, _ in self.card[p.card]]), default=math.inf)
        mean = Fraction(sum(life), len(life)) if life else None
        spread = math.sqrt(statistics.variance([Fraction(a) for a in life])) if len(life) > 1 else 0.0
        return {
            "amount_to_card_mean": float(p.amount / mean) if mean else math.nan,
            "amount_to_card_max": p.amount / max(life) if life and max(life) > 0 else math.nan,
            "amount_to_card_deviation": float(p.amount - mean) / spread if spread > 0 else math.nan,
            "card_age_days": (p.time - first) / DAY if life and first <= p.time else math.nan,
        }

    def _recency(self, p: Payment) -> dict[str, float]:
        seen = [q for q, _ in self.card[p.card] if q.time <= p.time]
        since = lambda times: p.time - max(times) if times else math.nan  # noqa: E731
        located = [q for q in seen if not math.isnan(kilometres(p, q))]
        hours = max(p.time - located[-1].time, 1) / HOUR if located else math.nan
        return {
            "seconds_since_card": since([q.time for q in seen]),
            "seconds_since_card_terminal": since([q.time for q in seen if q.terminal == p.terminal]),
            "seconds_since_card_device": since([q.time for q in seen if p.device is not None and q.device == p.device]),
            "speed_kmh": kilometres(p, located[-1]) / hours if located else math.nan,
        }

    def _terminal(self, p: Payment) -> dict[str, float]:
        between = lambda a, b: [q.amount for q in self.terminal[p.terminal] if p.time - a < q.time <= p.time - b]  # noqa: E731
        month = between(30 * DAY, 0)
        found = {f"terminal_count_{name}": len(between(s, 0)) for name, s in {"1h": HOUR, **TERMINAL_WINDOWS}.items()}
        found["amount_to_terminal_mean"] = p.amount / float(Fraction(sum(month), len(month))) if month and sum(month) else math.nan
        for name, seconds in TERMINAL_WINDOWS.items():
            reports = [r for r in self.terminal_reports[p.terminal] if p.time - seconds < r <= p.time]
            found[f"terminal_reports_{name}"] = len(reports)
            found[f"terminal_risk_{name}"] = len(reports) / (len(between(DELAY + seconds, DELAY)) + PRIOR)
        return found

    def _reports(self, p: Payment) -> dict[str, float]:
        at_terminal = [r for r in self.terminal_reports[p.terminal] if r <= p.time]
        on_card = [r for r in self.card_reports[p.card] if r <= p.time]
        return {
            "days_since_terminal_report": (p.time - max(at_terminal)) / DAY if at_terminal else math.nan,
            "days_since_card_report": (p.time - max(on_card)) / DAY if on_card else math.nan,
            "card_reports_30d": len([r for r in on_card if r > p.time - 30 * DAY]),
        }

    def remember(self, p: Payment, ratio: float) -> None:
        """Sorted by time, then arrival. One day of grace for late payments; what falls out of a card is kept in its totals."""
        card = sorted([*self.card[p.card], (p, ratio)], key=lambda pair: pair[0].time)
        latest = card[-1][0].time
        keep = [pair for pair in card if pair[0].time > latest - 31 * DAY][-CARD_MEMORY:]
        self.gone[p.card] += [pair[0] for pair in card[: len(card) - len(keep)]]
        self.card[p.card] = keep
        terminal = sorted([*self.terminal[p.terminal], p], key=lambda q: q.time)
        self.terminal[p.terminal] = [q for q in terminal if q.time > terminal[-1].time - 38 * DAY]
        for reports, last in ((self.card_reports[p.card], latest), (self.terminal_reports[p.terminal], terminal[-1].time)):
            old = sorted(r for r in reports if r <= last - 31 * DAY)
            for forgotten in old[:-1]:
                reports.remove(forgotten)
