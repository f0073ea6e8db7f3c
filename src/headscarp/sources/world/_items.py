"""STAC collections and items of simulated scenes, in the shape in which Planetary Computer gives the real ones.

Property and asset names, scale, offset and no-data are those of landsat-c2-l2, sentinel-1-rtc, sentinel-2-l2a and
cop-dem-glo-30 there; `headscarp:simulated` says what these are. Opens no file.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pyproj import Transformer
from shapely import Polygon, transform
from shapely.geometry import box, mapping

from headscarp.core.grid import Grid

SIMULATED = "simulated by Headscarp (headscarp.sources.world.scenes): not a real scene, not for decisions"

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_SCHEMA = "https://stac-extensions.github.io"
PROJECTION_2, PROJECTION_1 = f"{_SCHEMA}/projection/v2.0.0/schema.json", f"{_SCHEMA}/projection/v1.0.0/schema.json"
RASTER, EO = f"{_SCHEMA}/raster/v1.1.0/schema.json", f"{_SCHEMA}/eo/v1.0.0/schema.json"
SAR, SAT = f"{_SCHEMA}/sar/v1.0.0/schema.json", f"{_SCHEMA}/sat/v1.0.0/schema.json"

TITLES = {
    "landsat-c2-l2": "Landsat Collection 2 Level-2",
    "sentinel-1-rtc": "Sentinel 1 Radiometrically Terrain Corrected (RTC)",
    "sentinel-2-l2a": "Sentinel-2 Level-2A",
    "cop-dem-glo-30": "Copernicus DEM GLO-30",
    "chirps-daily": "Daily rain on a grid of 0.05 degrees, named as CHIRPS",
}


def item(
    collection: str,
    name: str,
    moment: datetime,
    outline: Polygon,
    *,
    properties: Mapping[str, Any],
    assets: Mapping[str, Mapping[str, Any]],
    extensions: Sequence[str],
) -> dict[str, Any]:
    """A STAC item. outline: where it has pixels, in longitude and latitude; moment: UTC."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(extensions),
        "id": name,
        "collection": collection,
        "geometry": _rounded(mapping(outline)),
        "bbox": [round(value, 7) for value in outline.bounds],
        "properties": {
            "datetime": moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"),
            **properties,
            "headscarp:simulated": SIMULATED,
        },
        "links": [],
        "assets": {key: {"type": COG, "roles": ["data"], **value} for key, value in assets.items()},
    }


def collections(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The collections that the items belong to, with their extent in space and time."""
    found = []
    for name in dict.fromkeys(item["collection"] for item in items):
        own = [item for item in items if item["collection"] == name]
        boxes, times = np.array([item["bbox"] for item in own]), sorted(item["properties"]["datetime"] for item in own)
        extent = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
        found.append(
            {
                "type": "Collection",
                "stac_version": "1.0.0",
                "stac_extensions": [],
                "id": name,
                "title": f"{TITLES[name]} (simulated)",
                "description": f"{SIMULATED}. Same shape as the collection {name} of public services.",
                "license": "CC0-1.0",
                "keywords": ["simulated"],
                "extent": {"spatial": {"bbox": [extent]}, "temporal": {"interval": [[times[0], times[-1]]]}},
                "links": [],
            }
        )
    return found


def placed(grid: Grid) -> dict[str, Any]:
    """proj:shape and proj:transform of a grid, which items or assets carry."""
    return {"proj:shape": list(grid.shape), "proj:transform": [float(v) for v in tuple(grid.affine)[:6]]}


def outline_lonlat(grid: Grid, seen: Polygon | None = None) -> Polygon:
    """Where a grid has pixels, in longitude and latitude. seen: its part that was seen, in the grid's CRS."""
    bounds = grid.boundingbox
    part = box(bounds.left, bounds.bottom, bounds.right, bounds.top)
    part = part if seen is None else part.intersection(seen)
    to_lonlat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    outline = transform(
        part.segmentize(max(bounds.right - bounds.left, 1e-9) / 8), to_lonlat.transform, interleaved=False
    )
    return outline if isinstance(outline, Polygon) else outline.convex_hull


def _rounded(geometry: Mapping[str, Any]) -> dict[str, Any]:
    rings = [[[round(x, 7), round(y, 7)] for x, y in ring] for ring in geometry["coordinates"]]
    return {"type": geometry["type"], "coordinates": rings}
