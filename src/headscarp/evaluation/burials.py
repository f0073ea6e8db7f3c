"""How good maps of burial are, beside the ground that was buried: squared error, overlap, reliability, over places.

A map says how likely each cell of a place is buried; what came are masks of the same place. Sums are kept for each
place, so that intervals come from places drawn anew. Refuses to choose a cut by the places that judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import StackError
from headscarp.evaluation.intervals import Interval, interval_of

CUTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Probabilities from which on a cell may count as mapped."""
BINS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)
"""Edges of the bins of reliability: finer where probabilities are low, as those of burial are."""
RESAMPLES = 1000
BURIAL_METRICS = ("brier", "iou", "ece")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Of one place. cells, squares: how many were judged, and the sum of squared errors. both, either: (cuts,) cells in
    mapped and buried ground, in one of them. bins: (bins, 3) cells, sum of probabilities, buried cells."""

    cells: float
    squares: float
    both: Floats
    either: Floats
    bins: Floats


def sums_of(probability: NDArray[np.floating], came: Sequence[NDArray[np.bool_]]) -> Sums:
    """The sums of a map (y, x) in [0, 1] beside each of the masks (y, x) that came. Raises StackError without any."""
    if not len(came):
        raise StackError("nothing came of a place, so its map of burial cannot be judged; build scenarios with futures")
    p = np.asarray(probability, np.float64)
    at = np.clip(np.searchsorted(BINS, p, side="right") - 1, 0, len(BINS) - 2).ravel()
    mapped = np.array([p >= cut for cut in CUTS])
    buried = np.mean([np.asarray(one, np.float64) for one in came], axis=0)
    both = np.array([[(m & one).sum() for m in mapped] for one in came], np.float64).sum(axis=0)
    either = np.array([[(m | one).sum() for m in mapped] for one in came], np.float64).sum(axis=0)
    squares = float(sum(((p - one) ** 2).sum() for one in came))
    weights = (np.ones(p.size), p.ravel(), buried.ravel())
    bins = np.stack([np.bincount(at, w, len(BINS) - 1) for w in weights], axis=1).astype(np.float64) * len(came)
    return Sums(float(p.size * len(came)), squares, both, either, bins)


def best_cut(places: Sequence[Sums]) -> int:
    """Which of CUTS overlaps best with what came, to be chosen on places that do not judge."""
    both, either = (sum(getattr(place, name) for place in places) for name in ("both", "either"))
    return int(np.argmax(both / np.maximum(either, 1.0)))


def burial_scores(places: Sequence[Sums], cut: int, rng: np.random.Generator) -> dict[str, Interval]:
    """Each of BURIAL_METRICS over all places together, with 95 % intervals from places drawn with replacement.

    brier: mean squared error of the probability. iou: of what is mapped from CUTS[cut] on. ece: mean distance of said
    and found shares over BINS, weighted by cells (expected calibration error).
    """
    table = _table(places, cut)
    drawn = rng.integers(len(places), size=(RESAMPLES, len(places)))
    counts = np.stack([np.bincount(row, minlength=len(places)) for row in drawn])
    values, resampled = _scores(table.sum(axis=0)[None]), _scores(counts @ table)
    return {name: interval_of(float(values[name][0]), resampled[name]) for name in BURIAL_METRICS}


def burial_difference(
    ours: Sequence[Sums], theirs: Sequence[Sums], cuts: tuple[int, int], rng: np.random.Generator
) -> dict[str, Interval]:
    """Each metric of one less that of the other, the same places drawn for both."""
    drawn = rng.integers(len(ours), size=(RESAMPLES, len(ours)))
    counts = np.stack([np.bincount(row, minlength=len(ours)) for row in drawn])
    tables = [_table(places, cut) for places, cut in zip((ours, theirs), cuts, strict=True)]
    values = [_scores(table.sum(axis=0)[None]) for table in tables]
    resampled = [_scores(counts @ table) for table in tables]
    return {
        name: interval_of(float(values[0][name][0] - values[1][name][0]), resampled[0][name] - resampled[1][name])
        for name in BURIAL_METRICS
    }


def reliability(places: Sequence[Sums]) -> Floats:
    """(bins, 3) cells, mean probability, share that was buried; NaN in empty bins."""
    total = np.asarray(sum(place.bins for place in places), np.float64)
    with np.errstate(invalid="ignore"):
        return np.column_stack([total[:, 0], total[:, 1] / total[:, 0], total[:, 2] / total[:, 0]])


def _table(places: Sequence[Sums], cut: int) -> Floats:
    """(places, numbers) what the scores are made of."""
    return np.array([[p.cells, p.squares, p.both[cut], p.either[cut], *p.bins.ravel()] for p in places])


def _scores(sums: Floats) -> dict[str, Floats]:
    bins = sums[:, 4:].reshape(len(sums), -1, 3)
    return {
        "brier": sums[:, 1] / sums[:, 0],
        "iou": sums[:, 2] / np.maximum(sums[:, 3], 1.0),
        "ece": np.abs(bins[..., 1] - bins[..., 2]).sum(axis=1) / sums[:, 0],
    }
