"""Relief and topographic position: how a cell stands within the disc of cells around it.

The disc of radius R holds every cell whose centre is within R + 1/2 cells: the 3 x 3 window at R = 1, and what the
midpoint circle of `ring` encloses. It is round in cells, not in metres. Cells off the raster and missing cells
take no part, so neither spreads. Both results have the same bits wherever the raster is cut into blocks: greatest
and least values are exact anyhow, and means are summed in whole micrometres.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError
from headscarp.terrain.derive import as_float, check_dem, over_strips
from headscarp.terrain.ring import LARGEST_RADIUS_PX

_STRIP_ROWS = 64
_COLUMNS = 1024
# Elevations as whole numbers of 2^-20 m (about a micrometre): sums of them do not depend on their order.
_PER_METRE = float(2**20)
_HIGHEST_M = 1e7


def relief(dem: NDArray[Any], radius_px: int, *, threads: int | None = None) -> NDArray[np.float32]:
    """Local relief: highest minus lowest elevation within the disc around each cell.

    dem: (y, x) metres, NaN or infinite = missing. radius_px: 1 to 255.
    Returns (y, x) float32 metres, >= 0; NaN only where the cell itself is missing.
    Raises GridError for a DEM that is none, RecipeError for a radius out of range.
    """
    return _over_discs(_relief_rows, dem, radius_px, threads)


def topographic_position(dem: NDArray[Any], radius_px: int, *, threads: int | None = None) -> NDArray[np.float32]:
    """Topographic position index: elevation minus the mean of the other cells within the disc.

    dem: (y, x) metres, NaN or infinite (or beyond 10,000 km) = missing. radius_px: 1 to 255.
    Returns (y, x) float32 metres: positive on ridges, negative in valleys, near zero on flats and even slopes;
    NaN where the cell is missing or alone in its disc.
    Raises as `relief` does. Source: Weiss (2001), Topographic position and landforms analysis, ESRI conference.
    """
    return _over_discs(_position_rows, dem, radius_px, threads)


def _over_discs(
    kernel: Callable[..., None], dem: NDArray[Any], radius_px: int, threads: int | None
) -> NDArray[np.float32]:
    height, width = check_dem(dem)
    half_widths = _disc(radius_px)
    out = np.empty((height, width), np.float32)

    def fill(first: int, last: int) -> None:
        north, south = max(0, first - radius_px), min(height, last + radius_px)
        for west in range(0, width, _COLUMNS):
            east = min(width, west + _COLUMNS)
            left, right = max(0, west - radius_px), min(width, east + radius_px)
            # The block with its context, NaN where that lies off the raster.
            z = np.full((last - first + 2 * radius_px, east - west + 2 * radius_px), np.nan)
            rows, columns = north - first + radius_px, left - west + radius_px
            z[rows : rows + south - north, columns : columns + right - left] = as_float(dem[north:south, left:right])
            kernel(z, half_widths, out[first:last, west:east])

    over_strips(fill, 0, height, rows=max(_STRIP_ROWS, radius_px), threads=threads)
    return out


def _disc(radius_px: int) -> NDArray[np.int64]:
    """For each row offset -R..R the half-width of the disc in columns."""
    if isinstance(radius_px, bool) or int(radius_px) != radius_px or not 1 <= radius_px <= LARGEST_RADIUS_PX:
        raise RecipeError(f"radius is {radius_px} px, but a whole number from 1 to {LARGEST_RADIUS_PX} is needed.")
    # (R + 1/2)^2 without its quarter: squared distances are whole numbers.
    within = radius_px * radius_px + radius_px
    return np.array([math.isqrt(within - k * k) for k in range(-radius_px, radius_px + 1)], dtype=np.int64)


@njit(nogil=True, cache=True)
def _relief_rows(z, half_widths, out):  # type: ignore[no-untyped-def]
    """Greatest and least over each row of the disc from runs of 1, 2, 4, ... cells, two overlapping runs a row."""
    radius = half_widths.shape[0] // 2
    levels = 1
    while 2**levels <= 2 * radius + 1:
        levels += 1
    rows, columns = z.shape
    highest = np.empty((levels, rows, columns), np.float32)
    lowest = np.empty((levels, rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            present = abs(z[i, j]) < np.inf
            highest[0, i, j] = z[i, j] if present else -np.inf
            lowest[0, i, j] = z[i, j] if present else np.inf
    for level in range(1, levels):
        run = 2 ** (level - 1)
        for i in range(rows):
            _join_runs(highest[level - 1, i], lowest[level - 1, i], run, highest[level, i], lowest[level, i])
    most, least = np.empty(out.shape[1], np.float32), np.empty(out.shape[1], np.float32)
    for i in range(out.shape[0]):
        most[:] = -np.inf
        least[:] = np.inf
        for k in range(half_widths.shape[0]):
            length = 2 * half_widths[k] + 1
            level = 0
            while 2 ** (level + 1) <= length:
                level += 1
            west = radius - half_widths[k]
            east = west + length - 2**level
            _widen(highest[level, i + k, west:], lowest[level, i + k, west:], most, least)
            _widen(highest[level, i + k, east:], lowest[level, i + k, east:], most, least)
        for j in range(out.shape[1]):
            present = abs(z[i + radius, j + radius]) < np.inf
            out[i, j] = most[j] - least[j] if present else np.float32(np.nan)


@njit(nogil=True, cache=True)
def _join_runs(high, low, run, longer_high, longer_low):  # type: ignore[no-untyped-def]
    """Runs of 2n cells from two runs of n; what reaches over the end stays short (it is never asked for)."""
    last = high.shape[0] - run
    for j in range(last):
        longer_high[j] = max(high[j], high[j + run])
        longer_low[j] = min(low[j], low[j + run])
    for j in range(last, high.shape[0]):
        longer_high[j], longer_low[j] = high[j], low[j]


@njit(nogil=True, cache=True)
def _widen(high, low, most, least):  # type: ignore[no-untyped-def]
    for j in range(most.shape[0]):
        most[j] = max(most[j], high[j])
        least[j] = min(least[j], low[j])


@njit(nogil=True, cache=True, error_model="numpy")
def _position_rows(z, half_widths, out):  # type: ignore[no-untyped-def]
    """Sums over each row of the disc as differences of running sums, in whole numbers (which may wrap: they cancel)."""
    radius = half_widths.shape[0] // 2
    rows, columns = z.shape
    total = np.zeros((rows, columns + 1), np.int64)
    count = np.zeros((rows, columns + 1), np.int32)
    for i in range(rows):
        for j in range(columns):
            present = abs(z[i, j]) < _HIGHEST_M
            total[i, j + 1] = total[i, j] + (np.int64(round(z[i, j] * _PER_METRE)) if present else 0)
            count[i, j + 1] = count[i, j] + (1 if present else 0)
    sums, counts = np.empty(out.shape[1], np.int64), np.empty(out.shape[1], np.int32)
    for i in range(out.shape[0]):
        sums[:] = 0
        counts[:] = 0
        for k in range(half_widths.shape[0]):
            west, east = radius - half_widths[k], radius + half_widths[k] + 1
            _add_row(total[i + k, west:], total[i + k, east:], count[i + k, west:], count[i + k, east:], sums, counts)
        for j in range(out.shape[1]):
            here = z[i + radius, j + radius]
            others = counts[j] - 1
            own = round(here * _PER_METRE) if abs(here) < _HIGHEST_M else np.nan
            mean = (np.float64(sums[j]) - own) / _PER_METRE / others
            out[i, j] = np.float32(here - mean) if others > 0 else np.float32(np.nan)


@njit(nogil=True, cache=True)
def _add_row(total_west, total_east, count_west, count_east, sums, counts):  # type: ignore[no-untyped-def]
    for j in range(sums.shape[0]):
        sums[j] += total_east[j] - total_west[j]
        counts[j] += count_east[j] - count_west[j]
