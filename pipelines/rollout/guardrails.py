"""What a rollout has learnt so far: one test per guardrail, and how new payments move them. Pure values; `judge.py` reads them.

| guardrail | question | test |
| errors | does it fail where the champion does not, more often than the reverse? | sign test on the same payments |
| latency | do slow answers prefer it? are too many of its answers slow? | share of slow answers that are its, against its share of cards; Bernoulli |
| alerts | does it alert more often on the same payments, beyond what can be reviewed? or hardly ever? | paired mean; Bernoulli |
| scores | are its scores on the same payments of another magnitude? | paired mean |
| sample ratio | do the cards seen in each arm fit the declared share? | coin per card |
| money | does it cost more, or provably not, on matured labels? | `money.py` |

Evidence carries over from step to step. A card counts once where cards are assigned to arms: its payments share one assignment, and
counting each would promise more evidence than there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from data.costs import DecisionCosts
from data.serving_plan import ServingPlan
from pipelines.rollout.evidence import APPROVE, Evidence, Served
from pipelines.rollout.money import Money
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import EITHER_ODDS, HIGHER_ODDS, LOWER_ODDS, MeanTest, OddsTest

_KEPT = 1.0  # marks a card of the challenger's arm, which it never leaves
_UNTESTED = OddsTest.against(HIGHER_ODDS)
_UNTESTED_LOW = OddsTest.against(LOWER_ODDS)
_UNTESTED_RATIO = OddsTest.against(EITHER_ODDS)


@dataclass(frozen=True)
class Learned:
    """Everything the judge knows. Made by `begin`, moved by `enter` and `observe`."""

    serving: ServingPlan
    step: int
    step_started: datetime
    now: datetime
    last_payment: datetime  # the newest one that both models could have scored
    last_report: datetime
    costs: DecisionCosts
    money: Money
    more_alerts: MeanTest
    fewer_alerts: MeanTest
    higher_scores: MeanTest
    lower_scores: MeanTest
    errors: OddsTest = _UNTESTED
    slower: OddsTest = _UNTESTED
    slow: OddsTest = _UNTESTED
    champion_slow: OddsTest = _UNTESTED
    over_ceiling: OddsTest = _UNTESTED
    under_floor: OddsTest = _UNTESTED_LOW
    sample_ratio: OddsTest = _UNTESTED_RATIO
    cards: Mapping[str, float] = field(default_factory=dict)  # card of the champion's arm -> share at which it was last counted; else _KEPT
    failed_cards: frozenset[str] = frozenset()
    slow_cards: frozenset[str] = frozenset()
    step_payments: int = 0  # that count towards the step's least evidence
    paired: int = 0  # payments scored by both models, whole rollout
    champion_alerts: int = 0
    challenger_alerts: int = 0
    champion_scores: float = 0.0  # sums
    challenger_scores: float = 0.0
    poisoned: int = 0  # scores that are no probability
    wrong: int = 0  # payments of this step that another model, or the wrong arm, answered
    trouble: str = ""


def begin(serving: ServingPlan, plan: RolloutPlan, costs: DecisionCosts, at: datetime) -> Learned:
    """Nothing seen yet, the first step under way since `at`."""
    return Learned(
        serving=serving,
        step=0,
        step_started=at,
        now=at,
        last_payment=at,
        last_report=at,
        costs=costs,
        money=Money.start(plan, costs),
        more_alerts=MeanTest(plan.alert_ratio),
        fewer_alerts=MeanTest(1.0),
        higher_scores=MeanTest(plan.score_factor),
        lower_scores=MeanTest(plan.score_factor),
    )


def enter(learned: Learned, serving: ServingPlan, step: int, at: datetime) -> Learned:
    """The same knowledge in the next step."""
    return replace(learned, serving=serving, step=step, step_started=at, last_payment=at, now=at, step_payments=0, wrong=0)


def observe(learned: Learned, evidence: Evidence, plan: RolloutPlan) -> Learned:
    """What is known after new evidence."""
    learned = replace(learned, now=evidence.now, trouble=evidence.trouble)
    if evidence.newest_report is not None:
        learned = replace(learned, last_report=max(learned.last_report, evidence.newest_report))
    settled = _of_this_rollout(evidence.settled, learned.serving) & _scored_by_both(evidence.settled)
    money = learned.money.add(evidence.settled.where(settled), evidence.settled_fraud[settled], plan, learned.costs)
    return _observe_fresh(replace(learned, money=money), evidence.fresh, plan)


def _observe_fresh(learned: Learned, fresh: Served, plan: RolloutPlan) -> Learned:
    serving = learned.serving
    rows = fresh.where((fresh.rollout_id == serving.rollout_id) & (fresh.epoch == serving.epoch) & (fresh.challenger_version != ""))
    assigned = _assigned(rows, serving)
    failed = np.isnan(rows.challenger_score)
    # A payment of the challenger's card may be answered by the champion only when the challenger failed on it.
    right = _of_this_rollout(rows, serving) & ((rows.by_challenger == assigned) | (assigned & failed))
    learned = replace(learned, wrong=learned.wrong + int((~right).sum()))
    rows, assigned = rows.where(right), assigned[right]
    if not len(rows):
        return learned
    counted = len(rows) if serving.mode == "shadow" else int(assigned.sum())
    newest = datetime.fromtimestamp(int(rows.event_time_s.max()), tz=UTC)
    learned = replace(learned, step_payments=learned.step_payments + counted, last_payment=max(learned.last_payment, newest))
    learned = _compare_failures(learned, rows, plan)
    slow = rows.latency_ms[~assigned] > plan.slow_ms
    learned = replace(learned, champion_slow=learned.champion_slow.add(int(slow.sum()), int((~slow).sum()), plan.slow_share))
    if serving.mode != "shadow":
        learned = _compare_latency(learned, rows, assigned, plan)
        learned = _count_cards(learned, rows, assigned)
    return _compare_scores(learned, rows.where(_scored_by_both(rows)), plan)


def _of_this_rollout(rows: Served, serving: ServingPlan) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (
        (rows.rollout_id == serving.rollout_id)
        & (rows.champion_version == serving.champion)
        & (rows.challenger_version == serving.challenger)
    )
    return same


def _scored_by_both(rows: Served) -> NDArray[np.bool_]:
    return np.isfinite(rows.champion_score) & np.isfinite(rows.challenger_score)


def _assigned(rows: Served, serving: ServingPlan) -> NDArray[np.bool_]:
    """Whether the plan gives each payment's card to the challenger, worked out anew and not taken from the log."""
    if serving.mode == "shadow":
        return np.zeros(len(rows), dtype=bool)
    cards, which = np.unique(rows.card_id.astype(str), return_inverse=True)
    return np.array([serving.arm(str(card)) == "challenger" for card in cards], dtype=bool)[which]


