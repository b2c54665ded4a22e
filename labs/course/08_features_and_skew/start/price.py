"""Given: `python price.py` lets the champion rank the logged payments with the features it was served, and with the right ones."""

from datetime import timedelta

import numpy as np
from study import Live

live = Live.here()
first = min(live.day[np.argsort(live.seconds)])
print("average precision when it was trained: ", end="")
print(f"{live.promised:.3f}\n")
print(f"{'week from':<12}{'features':<12}{'avg. precision':>15}{'frauds missed':>15}{'saved per 1,000':>18}")
while live.week(first).sum() > 20_000:
    rows = live.week(first)
    for name, features in (("served", live.served), ("replayed", live.again)):
        worth = live.worth(features, rows)
        print(f"{first:%Y-%m-%d}  {name:<12}{worth['ap']:>15.3f}{worth['missed']:>15.0f}{worth['saved']:>14.1f} EUR")
    first += timedelta(days=7)
