"""The grid of a stack: odc-geo's GeoBox, checked once for what terrain and tiling need.

Refuses rotated grids, and grids whose "metres" are not true metres on the ground where metres are needed.
"""

from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer

from headscarp.core.errors import GridError
from headscarp.core.tile import Window

Grid = GeoBox

_METRE_TOLERANCE = 0.01
_GEOD = Geod(ellps="WGS84")


def check_grid(grid: Grid) -> Grid:
    """The same grid, when it has a CRS and is north-up. Raises GridError otherwise."""
    _crs(grid)
    a = grid.affine
    if a.b or a.d or a.a <= 0 or a.e >= 0:
        raise GridError(
            f"the grid is rotated or flipped ({tuple(a)[:6]}); warp it to a north-up grid first, e.g. with gdalwarp"
        )
    return grid


def check_metres(grid: Grid) -> Grid:
    """The same grid, when a cell is as long on the ground as its CRS says, within 1 %, in metres.

    Raises GridError for geographic grids, other units, and projections such as Web Mercator away from the equator.
    """
    check_grid(grid)
    nominal = (abs(grid.affine.e), abs(grid.affine.a))
    if _crs(grid).is_geographic:
        raise GridError(
            f"the grid is geographic ({_crs_name(grid)}, cells of {nominal[1]:g} degrees), but true metres are needed; "
            "give [grid] a projected CRS such as the UTM zone of the place"
        )
    true = true_cell_size_m(grid)
    for given, ground in zip(nominal, true, strict=True):
        if abs(given / ground - 1) > _METRE_TOLERANCE:
            raise GridError(
                f"a cell of {given:g} units in {_crs_name(grid)} is {ground:.4g} m on the ground here; slopes and "
                "distances would be wrong: give [grid] a CRS with true metres such as the UTM zone of the place"
            )
    return grid


def cell_size_m(grid: Grid) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    """(dy, dx) of a cell in metres; on a geographic grid two float64 arrays with one value per row.

    Geographic rows are measured on the WGS84 ellipsoid (Karney 2013, through pyproj). Raises GridError for a grid
    whose metres are not true.
    """
    check_grid(grid)
    if not _crs(grid).is_geographic:
        check_metres(grid)
        return abs(grid.affine.e), abs(grid.affine.a)
    rows = np.arange(grid.shape[0])
    lat = grid.affine.f + (rows + 0.5) * grid.affine.e
    lon = np.full_like(lat, grid.affine.c)
    half = abs(grid.affine.e) / 2
    dy = _GEOD.inv(lon, np.clip(lat - half, -90, 90), lon, np.clip(lat + half, -90, 90))[2]
    dx = _GEOD.inv(lon, lat, lon + grid.affine.a, lat)[2]
    return np.asarray(dy), np.asarray(dx)


def ground_resolution_m(grid: Grid) -> float:
    """The mean side of a cell on the ground, in metres, at the centre of the grid."""
    dy, dx = true_cell_size_m(grid)
    return float((dy + dx) / 2)


def true_cell_size_m(grid: Grid) -> tuple[float, float]:
    """(dy, dx) of the cell at the grid's centre, measured along the WGS84 ellipsoid, in metres."""
    rows, cols = grid.shape
    step_y, step_x = max(1.0, rows / 100), max(1.0, cols / 100)
    corners = [(cols / 2, rows / 2 - step_y / 2), (cols / 2, rows / 2 + step_y / 2)]
    corners += [(cols / 2 - step_x / 2, rows / 2), (cols / 2 + step_x / 2, rows / 2)]
    xy = [cell_corner(grid, *corner) for corner in corners]
    to_lonlat = Transformer.from_crs(_crs(grid), CRS("EPSG:4326"), always_xy=True)
    lon, lat = to_lonlat.transform([p[0] for p in xy], [p[1] for p in xy])
    dy = _GEOD.inv(lon[0], lat[0], lon[1], lat[1])[2] / step_y
    dx = _GEOD.inv(lon[2], lat[2], lon[3], lat[3])[2] / step_x
    if not np.isfinite([dy, dx]).all() or min(dy, dx) <= 0:
        raise GridError(
            f"the centre of the grid lies outside the area where {_crs_name(grid)} is defined; check CRS and bounds"
        )
    return float(dy), float(dx)


def cell_corner(grid: Grid, col: float, row: float) -> tuple[float, float]:
    """(x, y) in the grid's CRS of the upper left corner of a cell; fractions reach into it."""
    a = grid.affine
    return a.c + col * a.a + row * a.b, a.f + col * a.d + row * a.e


def footprint_lonlat(grid: Grid) -> np.ndarray:
    """The outline of a grid as a closed ring of (longitude, latitude) in degrees, 20 points a side: (81, 2)."""
    t = np.linspace(0, 1, 20, endpoint=False)
    u = np.concatenate([t, np.ones(20), 1 - t, np.zeros(20), [0.0]])
    v = np.concatenate([np.zeros(20), t, np.ones(20), 1 - t, [0.0]])
    x, y = cell_corner(grid, 0, 0)
    xs, ys = x + u * grid.shape[1] * grid.affine.a, y + v * grid.shape[0] * grid.affine.e
    to_lonlat = Transformer.from_crs(_crs(grid), CRS("EPSG:4326"), always_xy=True)
    return np.stack(to_lonlat.transform(xs, ys), axis=1)


def window_grid(grid: Grid, window: Window) -> Grid:
    """The grid of a window of this grid; the window may hang over the edge."""
    a, (x, y) = grid.affine, cell_corner(grid, window.col, window.row)
    return GeoBox((window.height, window.width), Affine(a.a, a.b, x, a.d, a.e, y), grid.crs)


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same shape, CRS and cells, within a thousandth of a cell."""
    if a.shape != b.shape or a.crs != b.crs:
        return False
    cell = min(abs(a.affine.a), abs(a.affine.e))
    last = (a.shape[1], a.shape[0])
    return all(np.allclose(cell_corner(a, *p), cell_corner(b, *p), rtol=0, atol=cell * 1e-3) for p in ((0, 0), last))


def grid_to_json(grid: Grid) -> dict[str, Any]:
    """Plain values from which `grid_from_json` makes the same grid again."""
    return {"crs": _crs(grid).to_wkt(), "transform": list(grid.affine)[:6], "shape": list(grid.shape)}


def grid_from_json(data: dict[str, Any]) -> Grid:
    """The grid that `grid_to_json` wrote."""
    return GeoBox(tuple(data["shape"]), Affine(*data["transform"]), data["crs"])


def _crs(grid: Grid) -> CRS:
    if grid.crs is None:
        raise GridError('the grid has no CRS; name one in the recipe: [grid] crs = "EPSG:32633"')
    return CRS(grid.crs.to_wkt())


def _crs_name(grid: Grid) -> str:
    crs = _crs(grid)
    return f"{crs.to_string()}" if len(crs.to_string()) < 30 else crs.name
