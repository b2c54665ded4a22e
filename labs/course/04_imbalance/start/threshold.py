"""Step 5: where the policy cuts, and what comes of it."""


def choose(is_fraud, probability, amount, costs, capacity):
    """The score from which a payment is reviewed: alert when `probability >= choose(...)`.

    Arrays (n,): what the payments were, their calibrated scores, their amounts in EUR. `costs.review` is the price of a review,
    `costs.chargeback_fee` comes on top of the amount of a fraud that was missed. `capacity`: at most so many alerts per
    thousand payments. Answer above every score where no review pays.
    """
    return 0.5


def outcome(is_fraud, alert, amount, costs):
    """The confusion matrix and what it is worth: a dictionary of true_positives, false_positives, false_negatives,
    true_negatives (counts), precision, recall (0 to 1) and saved_per_thousand (EUR per thousand payments, against no alert)."""
    raise NotImplementedError("Write `outcome` in threshold.py.")
