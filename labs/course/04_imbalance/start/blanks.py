"""What is missing in the rows that a SMOTE model learns from, and in those it scores: `python blanks.py`."""

import numpy as np
from study import Study

from data.features import FEATURES
from pipelines.training.resample import rebalance

study = Study.here()
learned = rebalance(study.rows(0), "smote", 0)
missing = np.isnan(study.test.features).mean(axis=0)
print(f"{'feature':<30}{'SMOTE learns from':>20}{'it scores':>12}   median in train")
for i in np.argsort(-missing)[:8]:
    middle = np.nanmedian(study.train.features[:, i])
    print(f"{FEATURES[i]:<30}{np.isnan(learned.features[:, i]).mean():>18.1%}{missing[i]:>12.1%}{middle:>18.1f}")
print("\nIn trees that never saw a missing value LightGBM takes one for 0.")
