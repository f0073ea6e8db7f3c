"""For each cell, which cell on a ring around it stands highest: the uphill direction that aligned nets read along.

It finds offsets only; reading features there is the work of the nets. It knows no metres: radii are in cells.

How it is fast: a few rows of the best value and its offset stay in the first-level cache, eight ring points are
compared per pass over them, and the compiler turns the two selections into vector instructions. Elevations stay
float32 and only ever get compared, so the result is exact.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headscarp.core.errors import GridError
from headscarp.terrain.derive import as_float, check_dem, over_strips
from headscarp.terrain.ring import ring

_TOGETHER = 8
_BLOCK_ROWS, _BLOCK_COLUMNS = 4, 1024
_STRIP_ROWS = 64


class Uphill(NamedTuple):
    """drow, dcol: (y, x) int16 offsets, rows downward. above: (y, x), True where the point found is higher."""

    drow: NDArray[np.int16]
    dcol: NDArray[np.int16]
    above: NDArray[np.bool_]


def uphill(
    dem: NDArray[Any],
    radius_px: int,
    *,
    points: str = "full",
    valid: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Uphill:
    """Offset from each cell to the highest valid cell on the ring around it.

    dem: (y, x) elevations, compared as float32; NaN or infinite = missing. radius_px, points: see `ring`.
    valid: (y, x), False where a cell counts as missing although it has a value. threads: default all cores; the
    result does not depend on it.
    Returns Uphill. Missing cells and cells off the raster never win; among equal ones the first in row order
    (north to south, then west to east) wins. Where the ring has no valid cell, or the centre itself is missing:
    offset (0, 0) and above False. Where the highest ring cell is not above the centre (peaks, flats) its offset
    is given all the same, and above is False.
    Raises GridError for a DEM or mask of the wrong shape, RecipeError for a radius or ring that is none.
    Source: uphill alignment, Hajimoradlou, Roberti and Poole (2019), arXiv 1911.04651.
    """
    height, width = shape = check_dem(dem)
    if valid is not None and (valid.shape != (height, width) or valid.dtype != np.bool_):
        raise GridError(f"valid is {valid.shape} {valid.dtype}, but {(height, width)} bool is needed, as the dem is.")
    offsets = ring(radius_px, points=points).astype(np.int64)
    # A last point repeated changes nothing (it must be higher to win) and fills the last pass.
    offsets = np.concatenate([offsets, np.repeat(offsets[-1:], -len(offsets) % _TOGETHER, axis=0)])
    found = Uphill(np.empty(shape, np.int16), np.empty(shape, np.int16), np.empty(shape, np.bool_))
    everywhere = np.ones((1, 1), np.bool_)

    def fill(first: int, last: int) -> None:
        north, south = max(0, first - radius_px), min(height, last + radius_px)
        mask = everywhere if valid is None else valid[north:south]
        padded = np.full((last - first + 2 * radius_px, width + 2 * radius_px), -np.inf, np.float32)
        _copy_valid(as_float(dem[north:south]), mask, padded[north - first + radius_px :], radius_px)
        _highest_on_ring(padded, radius_px, offsets, *(band[first:last] for band in found))

    over_strips(fill, 0, height, rows=max(_STRIP_ROWS, int(radius_px)), threads=threads)
    return found


@njit(nogil=True, cache=True)
def _copy_valid(dem, valid, padded, radius):  # type: ignore[no-untyped-def]
    """Write the dem into the padded strip, -inf where it is missing. valid: as the dem, or (1, 1) for all."""
    masked = valid.shape[1] == dem.shape[1] and valid.shape[0] == dem.shape[0]
    for i in range(dem.shape[0]):
        row, into = dem[i], padded[i, radius : radius + dem.shape[1]]
        for j in range(row.shape[0]):
            z = np.float32(row[j])
            into[j] = z if abs(z) < np.float32(np.inf) else np.float32(-np.inf)
        if masked:
            kept = valid[i]
            for j in range(row.shape[0]):
                into[j] = into[j] if kept[j] else np.float32(-np.inf)


@njit(nogil=True, cache=True)
def _highest_on_ring(padded, radius, offsets, drow, dcol, above):  # type: ignore[no-untyped-def]
    """padded: (n + 2 radius, w + 2 radius) float32, -inf where missing. Fills drow, dcol, above, each (n, w)."""
    n, w, stride = drow.shape[0], drow.shape[1], padded.shape[1]
    flat = padded.reshape(-1)
    # An offset as one 32-bit number, selected along with the value: row above, column in the low half.
    packed = np.empty(offsets.shape[0], np.int32)
    for k in range(offsets.shape[0]):
        packed[k] = np.int32((offsets[k, 0] << 16) | (offsets[k, 1] & 0xFFFF))
    best_value = np.empty(_BLOCK_ROWS * _BLOCK_COLUMNS, np.float32)
    best_offset = np.empty(_BLOCK_ROWS * _BLOCK_COLUMNS, np.int32)
    start = np.empty(_TOGETHER, np.int64)
    for i in range(0, n, _BLOCK_ROWS):
        rows = min(_BLOCK_ROWS, n - i)
        for j in range(0, w, _BLOCK_COLUMNS):
            columns = min(_BLOCK_COLUMNS, w - j)
            value, offset = best_value[: rows * columns], best_offset[: rows * columns]
            value[:] = -np.inf
            offset[:] = 0
            centre = (i + radius) * stride + j + radius
            reach = (rows - 1) * stride + columns
            for k in range(0, offsets.shape[0], _TOGETHER):
                for t in range(_TOGETHER):
                    start[t] = centre + offsets[k + t, 0] * stride + offsets[k + t, 1]
                # fmt: off
                _compare_eight(
                    flat[start[0] : start[0] + reach], flat[start[1] : start[1] + reach],
                    flat[start[2] : start[2] + reach], flat[start[3] : start[3] + reach],
                    flat[start[4] : start[4] + reach], flat[start[5] : start[5] + reach],
                    flat[start[6] : start[6] + reach], flat[start[7] : start[7] + reach],
                    packed[k : k + _TOGETHER], rows, columns, stride, value, offset,
                )
                # fmt: on
            for r in range(rows):
                here, east = centre + r * stride, slice(j, j + columns)
                part = slice(r * columns, (r + 1) * columns)
                _unpack(
                    flat[here : here + columns],
                    value[part],
                    offset[part],
                    drow[i + r, east],
                    dcol[i + r, east],
                    above[i + r, east],
                )


@njit(nogil=True, cache=True)
def _compare_eight(z0, z1, z2, z3, z4, z5, z6, z7, packed, rows, columns, stride, value, offset):  # type: ignore[no-untyped-def]
    """One pass over the block: eight ring points against the best so far; the first of equals stays.

    Unsigned indices, since signed ones bring a test for negative numbers that keeps the loop from vectorising.
    """
    p0, p1, p2, p3 = packed[0], packed[1], packed[2], packed[3]
    p4, p5, p6, p7 = packed[4], packed[5], packed[6], packed[7]
    for r in range(np.uint64(rows)):
        of_row, of_best = r * np.uint64(stride), r * np.uint64(columns)
        for c in range(np.uint64(columns)):
            x, at = of_row + c, of_best + c
            best, which = value[at], offset[at]
            best, which = (z0[x], p0) if z0[x] > best else (best, which)
            best, which = (z1[x], p1) if z1[x] > best else (best, which)
            best, which = (z2[x], p2) if z2[x] > best else (best, which)
            best, which = (z3[x], p3) if z3[x] > best else (best, which)
            best, which = (z4[x], p4) if z4[x] > best else (best, which)
            best, which = (z5[x], p5) if z5[x] > best else (best, which)
            best, which = (z6[x], p6) if z6[x] > best else (best, which)
            best, which = (z7[x], p7) if z7[x] > best else (best, which)
            value[at], offset[at] = best, which


@njit(nogil=True, cache=True)
def _unpack(centre, value, offset, drow, dcol, above):  # type: ignore[no-untyped-def]
    """Best values and packed offsets of one row -> its three outputs."""
    for x in range(drow.shape[0]):
        eligible = (centre[x] > -np.inf) & (value[x] > -np.inf)
        packed = offset[x] if eligible else np.int32(0)
        drow[x] = np.int16(packed >> 16)
        dcol[x] = np.int16(packed & 0xFFFF)
        above[x] = eligible & (value[x] > centre[x])
