"""Step 5: where the policy cuts, and what comes of it."""

import numpy as np


def choose(is_fraud, probability, amount, costs, capacity):
    """Walk down the scores, add up what each review earns, stop where it earned most within the capacity."""
    order = np.argsort(-probability, kind="stable")
    earned = np.cumsum(np.where(is_fraud, amount + costs.chargeback_fee, 0.0)[order] - costs.review)
    scores = probability[order]
    last_of_equals = np.append(scores[1:] != scores[:-1], True)  # equal scores are reviewed together
    within = np.arange(1, len(scores) + 1) <= capacity / 1000 * len(scores)
    places = np.flatnonzero(last_of_equals & within & (earned > 0))
    if len(places) == 0:
        return float(np.nextafter(scores[0], 2))
    return float(scores[places[np.argmax(earned[places])]])


def outcome(is_fraud, alert, amount, costs):
    """Counts, shares of them, and money."""
    caught = is_fraud & alert
    return {
        "true_positives": int(caught.sum()),
        "false_positives": int((~is_fraud & alert).sum()),
        "false_negatives": int((is_fraud & ~alert).sum()),
        "true_negatives": int((~is_fraud & ~alert).sum()),
        "precision": float(caught.sum() / max(1, alert.sum())),
        "recall": float(caught.sum() / is_fraud.sum()),
        "saved_per_thousand": float(1000 * ((amount[caught] + costs.chargeback_fee).sum() - costs.review * alert.sum()) / len(alert)),
    }
