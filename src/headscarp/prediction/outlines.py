"""Whole regions of a map as rows of an inventory: outlines on the ground, sizes, probabilities, terrain.

Areas are sums of true cells, before outlines are simplified. It reads and writes no files.
"""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from headscarp.core.errors import RecipeError
from headscarp.core.grid import Grid, cell_size_m, grid_to_json
from headscarp.prediction.joining import Regions

DEFAULT_THRESHOLD = 0.5
LARGEST_OPENING_PX = 50
CERTAIN, PROBABLE = 0.8, 0.5
"""Mean probability from which on a polygon is called certain, and probable; below it is questionable."""


@dataclass(frozen=True)
class Rules:
    """What counts as a landslide and how its outline is drawn.

    threshold: probability from which on a cell counts; None: that of the bundle that made the map, else 0.5.
    min_area_m2: smaller regions are left out (minimum mapping unit). fill_holes_m2: smaller holes are closed.
    min_width_m: regions whose area is less than this times their length are slivers and left out. simplify_m: outlines
    may move by about this much, without crossing each other. open_px: radius of the opening that takes off what is no
    square of 2 open_px + 1 cells wide, 0 for none; None: that of the net that made the map, else 0.
    """

    threshold: float | None = None
    min_area_m2: float = 0.0
    fill_holes_m2: float = 0.0
    min_width_m: float = 0.0
    simplify_m: float = 0.0
    open_px: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise RecipeError(f"threshold is {self.threshold}; it has to be a probability above 0 and up to 1")
        if self.open_px is not None and not 0 <= self.open_px <= LARGEST_OPENING_PX:
            raise RecipeError(f"open_px is {self.open_px}; it has to be from 0 to {LARGEST_OPENING_PX} cells")
        for name in ("min_area_m2", "fill_holes_m2", "min_width_m", "simplify_m"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise RecipeError(f"{name} is {getattr(self, name)}; it has to be 0 or more")


def outline_table(regions: Regions, grid: Grid, rules: Rules, terrain: tuple[str, ...] = ()) -> gpd.GeoDataFrame:
    """The rows of whole regions that the rules keep, outlines on the ground.

    terrain: names of the planes behind the probability, "elevation" (m) and "slope" (degree) among them. Columns: type,
    cause, certainty, area_m2, mean_probability, max_probability, length_m, width_m, drop_m, slope_deg, geometry.
    """
    polygons, area = regions.polygons, regions.cells * _cell_area_m2(grid, regions.first[:, 0])
    cell_m2 = _cell_area_m2(grid, regions.first[:, 0])
    if rules.fill_holes_m2 > 0:
        polygons = np.array(
            [_filled(p, rules.fill_holes_m2 / m2) for p, m2 in zip(polygons, cell_m2, strict=True)], object
        )
        area = shapely.area(polygons) * cell_m2
    a = grid.affine
    on_ground = shapely.transform(polygons, lambda xy: np.stack([a.c + xy[:, 0] * a.a, a.f + xy[:, 1] * a.e], axis=1))
    scale = np.sqrt(cell_m2 / abs(a.a * a.e))
    length, width = _sides(on_ground)
    length, width = length * scale, width * scale
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = regions.sums / regions.counts
        drop = np.where(regions.counts > 0, regions.high - regions.low, np.nan)
    columns = {
        "type": "whole",
        "cause": "unknown",
        "certainty": np.select(
            [mean[:, 0] >= CERTAIN, mean[:, 0] >= PROBABLE], ["certain", "probable"], "questionable"
        ),
        "area_m2": area,
        "mean_probability": mean[:, 0],
        "max_probability": regions.high[:, 0].astype(np.float64),
        "length_m": length,
        "width_m": width,
        "drop_m": drop[:, 1 + terrain.index("elevation")] if "elevation" in terrain else np.nan,
        "slope_deg": mean[:, 1 + terrain.index("slope")] if "slope" in terrain else np.nan,
    }
    table = gpd.GeoDataFrame(columns, index=range(len(on_ground)), geometry=on_ground, crs=grid_to_json(grid)["crs"])
    keep = (area >= rules.min_area_m2) & (area >= rules.min_width_m * length)
    return table[keep].copy()


def empty_table(grid: Grid) -> gpd.GeoDataFrame:
    """The same columns without a row."""
    none = Regions(np.empty(0, object), np.empty((0, 2), int), np.empty(0, int), *(np.empty((0, 1)) for _ in range(4)))  # type: ignore[arg-type]
    return outline_table(none, grid, Rules())


def _filled(polygon: shapely.Polygon, most_cells: float) -> shapely.Polygon:
    """The polygon without holes smaller than so many cells."""
    kept = [hole for hole in polygon.interiors if shapely.area(shapely.Polygon(hole)) >= most_cells]
    return shapely.Polygon(polygon.exterior, kept)


def _sides(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length and width of the smallest rectangle around each polygon, in units of its coordinates."""
    if len(polygons) == 0:
        return np.empty(0), np.empty(0)
    boxes = shapely.minimum_rotated_rectangle(polygons)
    corners = np.array([np.asarray(box.exterior.coords)[:3] for box in boxes])
    sides = np.hypot(*np.moveaxis(np.diff(corners, axis=1), 2, 0))
    return sides.max(axis=1), sides.min(axis=1)


def _cell_area_m2(grid: Grid, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The true area of a cell in each of these rows."""
    dy, dx = cell_size_m(grid)
    area = np.broadcast_to(np.asarray(dy) * np.asarray(dx), (grid.shape[0],))
    return np.asarray(area[np.minimum(rows, grid.shape[0] - 1)], np.float64)
