"""What satellites and surveys would see of a simulated county in a year: files and a STAC catalogue of them.

Landsat 8 Collection 2 Level 2, Sentinel-1 RTC, Sentinel-2 L2A (only when asked for), Copernicus DEM and daily rain as
valid COGs with STAC items in the shape of Planetary Computer, and the DEM of a survey. So everything that reads
scenes can be tested against real servers. Every file and item says that it is simulated; none is a real place.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from headscarp.core.artefact import clear_os_errors
from headscarp.core.errors import RecipeError
from headscarp.sources.world import _items as stac
from headscarp.sources.world._cogs import Site
from headscarp.sources.world._ground import ground_on
from headscarp.sources.world._sensors import (
    LANDSAT_CELL_M,
    RTC_CELL_M,
    landsat_scene,
    radar_scene,
    sentinel2_scene,
)
from headscarp.sources.world._surveys import rain_items, surface_items, write_survey
from headscarp.sources.world._swaths import LANDSAT_PASSES, RADAR_PASSES, SENTINEL2_PASSES, moments, scene_grid
from headscarp.sources.world.place import County


@dataclass(frozen=True)
class Holdings:
    """What `write_scenes` wrote. collections, items: NDJSON files for `pypgstac load`; folder: the root that is
    served at address. survey: GeoTIFF in EPSG:4269 with steps of 1/3 arc-second. rain: holds a folder of daily COGs for
    each year."""

    folder: Path
    address: str
    collections: Path
    items: Path
    survey: Path
    rain: Path


def write_scenes(
    county: County,
    folder: str | Path,
    address: str,
    *,
    year: int = 2019,
    dates: int | None = 10,
    sentinel2_dates: int = 0,
    crs: tuple[str, str] | None = None,
) -> Holdings:
    """Writes a year of scenes of a county into a folder that is, or will be, served at an address.

    dates: of each track of Landsat and Sentinel-1, spread over the year; None: all that were flown. sentinel2_dates:
    of Sentinel-2, none by default. crs: of the two Landsat tracks, by default the county's; two UTM zones are what
    real boxes at the edge of a zone have. The same arguments give the same bytes. Raises RecipeError, OutputError.
    """
    if (dates is not None and dates < 1) or sentinel2_dates < 0:
        raise RecipeError(f"dates is {dates}, sentinel2_dates {sentinel2_dates}; at least 1 and 0 are needed")
    zones = crs or (str(county.grid.crs), str(county.grid.crs))
    site = Site(county, Path(folder), address.rstrip("/"))
    items = []
    for flown, zone in zip(LANDSAT_PASSES, zones, strict=True):
        ground = ground_on(county, scene_grid(county, zone, LANDSAT_CELL_M, 15.0))
        items += [landsat_scene(site, ground, flown, moment) for moment in moments(flown, year, dates)]
    radar = ground_on(county, scene_grid(county, str(county.grid.crs), RTC_CELL_M, 0.0))
    for flown in RADAR_PASSES:
        items += [radar_scene(site, radar, flown, moment) for moment in moments(flown, year, dates)]
    if sentinel2_dates:
        grids = [scene_grid(county, str(county.grid.crs), cell_m, 0.0) for cell_m in (20.0, 10.0)]
        grounds = {20: ground_on(county, grids[0]), 10: ground_on(county, grids[1])}
        for flown in SENTINEL2_PASSES:
            items += [sentinel2_scene(site, grounds, flown, m) for m in moments(flown, year, sentinel2_dates)]
    items += surface_items(site)
    items += rain_items(site, year)
    survey = write_survey(site)
    texts = {"collections": stac.collections(items), "items": items}
    paths = {name: site.folder / f"{name}.ndjson" for name in texts}
    for name, values in texts.items():
        with clear_os_errors(paths[name]):
            paths[name].write_text("".join(json.dumps(value) + "\n" for value in values))
    return Holdings(site.folder, site.address, paths["collections"], paths["items"], survey, site.folder / "rain")
