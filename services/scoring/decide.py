"""From features to a decision: rules, then models, then the policy of the model that answers. Pure but for the models' own work."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import ModelFailed
from data.reasons import model_reasons
from data.rules import apply_rules
from data.schema import Arm, Decision
from services.scoring.slots import Serving

_STERNNESS: dict[Decision, int] = {"approve": 0, "review": 1, "decline": 2}


class Judgement(NamedTuple):
    """What one payment gets, and what each model said of it."""

    arm: Arm
    model_version: str
    score: float
    decision: Decision
    reasons: tuple[str, ...]
    champion_score: float
    challenger_version: str | None
    challenger_score: float | None


def judge_payment(serving: Serving, card_id: str, features: NDArray[np.float64], on_failure: Callable[[str, str], None]) -> Judgement:
    """Judge one row of features, shape (FEATURE_COUNT,). Raises ModelFailed when the champion cannot score it.

    The challenger, in its shadow or on its share of the cards, scores every payment, so that both are compared on
    the same rows. When it fails, `on_failure(version, why)` hears of it and the champion answers.
    """
    values = features.tolist()
    champion_score = serving.champion.score(features)
    if not math.isfinite(champion_score):
        raise ModelFailed("The champion's score is not a number.", next_step="Roll the champion back.", where=serving.champion.version)
    challenger_score = _challenger_score(serving, features, on_failure)
    challenger = serving.challenger if challenger_score is not None else None
    arm = serving.plan.arm(card_id) if challenger is not None else "champion"
    model, score = serving.champion, champion_score
    if arm == "challenger" and challenger is not None and challenger_score is not None:
        model, score = challenger, challenger_score
    rules = apply_rules(values)
    decision = max(model.policy.decide(score), rules.action or "approve", key=_STERNNESS.__getitem__)
    reasons = () if decision == "approve" else rules.reasons + model_reasons(values)
    return Judgement(
        arm, model.version, score, decision, reasons, champion_score, challenger.version if challenger else None, challenger_score
    )


def _challenger_score(serving: Serving, features: NDArray[np.float64], on_failure: Callable[[str, str], None]) -> float | None:
    """The challenger's score, or None when there is none to be had."""
    if serving.challenger is None:
        return None
    try:
        score = serving.challenger.score(features)
    except Exception as error:  # whatever a challenger does wrong, the payment is answered
        on_failure(serving.challenger.version, f"{type(error).__name__} while scoring")
        return None
    if not math.isfinite(score):
        on_failure(serving.challenger.version, "its score was not a number")
        return None
    return score
