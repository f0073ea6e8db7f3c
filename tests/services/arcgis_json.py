"""What the stand-in for ArcGIS answers with: JSON, pages, images, refusals, and shapes as Esri writes them."""

import json
from dataclasses import dataclass, field
from typing import Any

import shapely
from pyproj import CRS


@dataclass(frozen=True)
class Answer:
    """A body and its content type."""

    body: bytes
    kind: str

    @staticmethod
    def json(data: Any) -> "Answer":
        return Answer(json.dumps(data).encode(), "application/json;charset=UTF-8")

    @staticmethod
    def page(text: str) -> "Answer":
        return Answer(f"<!DOCTYPE html><html><body>{text}</body></html>".encode(), "text/html;charset=utf-8")


@dataclass
class Refused(Exception):
    """An error that becomes a body of status 200."""

    code: int
    message: str
    details: list[str] = field(default_factory=list)


def reference(text: str) -> CRS:
    """The CRS of bboxSR, imageSR, inSR or outSR: a number, or an object with wkid or wkt."""
    try:
        data = json.loads(text)
        if isinstance(data, dict) and "wkt" in data:
            return CRS.from_wkt(data["wkt"])
        number = data.get("latestWkid", data.get("wkid")) if isinstance(data, dict) else int(data)
        return CRS.from_epsg(3857 if number == 102100 else number)
    except Exception as error:
        raise Refused(400, "Invalid or missing input parameters.", [f"spatial reference {text}"]) from error


def numbers(asked: dict[str, str], name: str, count: int) -> list[float]:
    """A list of numbers among the parameters."""
    try:
        values = [float(v) for v in asked[name].split(",")]
    except (KeyError, ValueError) as error:
        raise Refused(400, "Invalid or missing input parameters.", [name]) from error
    if len(values) != count:
        raise Refused(400, "Invalid or missing input parameters.", [name])
    return values


def esri_shape(shape: Any) -> dict[str, Any] | None:
    """A shape as Esri writes it: outer rings clockwise, holes the other way."""
    if shape is None or shape.is_empty:
        return None
    if shape.geom_type == "Point":
        return {"x": shape.x, "y": shape.y}
    if shape.geom_type.endswith("LineString"):
        return {"paths": [shapely.get_coordinates(part).tolist() for part in shapely.get_parts(shape)]}
    parts = [shapely.geometry.polygon.orient(part, -1.0) for part in shapely.get_parts(shape)]
    return {"rings": [shapely.get_coordinates(ring).tolist() for ring in shapely.get_rings(parts)]}
