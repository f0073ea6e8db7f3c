"""How far slides run: from each source down the ground, as long as the line of the travel angle is above it.

The angle of reach falls with the volume of a slide (Corominas 1996). It is a law of how far slides went elsewhere, so
it says which ground may be reached, not how deep or how fast. Refuses rasters that have no ground.

It needs the whole raster at once, about 40 bytes a cell; time goes with the ground that is reached and not with the
raster.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import label

from headscarp.core.errors import GridError, RecipeError
from headscarp.terrain.derive import CellSize, cell_size_per_row, check_dem

STEEPEST_SHARE = 0.5
"""A slide goes on to neighbours at least this share as steep as the steepest way down."""
_SLOPE, _OFFSET = -0.085, -0.047  # log10(H / L) = _OFFSET + _SLOPE log10(V): all landslides of Corominas (1996)
_FACTOR, _POWER = 0.074, 1.450  # V = _FACTOR A^_POWER, m3 and m2: Guzzetti et al. (2009)


def travel_tangent(area_m2: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Height over length of the way of slides whose sources cover these areas: the tangent of the angle of reach.

    Sources: Corominas (1996) for the angle by volume, Guzzetti et al. (2009) for the volume by area.
    """
    volume_m3 = _FACTOR * np.maximum(np.asarray(area_m2, np.float64), 1.0) ** _POWER
    return np.asarray(10 ** (_OFFSET + _SLOPE * np.log10(volume_m3)))


def runout(
    dem: NDArray[Any],
    sources: NDArray[np.bool_],
    cell_size_m: CellSize,
    *,
    angle_deg: float | None = None,
    factor: float = 1.0,
) -> NDArray[np.bool_]:
    """The cells that slides from these sources reach, their own among them.

    dem: (y, x) metres, NaN missing, which stops a slide. sources: (y, x); cells that touch, corners too, are one slide.
    cell_size_m: metres, a number, (dy, dx), or arrays (y,) per row. angle_deg: the angle of reach of all, above 0 and
    below 90; None: by the area of each (`travel_tangent`). factor: on the tangent of the angle.
    A slide goes from cell to cell of eight, down to neighbours at least STEEPEST_SHARE as steep as the steepest way;
    out of a hollow or over flat ground to any. It stops where the line that falls from its source at the travel angle,
    along its way, meets the ground. Of sources of one angle all together reach what each reaches alone.
    Raises GridError for a DEM or cell size that makes no sense, RecipeError for an angle or factor.
    """
    height, width = check_dem(dem)
    if sources.shape != (height, width):
        raise GridError(f"the sources are {sources.shape}, the DEM is {(height, width)}; bring them onto one grid")
    if angle_deg is not None and not 0 < angle_deg < 90:
        raise RecipeError(f"the angle of reach is {angle_deg} degrees; it has to be above 0 and below 90, such as 20")
    if not 0 < factor < math.inf:
        raise RecipeError(f"the factor on the travel angle is {factor}; it has to be above 0")
    dy, dx = cell_size_per_row(cell_size_m, height)
    ground = np.ascontiguousarray(dem, np.float32)
    reached = np.zeros((height, width), np.bool_)
    labelled, count = label(sources & np.isfinite(ground), np.ones((3, 3), int))
    if not count:
        return reached
    area = np.bincount(labelled.ravel(), (np.repeat((dy * dx)[:, None], width, axis=1)).ravel(), count + 1)[1:]
    tangent = (
        travel_tangent(area.astype(np.float64))
        if angle_deg is None
        else np.full(count, math.tan(math.radians(angle_deg)))
    )
    order = np.argsort(labelled.ravel(), kind="stable")
    cells = order[np.searchsorted(labelled.ravel()[order], 1) :].astype(np.int64)
    starts = np.searchsorted(labelled.ravel()[cells], np.arange(1, count + 2)).astype(np.int64)
    line = np.full((height, width), -np.inf, np.float32)
    _run(ground, cells, starts, tangent * factor, dy, dx, line, reached)
    return reached


