"""Step 4: a drift that alarms and hurts nobody, and one that hurts and alarms no input monitor."""


def loud(rows):
    """Every card paid once more in the last day: a count that the champion hardly asks for."""
    return rows.assign(card_count_1d=rows["card_count_1d"] + 1)


def silent(rows):
    """No card has a past: the cache is empty."""
    return rows.assign(**{name: 0.0 for name in rows if "card" in name})
