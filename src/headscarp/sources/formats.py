"""Layers of vector files as tables, whatever the format: GeoPackage, shapefile (zipped too), GeoJSON, INSPIRE GML,
GeoParquet and what else GDAL reads.

Large layers come in parts, so that memory is flat. Shapes come as (x, y) = (longitude, latitude) or (easting, northing)
whatever order a GML file has them in. An element of INSPIRE GML that names a code, such as <representativeLithology
xlink:href="...">, is a field of its name ("representativeLithology"; in `where` "representativeLithology_href").
Refuses files, layers, fields and conditions that are not there.
"""

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from headscarp.core.errors import SourceError

PART_ROWS = 10_000
"""Rows of a large layer that are in memory at once."""

_GML = (".gml", ".xml")
_PARQUET = (".parquet", ".geoparquet", ".pq")


@dataclass(frozen=True)
class Vector:
    """A layer of a vector file, the rows that `where` (SQL) keeps, and the attribute that is wanted."""

    path: str
    layer: str | None = None
    where: str | None = None
    attribute: str | None = None


def read_table(vector: Vector, *, options: Mapping[str, str] | None = None) -> Any:
    """A layer as a GeoDataFrame (a DataFrame where it has no shapes), rows and fields as asked. Raises SourceError.

    options: open options of the GDAL driver.
    """
    import pandas as pd

    parts = list(read_parts(vector, options=options, rows=None))
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def read_parts(
    vector: Vector, *, options: Mapping[str, str] | None = None, rows: int | None = 0, columns: list[str] | None = None
) -> Iterator[Any]:
    """The same table in parts of `rows` rows (0: PART_ROWS, None: all), at least one; with `columns` only those fields.

    Raises SourceError.
    """
    rows = PART_ROWS if rows == 0 else rows
    if not Path(vector.path).exists():
        raise SourceError(f"there is no vector file at {vector.path}; check the path in the recipe")
    if Path(vector.path).suffix.lower() in _PARQUET:
        yield from _parquet_parts(vector, rows, columns)
    else:
        yield from _gdal_parts(vector, dict(options or {}), rows, columns)


def code_of(value: Any) -> Any:
    """The code at the end of a code list address; every other value as it is.

    "http://inspire.ec.europa.eu/codelist/LithologyValue/granite" -> "granite", "urn:cgi:classifier:CGI:Age:cambrian" ->
    "cambrian". INSPIRE data name codes in this way, as xlink:href or as text.
    """
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://", "urn:")):
        return value
    text = value.rstrip("/#:")
    return text[max(text.rfind(mark) for mark in "/#:") + 1 :]


def _gdal_parts(vector: Vector, options: dict[str, str], rows: int | None, columns: list[str] | None) -> Iterator[Any]:
    import pyogrio

    with _opened(Path(vector.path)) as path:
        try:
            info = pyogrio.read_info(path, layer=_layer_of(vector, pyogrio.list_layers(path)[:, 0]))
            gml = info["driver"] == "GML"
            known = [str(name) for name in info["fields"]]
            _check_field(vector, [_plain_name(name, known) if gml else name for name in known])
            # Formats that have to be read through for every part are read at once.
            rows = rows if info["capabilities"]["fast_set_next_by_index"] or info["driver"] == "GPKG" else None
            first = 0
            while True:
                with warnings.catch_warnings():
                    # Z and M values, and rings that a driver mends while reading, are none of the user's concern.
                    warnings.simplefilter("ignore")
                    part = pyogrio.read_dataframe(
                        path,
                        layer=vector.layer,
                        where=vector.where,
                        columns=None if gml else columns,
                        skip_features=first,
                        max_features=rows,
                        **options,
                    )
                if first == 0 or len(part):
                    yield part.rename(columns=lambda name: _plain_name(name, known)) if gml else part
                if rows is None or len(part) < rows:
                    return
                first += rows
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
            raise SourceError(
                f"{vector.path} cannot be read ({error}); check the file, and layer and where in the recipe"
            ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The path that GDAL is given. A GML file is shown through a link in a folder of its own: the driver leaves a
    description beside what it reads, and would believe an old one."""
    if path.suffix.lower() not in _GML:
        yield path
        return
    import pyogrio

    # Codes are attributes of INSPIRE's elements: xlink:href
    pyogrio.set_gdal_config_options({"GML_ATTRIBUTES_TO_OGR_FIELDS": True})
    with tempfile.TemporaryDirectory(prefix="headscarp-gml-") as folder:
        shown = Path(folder) / path.name
        shown.symlink_to(path.resolve())
        yield shown


def _layer_of(vector: Vector, names: Any) -> str:
    layers = [str(name) for name in names]
    if vector.layer is not None and vector.layer not in layers:
        raise SourceError(f"{vector.path} has no layer {vector.layer!r}; it has: {', '.join(layers)}")
    if vector.layer is None and len(layers) > 1:
        raise SourceError(f"{vector.path} has the layers {', '.join(layers)}; name one of them: layer = {layers[0]!r}")
    return vector.layer or layers[0]


def _plain_name(name: str, known: list[str]) -> str:
    """The name of an INSPIRE element for the field that holds its code: "material_href" -> "material"."""
    plain = name.removesuffix("_href")
    return name if plain in known else plain


def _parquet_parts(vector: Vector, rows: int | None, columns: list[str] | None) -> Iterator[Any]:
    import geopandas as gpd

    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SourceError(
            f"{vector.path} is GeoParquet, which needs pyarrow; install it: pip install pyarrow, or convert the file, "
            "e.g. ogr2ogr new.gpkg"
        ) from error
    if vector.where is not None or vector.layer is not None:
        raise SourceError(
            f"{vector.path} is GeoParquet, which has no layers and no SQL; drop layer and where, or convert it to a "
            "GeoPackage"
        )
    try:
        file = pq.ParquetFile(vector.path)
        described = json.loads((file.schema_arrow.metadata or {})[b"geo"])
        shapes, crs = _parquet_shapes(described)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"{vector.path} cannot be read as GeoParquet ({error!r}); it has to be GeoParquet 1.0 with shapes in WKB"
        ) from error
    fields = [name for name in file.schema_arrow.names if name not in described["columns"]]
    _check_field(vector, fields)
    with file:
        batches = file.iter_batches(rows or max(1, file.metadata.num_rows), columns=[*(columns or fields), shapes])
        for batch in batches:
            table = batch.to_pandas()
            geometry = shapely.from_wkb(np.asarray(table.pop(shapes), object))
            yield gpd.GeoDataFrame(table, geometry=geometry, crs=crs)
        if file.metadata.num_rows == 0:
            yield gpd.GeoDataFrame({name: [] for name in fields}, geometry=[], crs=crs)


def _parquet_shapes(described: Mapping[str, Any]) -> tuple[str, Any]:
    """The column of shapes and its CRS; GeoParquet without one means longitude and latitude."""
    name = described["primary_column"]
    column = described["columns"][name]
    if column["encoding"] != "WKB":
        raise ValueError(f"shapes are encoded as {column['encoding']}")
    if "crs" not in column:
        return name, "OGC:CRS84"
    return name, None if column["crs"] is None else json.dumps(column["crs"])


def _check_field(vector: Vector, known: list[str]) -> None:
    if vector.attribute is not None and vector.attribute not in known:
        close = get_close_matches(vector.attribute, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known)}"
        raise SourceError(f"{vector.path} has no attribute {vector.attribute!r}; {hint}")
