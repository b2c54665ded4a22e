"""How much of a fault each row gets, and which rows it reaches. For the files of `data/faults/` and whoever applies them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.serving_plan import card_position

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Dose:
    """The dose of each of n rows."""

    strength: float
    level: Floats  # (n,) in [0, 1]: 0 before the start, 1 once the ramp is over
    seed: int
    columns: tuple[str, ...] = ()  # those to act on, for a fault that can act on several

    def share(self, position: Floats) -> Mask:
        """Rows whose place falls into the touched share, `strength` at full level: sticky, and nested as the level rises."""
        return position < self.strength * self.level

    def positions(self, ids: Iterable[object]) -> Floats:
        """A fixed place in [0, 1) for each id, drawn as a rollout draws its cards; other seeds give others."""
        return np.fromiter((card_position(str(key), f"drift-{self.seed}") for key in ids), np.float64)
