"""Sends accurate.py to the promotion gate, beside the champion: `python gate.py`."""

from accurate import score
from study import Study

study = Study.here()
test = study.test
for name, scores, review_at in (
    ("accurate.py", score(test.features), 0.5),
    (f"champion {study.champion.version}", study.champion.score_many(test.features), study.champion.policy.review_at),
):
    alert = scores >= review_at
    print(
        f"{name:<12} accuracy {(alert == test.is_fraud).mean():.4f}"
        f"   alerts {alert.sum():>5,}   frauds caught {(alert & test.is_fraud).sum()} of {test.is_fraud.sum()}"
    )
verdict = study.gate(score(study.rows(0).features), score(test.features))
print("\nThe gate", "lets accurate.py pass:" if verdict.passed else "refuses accurate.py:")
print("\n".join(f"- {reason}" for reason in verdict.reasons))
