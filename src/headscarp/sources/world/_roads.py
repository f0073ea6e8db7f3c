"""Simulated roads: the cheapest ways between towns, where a steep way costs more than a long one."""

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, zoom
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from shapely.geometry import LineString

from headscarp.core.grid import Grid

_STEP_M = 60.0
_STEEP = 0.08  # the slope on which a road costs twice as much as on the level
_TOWNS = 6


def lay_roads(dem: NDArray[np.floating], towns: NDArray[np.bool_], grid: Grid) -> gpd.GeoDataFrame:
    """Lines of roads in the grid's CRS, from the largest town to the others and to the edges of the map.

    dem: (y, x) metres. towns: (y, x) where there are any; without them roads run from the lowest place.
    """
    step = max(1, round(_STEP_M / abs(grid.affine.a)))
    cell_m = abs(grid.affine.a) * step
    z = zoom(dem.astype(np.float64), 1.0 / step, order=1)
    places = _centres(towns) or [(0.5, 0.5)]
    ends = [(y * z.shape[0], x * z.shape[1]) for y, x in places[:_TOWNS]]
    ends += [
        (0, 0.5 * z.shape[1]),
        (z.shape[0], 0.5 * z.shape[1]),
        (0.5 * z.shape[0], 0),
        (0.5 * z.shape[0], z.shape[1]),
    ]
    nodes = [_node(end, z.shape) for end in ends]
    _, before = dijkstra(_graph(z, cell_m), directed=False, indices=nodes[0], return_predecessors=True)
    lines = []
    for node in dict.fromkeys(nodes[1:]):
        path = [node]
        while before[path[-1]] >= 0:
            path.append(int(before[path[-1]]))
        rows, cols = np.unravel_index(path, z.shape)
        if len(path) > 2:
            a = grid.affine
            x, y = a.c + (cols + 0.5) * step * a.a, a.f + (rows + 0.5) * step * a.e
            lines.append(LineString(np.stack([x, y], axis=1)).simplify(0.5 * cell_m))
    return gpd.GeoDataFrame({"road": np.arange(1, len(lines) + 1)}, geometry=lines, crs=str(grid.crs))


def _centres(towns: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Middles of the towns, the largest first, as shares of the map's height and width."""
    parts, count = label(towns)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    places = []
    for part in 1 + np.argsort(-sizes, kind="stable")[:_TOWNS]:
        rows, cols = np.nonzero(parts == part)
        places.append((float(rows.mean()) / towns.shape[0], float(cols.mean()) / towns.shape[1]))
    return places


def _node(place: tuple[float, float], shape: tuple[int, ...]) -> int:
    row, col = (int(np.clip(p, 0, n - 1)) for p, n in zip(place, shape, strict=True))
    return row * shape[1] + col


def _graph(z: NDArray[np.float64], cell_m: float) -> coo_array:
    """Costs between neighbours, four of the eight: the others are the same ways back."""
    index = np.arange(z.size).reshape(z.shape)
    starts, ends, costs = [], [], []
    for rows, cols in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, z.shape[0] - rows), slice(max(0, -cols), z.shape[1] - max(0, cols)))
        there = (slice(rows, z.shape[0]), slice(max(0, cols), z.shape[1] + min(0, cols)))
        run = cell_m * np.hypot(rows, cols)
        slope = np.abs(z[there] - z[here]) / run
        starts.append(index[here].ravel())
        ends.append(index[there].ravel())
        costs.append((run * (1.0 + (slope / _STEEP) ** 2)).ravel())
    ways = (np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends)))
    return coo_array(ways, shape=(z.size, z.size)).tocsr()
