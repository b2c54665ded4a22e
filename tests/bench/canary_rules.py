"""Six rules that stop a canary, each over many rollouts at once: naive z-tests, three tools' ways, and ours. Pure.

The tools' rules are re-implemented here from descriptions of them, with the settings of their examples, as far as failing requests go;
no tool runs. Ours is the product's own test (`pipelines.rollout`) over many rollouts at once: a test compares both, look by look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.sequential import HIGHER_ODDS
from pipelines.rollout.split import null_share
from tests.bench.canary_ramp import LOOK, MINUTE, Draws

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
NEVER: Final = -1
PLAN: Final = RolloutPlan.load()


@dataclass(frozen=True)
class Rule:
    """`first(draws)`: the look at which each rollout is stopped, (r,), or NEVER."""

    name: str
    how: str
    first: Callable[[Draws], NDArray[np.intp]]


def z_test(critical: float) -> Callable[[Draws], NDArray[np.intp]]:
    """A one-sided test of two proportions on all that was seen so far, at every look."""

    def first(draws: Draws) -> NDArray[np.intp]:
        exposed, answered = draws.exposed, LOOK * np.arange(1, len(draws.share) + 1)
        rest = answered - exposed
        theirs, others = np.cumsum(draws.canary_failed, axis=1), np.cumsum(draws.stable_failed, axis=1)
        pooled = (theirs + others) / answered
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (theirs / exposed - others / rest) / np.sqrt(pooled * (1 - pooled) * (1 / exposed + 1 / rest))
        return first_true(z > critical)

    return first


def checks(least_success: float, failures: int) -> Callable[[Draws], NDArray[np.intp]]:
    """A success rate asked for every minute, and so many minutes below it that stop the rollout. A minute without requests passes."""

    def first(draws: Draws) -> NDArray[np.intp]:
        failed, answered = per_minute(draws.canary_failed), per_minute(draws.canary)
        low = failed > (1 - least_success) * answered
        return _end_of_minute(first_true(np.cumsum(low, axis=1) >= failures))

    return first


def mann_whitney(minutes: int = 10, z: float = 2.326, tolerance: float = 0.25) -> Callable[[Draws], NDArray[np.intp]]:
    """Canary and stable failure rates by the minute, ten at a time: stop when the 98 % interval of the Hodges-Lehmann shift lies
    above `tolerance` of the shift itself."""

    def first(draws: Draws) -> NDArray[np.intp]:
        stable = per_minute(LOOK - draws.canary)
        theirs = per_minute(draws.canary_failed) / np.maximum(per_minute(draws.canary), 1)
        others = per_minute(draws.stable_failed) / np.maximum(stable, 1)
        analyses = [
            _shifted(theirs[:, end - minutes : end], others[:, end - minutes : end], z, tolerance)
            for end in range(minutes, theirs.shape[1] + 1, minutes)
        ]
        found = first_true(np.stack(analyses, axis=1))
        return _end_of_minute(np.where(found == NEVER, NEVER, minutes * (found + 1) - 1))

    return first


def _shifted(theirs: Floats, others: Floats, z: float, tolerance: float) -> Mask:
    m, n = theirs.shape[1], others.shape[1]
    shifts = np.sort((theirs[:, :, None] - others[:, None, :]).reshape(len(theirs), -1), axis=1)
    rank = int(m * n / 2 - z * np.sqrt(m * n * (m + n + 1) / 12))
    above: Mask = shifts[:, rank - 1] > tolerance * np.abs(np.median(shifts, axis=1))
    return above


def ours(draws: Draws) -> NDArray[np.intp]:
    """The product's guardrail: which model alone fails, on every request, as both are asked."""
    return _crossing(mirrored(draws), PLAN.budgets.errors)


def ours_split(draws: Draws) -> NDArray[np.intp]:
    """The same test on what the others see: which arm failing requests belong to, against its share of them."""
    return _crossing(split(draws), PLAN.budgets.errors)


def mirrored(draws: Draws, odds: Sequence[float] = HIGHER_ODDS) -> Floats:
    """Log e-value at every look, (r, k)."""
    return log_e(draws.canary_alone, draws.stable_alone, np.full(len(draws.share), null_share(0.5, PLAN.tolerance)), odds)


def split(draws: Draws, odds: Sequence[float] = HIGHER_ODDS) -> Floats:
    """Log e-value at every look, (r, k)."""
    return log_e(draws.canary_failed, draws.stable_failed, np.array([null_share(share, PLAN.tolerance) for share in draws.share]), odds)


def log_e(heads: NDArray[np.int64], tails: NDArray[np.int64], null: Floats, odds: Sequence[float]) -> Floats:
    """`OddsTest` for many at once: heads and tails (r, k) of each look, whose coin has chance `null` (k,); log e-values (r, k)."""
    wealth = []
    for ratio in odds:
        weight = 1.0 + null * (ratio - 1.0)
        wealth.append(np.cumsum(heads * np.log(ratio / weight) - tails * np.log(weight), axis=1))
    top = np.max(wealth, axis=0)
    return np.asarray(top + np.log(np.mean([np.exp(each - top) for each in wealth], axis=0)))


def first_true(found: Mask) -> NDArray[np.intp]:
    """Position of the first True of each row of (r, k), or NEVER."""
    return np.where(found.any(axis=1), found.argmax(axis=1), NEVER)


def per_minute(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums by minute, (r, k / MINUTE)."""
    summed: NDArray[np.int64] = counts.reshape(len(counts), -1, MINUTE).sum(axis=2)
    return summed


def _crossing(log_values: Floats, alpha: float) -> NDArray[np.intp]:
    return first_true(log_values >= np.log(1 / alpha))


def _end_of_minute(minute: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.where(minute == NEVER, NEVER, MINUTE * (minute + 1) - 1)


RULES: Final = (
    Rule("naive z, 5 %", "one-sided z-test of two proportions at every look, 1.645", z_test(1.645)),
    Rule("z, 0.1 %", "the same with 3.090", z_test(3.090)),
    Rule("Argo-like", "success rate of the canary under 95 % in more than 3 one-minute checks (failureLimit: 3)", checks(0.95, 4)),
    Rule("Flagger-like", "success rate of the canary under 99 % in 10 one-minute checks (threshold: 10)", checks(0.99, 10)),
    Rule("Kayenta-like", "Mann–Whitney on ten one-minute points, 98 %, tolerance a quarter of the shift", mann_whitney()),
    Rule("ours, split only", "e-process on whose the failing requests are, 0.3 %, tolerance 1.2: the same facts as the others", ours_split),
    Rule("ours", "e-process on which model alone fails, 0.3 %, tolerance 1.2: both are asked about every request", ours),
)
