"""A simulated county: hills of coastal-range character with landslides, rocks, land cover, rivers and roads.

What a survey of it would hold: a stack with scarps and deposits as two labels, and the same slides as polygons. It has
what makes real mapping hard: worn slides, and cliffs, terraces and rough ground that are none. Not a real place.
"""

import warnings
from dataclasses import dataclass
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter, label

from headscarp.core.band import Band
from headscarp.core.errors import GridError, HeadscarpWarning
from headscarp.core.grid import Grid, cell_size_m, check_metres
from headscarp.core.stack import VALID, make_stack
from headscarp.sources.world._rivers import trace_rivers
from headscarp.sources.world._roads import lay_roads
from headscarp.sources.world.cover import COVERS, land_cover
from headscarp.sources.world.geology import AGES, GRAVEL, ROCKS, age_at, folded_strata, rock_at
from headscarp.sources.world.law import failure_probability, log_safety
from headscarp.sources.world.relief import Relief, carve_relief, fractal_noise
from headscarp.sources.world.slides import LEAST_CELLS, Sizes, Slides, simulate_slides
from headscarp.terrain import slope

SIMULATED = "simulated by Headscarp (headscarp.sources.world.place): not a real place, not for decisions"

_RELIEF = 0.045  # what carve_relief is asked for, as a share of the side; ridges stand about twice as high
_FLATTENED = 0.75  # hills, not mountains
_RIVER_M = 12.0  # height of the river where it leaves the county
_PER_KM2 = 4.0
_PREVALENCE = 0.05
_DAM, _LAKE_M = 0.42, 14.0  # where on the way from north to south, and how deep
_FIELD, _TOWN, _FOREST, _WATER = 1, 2, 3, 4

