"""Sentinel-2 Level 2A surface reflectance, with its scene classification as `quality`.

Reflectance = number * 0.0001 + offset. Since processing baseline 04.00 (25 January 2022) numbers are raised by 1000, so
the offset is -0.1 (ESA, Sentinel-2 Products Specification Document, BOA_ADD_OFFSET); `boa_offset` says how it is found
out, so that it is applied exactly once. Reflectance is not clipped, nothing is masked.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from headscarp.core.band import Band
from headscarp.sources.products import Item, Product, Scaling, item_time, said
from headscarp.sources.request import Request, Source
from headscarp.sources.stac import read_product, under_cloud_limit

QUALITY = (
    "saturated or defective",
    "dark area",
    "cloud shadow",
    "vegetation",
    "not vegetated",
    "water",
    "unclassified",
    "cloud medium probability",
    "cloud high probability",
    "thin cirrus",
    "snow or ice",
)
"""Classes of `quality`, code 1 first: those of SCL, with its numbers."""

OFFSET = -0.1
OFFSET_SINCE_BASELINE = 4.0
OFFSET_SINCE = pd.Timestamp("2022-01-25")

_REFLECTANCE = {
    "blue": ("B02", "blue"),
    "green": ("B03", "green"),
    "red": ("B04", "red"),
    "red_edge1": ("B05", "rededge1"),
    "red_edge2": ("B06", "rededge2"),
    "red_edge3": ("B07", "rededge3"),
    "nir": ("B08", "nir"),
    "nir_narrow": ("B8A", "nir08"),
    "swir1": ("B11", "swir16"),
    "swir2": ("B12", "swir22"),
}
"""Names of assets on Planetary Computer, on Earth Search."""


def read_sentinel2(request: Request) -> xr.Dataset:
    """Sentinel-2 frames over a grid: ten bands of reflectance (NaN = missing) and quality; lazy.

    Options: bands (names), max_cloud (percent of the scene). Raises SourceError.
    """
    return read_product(request, PRODUCT, wanted=lambda item: under_cloud_limit(item, request))


def boa_offset(item: Item, asset: Mapping[str, Any]) -> float:
    """What has to be added to number * scale of an item's file: 0 or OFFSET, or what the asset states.

    0 where the service has taken the offset out of the pixels already (Earth Search says so in a property, while its
    raster:bands still give the offset of the original), and before baseline 04.00, which has none. Else what the asset
    states. Where nothing is stated, by baseline, and without that by date.
    """
    if item["properties"].get("earthsearch:boa_offset_applied") is True:
        return 0.0
    baseline, stated = _baseline(item), said(asset, "offset")
    if baseline is not None and baseline < OFFSET_SINCE_BASELINE:
        return 0.0
    if stated is not None:
        return stated
    return OFFSET if baseline is not None or item_time(item) >= OFFSET_SINCE else 0.0


def _baseline(item: Item) -> float | None:
    try:
        return float(item["properties"]["s2:processing_baseline"])
    except (KeyError, TypeError, ValueError):
        return None


def _scaling(item: Item, asset: Mapping[str, Any], band: str) -> Scaling:
    nodata = said(asset, "nodata")
    if band == "quality":
        return Scaling(nodata=0 if nodata is None else nodata)
    scale = said(asset, "scale")
    return Scaling(0.0001 if scale is None else scale, boa_offset(item, asset), 0 if nodata is None else nodata)


PRODUCT = Product(
    name="sentinel2",
    collection="sentinel-2-l2a",
    bands=(
        *(Band(name, "continuous", "1", "Sentinel-2 L2A, surface reflectance") for name in _REFLECTANCE),
        Band("quality", "categorical", source="Sentinel-2 L2A, scene classification", classes=QUALITY),
    ),
    assets={**_REFLECTANCE, "quality": ("SCL", "scl")},
    scaling=_scaling,
)

SENTINEL2 = Source(
    read=read_sentinel2,
    makes="stack",
    services=("planetary-computer", "earth-search"),
    needs_dates=True,
    options=("bands", "max_cloud"),
    about="Sentinel-2 surface reflectance (L2A) with its scene classification, 10 to 20 m, since 2015",
)
