"""The oldest way to map landslides: call a pixel one where a band, such as slope or NDVI, is beyond a value.

A classifier like those of scikit-learn, on rows of features. It tries every value on both sides and keeps the one with
the best F1 on training pixels. Refuses rows without a landslide.
"""

from collections.abc import Sequence

import numpy as np

from headscarp.core.errors import TrainingError


class Threshold:
    """One column cut at one value; the probability on each side is the share of landslides there.

    columns: those that may be chosen. column, cut, above, f1: what `fit` has chosen; above: landslides are where the
    column is at least `cut`, else where it is at most `cut`. shares: (on the other side, on the side of landslides).
    """

    def __init__(self, columns: Sequence[int]) -> None:
        self.columns = tuple(columns)
        self.column, self.cut, self.above, self.f1 = self.columns[0], 0.0, True, -1.0
        self.shares = (0.0, 0.0)

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Threshold":
        """x: (n, F) float32, finite in the columns. y: (n,) 1 landslide, 0 not. Raises TrainingError."""
        if not (y == 1).any():
            raise TrainingError("no training pixel is a landslide, so no threshold is better than another")
        for column in self.columns:
            for above in (True, False):
                f1, cut = best_cut(x[:, column] if above else -x[:, column], y)
                if f1 > self.f1:
                    self.column, self.cut, self.above, self.f1 = column, cut if above else -cut, above, f1
        called = self.called(x)
        self.shares = tuple(float(y[side].mean()) if side.any() else 0.0 for side in (~called, called))  # type: ignore[assignment]
        return self

    def called(self, x: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows are on the side of landslides."""
        values = x[:, self.column]
        return values >= self.cut if self.above else values <= self.cut

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(n, 2) probabilities of "not" and of "landslide"."""
        p = np.where(self.called(x), self.shares[1], self.shares[0])
        return np.stack([1 - p, p], axis=1)  # (n, 2)


def best_cut(values: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The best F1 of calling all values of at least a cut landslides, and that cut: the largest of equally good ones.

    values: (n,) finite. y: (n,) 1 landslide, 0 not.
    """
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    hits = np.cumsum(y[order] == 1)
    last = np.append(ordered[1:] != ordered[:-1], True)  # equal values are called together
    f1 = np.where(last, 2 * hits / (np.arange(1, len(y) + 1) + hits[-1]), -1.0)
    best = int(f1.argmax())
    return float(f1[best]), float(ordered[best])
