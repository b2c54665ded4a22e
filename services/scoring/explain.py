"""Explains a stored decision: the log says what was seen and answered, the child takes the score apart, this puts it into words.

For the route of that name. Nothing here touches what serves: the version that decided is read from its own bundle.
"""

import math

from data.bundle import GOLDEN_TOLERANCE
from data.contributions import by_group, by_size, level
from data.errors import BundleRefused, UnknownTransaction
from data.features import FEATURE_MEANING, FEATURES
from data.prediction_store import PredictionRecord, PredictionStore
from data.reasons import REASONS
from data.rules import fired_rules
from services.scoring import explain_messages as say
from services.scoring.explain_process import ExplainProcess
from services.scoring.explain_wire import Finding


class Explainer:
    """Answers for what is in the log. Belongs to the event loop's thread, as the log's reading methods do."""

    def __init__(self, log: PredictionStore, process: ExplainProcess) -> None:
        self._log = log
        self._process = process

    async def explain(self, transaction_id: str, top: int) -> say.Explanation:
        """Why this payment was answered so, with the `top` strongest contributions.

        Raises UnknownTransaction, LogUnavailable, and what `ExplainProcess.ask` raises; BundleRefused when the version
        on disk would have answered another score: then its arithmetic explains nothing.
        """
        record = self._log.logged(transaction_id)
        if record is None:
            raise UnknownTransaction(
                "No payment of this id was scored here.", next_step="Ask about payments that this service answered.", where="transaction_id"
            )
        finding = await self._process.ask(record.model_version, record.features)
        score = finding.calibration.probability(finding.attribution.margin)
        if not abs(score - record.score) <= GOLDEN_TOLERANCE:
            raise BundleRefused(
                f"Version {record.model_version}: expected the score that was answered, found one {abs(score - record.score):.2g} away.",
                next_step="Another model stands under that number now; `lab registry` lists the versions.",
                where="model_version",
            )
        return explanation(record, finding, top)

    def close(self) -> None:
        """End the child."""
        self._process.close()


def explanation(record: PredictionRecord, finding: Finding, top: int) -> say.Explanation:
    """One decision in words. Pure."""
    whole = finding.attribution
    values, parts = record.features.tolist(), whole.contributions
    ranked = by_size(parts)
    return say.Explanation(
        transaction_id=record.payment.transaction_id,
        event_time=record.payment.event_time,
        model_version=record.model_version,
        arm=record.arm,
        decision=record.decision,
        decided_by="policy" if finding.policy.decide(record.score) == record.decision else "rules",
        score=record.score,
        policy=say.Thresholds(review_at=finding.policy.review_at, decline_at=finding.policy.decline_at),
        reasons=tuple(say.Reason(code=code, meaning=REASONS.get(code, "")) for code in record.reasons),
        rules=tuple(say.FiredRule(code=rule.code, meaning=rule.meaning, action=rule.action) for rule in fired_rules(values)),
        base_margin=whole.base,
        base_score=finding.calibration.probability(whole.base),
        margin=whole.margin,
        calibration=say.Scaling(slope=finding.calibration.slope, intercept=finding.calibration.intercept),
        groups=tuple(say.GroupContribution(group=g.name, meaning=g.meaning, contribution=part) for g, part in by_group(parts)),
        contributions=tuple(_contribution(FEATURES[place], values[place], parts[place]) for place in ranked[:top]),
        remainder=say.Remainder(features=len(ranked[top:]), contribution=math.fsum(parts[place] for place in ranked[top:])),
    )


def _contribution(feature: str, value: float, part: float) -> say.Contribution:
    logged = None if math.isnan(value) else value
    return say.Contribution(feature=feature, meaning=FEATURE_MEANING[feature], value=logged, level=level(feature, value), contribution=part)
