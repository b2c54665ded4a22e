"""The promotion gate: two intervals that must not overlap."""

import numpy as np

from pipelines.metrics import average_precision, bootstrap_interval


def promote(rows, logged):
    champion, candidate = (
        bootstrap_interval(average_precision, rows["is_fraud"].to_numpy(), rows[name].to_numpy(), groups=np.asarray(rows["card"]), seed=0)
        for name in ("champion", "candidate")
    )
    return bool(candidate.low > champion.high)
