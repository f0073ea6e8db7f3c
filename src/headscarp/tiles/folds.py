"""Who goes into which fold: compact areas of points, blocks with like numbers of landslides, names of folds.

Knows numbers only, no raster. Refuses more folds than there are places.
"""

import numpy as np

from headscarp.core.errors import SplitError
from headscarp.tiles.partition import PARTS


def kmeans_folds(xy: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """A fold for each point, by k-means on their places, so that folds are compact areas (Brenning 2012).

    xy: (n, 2), metres. Returns (n,) int from 0 to folds - 1. Raises SplitError for fewer different points than folds.
    """
    from sklearn.cluster import KMeans

    xy = np.asarray(xy, dtype=np.float64)
    places = len(np.unique(xy, axis=0))
    if places < folds or folds < 2:
        raise SplitError(f"{places} different points cannot make {folds} folds; take 2 to {places} folds")
    labels = KMeans(folds, n_init=10, random_state=seed).fit_predict(xy - xy.mean(axis=0))
    return np.asarray(labels, dtype=int)


def stratified_folds(counts: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold for each block, (n,): richest blocks first, each to where the sum of squared shares grows least.

    counts: (n, 3). Blocks within a factor of two in landslides are in random order, so that seeds differ.
    """
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    richness = np.where(counts[:, 0] > 0, np.floor(np.log2(np.maximum(counts[:, 0], 1))) + 1, 0)
    order = np.lexsort((rng.permutation(len(counts)), -richness))
    held = np.zeros((folds, counts.shape[1]))
    fold_of = np.zeros(len(counts), dtype=int)
    for block in order:
        growth = held @ shares[block]
        least = np.flatnonzero(growth <= growth.min() + 1e-15)
        fold_of[block] = rng.choice(least)
        held[fold_of[block]] += shares[block]
    return fold_of


def name_of_fold(f: int, fold: int, folds: int) -> str:
    """The part of fold f where `fold` is the test: the next one validates, the others train."""
    return PARTS[2] if f == fold else PARTS[1] if f == (fold + 1) % folds else PARTS[0]


def check_folds(folds: int | None, fold: int) -> None:
    """Raises SplitError where there is no such fold, or too few for three parts."""
    if folds is None:
        return
    if folds < 3:
        raise SplitError(f"{folds} folds cannot give training, validation and test; take 3 or more")
    if not 0 <= fold < folds:
        raise SplitError(f"there is no fold {fold}; with {folds} folds take 0 to {folds - 1}")
