"""What surveys and gauges give of a simulated county: two DEMs in degrees, and daily rain, with their STAC items."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import transform_bounds
from scipy.ndimage import distance_transform_edt
from shapely.geometry import box

from headscarp.core.grid import Grid
from headscarp.sources.world import _items as stac
from headscarp.sources.world._cogs import Site, shorten
from headscarp.sources.world._ground import SURFACES, ground_on, warp
from headscarp.sources.world.rain import simulate_rain

RAIN_NODATA, SURVEY_NODATA = -9999.0, -999999.0

_CANOPY_M = 8.0  # how much of the trees the radar of the Copernicus DEM sees
_SURFACE_ERROR_M = 1.0
_DEM_DIGITS = 15  # steps of 2 cm at 1000 m


def write_survey(site: Site) -> Path:
    """The elevation as 3DEP stores it: steps of 1/3 arc-second in EPSG:4269, metres, named by the tile it lies in."""
    grid = _degrees(site, "EPSG:4269", 3.0 * 3600, 0.0)
    out = np.full(grid.shape, np.nan, np.float32)
    warp(site.county.band("elevation"), site.county.grid, out, grid, Resampling.bilinear)
    bounds = grid.boundingbox
    name = f"3dep/USGS_13_n{int(np.ceil(bounds.top)):02d}w{-int(np.floor(bounds.left)):03d}_simulated.tif"
    site.write(name, shorten(np.where(np.isnan(out), np.float32(SURVEY_NODATA), out), _DEM_DIGITS), grid, SURVEY_NODATA)
    return site.folder / name


def surface_items(site: Site) -> list[dict[str, Any]]:
    """The elevation with part of the trees on it, in steps of an arc-second in EPSG:4326, one file per degree."""
    whole = _degrees(site, "EPSG:4326", 3600.0, 0.5)
    ground = ground_on(site.county, whole)
    out = np.full(whole.shape, np.nan, np.float32)
    warp(site.county.band("elevation"), site.county.grid, out, whole, Resampling.average)
    rng = np.random.default_rng([site.county.seed, 6])
    out += _CANOPY_M * ground.shares[SURFACES.index("tree")] + rng.normal(0.0, _SURFACE_ERROR_M, out.shape)
    # Public tiles have no missing cells; a box of degrees around a county has, at its edges: level there.
    nearest = distance_transform_edt(~np.isfinite(out), return_distances=False, return_indices=True)
    out = out[tuple(nearest)].astype(np.float32)
    return [_surface_tile(site, whole, out, *corner) for corner in _corners(whole)]


def rain_items(site: Site, year: int) -> list[dict[str, Any]]:
    """A file per day of the year and of the 60 days before, in mm, where CHIRPS has it below its address."""
    rain = simulate_rain(site.county, year)
    bounds = rain.grid.boundingbox
    outline = box(bounds.left, bounds.bottom, bounds.right, bounds.top)
    items = []
    for day, mm in zip(rain.days, rain.mm, strict=True):
        name = f"chirps-v2.0.{day:%Y.%m.%d}"
        said = {"nodata": int(RAIN_NODATA), "data_type": "float32", "unit": "mm"}
        href = site.write(f"rain/{day:%Y}/{name}.cog", mm, rain.grid, RAIN_NODATA)
        items.append(
            stac.item(
                "chirps-daily",
                name,
                datetime(day.year, day.month, day.day),
                outline,
                properties={"proj:epsg": 4326, **stac.placed(rain.grid)},
                assets={"rain": {"href": href, "raster:bands": [said]}},
                extensions=(stac.PROJECTION_1, stac.RASTER),
            )
        )
    return items


def _surface_tile(site: Site, whole: Grid, out: NDArray[np.float32], south: int, west: int) -> dict[str, Any]:
    a, step = whole.affine, 3600
    top, left = round((a.f - (south + 1)) * step - 0.5), round((west - a.c) * step - 0.5)
    rows = slice(max(0, top), min(whole.shape[0], top + step))
    cols = slice(max(0, left), min(whole.shape[1], left + step))
    affine = Affine(a.a, 0.0, a.c + cols.start * a.a, 0.0, a.e, a.f + rows.start * a.e)
    grid = Grid((rows.stop - rows.start, cols.stop - cols.start), affine, "EPSG:4326")
    place = f"{'NS'[south < 0]}{abs(south):02d}_00_{'EW'[west < 0]}{abs(west):03d}_00"
    name = f"Copernicus_DSM_COG_10_{place}_DEM"
    href = site.write(f"copernicus_dem/{name}.tif", shorten(out[rows, cols], _DEM_DIGITS), grid, float("nan"))
    return stac.item(
        "cop-dem-glo-30",
        name,
        datetime(2021, 4, 22),
        stac.outline_lonlat(grid),
        properties={"gsd": 30, "platform": "TanDEM-X", "proj:epsg": 4326, **stac.placed(grid)},
        assets={"data": {"href": href, "title": place}},
        extensions=(stac.PROJECTION_1,),
    )


def _corners(grid: Grid) -> list[tuple[int, int]]:
    """South-west corners of the degrees that a grid touches with at least a cell."""
    bounds, inner = grid.boundingbox, 1.0 / 3600
    souths = range(int(np.floor(bounds.bottom + inner)), int(np.ceil(bounds.top - inner)))
    wests = range(int(np.floor(bounds.left + inner)), int(np.ceil(bounds.right - inner)))
    return [(south, west) for south in souths for west in wests]


def _degrees(site: Site, crs: str, per_degree: float, offset: float) -> Grid:
    """The grid in degrees around a county; offset: of the edges from whole degrees, in cells."""
    bounds = site.county.grid.boundingbox
    west, south, east, north = transform_bounds(
        str(site.county.grid.crs), crs, bounds.left, bounds.bottom, bounds.right, bounds.top
    )
    left, bottom = np.floor(west * per_degree + offset), np.floor(south * per_degree - offset)
    right, top = np.ceil(east * per_degree + offset), np.ceil(north * per_degree - offset)
    step = 1.0 / per_degree
    affine = Affine(step, 0.0, (left - offset) * step, 0.0, -step, (top + offset) * step)
    return Grid((int(top - bottom), int(right - left)), affine, crs)
