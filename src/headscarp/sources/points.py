"""Labels at points: presence and absence of landslides, from a CSV or a vector layer, on the grid of a stack.

Only the points count; every other cell is unlabelled. Refuses values other than 1 and 0, and points without a CRS.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError

from headscarp.core.band import UNLABELLED
from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid
from headscarp.core.tile import Window
from headscarp.sources.rasters import grid_crs
from headscarp.sources.vectors import Vector, read_table

_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Points:
    """Where labelled points are. x, y: columns of a table; crs: theirs (a vector layer has its own). value: the column
    with 1 = landslide and 0 = not; without it every point is a landslide."""

    path: str
    x: str = "x"
    y: str = "y"
    value: str | None = None
    crs: str | None = None
    layer: str | None = None
    where: str | None = None


@dataclass(frozen=True, eq=False)
class LabelPoints:
    """Labelled cells, one entry each: row, col, label (1 or 0).

    total: points read. outside: off the grid. shared: points that share their cell with another one; a cell with a
    landslide and an absence counts as landslide.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    label: NDArray[np.uint8]
    total: int
    outside: int
    shared: int


def load_points(points: Points, grid: Grid) -> LabelPoints:
    """The labelled cells of a grid, each once, sorted by row and column. Raises SourceError."""
    row, col, label = read_points(points, grid)
    total = len(row)
    inside = row >= 0
    if not inside.any():
        raise SourceError(
            f"all {total} points of {points.path} lie outside the grid; check [grid], and crs, x and y under [label]"
        )
    row, col, label = row[inside], col[inside], label[inside]
    order = np.lexsort((-label.astype(np.int64), col, row))
    row, col, label = row[order], col[order], label[order]
    first = np.flatnonzero(np.diff(row, prepend=-1) | np.diff(col, prepend=-1))
    return LabelPoints(
        row[first],
        col[first],
        label[first],
        total=total,
        outside=int((~inside).sum()),
        shared=len(row) - len(first),
    )


def read_points(points: Points, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Row, column and label of every point in the order of the file, for tables of values sampled at points.

    Row and column are -1 for points off the grid. Points that share a cell stay apart. Raises SourceError.
    """
    x, y, label = _read(points, grid)
    a = grid.affine
    row = np.floor((y - a.f) / a.e).astype(np.int64)
    col = np.floor((x - a.c) / a.a).astype(np.int64)
    outside = (row < 0) | (row >= grid.shape[0]) | (col < 0) | (col >= grid.shape[1])
    return np.where(outside, -1, row), np.where(outside, -1, col), label


def burn_points(points: LabelPoints, window: Window) -> NDArray[np.uint8]:
    """(y, x) labels of a window: 1 landslide, 0 not, 255 where there is no point."""
    out = np.full((window.height, window.width), UNLABELLED, np.uint8)
    row, col = points.row - window.row, points.col - window.col
    here = (row >= 0) & (row < window.height) & (col >= 0) & (col < window.width)
    out[row[here], col[here]] = points.label[here]
    return out


def _read(points: Points, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    vector = Vector(points.path, points.layer, points.where, points.value)
    if Path(points.path).suffix.lower() in _TABLES:
        table = read_table(vector, options={"AUTODETECT_TYPE": "YES", "EMPTY_STRING_AS_NULL": "YES"})
        x, y = _numbers(table, points.x, points), _numbers(table, points.y, points)
        if points.crs is None:
            raise SourceError(f'the points of {points.path} have no CRS; name it under [label]: crs = "EPSG:32717"')
        crs: Any = points.crs
    else:
        table = read_table(vector)
        if not hasattr(table, "geometry") or not (shapely.get_type_id(table.geometry.array) == 0).all():
            raise SourceError(f"{points.path} holds more than single points; give a layer of points")
        crs = points.crs if table.crs is None else table.crs
        if crs is None:
            raise SourceError(f'{points.path} has no CRS; name it under [label]: crs = "EPSG:32717"')
        x, y = np.asarray(table.geometry.x), np.asarray(table.geometry.y)
    if len(x) == 0:
        raise SourceError(f"{points.path} has no points; check the file, and where under [label]")
    label = np.ones(len(x)) if points.value is None else _numbers(table, points.value, points)
    wrong = ~np.isin(label, (0, 1))
    if wrong.any():
        shown = ", ".join(str(v) for v in np.unique(label[wrong])[:5])
        raise SourceError(f"{points.path} has {shown} under {points.value!r}; needed: 1 = landslide, 0 = not")
    try:
        to_grid = Transformer.from_crs(crs, grid_crs(grid), always_xy=True)
    except CRSError as error:
        raise SourceError(f"the CRS {crs!r} of {points.path} is not known ({error}); use e.g. EPSG:32717") from error
    x, y = to_grid.transform(x, y)
    lost = ~(np.isfinite(x) & np.isfinite(y))
    if lost.any():
        raise SourceError(
            f"{int(lost.sum())} points of {points.path} have no position in the CRS of the grid; check crs, x and y"
        )
    return np.asarray(x), np.asarray(y), label.astype(np.uint8)


def _numbers(table: Any, column: str, points: Points) -> NDArray[np.float64]:
    if column not in table.columns:
        raise SourceError(f"{points.path} has no column {column!r}; it has: {', '.join(map(str, table.columns))}")
    try:
        return np.asarray(table[column], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SourceError(f"column {column!r} of {points.path} is not all numbers ({error}); clean the file") from error
