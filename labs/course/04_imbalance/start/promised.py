"""What the probabilities promise and what comes: `python promised.py`, before and after calibrate.py."""

import numpy as np
from calibrate import calibrate
from study import Study

from pipelines.metrics import brier, reliability

study = Study.here()
validation, test = study.fit("class_weights", 0)
y = study.test.is_fraud
for name, p in (
    ("as it comes", 1 / (1 + np.exp(-test))),
    ("after calibrate.py", calibrate(validation, study.validation.is_fraud, test)),
):
    curve = reliability(y, p, bins=8, equal_frauds=True)
    print(f"\n{name}: Brier {brier(y, p):.5f}, promises {p.sum():,.0f} frauds, {y.sum()} came")
    print(f"{'payments':>10}{'promised':>12}{'were fraud':>12}")
    for predicted, observed, payments in zip(curve.predicted, curve.observed, curve.payments, strict=True):
        print(f"{payments:>10,.0f}{predicted:>12.4f}{observed:>12.4f}")
constant = np.full(len(y), y.mean())
print(f"\nFor comparison, the same number for everybody: Brier {brier(y, constant):.5f}")
