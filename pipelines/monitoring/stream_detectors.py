"""Sequential detectors on streams of yes and no, with a guaranteed run length to a false alarm.

A window test looks once; a stream is looked at after every payment, and a change may have begun at any of them. A
Shiryaev-Roberts e-detector (Shin, Ramdas, Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2) sums one e-process for each possible beginning:

    M_n = (M_{n-1} + 1) L_n,    alarm when M_n >= run_length,

with L_n an e-value of observation n. While the null is true, M_n - n is a supermartingale, so the mean number of
observations to a false alarm is at least `run_length`, however the observations depend on one another. The bets are
those of `sequential.OddsTest`, averaged over alternatives (Robbins 1970), and shrunk by a design effect where frauds
come in campaigns (E[L^(1/d)] <= E[L]^(1/d) <= 1 by Jensen, so the guarantee stays).

State is a value, and how a stream is cut into calls changes no bit of it. Called by `portfolio`; anything may.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipelines.monitoring.profile import Floats, Mask

BLOCK: Final = 256  # observations after which the running products start again from 1: none can over- or underflow
CEILING: Final = 10.0  # times the run length: a change that is over must not be remembered for long

# How many times the null's odds an alternative expects.
MORE_ALERTS: Final = (1.2, 1.5, 2.0, 3.0, 6.0)
FEWER_CAUGHT: Final = (0.6, 0.35, 0.15, 0.05)
FEWER_LABELS: Final = (0.5, 0.2, 0.02)


@dataclass(frozen=True)
class EDetector:
    """One detector and all that it remembers. Within a block, M = products * (base + sums)."""

    odds: tuple[float, ...]
    run_length: float  # observations, at least, in the mean, to a false alarm
    effect: float = 1.0  # design effect by which evidence is shrunk, at least 1
    seen: int = 0
    base: tuple[float, ...] = ()
    products: tuple[float, ...] = ()
    sums: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.base:
            for name, value in (("base", 0.0), ("products", 1.0), ("sums", 0.0)):
                object.__setattr__(self, name, (value,) * len(self.odds))

    @property
    def statistic(self) -> float:
        """The mean of M over the alternatives; an alarm from `run_length` on."""
        return float(np.mean(np.array(self.products) * (np.array(self.base) + np.array(self.sums))))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the statistic; -inf before the first observation."""
        return float(np.log(self.statistic)) if self.statistic > 0 else -np.inf

    def feed(self, heads: Mask, null: Floats) -> tuple["EDetector", Mask]:
        """After more observations, each with chance of heads `null` in (0, 1) while all is quiet, given what came before; both (n,).

        Also returns which of them left the statistic at an alarm, (n,).
        """
        ratio = np.array(self.odds)[:, None]
        weight = 1.0 + null * (ratio - 1.0)
        bets = (np.where(heads, ratio, 1.0) / weight) ** (1.0 / self.effect)
        base, products, sums = (np.array(part)[:, None] for part in (self.base, self.products, self.sums))
        alarms, at = np.zeros(len(heads), dtype=np.bool_), 0
        while at < len(heads):
            part = bets[:, at : at + BLOCK - (self.seen + at) % BLOCK]
            run = np.cumprod(np.concatenate([products, part], axis=1), axis=1)
            add = np.cumsum(np.concatenate([sums, 1.0 / run[:, :-1]], axis=1), axis=1)[:, 1:]
            total = run[:, 1:] * (base + add)
            alarms[at : at + part.shape[1]] = total.mean(axis=0) >= self.run_length
            at += part.shape[1]
            if (self.seen + at) % BLOCK:
                products, sums = run[:, -1:], add[:, -1:]
            else:
                base = np.minimum(total[:, -1:], CEILING * self.run_length)
                products, sums = np.ones_like(base), np.zeros_like(base)
        after = replace(self, seen=self.seen + len(heads), base=_values(base), products=_values(products), sums=_values(sums))
        return after, alarms


def _values(column: Floats) -> tuple[float, ...]:
    return tuple(column.ravel().tolist())
