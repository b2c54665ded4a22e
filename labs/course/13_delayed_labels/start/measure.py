"""Given: the shop's alerts by estimate.py, beside the truth: `python measure.py`."""

import numpy as np
import shop
from estimate import counted

here = shop.here()
print(f"{len(here.score):,} payments, {here.declined.sum():,} due to be declined, {here.reviewed.sum():,} reviewed; mean of 10 hold-outs\n")
said = np.mean([here.estimate(here.rows(draw), counted) for draw in range(10)], axis=0)
print(f"{'':<20}{'by estimate.py':>16}{'true':>10}{'off by':>10}")
for name, by_yours, true in zip(here.truth._fields, said, here.truth, strict=True):
    print(f"{name.replace('_', ' '):<20}{by_yours:>16.3f}{true:>10.3f}{by_yours / true - 1:>+10.0%}")
