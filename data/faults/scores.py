"""What can go wrong with the model that answers: another one than was promoted, or one that lost its calibration.

A fault of scores takes the features that the model sees, (n, FEATURE_COUNT), the model as a function of them, and a dose; it
returns the scores that are answered, (n,) in [0, 1].
"""

from collections.abc import Callable

import numpy as np

from data.faults.dose import Dose, Floats

ScoreFunction = Callable[[Floats], Floats]
ScoreFault = Callable[[Floats, ScoreFunction, Dose], Floats]


def wrong_build(matrix: Floats, score: ScoreFunction, dose: Dose) -> Floats:
    """A build of another pipeline is served: its features stand `strength` columns further on, as where an index was left in the table.

    The log holds the features as the service knows them; only the scores differ.
    """
    wrong = np.roll(matrix, round(dose.strength), axis=1)
    return score(np.where(dose.level[:, np.newaxis] > 0, wrong, matrix))


def lose_calibration(matrix: Floats, score: ScoreFunction, dose: Dose) -> Floats:
    """The calibrator is not deployed with its model: odds are `strength` times too high, the ranking stays.

    A model trained with frauds weighted by w has odds w times too high, which its calibrator takes back (Saerens, Latinne and
    Decaestecker, Neural Computation 2002).
    """
    right = score(matrix)
    raised = right * (1 + (dose.strength - 1) * dose.level)
    return raised / (1 - right + raised)
