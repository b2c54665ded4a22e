"""What only the arm that answers can show: latency, and whether the cards were split as declared. Pure values, as in `paired.py`.

Cards are assigned, not payments, so a card counts once wherever the two arms are compared: its payments share one assignment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.rollout.evidence import Served
from pipelines.rollout.paired import first_of_new_cards
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import EITHER_ODDS, HIGHER_ODDS, LOWER_ODDS, OBJECTIVE_ODDS, OddsTest

_KEPT = 1.0  # marks a card of the challenger's arm, which it never leaves
_MORE: Final = OddsTest.against(HIGHER_ODDS)
_OVER: Final = OddsTest.against(OBJECTIVE_ODDS)
_UNDER: Final = OddsTest.against(LOWER_ODDS)
_EITHER: Final = OddsTest.against(EITHER_ODDS)


@dataclass(frozen=True)
class Latency:
    """Slow answers: of the challenger against the objective and against the champion, and of the champion itself."""

    slower: OddsTest = _MORE  # heads: a slow answer was the challenger's
    slow: OddsTest = _OVER  # heads: an answer of the challenger was slow
    no_slower: OddsTest = _UNDER  # the same against "more than `slow_margin` of them are"
    champion_slow: OddsTest = _OVER
    cards: frozenset[str] = frozenset()
    impossible: int = 0  # that are no time

    def add(self, rows: Served, assigned: NDArray[np.bool_], share: float, plan: RolloutPlan) -> "Latency":
        """After more payments; `assigned`, shape (n,): the challenger's by the split, which gives it `share` of the cards."""
        slow = rows.latency_ms > plan.slow_ms
        theirs, others = slow[assigned], slow[~assigned]
        heads, tails = int(theirs.sum()), int((~theirs).sum())
        first = first_of_new_cards(rows, slow & (share > 0), self.cards)
        first_theirs = int(assigned[first].sum())
        return Latency(
            slower=self.slower.add(first_theirs, len(first) - first_theirs, null_share(share, plan.tolerance)),
            slow=self.slow.add(heads, tails, plan.slow_share),
            no_slower=self.no_slower.add(heads, tails, plan.slow_margin),
            champion_slow=self.champion_slow.add(int(others.sum()), int((~others).sum()), plan.slow_share),
            cards=self.cards | frozenset(rows.card_id[first].tolist()),
            impossible=self.impossible + int((~np.isfinite(rows.latency_ms) | (rows.latency_ms < 0)).sum()),
        )


def null_share(share: float, tolerance: float) -> float:
    """Chance that a bad answer is the challenger's, which gives `share` of all, when its answers are bad `tolerance` times as often."""
    return tolerance * share / (tolerance * share + 1 - share)


@dataclass(frozen=True)
class SampleRatio:
    """Whether the cards seen fit the declared split: one coin per card and share.

    The split is nested, so a card of the champion's arm at an earlier share is less likely to move at the next.
    """

    test: OddsTest = _EITHER  # heads: a card was the challenger's
    cards: Mapping[str, float] = field(default_factory=dict)  # of the champion's arm -> share at which it was last counted; else _KEPT

    def add(self, rows: Served, assigned: NDArray[np.bool_], share: float) -> "SampleRatio":
        """After more payments of a step in which the challenger has `share` of the cards."""
        cards, test = dict(self.cards), self.test
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
        return SampleRatio(test, cards)
