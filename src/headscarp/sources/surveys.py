"""Landslide inventories straight from the services of geological surveys, in the schema of inventories.

The California Geological Survey keeps scarps, deposits and whole slides in layers of one map service: all of them are
asked, and each row says of which part it is. Refuses a place where the survey has mapped nothing.
"""

from dataclasses import replace
from typing import Any

import geopandas as gpd
import pandas as pd

from headscarp.core.errors import SourceError
from headscarp.core.progress import log
from headscarp.sources.arcgis import arcgis_features
from headscarp.sources.inventory.cgs import part_of_layer, read_cgs
from headscarp.sources.inventory.schema import check_inventory
from headscarp.sources.paging import lonlat_box
from headscarp.sources.request import Request, Source


def cgs_landslides(request: Request) -> gpd.GeoDataFrame:
    """The slides that the California Geological Survey has mapped on the request's grid, as an inventory.

    Options: `parts`, those that are wanted out of scarp, deposit and whole; by default all. What could not be used of
    the rows is logged with its count. Raises SourceError.
    """
    wanted = set(request.options.get("parts") or ("scarp", "deposit", "whole"))
    address = request.service.address.rstrip("/")
    layers = request.client.get_json(address, params={"f": "json"}, source=request.service.name).get("layers") or []
    asked = {number: part for number, part in _polygon_layers(layers).items() if part in wanted}
    if not asked:
        names = ", ".join(str(row["name"]) for row in layers) or "none"
        raise SourceError(f"{address} has no layer of {', '.join(sorted(wanted))}; its layers: {names}")
    tables = []
    for number, part in asked.items():
        rows = arcgis_features(replace(request, options={"layer": number}))
        if len(rows):
            found = read_cgs(rows, part)
            for reason, count in found.reasons().items():
                log.info("%s, layer %s (%s): %d rows: %s", request.service.name, number, part, count, reason)
            tables.append(found.table)
    if not tables:
        box = ", ".join(f"{v:.4f}" for v in lonlat_box(request.grid))
        raise SourceError(f"{address} has mapped no {' or '.join(sorted(wanted))} in ({box}); choose another place")
    return check_inventory(gpd.GeoDataFrame(pd.concat(tables, ignore_index=True), crs=tables[0].crs))


def _polygon_layers(layers: list[Any]) -> dict[Any, str]:
    """The part of slides that each layer of polygons holds, by its number; a layer that is drawn anew for another scale
    under the same name counts once."""
    found: dict[str, Any] = {}
    for row in layers:
        if row.get("geometryType", "esriGeometryPolygon") == "esriGeometryPolygon":
            found.setdefault(str(row["name"]), row["id"])
    return {number: part_of_layer(name) for name, number in found.items()}


CGS_LANDSLIDES = Source(
    read=cgs_landslides,
    makes="features",
    services=("cgs-landslides",),
    options=("parts",),
    about="landslides mapped by the California Geological Survey: scarps, deposits and whole slides",
)
