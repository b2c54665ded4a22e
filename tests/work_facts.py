"""What the duties of `lab work` keep, as far as its gauges read it; for tests, and for the list of metrics in REFERENCE.md."""

from typing import Any

WINDOW: dict[str, Any] = {
    "start": "2026-03-05T00:00:00+00:00", "end": "2026-03-12T00:00:00+00:00", "payments": 43_000,
    "tests": [{"column": "amount", "value": 0.2, "threshold": 0.03}], "alert_rate": {"value": 0.02, "reference": 0.01},
    "label_flow": {"known": 50.0, "expected": 60.0}, "judged": ["2026-02-27", "2026-03-04"],
    "performance": {name: [0.5, 0.4, 0.6] for name in ("alert_precision", "alert_recall", "recall_at_capacity", "saved_per_thousand")},
    "detections": [{"detector": "unit", "alarmed": True}], "verdict": {"decision": "retrain", "headline": "x"}, "version": "1",
}  # fmt: skip
LOOK: dict[str, Any] = {
    "at": "2026-03-12T00:00:00+00:00", "rollout_id": "r", "payments": 900, "matured_payments": 10, "matured_frauds": 1, "verdict": "hold",
    "e_values": {"errors": 0.1, "costs_more": 0.2}, "money_per_thousand": [1.0, -2.0, 4.0],
}  # fmt: skip
