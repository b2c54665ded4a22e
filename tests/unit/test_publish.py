"""A model is published only when serving's evaluator agrees with LightGBM."""

import numpy as np
import pytest

from data.errors import StepFailed
from pipelines.training.publish import check_evaluator
from tests.bundles import random_features, train_booster


def test_one_margin_that_differs_in_its_last_bit_stops_the_publishing() -> None:
    booster, rows = train_booster(trees=5), random_features(500, seed=2)
    margins = booster.predict(rows, raw_score=True)
    check_evaluator(booster.model_to_string(), rows, margins)
    margins[7] = np.nextafter(margins[7], np.inf)
    with pytest.raises(StepFailed, match="1 of 500"):
        check_evaluator(booster.model_to_string(), rows, margins)
