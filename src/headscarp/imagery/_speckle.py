"""Compiled loops of the speckle filters: sums over a square window, and what Lee and Gamma MAP make of them.

Sums go along the row first and then down, always in the same order around a cell, so a cell has the same bits wherever
its block begins. Callers check their arguments; power is (planes, y, x) float32, NaN or infinite = missing.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headscarp.core.machine import cores

_STRIP_ROWS = 128
_MEAN, _LEE, _GAMMA_MAP = range(3)
_KINDS = {"lee": _LEE, "gamma_map": _GAMMA_MAP}


def filtered(
    power: NDArray[np.float32], radius: int, looks: float, kind: str, threads: int | None
) -> NDArray[np.float32]:
    """Planes of the same shape, filtered; NaN where the cell is missing."""
    return _over_strips(
        lambda z, above, out: _filter_rows(z, above, out, radius, looks, _KINDS[kind]), power, radius, threads
    )


def local_means(power: NDArray[np.float32], radius: int, threads: int | None) -> NDArray[np.float32]:
    """The mean of what is there in the window around each cell; NaN where nothing is."""
    return _over_strips(lambda z, above, out: _filter_rows(z, above, out, radius, 1.0, _MEAN), power, radius, threads)


def _over_strips(
    work: Callable[..., None], power: NDArray[np.float32], radius: int, threads: int | None
) -> NDArray[np.float32]:
    """Call work(rows with context, rows to leave out above, result) on strips of all planes."""
    planes, height, _ = power.shape
    out = np.empty_like(power)

    def fill(plane: int, first: int) -> None:
        last = min(first + _STRIP_ROWS, height)
        north, south = max(0, first - radius), min(height, last + radius)
        work(power[plane, north:south], first - north, out[plane, first:last])

    strips = [(plane, first) for plane in range(planes) for first in range(0, height, _STRIP_ROWS)]
    workers = min(threads or cores(), len(strips))
    if workers <= 1:
        for strip in strips:
            fill(*strip)
        return out
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(fill, *strip) for strip in strips]:
            done.result()
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _filter_rows(
    z: NDArray[np.float32], above: int, out: NDArray[np.float32], radius: int, looks: float, kind: int
) -> None:
    """z: rows with their context, the first row of out is row `above` of z."""
    rows, width = z.shape
    first, second = np.empty((rows, width)), np.empty((rows, width))
    number = np.empty((rows, width))
    padded, squares, there = np.zeros(width + 2 * radius), np.zeros(width + 2 * radius), np.zeros(width + 2 * radius)
    for i in range(rows):
        _padded_row(z[i], padded[radius : radius + width], squares[radius : radius + width], there[radius:])
        _sum_along(padded, radius, first[i])
        _sum_along(squares, radius, second[i])
        _sum_along(there, radius, number[i])
    one, two, count = np.empty(width), np.empty(width), np.empty(width)
    for i in range(out.shape[0]):
        one[:], two[:], count[:] = 0.0, 0.0, 0.0
        for k in range(max(0, i + above - radius), min(rows, i + above + radius + 1)):
            _add(first[k], one)
            _add(second[k], two)
            _add(number[k], count)
        if kind == _MEAN:
            for j in range(width):
                out[i, j] = np.float32(one[j] / count[j])
        elif kind == _LEE:
            _lee(z[i + above], one, two, count, 1.0 / looks, out[i])
        else:
            _gamma_map(z[i + above], one, two, count, looks, out[i])


@njit(nogil=True, cache=True)
def _padded_row(z, padded, squares, there):  # type: ignore[no-untyped-def]
    for j in range(z.shape[0]):
        present = abs(z[j]) < np.float32(np.inf)
        value = np.float64(z[j] if present else np.float32(0))
        padded[j], squares[j] = value, value * value
        there[j] = 1.0 if present else 0.0


@njit(nogil=True, cache=True)
def _sum_along(row, radius, out):  # type: ignore[no-untyped-def]
    out[:] = 0.0
    for k in range(2 * radius + 1):
        _add(row[k : k + out.shape[0]], out)


@njit(nogil=True, cache=True)
def _add(row, total):  # type: ignore[no-untyped-def]
    for j in range(total.shape[0]):
        total[j] += row[j]


@njit(nogil=True, cache=True, error_model="numpy")
def _lee(z, one, two, count, speckle, out):  # type: ignore[no-untyped-def]
    """speckle: Cu^2."""
    for j in range(out.shape[0]):
        value, mean = np.float64(z[j]), one[j] / count[j]
        variance = max(two[j] / count[j] - mean * mean, 0.0)
        # w = (1 - Cu^2 / Ci^2) / (1 + Cu^2) with Ci^2 = variance / mean^2, without dividing by a variance of 0.
        beyond = variance - speckle * mean * mean
        weight = beyond / (variance * (1.0 + speckle)) if beyond > 0.0 else 0.0
        # value * 0 is NaN where the cell is missing or infinite.
        out[j] = np.float32(mean + weight * (value - mean) + value * 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _gamma_map(z, one, two, count, looks, out):  # type: ignore[no-untyped-def]
    speckle = 1.0 / looks
    for j in range(out.shape[0]):
        value, mean = np.float64(z[j]), one[j] / count[j]
        variance = max(two[j] / count[j] - mean * mean, 0.0)
        varied = variance / (mean * mean)
        result = value
        if not varied > speckle:
            result = mean
        elif varied < 2.0 * speckle:
            alpha = (1.0 + speckle) / (varied - speckle)
            shift = alpha - looks - 1.0
            root = math.sqrt(mean * mean * shift * shift + 4.0 * alpha * looks * mean * value)
            result = (shift * mean + root) / (2.0 * alpha)
        out[j] = np.float32(result + value * 0.0)
