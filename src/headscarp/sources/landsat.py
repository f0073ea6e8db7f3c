"""Landsat Collection 2 Level 2 surface reflectance, with its quality bits as one band of classes.

Scale 0.0000275, offset -0.2, 0 = fill (USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619, 2022),
unless the item says otherwise. Reflectance is not clipped: the sensor's range reaches a little below 0 and above 1.
Nothing is masked: `quality` tells what each cell shows, and `imagery` makes use of it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.sources.products import Item, Product, Scaling, said, stated_scaling
from headscarp.sources.request import Request, Source
from headscarp.sources.stac import option_list, read_product, under_cloud_limit

QUALITY = ("clear", "cloud", "cloud shadow", "snow", "water", "dilated cloud", "cirrus")
"""Classes of `quality`, code 1 first."""

PRECEDENCE = (
    (3, "cloud"),
    (4, "cloud shadow"),
    (1, "dilated cloud"),
    (2, "cirrus"),
    (5, "snow"),
    (7, "water"),
    (6, "clear"),
)
"""Bits of QA_PIXEL and their classes; a cell with several bits gets the first: what hides the ground most goes first.
Bit 6, clear, only says that neither cloud nor dilated cloud is set, so it comes last. Bit 0 is fill: no value; and so
is a cell with none of these bits, which the sensor's products never hold."""

FILL_BIT = 0
PLATFORMS = ("landsat-8", "landsat-9")

_REFLECTANCE = {
    "blue": ("blue",),
    "green": ("green",),
    "red": ("red",),
    "nir": ("nir08",),
    "swir1": ("swir16",),
    "swir2": ("swir22",),
}


def read_landsat(request: Request) -> xr.Dataset:
    """Landsat frames over a grid: blue green red nir swir1 swir2 (reflectance, NaN = missing) and quality; lazy.

    Options: bands (names), platforms (default Landsat 8 and 9; 4, 5 and 7 have the same bands), max_cloud (percent of
    the scene). Raises SourceError.
    """
    platforms = option_list(request, "platforms", PLATFORMS)

    def wanted(item: Item) -> bool:
        return item["properties"].get("platform") in (None, *platforms) and under_cloud_limit(item, request)

    return read_product(request, PRODUCT, wanted=wanted)


def decode_quality(numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """QA_PIXEL bit fields, NaN where missing, as codes of QUALITY: (y, x) uint8, 0 = fill. See PRECEDENCE."""
    bits = np.where(np.isnan(numbers), 1 << FILL_BIT, numbers).astype(np.uint16)
    codes = np.zeros(bits.shape, np.uint8)
    for bit, label in reversed(PRECEDENCE):
        codes[(bits >> bit) & 1 == 1] = QUALITY.index(label) + 1
    codes[(bits >> FILL_BIT) & 1 == 1] = 0
    return codes


def _scaling(item: Item, asset: Mapping[str, Any], band: str) -> Scaling:
    if band == "quality":
        return Scaling(nodata=said(asset, "nodata"))
    return stated_scaling(asset, Scaling(scale=0.0000275, offset=-0.2, nodata=0))


_SOURCE = "Landsat Collection 2 Level 2"
PRODUCT = Product(
    name="landsat",
    collection="landsat-c2-l2",
    bands=(
        *(Band(name, "continuous", "1", f"{_SOURCE}, surface reflectance") for name in _REFLECTANCE),
        Band("quality", "categorical", source=f"{_SOURCE}, QA_PIXEL", classes=QUALITY),
    ),
    assets={**_REFLECTANCE, "quality": ("qa_pixel",)},
    scaling=_scaling,
    decode={"quality": decode_quality},
    # Bit fields cannot be voted on: two thin majorities would make a third thing.
    resampling={"quality": "nearest"},
)

LANDSAT = Source(
    read=read_landsat,
    makes="stack",
    services=("planetary-computer",),
    needs_dates=True,
    options=("bands", "max_cloud", "platforms"),
    about="Landsat 8 and 9 surface reflectance (Collection 2 Level 2) with its quality classes, 30 m, since 2013",
)
