"""The promotion gate: the difference on the same payments, cards resampled, must be above zero beyond their luck."""

import numpy as np
import pandas as pd

from pipelines.metrics import average_precision


def promote(rows: pd.DataFrame, logged: dict[str, float]) -> bool:
    """Whether the lower end of the 95 % interval of the difference is above zero. What was logged elsewhere does not count."""
    cards, card = np.unique(rows["card"], return_inverse=True)
    is_fraud, champion, candidate = (rows[name].to_numpy() for name in ("is_fraud", "champion", "candidate"))
    draw, differences = np.random.default_rng(0), []
    for _ in range(300):
        drawn = np.bincount(draw.integers(0, len(cards), len(cards)), minlength=len(cards))[card]
        if drawn[is_fraud].sum():
            one, other = (average_precision(is_fraud, scores, weights=drawn) for scores in (candidate, champion))
            differences.append(one - other)
    return bool(np.quantile(differences, 0.025) > 0)
