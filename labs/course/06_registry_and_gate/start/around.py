"""Given: the last rollback as log and ledger tell it. `python around.py`"""

from datetime import datetime, timedelta

import pandas as pd

from data.ledger import Ledger
from data.prediction_frames import window_frame
from data.settings import Settings

SHOWN_S = 0.4  # before the order, and after the last answer of the version that was replaced
STEP_MS = 100

settings = Settings.load()
ordered = [entry for entry in Ledger(settings.home / "ledger.jsonl").entries() if entry.kind == "rollback"]
if not ordered:
    raise SystemExit("The ledger knows of no rollback.")
last = ordered[-1]
at = datetime.fromisoformat(last.at)
print(f"{last.facts['rollout_id']}, ordered at {at:%H:%M:%S.%f} of event time by {last.facts['by']}")
print(f"version {last.facts['champion']} instead of version {last.facts['instead_of']}: {last.facts['reason']}\n")

log = window_frame(settings.log_place, at - timedelta(minutes=10), at + timedelta(minutes=10))
load = log[log["transaction_id"].str.startswith("load_")]
if load.empty:
    raise SystemExit("Nobody was paying.")
run = load[load["transaction_id"].str.rsplit("_", n=1).str[0] == load["transaction_id"].iloc[-1].rsplit("_", 1)[0]]
numbers = run["transaction_id"].str.rsplit("_", n=1).str[1].astype(int)
print(f"the last load: {len(run):,} payments in the log, numbers {numbers.min()} to {numbers.max()}\n")

after_s = (run["event_time"] - pd.Timestamp(at)).dt.total_seconds()
replaced = run["model_version"] == last.facts["instead_of"]
until_s = max(0.0, after_s[replaced].max() if replaced.any() else 0.0) + SHOWN_S
near = run[(after_s > -SHOWN_S) & (after_s < until_s)]
milliseconds = (near["event_time"] - pd.Timestamp(at)) // pd.Timedelta("1ms")
bins = -(-milliseconds // STEP_MS) * STEP_MS - STEP_MS  # what was made at the moment of the order comes before it
table = near.groupby(bins)["model_version"].value_counts().unstack(fill_value=0)
table.index.name, table.columns.name = "ms after the order", None
table = table.loc[:, table.any()].rename(columns=lambda version: f"version {version}")
table["slowest, ms in the service"] = near.groupby(bins)["latency_us"].max() / 1000
print(table.to_string())
