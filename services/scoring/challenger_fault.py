"""Faults of a challenger in the running service: what was asked for is done to its scores and to the time that its answers take.

Off unless a caller with the lab's key asks (`PUT /v1/faults`); a restart ends it. Rollout and judge are not told: they see what they
would see of a challenger that is so by itself. Which payments are hit depends on their features alone, so a row has the same
fate in a batch, alone and in a second try. The champion is never touched.
"""

import hashlib
import math
import time
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.bundle import Model
from data.costs import Policy
from data.features import FEATURE_COUNT
from services.scoring.decide import Judgement
from services.scoring.messages import AskedChallengerFault
from services.scoring.slots import Serving


class ChallengerFaults:
    """What was asked for. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.asked: AskedChallengerFault | None = None
        self._answers: deque[float] = deque()  # when the challenger answered in the last second, by the monotonic clock

    def ask(self, fault: AskedChallengerFault | None) -> None:
        """From the next payment on, this and nothing else."""
        self.asked = fault

    def spoil(self, serving: Serving) -> Serving:
        """The picture with the challenger as it was asked to be."""
        fault, challenger = self.asked, serving.challenger
        if fault is None or challenger is None or (fault.in_canary and serving.plan.mode == "shadow"):
            return serving
        faulty: Any = FaultyModel(challenger, fault)  # a Model in all that decides
        return replace(serving, challenger=faulty)

    def delay(self, judged: Judgement | Exception, features: NDArray[np.float64]) -> float:
        """Waits if this answer of the challenger is to be slow, as its own work would; returns the seconds. The wall clock is the point."""
        fault = self.asked
        if fault is None or isinstance(judged, Exception) or judged.arm != "challenger":
            return 0.0
        now = time.monotonic()
        self._answers.append(now)
        while self._answers[0] < now - 1.0:
            self._answers.popleft()
        if len(self._answers) <= fault.slow_above_per_s or place(features, "slow") >= fault.slow:
            return 0.0
        time.sleep(fault.slow_ms / 1000)
        return fault.slow_ms / 1000

    def to_json(self) -> dict[str, Any] | None:
        """For people and programs that ask who serves."""
        return None if self.asked is None else self.asked.model_dump(mode="json")


class FaultyModel:
    """A model that fails, is poisoned, misreads its features or inflates its scores, as asked; about as fast as the one it spoils."""

    def __init__(self, model: Model, fault: AskedChallengerFault) -> None:
        self.version = model.version
        self.policy: Policy = model.policy
        self._model = model
        self._fault = fault
        self._order = np.roll(np.arange(FEATURE_COUNT), fault.columns_off)

    def score(self, features: NDArray[np.float64]) -> float:
        """Of one row. Raises RuntimeError when it is to fail."""
        fault = self._fault
        if fault.fails and place(features, "fails") < fault.fails:
            raise RuntimeError("this challenger was asked to fail")
        score = min(self._model.score(features[self._order]) * fault.score_factor, 1.0)
        return math.nan if fault.poison and place(features, "poison") < fault.poison else score

    def score_many(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each row. Raises RuntimeError when one of them is to fail."""
        fault = self._fault
        if fault.fails and any(place(row, "fails") < fault.fails for row in matrix):
            raise RuntimeError("this challenger was asked to fail")
        scores = np.minimum(self._model.score_many(matrix[:, self._order]) * fault.score_factor, 1.0)
        if fault.poison:
            scores[[place(row, "poison") < fault.poison for row in matrix]] = math.nan
        return scores


def place(features: NDArray[np.float64], what: str) -> float:
    """A row's fixed place in [0, 1), another for each kind of fault."""
    digest = hashlib.blake2b(features.tobytes(), digest_size=8, person=what.encode()).digest()
    return int.from_bytes(digest, "big") / 2**64
