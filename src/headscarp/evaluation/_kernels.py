"""Where a probability falls among the bins of the accumulators, and the loops over pixels that count it.

It counts and sums integers only, so that no order of pixels, chunks or threads can change a result. It knows nothing
of metrics, files or blocks on the ground.

The bins follow the floating point numbers from both ends: below one half the leading 12 bits of the mantissa of p,
above it those of 1 - p. So a bin is 2^-12 of p wide near 0 and 2^-12 of 1 - p wide near 1, and a net that is very
sure of itself is told apart as finely as a very doubtful one. All p up to 2^-40 share the lowest bin.
"""

from typing import Any

import numpy as np
from numba import njit

KEPT_BITS = 12
SHIFT = 23 - KEPT_BITS
LOW_MASK = (1 << SHIFT) - 1
BASE = (127 - 40) << 23  # bit pattern of 2^-40
HALF = 39 << KEPT_BITS  # bin of 0.5
NEAREST = (16 << KEPT_BITS) - 2  # 1 - p is 0 or at least 2^-24 in float32: one bin for 0 and no empty octaves
FINE_BINS = 2 * HALF - NEAREST

COARSE_SHIFT = KEPT_BITS - 3  # 8 bins an octave of odds, over the same range
COARSE_BINS = ((FINE_BINS - 1) >> COARSE_SHIFT) + 1

CELLS = 15
SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1 in the negative log-likelihood
UNLABELLED = 255

FINE_UNIT = 2.0**-38  # of the exact sums; 2^20 pixels of the largest loss stay inside int64
BLOCK_UNIT = 2.0**-30  # of the sums per block; 5e8 pixels stay inside int64
PIECE = 1 << 20
_STRIP = 1024
_MAGIC = 1.5 * 2.0**52  # x + _MAGIC has round(x) in its last bits: rounds to integers without leaving the vector unit
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_LN2 = 0.6931471805599453


@njit(cache=True, error_model="numpy")
def _bits32(value: Any) -> Any:
    return np.float32(value).view(np.int32)


@njit(cache=True, error_model="numpy")
def _bits64(value: Any) -> Any:
    return np.float64(value).view(np.int64)


@njit(cache=True, error_model="numpy")
def _double(bits: Any) -> Any:
    return np.int64(bits).view(np.float64)


@njit(cache=True, error_model="numpy")
def _rounded(value: Any) -> Any:
    return _bits64(value + _MAGIC) - _bits64(_MAGIC)


@njit(cache=True, error_model="numpy")
def _key(p: Any) -> Any:
    """Bit pattern of p or 1 - p, whichever is smaller, above that of 2^-40; never negative.

    One less for 1 - p, so that a bin holds its lower edge on both sides: 0.75 and above are whole bins.
    """
    upper = p >= np.float32(0.5)
    q = np.float32(1) - p if upper else p
    return max(_bits32(q) - np.int32(BASE) - np.int32(upper), np.int32(0))


@njit(cache=True, error_model="numpy")
def _bin(p: Any, key: Any) -> Any:
    k = key >> np.int32(SHIFT)
    return np.int32(2 * HALF - 1) - max(k, np.int32(NEAREST)) if p >= np.float32(0.5) else k


@njit(cache=True, error_model="numpy")
def _minus_log(x: Any) -> Any:
    """-log(x) of a positive double to about 1e-14, in plain arithmetic that the compiler can put side by side."""
    bits = _bits64(x)
    exponent = (bits - np.int64(_SQRT_HALF_BITS)) >> 52
    mantissa = _double(bits - (exponent << 52))  # in [sqrt(1/2), sqrt(2))
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    high = 1 / 9 + z * (1 / 11 + z * (1 / 13 + z / 15))
    series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * high)))  # of artanh(s) / s
    return -(np.float64(np.int32(exponent)) * _LN2 + 2.0 * s * series)


@njit(cache=True, error_model="numpy")
def _losses(p: Any, y: Any) -> Any:
    """Negative log-likelihood (clipped) and squared error of one labelled pixel; zeros for an unlabelled one."""
    used = np.float64(y != UNLABELLED)
    true = np.float64(y == 1)
    likelihood = 1.0 - np.float64(p) + true * (2.0 * np.float64(p) - 1.0)
    miss = 1.0 - likelihood
    kept = likelihood if likelihood > SMALLEST else SMALLEST
    kept = kept if kept < 1.0 - SMALLEST else 1.0 - SMALLEST
    return used * _minus_log(kept), used * miss * miss


