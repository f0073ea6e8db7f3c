"""Where water gathers: upslope area and the topographic wetness index.

Depressions are filled by pyflwdir (priority flood, Wang and Liu 2006); each cell then drains to its steepest lower
neighbour of eight (D8, O'Callaghan and Mark 1984), or, on flats, the way the flood came from.

`flow_accumulation` needs the whole raster at once and cannot be cut into blocks: the water of a cell may come from
any distance. It takes about 60 bytes and half a microsecond a cell, on one core: 16 million cells take 1 GB, and
200 million are the limit of a machine of 16 GB. A larger region goes basin by basin, or on a coarser grid.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from headscarp.core.errors import GridError
from headscarp.terrain.derive import CellSize, cell_size_per_row, check_dem

FLATTEST_DEG = 0.1

_MISSING = np.uint8(247)
# Elevations in whole 2^-20 m (a micrometre): then the library's float32 sums of them are exact, and water that
# has been filled to a level stands at that level to the last bit.
_PER_METRE = float(2**20)


def flow_accumulation(dem: NDArray[Any], cell_size_m: CellSize) -> NDArray[np.float32]:
    """Upslope area of each cell: its own and that of every cell whose water passes through it.

    dem: (y, x) metres, row 0 in the north, NaN or infinite = missing. cell_size_m: metres, a number, (dy, dx), or
    arrays (y,) per row for geographic grids. Depressions are filled on a copy; the dem stays as it is. Water leaves
    at the edge of the raster and at missing cells; what would come in from there is not known, so areas near the
    edge are too small.
    Returns (y, x) float32 m2, at least one cell's area; NaN where missing.
    Raises GridError for a DEM or cell size that makes no sense.
    """
    # pyflwdir takes its time to import, and most derivations do without.
    from pyflwdir import from_array

    height, width = check_dem(dem)
    cell_y_m, cell_x_m = cell_size_per_row(cell_size_m, height)
    directions = _drainage(dem, cell_y_m, cell_x_m)
    missing = directions == _MISSING
    if missing.all():
        return np.full((height, width), np.nan, np.float32)
    cell_area_m2 = np.repeat((cell_y_m * cell_x_m)[:, np.newaxis], width, axis=1)
    cell_area_m2[missing] = 0.0
    area_m2 = from_array(directions, ftype="d8", check_ftype=False).accuflux(cell_area_m2)
    return np.where(missing, np.nan, area_m2).astype(np.float32)


def wetness_index(
    area_m2: ArrayLike, slope_deg: ArrayLike, cell_size_m: CellSize, *, flattest_deg: float = FLATTEST_DEG
) -> NDArray[np.float32]:
    """Topographic wetness index: ln(specific catchment area / tan slope).

    area_m2: (y, x) upslope area from `flow_accumulation`. slope_deg: (y, x) degrees. cell_size_m as there: the
    specific area, m, is the area over the width that water crosses, taken as the root of the cell's area.
    flattest_deg: slopes below this count as this, so that flats stay finite (default 0.1 degrees).
    Returns (y, x) float32, about 2 on ridges to 25 in valley floors; NaN where either is missing.
    Raises GridError where shapes differ. Source: Beven and Kirkby (1979), Hydrol. Sci. Bull. 24, 43-69.
    """
    area, steepness = np.asarray(area_m2, dtype=np.float64), np.asarray(slope_deg, dtype=np.float64)
    if area.ndim != 2 or area.shape != steepness.shape:
        raise GridError(f"area is {area.shape} and slope {steepness.shape}; pass two arrays (y, x) of the same grid.")
    cell_y_m, cell_x_m = cell_size_per_row(cell_size_m, area.shape[0])
    contour_m = np.sqrt(cell_y_m * cell_x_m)[:, np.newaxis]
    tangent = np.tan(np.radians(np.maximum(steepness, flattest_deg)))
    return np.log(area / contour_m / tangent).astype(np.float32)


def _drainage(dem: NDArray[Any], cell_y_m: NDArray[np.float64], cell_x_m: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Where each cell drains to: 1, 2, 4, ... 128 clockwise from east, 0 an outlet, 247 missing."""
    from pyflwdir.dem import fill_depressions

    z = np.asarray(dem, dtype=np.float32).astype(np.float64)
    z = np.where(np.isfinite(z), np.round(z * _PER_METRE) / _PER_METRE, np.nan)
    filled, directions = fill_depressions(z, nodata=np.nan)
    _turn_to_steepest(filled, cell_y_m, cell_x_m, directions)
    return directions


@njit(nogil=True, cache=True)
def _turn_to_steepest(z, cell_y_m, cell_x_m, directions):  # type: ignore[no-untyped-def]
    """Point each cell to its steepest strictly lower neighbour.

    Cells without one keep the flood's direction, or are an outlet (0) where they touch the edge or a missing cell.
    No loop can arise: water goes down, or along a level in the order in which the flood reached it.
    Of equal drops the first clockwise from east wins.
    """
    rows, columns = z.shape
    down = np.array([0, 1, 1, 1, 0, -1, -1, -1])
    right = np.array([1, 1, 0, -1, -1, -1, 0, 1])
    away = np.empty(8)
    for i in range(rows):
        for k in range(8):
            away[k] = np.hypot(down[k] * cell_y_m[i], right[k] * cell_x_m[i])
        for j in range(columns):
            if directions[i, j] == _MISSING:
                continue
            steepest, on_edge = 0.0, False
            for k in range(8):
                r, c = i + down[k], j + right[k]
                if not (0 <= r < rows and 0 <= c < columns) or directions[r, c] == _MISSING:
                    on_edge = True
                elif (z[i, j] - z[r, c]) / away[k] > steepest:
                    steepest = (z[i, j] - z[r, c]) / away[k]
                    directions[i, j] = np.uint8(1 << k)
            if on_edge and steepest == 0.0:
                directions[i, j] = np.uint8(0)
