"""The champion's sealed policy beside yours, and what yours does on the test rows: `python policy.py`."""

import tomllib
from dataclasses import replace
from pathlib import Path

from study import CAPACITY, COSTS, Study
from threshold import choose, outcome

study = Study.here()
champion, validation, test = study.champion, study.validation, study.test
brief = tomllib.loads(Path("brief.toml").read_text())
p_validation, p_test = (champion.score_many(part.features) for part in (validation, test))
print(f"champion: version {champion.version}, bundle {study.champion_digest[:12]}")
print(f"its sealed policy: review from {champion.policy.review_at:.5f}, decline from {champion.policy.decline_at:.5f}\n")
for name, costs, capacity in (
    ("today", COSTS, CAPACITY),
    ("brief", replace(COSTS, review=brief["review_eur"]), brief["capacity_per_thousand"]),
):
    at = choose(validation.is_fraud, p_validation, validation.amount, costs, capacity)
    alert = p_test >= at
    print(f"{name}: a review costs {costs.review:g} EUR, {capacity:g} alerts per thousand -> your threshold {at:.5f}")
    print(f"  on the test rows: {1000 * alert.mean():.1f} alerts per thousand")
    for fact, value in outcome(test.is_fraud, alert, test.amount, costs).items():
        print(f"  {fact:<20}{value:>10,.3f}" if isinstance(value, float) else f"  {fact:<20}{value:>10,}")
