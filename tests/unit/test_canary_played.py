"""The played service of canary exercises: it answers, row by row, as the real one does with the same scores and the same faults."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from data.costs import DECISIONS, Policy
from data.features import FEATURE_COUNT
from data.rules import rule_severity
from data.serving_plan import ServingPlan
from labs.canaries import played
from labs.canaries.catalogue import CANARIES
from labs.canaries.played import PlayedService
from labs.canaries.scenario import Fault
from labs.canaries.stage import NEVER, Live, Opinion
from pipelines.rollout.evidence import DECLINE
from services.scoring.decide import judge_payments
from services.scoring.patience import Patience
from services.scoring.slots import Serving
from tests.records import facts

START = datetime(2026, 3, 9, tzinfo=UTC)
N = 2_000
POLICY = {"champion": Policy(0.8, 0.95), "challenger": Policy(0.7, 0.97)}
SHADOW = ServingPlan(1, "1", "2", "shadow", rollout_id="r")
CANARY = ServingPlan(2, "1", "2", "canary", 0.3, "r")
SOAK = ServingPlan(3, "1", "2", "soak", 1.0, "r")


class PlayedStage:
    """Random payments, a minute apart, and two models with random opinions of them."""

    start, end = START, START + timedelta(minutes=N)

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        features = random.uniform(0, 50, (N, FEATURE_COUNT))
        features[:, -1] = np.arange(N)  # by which a model finds its score
        fraud = random.random(N) < 0.2
        times = int(START.timestamp()) + 60 * np.arange(N)
        self.live = Live(
            transaction_id=np.array([f"tx_{k}" for k in range(N)], dtype=object),
            card_id=np.array([f"card_{k}" for k in random.integers(0, 300, N)], dtype=object),
            event_time_s=times,
            amount=features[:, 0],
            report_time_s=np.where(fraud, times + 3_600, NEVER),
            features=features,
            rules=rule_severity(features),
        )
        self.scores = {"champion": random.random(N), "challenger": random.random(N)}

    def live_with(self, shoppers_move_on: int | None) -> Live:
        assert shoppers_move_on is None
        return self.live

    def opinion(self, live: Live, who: str) -> Opinion:
        arm = "champion" if who == "same" else "challenger"
        return Opinion(self.scores[arm], np.maximum(POLICY[arm].severities(self.scores[arm]), live.rules))


class Model:
    """Gives the scores that it was told; raises where they are missing."""

    def __init__(self, version: str, policy: Policy, scores: np.ndarray) -> None:
        self.version, self.policy, self._scores = version, policy, scores

    def score(self, features: np.ndarray) -> float:
        return float(self.score_many(features[None])[0])

    def score_many(self, matrix: np.ndarray) -> np.ndarray:
        scores = self._scores[matrix[:, -1].astype(int)]
        if np.isnan(scores).any():
            raise RuntimeError("it fails")
        return scores


@pytest.fixture
def stage() -> Any:
    return PlayedStage()


def play(stage: Any, fault: Fault, *plans: ServingPlan) -> PlayedService:
    """Half an hour under no plan, then the rest in equal parts under each."""
    service = PlayedService(stage, replace(CANARIES["errors_5"], challenger="better", fault=fault), 7, ("1", "2"))
    service.traffic(START + timedelta(minutes=30))
    for number, plan in enumerate(plans, 1):
        service.follow(plan)
        service.traffic(START + timedelta(minutes=30 + number * (N - 30) // len(plans)))
    return service


@pytest.mark.parametrize("plan", [SHADOW, CANARY, SOAK])
@pytest.mark.parametrize(
    "fault", [Fault(), Fault(fails=0.3), Fault(fails=1.0), Fault(poison=0.002), Fault(fails=0.9, in_canary=True)], ids=str
)
def test_it_answers_as_the_scoring_service_decides(stage: Any, fault: Fault, plan: ServingPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(played, "FAILING", 0.0)  # the real one does not answer at all where its champion fails
    service = play(stage, fault, plan)
    out: list[str] = []
    begun = not fault.in_canary or plan.mode != "shadow"
    wrong = stage.scores["challenger"].copy()
    wrong[service._draws.challenger_fails < (fault.fails if begun else 0)] = np.nan
    wrong[service._draws.poisoned < (fault.poison if begun else 0)] = 1e9
    champion: Any = Model("1", POLICY["champion"], stage.scores["champion"])
    challenger: Any = Model("2", POLICY["challenger"], wrong)
    patience = Patience(lambda version, why: out.append(why))
    served = service.served(START, stage.end)
    for row in range(30, N):
        serving = Serving(plan, champion, None if out else challenger, "registry", START)
        ids = [facts(served.transaction_id[row], served.card_id[row])]
        real = judge_payments(serving, ids, stage.live.features[row : row + 1], patience)[0]
        assert served.by_challenger[row] == (real.arm == "challenger")
        assert DECISIONS[served.decision[row]] == real.decision
        assert (served.challenger_version[row] or None) == real.challenger_version
        shown = served.challenger_score[row]
        assert (None if np.isnan(shown) else shown) == real.challenger_score
    assert bool(service.trouble()) == bool(out)


def test_it_counts_whom_the_challenger_met_and_reports_only_what_was_not_declined_and_is_known(stage: Any) -> None:
    service = play(stage, Fault(), SHADOW, CANARY)
    assert service.counts(1)[1] == 0
    assert service.counts(2)[1] == service.exposed() > 0
    assert service.seen() == N - 30
    known_by = START + timedelta(hours=10)
    found = service.reports(known_by)
    served = service.served(START, stage.end)
    declined = set(served.transaction_id[served.decision == DECLINE])
    assert len(found.transaction_id) > 20
    assert (found.report_time_s <= known_by.timestamp()).all()
    assert not declined & set(found.transaction_id)


def test_a_wide_router_gives_it_cards_that_the_plan_does_not(stage: Any) -> None:
    served = play(stage, Fault(router_factor=1.2), CANARY).served(START + timedelta(minutes=30), stage.end)
    planned = np.array([CANARY.arm(card) == "challenger" for card in served.card_id])
    assert (served.by_challenger & ~planned).any()


def test_slow_under_load_means_its_answers_beyond_so_many_an_hour(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(played, "SLOW", 0.0)
    served = play(stage, Fault(slow=1.0, slow_above_per_hour=10), SOAK).served(START + timedelta(minutes=60), stage.end)
    first_ten = served.event_time_s // 60 % 60 < 10
    answered = served.by_challenger
    assert not (served.latency_ms[answered & first_ten] > played.QUICK_MS).any()
    assert (served.latency_ms[answered & ~first_ten] > played.QUICK_MS).mean() > 0.9