@njit(cache=True, nogil=True, error_model="numpy")
def count_bad(probability: np.ndarray, label: np.ndarray) -> int:
    """How many pixels have a label other than 0, 1, 255, or a label and a probability outside [0, 1] or NaN."""
    bad = 0
    for i in range(probability.size):
        p, y = probability[i], label[i]
        inside = (p >= np.float32(0)) & (p <= np.float32(1))
        bad += (y != UNLABELLED) & (not (inside & (y <= 1)))
    return bad


@njit(cache=True, nogil=True, error_model="numpy")
def add_scores(probability: np.ndarray, label: np.ndarray, counts: np.ndarray, lows: np.ndarray) -> tuple[Any, Any]:
    """Counts one piece of at most 2^20 checked pixels into the fine bins.

    probability: (n,) float32. label: (n,) uint8. counts: (FINE_BINS + 1, 2) int64 flattened, negatives and
    positives; lows: (FINE_BINS + 1,) int64, sums of the bits below the bin; the last row of both takes the unlabelled.
    Returns the sums of -log-likelihood and squared error, in units of FINE_UNIT.
    """
    slot = np.empty(_STRIP, np.int32)
    low = np.empty(_STRIP, np.int32)
    nll, brier = np.int64(0), np.int64(0)
    for start in range(0, probability.size, _STRIP):
        p, y = probability[start : start + _STRIP], label[start : start + _STRIP]
        more_nll, more_brier = _sum_losses(p, y, 1 / FINE_UNIT)
        nll += more_nll
        brier += more_brier
        _find_slots(p, y, slot, low)
        _count(slot[: p.size], low, counts, lows)
    return nll, brier


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_losses(p: np.ndarray, y: np.ndarray, per_unit: float) -> tuple[Any, Any]:
    nll, brier = np.int64(0), np.int64(0)
    for i in range(p.size):
        loss, miss = _losses(p[i], y[i])
        nll += _rounded(loss * per_unit)
        brier += _rounded(miss * per_unit)
    return nll, brier


@njit(cache=True, nogil=True, error_model="numpy")
def _find_slots(p: np.ndarray, y: np.ndarray, slot: np.ndarray, low: np.ndarray) -> None:
    # Apart from the counting, which must go pixel by pixel: this loop runs many pixels at a time.
    for i in range(p.size):
        key = _key(p[i])
        j = _bin(p[i], key) if y[i] != UNLABELLED else np.int32(FINE_BINS)
        slot[i] = j * np.int32(2) + np.int32(y[i] & 1)
        low[i] = key & np.int32(LOW_MASK)


@njit(cache=True, nogil=True, error_model="numpy")
def _count(slot: np.ndarray, low: np.ndarray, counts: np.ndarray, lows: np.ndarray) -> None:
    for i in range(slot.size):
        where = np.uint32(slot[i])
        counts[where] += 1
        lows[where >> 1] += low[i]


@njit(cache=True, nogil=True, error_model="numpy")
def add_block_scores(
    probability: np.ndarray, label: np.ndarray, tables: tuple[np.ndarray, int], histogram: np.ndarray, sums: np.ndarray
) -> None:
    """Counts checked pixels that are all of one block.

    probability: (n,) float32. label: (n,) uint8. tables: cell of each fine bin (FINE_BINS,) intp, and the bin of the
    threshold. histogram: (COARSE_BINS, 2) uint32. sums: (3 * CELLS + 4,) int64: count, positives and predicted sum of
    each cell, then nll, brier, true and false positives; all but the counts in units of BLOCK_UNIT.
    """
    cell_of_bin, threshold_bin = tables
    nll, brier = _sum_losses(probability, label, 1 / BLOCK_UNIT)
    sums[3 * CELLS] += nll
    sums[3 * CELLS + 1] += brier
    for i in range(probability.size):
        p, y = probability[i], label[i]
        if y == UNLABELLED:
            continue
        j = _bin(p, _key(p))
        histogram[j >> COARSE_SHIFT, y] += np.uint32(1)
        cell = 3 * cell_of_bin[j]
        sums[cell] += 1
        sums[cell + 1] += y
        sums[cell + 2] += _rounded(np.float64(p) * (1 / BLOCK_UNIT))
        sums[3 * CELLS + 3 - y] += j >= threshold_bin


@njit(cache=True, nogil=True, error_model="numpy")
def bins_of(probability: np.ndarray) -> np.ndarray:
    """Fine bin of each probability: (n,) float32 in [0, 1] -> (n,) int32."""
    found = np.empty(probability.size, np.int32)
    for i in range(probability.size):
        found[i] = _bin(probability[i], _key(probability[i]))
    return found
