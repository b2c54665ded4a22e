"""Yours: what does the next model learn from?"""

from estimate import counted


def learned(rows):
    """What was let through; of what was due to be declined, those that were spared, each for all that it was drawn from."""
    fraud, stands_for = counted(rows)
    return stands_for > 0, fraud, stands_for
