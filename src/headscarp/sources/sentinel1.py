"""Sentinel-1 backscatter, radiometrically terrain-corrected (gamma nought), in decibels, and the orbit's direction.

Files hold linear power; cells are brought onto the grid as power and turned into decibels after, since the mean of
decibels is not that of power. Power of 0 or less has no decibels and is missing. Passes that go up and passes that go
down never share a frame: slopes look different from the two sides. Filters no speckle.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.band import Band
from headscarp.core.errors import RecipeError
from headscarp.sources.products import Item, Product, Scaling, stated_scaling
from headscarp.sources.request import Request, Source
from headscarp.sources.stac import read_product

ORBITS = ("ascending", "descending")


def read_sentinel1(request: Request) -> xr.Dataset:
    """Sentinel-1 frames over a grid: vv, vh in dB (NaN = missing), coordinate `orbit` over time; lazy.

    Options: bands, orbit ("ascending" or "descending": only these passes). Raises SourceError, RecipeError.
    """
    orbit = request.options.get("orbit")
    if orbit not in (None, *ORBITS):
        raise RecipeError(f"option orbit of sentinel1 is {orbit!r}; it can be {' or '.join(ORBITS)}")

    def wanted(item: Item) -> bool:
        return orbit is None or item["properties"].get(PRODUCT.path) == orbit

    return read_product(request, PRODUCT, wanted=wanted)


def decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """10 log10 of linear power; NaN where power is missing, 0 or less."""
    return 10.0 * np.log10(np.where(power > 0, power, np.nan))


def _scaling(item: Item, asset: Mapping[str, Any], band: str) -> Scaling:
    return stated_scaling(asset, Scaling(nodata=-32768))


PRODUCT = Product(
    name="sentinel1",
    collection="sentinel-1-rtc",
    bands=tuple(Band(name, "continuous", "dB", "Sentinel-1 RTC, gamma0") for name in ("vv", "vh")),
    assets={"vv": ("vv",), "vh": ("vh",)},
    scaling=_scaling,
    decode={"vv": decibels, "vh": decibels},
    path="sat:orbit_state",
)

SENTINEL1 = Source(
    read=read_sentinel1,
    makes="stack",
    services=("planetary-computer",),
    needs_dates=True,
    options=("bands", "orbit"),
    about="Sentinel-1 radar backscatter, terrain-corrected gamma nought in dB with orbit direction, 10 m, since 2014",
)
