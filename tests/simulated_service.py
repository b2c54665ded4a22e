"""A scoring service, its payments and its labels on a virtual clock: weeks of event time in a second, each fault a switch.

It plays the parts that a rollout meets (traffic, evidence source, notify, preflight) and follows the serving plan that it is handed.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from data.errors import BundleRefused
from data.serving_plan import ServingPlan, card_position
from pipelines.rollout.evidence import APPROVE, DECLINE, REVIEW, Reports, Served
from pipelines.rollout.preflight import Preflight
from tests.fakes import FakeRegistry

START = datetime(2026, 3, 2, tzinfo=UTC)
CARDS = 4_000


@dataclass(frozen=True)
class Model:
    """How a model behaves: shares of frauds and of genuine payments it alerts on, and its faults per payment."""

    recall: float = 0.45
    false_alerts: float = 0.007
    fails: float = 0.0
    infinite: float = 0.0
    slow: float = 0.002
    score_factor: float = 1.0


@dataclass(frozen=True)
class Faults:
    """What goes wrong around the models. Days count from the start."""

    no_payments_after: float = 1e4
    no_labels_after: float = 1e4
    traffic_ends_after: float = 1e4
    lost_cards_of_challenger: float = 0.0  # share of its cards whose payments never reach the log
    breaks_after: float = 1e4  # the challenger behaves like `broken` from then on
    broken: Model = Model()
    wrong_arm: float = 0.0  # share of payments answered by the other arm
    other_challenger: str = ""  # the version that the service really loaded
    trouble: str = ""
    damaged: str = ""  # what the preflight finds wrong with the challenger's bundle


class SimulatedService:
    """Champion "1", challenger "2". `alike`: share of payments on which the two models think the same;
    `label_delay_days`: median of a lognormal delay."""

    def __init__(
        self,
        registry: FakeRegistry,
        champion: Model,
        challenger: Model,
        *,
        faults: Faults = Faults(),
        alike: float = 0.7,
        per_day: int = 8_000,
        label_delay_days: float = 4.0,
        seed: int = 1,
    ) -> None:
        self.registry, self.champion, self.challenger, self.faults = registry, champion, challenger, faults
        self.alike, self.per_day, self.label_delay_days = alike, per_day, label_delay_days
        self.random = np.random.default_rng(seed)
        self.now = START
        self.serving: ServingPlan | None = None
        self.notified = 0
        self.plans: list[ServingPlan] = []
        self.asked: list[tuple[datetime, datetime]] = []  # (now, known_by) of every look at the labels
        self._chunks: list[Served] = []
        self._reports: list[Reports] = []
        self._pay(0, int(START.timestamp()), int(START.timestamp()))  # an empty log

    # --- what a rollout calls

    def inspect(self, version: str) -> Preflight:
        if self.faults.damaged:
            raise BundleRefused(self.faults.damaged, next_step="Register it again.", where=version)
        return Preflight(version, files=9, size_bytes=800_000, feature_schema="0" * 64, golden_rows=20, load_s=0.05)

    def notify(self, plan: ServingPlan) -> None:
        self.notified += 1
        self.serving = plan
        self.plans.append(plan)

    def traffic(self, until: datetime) -> datetime:
        end = min(until, START + timedelta(days=self.faults.traffic_ends_after))
        if end > self.now:
            days = (end - self.now) / timedelta(days=1)
            silent = (self.now - START) / timedelta(days=1) >= self.faults.no_payments_after
            count = 0 if silent else int(self.random.poisson(self.per_day * days))
            self._pay(count, int(self.now.timestamp()), int(end.timestamp()))
            self.now = end
        return self.now

    def served(self, start: datetime, end: datetime) -> Served:
        low, high = start.timestamp(), end.timestamp()
        chunks = [c.where((c.event_time_s >= low) & (c.event_time_s < high)) for c in self._chunks]
        chunks = [c for c in chunks if len(c)] or self._chunks[:1]
        return Served(**{f.name: np.concatenate([getattr(c, f.name) for c in chunks]) for f in fields(Served)})

    def reports(self, known_by: datetime) -> Reports:
        self.asked.append((self.now, known_by))
        ids = np.concatenate([r.transaction_id for r in self._reports])
        times = np.concatenate([r.report_time_s for r in self._reports])
        known = times <= known_by.timestamp()
        return Reports(ids[known], times[known], np.ones(int(known.sum()), dtype=bool))

    def trouble(self) -> str:
        return self.faults.trouble

    # --- how payments come about

    def _pay(self, count: int, start_s: int, end_s: int) -> None:
        random, faults = self.random, self.faults
        broken = (self.now - START) / timedelta(days=1) >= faults.breaks_after
        champion, challenger = self.champion, faults.broken if broken else self.challenger
        serving = self.serving or ServingPlan(0, "1")
        times = np.sort(random.integers(start_s, max(end_s, start_s + 1), count))
        cards = np.array([f"card_{c}" for c in random.integers(0, CARDS, count)], dtype=object)
        fraud = random.random(count) < 0.005
        same = random.random(count) < self.alike
        mind = random.random(count)
        score = {"champion": self._score(champion, fraud, mind)}
        score["challenger"] = self._score(challenger, fraud, np.where(same, mind, random.random(count)))
        score["challenger"][random.random(count) < challenger.fails] = np.nan
        score["challenger"][random.random(count) < challenger.infinite] = np.inf
        score["champion"][random.random(count) < champion.fails] = np.nan
        own = {arm: np.where(s >= 0.75, DECLINE, np.where(s >= 0.2, REVIEW, APPROVE)).astype(np.int8) for arm, s in score.items()}
        theirs = np.array([serving.arm(card) == "challenger" for card in cards], dtype=bool)
        theirs ^= random.random(count) < faults.wrong_arm
        theirs &= np.isfinite(score["challenger"])
        share_slow = np.where(theirs, challenger.slow, champion.slow)
        decision = np.where(theirs, own["challenger"], own["champion"]).astype(np.int8)
        version = (faults.other_challenger or serving.challenger or "") if serving.mode != "champion_only" else ""
        rows = Served(
            transaction_id=np.array([f"tx_{start_s}_{i}" for i in range(count)], dtype=object),
            card_id=cards,
            event_time_s=times.astype(np.int64),
            amount=np.round(random.lognormal(4.2, 0.9, count), 2),
            rollout_id=np.full(count, serving.rollout_id, dtype=object),
            epoch=np.full(count, serving.epoch, dtype=np.int64),
            champion_version=np.full(count, serving.champion, dtype=object),
            challenger_version=np.full(count, version, dtype=object),
            by_challenger=theirs,
            champion_score=score["champion"],
            challenger_score=score["challenger"],
            champion_decision=own["champion"],
            challenger_decision=own["challenger"],
            decision=decision,
            latency_ms=np.where(random.random(count) < share_slow, 80.0, 2.0),
        )
        lost = np.array([card_position(card, "lost") < faults.lost_cards_of_challenger for card in cards], dtype=bool)
        kept = ~(theirs & lost)
        self._chunks.append(rows.where(kept))
        self._report(rows, fraud & (decision != DECLINE))

    def _score(self, model: Model, fraud: NDArray[np.bool_], mind: NDArray[np.float64]) -> NDArray[np.float64]:
        """Alerts in the given shares, one in ten of them a decline; the rest near the base rate."""
        share = np.where(fraud, model.recall, model.false_alerts)
        alert = np.where(mind < share / 10, 0.9, 0.3)
        scores: NDArray[np.float64] = np.minimum(np.where(mind < share, alert, 0.003 * (1 + mind)) * model.score_factor, 1.0)
        return scores

    def _report(self, rows: Served, known: NDArray[np.bool_]) -> None:
        delay = self.random.lognormal(np.log(self.label_delay_days), 0.8, int(known.sum())) * 86_400
        times = rows.event_time_s[known] + delay.astype(np.int64)
        reported = times < START.timestamp() + self.faults.no_labels_after * 86_400
        self._reports.append(Reports(rows.transaction_id[known][reported], times[reported], np.ones(int(reported.sum()), dtype=bool)))
