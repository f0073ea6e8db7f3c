"""One clear look at a simulated county after a wet winter, as a stack: reflectances, NDVI, and which slides are fresh.

For nets that map slides from images, where the truth is known to a cell: `write_scenes` has clouds, swaths and files
besides. Not a real place.
"""

from datetime import datetime, time, timedelta

import numpy as np
import xarray as xr
from rasterio.features import rasterize

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.core.stack import VALID, make_stack
from headscarp.sources.world._ground import ground_on
from headscarp.sources.world._optics import see_reflectance, sun_position
from headscarp.sources.world._swaths import middle_lonlat
from headscarp.sources.world.clouds import simulate_sky
from headscarp.sources.world.place import SIMULATED, County
from headscarp.sources.world.spectra import LANDSAT_BANDS

_PASS = time(18, 42)  # UTC


def clear_look(county: County, day: datetime, *, fresh_days: int = 365) -> xr.Dataset:
    """The county on a day without clouds, on its own grid: a stack of Landsat's six reflectances and `ndvi` in [-1, 1].

    day: its hour does not count. fresh_days: the label `landslide` is 1 on scarps and deposits of slides that happened
    so many days before or less. Older ones are scars that plants take back, and no landslide here. The same arguments
    give the same stack. Raises RecipeError where no slide is fresh.
    """
    since, until = np.datetime64((day - timedelta(days=fresh_days)).date()), np.datetime64(day.date())
    tables = (county.slides.scarps, county.slides.deposits)
    fresh = [table[(table.date >= since) & (table.date <= until)] for table in tables]
    shapes = [shape for table in fresh for shape in table.geometry]
    if not shapes:
        raise RecipeError(f"no slide of this county happened from {since} to {until}; take another day or more days")
    moment = datetime.combine(day.date(), _PASS)
    ground, sun = ground_on(county, county.grid), sun_position(moment, *middle_lonlat(county.grid))
    rng = np.random.default_rng([county.seed, 7, moment.toordinal()])
    cell_m = abs(county.grid.affine.e)
    rows, cols = county.grid.shape
    sky = simulate_sky((rows, cols), cell_m, 0.0, sun, rng)
    wavelengths = tuple(LANDSAT_BANDS.values())
    seen = see_reflectance(ground, ground.shares_on(moment.date()), wavelengths, sun=sun, sky=sky, rng=rng)
    source = "simulated: linear mixing of surfaces, light by slope and sun"
    planes = {Band(name, "continuous", "1", source): plane for name, plane in zip(LANDSAT_BANDS, seen, strict=True)}
    red, nir = seen[list(LANDSAT_BANDS).index("red")], seen[list(LANDSAT_BANDS).index("nir08")]
    planes[Band("ndvi", "continuous", "1", source)] = (nir - red) / np.maximum(nir + red, 1e-6)
    burnt = rasterize(shapes, county.grid.shape, transform=county.grid.affine, dtype="uint8")
    planes[Band("landslide", "label", "1", f"simulated: slides of the {fresh_days} days before")] = burnt
    planes[Band(VALID, "mask", "1", "simulated: everywhere")] = ground.valid.astype(np.uint8)
    attrs = {"simulated": SIMULATED, "seed": county.seed, "seen": moment.isoformat()}
    return make_stack(county.grid, planes, attrs=attrs)
