"""Scenes to serve: small cloud-optimised files in a folder and the STAC items that describe them.

Items have the shape in which Planetary Computer and Earth Search publish the same products. What the pixels hold is the
caller's; `noise` is enough where only laws of reading are tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

Pixels = Mapping[str, NDArray[Any]]

LANDSAT_ASSETS = ("blue", "green", "red", "nir08", "swir16", "swir22", "qa_pixel")
CLEAR_QA = 21824
"""QA_PIXEL of a clear land cell."""


@dataclass(frozen=True)
class Footprint:
    """Where a scene lies: upper left corner and cell in the units of its CRS."""

    left: float = 500_000.0
    top: float = 5_000_000.0
    cell: float = 30.0
    crs: str = "EPSG:32633"

    @property
    def transform(self) -> Affine:
        return Affine(self.cell, 0, self.left, 0, -self.cell, self.top)


def write_cog(path: Path, array: NDArray[Any], place: Footprint, *, nodata: float | None = None) -> Path:
    """A cloud-optimised GeoTIFF of one band, blocks of 256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="COG", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, nodata=nodata,
        crs=place.crs, transform=place.transform, blocksize=256, compress="deflate", overviews="none",
    ) as file:  # fmt: skip
        file.write(array, 1)
    return path


def noise(shape: tuple[int, int], *, seed: int, low: int = 8000, high: int = 20000) -> NDArray[np.uint16]:
    """Numbers without a pattern, so that a pixel in the wrong place is seen."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def landsat_pixels(shape: tuple[int, int], *, seed: int) -> dict[str, NDArray[np.uint16]]:
    """Noise in six bands, all cells clear."""
    pixels = {name: noise(shape, seed=100 * seed + i) for i, name in enumerate(LANDSAT_ASSETS)}
    return {**pixels, "qa_pixel": np.full(shape, CLEAR_QA, np.uint16)}


def landsat_item(folder: Path, address: str, name: str, time: str, pixels: Pixels, place: Footprint) -> dict[str, Any]:
    """A scene as Planetary Computer has it, its files written below the folder, which is served at the address."""
    said = {"data_type": "uint16", "nodata": 0, "scale": 2.75e-05, "offset": -0.2, "spatial_resolution": 30}
    assets = {}
    for key, array in pixels.items():
        file = write_cog(folder / name / f"{key}.tif", array, place, nodata=1 if key == "qa_pixel" else 0)
        bands = [{"data_type": "uint16", "nodata": 1}] if key == "qa_pixel" else [said]
        assets[key] = _asset(f"{address}/{name}/{file.name}", bands)
    properties = {"platform": "landsat-8", "instruments": ["oli", "tirs"], "eo:cloud_cover": 12.5}
    return make_item("landsat-c2-l2", name, time, assets, _bounds(pixels, place), properties)


def sentinel1_item(
    folder: Path, address: str, name: str, time: str, pixels: Pixels, place: Footprint, *, orbit: str = "ascending"
) -> dict[str, Any]:
    """A radiometrically terrain-corrected scene as Planetary Computer has it: linear power, -32768 = missing."""
    assets = {}
    for key, array in pixels.items():
        write_cog(folder / name / f"{key}.tif", array, place, nodata=-32768)
        assets[key] = _asset(f"{address}/{name}/{key}.tif", [{"data_type": "float32", "nodata": -32768}])
    properties = {"platform": "SENTINEL-1A", "sat:orbit_state": orbit, "sar:polarizations": ["VV", "VH"]}
    return make_item("sentinel-1-rtc", name, time, assets, _bounds(pixels, place), properties)


def sentinel2_item(
    folder: Path, address: str, name: str, time: str, pixels: Pixels, place: Footprint, *, says: Mapping[str, Any]
) -> dict[str, Any]:
    """A scene of Sentinel-2; `pixels` by asset name, so that of Planetary Computer or of Earth Search.

    says: further properties; "raster:bands" among them is put into each asset instead.
    """
    bands = says.get("raster:bands", [])
    assets = {}
    for key, array in pixels.items():
        write_cog(folder / name / f"{key}.tif", array, place, nodata=0)
        assets[key] = _asset(f"{address}/{name}/{key}.tif", [] if key.lower() == "scl" else bands)
    properties = {"platform": "sentinel-2a", "eo:cloud_cover": 3.0, **says}
    properties.pop("raster:bands", None)
    return make_item("sentinel-2-l2a", name, time, assets, _bounds(pixels, place), properties)


def dem_item(folder: Path, address: str, name: str, array: NDArray[np.float32], place: Footprint) -> dict[str, Any]:
    """A tile of Copernicus DEM GLO-30 as Planetary Computer and Earth Search have it."""
    write_cog(folder / name / "dem.tif", array, place)
    assets = {"data": _asset(f"{address}/{name}/dem.tif", [])}
    return make_item("cop-dem-glo-30", name, "2021-04-22T00:00:00Z", assets, _bounds({"": array}, place), {"gsd": 30})


def make_item(
    collection: str,
    name: str,
    time: str,
    assets: Mapping[str, Any],
    bounds: tuple[float, float, float, float],
    properties: Mapping[str, Any],
) -> dict[str, Any]:
    """A STAC item over a box of degrees."""
    west, south, east, north = bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/raster/v1.1.0/schema.json"],
        "id": name,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(bounds),
        "properties": {"datetime": time, **properties},
        "links": [],
        "assets": dict(assets),
    }


def make_collection(name: str) -> dict[str, Any]:
    """The least that a STAC API needs to know of a collection."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": f"{name}, made for tests",
        "license": "CC0-1.0",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }


def _asset(address: str, bands: list[dict[str, Any]]) -> dict[str, Any]:
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {"href": address, "type": kind, "roles": ["data"], **({"raster:bands": bands} if bands else {})}


def _bounds(pixels: Pixels, place: Footprint) -> tuple[float, float, float, float]:
    rows, cols = next(iter(pixels.values())).shape
    box = (place.left, place.top - rows * place.cell, place.left + cols * place.cell, place.top)
    west, south, east, north = transform_bounds(place.crs, "EPSG:4326", *box, densify_pts=21)
    return west, south, east, north
