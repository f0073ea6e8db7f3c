"""What the pixels of a map are like: facts of each block as it is made, and summaries of the bands from them.

Facts are plain numbers, so that they stand in the journal and the map need not be read again. It knows no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit


@dataclass(frozen=True)
class BandSummary:
    """What a band of the map holds: number of valid pixels, lowest, highest, mean, standard deviation (NaN if none)."""

    valid: int
    low: float
    high: float
    mean: float
    std: float


def finish_block(pixels: np.ndarray, valid: np.ndarray) -> dict[str, Any]:
    """Makes the pixels of a block that are not valid NaN, in place, and returns its facts, as `summarise` takes them.

    pixels: (K, h, w) float32, contiguous. valid: (h, w) bool. The facts: how many pixels are there, NaN left out, and
    of these the low, high, sum and sum of squares of each band.
    """
    counted, extremes, sums = _finish(pixels, valid)
    if not counted:
        return {"valid": 0}
    low, high = extremes.astype(float).T.tolist()
    total, squares = sums.T.tolist()
    return {"valid": int(counted), "low": low, "high": high, "sum": total, "squares": squares}


def summarise(facts: Sequence[Mapping[str, Any]], bands: int) -> list[BandSummary]:
    """One BandSummary a band from the facts that each block left."""
    filled = [f for f in facts if f["valid"]]
    valid = sum(f["valid"] for f in filled)
    if not valid:
        return [BandSummary(0, *[float("nan")] * 4)] * bands
    summaries = []
    for band in range(bands):
        mean = sum(f["sum"][band] for f in filled) / valid
        variance = max(0.0, sum(f["squares"][band] for f in filled) / valid - mean**2)
        low, high = min(f["low"][band] for f in filled), max(f["high"][band] for f in filled)
        summaries.append(BandSummary(valid, low, high, mean, variance**0.5))
    return summaries


@njit(nogil=True, cache=True)
def _finish(pixels: np.ndarray, valid: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """How many pixels are there in the first band, (K, 2) low and high, (K, 2) sum and sum of squares."""
    bands, rows, cols = pixels.shape
    counted = 0
    extremes = np.empty((bands, 2), np.float32)
    sums = np.zeros((bands, 2))
    for band in range(bands):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for i in range(rows):
            row, there = pixels[band, i], valid[i]
            total, squares = 0.0, 0.0  # of one row: short sums round less
            for j in range(cols):
                v = row[j]
                if not there[j]:
                    row[j] = np.float32(np.nan)
                elif v == v:
                    counted += band == 0
                    low = min(low, v)
                    high = max(high, v)
                    total += np.float64(v)
                    squares += np.float64(v) * np.float64(v)
            sums[band, 0] += total
            sums[band, 1] += squares
        extremes[band, 0] = low
        extremes[band, 1] = high
    return counted, extremes, sums
