"""Simulated landslides as objects on a DEM: each has a scarp that the slope lost and a deposit that lies below it.

Sources are drawn by the physical law, sizes from the distribution of real inventories, volumes from their scaling with
area; what leaves the scarp lies in the deposit. Old slides are worn down by soil creep, so that some can hardly be
seen. Refuses DEMs with holes, and grids whose metres are not true. Nothing here is a real place.
"""

import warnings
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import gammainc, gammaincinv

from headscarp.core.errors import GridError, HeadscarpWarning, RecipeError
from headscarp.core.grid import Grid, cell_size_m, check_metres
from headscarp.sources.world._slide_shapes import Deposit, Floats, Ground, Scarp, shape_deposit, shape_scarp
from headscarp.sources.world._slide_table import Event, draw_events, tabulate
from headscarp.sources.world.cover import COVERS
from headscarp.sources.world.geology import ROCKS
from headscarp.sources.world.law import failure_probability, log_safety
from headscarp.terrain import slope

DIFFUSIVITY_M2_PER_YEAR = 0.036
"""Soil creep on grassland slopes of the hills east of San Francisco Bay (McKean et al. 1993, Geology 21, 343-346)."""

LEAST_CELLS = 24
"""A slide of fewer cells has no shape."""

_TRIES = 60
_SCALES_M = (12.0, 30.0, 70.0, 160.0, 350.0)
_LAW = 0.05
_WORN_CELLS = 0.05


@dataclass(frozen=True)
class Sizes:
    """Areas of whole landslides: an inverse gamma distribution, cut off at both ends.

    p(A) ~ (a / (A - s))^(rho + 1) exp(-a / (A - s)): rises to its mode below a thousand m2, then falls with
    A^-(rho + 1). Defaults: Malamud et al. (2004), Earth Surface Processes and Landforms 29, 687-711; the smallest is
    what a map at 1:24,000 shows, not theirs.
    """

    rho: float = 1.40
    a_m2: float = 1280.0
    s_m2: float = -132.0
    smallest_m2: float = 8_000.0
    largest_m2: float = 800_000.0


@dataclass(frozen=True)
class Slides:
    """dem_after: (y, x) float32 metres. scarps, deposits: polygons in the grid's CRS with the columns of an inventory
    (id, date, date_low, date_high, date_certainty, type, cause, certainty, area_m2, source, geometry) and of the
    simulation (original_slide, original_age_years, original_volume_m3, original_reach_deg)."""

    dem_after: NDArray[np.float32]
    scarps: gpd.GeoDataFrame
    deposits: gpd.GeoDataFrame


def simulate_slides(
    dem: NDArray[np.floating],
    grid: Grid,
    *,
    seed: int,
    count: int = 150,
    chance: NDArray[np.floating] | None = None,
    sizes: Sizes | None = None,
    ages_years: tuple[float, float] = (0.1, 30_000.0),
    until: date = date(2020, 1, 1),
) -> Slides:
    """A DEM with landslides on it, and their polygons.

    dem: (y, x) metres without missing cells, on a projected grid with true metres. chance: (y, x) how likely each cell
    is to fail, in any unit; by default from the infinite slope in siltstone under grass. sizes: by default those of
    Sizes, from 24 cells upwards. ages_years: youngest and oldest before `until`; more are old than young. The same
    arguments give the same slides. A slide that finds no room is drawn again elsewhere; where none is left to find,
    there are fewer than asked for, with a HeadscarpWarning. Raises GridError, RecipeError.
    """
    dy, dx = _check(dem, grid)
    cell_m2 = dy * dx
    sizes = sizes or Sizes(smallest_m2=max(Sizes.smallest_m2, LEAST_CELLS * cell_m2))
    if sizes.smallest_m2 < LEAST_CELLS * cell_m2:
        raise RecipeError(
            f"the smallest slide has {sizes.smallest_m2:g} m2, but cells of {dx:g} m can show none below "
            f"{LEAST_CELLS * cell_m2:g} m2; give larger sizes or smaller cells"
        )
    sizing, placing, roughening, telling = np.random.default_rng(seed).spawn(4)
    areas = draw_areas(sizes, count, sizing)
    events = draw_events(count, ages_years, until, telling)
    chance = _default_chance(dem, (dy, dx)) if chance is None else chance
    ground = _ground(dem, (dy, dx), roughening)
    sources = _Sources(chance, placing)
    # In the order of time, so that young ones lie on old ones.
    happened: list[tuple[Event, Scarp, Deposit]] = []
    by_age = np.argsort([-event.age_years for event in events], kind="stable")
    for k in by_age:
        pair = _one_slide(ground, sources, float(areas[k]), placing)
        if pair is None:
            continue
        _lay_down(ground, *pair, events[k].age_years)
        happened.append((events[k], *pair))
    if len(happened) < count:
        warnings.warn(
            f"{len(happened)} of {count} landslides found a slope that can carry them; ask for fewer or smaller ones",
            HeadscarpWarning,
            stacklevel=2,
        )
    scarps, deposits = tabulate(happened, grid, cell_m2)
    return Slides(ground.z.astype(np.float32), scarps, deposits)


def draw_areas(sizes: Sizes, count: int, rng: np.random.Generator) -> Floats:
    """(count,) areas in m2, independent draws from the distribution. Raises RecipeError where its ends do not fit."""
    if not 0.0 < sizes.smallest_m2 < sizes.largest_m2 or min(sizes.rho, sizes.a_m2) <= 0.0:
        raise RecipeError(f"{sizes} is no distribution: 0 < smallest < largest, rho > 0 and a > 0 are needed")
    # a / (A - s) has a gamma distribution, of which the part between the two ends is drawn by its inverse.
    ends = [sizes.a_m2 / (end - sizes.s_m2) for end in (sizes.largest_m2, sizes.smallest_m2)]
    low, high = gammainc(sizes.rho, ends)
    return np.asarray(sizes.s_m2 + sizes.a_m2 / gammaincinv(sizes.rho, low + (high - low) * rng.uniform(size=count)))


