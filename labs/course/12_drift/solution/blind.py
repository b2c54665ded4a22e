"""Step 4: a drift that alarms and hurts nobody, and one that hurts and alarms no input monitor."""

import numpy as np


def loud(rows):
    """Every card paid once more in the last day: a count that the champion hardly asks for."""
    return rows.assign(card_count_1d=rows["card_count_1d"] + 1)


def silent(rows):
    """A join off by one: each payment gets the card's history of the payment before it."""
    return rows.assign(**{name: np.roll(rows[name].to_numpy(), 1) for name in rows if "card" in name or name == "speed_kmh"})
