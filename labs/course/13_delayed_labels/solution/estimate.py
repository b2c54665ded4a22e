"""Yours: how good are the alerts of a shop that declines? Nobody reports a payment that never happened."""

import numpy as np


def counted(rows):
    """Each payment spared at random stands for itself and for the declined ones that it was drawn from (Horvitz and Thompson 1952)."""
    declined, spared = (rows["decision"] == "decline").to_numpy(), rows["held_out"].to_numpy()
    stands_for = 1 + declined.sum() / max(1, spared.sum())
    return rows["reported"].to_numpy(), np.select([declined, spared], [0.0, stands_for], 1.0)
