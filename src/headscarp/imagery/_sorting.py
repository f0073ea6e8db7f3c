"""Compiled loops over the looks of a period: sorting along time, means, medoids.

Each fills its result for the cells first..last. Cells are worked on in short runs that stay in the first-level cache,
looks in the outer loops, so that the inner ones vectorise; the GIL is released. Missing is NaN or infinite. Callers
check their arguments.
"""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CELLS = 64


@lru_cache(maxsize=64)
def sorting_network(n: int) -> NDArray[np.int32]:
    """(comparators, 2) pairs of places: comparing and swapping them in this order sorts any n numbers.

    Source: Batcher (1968), AFIPS Spring Joint Computer Conference, 307-314; odd-even merge sort for the next power of
    two, without the pairs that reach beyond n (where the greatest numbers would stand anyhow).
    """
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


@njit(nogil=True, cache=True, error_model="numpy")
def quantile_cells(
    frames: NDArray[np.float32],
    network: NDArray[np.int32],
    quantile: float,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """frames: (T, n) float32. network: of T. quantile: 0..1, or less than 0 for the median. out: (n,) float32."""
    looks = frames.shape[0]
    tile = np.empty((looks, _CELLS), np.float32)
    count = np.empty(_CELLS, np.int64)
    for start in range(first, last, _CELLS):
        m = min(_CELLS, last - start)
        count[:] = 0
        for t in range(looks):
            for j in range(m):
                value = frames[t, start + j]
                present = abs(value) < np.float32(np.inf)
                tile[t, j] = value if present else np.float32(np.inf)
                count[j] += 1 if present else 0
        for c in range(network.shape[0]):
            _in_order(tile[network[c, 0]], tile[network[c, 1]])
        for j in range(m):
            n = count[j]
            if n == 0:
                out[start + j] = np.float32(np.nan)
            elif quantile < 0:
                # As numpy: the mean of the two in the middle, in single precision.
                low, high = tile[(n - 1) // 2, j], tile[n // 2, j]
                out[start + j] = low if n % 2 == 1 else (low + high) / np.float32(2)
            else:
                place = quantile * (n - 1)
                below = np.int64(place)
                low, high = np.float64(tile[below, j]), np.float64(tile[min(below + 1, n - 1), j])
                out[start + j] = np.float32(low + (high - low) * (place - below))


@njit(nogil=True, cache=True, inline="always")
def _in_order(low, high):  # type: ignore[no-untyped-def]
    for j in range(_CELLS):
        a, b = low[j], high[j]
        low[j] = a if a < b else b
        high[j] = b if a < b else a


@njit(nogil=True, cache=True, error_model="numpy")
def mean_cells(frames: NDArray[np.float32], first: int, last: int, out: NDArray[np.float32]) -> None:
    """frames: (T, n) float32. out: (n,) float32: the mean in double precision, NaN where there is no look."""
    looks = frames.shape[0]
    total, count = np.empty(_CELLS, np.float64), np.empty(_CELLS, np.float64)
    for start in range(first, last, _CELLS):
        m = min(_CELLS, last - start)
        total[:] = 0.0
        count[:] = 0.0
        for t in range(looks):
            _add_look(frames[t, start : start + m], total[:m], count[:m])
        for j in range(m):
            out[start + j] = np.float32(total[j] / count[j])


@njit(nogil=True, cache=True)
def _add_look(values, total, count):  # type: ignore[no-untyped-def]
    for j in range(values.shape[0]):
        present = abs(values[j]) < np.float32(np.inf)
        total[j] += np.float64(values[j] if present else np.float32(0))
        count[j] += 1.0 if present else 0.0


@njit(nogil=True, cache=True)
def present_cells(frames: NDArray[np.float32], first: int, last: int, out: NDArray[np.bool_]) -> None:
    """frames: (T, B, n) float32. out: (T, n) bool: whether a look has all its bands."""
    looks, bands = frames.shape[:2]
    for t in range(looks):
        marks = out[t, first:last]
        marks[:] = True
        for b in range(bands):
            values = frames[t, b, first:last]
            for j in range(values.shape[0]):
                marks[j] &= abs(values[j]) < np.float32(np.inf)


@njit(nogil=True, cache=True)
def medoid_cells(
    frames: NDArray[np.float32], present: NDArray[np.bool_], first: int, last: int, out: NDArray[np.int16]
) -> None:
    """frames: (T, B, n) float32. present: (T, n). out: (n,) int16: the look with the least sum of distances, or -1."""
    looks, bands = frames.shape[:2]
    values = np.empty((looks, bands), np.float64)
    place, total = np.empty(looks, np.int64), np.empty(looks, np.float64)
    for j in range(first, last):
        n = 0
        for t in range(looks):
            if present[t, j]:
                for b in range(bands):
                    values[n, b] = frames[t, b, j]
                place[n], total[n] = t, 0.0
                n += 1
        for one in range(n):
            for two in range(one + 1, n):
                square = 0.0
                for b in range(bands):
                    gap = values[one, b] - values[two, b]
                    square += gap * gap
                distance = math.sqrt(square)
                total[one] += distance
                total[two] += distance
        best = -1
        for one in range(n):
            if best < 0 or total[one] < total[best]:
                best = one
        out[j] = place[best] if best >= 0 else -1
