"""Turn raw margins into probabilities: Platt scaling, two numbers fitted on the validation rows. Pure.

Trees, class weights and resampling all distort the model's own probability; decisions by cost need a true one. Two
numbers rather than isotonic steps: with a few hundred frauds steps overfit, and a monotone line keeps the ranking.
"""

import numpy as np
from numpy.typing import NDArray

from data.bundle import Calibration
from data.errors import StepFailed

Floats = NDArray[np.float64]
_STEPS = 100  # Newton's method needs about ten


def fit_platt(margin: Floats, is_fraud: NDArray[np.bool_]) -> Calibration:
    """Maximum likelihood of p = sigmoid(slope * margin + intercept) on smoothed targets (Platt 1999, section 2.2).

    `margin` and `is_fraud` have shape (n,), with both outcomes present. Raises StepFailed when it does not converge.
    """
    frauds, genuine = int(is_fraud.sum()), int((~is_fraud).sum())
    target = np.where(is_fraud, (frauds + 1) / (frauds + 2), 1 / (genuine + 2))
    # Centred and scaled, Newton's steps are well conditioned whatever the margins' scale.
    centre, scale = float(margin.mean()), float(margin.std()) or 1.0
    design = np.column_stack([(margin - centre) / scale, np.ones(len(margin))])
    weights = np.array([1.0, np.log((frauds + 1) / (genuine + 1))])
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))  # damped: the first step from afar may overshoot
        weights -= step
        if np.abs(step).max() < 1e-9:
            slope = float(weights[0] / scale)
            return Calibration(slope, float(weights[1] - slope * centre))
    raise StepFailed(
        "Calibration did not converge on the validation rows.",
        next_step="Look at the margins: a model that cannot rank, or one fraud among copies, does this.",
        where="calibrate",
    )
