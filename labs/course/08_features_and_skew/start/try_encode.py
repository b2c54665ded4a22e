"""Given: `python try_encode.py` encodes the logged payments by your encode.py, in batches as they came, and lets the champion rank them."""

import numpy as np
from encode import encode
from study import Live

from data.features import FEATURE_INDEX
from data.schema import CATEGORIES

live = Live.here()
words = live.payments["category"].astype(str).to_list()
column = FEATURE_INDEX["category"]
everything = np.ones(len(words), dtype=bool)
print(f"{len(words):,} payments; {sum(word not in CATEGORIES for word in words)} of a category that the training never saw\n")
print(f"{'encoded':<24}{'as trained':>11}{'avg. precision':>16}")
print(f"{'by the service':<24}{'':>11}{live.worth(live.again, everything)['ap']:>16.3f}")
for size in (5, 50, len(words)):
    mine, batches = live.again.copy(), range(0, len(words), size)
    try:
        mine[:, column] = [code for start in batches for code in encode(words[start : start + size], CATEGORIES)]
    except Exception as error:
        print(f"{'in batches of ' + format(size, ','):<24}{type(error).__name__}: a payment went unanswered")
        continue
    right = float((mine[:, column] == live.again[:, column]).mean())
    print(f"{'in batches of ' + format(size, ','):<24}{right:>11.0%}{live.worth(mine, everything)['ap']:>16.3f}")
