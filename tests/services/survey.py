"""A simulated county as the public services of the United States would hold it, for the stand-in of ArcGIS.

Elevation as the image service 3DEPElevation, and slides as the feature service LandslideInventory with the layers and
fields of the California Geological Survey. It is simulated, and says so.
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import Resampling, reproject, transform_bounds

from headscarp.core.grid import Grid
from headscarp.sources.world.place import County, simulate_county

LAYERS = {"scarp": "Landslide (Source/Scarp)", "deposit": "Landslide (Deposit)"}
SMALL = Grid((420, 480), Affine(10.0, 0.0, 580_000.0, 0.0, -10.0, 4_205_000.0), "EPSG:32610")
"""4.8 x 4.2 km at 10 m near 37.97 N, 122.06 W."""
_CONFIDENCES = {"certain": "Definite", "probable": "Probable"}


def hold_county(folder: Path, *, grid: Grid = SMALL, seed: int = 3, count: int = 90) -> County:
    """Writes a simulated county into the folder that the stand-in serves; returns it."""
    county = simulate_county(seed, grid=grid, count=count)
    write_elevation(county, folder / "3DEPElevation" / "USGS_13_simulated.tif")
    path = folder / "LandslideInventory.gpkg"
    path.unlink(missing_ok=True)
    for part, layer in LAYERS.items():
        as_survey(getattr(county.slides, f"{part}s")).to_file(path, driver="GPKG", layer=layer)
    return county


def inner_box(grid: Grid) -> tuple[float, ...]:
    """A box in degrees inside the grid, with room for the margin that is fetched around it."""
    west, south, east, north = transform_bounds(str(grid.crs), "EPSG:4326", *grid.boundingbox, densify_pts=21)
    pad_x, pad_y = 0.12 * (east - west), 0.12 * (north - south)
    return tuple(round(v, 5) for v in (west + pad_x, south + pad_y, east - pad_x, north - pad_y))


def write_elevation(county: County, path: Path, step_deg: float = 1 / 10_800) -> None:
    """The county's elevation by longitude and latitude in steps of 1/3 arc-second, as 3DEP holds it."""
    west, south, east, north = transform_bounds(str(county.grid.crs), "EPSG:4269", *county.grid.boundingbox)
    shape = (round((north - south) / step_deg), round((east - west) / step_deg))
    values = np.full(shape, -9999.0, np.float32)
    transform = Affine(step_deg, 0, west, 0, -step_deg, north)
    reproject(
        county.band("elevation"), values, src_transform=county.grid.affine, src_crs=str(county.grid.crs),
        dst_transform=transform, dst_crs="EPSG:4269", dst_nodata=-9999.0, resampling=Resampling.bilinear,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="float32", crs="EPSG:4269",
        transform=transform, nodata=-9999.0, tiled=True, compress="deflate",
    ) as file:  # fmt: skip
        file.write(values, 1)
        file.update_tags(simulated="by headscarp.sources.world")


def as_survey(slides: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """An inventory with the fields in which the survey publishes."""
    return gpd.GeoDataFrame(
        {
            "ls_id": slides["id"].astype(str),
            "confidence": slides["certainty"].map(_CONFIDENCES).fillna("Questionable"),
            "activity": "dormant",
            "init_type": "debris slide",
            "thickness": 3.0,
        },
        geometry=slides.geometry,
        crs=slides.crs,
    ).to_crs(4326)  # fmt: skip
