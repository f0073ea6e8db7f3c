"""Polygons and lines of a vector file on the grid of a stack: read once a process, rasterised window by window.

Shapes are brought into the grid's CRS and then into its cells (x = column, y = -row), so that each window sees the same
numbers; a million of them fit in little memory (`features`). Invalid polygons are mended and counted. Refuses layers
without a CRS, and fields that are not there.
"""

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid
from headscarp.core.tile import Window
from headscarp.sources.features import Features, ShapeStore
from headscarp.sources.formats import Vector, code_of, read_parts, read_table
from headscarp.sources.rasters import extent_text, grid_crs
from headscarp.sources.scanline import burn_rings, count_cells

__all__ = [
    "Features",
    "Vector",
    "burn",
    "cells_of",
    "check_overlap",
    "check_polygons",
    "code_of",
    "file_stamp",
    "load_features",
    "read_table",
]

_LARGE_PX = 4096
_POLYGONS = (3, 6)
_AT_ONCE = 2000

_LOADING = threading.Lock()
# rasterize silences a warning of its own by changing the filters of the whole process: one thread at a time.
_BURNING = threading.Lock()


def load_features(vector: Vector, grid: Grid) -> Features:
    """The shapes of a vector layer in the cells of a grid, read once a process. Raises SourceError.

    Values that are addresses in a code list become the code alone (`code_of`).
    """
    with _LOADING:
        return _load(vector, grid, file_stamp(vector.path))


def file_stamp(path: str | Path) -> tuple[int, int]:
    """What changes when a file does; (0, 0) where there is none."""
    try:
        stat = Path(path).stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def check_polygons(features: Features, vector: Vector) -> None:
    """Raises SourceError unless there are shapes and all of them are polygons."""
    kinds = {shapely.GeometryType(i).name.lower() for i in np.unique(features.kinds)}
    if features.total == 0 or len(features) == 0:
        kept = f" that fit where = {vector.where!r}" if vector.where else ""
        raise SourceError(f"{vector.path} has no shapes{kept}; check the file and the recipe")
    if not kinds <= {"polygon", "multipolygon"}:
        raise SourceError(f"{vector.path} holds {', '.join(sorted(kinds))}, but polygons are needed; give such a layer")


def check_overlap(features: Features, vector: Vector, grid: Grid) -> None:
    """Raises SourceError when no shape touches the grid; says so where turned axes are the likely reason."""
    if features.outside == len(features):
        left, bottom = features.bounds[:, :2].min(axis=0)
        right, top = features.bounds[:, 2:].max(axis=0)
        turned = ""
        if _would_fit_turned((left + right) / 2, (bottom + top) / 2, grid):
            turned = "; with x and y turned round they would lie on it: the file has latitude where longitude belongs"
        raise SourceError(
            f"all {features.total} shapes of {vector.path} lie outside the grid: they cover columns and rows "
            f"{extent_text((left, -top, right, -bottom))}, the grid has (0, 0, {grid.shape[1]}, {grid.shape[0]})"
            f"{turned}; check [grid] and the CRS of the file"
        )


