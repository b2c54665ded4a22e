"""Step 5: which importances moved, and which only were retrained?"""


def moved(earlier, latest):
    """The features whose importance moved for another reason than that the model was trained again: a list of their places.

    `earlier`: (n, features), one row for each earlier retraining, nothing having drifted; `latest`: (features,). Each row sums to
    1. Features that had less than 2 % of the importance so far are nobody's concern. Of eight retrainings without drift, two may name
    something.
    """
    usual = earlier.mean(axis=0)
    return [place for place in range(len(latest)) if abs(latest[place] - usual[place]) > 0.2 * usual[place]]
