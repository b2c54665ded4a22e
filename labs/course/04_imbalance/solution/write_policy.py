"""Writes policy.toml from threshold.py and the champion: `python write_policy.py`."""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from study import CAPACITY, COSTS, Study
from threshold import choose

from data.costs import decline_threshold

study = Study.here()
brief = tomllib.loads(Path("brief.toml").read_text())
costs, capacity = replace(COSTS, review=brief["review_eur"]), brief["capacity_per_thousand"]
if sys.argv[1:] == ["--today"]:
    costs, capacity = COSTS, CAPACITY
validation = study.validation
review_at = choose(validation.is_fraud, study.champion.score_many(validation.features), validation.amount, costs, capacity)
Path("policy.toml").write_text(
    f'model_version = "{study.champion.version}"\nbundle_digest = "{study.champion_digest}"\n'
    f"review_at = {review_at:.7f}\ndecline_at = {max(review_at, decline_threshold(costs)):.4f}\n"
)
