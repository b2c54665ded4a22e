"""The LightGBM settings of the lab and the small space searched around them, a reason beside every number.

The reasons are measured by `python -m tests.bench.handbook` and `python -m tests.bench.ulb`. Training and the benches
read them; nothing else.
"""

from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np


@dataclass(frozen=True)
class LightGBMParameters:
    """One complete choice. `to_lightgbm` gives the dictionary that `lightgbm.train` takes."""

    # AP below: mean average precision over the Handbook's four validation folds, 7 training days, our features,
    # 300 rounds, one seed: 0.742 with these numbers. Differences under 0.003 are noise.
    rounds: int = 600  # a roof: early stopping takes fewer
    learning_rate: float = 0.03  # AP 0.742 at 0.02 too; 0.1 costs 0.01 on ULB, and without the two guards below diverges
    num_leaves: int = 12  # AP 0.742 at 8 too; deeper trees only cost time
    min_data_in_bin: int = 1  # with max_bin: a limit like "amount above 220" must fall between two bins
    max_bin: int = 4095  # knife edges and tiny risk shares: AP 0.735 at 1023, 0.721 at 255 (and 0.6 of the time)
    min_data_in_leaf: int = 20  # LightGBM's default; AP 0.742 at 5 and at 60
    min_sum_hessian_in_leaf: float = 1.0  # leaves without hessian take huge steps: LightGBM's defaults reach 0.459 on ULB, these 0.787
    lambda_l2: float = 5.0  # the second guard: ULB 0.757 without either; AP 0.738 at 20, though with 0.004 more ROC AUC
    feature_fraction: float = 0.5  # windows of one quantity stand in for each other; AP 0.739 at 0.3
    bagging_fraction: float = 0.8  # every tree on another 80 % of the rows; AP 0.740 at 0.6
    scale_pos_weight: float = 1.0  # AP 0.738 at 5, and the probabilities are then wrong

    def to_lightgbm(self, *, seed: int, threads: int = 1) -> dict[str, Any]:
        """Parameters for `lightgbm.train`, deterministic for one seed and number of threads. Pass `rounds` beside them."""
        chosen = {name: value for name, value in asdict(self).items() if name != "rounds"}
        return chosen | {
            "objective": "binary",
            "metric": "average_precision",
            "bagging_freq": 1,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,  # else LightGBM times both layouts and the clock decides
            "verbosity": -1,
        }


SEARCH_SPACE: Final[dict[str, tuple[Any, ...]]] = {
    "learning_rate": (0.02, 0.03, 0.05),
    "num_leaves": (8, 12, 16),
    "min_sum_hessian_in_leaf": (1.0, 3.0, 10.0),
    "lambda_l2": (1.0, 5.0, 20.0),
    "feature_fraction": (0.3, 0.5, 0.8),
}


def candidates(count: int, seed: int, start: LightGBMParameters | None = None) -> list[LightGBMParameters]:
    """`count` different choices: `start` (default: the lab's own) first, then seeded draws from SEARCH_SPACE around it."""
    first = start or LightGBMParameters()
    grid = [replace(first, **dict(zip(SEARCH_SPACE, choice, strict=True))) for choice in product(*SEARCH_SPACE.values())]
    order = np.random.default_rng(seed).permutation(len(grid))
    others = [grid[i] for i in order if grid[i] != first]
    return [first, *others[: count - 1]]
