"""From features to a decision: models, rules, then the policy of the model that answers. Pure but for the models' own work."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model
from data.errors import ModelFailed
from data.reasons import model_reasons
from data.rules import apply_rules
from data.schema import Arm, Decision
from services.scoring.patience import Patience
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


def judge_payment(serving: Serving, card_id: str, features: NDArray[np.float64], patience: Patience) -> Judgement:
    """Judge one row of features, shape (FEATURE_COUNT,). Raises ModelFailed when the champion cannot score it.

    The challenger, in its shadow or on its share of the cards, scores every payment, so that both are compared on
    the same rows. When it fails, the champion answers; when it fails or is slow, `patience` takes it out.
    """
    started = time.perf_counter()
    champion_score = _required(serving.champion.score(features), serving)
    challenger_score = None
    if serving.challenger is not None:
        (challenger_score,) = _challenger_scores(serving, lambda model: [model.score(features)], 1, started, patience)
    return _judgement(serving, card_id, features.tolist(), champion_score, challenger_score)


def judge_payments(serving: Serving, card_ids: Sequence[str], matrix: NDArray[np.float64], patience: Patience) -> list[Judgement]:
    """`judge_payment` for every row of (n, FEATURE_COUNT), with the same results: one call of each model for all."""
    started = time.perf_counter()
    champion_scores = [_required(score, serving) for score in serving.champion.score_many(matrix).tolist()]
    challenger_scores: Sequence[float | None] = [None] * len(card_ids)
    if serving.challenger is not None:
        challenger_scores = _challenger_scores(serving, lambda model: model.score_many(matrix).tolist(), len(card_ids), started, patience)
    rows = zip(card_ids, matrix.tolist(), champion_scores, challenger_scores, strict=True)
    return [_judgement(serving, *row) for row in rows]


def _required(score: float, serving: Serving) -> float:
    if not math.isfinite(score):
        raise ModelFailed("The champion's score is not a number.", next_step="Roll the champion back.", where=serving.champion.version)
    return score


def _challenger_scores(
    serving: Serving, scores: Callable[[Model], list[float]], rows: int, started: float, patience: Patience
) -> Sequence[float | None]:
    """The challenger's scores up to its first failure, and None from there on: after one failure it is out.

    `started`: when the champion began with the same rows, by `time.perf_counter`.
    """
    challenger = serving.challenger
    assert challenger is not None
    between = time.perf_counter()
    try:
        found = scores(challenger)
    except Exception as error:  # whatever a challenger does wrong, the payment is answered
        patience.failed(challenger.version, f"{type(error).__name__} while scoring")
        return [None] * rows
    patience.took(serving, rows, between - started, time.perf_counter() - between)
    for row, score in enumerate(found):
        if not math.isfinite(score):
            patience.failed(challenger.version, "its score was not a number")
            return [*found[:row], *[None] * (rows - row)]
    return found


def _judgement(serving: Serving, card_id: str, values: Sequence[float], champion_score: float, challenger_score: float | None) -> Judgement:
    """`values`: the features as plain floats, in order."""
    model, score, version = serving.champion, champion_score, None
    arm: Arm = "champion"
    if serving.challenger is not None and challenger_score is not None:
        version = serving.challenger.version
        if serving.plan.arm(card_id) == "challenger":
            model, score, arm = serving.challenger, challenger_score, "challenger"
    rules = apply_rules(values)
    decision = model.policy.decide(score)
    if rules.action is not None:
        decision = max(decision, rules.action, key=_STERNNESS.__getitem__)
    reasons = () if decision == "approve" else rules.reasons + model_reasons(values)
    return Judgement(arm, model.version, score, decision, reasons, champion_score, version, challenger_score)