@njit(nogil=True, cache=True)
def _run(ground, cells, starts, tangent, dy, dx, line, reached):  # type: ignore[no-untyped-def]
    """Fills reached, slide by slide; line is room of -inf, and is left so.

    Cells are taken by the height of their line, highest first, so that each is taken once (Dijkstra 1959).
    """
    rows, cols = ground.shape
    heap_key = np.empty(1024, np.float32)
    heap_cell = np.empty(1024, np.int64)
    touched = np.empty(1024, np.int64)
    drop = np.empty(8)
    for slide in range(starts.size - 1):
        size, seen = 0, 0
        for k in range(starts[slide], starts[slide + 1]):
            i, j = divmod(cells[k], cols)
            line[i, j] = ground[i, j]
            touched, seen = _append(touched, seen, cells[k])
            heap_key, heap_cell, size = _push(heap_key, heap_cell, size, ground[i, j], cells[k])
        while size > 0:
            key, cell = heap_key[0], heap_cell[0]
            size = _pop(heap_key, heap_cell, size)
            i, j = divmod(cell, cols)
            if key < line[i, j]:
                continue  # a higher line came here since
            reached[i, j] = True
            steepest = 0.0
            for n in range(8):
                a, b = i + _DI[n], j + _DJ[n]
                drop[n] = np.nan
                if 0 <= a < rows and 0 <= b < cols and np.isfinite(ground[a, b]):
                    way = np.hypot(_DI[n] * dy[i], _DJ[n] * dx[i])
                    drop[n] = (ground[i, j] - ground[a, b]) / way
                    steepest = max(steepest, drop[n])
            for n in range(8):
                if not np.isfinite(drop[n]) or (steepest > 0.0 and drop[n] < STEEPEST_SHARE * steepest):
                    continue
                a, b = i + _DI[n], j + _DJ[n]
                way = np.hypot(_DI[n] * dy[i], _DJ[n] * dx[i])
                further = np.float32(key - tangent[slide] * way)
                if further >= ground[a, b] and further > line[a, b]:
                    if line[a, b] == -np.inf:
                        touched, seen = _append(touched, seen, a * cols + b)
                    line[a, b] = further
                    heap_key, heap_cell, size = _push(heap_key, heap_cell, size, further, a * cols + b)
        for k in range(seen):
            i, j = divmod(touched[k], cols)
            line[i, j] = -np.inf


@njit(nogil=True, cache=True)
def _append(array, size, value):  # type: ignore[no-untyped-def]
    if size == array.size:
        longer = np.empty(2 * size, array.dtype)
        longer[:size] = array
        array = longer
    array[size] = value
    return array, size + 1


@njit(nogil=True, cache=True)
def _push(keys, cells, size, key, cell):  # type: ignore[no-untyped-def]
    keys, _ = _append(keys, size, key)
    cells, size = _append(cells, size, cell)
    child = size - 1
    while child > 0:
        parent = (child - 1) // 2
        if keys[parent] >= keys[child]:
            break
        keys[parent], keys[child] = keys[child], keys[parent]
        cells[parent], cells[child] = cells[child], cells[parent]
        child = parent
    return keys, cells, size


@njit(nogil=True, cache=True)
def _pop(keys, cells, size):  # type: ignore[no-untyped-def]
    size -= 1
    keys[0], cells[0] = keys[size], cells[size]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            return size
        if child + 1 < size and keys[child + 1] > keys[child]:
            child += 1
        if keys[parent] >= keys[child]:
            return size
        keys[parent], keys[child] = keys[child], keys[parent]
        cells[parent], cells[child] = cells[child], cells[parent]
        parent = child


_DI = np.array([-1, -1, -1, 0, 0, 1, 1, 1])
_DJ = np.array([-1, 0, 1, -1, 1, -1, 0, 1])
