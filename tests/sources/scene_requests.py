"""Requests to a STAC API on this machine, and what its scenes hold on a grid by plain rasterio."""

from datetime import date
from urllib.parse import urlsplit

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject

from headscarp.sources.request import Request
from headscarp.sources.web.client import Client
from headscarp.sources.web.services import Service

YEAR = (date(2020, 1, 1), date(2020, 12, 31))


def grid_of(shape, cell=30.0, *, left=500_000.0, top=5_000_000.0, crs="EPSG:32633"):
    return GeoBox(shape, Affine(cell, 0, left, 0, -cell, top), crs)


def request_to(address, grid, cache, *, dates=YEAR, options=None, offline=False, hosts=()):
    """A request whose client fails fast: nothing here is worth waiting for."""
    hosts = (urlsplit(address).netloc, *hosts)
    client = Client(hosts, cache=cache, offline=offline, tries=2, backoff_s=0.01, timeout_s=10)
    service = Service(name="local", address=address, licence="CC0-1.0", citation="", about="")
    return Request(grid, client, service, dates, options or {})


def plain_warp(path, grid, *, resampling="bilinear", nodata=0, shrink=1):
    """A file on a grid by one call of rasterio: float64, NaN = missing. shrink: its cells along a cell of the grid."""
    out = np.full(grid.shape, np.nan)
    with rasterio.open(path) as file:
        reproject(
            file.read(1).astype("float64"),
            out,
            src_transform=file.transform,
            src_crs=file.crs,
            src_nodata=nodata,
            dst_transform=grid.affine,
            dst_crs=str(grid.crs),
            dst_nodata=np.nan,
            resampling=Resampling[resampling],
            tolerance=0.0,
            XSCALE=1 / shrink,
            YSCALE=1 / shrink,
        )
    return out
