"""What feature services have in common: the box that they are asked for, and pages joined to one table.

Nothing is dropped in silence: features that come twice are counted and told, and shapes that lie where the box would be
with its axes turned round are an error. Refuses grids across the antimeridian. Knows no service.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from headscarp.core.errors import GridError, HeadscarpWarning, SourceError
from headscarp.core.grid import Grid, footprint_lonlat

LONLAT = "OGC:CRS84"


def lonlat_box(grid: Grid) -> tuple[float, float, float, float]:
    """(west, south, east, north) of a grid in degrees. Raises GridError where that is no box on the globe."""
    ring = footprint_lonlat(grid)
    (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
    if not np.isfinite(ring).all() or not (-90 <= south < north <= 90):
        raise GridError("the grid reaches beyond where its CRS is defined; check its CRS and bounds")
    if east - west > 180:
        raise GridError(
            f"the grid crosses the antimeridian (longitudes from {west:.3f} to {east:.3f}); split it there and fetch "
            "two grids"
        )
    return float(west), float(south), float(east), float(north)


def join_pages(
    pages: Iterable[Iterable[Mapping[str, Any]]], id_name: str, box: tuple[float, float, float, float], source: str
) -> gpd.GeoDataFrame:
    """GeoJSON features of all pages, each id once, in the order in which they came, in longitude and latitude.

    id_name: the property that holds the id; "" takes the feature's own `id`. A feature without an id is kept. Invalid
    and missing shapes are kept as they are. attrs["duplicates"]: how many came again.
    """
    seen: set[Any] = set()
    kept: list[Mapping[str, Any]] = []
    duplicates = 0
    for page in pages:
        for feature in page:
            properties = feature.get("properties") or {}
            known = properties.get(id_name) if id_name else feature.get("id")
            if known is not None and known in seen:
                duplicates += 1
                continue
            seen.add(known)
            kept.append(feature)
    if duplicates:
        warnings.warn(
            f"{source} gave {duplicates} of {duplicates + len(kept)} features more than once; each was kept once",
            HeadscarpWarning,
            stacklevel=2,
        )
    rows = [{**({} if id_name else {"id": f.get("id")}), **(f.get("properties") or {})} for f in kept]
    shapes = [shape_of_geojson(f.get("geometry")) for f in kept]
    table = gpd.GeoDataFrame(rows, geometry=shapes, crs=LONLAT)
    _check_axes(table, box, source)
    table.attrs["duplicates"] = duplicates
    return table


def shape_of_geojson(geometry: Mapping[str, Any] | None) -> Any:
    """A shape as it is, valid or not; None where there is none."""
    if not geometry or not geometry.get("coordinates", geometry.get("geometries")):
        return None
    return shapely.force_2d(shapely.geometry.shape(geometry))


def _check_axes(table: gpd.GeoDataFrame, box: tuple[float, float, float, float], source: str) -> None:
    shapes = np.asarray(table.geometry.array)
    there = shapes[~shapely.is_missing(shapes)]
    if len(there) == 0:
        return
    bounds = shapely.bounds(there)
    if not _touch(bounds, box).any() and _touch(bounds[:, [1, 0, 3, 2]], box).any():
        raise SourceError(
            f"{source} was asked for longitudes {box[0]:.4f} to {box[2]:.4f} and latitudes {box[1]:.4f} to "
            f"{box[3]:.4f}, but gave latitude where longitude belongs; the axis order of the service is wrong: "
            "download the layer and read it as a file"
        )


def _touch(bounds: Any, box: tuple[float, float, float, float]) -> Any:
    across = (bounds[:, 0] <= box[2]) & (bounds[:, 2] >= box[0])
    return across & (bounds[:, 1] <= box[3]) & (bounds[:, 3] >= box[1])
