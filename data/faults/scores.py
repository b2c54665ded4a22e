"""What can go wrong with the model that answers: another one than was promoted, or one that lost its calibration.

A fault of scores takes the features that the model sees, (n, FEATURE_COUNT), the model as a function of them, and a dose; it
returns the scores that are answered, (n,) in [0, 1].
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from data.faults.dose import Dose, Floats
from data.features import FEATURE_INDEX, FEATURES

ScoreFunction = Callable[[Floats], Floats]
ScoreFault = Callable[[Floats, ScoreFunction, Dose], Floats]

_IN_EUR = np.array([FEATURE_INDEX[name] for name in FEATURES if name == "amount" or name.startswith(("card_sum", "card_mean"))])
_LARGEST: Final = np.array([FEATURE_INDEX[name] for name in ("card_max_7d", "card_max_30d")])


def wrong_build(matrix: Floats, score: ScoreFunction, dose: Dose) -> Floats:
    """A build of another pipeline is served: its preprocessing hands the model amounts in another unit, `strength` times as large.

    The log holds the features as the service knows them; only the scores differ.
    """
    seen = matrix.copy()
    seen[:, np.concatenate([_IN_EUR, _LARGEST])] *= np.where(dose.level > 0, dose.strength, 1.0)[:, np.newaxis]
    return score(seen)


def lose_calibration(matrix: Floats, score: ScoreFunction, dose: Dose) -> Floats:
    """The calibrator is not deployed with its model: odds are `strength` times too high, the ranking stays.

    A model trained with frauds weighted by w has odds w times too high, which its calibrator takes back (Saerens, Latinne and
    Decaestecker, Neural Computation 2002).
    """
    right = score(matrix)
    raised = right * (1 + (dose.strength - 1) * dose.level)
    return raised / (1 - right + raised)
