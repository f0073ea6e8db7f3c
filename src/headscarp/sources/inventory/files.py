"""Inventories from and to files: any vector layer or table of points in, a GeoPackage with what made it out.

Refuses tables without columns of coordinates, and to replace a file unless told to.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path, write_json
from headscarp.core.errors import OutputError, SourceError
from headscarp.sources.formats import Vector, read_table
from headscarp.sources.inventory.fields import Fields, normalise
from headscarp.sources.inventory.schema import Inventory, check_inventory

LAYER = "inventory"

_TABLES = (".csv", ".tsv", ".txt")


def read_inventory(
    path: str | Path,
    fields: Fields | None = None,
    *,
    layer: str | None = None,
    where: str | None = None,
    points: tuple[str, str, str] | None = None,
) -> Inventory:
    """The inventory of any vector file that GDAL reads, or of a CSV of points, by a mapping of columns and values.

    A file that `write_inventory` wrote needs no mapping. points: for a CSV its columns of x and y, and their CRS; rows
    without both stay without a geometry. Raises SourceError.
    """
    if Path(path).suffix.lower() in _TABLES:
        return normalise(_points(path, points), fields)
    table = read_table(Vector(str(path), layer, where))
    if not isinstance(table, gpd.GeoDataFrame):
        raise SourceError(f"{path} has no shapes; an inventory needs points or polygons")
    return normalise(table, fields)


def write_inventory(
    inventory: Inventory, path: str | Path, *, made: Mapping[str, Any] | None = None, overwrite: bool = False
) -> Path:
    """Writes a GeoPackage of the table, and beside it a JSON with what made it and every note.

    made: from `core.provenance.made_by`. Raises OutputError where either file exists, unless overwrite.
    """
    path = Path(path)
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path} is no GeoPackage; give an --out that ends in .gpkg")
    for one in (path, path.with_suffix(".json")):
        check_output(one, overwrite=overwrite)
    table = check_inventory(inventory.table)
    partial = partial_path(path).with_suffix(".gpkg")
    with clear_os_errors(path):
        partial.unlink(missing_ok=True)
        table.to_file(partial, layer=LAYER, driver="GPKG", engine="pyogrio")
        finish(partial, path)
    record = {
        **(made or {}),
        "rows": len(table),
        "notes": {"counts": inventory.reasons(), "rows": inventory.notes.to_dict("records")},
    }
    write_json(path.with_suffix(".json"), record)
    return path


def _points(path: str | Path, points: tuple[str, str, str] | None) -> gpd.GeoDataFrame:
    if points is None:
        raise SourceError(f"{path} is a table; name its columns of coordinates and their CRS: ('x', 'y', 'EPSG:4326')")
    x, y, crs = points
    try:
        table = pd.read_csv(path, sep=None, engine="python", encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(f"{path} cannot be read as a table ({error}); give a CSV in UTF-8") from error
    missing = [name for name in (x, y) if name not in table.columns]
    if missing:
        raise SourceError(f"{path} has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}")
    place = [pd.to_numeric(table[name], errors="coerce") for name in (x, y)]
    shapes = gpd.GeoSeries(gpd.points_from_xy(*place), crs=crs)
    return gpd.GeoDataFrame(table, geometry=shapes.where(place[0].notna() & place[1].notna(), None), crs=crs)
