"""Rivers of simulated ground as lines: where water from more than half a square kilometre runs together."""

import geopandas as gpd
import numpy as np
import pyflwdir
from numpy.typing import NDArray
from shapely.geometry import LineString

from headscarp.core.grid import Grid

_STREAM_M2 = 5e5


def trace_rivers(dem: NDArray[np.floating], grid: Grid, cell_m: float) -> gpd.GeoDataFrame:
    """Streams from spring or confluence to confluence or edge, downhill, with Strahler's order (column strahler).

    dem: (y, x) metres without missing cells, of square cells.
    """
    flow = pyflwdir.from_dem(dem, nodata=-9999.0, transform=grid.affine, latlon=False)
    below = np.asarray(flow.idxs_ds)
    stream = (flow.upstream_area("cell") > _STREAM_M2 / cell_m**2).ravel()
    order = flow.stream_order(type="strahler", mask=stream.reshape(dem.shape)).ravel()
    cells = np.flatnonzero(stream)
    cells = cells[below[cells] != cells]
    above = np.bincount(below[cells], minlength=dem.size)
    lines, orders = [], []
    for start in cells[above[cells] != 1]:
        path = [start]
        while below[path[-1]] != path[-1] and (len(path) == 1 or above[path[-1]] == 1):
            path.append(below[path[-1]])
        rows, cols = np.unravel_index(path, dem.shape)
        a = grid.affine
        lines.append(LineString(np.stack([a.c + (cols + 0.5) * a.a, a.f + (rows + 0.5) * a.e], axis=1)))
        orders.append(int(order[start]))
    return gpd.GeoDataFrame({"strahler": np.array(orders, np.int32)}, geometry=lines, crs=str(grid.crs))