def _null(share: float, plan: RolloutPlan) -> float:
    """Chance that a slow payment is the challenger's, which has `share` of them, if it is slow at most `tolerance` times as often."""
    return plan.tolerance * share / (plan.tolerance * share + 1 - share)


def _first_of_new_cards(rows: Served, chosen: NDArray[np.bool_], known: frozenset[str]) -> NDArray[np.intp]:
    """Positions of the first chosen payment of each card that is not in `known`."""
    positions = np.flatnonzero(chosen)
    cards, first = np.unique(rows.card_id[positions].astype(str), return_index=True)
    new = [place for card, place in zip(cards, first, strict=True) if card not in known]
    return positions[np.array(new, dtype=np.intp)]


def _compare_failures(learned: Learned, rows: Served, plan: RolloutPlan) -> Learned:
    champion, challenger = np.isnan(rows.champion_score), np.isnan(rows.challenger_score)
    first = _first_of_new_cards(rows, champion != challenger, learned.failed_cards)
    theirs = int(challenger[first].sum())
    score = rows.challenger_score
    poisoned = np.isinf(score) | (score < 0) | (score > 1)
    return replace(
        learned,
        errors=learned.errors.add(theirs, len(first) - theirs, _null(0.5, plan)),
        failed_cards=learned.failed_cards | frozenset(rows.card_id[first].tolist()),
        poisoned=learned.poisoned + int(poisoned.sum()),
    )


def _compare_latency(learned: Learned, rows: Served, assigned: NDArray[np.bool_], plan: RolloutPlan) -> Learned:
    slow = rows.latency_ms > plan.slow_ms
    first = _first_of_new_cards(rows, slow, learned.slow_cards)
    theirs = int(assigned[first].sum())
    return replace(
        learned,
        slower=learned.slower.add(theirs, len(first) - theirs, _null(learned.serving.share, plan)),
        slow=learned.slow.add(int((slow & assigned).sum()), int((~slow & assigned).sum()), plan.slow_share),
        slow_cards=learned.slow_cards | frozenset(rows.card_id[first].tolist()),
    )


def _count_cards(learned: Learned, rows: Served, assigned: NDArray[np.bool_]) -> Learned:
    """One coin per card and share. The split is nested: a card of the champion's arm at an earlier share is less likely to move."""
    share, cards, test = learned.serving.share, dict(learned.cards), learned.sample_ratio
    distinct, first = np.unique(rows.card_id.astype(str), return_index=True)
    coins: dict[float, list[int]] = {}
    for card, theirs in zip(distinct.tolist(), assigned[first].tolist(), strict=True):
        before = cards.get(card, 0.0)
        if before >= share:
            continue
        coins.setdefault((share - before) / (1 - before), [0, 0])[0 if theirs else 1] += 1
        cards[card] = _KEPT if theirs else share
    for null, (heads, tails) in coins.items():
        test = test.add(heads, tails, null)
    return replace(learned, cards=cards, sample_ratio=test)


def _compare_scores(learned: Learned, rows: Served, plan: RolloutPlan) -> Learned:
    champion, challenger = rows.champion_decision != APPROVE, rows.challenger_decision != APPROVE
    alerts, rest = int(challenger.sum()), int((~challenger).sum())
    low, high = np.clip(rows.champion_score, 0, 1), np.clip(rows.challenger_score, 0, 1)
    return replace(
        learned,
        paired=learned.paired + len(rows),
        champion_alerts=learned.champion_alerts + int(champion.sum()),
        challenger_alerts=learned.challenger_alerts + alerts,
        champion_scores=learned.champion_scores + float(low.sum()),
        challenger_scores=learned.challenger_scores + float(high.sum()),
        more_alerts=learned.more_alerts.add(challenger - plan.alert_ratio * champion),
        fewer_alerts=learned.fewer_alerts.add(champion / plan.alert_ratio - challenger),
        over_ceiling=learned.over_ceiling.add(alerts, rest, plan.alert_ceiling_per_thousand / 1000),
        under_floor=learned.under_floor.add(alerts, rest, plan.alert_floor_per_thousand / 1000),
        higher_scores=learned.higher_scores.add(high - plan.score_factor * low),
        lower_scores=learned.lower_scores.add(low - plan.score_factor * high),
    )
