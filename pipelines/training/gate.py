"""The promotion gate: may this model be registered? A pure function of what was measured; no registry, no clock.

Three questions, each answered with its numbers:
1. did training converge? A model whose average precision on its *own training rows* is below logistic regression's
   has diverged, however it was tuned (LightGBM's defaults do so on rare frauds);
2. with no champion: is no baseline better on the same test rows, beyond noise in average precision or in money, or
   in both at all? A first model has nothing to lose but to rules and logistic regression;
3. with a champion: is it better on the same test rows, beyond the draw of cards, in average precision or in money,
   and not worse beyond a margin in the other?
"""

from dataclasses import dataclass

from pipelines.metrics import Interval


@dataclass(frozen=True)
class GateRule:
    """The margins. A difference counts when its paired bootstrap interval says so."""

    worse_ap: float = 0.02  # average precision that may be lost where money is won
    worse_money: float = 20.0  # EUR per thousand payments that may be lost where average precision is won


@dataclass(frozen=True)
class Comparison:
    """Candidate less opponent on the same rows and the same resamples."""

    opponent: str  # "rules", "logistic" or "champion 3"
    average_precision: Interval
    saved_per_thousand: Interval


@dataclass(frozen=True)
class GateVerdict:
    """Passed or not, and every reason with its numbers, the deciding one first."""

    passed: bool
    reasons: tuple[str, ...]


def judge_candidate(
    *, training_ap: float, baseline_training_ap: float, champion: Comparison | None, baselines: tuple[Comparison, ...], rule: GateRule
) -> GateVerdict:
    """Decide. `training_ap` are both measured on the training rows, the comparisons on the test rows."""
    if training_ap < baseline_training_ap:
        return GateVerdict(
            False,
            (
                f"average precision on its own training rows is {training_ap:.3f}, below logistic regression's "
                f"{baseline_training_ap:.3f}: training diverged",
            ),
        )
    if champion is not None:
        return _against_champion(champion, rule)
    return _against_baselines(baselines)


def _against_champion(difference: Comparison, rule: GateRule) -> GateVerdict:
    ap, money = difference.average_precision, difference.saved_per_thousand
    numbers = _describe(difference)
    better = ap.low > 0 or money.low > 0
    if not better:
        return GateVerdict(False, (f"not better than {difference.opponent} beyond noise", *numbers))
    if ap.low < -rule.worse_ap and ap.value < 0:
        return GateVerdict(False, (f"loses more average precision than {rule.worse_ap} against {difference.opponent}", *numbers))
    if money.low < -rule.worse_money and money.value < 0:
        return GateVerdict(False, (f"loses more than {rule.worse_money:.0f} EUR per thousand against {difference.opponent}", *numbers))
    return GateVerdict(True, (f"better than {difference.opponent} beyond noise", *numbers))


def _against_baselines(baselines: tuple[Comparison, ...]) -> GateVerdict:
    lost = [difference.opponent for difference in baselines if _is_beaten(difference)]
    numbers = tuple(line for difference in baselines for line in _describe(difference))
    if lost:
        return GateVerdict(False, (f"no champion yet, and not better than {' and '.join(lost)}", *numbers))
    return GateVerdict(True, ("no champion yet, and no baseline is better", *numbers))


def _is_beaten(difference: Comparison) -> bool:
    ap, money = difference.average_precision, difference.saved_per_thousand
    return ap.high < 0 or money.high < 0 or (ap.value <= 0 and money.value <= 0)


def _describe(difference: Comparison) -> tuple[str, str]:
    ap, money = difference.average_precision, difference.saved_per_thousand
    return (
        f"average precision {ap.value:+.3f} [{ap.low:+.3f}, {ap.high:+.3f}] against {difference.opponent}",
        f"money saved {money.value:+.0f} [{money.low:+.0f}, {money.high:+.0f}] EUR per thousand payments against {difference.opponent}",
    )
