"""The scoring service that a rollout meets, played on a virtual clock: its answers, its log, its traffic and the reports that come.

The service answers as `services/scoring/decide.py` does (a test compares them row by row), many payments at once and with models
whose scores are known beforehand. What goes wrong is drawn once per payment, so a rollout that is killed and resumed meets the same.
"""

import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.serving_plan import ServingPlan
from labs.canaries.scenario import Canary, Fault
from labs.canaries.stage import NEVER, Floats, Opinion, Stage
from pipelines.rollout.evidence import APPROVE, DECLINE, Reports, Served
from services.scoring.decide import POISON
from services.scoring.patience import MOST_FAILURES

FAILING: Final = 0.002  # share of payments that either model fails on, as lookups time out
SLOW: Final = 0.002  # share of answers beyond the objective, whoever gives them
QUICK_MS, SLOW_MS = 2.0, 80.0
HOUR_S: Final = 3_600


@dataclass(frozen=True)
class Draws:
    """What goes wrong with each payment, drawn beforehand: uniform numbers, shape (n,)."""

    champion_fails: Floats
    challenger_fails: Floats
    poisoned: Floats
    slow: Floats

    @classmethod
    def of(cls, name: str, seed: int, n: int) -> "Draws":
        """By scenario and seed."""
        random = np.random.Generator(np.random.Philox([seed, zlib.crc32(name.encode())]))
        return cls(*(random.random(n) for _ in range(4)))


@dataclass
class _Log:
    """The prediction log: one array per fact that a rollout may change, all of length n, filled as payments are answered."""

    kept: NDArray[np.bool_]
    rollout_id: NDArray[np.object_]
    epoch: NDArray[np.int64]
    challenger_version: NDArray[np.object_]
    assigned: NDArray[np.bool_]  # to the challenger, by the plan in force
    by_challenger: NDArray[np.bool_]
    champion_score: Floats
    challenger_score: Floats
    decision: NDArray[np.int8]
    latency_ms: Floats

    @classmethod
    def empty(cls, n: int) -> "_Log":
        nobody, unknown = np.full(n, "", dtype=object), np.full(n, np.nan)
        return cls(
            np.zeros(n, bool), nobody, np.zeros(n, np.int64), nobody.copy(), np.zeros(n, bool), np.zeros(n, bool), unknown, unknown.copy(),
            np.zeros(n, np.int8), np.full(n, QUICK_MS),
        )  # fmt: skip


