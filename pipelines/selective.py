"""Selective labels: what a declined payment would have been is never known, and what to do about it.

Learning and measuring on approved payments alone looks at a world from which the model has removed what it finds worst:
recall seems low, as the frauds it is surest of are not counted, and a new model never sees them. With a random hold-out
(`Policy.random_approve_share`) a few payments due to be declined are let through, and their labels stand for all of them:
each counts as many times as payments were declined for one that was spared (inverse probability weighting; Horvitz and
Thompson 1952; Lakkaraju et al. 2017, "The selective labels problem", KDD). Called by `table`, `performance` and training.
"""

from typing import Final

import numpy as np
import pandas as pd

from pipelines.monitoring.profile import Floats, Mask

FEWEST: Final = 5  # spared payments that can stand for the declined ones; fewer say too little at too great a weight


def outcome_weights(frame: pd.DataFrame, held_out: Mask) -> Floats | None:
    """How many payments the outcome of each row stands for, (n,): 0 for one declined; None where too few were held out.

    `frame` needs decision and model_version; `held_out` (n,): due to be declined and let through. The chance of being let
    through is counted and not taken from the policy: it is then right for every version, and the weights vary less (Hirano,
    Imbens and Ridder 2003, Econometrica 71).
    """
    declined = (frame["decision"] == "decline").to_numpy()
    weights = np.where(declined, 0.0, 1.0)
    version, _ = pd.factorize(frame["model_version"])
    spared, lost = np.bincount(version, held_out), np.bincount(version, declined)
    if (spared[lost > 0] < FEWEST).any():
        return None
    weights[held_out] += lost[version[held_out]] / spared[version[held_out]]
    return weights
