"""Layers of ArcGIS feature services: every feature that touches a grid, once, page by page.

Options: `layer` (number or name; may be in the address), `where` (SQL), `attributes` (fields; all by default). Refuses
unknown layers and fields, and an answer that lacks features which the service itself has counted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from headscarp.core.errors import SourceError
from headscarp.sources.paging import join_pages, lonlat_box
from headscarp.sources.request import Request, Source

# Object ids stand in the address, which servers cut at 2,000 characters or more.
_IDS_AT_ONCE = 100
_LARGEST_PAGE = 2000


def arcgis_features(request: Request) -> gpd.GeoDataFrame:
    """The features of a layer whose shapes touch the request's grid, in longitude and latitude.

    One row a feature, with its fields; dates as datetime64 (UTC); shapes as they come, invalid ones too.
    attrs["duplicates"]: features that came more than once and are kept once. Raises SourceError.
    """
    address = layer_address(request)
    layer = request.client.get_json(address, params={"f": "json"}, source=request.service.name)
    fields = {str(f["name"]): str(f["type"]) for f in layer.get("fields") or ()}
    id_name = layer.get("objectIdField") or next((n for n, t in fields.items() if t == "esriFieldTypeOID"), "OBJECTID")
    asked = {
        "where": str(request.options.get("where") or "1=1"),
        "geometry": ",".join(repr(v) for v in lonlat_box(request.grid)),
        "geometryType": "esriGeometryEnvelope",
        "inSR": "4326",
        "spatialRel": "esriSpatialRelIntersects",
    }
    wanted = {
        "outFields": _fields(request, fields, id_name),
        "returnGeometry": "true",
        "outSR": "4326",
        "f": "geojson" if "geojson" in str(layer.get("supportedQueryFormats", "geojson")).lower() else "json",
    }
    count = int(_query(request, address, {**asked, "returnCountOnly": "true", "f": "json"})["count"])
    pages = _pages(request, address, asked, wanted, layer)
    table = join_pages(pages, id_name, lonlat_box(request.grid), address)
    if len(table) < count:
        raise SourceError(
            f"{address} counts {count} features here but gave {len(table)}; the layer may have changed meanwhile: run "
            "the same command again, or download the layer and read it as a file"
        )
    for name in table.columns.intersection([n for n, t in fields.items() if t == "esriFieldTypeDate"]):
        table[name] = pd.to_datetime(table[name], unit="ms")
    return table


def layer_address(request: Request) -> str:
    """The address of the layer that the request names. Raises SourceError that lists the layers."""
    address = request.service.address.rstrip("/").removesuffix("/query")
    if address.rsplit("/", 1)[-1].isdigit():
        return address
    known = request.client.get_json(address, params={"f": "json"}, source=request.service.name).get("layers") or []
    layer = request.options.get("layer")
    found = [row for row in known if layer in (row["id"], str(row["id"]), row["name"])]
    if layer is None and len(known) == 1:
        found = known
    if len(found) != 1:
        names = ", ".join(f"{row['id']} ({row['name']})" for row in known) or "none"
        asked = "names no layer" if layer is None else f"asks for the layer {layer!r}"
        raise SourceError(f"the request {asked}, and {address} has: {names}; give layer = one of them")
    return f"{address}/{found[0]['id']}"


def esri_shape(geometry: Mapping[str, Any] | None) -> Any:
    """The shape that Esri JSON describes, None where there is none.

    Rings that run clockwise are outer ones, the others holes in the outer ring that they lie in.
    """
    if not geometry:
        return None
    if "rings" in geometry:
        return _polygon([np.asarray(ring, float)[:, :2] for ring in geometry["rings"] if len(ring) >= 4])
    if "paths" in geometry:
        return shapely.multilinestrings([shapely.linestrings(np.asarray(p, float)[:, :2]) for p in geometry["paths"]])
    if "points" in geometry:
        return shapely.multipoints(np.asarray(geometry["points"], float)[:, :2])
    return None if geometry.get("x") in (None, "NaN") else shapely.Point(geometry["x"], geometry["y"])


def _pages(
    request: Request, address: str, asked: dict[str, str], wanted: dict[str, str], layer: Mapping[str, Any]
) -> Iterator[list[Any]]:
    """The features page by page; by object ids where the service cannot page."""
    size = min(int(layer.get("maxRecordCount") or _LARGEST_PAGE), _LARGEST_PAGE)
    if not (layer.get("advancedQueryCapabilities") or {}).get("supportsPagination"):
        answer = _query(request, address, {**asked, "returnIdsOnly": "true", "f": "json"})
        ids = sorted(answer.get("objectIds") or ())
        size = min(size, _IDS_AT_ONCE)
        for first in range(0, len(ids), size):
            some = ",".join(str(v) for v in ids[first : first + size])
            yield _features(_query(request, address, {"objectIds": some, **wanted}))
        return
    first = 0
    order = layer.get("objectIdField") or ""
    while True:
        page = {"resultOffset": str(first), "resultRecordCount": str(size), "orderByFields": order}
        answer = _query(request, address, {**asked, **wanted, **{k: v for k, v in page.items() if v}})
        features = _features(answer)
        yield features
        more = answer.get("exceededTransferLimit") or (answer.get("properties") or {}).get("exceededTransferLimit")
        if not features or not (more or len(features) >= size):
            return
        first += len(features)


def _query(request: Request, address: str, params: dict[str, str]) -> Any:
    answer = request.client.get_json(f"{address}/query", params=params, source=request.service.name)
    if not isinstance(answer, dict) or "error" in answer:
        said = answer.get("error") if isinstance(answer, dict) else type(answer).__name__
        raise SourceError(f"{address} refuses the query: {said}; check layer, where and attributes")
    return answer


def _features(answer: Mapping[str, Any]) -> list[Any]:
    """GeoJSON features, from Esri JSON too."""
    features = list(answer.get("features") or ())
    if answer.get("type") == "FeatureCollection":
        return features
    shapes = [esri_shape(f.get("geometry")) for f in features]
    return [
        {"properties": f.get("attributes"), "geometry": None if s is None else shapely.geometry.mapping(s)}
        for f, s in zip(features, shapes, strict=True)
    ]


def _fields(request: Request, fields: Mapping[str, str], id_name: str) -> str:
    wanted = request.options.get("attributes")
    if wanted is None:
        return "*"
    unknown = [name for name in wanted if name not in fields]
    if unknown:
        raise SourceError(f"the layer has no fields {', '.join(unknown)}; it has: {', '.join(fields)}")
    return ",".join(dict.fromkeys([id_name, *wanted]))


def _polygon(rings: list[Any]) -> Any:
    """One polygon, or several, of rings in Esri's order. Rings that overlap stay so, to be mended and counted."""
    outer = [shapely.Polygon(ring) for ring in rings if not shapely.is_ccw(shapely.linearrings(ring))]
    holes = [ring for ring in rings if shapely.is_ccw(shapely.linearrings(ring))]
    if not outer:
        outer, holes = [shapely.Polygon(ring) for ring in holes], []
    inside: list[list[Any]] = [[] for _ in outer]
    for hole in holes:
        place = shapely.Point(hole[0])
        around = [i for i, polygon in enumerate(outer) if shapely.covers(polygon, place)]
        if not around:
            outer.append(shapely.Polygon(hole))
            inside.append([])
            continue
        inside[min(around, key=lambda i: outer[i].area)].append(hole)
    parts = [shapely.Polygon(polygon.exterior, cut) for polygon, cut in zip(outer, inside, strict=True)]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


ARCGIS_FEATURES = Source(
    read=arcgis_features,
    makes="features",
    services=(),
    options=("layer", "where", "attributes"),
    about="a layer of an ArcGIS feature service: polygons, lines or points with their fields",
)
