"""The two baselines that a boosted model has to beat: the expert rules, and logistic regression. Called by training.

Both answer a raw score to rank by, on the log-odds scale, so that calibration and thresholds treat all models alike.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.features import CATEGORICAL_FEATURES, FEATURE_INDEX, FEATURES
from data.rules import rules_score
from pipelines.training.resample import Rows

Floats = NDArray[np.float64]
_CATEGORICAL: Final = [FEATURE_INDEX[name] for name in CATEGORICAL_FEATURES]
_NUMERIC: Final = [i for i in range(len(FEATURES)) if i not in _CATEGORICAL]


def rules_margin(features: Floats) -> Floats:
    """Log-odds of the rules' noisy-or score, shape (n,)."""
    p = np.clip(rules_score(features), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p / (1 - p)), dtype=np.float64)


def fit_logistic(rows: Rows) -> Any:
    """A fitted pipeline; `rows` may be thinned, as their weights restore the true fraud share."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # C=0.1 and 200 steps: with hundreds of frauds stronger fits gain nothing and take seconds longer.
    model = make_pipeline(_columns(), LogisticRegression(C=0.1, max_iter=200, tol=1e-3))
    return model.fit(rows.features, rows.is_fraud, logisticregression__sample_weight=rows.weights)


def logistic_margin(model: Any, features: Floats) -> Floats:
    """Log-odds, shape (n,)."""
    return np.asarray(model.decision_function(features), dtype=np.float64)


def _columns() -> Any:
    """Numbers: median for missing plus a flag, logarithm of the heavy tails, unit variance. Codes: one column per level."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numbers = make_pipeline(
        FunctionTransformer(_signed_log), SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    return ColumnTransformer([("numbers", numbers, _NUMERIC), ("levels", OneHotEncoder(handle_unknown="ignore"), _CATEGORICAL)])


def _signed_log(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)
