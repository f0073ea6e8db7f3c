"""Logistic regression on standardised columns, the linear opponent of every net.

Counts in float64, and refuses to pass on weights that are not finite.
"""

from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from headscarp.core.errors import TrainingError


def logistic_regression(*, C: float = np.inf) -> Any:
    """A pipeline with fit and predict_proba. C: inverse of the penalty; inf: maximum likelihood."""
    as_float64 = FunctionTransformer(partial(np.asarray, dtype=np.float64))
    return make_pipeline(as_float64, StandardScaler(), _Logistic(C=C, max_iter=1000))


class _Logistic(LogisticRegression):
    """With the processor's flag for invalid operations unread: vector kernels set it on lanes that hold no data.

    Whether anything was invalid is seen in the weights. Raises TrainingError where one is not finite.
    """

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "_Logistic":
        with np.errstate(invalid="ignore"):
            super().fit(X, y, sample_weight)
        if not np.isfinite(self.coef_).all():
            raise TrainingError("logistic regression found no finite weights; check the bands for huge values")
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            odds: np.ndarray = super().decision_function(X)
        return odds
