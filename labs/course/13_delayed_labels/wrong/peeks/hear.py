"""After each report a test whether the last thirty caught as many as usual, at one per cent."""

from scipy.stats import binom


def hear(caught, usual):
    table = [float(binom.cdf(hits, 30, usual)) for hits in range(31)]
    for place in range(29, len(caught)):
        if table[sum(caught[place - 29 : place + 1])] < 0.01:
            return place
    return None
