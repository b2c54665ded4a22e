"""Rollouts in which requests fail: the ramp of `make bench-canary`, drawn look by look for thousands of rollouts at once. Pure.

1 % of the requests for 4,000 of them, then 5 %, 25 % and 50 %; somebody looks every 100. Each request fails or not, whoever
answers it, and is of a card of its own. Our service asks both models about every request, so each draw also says on how many
requests of a look one model alone would have failed; the other rules never see that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
RAMP: Final = ((0.01, 4_000), (0.05, 6_000), (0.25, 10_000), (0.5, 20_000))  # share of the canary, requests
LOOK: Final = 100  # requests
MINUTE: Final = 10  # looks: 1,000 requests
AT_ONCE: Final = 1_000  # rollouts in memory together


@dataclass(frozen=True)
class Level:
    """One fault: the failing share of the stable version and of the canary."""

    stable: float
    canary: float

    @property
    def is_fault(self) -> bool:
        return self.canary > self.stable

    def told(self) -> str:
        return f"{100 * self.stable:g} → {100 * self.canary:g} %"


LEVELS: Final = tuple(
    Level(stable, canary)
    for stable, canary in (
        (0.002, 0.002), (0.02, 0.02), (0.002, 0.004), (0.002, 0.01), (0.002, 0.05), (0.002, 0.3), (0.002, 1.0), (0.02, 0.03), (0.02, 0.06),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Draws:
    """r rollouts of k looks. All arrays (r, k) but `share`, and all of them counts of requests within one look."""

    share: NDArray[np.float64]  # (k,), of the requests that the canary answers
    canary: Counts  # answered by the canary
    canary_failed: Counts
    stable_failed: Counts  # of the others
    canary_alone: Counts  # of all requests: the canary's model fails on them and the stable one does not
    stable_alone: Counts

    @property
    def exposed(self) -> Counts:
        """Requests that the canary has answered up to and with each look."""
        return np.cumsum(self.canary, axis=1)


def shares(ramp: tuple[tuple[float, int], ...] = RAMP) -> NDArray[np.float64]:
    """Of each look, (k,)."""
    return np.repeat([share for share, _ in ramp], [requests // LOOK for _, requests in ramp])


def draw(level: Level, runs: int, random: np.random.Generator) -> Draws:
    """`runs` rollouts at one level."""
    share = shares()
    canary = random.binomial(LOOK, share, (runs, len(share)))
    stable = LOOK - canary
    canary_failed, stable_failed = random.binomial(canary, level.canary), random.binomial(stable, level.stable)
    # On the stable version's requests the mirrored model fails with it or alone; on the canary's own, the stable one does.
    both_there, alone_there = random.binomial(stable_failed, level.canary), random.binomial(stable - stable_failed, level.canary)
    both_here, alone_here = random.binomial(canary_failed, level.stable), random.binomial(canary - canary_failed, level.stable)
    return Draws(
        share=share,
        canary=canary,
        canary_failed=canary_failed,
        stable_failed=stable_failed,
        canary_alone=canary_failed - both_here + alone_there,
        stable_alone=stable_failed - both_there + alone_here,
    )


def in_parts(level: Level, runs: int, seed: int) -> Iterator[Draws]:
    """The same in parts that fit into memory; each rule sees the same rollouts."""
    random = np.random.default_rng([seed, int(1e6 * level.stable), int(1e6 * level.canary)])
    for first in range(0, runs, AT_ONCE):
        yield draw(level, min(AT_ONCE, runs - first), random)