_BANDS = (
    Band("elevation", "continuous", "m", "simulated: eroded folded rock, with landslides"),
    Band("slope", "continuous", "degree", "Horn (1981) on the simulated elevation"),
    Band("lithology", "categorical", "1", "simulated strata and gravel", tuple(rock.name for rock in ROCKS)),
    Band("rock_age", "categorical", "1", "simulated strata and gravel", AGES),
    Band("land_cover", "categorical", "1", "simulated from relief and noise", tuple(cover.name for cover in COVERS)),
    Band("scarp", "label", "1", "simulated: source areas of landslides"),
    Band("deposit", "label", "1", "simulated: deposits of landslides"),
    Band(VALID, "mask", "1", "simulated: everywhere"),
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class County:
    """stack: elevation, slope, lithology, rock_age, land_cover, scarp, deposit, valid. slides: the same slides as
    polygons. rivers, roads: lines. before_m: (y, x) float32, the ground without slides. law: (y, x) float32, the
    chance that sources were drawn by. seed: what the whole was drawn from."""

    grid: Grid
    stack: xr.Dataset
    slides: Slides
    rivers: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    before_m: NDArray[np.float32]
    law: NDArray[np.float32]
    seed: int

    def band(self, name: str) -> NDArray[Any]:
        """The pixels of a band of the stack, (y, x)."""
        return self.stack[name].to_numpy()


COUNTY_GRID = Grid((1000, 1200), Affine(10.0, 0.0, 573_000.0, 0.0, -10.0, 4_205_500.0), "EPSG:32610")
"""12 x 10 km at 10 m around 37.95 N, 122.1 W: where Contra Costa County lies, which this is not."""


def simulate_county(
    seed: int,
    *,
    grid: Grid = COUNTY_GRID,
    count: int | None = None,
    sizes: Sizes | None = None,
    ages_years: tuple[float, float] = (0.1, 30_000.0),
    until: date = date(2020, 1, 1),
) -> County:
    """A county on a grid, with its landslides up to a day.

    grid: projected with true metres, square cells, at least 64 x 64. count: of landslides, about, by default 4 a km2.
    sizes: of whole slides, by default from 15,000 m2 (or 24 cells), which gives one cell in 25 or so in scarps and
    one in 10 in deposits. ages_years: of the youngest and the oldest slide; more are old than young. The same arguments
    give the same county. Raises GridError, RecipeError.
    """
    cell_m = _check(grid)
    rows, cols = grid.shape
    shaping, covering, roughening, sliding = np.random.default_rng(seed).spawn(4)
    world, inside = _world(rows), _world(cols)
    extent_m = float(np.sqrt(rows * cols)) * cell_m
    strata = folded_strata(extent_m, 2.5 * _RELIEF * extent_m, shaping)
    relief = carve_relief((world[0], inside[0]), cell_m, strata, shaping, relief_m=_RELIEF * extent_m)
    window = (slice(world[1], world[1] + rows), slice(inside[1], inside[1] + cols))
    relief = Relief(*(plane[window] for plane in (relief.elevation_m, relief.fill_m, relief.river_m)))
    before = _weather(relief, cell_m, roughening)
    lake = _dam(before, relief.river_m)

    slope_deg = slope(np.pad(before, 1, mode="edge"), cell_m)[1:-1, 1:-1]
    lithology, age = rock_at(strata, before, cell_m) + 1, age_at(strata, before, cell_m) + 1
    gravel = relief.fill_m > 2.0
    lithology[gravel], age[gravel] = GRAVEL + 1, len(AGES)
    cover = _cover(Relief(before, relief.fill_m, relief.river_m), slope_deg, lake, cell_m, covering)
    log_fs = log_safety(before, slope_deg, lithology, cover, cell_size_m=cell_m)
    law = failure_probability(log_fs, _PREVALENCE)
    with warnings.catch_warnings():
        # A few of hundreds that find no slope are no news: the count is "about" here.
        warnings.simplefilter("ignore", HeadscarpWarning)
        slides = simulate_slides(
            before,
            grid,
            seed=int(sliding.integers(2**32)),
            count=max(1, round(_PER_KM2 * rows * cols * cell_m**2 / 1e6)) if count is None else count,
            chance=law,
            sizes=sizes or Sizes(smallest_m2=max(15_000.0, LEAST_CELLS * cell_m**2)),
            ages_years=ages_years,
            until=until,
        )
    elevation = slides.dem_after
    labels = [_burn(table, grid) for table in (slides.scarps, slides.deposits)]
    after_deg = slope(np.pad(elevation, 1, mode="edge"), cell_m)[1:-1, 1:-1]
    planes = (elevation, after_deg, lithology, age, cover, *labels, np.ones(grid.shape, np.uint8))
    attrs = {"simulated": SIMULATED, "seed": seed}
    stack = make_stack(grid, dict(zip(_BANDS, planes, strict=True)), attrs=attrs)
    rivers = trace_rivers(before, grid, cell_m)
    return County(grid, stack, slides, rivers, lay_roads(before, cover == _TOWN, grid), before, law, seed)


def _weather(relief: Relief, cell_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Hills from the carved mountains, with what a mapper of landslides has to tell from them: ledges of hard beds,
    river terraces and rough ground; and the small relief and the error that any DEM has."""
    shape_ = relief.elevation_m.shape
    z = relief.elevation_m.astype(np.float64)
    z = _FLATTENED * (z - z.min())
    patches, warp, rough_patches = (fractal_noise(shape_, rng, beta) for beta in (1.8, 2.2, 1.7))
    rows, cols = np.indices(shape_, dtype=np.float64)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    dip_m = 0.05 * cell_m * (rows * np.sin(turn) + cols * np.cos(turn))  # beds dip some degrees
    z = _stepped(z, z + dip_m + 14.0 * warp, np.clip(1.1 * patches - 0.5, 0.0, 0.9), (60.0, 9.0), rng)
    terraces = np.exp(-((z / 35.0) ** 2)) * np.clip(0.6 + rough_patches, 0.0, 0.9)
    z = _stepped(z, z + 1.5 * warp, terraces, (11.0, 1.5), rng)
    knolls = gaussian_filter(rng.normal(size=shape_), 28.0 / cell_m)
    z += 1.6 * np.clip(-patches - 0.3, 0.0, 1.0) * knolls / knolls.std()
    gullies = fractal_noise(shape_, rng, 1.3)
    z += 0.9 * gullies * np.clip(z / 60.0, 0.2, 1.0)
    error = gaussian_filter(rng.normal(size=shape_), 0.7)
    return (z + _RIVER_M + 0.25 * error / error.std()).astype(np.float32)


def _stepped(
    z: Floats, level_m: Floats, amount: Floats, spacing_m: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """Heights with steep risers at some levels and gentle treads between, where amount is not 0; below 1 it lets
    nothing run uphill that ran down. spacing_m: mean distance between risers (they come at random), their height."""
    between, high = spacing_m
    levels = np.arange(level_m.min() - between, level_m.max() + between, high / 4.0)
    risers = rng.choice(levels, max(1, round((levels[-1] - levels[0]) / between)))
    steep = np.exp(-(((levels[:, None] - risers) / (0.5 * high)) ** 2)).sum(axis=1)
    steeper = np.clip(steep, 0.0, 1.3) - steep.clip(0.0, 1.3).mean()
    shift = np.cumsum(steeper) * high / 4.0
    trend = np.interp(levels, [levels[0], levels[-1]], [shift[0], shift[-1]])
    return z + amount * np.interp(level_m, levels, shift - trend)


def _dam(z: NDArray[np.float32], river_m: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells of a reservoir on the main river, which is filled in z: (y, x)."""
    row = round(_DAM * z.shape[0])
    level_m = float(z[row, int(river_m[row].argmin())]) + _LAKE_M
    deep = z < level_m
    deep[row:] = False
    parts, _ = label(deep)
    lake = np.isin(
        parts, np.setdiff1d(np.unique(parts[deep & (river_m < 2.0 * river_m.min(axis=1)[:, None] + 15.0)]), 0)
    )
    z[lake] = level_m
    return np.asarray(lake)


def _cover(
    relief: Relief,
    slope_deg: NDArray[np.floating],
    lake: NDArray[np.bool_],
    cell_m: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Codes from 1 into COVERS, (y, x): as in the valley, but woods stay on shady slopes and grass has the rest."""
    cover = land_cover(relief, slope_deg, cell_m, rng)
    north = gaussian_filter(np.gradient(relief.elevation_m.astype(np.float64), cell_m)[0], 30.0 / cell_m)
    shade = north / max(float(north.std()), 1e-9) + 0.8 * fractal_noise(slope_deg.shape, rng, 1.4)
    cover[(cover == _FOREST) & (shade < 0.3)] = _FIELD
    cover[(cover == _FIELD) & (shade > 1.5)] = _FOREST
    low = relief.elevation_m < np.percentile(relief.elevation_m, 40)
    town = gaussian_filter(slope_deg, 60.0 / cell_m) - 4.0 * fractal_noise(slope_deg.shape, rng, 1.9)
    cover[low & (cover != _WATER) & (town < np.percentile(town, 8))] = _TOWN
    cover[lake] = _WATER
    return cover


def _burn(table: gpd.GeoDataFrame, grid: Grid) -> NDArray[np.uint8]:
    if table.empty:
        return np.zeros(grid.shape, np.uint8)
    burnt: NDArray[np.uint8] = rasterize(table.geometry, grid.shape, transform=grid.affine, dtype="uint8")
    return burnt


def _world(cells: int) -> tuple[int, int]:
    """Cells of the world along one side, a multiple of 8, and where the map begins in it: no edge is the world's."""
    side = -(-(cells + 2 * max(24, cells // 10)) // 8) * 8
    return side, (side - cells) // 2


def _check(grid: Grid) -> float:
    check_metres(grid)
    dy, dx = (float(side) for side in cell_size_m(grid))
    if min(grid.shape) < 64 or abs(dy / dx - 1.0) > 1e-6:
        raise GridError(
            f"a county of {grid.shape[0]} x {grid.shape[1]} cells of {dy:g} x {dx:g} m was asked for; it needs at "
            "least 64 x 64 square cells"
        )
    return dy
