"""The feature services of the stand-in for ArcGIS: descriptions and queries of the layers of a GeoPackage."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyogrio
import shapely

from services.arcgis_json import Answer, Refused, esri_shape, numbers, reference

_KINDS = {"Polygon": "esriGeometryPolygon", "Point": "esriGeometryPoint", "LineString": "esriGeometryPolyline"}


def answer_features(path: Path, parts: list[str], asked: dict[str, str], limits: tuple[int, bool]) -> Answer:
    """The answer of a FeatureServer over a GeoPackage. limits: records a page, and whether it can page."""
    if not path.exists():
        raise Refused(404, "Service not found")
    if asked.get("f") not in ("json", "pjson", "geojson"):
        return Answer.page(path.stem)
    layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
    if not parts:
        return Answer.json({"layers": [{"id": i, "name": name} for i, name in enumerate(layers)], "tables": []})
    if not parts[0].isdigit() or int(parts[0]) >= len(layers):
        raise Refused(400, "Invalid URL", ["Invalid layer or table ID"])
    layer = layers[int(parts[0])]
    if parts[1:] == []:
        return Answer.json(describe(path, layer, int(parts[0]), limits))
    if parts[1:] == ["query"]:
        return Answer.json(query(path, layer, asked, limits))
    raise Refused(400, "Invalid URL")


def describe(path: Path, layer: str, number: int, limits: tuple[int, bool]) -> dict[str, Any]:
    """The layer resource."""
    info = pyogrio.read_info(path, layer=layer)
    types = {"i": "esriFieldTypeInteger", "f": "esriFieldTypeDouble", "M": "esriFieldTypeDate"}
    fields = [{"name": "OBJECTID", "type": "esriFieldTypeOID", "alias": "OBJECTID"}]
    for name, kind in zip(info["fields"], info["dtypes"], strict=True):
        code = "M" if str(kind).startswith("datetime") else str(kind)[0]
        fields.append({"name": name, "type": types.get(code, "esriFieldTypeString"), "alias": name})
    return {
        "id": number,
        "name": layer,
        "type": "Feature Layer",
        "geometryType": _KINDS.get(info["geometry_type"].removeprefix("Multi"), "esriGeometryPolygon"),
        "maxRecordCount": limits[0],
        "supportedQueryFormats": "JSON, geoJSON, PBF",
        "objectIdField": "OBJECTID",
        "advancedQueryCapabilities": {"supportsPagination": limits[1], "supportsOrderBy": True},
        "fields": fields,
        "capabilities": "Query",
    }


def query(path: Path, layer: str, asked: dict[str, str], limits: tuple[int, bool]) -> dict[str, Any]:
    """The features, ids or count that are asked for."""
    table = _kept(path, layer, asked)
    if asked.get("returnCountOnly") == "true":
        return {"count": len(table)}
    if asked.get("returnIdsOnly") == "true":
        return {"objectIdFieldName": "OBJECTID", "objectIds": table["OBJECTID"].tolist()}
    if ("resultOffset" in asked or "resultRecordCount" in asked) and not limits[1]:
        raise Refused(400, "Pagination is not supported.")
    first = int(asked.get("resultOffset", 0))
    count = min(limits[0], int(asked.get("resultRecordCount", limits[0])))
    more = len(table) > first + count
    table = table.iloc[first : first + count].to_crs(reference(asked.get("outSR", "4326")))
    wanted = asked.get("outFields", "OBJECTID").split(",")
    columns = [c for c in table.columns if c != "geometry" and (wanted == ["*"] or c in wanted)]
    unknown = set(wanted) - set(table.columns) - {"*"}
    if unknown:
        raise Refused(400, "Unable to perform query operation.", [f"'outFields' parameter is invalid: {unknown}"])
    if asked["f"] != "geojson":
        features = [
            {"attributes": {c: _plain(row[c]) for c in columns}, "geometry": esri_shape(row["geometry"])}
            for _, row in table.iterrows()
        ]
        return {"objectIdFieldName": "OBJECTID", "features": features, "exceededTransferLimit": more}
    features = [
        {
            "type": "Feature",
            "id": int(row["OBJECTID"]),
            "geometry": None if row["geometry"] is None else json.loads(shapely.to_geojson(row["geometry"])),
            "properties": {c: _plain(row[c]) for c in columns},
        }
        for _, row in table.iterrows()
    ]
    found: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    return {**found, "properties": {"exceededTransferLimit": True}} if more else found


def _kept(path: Path, layer: str, asked: dict[str, str]) -> Any:
    """The rows of a layer that the query keeps, by object id."""
    if "where" not in asked and "objectIds" not in asked and "geometry" not in asked:
        raise Refused(400, "Unable to perform query operation.", ["'where' or 'objectIds' is needed"])
    where = asked.get("where", "1=1")
    try:
        table = pyogrio.read_dataframe(path, layer=layer, where=where, fid_as_index=True)
    except (pyogrio.errors.DataLayerError, pyogrio.errors.DataSourceError, ValueError) as error:
        raise Refused(400, "Unable to perform query operation.", ["Invalid query parameters: 'where'"]) from error
    table = table.reset_index().rename(columns={"fid": "OBJECTID"})
    if "objectIds" in asked:
        table = table[table["OBJECTID"].isin([int(v) for v in asked["objectIds"].split(",")])]
    if "geometry" in asked:
        if asked.get("geometryType") != "esriGeometryEnvelope":
            raise Refused(400, "Unable to perform query operation.", ["geometryType"])
        box = shapely.box(*numbers(asked, "geometry", 4))
        here = table.geometry.to_crs(reference(asked.get("inSR", "4326")))
        table = table[shapely.intersects(shapely.make_valid(here.array), box)]
    return table.sort_values("OBJECTID")


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return int(value.timestamp() * 1000)
    if value is None or pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
