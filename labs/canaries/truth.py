"""What a challenger is really worth on the payments of its rollout: the judge's own measure of money, with every label known."""

import numpy as np

from data.costs import DecisionCosts
from labs.canaries.outcome import Truth
from labs.canaries.scenario import CHALLENGERS, Canary
from labs.canaries.stage import NEVER, Live, Opinion, Stage
from pipelines.rollout.evidence import APPROVE, Served
from pipelines.rollout.money import Money
from pipelines.rollout.plan import RolloutPlan

ALPHA = 0.05


def truth_of(stage: Stage, live: Live, canary: Canary, plan: RolloutPlan) -> Truth:
    """The challenger's scores against the champion's, as if both were served well and every payment had been let through."""
    champion, challenger = stage.opinion(live, "same"), stage.opinion(live, canary.challenger)
    value, low, high = stage.remember(("worth", id(live), canary.challenger, plan.digest), lambda: _worth(live, champion, challenger, plan))
    alerts = tuple(1000 * float((opinion.decision != APPROVE).mean()) for opinion in (champion, challenger))
    holds = canary.challenger != "better" or low <= 0
    return Truth(canary.mechanism, CHALLENGERS[canary.challenger], canary.worth, value, (low, high), (alerts[0], alerts[1]), holds)


def _worth(live: Live, champion: Opinion, challenger: Opinion, plan: RolloutPlan) -> tuple[float, float, float]:
    """EUR per thousand payments, challenger less champion, and its interval."""
    n, costs = len(live.amount), DecisionCosts()
    nobody = np.full(n, "", dtype=object)
    served = Served(
        transaction_id=live.transaction_id, card_id=live.card_id, event_time_s=live.event_time_s, amount=live.amount, rollout_id=nobody,
        epoch=np.zeros(n, np.int64), champion_version=nobody, challenger_version=nobody, by_challenger=np.zeros(n, bool),
        champion_score=champion.score, challenger_score=challenger.score, champion_decision=champion.decision,
        challenger_decision=challenger.decision, decision=np.full(n, APPROVE, np.int8), latency_ms=np.zeros(n),
    )  # fmt: skip
    money = Money.start(plan, costs).add(served, live.report_time_s < NEVER, plan, costs)
    return money.per_thousand(ALPHA)
