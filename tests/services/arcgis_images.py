"""The image services of the stand-in for ArcGIS: description, exportImage and the catalogue of a mosaic of GeoTIFFs.

LowPS of a file is the side of its pixel in metres, as in the mosaic of 3DEP. Pixels come by exact bilinear or nearest
resampling with no approximation, so that any two requests agree where they overlap.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from services.arcgis_json import Answer, Refused, esri_shape, numbers, reference

_INTERPOLATIONS = {"RSP_BilinearInterpolation": Resampling.bilinear, "RSP_NearestNeighbor": Resampling.nearest}
_LARGEST_BYTES = 400_000_000
_SERVICE = 3857


def answer_image(folder: Path, parts: list[str], asked: dict[str, str], max_image: int) -> Answer:
    """The answer of an ImageServer whose mosaic lies in a folder."""
    if not folder.is_dir():
        raise Refused(404, "Service not found")
    if parts == ["exportImage"]:
        return export_image(folder, asked, max_image)
    if asked.get("f") not in ("json", "pjson"):
        return Answer.page(folder.name)
    if not parts:
        return Answer.json(describe(folder, max_image))
    if parts == ["query"]:
        return Answer.json(query_catalogue(folder, asked))
    raise Refused(400, "Invalid URL")


def describe(folder: Path, max_image: int) -> dict[str, Any]:
    """The root resource."""
    rows = catalogue(folder)
    bounds = [transform_bounds(row["crs"], f"EPSG:{_SERVICE}", *row["bounds"]) for row in rows]
    box = np.array(bounds)
    extent = dict(zip(("xmin", "ymin"), box[:, :2].min(axis=0).tolist(), strict=True))
    extent |= dict(zip(("xmax", "ymax"), box[:, 2:].max(axis=0).tolist(), strict=True))
    return {
        "currentVersion": 10.91,
        "name": folder.name,
        "serviceDataType": "esriImageServiceDataTypeElevation",
        "extent": {**extent, "spatialReference": {"wkid": 102100, "latestWkid": _SERVICE}},
        "pixelSizeX": min(row["LowPS"] for row in rows),
        "pixelSizeY": min(row["LowPS"] for row in rows),
        "bandCount": 1,
        "pixelType": "F32",
        "maxImageHeight": max_image,
        "maxImageWidth": max_image,
        "maxRecordCount": 1000,
        "objectIdField": "OBJECTID",
        "capabilities": "Image,Metadata,Catalog,Mensuration",
        "spatialReference": {"wkid": 102100, "latestWkid": _SERVICE},
    }


def export_image(folder: Path, asked: dict[str, str], max_image: int) -> Answer:
    """One image of the mosaic."""
    if asked.get("f", "html") == "html":
        return Answer.page("Export Image")
    width, height = (int(v) for v in numbers(asked, "size", 2)) if "size" in asked else (400, 400)
    if max(width, height) > max_image or width * height * 4 > _LARGEST_BYTES:
        raise Refused(400, "Unable to complete operation.", ["The requested image exceeds the size limit."])
    if asked.get("format") != "tiff" or asked.get("pixelType") not in ("F32", "UNKNOWN", None):
        raise Refused(400, "Unable to complete operation.", ["this stand-in exports format=tiff, pixelType=F32"])
    if asked.get("f") != "image":
        raise Refused(400, "Unable to complete operation.", ["this stand-in exports f=image"])
    box, target = _place(asked, width, height)
    no_data = float(asked.get("noData", "-3.4028234663852886e+38"))
    resampling = _INTERPOLATIONS.get(asked.get("interpolation", ""), Resampling.nearest)
    values = np.full((height, width), np.nan, np.float32)
    transform = Affine((box[2] - box[0]) / width, 0, box[0], 0, (box[1] - box[3]) / height, box[3])
    for row in chosen(folder, json.loads(asked.get("mosaicRule", "{}")).get("where", "1=1")):
        with (
            rasterio.open(row["path"]) as file,
            WarpedVRT(
                file, crs=target.to_wkt(), transform=transform, height=height, width=width, resampling=resampling,
                tolerance=1e-6, dtype="float32", nodata=np.nan, SOURCE_EXTRA="8", XSCALE="1", YSCALE="1",
            ) as warped,
        ):  # fmt: skip
            values = np.where(np.isnan(values), warped.read(1), values)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=1, dtype="float32", crs=target.to_wkt(),
            transform=transform, nodata=no_data,
        ) as file:  # fmt: skip
            file.write(np.where(np.isnan(values), np.float32(no_data), values), 1)
        return Answer(bytes(memory.getbuffer()), "image/tiff")


def query_catalogue(folder: Path, asked: dict[str, str]) -> dict[str, Any]:
    """Footprints of the files that a box touches."""
    rows = chosen(folder, asked.get("where", "1=1"))
    target = reference(asked.get("outSR", str(_SERVICE)))
    features = []
    box = None
    if "geometry" in asked:
        if asked.get("geometryType") != "esriGeometryEnvelope":
            raise Refused(400, "Unable to perform query operation.", ["geometryType"])
        box = shapely.box(*numbers(asked, "geometry", 4))
    for row in rows:
        outline = shapely.segmentize(shapely.box(*row["bounds"]), (row["bounds"][2] - row["bounds"][0]) / 20)
        near = _moved(outline, row["crs"], reference(asked.get("inSR", str(_SERVICE))))
        if box is not None and not near.intersects(box):
            continue
        features.append(
            {
                "attributes": {k: v for k, v in row.items() if k not in ("path", "bounds", "crs")},
                "geometry": esri_shape(_moved(outline, row["crs"], target)),
            }
        )
    if asked.get("returnCountOnly") == "true":
        return {"count": len(features)}
    return {"objectIdFieldName": "OBJECTID", "geometryType": "esriGeometryPolygon", "features": features}


def catalogue(folder: Path) -> list[dict[str, Any]]:
    """The files of a mosaic, the finest first."""
    rows = []
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            metres = file.res[0] * (111_320.0 if file.crs.is_geographic else 1.0)
            rows.append(
                {"path": path, "bounds": tuple(file.bounds), "crs": CRS.from_wkt(file.crs.to_wkt()), "LowPS": metres}
            )
    rows.sort(key=lambda row: row["LowPS"])
    return [
        {"OBJECTID": i, "Name": row["path"].stem, "Category": 1, "HighPS": row["LowPS"], **row}
        for i, row in enumerate(rows, start=1)
    ]


def chosen(folder: Path, where: str) -> list[dict[str, Any]]:
    """The files that a condition in SQL keeps."""
    rows = catalogue(folder)
    base = sqlite3.connect(":memory:")
    try:
        base.execute("create table files (OBJECTID, Name, Category, LowPS, HighPS)")
        base.executemany("insert into files values (:OBJECTID, :Name, :Category, :LowPS, :HighPS)", [
            {k: v for k, v in row.items() if k not in ("path", "bounds", "crs")} for row in rows
        ])  # fmt: skip
        kept = {row[0] for row in base.execute(f"select OBJECTID from files where {where}")}
    except sqlite3.Error as error:
        raise Refused(400, "Unable to complete operation.", ["Invalid where clause"]) from error
    finally:
        base.close()
    return [row for row in rows if row["OBJECTID"] in kept]


def _place(asked: dict[str, str], width: int, height: int) -> tuple[list[float], CRS]:
    """The box in the image's CRS. As ArcGIS does unless told not to, it is widened until pixels are square."""
    target = reference(asked.get("imageSR", str(_SERVICE)))
    source = reference(asked.get("bboxSR", str(_SERVICE)))
    box = numbers(asked, "bbox", 4)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Refused(400, "Invalid or missing input parameters.", ["bbox"])
    if source != target:
        box = list(transform_bounds(source, target, *box))
    if asked.get("adjustAspectRatio", "true") == "true":
        pixel = max((box[2] - box[0]) / width, (box[3] - box[1]) / height)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        box = [x - pixel * width / 2, y - pixel * height / 2, x + pixel * width / 2, y + pixel * height / 2]
    return box, target


def _moved(shape: Any, source: CRS, target: CRS) -> Any:
    from pyproj import Transformer

    mover = Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shape, lambda xy: np.stack(mover.transform(xy[:, 0], xy[:, 1]), axis=1))
