"""The bands of a stack, each as a small value that can make its pixels for any window, here or on another machine.

A layer opens its files inside `read` and holds no pixels, so it can be sent to workers. What a layer notices on the way
(missing, infinite, unknown, constant values) goes back as counts; judging them is left to the verdict.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headscarp.core.band import UNLABELLED, Band
from headscarp.core.grid import Grid, cell_size_m, window_grid
from headscarp.core.tile import Window
from headscarp.sources.classes import ClassTable, code_text, encode
from headscarp.sources.distance import distance_window
from headscarp.sources.points import LabelPoints, Points, burn_points, load_points
from headscarp.sources.rasters import Raster, grid_crs
from headscarp.sources.stacks import StackBand, read_pixels
from headscarp.sources.vectors import Features, Vector, burn, file_stamp, load_features
from headscarp.terrain import derive, relief, topographic_position

Facts = dict[str, Any]
UNKNOWN = 255

# A value that fills less than a thousandth of a block is not followed.
_CONSTANT_SHARE = 1e-3
_MOST_VALUES = 32


class Layer(Protocol):
    """A band and how its pixels are made."""

    @property
    def band(self) -> Band: ...

    def read(self, context: "Context") -> tuple[NDArray[Any], Facts]:
        """The band's pixels in the context's window, in the band's dtype, and what was noticed."""


@dataclass
class Context:
    """One window of the grid, and what several layers read there in common."""

    grid: Grid
    window: Window
    _kept: dict[Any, Any] = field(default_factory=dict)

    def raster(self, raster: Raster | StackBand, pad_px: int) -> NDArray[np.float64]:
        """The raster in the window grown by its padding, read once."""
        key = (raster, pad_px)
        if key not in self._kept:
            self._kept[key] = read_pixels(raster, self.grid, self.window.grow(pad_px), pad_px=pad_px)
        values: NDArray[np.float64] = self._kept[key]
        return values

    def derived(self, layer: "TerrainLayer") -> dict[str, NDArray[np.float32]]:
        """All 3 x 3 derivations of one elevation by one method, in one pass."""
        key = (layer.raster, layer.method)
        if key not in self._kept:
            dem = _cut(self.raster(layer.raster, layer.pad_px), layer.pad_px - 1).astype(np.float32)
            dy, dx = _cell_rows(self.grid, layer.pad_px)
            rows = slice(self.window.row + layer.pad_px - 1, self.window.row + layer.pad_px + self.window.height + 1)
            self._kept[key] = derive(dem, (dy[rows], dx[rows]), layer.together, method=layer.method, threads=1)
        planes: dict[str, NDArray[np.float32]] = self._kept[key]
        return planes


@dataclass(frozen=True)
class RasterLayer:
    """A raster, interpolated or, with a class table, coded. pad_px: what the terrain made from it needs around."""

    band: Band
    raster: Raster | StackBand
    table: ClassTable | None = None
    pad_px: int = 0

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        values = _cut(context.raster(self.raster, self.pad_px), self.pad_px)
        if self.table is not None:
            codes, unknown = encode(values, self.table)
            return codes, {"missing": int(np.isnan(values).sum()), "unknown": unknown}
        infinite = np.isinf(values)
        numbers = np.where(infinite, np.nan, values).astype(np.float32)
        if self.band.kind == "direction":
            # Negative stands for "flat" in more than one program.
            numbers = np.where(numbers < 0, np.nan, numbers) % np.float32(360)
        constant = _constant_areas(numbers) if self.band.kind == "continuous" else {}
        return numbers, {
            "missing": int(np.isnan(numbers).sum()),
            "infinite": int(infinite.sum()),
            "constant": constant,
        }


@dataclass(frozen=True)
class TerrainLayer:
    """A derivation of an elevation raster that needs only a window's surroundings. together: see Context.derived."""

    band: Band
    raster: Raster | StackBand
    pad_px: int
    terrain: str
    method: str = "horn"
    together: tuple[str, ...] = ()
    radius_px: int = 0

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        if self.radius_px:
            over_disc = {"relief": relief, "topographic_position": topographic_position}[self.terrain]
            dem = _cut(context.raster(self.raster, self.pad_px), self.pad_px - self.radius_px).astype(np.float32)
            plane = _cut(over_disc(dem, self.radius_px, threads=1), self.radius_px)
        else:
            plane = _cut(context.derived(self)[self.terrain], 1)
        return plane, {"missing": int(np.isnan(plane).sum())}


