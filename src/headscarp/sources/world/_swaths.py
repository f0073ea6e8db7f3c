"""When satellites pass over a simulated county and how much of it they see: tracks, swath edges, grids of scenes.

Revisit times and equator crossings are those of Landsat 8, Sentinel-1A and Sentinel-2A; where the edges of their swaths
cut the county is made up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask
from rasterio.warp import transform_bounds
from shapely import Polygon, transform

from headscarp.core.grid import Grid
from headscarp.sources.world._ground import Ground
from headscarp.sources.world._items import outline_lonlat
from headscarp.sources.world.place import County

_TILT = np.tan(np.radians(12.0))  # of the tracks against north
_FAR = 50.0  # widths of the county


@dataclass(frozen=True)
class Pass:
    """A track that comes again: which, first seen when (UTC), how often in days; edge: share of the county's width
    where its swath ends, and which side it sees; orbit for radar."""

    track: int
    first: datetime
    every_days: int
    edge: float
    sees: str
    orbit: str = ""


LANDSAT_PASSES = (
    Pass(44, datetime(2019, 1, 11, 18, 45, 25), 16, 0.78, "west"),
    Pass(43, datetime(2019, 1, 4, 18, 39, 10), 16, 0.28, "east"),
)
RADAR_PASSES = (
    Pass(35, datetime(2019, 1, 3, 1, 58, 50), 12, 0.12, "east", "ascending"),
    Pass(115, datetime(2019, 1, 8, 14, 8, 30), 12, 0.9, "west", "descending"),
)
SENTINEL2_PASSES = (Pass(113, datetime(2019, 1, 2, 18, 57, 41), 5, 1.2, "west"),)
ROW, TILE = 34, "10SEG"


def moments(flown: Pass, year: int, dates: int | None) -> Sequence[datetime]:
    """When a track is flown in a year, UTC; of these so many, spread evenly, or all for None."""
    every = timedelta(days=flown.every_days)
    start = flown.first + every * -((flown.first - datetime(year, 1, 1)) // every)
    all_of_it = []
    while start.year == year:
        all_of_it.append(start)
        start += every
    if dates is None or dates >= len(all_of_it):
        return all_of_it
    return [all_of_it[round(k)] for k in np.linspace(0, len(all_of_it) - 1, dates)]


def scene_grid(county: County, crs: str, cell_m: float, offset_m: float) -> Grid:
    """The grid of a sensor over a county: cells whose edges are multiples of their size, plus an offset."""
    bounds = county.grid.boundingbox
    west, south, east, north = transform_bounds(
        str(county.grid.crs), crs, bounds.left, bounds.bottom, bounds.right, bounds.top
    )
    left, top = (np.floor((west - offset_m) / cell_m), np.ceil((north - offset_m) / cell_m))
    right, bottom = (np.ceil((east - offset_m) / cell_m), np.floor((south - offset_m) / cell_m))
    affine = Affine(cell_m, 0.0, left * cell_m + offset_m, 0.0, -cell_m, top * cell_m + offset_m)
    return Grid((int(top - bottom), int(right - left)), affine, crs)


def swath(county: County, ground: Ground, flown: Pass) -> tuple[Polygon, NDArray[np.bool_]]:
    """What a track sees of a scene's grid: its outline in longitude and latitude, and (y, x) the cells."""
    bounds = county.grid.boundingbox
    width, middle = bounds.right - bounds.left, (bounds.top + bounds.bottom) / 2
    far = _FAR * width * (1.0 if flown.sees == "east" else -1.0)
    edge = bounds.left + flown.edge * width
    # Daytime tracks of Landsat and Sentinel-2, and descending ones, run to the south-west; ascending to the north-west.
    lean = -_TILT * width if flown.orbit == "ascending" else _TILT * width
    seen = Polygon(
        [
            (edge + lean, middle + width),
            (edge - lean, middle - width),
            (edge - lean + far, middle - width),
            (edge + lean + far, middle + width),
        ]
    )
    ring = Polygon(
        [
            (bounds.left, bounds.bottom),
            (bounds.right, bounds.bottom),
            (bounds.right, bounds.top),
            (bounds.left, bounds.top),
        ]
    )
    to_scene = Transformer.from_crs(str(county.grid.crs), str(ground.grid.crs), always_xy=True)
    part = transform(ring.intersection(seen).segmentize(width / 8), to_scene.transform, interleaved=False)
    inside = ~geometry_mask([part], ground.grid.shape, ground.grid.affine) & ground.valid
    return outline_lonlat(ground.grid, part), inside


def middle_lonlat(grid: Grid) -> tuple[float, float]:
    """Longitude and latitude of the middle of a grid."""
    bounds = grid.boundingbox
    west, south, east, north = transform_bounds(
        str(grid.crs), "EPSG:4326", bounds.left, bounds.bottom, bounds.right, bounds.top
    )
    return (west + east) / 2, (south + north) / 2


def cloud_cover(day: date, rng: np.random.Generator) -> float:
    """Share of a scene under clouds, drawn: half of it on average in winter, a sixth in summer, often nearly none."""
    winter = 0.5 + 0.5 * np.cos(2.0 * np.pi * (day.timetuple().tm_yday - 20) / 365.25)
    return float(rng.beta(0.45, 0.45 * (1.0 / (0.16 + 0.34 * winter) - 1.0)))
