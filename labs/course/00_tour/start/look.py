"""Prints what the prediction log holds of your payments: `python look.py`."""

import json
from datetime import UTC, datetime
from pathlib import Path

from data.prediction_frames import window_frame
from data.settings import Settings

log = window_frame(Settings.load().log_place, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
mine = {json.loads(Path(file).read_text())["transaction_id"] for file in ("payment.json", "second.json")}
rows = log[log["transaction_id"].isin(mine)]
print(rows[["transaction_id", "decision", "score", "model_version", "card_count_1h", "latency_us"]].to_string(index=False))