@dataclass(frozen=True)
class WholeLayer:
    """A derivation of the whole elevation raster, made before the blocks and read from a file (.npy) in each."""

    band: Band
    raster: Raster | StackBand
    pad_px: int
    terrain: str
    method: str = "horn"
    file: str = ""

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        plane = np.array(np.load(self.file, mmap_mode="r")[context.window.slices])
        return plane, {"missing": int(np.isnan(plane).sum())}


@dataclass(frozen=True)
class VectorLayer:
    """Polygons by their attribute."""

    band: Band
    vector: Vector
    table: ClassTable
    all_touched: bool = False

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        features = load_features(self.vector, context.grid)
        codes = burn(
            features,
            _codes_of_shapes(features, self.table),
            context.window,
            all_touched=self.all_touched,
        )
        unknown = int((codes == UNKNOWN).sum())
        codes[codes == UNKNOWN] = 0
        missing = int((codes == 0).sum()) - unknown
        return codes, {"missing": missing, "unknown": {"": unknown} if unknown else {}}


@dataclass(frozen=True)
class DistanceLayer:
    """Distance to the nearest feature."""

    band: Band
    vector: Vector
    max_m: float

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        return distance_window(self.vector, context.grid, context.window, self.max_m), {"missing": 0}


@dataclass(frozen=True)
class PolygonLabel:
    """1 within landslide polygons; 0 elsewhere or, where `complete` is given, within its polygons, and 255 beyond."""

    band: Band
    vector: Vector
    all_touched: bool = False
    complete: Vector | None = None

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        label = _burnt(self.vector, context, all_touched=self.all_touched)
        if self.complete is not None:
            label[(label == 0) & (_burnt(self.complete, context) == 0)] = UNLABELLED
        return label, {"missing": int((label == UNLABELLED).sum())}


@dataclass(frozen=True)
class PointLabel:
    """1 and 0 at points, 255 elsewhere."""

    band: Band
    points: Points

    def read(self, context: Context) -> tuple[NDArray[Any], Facts]:
        label = burn_points(label_points(self.points, context.grid), context.window)
        return label, {"missing": int((label == UNLABELLED).sum())}


def label_points(points: Points, grid: Grid) -> LabelPoints:
    """The labelled cells of a grid, read once a process."""
    return _label_points(points, grid, file_stamp(points.path))


def _burnt(vector: Vector, context: Context, *, all_touched: bool = False) -> NDArray[np.uint8]:
    """1 in the cells of a window that shapes of a layer cover, 0 in the others."""
    features = load_features(vector, context.grid)
    return burn(features, np.ones(len(features), np.uint8), context.window, all_touched=all_touched)


@lru_cache(maxsize=4)
def _label_points(points: Points, grid: Grid, stamp: tuple[int, int]) -> LabelPoints:
    return load_points(points, grid)


@lru_cache(maxsize=16)
def _codes_of_shapes(features: Features, table: ClassTable) -> NDArray[np.uint8]:
    position = dict(zip(table.codes, table.position, strict=True))
    codes = [0 if v is None else position.get(code_text(v), UNKNOWN) for v in features.values]
    return np.array(codes, np.uint8)


@lru_cache(maxsize=4)
def _cell_rows(grid: Grid, pad_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres (dy, dx) of each row of the grid and of `pad_px` rows on both sides of it."""
    padded = window_grid(grid, Window(0, 0, *grid.shape).grow(pad_px))
    whole = cell_size_m(padded if grid_crs(grid).is_geographic else grid)
    dy, dx = (np.broadcast_to(np.asarray(side, np.float64), (padded.shape[0],)) for side in whole)
    return dy, dx


def _constant_areas(values: NDArray[np.float32]) -> dict[str, list[int]]:
    """Values that fill areas: for each how many cells have it, and how many have it with their neighbours."""
    here = values[:-1, :-1]
    flat = (here == values[:-1, 1:]) & (here == values[1:, :-1])
    least = max(1.0, _CONSTANT_SHARE * values.size)
    if np.count_nonzero(flat) < least:
        return {}
    different, counts = np.unique(here[flat], return_counts=True)
    often = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    return {
        repr(float(different[i])): [int((values == different[i]).sum()), int(counts[i])]
        for i in often
        if counts[i] >= least
    }


def _cut(values: NDArray[Any], margin: int) -> NDArray[Any]:
    """The array without `margin` cells on each side."""
    return values[margin : values.shape[0] - margin, margin : values.shape[1] - margin]
