"""What both models said of the same payments: failures, alerts, scores. Pure values; `guardrails.py` moves them, `judge.py` reads them.

Both models score every payment of a rollout, whoever answers it, so each payment is its own control: a fraud wave, a holiday or
a new mix of traffic meets both alike, and a fault of the challenger shows on all of the traffic while it answers 1 % of it.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.rollout.evidence import APPROVE, Served
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import CEILING_ODDS, HIGHER_ODDS, LOWER_ODDS, MeanTest, OddsTest, log_mean

FIRST_SCORES = 1_000  # of the champion, which fix the quantiles
QUANTILES: Final = (0.9, 0.99)  # scores are compared above each: where payments are ranked for review, and where they are reviewed
_MORE: Final = OddsTest.against(HIGHER_ODDS)
_FEWER: Final = OddsTest.against(LOWER_ODDS)
_UNDER: Final = OddsTest.against(CEILING_ODDS)
_MEAN: Final = MeanTest(1.0)


@dataclass(frozen=True)
class Failures:
    """Payments on which one model failed and the other did not.

    The unit is a card, counted at its first such payment (the sign test, always valid). A model fails on what is odd about a
    card, and so on its next payment too: given the first, the second is no fair coin, and counting both would promise more than
    the data holds. Where failures do not depend on the card nothing is lost, as hardly any card has two before the test ends.
    """

    more: OddsTest = _MORE  # heads: the challenger failed
    no_more: MeanTest = _MEAN  # against "it fails on more than the margin more"
    cards: frozenset[str] = frozenset()
    poisoned: int = 0  # scores that are no probability

    def add(self, rows: Served, plan: RolloutPlan) -> "Failures":
        """After more payments that both models were asked about."""
        champion, challenger = np.isnan(rows.champion_score), np.isnan(rows.challenger_score)
        first = first_of_new_cards(rows, champion != challenger, self.cards)
        theirs = int(challenger[first].sum())
        score = rows.challenger_score
        return Failures(
            more=self.more.add(theirs, len(first) - theirs, plan.tolerance / (1 + plan.tolerance)),
            no_more=self.no_more.add(plan.error_margin - challenger.astype(np.float64) + champion),
            cards=self.cards | frozenset(rows.card_id[first].tolist()),
            poisoned=self.poisoned + int((np.isinf(score) | (score < 0) | (score > 1)).sum()),
        )


@dataclass(frozen=True)
class Alerts:
    """How often each model alerts on the same payments, each at its own policy."""

    more: MeanTest  # against "at most `alert_ratio` times the champion's"
    fewer: MeanTest  # against "at least one `alert_ratio`-th"
    over_ceiling: OddsTest = _MORE
    under_floor: OddsTest = _FEWER
    no_more: MeanTest = _MEAN  # against "more than `alert_ratio` times the champion's"
    under_ceiling: OddsTest = _UNDER
    payments: int = 0
    champion: int = 0
    challenger: int = 0

    @classmethod
    def start(cls, plan: RolloutPlan) -> "Alerts":
        return cls(more=MeanTest(plan.alert_ratio), fewer=MeanTest(1.0))

    def add(self, rows: Served, plan: RolloutPlan) -> "Alerts":
        """After more payments that both models scored."""
        champion, challenger = rows.champion_decision != APPROVE, rows.challenger_decision != APPROVE
        alerts, rest = int(challenger.sum()), int((~challenger).sum())
        more = challenger - plan.alert_ratio * champion
        ceiling, floor = plan.alert_ceiling_per_thousand / 1000, plan.alert_floor_per_thousand / 1000
        return Alerts(
            more=self.more.add(more),
            fewer=self.fewer.add(champion / plan.alert_ratio - challenger),
            over_ceiling=self.over_ceiling.add(alerts, rest, ceiling),
            under_floor=self.under_floor.add(alerts, rest, floor),
            no_more=self.no_more.add(-more),
            under_ceiling=self.under_ceiling.add(alerts, rest, ceiling),
            payments=self.payments + len(rows),
            champion=self.champion + int(champion.sum()),
            challenger=self.challenger + alerts,
        )

    @property
    def too_many(self) -> float:
        """Log e-value of "more than the champion, and more than can be reviewed": both nulls must fall, so the smaller one counts."""
        return min(self.more.log_e, self.over_ceiling.log_e)

    @property
    def too_few(self) -> float:
        """The same of "fewer than the champion, and hardly any"."""
        return min(self.fewer.log_e, self.under_floor.log_e)

    @property
    def bearable(self) -> float:
        """The same of "no more than the champion, or no more than can be reviewed": where neither holds, either test is one of it."""
        return log_mean((self.no_more.log_e, self.under_ceiling.log_e))

    def told(self) -> str:
        thousands = max(self.payments, 1) / 1000
        return f"{self.challenger / thousands:.1f} per thousand payments, the champion {self.champion / thousands:.1f}"


@dataclass(frozen=True)
class Scores:
    """Whether the challenger's scores on the same payments are of another magnitude: payment by payment, and all together.

    Payment by payment, the sign test at fixed quantiles. Above the quantiles of the champion's first scores: is the challenger's more
    than `score_factor` times the champion's on more than half of them, or less than that part of it? Below the ninth decile two
    sound models differ by twice and more (0.4 times, measured on our world), which changes no decision. The first payments
    only fix the quantiles.

    All together, a paired mean: does it expect more than `expected_factor` times the frauds that the champion expects, or less
    than one part in so many? Two calibrated models expect the same number, however differently they rank. This finds three times
    the scores of a *better* model too, which is surer of fewer payments and so not higher on most of those that the champion ranks high.
    """

    first: tuple[float, ...] = ()
    higher: tuple[OddsTest, ...] = (_MORE,) * len(QUANTILES)
    lower: tuple[OddsTest, ...] = (_MORE,) * len(QUANTILES)
    more_frauds: MeanTest = _MEAN  # than `expected_factor` allows, of the champion's
    fewer_frauds: MeanTest = _MEAN
    champion: float = 0.0  # sums: frauds expected
    challenger: float = 0.0

    def add(self, rows: Served, plan: RolloutPlan) -> "Scores":
        """After more payments that both models scored."""
        champion, challenger = np.clip(rows.champion_score, 0, 1), np.clip(rows.challenger_score, 0, 1)
        fixing, factor = FIRST_SCORES - len(self.first), plan.expected_factor
        known = replace(
            self,
            first=self.first + tuple(champion[:fixing].tolist()),
            more_frauds=self.more_frauds.add(challenger / factor - champion),
            fewer_frauds=self.fewer_frauds.add(champion / factor - challenger),
            champion=self.champion + float(champion.sum()),
            challenger=self.challenger + float(challenger.sum()),
        )
        return known._compare(champion[fixing:], challenger[fixing:], plan.score_factor) if len(champion) > fixing else known

    def _compare(self, champion: NDArray[np.float64], challenger: NDArray[np.float64], factor: float) -> "Scores":
        band = np.digitize(champion, np.quantile(self.first, QUANTILES))
        higher, lower = challenger > factor * champion, champion > factor * challenger

        def after(tests: tuple[OddsTest, ...], heads: NDArray[np.bool_]) -> tuple[OddsTest, ...]:
            in_band = [heads[band == place] for place in range(1, len(tests) + 1)]
            return tuple(test.add(int(some.sum()), int((~some).sum()), 0.5) for test, some in zip(tests, in_band, strict=True))

        return replace(self, higher=after(self.higher, higher), lower=after(self.lower, lower))

    @property
    def log_e(self) -> float:
        """Log e-value against "of the same magnitude everywhere": any of the tests is one, and so is their mean."""
        together = (self.more_frauds.log_e, self.fewer_frauds.log_e)
        return log_mean([*(test.log_e for test in (*self.higher, *self.lower)), *together])

    def told(self) -> str:
        return f"{self.challenger / max(self.champion, 1e-9):.2g} times the champion's"


def first_of_new_cards(rows: Served, chosen: NDArray[np.bool_], known: frozenset[str]) -> NDArray[np.intp]:
    """Positions of the first chosen payment of each card that is not in `known`."""
    positions = np.flatnonzero(chosen)
    cards, first = np.unique(rows.card_id[positions].astype(str), return_index=True)
    new = [place for card, place in zip(cards, first, strict=True) if card not in known]
    return positions[np.array(new, dtype=np.intp)]
