"""Which features would you compute for each payment, for as long as this model lives? Twenty at most."""

from study import GROUPS


def chosen() -> list[str]:
    """Names of data/features.py."""
    return [name for group in GROUPS.values() for name in group]
