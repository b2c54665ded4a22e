"""Given: `python audit.py` counts labels against the truth, and tries your delays.py.

At work nobody has the truth; you would buy some of it, by investigating a random sample. This world keeps its own (data/world), and
only whoever judges labels or monitors may look at it.
"""

from datetime import timedelta

import pandas as pd
from delays import reported_within

from data.settings import Settings
from labs.stream import midnight, open_stream

stream = open_stream(Settings.load(), None, 0)
labels = stream.dataset.read("labels", stream.first, stream.live)
truth = stream.dataset.read("truth", stream.first, stream.live).set_index("transaction_id")["is_fraud"]
reports = labels[labels["is_fraud"]]
right = int(truth.reindex(reports["transaction_id"]).sum())
print(f"{len(truth):,} payments, {truth.sum():,} of them frauds")
print(f"{len(labels):,} labels, {len(reports):,} of them of fraud; {right:,} of those payments were frauds")
known = labels[labels["report_time"] <= pd.Timestamp(midnight(stream.live))]
young = reports[reports["event_time"] > pd.Timestamp(midnight(stream.live) - timedelta(days=7))]
told = (young["report_time"] <= pd.Timestamp(midnight(stream.live))).mean()
print(f"of the last week's frauds that will be reported, {told:.0%} are known today")
try:
    for days in (1, 3, 7, 14, 21, 30):
        print(f"reported within {days:>2} days, by your delays.py: {reported_within(known, midnight(stream.live), days):.3f}")
except NotImplementedError as left_open:
    print(left_open)
