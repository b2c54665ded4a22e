"""Given: what a hold-out costs, and how well it tells: `python price.py`."""

import shop
from estimate import counted

here = shop.here()
print(f"{'share let through':<20}{'EUR per 1,000 payments':>24}{'recall is off by':>20}")
for share in shop.SHARES:
    print(f"{share:<20.0%}{here.price(share):>24.1f}{here.spread(share, counted):>20.1%}")
print("off by: one standard deviation, from one hold-out of a month to the next")
