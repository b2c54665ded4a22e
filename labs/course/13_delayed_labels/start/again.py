"""Given: models that learned from the shop's log, judged on the three weeks after it: `python again.py`, some seconds."""

import shop
from learn import learned

here = shop.here()
yours = [here.learn_again(here.rows(draw), learned, draw) for draw in range(2)]
print("average precision on the three weeks after, of a model that learned from")
print(f"  everything, as if nothing had been declined   {here.of_all:.3f}")
print(f"  survivors: declined payments left out         {here.of_survivors:.3f}")
print(f"  declined payments as genuine (none reported)  {here.of_unreported:.3f}")
print(f"  your learn.py, a hold-out of {shop.SHARE:.0%}              {yours[0]:.3f} and {yours[1]:.3f} (two hold-outs)")
