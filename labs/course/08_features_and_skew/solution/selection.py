"""Which features would you compute for each payment, for as long as this model lives? Twenty at most."""

from study import GROUPS


def chosen() -> list[str]:
    """What the ablation says: the purchase itself, when its card and device were last seen, and how busy the shop is."""
    return [name for group in ("purchase", "last time", "terminal totals") for name in GROUPS[group]]
