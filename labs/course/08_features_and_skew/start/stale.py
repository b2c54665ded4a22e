"""Given: `python stale.py` lets the champion rank every logged payment with totals of some time ago. Everything else stays as it is."""

import numpy as np
from study import AGES, Live

live = Live.here()
rows = np.ones(len(live.day), dtype=bool)
print(f"{'totals of cards and terminals':<32}{'avg. precision':>15}{'frauds missed':>15}{'saved per 1,000':>18}")
for name in AGES:
    worth = live.worth(live.with_totals(name), rows)
    print(f"{name:<32}{worth['ap']:>15.3f}{worth['missed']:>15.0f}{worth['saved']:>14.1f} EUR")
