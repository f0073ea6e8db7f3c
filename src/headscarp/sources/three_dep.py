"""Elevation of the United States from USGS 3DEP, asked for directly on a grid of true metres, tile by tile.

The image service resamples its mosaic onto the very cells of the grid, so nothing is interpolated twice and no seam can
be where tiles meet. Refuses geographic grids and Web Mercator, whose metres are not metres: the slope of a DEM in Web
Mercator is too small by the cosine of the latitude. Services: ArcGIS ImageServer, as
https://elevation.nationalmap.gov/arcgis/rest/services/3DEPElevation/ImageServer.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import xarray as xr
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from headscarp.core.band import Band
from headscarp.core.errors import GridError, HeadscarpWarning, SourceError
from headscarp.core.grid import Grid, cell_corner, check_metres, footprint_lonlat, window_grid
from headscarp.core.stack import make_stack
from headscarp.core.tile import Window
from headscarp.sources.arcgis import esri_shape
from headscarp.sources.paging import lonlat_box
from headscarp.sources.rasters import grid_crs
from headscarp.sources.request import Request, Source

TILE = 1024
NO_DATA = -3.4028234663852886e38
RESOLUTIONS = ("best", "1 m", "1/3 arc-second")

# LowPS in the catalogue of the mosaic: metres of a source's pixel; 1/3 arc-second is about 10.3.
_ONE_METRE = "LowPS <= 1.5"
_THIRD_ARC_SECOND = "LowPS >= 8 AND LowPS <= 12"
_COVERED = 0.999
_WEB_MERCATOR = (3857, 900913, 102100, 102113, 3785)
_ALIGNED = 1e-3


def three_dep(request: Request) -> xr.Dataset:
    """A lazy stack with the band `elevation` (m, float32, NaN where there is none) on the request's grid.

    Each chunk is one request for one tile, the same whichever pixels are wanted of it. Option `resolution`: "best" (the
    service's own choice), "1 m" (the same, with a warning where 1 m is not there), "1/3 arc-second" (that layer alone).
    A tile that cannot be had is NaN and stands in client.missing. Raises GridError for a grid without true metres,
    SourceError where the service has no elevation or is down.
    """
    import dask.array as da

    grid = _check_grid(request.grid)
    resolution = _resolution(request.options.get("resolution"))
    address = request.service.address.rstrip("/").removesuffix("/exportImage")
    about = request.client.get_json(address, params={"f": "json"}, source=request.service.name)
    _check_surveys(request, address, about, resolution)
    tile = min(TILE, int(about.get("maxImageWidth") or TILE), int(about.get("maxImageHeight") or TILE))
    reader = TileReader(request, address, resolution)
    rows, cols = grid.shape
    heights, widths = _pieces(rows, tile), _pieces(cols, tile)
    starts = [list(np.cumsum([0, *sizes[:-1]])) for sizes in (heights, widths)]
    pixels = da.block(
        [
            [
                da.from_delayed(
                    _later(reader, Window(int(row), int(col), height, width)), (height, width), dtype=np.float32
                )
                for col, width in zip(starts[1], widths, strict=True)
            ]
            for row, height in zip(starts[0], heights, strict=True)
        ]
    )
    band = Band("elevation", "continuous", "m", f"{request.service.name}, {resolution}")
    return make_stack(grid, {band: pixels})


class _NotWholeError(SourceError):
    """A TIFF that cannot be read to its end."""


@dataclass(frozen=True)
class TileReader:
    """Reads single tiles of the request's grid from an image service."""

    request: Request
    address: str
    resolution: str

    def __call__(self, window: Window) -> NDArray[np.float32]:
        """(height, width) float32 metres, NaN where there is no elevation, or where the tile could not be had."""
        grid = window_grid(self.request.grid, window)
        client, name = self.request.client, self.request.service.name
        address = f"{self.address}/exportImage"
        try:
            path = client.get(
                address, params=self._asked(grid), check=lambda body: _check_tile(body, grid, address), source=name
            )
            return _read_tile(path, grid, address)
        except SourceError as error:
            client.note_missing(address + _place_text(window), str(error), name)
            return np.full(grid.shape, np.nan, np.float32)

    def _asked(self, grid: Grid) -> dict[str, str]:
        (left, top), (right, bottom) = cell_corner(grid, 0, 0), cell_corner(grid, grid.shape[1], grid.shape[0])
        reference = _reference(grid)
        asked = {
            "f": "image",
            "format": "tiff",
            "pixelType": "F32",
            "noData": repr(NO_DATA),
            "noDataInterpretation": "esriNoDataMatchAny",
            "interpolation": "RSP_BilinearInterpolation",
            "bbox": ",".join(repr(float(v)) for v in (left, bottom, right, top)),
            "bboxSR": reference,
            "imageSR": reference,
            "size": f"{grid.shape[1]},{grid.shape[0]}",
            # By default the service would widen the box until pixels are square.
            "adjustAspectRatio": "false",
        }
        if self.resolution == "1/3 arc-second":
            asked["mosaicRule"] = json.dumps({"mosaicMethod": "esriMosaicNone", "where": _THIRD_ARC_SECOND})
        return asked


THREE_DEP = Source(
    read=three_dep,
    makes="stack",
    services=("3dep",),
    options=("resolution",),
    about="USGS 3DEP: elevation of the ground in the United States, 1 m to 1/3 arc-second",
)


def _check_grid(grid: Grid) -> Grid:
    if grid_crs(grid).to_epsg() in _WEB_MERCATOR or "pseudo-mercator" in grid_crs(grid).name.lower():
        raise GridError(
            "the grid is in Web Mercator, whose metres are not metres: away from the equator they are longer than on "
            "the ground by 1 / cos(latitude), and slopes come out too small; give [grid] the UTM zone of the place"
        )
    return check_metres(grid)


def _resolution(given: Any) -> str:
    text = "best" if given is None else str(given).lower().strip()
    text = {"1m": "1 m", "1/3": "1/3 arc-second", "1/3 arcsecond": "1/3 arc-second", "10m": "1/3 arc-second"}.get(
        text.replace(" m", "m") if text.endswith(" m") else text, text
    )
    if text not in RESOLUTIONS:
        raise SourceError(f"3DEP has no resolution {given!r}; give one of {', '.join(RESOLUTIONS)}")
    return text


def _check_surveys(request: Request, address: str, about: Any, resolution: str) -> None:
    """Asks the catalogue of the mosaic which surveys touch the grid; warns where 1 m was asked for and is not there."""
    if "catalog" not in str(about.get("capabilities", "")).lower():
        return
    where = {"1 m": _ONE_METRE, "1/3 arc-second": _THIRD_ARC_SECOND}.get(resolution, "1=1")
    rows = _surveys(request, address, f"Category = 1 AND {where}")
    if not rows and (resolution != "1 m" or not _surveys(request, address, "Category = 1")):
        west, south, east, north = lonlat_box(request.grid)
        raise SourceError(
            f"{request.service.name} has no elevation ({resolution}) between longitudes {west:.3f} and {east:.3f}, "
            f"latitudes {south:.3f} and {north:.3f}; it covers the United States: use copernicus-dem elsewhere, and "
            "check that the box is longitude first"
        )
    if resolution == "1 m":
        outline = shapely.Polygon(footprint_lonlat(request.grid))
        surveyed = shapely.union_all(shapely.make_valid([esri_shape(row.get("geometry")) for row in rows]))
        share = float(shapely.intersection(outline, surveyed).area / outline.area) if rows else 0.0
        if share < _COVERED:
            warnings.warn(
                f"3DEP has 1 m elevation for {share:.0%} of the grid; the rest comes from coarser surveys",
                HeadscarpWarning,
                stacklevel=3,
            )


def _surveys(request: Request, address: str, where: str) -> list[Any]:
    asked = {
        "where": where,
        "geometry": ",".join(repr(v) for v in lonlat_box(request.grid)),
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
        "outSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
        "outFields": "OBJECTID,Name,LowPS",
        "returnGeometry": "true",
        "f": "json",
    }
    answer = request.client.get_json(f"{address}/query", params=asked, source=request.service.name)
    return list(answer.get("features") or ())


def _check_tile(path: Path, grid: Grid, address: str) -> None:
    """Raises ValueError for what may be whole at the next try, SourceError for what is wrong."""
    try:
        _read_tile(path, grid, address)
    except _NotWholeError as error:
        raise ValueError(str(error)) from error


def _read_tile(path: Path, grid: Grid, address: str) -> NDArray[np.float32]:
    """The pixels of an exported image. Raises SourceError unless it is a TIFF of exactly the cells asked for."""
    try:
        with rasterio.open(path) as file:
            values = file.read(1).astype(np.float32)
            shape, transform = file.shape, file.transform
            missing = file.nodata
    except RasterioError as error:
        raise _NotWholeError(f"{address} gave no whole TIFF ({error}); try again later") from error
    corners = [(0, 0), (grid.shape[1], grid.shape[0])]
    cell = abs(grid.affine.a)
    away = max(
        float(np.hypot(*(np.subtract(transform @ (col, row), cell_corner(grid, col, row))))) for col, row in corners
    )
    if shape != tuple(grid.shape) or away > _ALIGNED * cell:
        raise SourceError(
            f"{address} gave {shape[1]} x {shape[0]} pixels {away:.3g} m away from the {grid.shape[1]} x "
            f"{grid.shape[0]} that were asked for; nothing of it was used: report the address"
        )
    gone = ~np.isfinite(values) | (values <= np.float32(NO_DATA))
    if missing is not None:
        gone |= values == np.float32(missing)
    return np.where(gone, np.float32(np.nan), values)


def _reference(grid: Grid) -> str:
    """The grid's CRS as the service takes it: a number, else WKT as Esri writes it."""
    crs = grid_crs(grid)
    number = crs.to_epsg()
    return str(number) if number else json.dumps({"wkt": crs.to_wkt("WKT1_ESRI")})


def _pieces(length: int, tile: int) -> list[int]:
    return [min(tile, length - start) for start in range(0, length, tile)]


def _later(reader: TileReader, window: Window) -> Any:
    from dask import delayed

    return delayed(reader, pure=False)(window)


def _place_text(window: Window) -> str:
    return f"#rows={window.row}-{window.row + window.height},columns={window.col}-{window.col + window.width}"
