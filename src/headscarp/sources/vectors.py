"""Polygons and lines of a vector file on the grid of a stack: read once a process, rasterised window by window.

Shapes are brought into the grid's CRS and then into its cells (x = column, y = -row), so that each window sees the same
numbers. Invalid polygons are mended and counted. Refuses layers without a CRS, and fields that are not there.
"""

import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid
from headscarp.core.tile import Window
from headscarp.sources.rasters import extent_text, grid_crs

_LARGE_PX = 4096
_POLYGONS = (3, 6)


@dataclass(frozen=True)
class Vector:
    """A layer of a vector file, the rows that `where` (SQL) keeps, and the attribute that is wanted."""

    path: str
    layer: str | None = None
    where: str | None = None
    attribute: str | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """Shapes in the cells of a grid: x = column, y = -row. values: the attribute of each, None where it is missing.

    total: rows read. empty: rows without a shape. repaired: invalid ones mended. outside: off the grid, though kept.
    """

    shapes: NDArray[Any]
    values: tuple[Any, ...]
    tree: shapely.STRtree
    total: int
    empty: int
    repaired: int
    outside: int

    def near(self, window: Window) -> NDArray[np.int64]:
        """The indices of shapes whose boxes touch a window, in the order of the file."""
        box = shapely.box(window.col, -window.row - window.height, window.col + window.width, -window.row)
        return np.sort(self.tree.query(box))


_LOADING = threading.Lock()
# rasterize silences a warning of its own by changing the filters of the whole process: one thread at a time.
_BURNING = threading.Lock()


def load_features(vector: Vector, grid: Grid) -> Features:
    """The shapes of a vector layer in the cells of a grid, read once a process. Raises SourceError."""
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
    """Raises SourceError unless there are shapes, all of them are polygons, and one touches the grid."""
    kinds = {shapely.GeometryType(i).name.lower() for i in np.unique(shapely.get_type_id(features.shapes))}
    if features.total == 0 or len(features.shapes) == 0:
        kept = f" that fit where = {vector.where!r}" if vector.where else ""
        raise SourceError(f"{vector.path} has no shapes{kept}; check the file and the recipe")
    if not kinds <= {"polygon", "multipolygon"}:
        raise SourceError(f"{vector.path} holds {', '.join(sorted(kinds))}, but polygons are needed; give such a layer")


def check_overlap(features: Features, vector: Vector, grid: Grid) -> None:
    """Raises SourceError when no shape touches the grid."""
    if features.outside == len(features.shapes):
        box = shapely.total_bounds(features.shapes)
        raise SourceError(
            f"all {features.total} shapes of {vector.path} lie outside the grid: they cover columns and rows "
            f"{extent_text((box[0], -box[3], box[2], -box[1]))}, the grid has (0, 0, {grid.shape[1]}, {grid.shape[0]});"
            " check [grid] and the CRS of the file"
        )


def burn(
    features: Features, codes: NDArray[np.uint8], window: Window, *, all_touched: bool = False
) -> NDArray[np.uint8]:
    """(y, x) code of the last shape over each cell, 0 where there is none.

    codes: one per shape, 1 to 255. A shape covers a cell when it covers its centre; with all_touched, when it
    touches the cell.
    """
    from rasterio.features import rasterize

    shape = (window.height, window.width)
    near = features.near(window)
    if len(near) == 0:
        return np.zeros(shape, np.uint8)
    with _BURNING:
        burned: NDArray[np.uint8] = rasterize(
            [(features.shapes[i], int(codes[i])) for i in near],
            out_shape=shape,
            transform=Affine(1, 0, window.col, 0, -1, -window.row),
            all_touched=all_touched,
            fill=0,
            dtype="uint8",
        )
    return burned


