"""Step 2: is it an effect, or another seed?"""


def verdict(plain, treated):
    """What a method did to a measure: "up", "down" or "noise".

    `plain`, `treated`: the measure without and with the method, one value per seed (five each). Measures have any scale: an average
    precision near 0.3, a Brier score near 0.004. A method without effect may be called one in a seventh of cases, not more.
    """
    plain_mean, treated_mean = sum(plain) / len(plain), sum(treated) / len(treated)
    return "up" if treated_mean > plain_mean else "down"