def burn(
    features: Features,
    codes: NDArray[np.uint8],
    window: Window,
    *,
    all_touched: bool = False,
    which: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """(y, x) code of the last shape over each cell, 0 where there is none.

    codes: one per shape, 1 to 255. which: the shapes that count, one value each; all by default. A shape covers a cell
    when it covers its centre (`scanline`); with all_touched, when it touches the cell.
    """
    out = np.zeros((window.height, window.width), np.uint8)
    near = features.near(window)
    if which is not None:
        near = near[which[near]]
    if len(near) == 0:
        return out
    if all_touched or not np.isin(features.kinds[near], _POLYGONS).all():
        return _burn_by_gdal(features.take(near), codes[near], window, all_touched)
    for first in range(0, len(near), _AT_ONCE):
        some = near[first : first + _AT_ONCE]
        burn_rings(*_rings_of(features.take(some)), np.asarray(codes[some], np.uint8), (window.row, window.col), out)
    return out


def cells_of(features: Features, grid: Grid, *, all_touched: bool = False) -> NDArray[np.int64]:
    """How many cells of the grid each shape covers alone; at least 1 for shapes of thousands of cells across."""
    size = (int(grid.shape[0]), int(grid.shape[1]))
    if all_touched or not np.isin(features.kinds, _POLYGONS).all():
        return np.array([_cells_of_one(features, i, size, all_touched) for i in range(len(features))], np.int64)
    counts = [count_cells(*_rings_of(features.take(some)), size, _LARGE_PX) for some in features.batches()]
    return np.concatenate([np.zeros(0, np.int64), *counts])


@lru_cache(maxsize=16)
def _load(vector: Vector, grid: Grid, stamp: tuple[int, int]) -> Features:
    store = ShapeStore((int(grid.shape[0]), int(grid.shape[1])))
    counts = {"total": 0, "empty": 0, "repaired": 0, "outside": 0}
    columns = [] if vector.attribute is None else [vector.attribute]
    for table in read_parts(vector, columns=columns):
        if not hasattr(table, "geometry"):
            raise SourceError(f"{vector.path} has no shapes; give a layer of polygons or lines")
        if table.crs is None:
            raise SourceError(
                f"{vector.path} has no CRS; write it into the file, e.g. ogr2ogr -a_srs EPSG:32643 new.gpkg "
                f"{vector.path}"
            )
        shapes = shapely.force_2d(np.asarray(table.geometry.array))
        there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        counts["total"] += len(there)
        counts["empty"] += int((~there).sum())
        counts["repaired"] += int((~shapely.is_valid(shapes[there])).sum())
        shapes = _in_cells(_mend(shapes[there]), table.crs, grid)
        counts["outside"] += int((~_on_grid(shapes, grid)).sum())
        store.add(shapes, _values(table[there], vector.attribute))
    return store.close(counts)


def _in_cells(shapes: NDArray[Any], crs: Any, grid: Grid) -> NDArray[Any]:
    """Valid shapes of a CRS in the grid's cells: x = column, y = -row."""
    target = grid_crs(grid)
    if crs != target:
        to_grid = Transformer.from_crs(crs, target, always_xy=True)
        shapes = _mend(shapely.transform(shapes, lambda xy: np.stack(to_grid.transform(xy[:, 0], xy[:, 1]), axis=1)))
    a = grid.affine
    placed: NDArray[Any] = shapely.transform(shapes, lambda xy: (xy - (a.c, a.f)) / (a.a, -a.e))
    return placed


def _on_grid(shapes: NDArray[Any], grid: Grid) -> NDArray[np.bool_]:
    bounds = shapely.bounds(shapes)
    across = (bounds[:, 2] > 0) & (bounds[:, 0] < grid.shape[1])
    return across & (bounds[:, 3] > -grid.shape[0]) & (bounds[:, 1] < 0)


def _values(table: Any, attribute: str | None) -> list[Any]:
    if attribute is None:
        return [None] * len(table)
    column = table[attribute]
    return [None if missing else code_of(v) for v, missing in zip(column, column.isna(), strict=True)]


def _mend(shapes: NDArray[Any]) -> NDArray[Any]:
    """Valid shapes; of a polygon that falls apart into polygons and loose lines, the polygons."""
    wrong = ~shapely.is_valid(shapes)
    if not wrong.any():
        return shapes
    shapes = shapes.copy()
    for i in np.flatnonzero(wrong):
        mended = shapely.make_valid(shapes[i])
        parts = shapely.get_parts(mended)
        areas = parts[np.isin(shapely.get_type_id(parts), _POLYGONS)]
        shapes[i] = shapely.union_all(areas) if len(areas) else mended
    return shapes


def _rings_of(shapes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """(n, 2) columns and rows of polygons' vertices, the first vertex of each ring, the first ring of each shape."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    xy, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    xy[:, 1] *= -1
    vertices = np.bincount(ring_of_vertex, minlength=len(rings))
    rings_of_shape = np.bincount(shape_of_part[part_of_ring], minlength=len(shapes))
    return xy, _starts(vertices), _starts(rings_of_shape)


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _burn_by_gdal(
    shapes: NDArray[Any], codes: NDArray[np.uint8], window: Window, all_touched: bool
) -> NDArray[np.uint8]:
    """Lines, points, and all cells that polygons touch."""
    from rasterio.features import rasterize

    with _BURNING:
        burned: NDArray[np.uint8] = rasterize(
            [(shape, int(code)) for shape, code in zip(shapes, codes, strict=True)],
            out_shape=(window.height, window.width),
            transform=Affine(1, 0, window.col, 0, -1, -window.row),
            all_touched=all_touched,
            fill=0,
            dtype="uint8",
        )
    return burned


def _cells_of_one(features: Features, index: int, size: tuple[int, int], all_touched: bool) -> int:
    left, bottom, right, top = features.bounds[index]
    row, col = int(np.floor(-top)), int(np.floor(left))
    box = Window(row, col, int(np.ceil(-bottom)) - row + 1, int(np.ceil(right)) - col + 1).clip(size)
    if box.height == 0 or box.width == 0:
        return 0
    if max(box.height, box.width) > _LARGE_PX:
        return 1
    shape = features.take(np.array([index]))
    return int(np.count_nonzero(_burn_by_gdal(shape, np.ones(1, np.uint8), box, all_touched)))


def _would_fit_turned(col: float, y: float, grid: Grid) -> bool:
    """Whether a place in cells would lie on the grid if its longitude and latitude changed places."""
    a, crs = grid.affine, grid_crs(grid)
    to_lonlat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    lon, lat = to_lonlat.transform(a.c + col * a.a, a.f - y * a.e)
    x, y = Transformer.from_crs("OGC:CRS84", crs, always_xy=True).transform(lat, lon)
    return 0 <= (x - a.c) / a.a <= grid.shape[1] and 0 <= (y - a.f) / a.e <= grid.shape[0]
