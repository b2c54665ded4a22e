"""Numbers of experiments as people say them. Used by the commands `lab ab` and their bench."""

import math

from pipelines.metrics import Interval


def amount(number: float) -> str:
    """A count in three figures: 982, 32,100, 4.1 M; "never" for one without end."""
    if not math.isfinite(number):
        return "never"
    if number >= 999_500:
        return f"{number / 1e6:,.1f} M"
    return f"{float(f'{number:.3g}'):,.0f}"


def share(found: Interval) -> str:
    """A share with its interval: 5% (2-9)."""
    value, low, high = (f"{100 * part:.0f}" for part in found)
    return f"{value}% ({low}-{high})"


def change(found: Interval) -> str:
    """A relative change with its interval: -20% (-25 to -14)."""
    value, low, high = (signed(part)[:-1] for part in found)
    return f"{value}% ({low} to {high})"


def signed(part: float) -> str:
    """A relative change: -20%, +8%, 0%."""
    text = f"{part:+.0%}"
    return "0%" if text in ("-0%", "+0%") else text


def number(found: Interval) -> str:
    """A number with its interval: 23 (8-51)."""
    value, low, high = (f"{part:.0f}" for part in found)
    return f"{value} ({low}-{high})"
