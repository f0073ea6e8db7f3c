"""What stands where slides may run: features of vector layers and people of a raster, counted for each runout.

Refuses layers without shapes or coordinate system. Counts are of totals; no single building is promised anything.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio import windows
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject, transform, transform_bounds
from rasterio.windows import from_bounds

from headscarp.core.errors import SourceError
from headscarp.core.grid import Grid
from headscarp.core.tile import Window
from headscarp.sources.formats import Vector, read_table

BURIAL = "burial_probability"
_LINES = ("LineString", "MultiLineString")


class Layer:
    """Features that may be buried, each with the cells that it touches, and how often it was reached."""

    def __init__(self, name: str, table: Any, cells: Sequence[NDArray[np.int64]], lengths_km: NDArray[np.float64]):
        self.name, self.table = name, table
        self.there = np.array([len(c) > 0 for c in cells])
        kept = [c for c in cells if len(c)]
        self.cells = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        self.starts = np.concatenate([[0], np.cumsum([len(c) for c in kept])[:-1]]).astype(np.int64) if kept else None
        self.hits, self.draws = np.zeros(int(self.there.sum()), np.int64), 0
        lengths = lengths_km[self.there]
        self.km_each = np.repeat(lengths / [len(c) for c in kept], [len(c) for c in kept]) if lengths.any() else None

    @staticmethod
    def open(path: str | Path, grid: Grid) -> "Layer":
        """A layer on the cells of a grid. Raises SourceError."""
        table = read_table(Vector(str(path)))
        if "geometry" not in table or table.crs is None or not len(table):
            raise SourceError(f"{path} has no shapes with a coordinate system; give a layer of what may be buried")
        lines = table.geometry.geom_type.isin(_LINES).to_numpy()
        lengths_km = np.zeros(len(table))
        if lines.any():
            metres = table.geometry[lines].to_crs("EPSG:4326")
            lengths_km[lines] = [metres.crs.get_geod().geometry_length(shape) / 1000 for shape in metres]
        cells = [cells_of(shape, grid) for shape in table.to_crs(grid.crs).geometry]
        return Layer(Path(path).stem, table, cells, lengths_km)

    def count(self, reached: NDArray[np.bool_]) -> dict[str, float]:
        """How many features a runout reaches and, of lines, how many kilometres."""
        counted = {f"{self.name}, reached": 0.0}
        self.draws += 1
        if self.starts is not None:
            under = reached.ravel()[self.cells]
            hit = np.logical_or.reduceat(under, self.starts)
            self.hits += hit
            counted[f"{self.name}, reached"] = float(hit.sum())
            if self.km_each is not None:
                counted[f"{self.name}, km reached"] = float(self.km_each[under].sum())
        return counted

    def with_probability(self, share: NDArray[np.floating], guess: NDArray[np.floating] | None = None) -> Any:
        """The table with the share of the draws in which each feature is reached; missing outside the map.

        share: (y, x) of the draws that reach a cell. guess: (y, x) how likely each cell is buried, NaN where nobody
        says. With it a feature of one cell is as likely as that says, and a larger one as its likeliest cell, times how
        much more often the draws reach any of its cells than the one that they reach most.
        """
        probability = np.full(len(self.table), np.nan)
        if self.starts is not None:
            reached = self.hits / self.draws
            if guess is not None:
                often, likely = (np.fmax.reduceat(of.ravel()[self.cells], self.starts) for of in (share, guess))
                more = np.divide(reached, often, out=np.ones(len(often)), where=often > 0)
                reached = np.minimum(more * likely, 1.0)
            probability[self.there] = reached
        return self.table.assign(**{BURIAL: probability})


class People:
    """People per cell, from a raster of any grid; their number is kept."""

    def __init__(self, per_cell: NDArray[np.float32]) -> None:
        self.per_cell = per_cell

    @staticmethod
    def open(path: str | Path, grid: Grid) -> "People":
        """The first band of a raster of people per cell, brought onto a grid; missing cells hold nobody.

        Raises SourceError.
        """
        assert grid.crs is not None
        crs = grid.crs.to_wkt()
        try:
            with rasterio.open(path) as file:
                if file.crs is None:
                    raise SourceError(f"{path} has no coordinate system; give a raster of people per cell that has one")
                box = transform_bounds(crs, file.crs, *_bounds(grid))
                window = from_bounds(*box, file.transform).round_offsets().round_lengths()
                window = windows.Window(window.col_off - 1, window.row_off - 1, window.width + 2, window.height + 2)
                if not windows.intersect(window, windows.Window(0, 0, file.width, file.height)):
                    raise SourceError(f"{path} lies elsewhere than the stack; give the people of this place")
                window = window.intersection(windows.Window(0, 0, file.width, file.height))
                held = file.read(1, window=window, masked=True).astype(np.float64).filled(0.0)
                there, theirs = file.transform @ Affine.translation(window.col_off, window.row_off), file.crs
        except RasterioError as error:
            raise SourceError(f"{path} cannot be read as a raster ({error}); give people per cell") from error
        held = np.where(np.isfinite(held) & (held > 0), held, 0.0)
        # People of a coarse cell are spread over finer ones first, so that nobody is lost between the grids.
        fine = max(1, math.ceil(4 * min(4.0, _cells_wide(there, theirs, grid))))
        held = np.repeat(np.repeat(held, fine, axis=0), fine, axis=1) / fine**2
        out = np.zeros(tuple(grid.shape))
        reproject(
            held,
            out,
            src_transform=there @ Affine.scale(1 / fine),
            src_crs=theirs,
            dst_transform=grid.affine,
            dst_crs=crs,
            resampling=Resampling.sum,
        )
        return People(np.nan_to_num(out).astype(np.float32))

    def count(self, reached: NDArray[np.bool_]) -> dict[str, float]:
        """How many people live on the cells that a runout reaches."""
        return {"people, reached": float(self.per_cell[reached].sum())}


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    corners = [grid.affine @ (x, y) for x in (0, grid.shape[1]) for y in (0, grid.shape[0])]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _cells_wide(there: Affine, theirs: Any, grid: Grid) -> float:
    """About how many cells of the grid a cell of a raster is wide."""
    (left, top), (right, bottom) = there @ (0, 0), there @ (1, 1)
    assert grid.crs is not None
    xs, ys = transform(theirs, grid.crs.to_wkt(), [left, right], [top, bottom])
    return max(abs(xs[1] - xs[0]), abs(ys[1] - ys[0])) / max(abs(grid.affine.a), abs(grid.affine.e))


def cells_of(shape: Any, grid: Grid) -> NDArray[np.int64]:
    """Flat indices of the cells that a shape touches; none where it lies outside."""
    if shape is None or shape.is_empty:
        return np.zeros(0, np.int64)
    left, bottom, right, top = shape.bounds
    corners = [~grid.affine @ corner for corner in ((left, top), (right, bottom), (left, bottom), (right, top))]
    ends = [(math.floor(min(c[k] for c in corners)) - 1, math.ceil(max(c[k] for c in corners)) + 1) for k in (1, 0)]
    window = Window(ends[0][0], ends[1][0], ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]).clip(
        (grid.shape[0], grid.shape[1])
    )
    if not window.height or not window.width:
        return np.zeros(0, np.int64)
    there = grid.affine @ Affine.translation(window.col, window.row)
    mask = rasterize([shape], (window.height, window.width), transform=there, all_touched=True)
    y, x = np.nonzero(mask)
    return np.asarray((y + window.row) * grid.shape[1] + x + window.col, np.int64)
