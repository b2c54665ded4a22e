"""The judge: asked again and again while a canary runs, until it has said something."""

import math

ALPHA = 0.01  # chance to roll back a challenger that is as good as the champion, however often you look
MARGIN = 0.01  # a challenger may be promoted that is shown to fail on less than this share of its payments
UNSHOWN = 0.05  # chance to promote one that fails on more


def verdict(challenger, champion, share, last):
    """What is to be done: "roll_back", "promote", "hold" (look again later) or "inconclusive" (nothing was shown; the champion stays).

    `challenger`, `champion`: (failed, payments) so far. `share`: of cards given to the challenger. `last`: the time is up.
    """
    (bad, n), (bad_of_champion, n_of_champion) = challenger, champion
    pooled = (bad + bad_of_champion) / (n + n_of_champion)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n_of_champion)) if n and n_of_champion else 0
    z = (bad / n - bad_of_champion / n_of_champion) / error if error else 0
    if z > 1.96:
        return "roll_back"
    return "promote" if last else "hold"
