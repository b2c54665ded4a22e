"""H6: whatever champions and challengers give, no answer leaves that is no probability. Used by `tests/bench/rollout.py`.

Models in this process give, at random: probabilities, NaN, infinities, numbers outside 0 to 1, nothing, text, arrays of another
shape, numpy's own numbers, and errors. They are judged in turns of many sizes by the service's own `judge_each`, and each
answer is written and read as its caller would. A challenger that the service would have taken out stays, which is the worse case.
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.costs import Policy
from data.features import FEATURE_COUNT
from data.prediction_store import Answer, PaymentFacts
from data.serving_plan import ServingPlan
from services.scoring.decide import POISON, Judgement, judge_each
from services.scoring.patience import Patience
from services.scoring.slots import Serving
from tests.records import facts

TURNS = (1, 1, 1, 2, 7, 40, 200)  # payments that are decided together
POISONED = 0.02  # of the calls of either model
_POISON: tuple[Callable[[], Any], ...] = (
    lambda: math.nan,
    lambda: math.inf,
    lambda: -math.inf,
    lambda: 1e9,
    lambda: -1e-9,
    lambda: 1.0000001,
    lambda: None,
    lambda: "0.5 or so",
    lambda: [0.1, 0.2],
    lambda: np.float64("nan"),
    lambda: complex(0.5, 1),
)


class Fuzzed(NamedTuple):
    """What came out."""

    outputs: int  # answers and refusals
    answered: int
    bad: Counter[str]  # what left that must not have
    poison: int  # rows of the log that say the challenger gave no probability
    failures: int  # and that it failed


class FuzzedModel:
    """Gives probabilities, and sometimes anything else."""

    policy = Policy(review_at=0.3, decline_at=0.75)

    def __init__(self, version: str, random: np.random.Generator, poisoned: float) -> None:
        self.version = version
        self._random = random
        self._poisoned = poisoned

    def score(self, _: NDArray[np.float64]) -> Any:
        if self._random.random() >= self._poisoned:
            value = self._random.random()
            return np.float64(value) if value < 0.1 else value
        kind = int(self._random.integers(len(_POISON) + 1))
        if kind == len(_POISON):
            raise ArithmeticError("broken on purpose")
        return _POISON[kind]()

    def score_many(self, matrix: NDArray[np.float64]) -> Any:
        scores = self._random.random(len(matrix))
        if self._random.random() < self._poisoned * len(matrix):
            kind = int(self._random.integers(4))
            if kind == 0:
                raise ArithmeticError("broken on purpose")
            if kind == 1:
                return scores[:-1]
            if kind == 2:
                return np.stack([scores, scores], axis=1)
            scores[self._random.integers(len(matrix))] = self._random.choice([math.nan, math.inf, -math.inf, 7.0, -0.5])
        return scores


def fuzz(outputs: int, seed: int) -> Fuzzed:
    """At least so many outputs, over shadow, canary, soak and a champion alone."""
    random = np.random.default_rng(seed)
    pictures = [_serving(plan, random) for plan in _plans()]
    matrix = random.lognormal(1.0, 2.0, (max(TURNS), FEATURE_COUNT))
    patience = Patience(lambda version, why: None)
    bad: Counter[str] = Counter()
    done = answered = poison = failures = 0
    while done < outputs:
        size, serving = int(random.choice(TURNS)), pictures[int(random.integers(len(pictures)))]
        payments = [facts(f"tx_{done + row}", f"card_{(done + row) % 997}") for row in range(size)]
        for one, judged in zip(payments, judge_each(serving, payments, matrix[:size], patience), strict=True):
            if isinstance(judged, Exception):
                continue
            answered += 1
            poison += judged.challenger_score == POISON
            failures += judged.challenger_version is not None and judged.challenger_score is None
            fault = _fault(one, judged, serving)
            bad.update([fault] if fault else [])
        done += size
    return Fuzzed(done, answered, bad, poison, failures)


def _plans() -> list[ServingPlan]:
    return [
        ServingPlan(1, "1"),
        ServingPlan(2, "1", "2", "shadow", 0.0, "r"),
        ServingPlan(3, "1", "2", "canary", 0.5, "r"),
        ServingPlan(4, "1", "2", "soak", 1.0, "r"),
    ]


def _serving(plan: ServingPlan, random: np.random.Generator) -> Serving:
    models: list[Any] = [FuzzedModel(version, random, POISONED) for version in ("1", "2")]
    return Serving(plan, models[0], models[1] if plan.challenger else None, "registry", datetime(2026, 1, 5, tzinfo=UTC))


def _fault(payment: PaymentFacts, judged: Judgement, serving: Serving) -> str:
    """What is wrong with one answer; empty when nothing is."""
    answer = Answer(payment.transaction_id, judged.score, judged.decision, judged.reasons, judged.model_version, judged.arm)
    try:
        score = json.loads(answer.json(), parse_constant=lambda _: None)["score"]
    except ValueError:
        return "is no JSON"
    if not isinstance(score, float) or not 0.0 <= score <= 1.0:
        return "is no probability"
    if judged.arm == "challenger" and (serving.plan.arm(payment.card_id) != "challenger" or judged.score != judged.challenger_score):
        return "is of the wrong arm"
    if judged.arm == "champion" and judged.score != judged.champion_score:
        return "is of the wrong arm"
    return ""
