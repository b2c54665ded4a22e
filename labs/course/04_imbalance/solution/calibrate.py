"""Step 4: probabilities that keep their promise."""

from pipelines.training.calibrate import fit_platt


def calibrate(margin, is_fraud, new_margin):
    """Platt's two numbers: a shift undoes the weight, a slope the over-confidence; the ranking stays."""
    return fit_platt(margin, is_fraud).probabilities(new_margin)
