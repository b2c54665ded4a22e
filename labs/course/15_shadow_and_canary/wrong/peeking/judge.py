"""A stricter z-test with a least number of payments, at every look."""

import math


def verdict(challenger, champion, share, last):
    (bad, n), (bad_of_champion, m) = challenger, champion
    if n >= 100:
        pooled = (bad + bad_of_champion) / (n + m)
        error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        if error and (bad / n - bad_of_champion / m) / error > 2.33:
            return "roll_back"
    if last:
        return "promote" if n >= 500 else "inconclusive"
    return "hold"
