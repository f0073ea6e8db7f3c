"""Where a probability falls among the bins of the accumulators, and the loops over pixels that count it.

It counts and sums integers only, so that no order of pixels, chunks or threads can change a result; losses follow
from the counts. It knows nothing of metrics, files or blocks on the ground.

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
ROWS = FINE_BINS + 1
LOW_BITS = 37  # of a record, below its number of pixels

COARSE_SHIFT = KEPT_BITS - 3  # 8 bins an octave of odds, over the same range
COARSE_BINS = ((FINE_BINS - 1) >> COARSE_SHIFT) + 1

CELLS = 15
SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1 in the negative log-likelihood
UNLABELLED = 255

BLOCK_UNIT = 2.0**-30  # of the sums per block; 5e8 pixels stay inside int64
PIECE = 1 << 20  # pixels between two looks at how full the records are
_STRIP = 1024
_MAGIC = 1.5 * 2.0**52  # x + _MAGIC has round(x) in its last bits: rounds to integers without leaving the vector unit
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_LN2 = 0.6931471805599453
_FUSED = {"contract"}  # a product and a sum rounded once, by one instruction, wherever a pixel stands


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


@njit(cache=True, error_model="numpy", fastmath=_FUSED)
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


@njit(cache=True, nogil=True, error_model="numpy")
def count_bad(probability: np.ndarray, label: np.ndarray) -> int:
    """How many pixels have a label other than 0, 1, 255, or a label and a probability outside [0, 1] or NaN."""
    bad = 0
    for i in range(probability.size):
        bad += _is_bad(probability[i], label[i])
    return bad


@njit(cache=True, error_model="numpy")
def _is_bad(p: Any, y: Any) -> Any:
    inside = (p >= np.float32(0)) & (p <= np.float32(1))
    return (y != UNLABELLED) & (not (inside & (y <= 1)))


@njit(cache=True, nogil=True, error_model="numpy")
def add_scores(probability: np.ndarray, label: np.ndarray, records: np.ndarray) -> Any:
    """Counts pixels into the fine bins, and returns how many are bad (see `count_bad`).

    probability: (n,) float32. label: (n,) uint8. records: (2 * ROWS,) int64, negatives and then positives: the number
    of pixels above LOW_BITS bits that sum the bits below the bin, so that a pixel touches one place in memory. The last
    row of the negatives takes the unlabelled and the bad.
    """
    where = np.empty(_STRIP, np.int32)
    bad = np.int64(0)
    for start in range(0, probability.size, _STRIP):
        p, y = probability[start : start + _STRIP], label[start : start + _STRIP]
        bad += _find_places(p, y, where)
        _count(where[: p.size], records)
    return bad


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FUSED)
def _sum_losses(p: np.ndarray, y: np.ndarray, per_unit: float) -> tuple[Any, Any]:
    """Negative log-likelihood (clipped) and squared error of labelled pixels, each rounded to whole units."""
    nll, brier = np.int64(0), np.int64(0)
    for i in range(p.size):
        likelihood: Any = np.float64(p[i]) if y[i] == 1 else 1.0 - np.float64(p[i])
        likelihood = likelihood if y[i] != UNLABELLED else 1.0
        miss = 1.0 - likelihood
        kept = max(min(likelihood, 1.0 - SMALLEST), SMALLEST) if y[i] != UNLABELLED else 1.0
        nll += _bits64(_minus_log(kept) * per_unit + _MAGIC)
        brier += _bits64(miss * miss * per_unit + _MAGIC)
    magic = np.int64(p.size) * _bits64(_MAGIC)  # like the sums, modulo 2^64
    return nll - magic, brier - magic


@njit(cache=True, nogil=True, error_model="numpy")
def _find_places(p: np.ndarray, y: np.ndarray, where: np.ndarray) -> Any:
    """Row and low bits of each pixel in one number, and how many are bad."""
    # Apart from the counting, which must go pixel by pixel: this loop runs many pixels at a time.
    bad = np.int32(0)
    for i in range(p.size):
        key = _key(p[i])
        wrong = _is_bad(p[i], y[i])
        bad += np.int32(wrong)
        row = _bin(p[i], key) + np.int32(y[i] & 1) * np.int32(ROWS)
        row = np.int32(ROWS - 1) if wrong | (y[i] == UNLABELLED) else row
        where[i] = (row << np.int32(SHIFT)) | (key & np.int32(LOW_MASK))
    return bad


@njit(cache=True, nogil=True, error_model="numpy")
def _count(where: np.ndarray, records: np.ndarray) -> None:
    for i in range(where.size):
        place = np.uint32(where[i])
        records[place >> np.uint32(SHIFT)] += np.int64(1 << LOW_BITS) + np.int64(place & np.uint32(LOW_MASK))


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