class PlayedService:
    """Answers payments under the registry's plan, keeps the log, and hands on what is reported. Plays traffic and evidence of a rollout."""

    def __init__(self, stage: Stage, canary: Canary, seed: int, versions: tuple[str, str]) -> None:
        """`versions`: champion and challenger."""
        self.live = stage.live_with(canary.fault.shoppers_move_on)
        self.fault: Fault = canary.fault
        self.versions = versions
        self.now = self.start = stage.start
        self.end = stage.end
        self.serving = ServingPlan(0, versions[0])
        self.benched = ""  # why the challenger no longer scores
        self._champion: Opinion = stage.opinion(self.live, "same")
        self._challenger: Opinion = stage.opinion(self.live, canary.challenger)
        n = len(self.live.event_time_s)
        self._draws, self._log = Draws.of(canary.name, seed, n), _Log.empty(n)
        self._cards, self._card = np.unique(self.live.card_id.astype(str), return_inverse=True)
        self._champion_version = np.full(n, versions[0], dtype=object)
        self._answered = 0  # payments
        self._failures = 0  # of the challenger, in a row
        self._in_hour: dict[int, int] = {}  # hour -> answers of the challenger

    # --- what a rollout calls

    def follow(self, plan: ServingPlan) -> None:
        """From the next payment on, this serves."""
        self.serving, self.benched, self._failures = plan, "", 0

    def traffic(self, until: datetime) -> datetime:
        """Payments flow until then, or until there are no more."""
        self.now = max(self.now, min(until, self.end))
        stop = int(np.searchsorted(self.live.event_time_s, int(self.now.timestamp())))
        if stop > self._answered:
            self._answer(slice(self._answered, stop))
            self._answered = stop
        return self.now

    def served(self, start: datetime, end: datetime) -> Served:
        low, high = np.searchsorted(self.live.event_time_s, (int(start.timestamp()), int(end.timestamp())))
        rows = slice(int(low), min(int(high), self._answered))
        live, log = self.live, self._log
        found = Served(
            transaction_id=live.transaction_id[rows],
            card_id=live.card_id[rows],
            event_time_s=live.event_time_s[rows],
            amount=live.amount[rows],
            rollout_id=log.rollout_id[rows],
            epoch=log.epoch[rows],
            champion_version=self._champion_version[rows],
            challenger_version=log.challenger_version[rows],
            by_challenger=log.by_challenger[rows],
            champion_score=log.champion_score[rows],
            challenger_score=log.challenger_score[rows],
            champion_decision=self._champion.decision[rows],
            challenger_decision=self._challenger.decision[rows],
            decision=log.decision[rows],
            latency_ms=log.latency_ms[rows],
        )
        return found.where(log.kept[rows])

    def reports(self, known_by: datetime) -> Reports:
        stop = NEVER if self.fault.labels_stop_on is None else self._day_s(self.fault.labels_stop_on)
        times = self.live.report_time_s[: self._answered]
        known = (times <= min(int(known_by.timestamp()), stop)) & (self._log.decision[: self._answered] != DECLINE)
        return Reports(self.live.transaction_id[: self._answered][known], times[known], np.ones(int(known.sum()), dtype=bool))

    def trouble(self) -> str:
        return f"benched: {self.benched}" if self.benched else ""

    # --- what the exercise asks afterwards

    def counts(self, epoch: int) -> tuple[int, int]:
        """Payments answered under one serving plan, and those of cards that were given to the challenger."""
        here = self._log.epoch[: self._answered] == epoch
        return int(here.sum()), int((here & self._log.assigned[: self._answered]).sum())

    def exposed(self) -> int:
        """Payments of cards that were given to the challenger, in all."""
        return int(self._log.assigned.sum())

    def seen(self, until: datetime | None = None) -> int:
        """Payments that the challenger was asked about."""
        asked = self._log.challenger_version != ""
        return int((asked if until is None else asked & (self.live.event_time_s < until.timestamp())).sum())

    # --- how payments are answered

    def _day_s(self, day: int) -> int:
        return int((self.start + timedelta(days=day)).timestamp())

    def _answer(self, rows: slice) -> None:
        log, plan = self._log, self.serving
        failing = self._draws.champion_fails[rows] < FAILING
        log.champion_score[rows] = np.where(failing, np.nan, self._champion.score[rows])
        log.rollout_id[rows], log.epoch[rows] = plan.rollout_id, plan.epoch
        log.decision[rows] = np.where(failing, APPROVE, self._champion.decision[rows])
        log.latency_ms[rows] = np.where(self._draws.slow[rows] < SLOW, SLOW_MS, QUICK_MS)
        stops = self.fault.payments_stop_on
        log.kept[rows] = stops is None or self.live.event_time_s[rows] < self._day_s(stops)
        if plan.mode != "champion_only" and not self.benched:
            self._ask_challenger(rows)

    def _ask_challenger(self, rows: slice) -> None:
        """Its scores, up to where it is taken out, and its answers to its own cards."""
        scores = self._scores(rows)
        scores = scores[: self._patience(scores)]
        asked = slice(rows.start, rows.start + len(scores))
        log, plan = self._log, self.serving
        arms = np.array([plan.arm(str(card)) == "challenger" for card in self._cards])[self._card[asked]]
        routed = arms if self.fault.router_factor == 1.0 else self._misrouted()[self._card[asked]]
        answers = routed & (scores >= 0) & (scores <= 1)
        log.challenger_version[asked], log.challenger_score[asked] = self.versions[1], scores
        log.assigned[asked], log.by_challenger[asked] = routed, answers
        log.decision[asked] = np.where(answers, self._challenger.decision[asked], log.decision[asked])
        log.latency_ms[asked] = np.where(answers & self._slow(asked, answers), SLOW_MS, log.latency_ms[asked])

    def _scores(self, rows: slice) -> Floats:
        """What it says of each payment: NaN where it fails, and what is no probability where it is damaged."""
        fault, draws, scores = self.fault, self._draws, self._challenger.score[rows].copy()
        begun = not fault.in_canary or self.serving.mode != "shadow"
        scores[draws.challenger_fails[rows] < max(FAILING, fault.fails if begun else 0.0)] = np.nan
        scores[draws.poisoned[rows] < (fault.poison if begun else 0.0)] = POISON
        return scores

    def _patience(self, scores: Floats) -> int:
        """How many of these are asked for before the service takes it out, as `services/scoring/patience.py` does."""
        for row, score in enumerate(scores):
            self._failures = self._failures + 1 if np.isnan(score) else 0
            if self._failures == MOST_FAILURES:
                self.benched = f"{MOST_FAILURES} failures in a row"
            elif score == POISON:
                self.benched = "its score was no probability"
            if self.benched:
                return row + 1
        return len(scores)

    def _misrouted(self) -> NDArray[np.bool_]:
        """Which cards a router gives to the challenger that has another share in mind."""
        plan = self.serving
        if plan.mode == "canary":
            plan = replace(plan, share=min(1.0, plan.share * self.fault.router_factor))
        return np.array([plan.arm(str(card)) == "challenger" for card in self._cards])

    def _slow(self, rows: slice, answers: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of its answers take too long."""
        slow: NDArray[np.bool_] = self._draws.slow[rows] < max(SLOW, self.fault.slow)
        most = self.fault.slow_above_per_hour
        if most is None:
            return slow
        hours, count = self.live.event_time_s[rows] // HOUR_S, np.zeros(len(answers), np.int64)
        for hour in np.unique(hours).tolist():
            inside = hours == hour
            count[inside] = self._in_hour.get(hour, 0) + np.cumsum(answers[inside])
            self._in_hour[hour] = int(count[inside][-1])
        return (count > most) & slow
