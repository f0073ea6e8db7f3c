"""The Copernicus DEM GLO-30: elevation of the surface, world-wide, about 30 m.

It is a surface model: heights of treetops and roofs, in metres above the EGM2008 geoid. Has no time. Where there is no
tile there is sea, and the stack is missing there. Tiles are joined before they are brought onto the grid, so that
slopes have no seams; only where the width of cells changes, at 50, 60, 70, 75, 80 and 85 degrees, there is one.
"""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from headscarp.core.band import Band
from headscarp.sources.products import Item, Product, Scaling, stated_scaling
from headscarp.sources.request import Request, Source
from headscarp.sources.stac import read_product


def read_copernicus_dem(request: Request) -> xr.Dataset:
    """Elevation over a grid: (y, x) float32 metres, NaN where there is no tile; lazy. Raises SourceError."""
    return read_product(request, PRODUCT)


def _scaling(item: Item, asset: Mapping[str, Any], band: str) -> Scaling:
    return stated_scaling(asset, Scaling())


PRODUCT = Product(
    name="copernicus-dem",
    collection="cop-dem-glo-30",
    bands=(Band("elevation", "continuous", "m", "Copernicus DEM GLO-30"),),
    assets={"elevation": ("data", "elevation")},
    scaling=_scaling,
    timeless=True,
)

COPERNICUS_DEM = Source(
    read=read_copernicus_dem,
    makes="stack",
    services=("planetary-computer", "earth-search"),
    about="Copernicus DEM GLO-30: surface elevation above the EGM2008 geoid, world-wide, 30 m",
)