def slide_volume_m3(area_m2: Floats | float) -> Floats | float:
    """Volume that slides of a total area move: 10^-0.836 A^1.332 (Larsen et al. 2010, Nature Geoscience 3, 247-251)."""
    return 10.0**-0.836 * area_m2**1.332


class _Sources:
    """Where slides may start: cells in random order, the likelier the earlier; each is offered once or twice."""

    def __init__(self, chance: NDArray[np.floating], rng: np.random.Generator) -> None:
        weights = np.where(np.isfinite(chance), np.maximum(chance, 0.0), 0.0).astype(np.float64).ravel()
        if weights.sum() <= 0.0:
            raise RecipeError("no cell has a chance to fail: chance is 0 or missing everywhere")
        self._sum, self._shape, self._rng = np.cumsum(weights), chance.shape, rng

    def draw(self) -> tuple[int, int]:
        at = int(np.searchsorted(self._sum, self._rng.uniform() * self._sum[-1], side="right"))
        row, col = np.unravel_index(min(at, self._sum.size - 1), self._shape)
        return int(row), int(col)


def _one_slide(
    ground: Ground, sources: _Sources, area_m2: float, rng: np.random.Generator
) -> tuple[Scarp, Deposit] | None:
    for _ in range(_TRIES):
        place = sources.draw()
        share = rng.uniform(0.18, 0.34)  # of the whole slide that is scarp
        volume = float(slide_volume_m3(area_m2)) * float(np.exp(rng.normal(0.0, 0.25)))
        scarp = shape_scarp(ground, place, share * area_m2, volume, rng)
        if scarp is None:
            continue
        deposit = shape_deposit(ground, scarp, (1.0 - share) * area_m2, rng)
        if deposit is not None:
            return scarp, deposit
    return None


def _lay_down(ground: Ground, scarp: Scarp, deposit: Deposit, age_years: float) -> None:
    """Moves the ground, worn by as many years of soil creep as the slide is old: diffusion, which keeps the volume."""
    ground.closed[scarp.rows, scarp.cols] = 1
    dy, dx = ground.cell_m
    worn_m = float(np.sqrt(2.0 * DIFFUSIVITY_M2_PER_YEAR * age_years))
    sigma = (worn_m / dy, worn_m / dx)
    reach = int(np.ceil(4.0 * max(sigma))) + 1
    rows, cols = np.concatenate([scarp.rows, deposit.rows]), np.concatenate([scarp.cols, deposit.cols])
    top, left = max(0, rows.min() - reach), max(0, cols.min() - reach)
    window = (slice(top, rows.max() + reach + 1), slice(left, cols.max() + reach + 1))
    change = np.zeros(ground.z[window].shape)
    change[scarp.rows - top, scarp.cols - left] = -scarp.depth_m
    change[deposit.rows - top, deposit.cols - left] += deposit.thickness_m
    if max(sigma) > _WORN_CELLS:
        change = gaussian_filter(change, sigma, mode="reflect")
    ground.z[window] += change


def _ground(dem: NDArray[np.floating], cell_m: tuple[float, float], rng: np.random.Generator) -> Ground:
    dy, dx = cell_m
    z = dem.astype(np.float64)
    downhill, noise = [], []
    for scale in _SCALES_M:
        down_rows, east = np.gradient(gaussian_filter(z, (scale / 2 / dy, scale / 2 / dx)), dy, dx)
        tangent = np.hypot(down_rows, east)
        safe = np.where(tangent > 0.0, tangent, np.inf)
        downhill.append((-down_rows / safe, -east / safe, tangent))
        plane = gaussian_filter(rng.normal(size=z.shape), (scale / 4 / dy, scale / 4 / dx), mode="wrap")
        noise.append(plane / plane.std())
    return Ground(z, cell_m, _SCALES_M, tuple(downhill), tuple(noise), np.zeros(z.shape, np.uint8))


def _default_chance(dem: NDArray[np.floating], cell_m: tuple[float, float]) -> NDArray[np.float32]:
    """Probability of failure of each cell if all of it were siltstone under grass: (y, x)."""
    slope_deg = slope(np.pad(dem.astype(np.float32), 1, mode="edge"), cell_m)[1:-1, 1:-1]
    rock = next(code for code, rock in enumerate(ROCKS, 1) if rock.name == "siltstone")
    cover = next(code for code, cover in enumerate(COVERS, 1) if cover.name == "agricultural")
    codes = np.ones(dem.shape, np.uint8)
    log_fs = log_safety(dem, slope_deg, rock * codes, cover * codes, cell_size_m=float(np.mean(cell_m)))
    return failure_probability(log_fs, _LAW)


def _check(dem: NDArray[np.floating], grid: Grid) -> tuple[float, float]:
    check_metres(grid)
    if dem.shape != tuple(grid.shape):
        raise GridError(f"the DEM has {dem.shape} cells, the grid {tuple(grid.shape)}; they have to be the same")
    missing = int((~np.isfinite(dem)).sum())
    if missing:
        raise GridError(f"{missing} cells of the DEM are missing; slides need all of them: fill or crop it first")
    if min(dem.shape) < 32:
        raise GridError(f"a DEM of {dem.shape} cells is too small for landslides; at least 32 x 32 are needed")
    dy, dx = cell_size_m(grid)
    return float(dy), float(dx)