def cells_of(features: Features, grid: Grid, *, all_touched: bool = False) -> NDArray[np.int64]:
    """How many cells of the grid each shape covers alone; at least 1 for shapes of thousands of cells across."""
    counts = np.zeros(len(features.shapes), np.int64)
    bounds = shapely.bounds(features.shapes)
    whole = (grid.shape[0], grid.shape[1])
    for i, (left, bottom, right, top) in enumerate(bounds):
        row, col = int(np.floor(-top)), int(np.floor(left))
        box = Window(row, col, int(np.ceil(-bottom)) - row + 1, int(np.ceil(right)) - col + 1).clip(whole)
        if box.height == 0 or box.width == 0:
            continue
        if max(box.height, box.width) > _LARGE_PX:
            counts[i] = 1
            continue
        alone = Features(features.shapes[i : i + 1], (None,), shapely.STRtree(features.shapes[i : i + 1]), 1, 0, 0, 0)
        counts[i] = np.count_nonzero(burn(alone, np.ones(1, np.uint8), box, all_touched=all_touched))
    return counts


def read_table(vector: Vector, *, options: Mapping[str, str] | None = None) -> Any:
    """A layer as a GeoDataFrame (a DataFrame where it has no shapes), rows and fields as asked. Raises SourceError."""
    import pyogrio

    path = Path(vector.path)
    if not path.exists():
        raise SourceError(f"there is no vector file at {path}; check the path in the recipe")
    options = dict(options or {})
    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        if vector.layer is not None and vector.layer not in layers:
            raise SourceError(f"{path} has no layer {vector.layer!r}; it has: {', '.join(layers)}")
        if vector.layer is None and len(layers) > 1:
            raise SourceError(f"{path} has the layers {', '.join(layers)}; name one of them: layer = {layers[0]!r}")
        _check_field(vector, [str(name) for name in pyogrio.read_info(path, layer=vector.layer)["fields"]])
        with warnings.catch_warnings():
            # Z and M values, and rings that a driver mends while reading, are none of the user's concern.
            warnings.simplefilter("ignore")
            return pyogrio.read_dataframe(path, layer=vector.layer, where=vector.where, **options)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be read ({error}); check the file, and layer and where in the recipe"
        ) from error


@lru_cache(maxsize=16)
def _load(vector: Vector, grid: Grid, stamp: tuple[int, int]) -> Features:
    table = read_table(vector)
    if not hasattr(table, "geometry"):
        raise SourceError(f"{vector.path} has no shapes; give a layer of polygons or lines")
    if table.crs is None:
        raise SourceError(
            f"{vector.path} has no CRS; write it into the file, e.g. ogr2ogr -a_srs EPSG:32643 new.gpkg {vector.path}"
        )
    shapes = shapely.force_2d(np.asarray(table.geometry.array))
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    table, shapes = table[there], shapes[there]
    wrong = ~shapely.is_valid(shapes)
    shapes = _mend(shapes)
    crs = grid_crs(grid)
    if table.crs != crs:
        shapes = _mend(np.asarray(table.set_geometry(shapes, crs=table.crs).to_crs(crs).geometry.array))
    a = grid.affine
    shapes = shapely.transform(shapes, lambda xy: (xy - (a.c, a.f)) / (a.a, -a.e))
    bounds = shapely.bounds(shapes)
    inside = (bounds[:, 2] > 0) & (bounds[:, 0] < grid.shape[1]) & (bounds[:, 3] > -grid.shape[0]) & (bounds[:, 1] < 0)
    values: tuple[Any, ...] = (None,) * len(shapes)
    if vector.attribute is not None:
        column = table[vector.attribute]
        values = tuple(None if missing else v for v, missing in zip(column, column.isna(), strict=True))
    return Features(
        shapes=shapes,
        values=values,
        tree=shapely.STRtree(shapes),
        total=len(there),
        empty=int((~there).sum()),
        repaired=int(wrong.sum()),
        outside=int((~inside).sum()),
    )


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


def _check_field(vector: Vector, known: list[str]) -> None:
    if vector.attribute is not None and vector.attribute not in known:
        close = get_close_matches(vector.attribute, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known)}"
        raise SourceError(f"{vector.path} has no attribute {vector.attribute!r}; {hint}")
