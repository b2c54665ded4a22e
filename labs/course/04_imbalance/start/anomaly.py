"""Step 6: what stands out, without a single label."""

import numpy as np
from sklearn.ensemble import IsolationForest

from data.features import FEATURES

# data/features.py says what each column means. Card testing tries stolen cards, one after another, at one shop: where does that show?
COLUMNS = list(FEATURES)


def scores(known, payments):
    """How strange each row of `payments` (n, features) is, higher is stranger: (n,). `known` (m, features): ordinary days, unlabelled."""
    places = [FEATURES.index(name) for name in COLUMNS]
    middle = np.nanmedian(known[:, places], axis=0)

    def prepared(rows):
        return np.where(np.isnan(rows[:, places]), middle, rows[:, places])

    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(prepared(known))
    return -forest.score_samples(prepared(payments))
