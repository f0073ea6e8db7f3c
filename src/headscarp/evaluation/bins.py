"""The edges of the bins that `_kernels` counts in, and how thresholds and cells of reliability sit on them.

It counts nothing.
"""

from functools import cache

import numpy as np

from headscarp.core.errors import StackError
from headscarp.evaluation import _kernels as k


@cache
def bin_edges() -> np.ndarray:
    """(bins,) float32, never falling: the smallest probability of each bin (of the next used one where none fits)."""
    low = _float_of(np.arange(k.HALF))
    low[0] = 0.0
    # Above one half a bin begins at its largest 1 - p; float32 there are whole multiples of 2^-24.
    largest = _float_of(np.arange(k.HALF, k.NEAREST, -1))
    high = 1.0 - np.floor(largest * 2**24) / 2**24
    edges = np.concatenate([low, high]).astype(np.float32)
    edges.flags.writeable = False
    return edges


def bin_of_threshold(threshold: float) -> int:
    """The bin whose lower edge is nearest to a threshold: pixels in it and above are called positive.

    Raises StackError outside [0, 1]; a threshold of 0 calls all pixels, one of 1 those of probability 1.
    """
    if not 0 <= threshold <= 1:
        raise StackError(f"threshold is {threshold}; give a probability between 0 and 1")
    edges = bin_edges()
    above = int(np.searchsorted(edges, np.float32(threshold)))
    if above == 0 or edges[above] - np.float32(threshold) <= np.float32(threshold) - edges[above - 1]:
        return above
    return above - 1


@cache
def cells_of_bins(cells: int) -> np.ndarray:
    """(bins,) intp: which of so many cells of equal width each bin belongs to, by its smallest probability."""
    found = np.minimum(bin_edges().astype(np.float64) * cells, cells - 1).astype(np.intp)
    found.flags.writeable = False
    return found


@cache
def ladders() -> tuple[np.ndarray, np.ndarray]:
    """(bins,) twice: the probability of each bin at low bits 0, and what one low bit adds."""
    key = np.concatenate([np.arange(k.HALF), np.arange(k.HALF - 1, k.NEAREST - 1, -1)])
    upper = np.arange(key.size) >= k.HALF
    step = (_float_of(key + 1) - _float_of(key)) / (1 << k.SHIFT)
    base = _float_of(key) + np.where(upper, step, 0.0)
    base[-1], step[-1] = 0.0, 0.0  # 1 - p is exactly 0
    return np.where(upper, 1.0 - base, base), np.where(upper, -step, step)


def _float_of(key: np.ndarray) -> np.ndarray:
    """The number whose bit pattern begins a bin, as float64."""
    bits = (np.asarray(key).astype(np.int64) << k.SHIFT) + k.BASE
    return bits.astype(np.int32).view(np.float32).astype(np.float64)
