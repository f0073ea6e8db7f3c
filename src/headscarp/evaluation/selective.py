"""What confidence is worth: how often an answer is right where only the surest are given, and sets that hold the truth.

Pure functions of a few thousand numbers. A set of causes holds all that are likely enough; how likely that has to be is
fitted on places that were not trained on, so that the sets miss no more than the share that was asked for among places
like those. Elsewhere nothing is promised: it is measured, region by region. Refuses nothing; undefined values are NaN.

Written here and not taken from MAPIE: with one truth a place its sets are these, but where several causes may hold it
controls the mean share that is held, and not whether a set holds them all.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
KEPT = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Shares of answers that are kept, the surest first."""
COVERAGE = 0.9
"""Share of places whose sets are to hold every cause that holds."""


def selective(right: Floats, confidence: Floats, weights: Floats, kept: float) -> Floats:
    """Mean of `right` over the surest share of places, ties by the same part: (R,).

    right: (N,) 1 or 0, or a loss. confidence: (N,). weights: (R, N) how often each place counts. kept: in (0, 1].
    """
    if not len(right):
        return np.full(len(weights), np.nan)
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    count = np.cumsum(weights[:, order], axis=1)[:, ends]
    gained = np.cumsum(weights[:, order] * right[order], axis=1)[:, ends]
    count, gained = (np.concatenate([np.zeros((len(weights), 1)), v], axis=1) for v in (count, gained))
    budget = kept * count[:, -1]
    rows = np.arange(len(weights))
    after = np.minimum((count <= budget[:, None] + 1e-9).sum(axis=1), count.shape[1] - 1)
    low, high = count[rows, after - 1], count[rows, after]
    part = np.clip(np.divide(budget - low, high - low, out=np.zeros_like(budget), where=high > low), 0, 1)
    found = gained[rows, after - 1] + part * (gained[rows, after] - gained[rows, after - 1])
    return np.asarray(np.divide(found, budget, out=np.full_like(budget, np.nan), where=budget > 0))


def selective_curve(right: Floats, confidence: Floats) -> tuple[Floats, Floats]:
    """Shares kept, rising, and the mean of `right` over that many of the surest, for a figure: (M,) each."""
    shares = np.linspace(0.05, 1.0, 39)
    once = np.ones((1, len(right)))
    return shares, np.array([selective(right, confidence, once, share)[0] for share in shares])


def set_cut(p: Floats, holds: NDArray[np.uint8], coverage: float = COVERAGE) -> float:
    """The probability from which on a cause is in the set, so that sets hold every cause that holds at this share of
    places, for places that could be swapped with these; 0 where too few are known to promise that.

    p: (N, K). holds: (N, K) 1, 0 or 255; places where none is known to hold do not count. By the quantile of the least
    likely cause that holds, with the correction for a finite number: Vovk et al. (2005); for one class a place these
    are the sets of Sadinle, Lei and Wasserman (2019).
    """
    least = np.where(holds == 1, p, np.inf).min(axis=1, initial=np.inf)
    falling = np.sort(least[np.isfinite(least)])[::-1]
    rank = int(np.ceil((len(falling) + 1) * coverage))
    return float(falling[rank - 1]) if 0 < rank <= len(falling) else 0.0


def held(p: Floats, holds: NDArray[np.uint8], cut: float) -> Bools:
    """(N,) whether the set of each place holds every cause that holds; true where none is known to."""
    return np.asarray(((holds != 1) | (p >= cut)).all(axis=1))


def set_sizes(p: Floats, cut: float) -> NDArray[np.int64]:
    """(N,) causes in the set of each place."""
    return np.asarray((p >= cut).sum(axis=1))


def coverage_elsewhere(
    p: Floats, holds: NDArray[np.uint8], region: NDArray[np.str_], coverage: float = COVERAGE
) -> dict[str, tuple[float, int]]:
    """By region: the share of its places whose sets hold all, with the cut fitted on the other regions; and of how many
    places. A region without a known cause, or with nothing to fit on elsewhere, is left out."""
    known = (holds == 1).any(axis=1)
    found = {}
    for name in np.unique(region[known]):
        here, others = known & (region == name), known & (region != name)
        if others.any():
            cut = set_cut(p[others], holds[others], coverage)
            found[str(name)] = (float(held(p[here], holds[here], cut).mean()), int(here.sum()))
    return found
