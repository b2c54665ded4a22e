"""From features to a decision: models, rules, then the policy of the model that answers. Pure but for the models' own work."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model
from data.errors import ModelFailed
from data.reasons import RANDOM_APPROVE, model_reasons
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


class Ids(NamedTuple):
    """What a decision needs of a payment beside its features: the card decides the arm, the payment the random hold-out."""

    card: str
    transaction: str


def judge_payments(serving: Serving, ids: Sequence[Ids], matrix: NDArray[np.float64], patience: Patience) -> list[Judgement]:
    """Judge rows of features, shape (n, FEATURE_COUNT). Raises ModelFailed when the champion cannot score one of them.

    The challenger, in its shadow or on its share of the cards, scores every payment, so that both are compared on
    the same rows. When it fails, the champion answers; when it fails or is slow, `patience` takes it out.
    """
    started = time.perf_counter()
    champion_scores = [_required(score, serving) for score in _scores(serving.champion, matrix)]
    challenger_scores: Sequence[float | None] = [None] * len(ids)
    if serving.challenger is not None:
        challenger_scores = _challenger_scores(serving, matrix, started, patience)
    rows = zip(ids, matrix.tolist(), champion_scores, challenger_scores, strict=True)
    return [_judgement(serving, *row) for row in rows]


def judge_each(serving: Serving, ids: Sequence[Ids], matrix: NDArray[np.float64], patience: Patience) -> Sequence[Judgement | Exception]:
    """The same, but what goes wrong with one row is that row's: when the champion fails on many, each is tried alone."""
    try:
        return judge_payments(serving, ids, matrix, patience)
    except Exception as error:
        if len(ids) == 1:
            return [error]
        return [judge_each(serving, ids[row : row + 1], matrix[row : row + 1], patience)[0] for row in range(len(ids))]


def _scores(model: Model, matrix: NDArray[np.float64]) -> list[float]:
    """Of each row. A single one is scored sooner as such."""
    return [model.score(matrix[0])] if len(matrix) == 1 else model.score_many(matrix).tolist()


def _required(score: float, serving: Serving) -> float:
    if not math.isfinite(score):
        raise ModelFailed("The champion's score is not a number.", next_step="Roll the champion back.", where=serving.champion.version)
    return score


def _challenger_scores(serving: Serving, matrix: NDArray[np.float64], started: float, patience: Patience) -> Sequence[float | None]:
    """The challenger's scores up to its first failure, and None from there on: after one failure it is out.

    `started`: when the champion began with the same rows, by `time.perf_counter`.
    """
    challenger = serving.challenger
    assert challenger is not None
    between = time.perf_counter()
    try:
        found = _scores(challenger, matrix)
    except Exception as error:  # whatever a challenger does wrong, the payment is answered
        patience.failed(challenger.version, f"{type(error).__name__} while scoring")
        return [None] * len(matrix)
    patience.took(serving, len(matrix), between - started, time.perf_counter() - between)
    for row, score in enumerate(found):
        if not math.isfinite(score):
            patience.failed(challenger.version, "its score was not a number")
            return [*found[:row], *[None] * (len(matrix) - row)]
    return found


def _judgement(serving: Serving, ids: Ids, values: Sequence[float], champion_score: float, challenger_score: float | None) -> Judgement:
    """`values`: the features as plain floats, in order."""
    model, score, version = serving.champion, champion_score, None
    arm: Arm = "champion"
    if serving.challenger is not None and challenger_score is not None:
        version = serving.challenger.version
        if serving.plan.arm(ids.card) == "challenger":
            model, score, arm = serving.challenger, challenger_score, "challenger"
    rules = apply_rules(values)
    decision = model.policy.decide(score)
    if rules.action is not None:
        decision = max(decision, rules.action, key=_STERNNESS.__getitem__)
    reasons = () if decision == "approve" else rules.reasons + model_reasons(values)
    if decision == "decline" and model.policy.lets_through(ids.transaction):
        decision, reasons = "approve", (RANDOM_APPROVE,)
    return Judgement(arm, model.version, score, decision, reasons, champion_score, version, challenger_score)
