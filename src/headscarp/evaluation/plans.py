"""How much of the risk a plan of planting takes away, over places, with intervals from places drawn anew."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from headscarp.evaluation.intervals import Interval, interval_of

RESAMPLES = 1000


def mean_over_places(values: NDArray[np.float64], rng: np.random.Generator) -> Interval:
    """Mean of (places,) numbers and its 95 % interval; NaN counts as no place."""
    there = values[np.isfinite(values)]
    if not there.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = there[rng.integers(len(there), size=(RESAMPLES, len(there)))].mean(axis=1)
    return interval_of(float(there.mean()), drawn)


def ahead_of(ours: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]], seed: int) -> dict[str, Interval]:
    """Ours less each other, (places,) numbers of the same places, the same draws for all."""
    return {name: mean_over_places(ours - theirs, np.random.default_rng(seed)) for name, theirs in others.items()}
