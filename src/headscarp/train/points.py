"""Models on points: bands sampled where an inventory has presence and absence points, and cross-validation on them.

Each point counts once, also where two stand in one cell. For nets and maps, points become labels of a stack instead.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from sklearn.metrics import roc_auc_score

from headscarp.core.band import Band
from headscarp.core.errors import SourceError
from headscarp.core.grid import cell_corner
from headscarp.core.stack import feature_bands, stack_grid
from headscarp.sources.points import Points, read_points
from headscarp.tiles.splits import kmeans_folds
from headscarp.tiles.statistics import encoded
from headscarp.train.linear import logistic_regression

__all__ = [
    "FOLDS",
    "auroc_in_sample",
    "cross_validated_auroc",
    "logistic_regression",
    "point_table",
    "random_folds",
]


def point_table(
    stack: xr.Dataset, points: Points, *, bands: Sequence[Band] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bands of a stack at labelled points: features, labels, places.

    Returns (n, F) float32 in the order of `feature_names(bands)`, (n,) uint8 1 or 0, (n, 2) the cells' centres in the
    CRS of the stack. Points off the grid, or where a band is missing, are left out. Raises SourceError if none is left.
    """
    bands = tuple(bands or feature_bands(stack))
    rows, cols, labels = read_points(points, stack_grid(stack))
    inside = rows >= 0
    rows, cols, labels = rows[inside], cols[inside], labels[inside]
    at = xr.DataArray(rows, dims="point"), xr.DataArray(cols, dims="point")
    x = np.stack([stack[band.name].isel(y=at[0], x=at[1]).to_numpy().astype("float32") for band in bands])
    features = encoded(x, bands)
    known = np.isfinite(features).all(axis=1)
    if not known.any():
        raise SourceError(f"no point of {points.path} lies where all bands have values; check [grid] and the bands")
    centres = np.array([cell_corner(stack_grid(stack), c + 0.5, r + 0.5) for r, c in zip(rows, cols, strict=True)])
    return features[known], labels[known], centres[known]


def auroc_in_sample(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """AUROC on the very points that the model was fitted to: too good, but the usual first figure."""
    return float(roc_auc_score(y, model.fit(x, y).predict_proba(x)[:, 1]))


def random_folds(places: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """A fold for each point, at random: (n,) int."""
    return np.random.default_rng(seed).permutation(np.arange(len(places)) % folds)


FOLDS: dict[str, Callable[..., np.ndarray]] = {"random": random_folds, "kmeans": kmeans_folds}


def cross_validated_auroc(
    make_model: Callable[[], Any],
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    kind: str,
    folds: int = 5,
    repeats: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """AUROC of each test fold of a repeated cross-validation on points: (repeats * folds,).

    table: from `point_table`. kind: "random", or "kmeans", whose folds are compact areas (Brenning 2012), so that test
    points have no training points as neighbours. Folds of one class have no AUROC and are left out.
    """
    x, y, places = table
    found = []
    for repeat in range(repeats):
        fold_of = FOLDS[kind](places, folds=folds, seed=seed + repeat)
        for fold in range(folds):
            test = fold_of == fold
            if len(np.unique(y[test])) == 2 and len(np.unique(y[~test])) == 2:
                model = make_model().fit(x[~test], y[~test])
                found.append(roc_auc_score(y[test], model.predict_proba(x[test])[:, 1]))
    return np.array(found)
