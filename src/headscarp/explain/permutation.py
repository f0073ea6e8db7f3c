"""What a map loses when a band is shuffled between tiles: a band that is not missed was not needed.

Beside attribution, since gradients alone mislead: a net can lean on a band whose message it has from another one too.
Refuses fewer than two tiles. Reads no files.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from headscarp.core.errors import SplitError
from headscarp.core.progress import Progress
from headscarp.evaluation.metrics import score
from headscarp.evaluation.streaming import ScoreHistogram
from headscarp.nets.batch import Batch


def skill_lost(
    predictor: Callable[[Batch], np.ndarray],
    batches: Sequence[Batch],
    rng: np.random.Generator,
    *,
    repeats: int = 3,
    bar: Progress | None = None,
) -> tuple[float, np.ndarray]:
    """The log-skill of a predictor on tiles, and for each band how much it falls when its pixels come from other tiles.

    batches: one tile each, all of one size, with a label for each value of the predictor. Returns the skill against the
    best constant on these pixels, and (bands, repeats) falls; each repeat deals the tiles anew, and no tile keeps its
    own pixels. Where the other tile has no valid pixel the own one stays. Method: Breiman (2001), by blocks. Raises
    SplitError.
    """
    if len(batches) < 2:
        raise SplitError(
            f"{len(batches)} tile has labels there, and shuffling needs 2 or more; explain another part or split"
        )
    skill = _skill(predictor, batches)
    donors = [_derangement(len(batches), rng) for _ in range(repeats)]
    falls = np.empty((batches[0].x.shape[1], repeats))
    for band in range(len(falls)):
        for repeat, donor in enumerate(donors):
            shuffled = [_with_band(own, batches[other], band) for own, other in zip(batches, donor, strict=True)]
            falls[band, repeat] = skill - _skill(predictor, shuffled)
            if bar:
                bar.advance()
    return skill, falls


def _skill(predictor: Callable[[Batch], np.ndarray], batches: Sequence[Batch]) -> float:
    histogram = ScoreHistogram()
    for batch in batches:
        assert batch.y is not None
        histogram.update(predictor(batch), batch.y.numpy())
    return score(histogram.counts(0.5))["skill"]


def _with_band(own: Batch, other: Batch, band: int) -> Batch:
    x = own.x.clone()
    x[:, band] = torch.where(other.valid & own.valid, other.x[:, band], own.x[:, band])
    return replace(own, x=x)


def _derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """For each of `count` another one, each once: a ring in random order."""
    order = rng.permutation(count)
    donor = np.empty(count, np.int64)
    donor[order] = np.roll(order, 1)
    return donor
