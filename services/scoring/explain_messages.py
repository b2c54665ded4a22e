"""The answer of `GET /v1/explain/{transaction_id}`."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from data.schema import Arm, Decision, Message


class Contribution(Message):
    """One feature's part in the margin."""

    feature: str = Field(examples=["amount_to_card_deviation"])
    meaning: str = Field(examples=["this amount less the card's mean, in its standard deviations"])
    value: float | None = Field(description="as it was logged; null: there was no such history", examples=[8.4])
    level: str | None = Field(description="the word behind the code of a categorical feature", examples=[None])
    contribution: float = Field(description="log odds; above 0 towards fraud", examples=[1.92])


class GroupContribution(Message):
    """What the features about one thing contributed together."""

    group: str = Field(examples=["amount"])
    meaning: str = Field(examples=["this amount, alone and beside what is usual for the card and the terminal"])
    contribution: float = Field(description="log odds, the sum of its features'", examples=[2.61])


class Remainder(Message):
    """The features that are not listed one by one."""

    features: int = Field(description="how many there are", examples=[42])
    contribution: float = Field(description="log odds, their sum", examples=[0.31])


class Reason(Message):
    """A reason code that was answered."""

    code: str = Field(examples=["amount_over_habit"])
    meaning: str = Field(examples=["the amount lies far above what this card usually pays"])


class FiredRule(Message):
    """An expert rule that fires on the logged features."""

    code: str = Field(examples=["rule_easily_resold"])
    meaning: str = Field(examples=["goods that are easily resold, from a shop and a device this card never used"])
    action: Literal["decline", "review"] | None = Field(description="null: evidence only", examples=[None])


class Thresholds(Message):
    """The policy of the version that decided: from which score on it reviews, and declines."""

    review_at: float = Field(examples=[0.12])
    decline_at: float = Field(examples=[0.75])


class Scaling(Message):
    """Platt scaling: score = 1 / (1 + exp(-(slope * margin + intercept)))."""

    slope: float = Field(examples=[0.93])
    intercept: float = Field(examples=[-0.14])


class Explanation(Message):
    """Why a stored payment was scored and decided as it was.

    base_margin + all contributions = margin, in log odds; `calibration` makes the score of it.
    """

    transaction_id: str = Field(examples=["tx_20260105_000017"])
    event_time: datetime = Field(examples=["2026-01-05T09:30:00Z"])
    model_version: str = Field(description="the registered version that decided", examples=["3"])
    arm: Arm
    decision: Decision = Field(examples=["review"])
    decided_by: Literal["policy", "rules"] = Field(description="rules: one of them was sterner than the score's threshold")
    score: float = Field(description="calibrated probability of fraud, as it was answered", examples=[0.31])
    policy: Thresholds
    reasons: tuple[Reason, ...]
    rules: tuple[FiredRule, ...]
    base_margin: float = Field(description="the margin expected over the payments that the model learned from", examples=[-5.4])
    base_score: float = Field(description="the base margin as a calibrated probability", examples=[0.0057])
    margin: float = Field(description="the model's raw output for this payment", examples=[-0.71])
    calibration: Scaling
    groups: tuple[GroupContribution, ...] = Field(description="every group, the strongest first")
    contributions: tuple[Contribution, ...] = Field(description="the strongest features, by size")
    remainder: Remainder
