"""From features to a decision: models, rules, then the policy of the model that answers. Pure but for the models' own work."""

import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model
from data.errors import ModelFailed
from data.prediction_store import PaymentFacts
from data.reasons import RANDOM_APPROVE, model_reasons
from data.rules import apply_rules
from data.schema import Arm, Decision
from services.scoring.patience import Patience
from services.scoring.slots import Serving

POISON: Final = math.inf  # stands in the log for a score of the challenger that is no probability, so that it is told from a failure
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
    challenger_score: float | None  # None: it failed on this payment, or there is none


def judge_payments(serving: Serving, payments: Sequence[PaymentFacts], matrix: NDArray[np.float64], patience: Patience) -> list[Judgement]:
    """Judge rows of features, shape (n, FEATURE_COUNT). Raises ModelFailed when the champion cannot score one of them.

    Beside its features a payment's card counts, which decides the arm, and its id, which decides the random hold-out.
    The challenger, in its shadow or on its share of the cards, scores every payment, so that both are compared on
    the same rows. Where it fails, the champion answers and the row says so: what becomes of one that fails now and
    then is for the rollout's judge to say. `patience` takes out what cannot wait for that.
    """
    started = time.perf_counter()
    champion_scores = _scores(serving.champion, matrix)
    champion_s = time.perf_counter() - started
    for score in champion_scores:
        if not 0.0 <= score <= 1.0:  # nor is NaN
            raise ModelFailed("The champion's score is no probability.", next_step="Roll it back.", where=serving.champion.version)
    if serving.challenger is None:
        return [_judgement(serving, *row) for row in zip(payments, matrix.tolist(), champion_scores, strict=True)]
    said = _challenger_scores(serving.challenger, matrix, champion_s, patience)
    versions: list[str | None] = [serving.challenger.version] * len(said)
    out = [None] * (len(payments) - len(said))  # rows of which no more was asked of it
    rows = zip(payments, matrix.tolist(), champion_scores, [*versions, *out], [*said, *out], strict=True)
    return [_judgement(serving, *row) for row in rows]


def judge_each(
    serving: Serving, payments: Sequence[PaymentFacts], matrix: NDArray[np.float64], patience: Patience
) -> Sequence[Judgement | Exception]:
    """The same, but what goes wrong with one row is that row's: when the champion fails on many, each is tried alone."""
    try:
        return judge_payments(serving, payments, matrix, patience)
    except Exception as error:
        if len(payments) == 1:
            return [error]
        return [judge_each(serving, payments[row : row + 1], matrix[row : row + 1], patience)[0] for row in range(len(payments))]


def _scores(model: Model, matrix: NDArray[np.float64]) -> list[float]:
    """Of each row, as plain floats. A single one is scored sooner as such. Raises what the model raises, and what is no score."""
    if len(matrix) == 1:
        return [float(model.score(matrix[0]))]
    scores: list[float] = np.asarray(model.score_many(matrix), dtype=np.float64).reshape(len(matrix)).tolist()
    return scores


def _challenger_scores(challenger: Model, matrix: NDArray[np.float64], champion_s: float, patience: Patience) -> list[float | None]:
    """What the challenger says of each row, None where it fails; of fewer rows when it is taken out on the way.

    `champion_s`: seconds that the champion took for the same rows.
    """
    began = time.perf_counter()
    said = _tried(challenger, matrix, patience)
    patience.took(challenger.version, len(matrix), champion_s, time.perf_counter() - began)
    for row, score in enumerate(said):
        if score is not None and not 0.0 <= score <= 1.0:
            patience.poisoned(challenger.version, "not a number" if math.isnan(score) else "no probability")
            return [*said[:row], POISON]
    return said


def _tried(challenger: Model, matrix: NDArray[np.float64], patience: Patience) -> list[float | None]:
    """Its scores of all rows together; when that fails, of each alone. Whatever a challenger does wrong, the payment is answered."""
    said: list[float | None]
    try:
        said = [*_scores(challenger, matrix)]
    except Exception as error:
        if len(matrix) > 1:
            return _one_by_one(challenger, matrix, patience)
        patience.failed(challenger.version, f"{type(error).__name__} while scoring")
        return [None]
    patience.scored()
    return said


def _one_by_one(challenger: Model, matrix: NDArray[np.float64], patience: Patience) -> list[float | None]:
    """The same for rows of which some fail; no more are asked once it is out."""
    said: list[float | None] = []
    for row in range(len(matrix)):
        found = _tried(challenger, matrix[row : row + 1], patience)
        said += found
        if found == [None] and patience.is_out(challenger.version):
            break
    return said


def _judgement(
    serving: Serving,
    payment: PaymentFacts,
    values: Sequence[float],
    champion_score: float,
    version: str | None = None,
    challenger_score: float | None = None,
) -> Judgement:
    """`values`: the features as plain floats, in order; `version`: the challenger's, where it was asked."""
    model, score = serving.champion, champion_score
    arm: Arm = "champion"
    if challenger_score is not None and challenger_score != POISON and serving.plan.arm(payment.card_id) == "challenger":
        assert serving.challenger is not None  # who else gave a score
        model, score, arm = serving.challenger, challenger_score, "challenger"
    rules = apply_rules(values)
    decision = model.policy.decide(score)
    if rules.action is not None:
        decision = max(decision, rules.action, key=_STERNNESS.__getitem__)
    reasons = () if decision == "approve" else rules.reasons + model_reasons(values)
    if decision == "decline" and model.policy.lets_through(payment.transaction_id):
        decision, reasons = "approve", (RANDOM_APPROVE,)
    return Judgement(arm, model.version, score, decision, reasons, champion_score, version, challenger_score)
