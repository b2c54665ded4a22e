"""What every blog says of fraud: how often, how much and where the card paid."""

from study import GROUPS


def chosen() -> list[str]:
    return GROUPS["purchase"] + GROUPS["card totals"][:15]
