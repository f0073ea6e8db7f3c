"""Distance from cell centres to the features of a vector layer, along the ground of the grid, window by window.

Exact: to the true lines, not to rasterised ones, and the same whichever window asks. Needs a grid in true metres.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from headscarp.core.grid import Grid
from headscarp.core.tile import Window
from headscarp.sources.vectors import Features, Vector, burn, load_features

# Cells are treated in squares: what can be nearest to any cell of a square is found once.
_SQUARE = 16
_SLACK = 1e-9

_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class _Segments:
    """ends: (n, 4) x0, y0, x1, y1 of each straight piece, metres from the grid's upper left corner, y upward."""

    ends: NDArray[Any]
    tree: shapely.STRtree


def distance_window(vector: Vector, grid: Grid, window: Window, max_m: float) -> NDArray[np.float32]:
    """Metres from each cell centre of a window to the nearest feature: (height, width) float32 in [0, max_m].

    Lines and points count as they are; within polygons the distance is 0. Further away than max_m counts as max_m.
    """
    features = load_features(vector, grid)
    with _LOADING:
        segments = _segments(features, grid)
    dx, dy = abs(grid.affine.a), abs(grid.affine.e)
    x = (window.col + np.arange(window.width, dtype=np.float64) + 0.5) * dx
    y = -(window.row + np.arange(window.height, dtype=np.float64) + 0.5) * dy
    out = np.full((window.height, window.width), max_m)
    squares = [(r, c) for r in range(0, window.height, _SQUARE) for c in range(0, window.width, _SQUARE)]
    for square, candidates in _candidates(segments, squares, x, y, max_m, float(np.hypot(dx, dy)) * _SQUARE / 2):
        r, c = squares[square]
        part = np.s_[r : r + _SQUARE, c : c + _SQUARE]
        nearest = _to_segments(x[part[1]], y[part[0]], segments.ends[candidates])
        out[part] = np.minimum(out[part], nearest)
    if np.isin(features.kinds, (3, 6)).any():
        out[_inside(features, window)] = 0
    return out.astype(np.float32)


def _candidates(
    segments: _Segments,
    squares: list[tuple[int, int]],
    x: NDArray[Any],
    y: NDArray[Any],
    max_m: float,
    half_m: float,
) -> list[tuple[int, NDArray[np.int64]]]:
    """For each square near a feature, the segments that may be nearest to one of its cells.

    With d from the square's centre to the nearest segment, no cell of it is further than d + half from that one, so
    no segment beyond d + 2 half from the centre can be nearest.
    """
    step_x, step_y = (x[1] - x[0]) if len(x) > 1 else 0.0, (y[1] - y[0]) if len(y) > 1 else 0.0
    middle = (_SQUARE - 1) / 2
    centres = shapely.points([(x[c] + middle * step_x, y[r] + middle * step_y) for r, c in squares])
    (square, _), near_m = segments.tree.query_nearest(
        centres, max_distance=max_m + half_m, return_distance=True, all_matches=False
    )
    if len(square) == 0:
        return []
    reach_m = (near_m + 2 * half_m) * (1 + _SLACK)
    which, candidate = segments.tree.query(centres[square], predicate="dwithin", distance=reach_m)
    order = np.lexsort((candidate, which))
    which, candidate = which[order], candidate[order]
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    groups = np.split(candidate, starts[1:])
    return [(int(square[which[start]]), group) for start, group in zip(starts, groups, strict=True)]


def _to_segments(x: NDArray[Any], y: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """(len(y), len(x)) distance to the nearest of the segments."""
    x0, y0, x1, y1 = (ends[:, i, None, None] for i in range(4))
    ex, ey = x1 - x0, y1 - y0
    length2 = ex * ex + ey * ey
    px, py = x[None, None, :] - x0, y[None, :, None] - y0
    along = np.clip((px * ex + py * ey) / np.where(length2 > 0, length2, 1.0), 0.0, 1.0)
    away2 = (px - along * ex) ** 2 + (py - along * ey) ** 2
    return np.sqrt(away2.min(axis=0))


def _inside(features: Features, window: Window) -> NDArray[np.bool_]:
    areas = np.isin(features.kinds, (3, 6))
    return burn(features, np.ones(len(features), np.uint8), window, which=areas) > 0


@lru_cache(maxsize=8)
def _segments(features: Features, grid: Grid) -> _Segments:
    parts = shapely.get_parts(shapely.get_parts(features.shapes))  # a collection may hold multi-part shapes
    kinds = shapely.get_type_id(parts)
    lines: list[Any] = [*parts[kinds == 1], *shapely.get_rings(parts[kinds == 3])]
    xy, line = shapely.get_coordinates(lines, return_index=True)
    joined = line[1:] == line[:-1]
    points = shapely.get_coordinates(parts[kinds == 0])
    ends = np.concatenate([np.hstack([xy[:-1][joined], xy[1:][joined]]), np.hstack([points, points])])
    ends = ends * np.tile([abs(grid.affine.a), abs(grid.affine.e)], 2)
    pieces = shapely.linestrings(ends.reshape(-1, 2, 2))
    return _Segments(ends, shapely.STRtree(pieces))
