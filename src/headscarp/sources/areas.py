"""Areas that somebody has drawn, such as protected areas or concessions, and how much of a piece of ground they cover.

Ground is a square around a position, in an equal-area projection of its own, so that hectares are right anywhere.
Refuses layers without polygons, without a coordinate system, or far from all that is asked about.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from headscarp.core.errors import HeadscarpWarning, SourceError
from headscarp.core.grid import Grid
from headscarp.sources.formats import Vector, read_table

_LONLAT = "OGC:CRS84"
_NAMES = ("name", "nombre", "nome", "nom", "title", "titel")
_POLYGONS = (3, 6)
_FAR_DEG = 0.5
_STEPS = 8  # a side of the ground as so many lines, since it bends in another projection


@dataclass(frozen=True)
class Ground:
    """A square of cells around a position, north up. shape: rows and columns; cell_m: side of a cell."""

    longitude: float
    latitude: float
    shape: tuple[int, int]
    cell_m: float

    @property
    def crs(self) -> str:
        """Lambert's azimuthal equal-area projection around the middle."""
        return f"+proj=laea +lat_0={self.latitude:.9f} +lon_0={self.longitude:.9f} +datum=WGS84 +units=m"

    @property
    def affine(self) -> Affine:
        """From columns and rows to metres in `crs`."""
        rows, cols = self.shape
        return Affine(self.cell_m, 0, -cols * self.cell_m / 2, 0, -self.cell_m, rows * self.cell_m / 2)

    @property
    def square(self) -> Any:
        """All of it, in metres in `crs`."""
        rows, cols = self.shape
        half = (cols * self.cell_m / 2, rows * self.cell_m / 2)
        return shapely.box(-half[0], -half[1], half[0], half[1])

    def cells(self, mask: NDArray[np.bool_]) -> Any:
        """The cells (rows, columns) that are true, as one shape in metres in `crs`."""
        from rasterio.features import shapes

        found = shapes(mask.astype(np.uint8), mask=mask, transform=self.affine)
        return shapely.union_all([shapely.geometry.shape(geometry) for geometry, _ in found])

    def lonlat(self, shape: Any) -> Any:
        """A shape in metres in longitude and latitude."""
        return shapely.transform(shape, _way(self.crs, _LONLAT))


@dataclass(frozen=True)
class Overlap:
    """How much of a piece of ground areas cover, m2, and the names of those that do."""

    area_m2: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Areas:
    """Polygons of a layer in its own coordinate system, mended, with a name each where the layer has names."""

    path: Path
    shapes: NDArray[Any]
    names: tuple[str, ...]
    crs: Any
    columns: tuple[str, ...] = field(default=())

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.shapes)

    def over(self, ground: Ground, shape: Any | None = None) -> Overlap:
        """How much of the ground they cover, or of a shape on it (metres in `ground.crs`)."""
        shape = ground.square if shape is None else shape
        if shape.is_empty:
            return Overlap(0.0)
        there = shapely.segmentize(ground.square.buffer(ground.cell_m), ground.cell_m * max(ground.shape) / _STEPS)
        near = shapely.transform(there, _way(ground.crs, self.crs))
        if not near.is_valid or not np.isfinite(shapely.bounds(near)).all():
            return Overlap(0.0)
        found = np.sort(self._tree.query(near, predicate="intersects"))
        pieces = shapely.intersection(self.shapes[found], near)  # long edges are cut where they are straight
        pieces = shapely.make_valid(shapely.transform(pieces, _way(self.crs, ground.crs)))
        covered = shapely.intersection(pieces, shape)
        hit = shapely.area(covered) > 0
        names = tuple(dict.fromkeys(self.names[i] for i in found[hit]))
        return Overlap(float(shapely.union_all(covered[hit]).area) if hit.any() else 0.0, names)

    def cells(self, grid: Grid) -> NDArray[np.bool_]:
        """(y, x) cells of a grid whose middle lies in one of them."""
        from rasterio.features import rasterize

        turned = shapely.transform(self.shapes, _way(self.crs, CRS.from_user_input(grid.crs)))
        parts = shapely.get_parts(shapely.get_parts(turned))  # what is mended can hold lines, which cover nothing
        flat = parts[np.isin(shapely.get_type_id(parts), _POLYGONS)]
        if not len(flat):
            return np.zeros(tuple(grid.shape), np.bool_)
        return np.asarray(rasterize(list(flat), tuple(grid.shape), transform=grid.affine), np.bool_)


def open_areas(path: str | Path, what: str, near: Sequence[tuple[float, float]] = ()) -> Areas:
    """The polygons of a vector layer. what: what they are, for messages. near: positions (longitude, latitude) that
    will be asked about.

    Invalid polygons are mended, with a HeadscarpWarning. Raises SourceError for a layer that cannot be read, has no
    coordinate system or no polygons, or of which none lies within half a degree of a position.
    """
    table = read_table(Vector(str(path)))
    if "geometry" not in table:
        raise SourceError(f"{path} has no shapes, so it is no layer of {what}; give one of polygons")
    if not len(table):
        raise SourceError(
            f"{path} holds no {what} at all, and what an empty layer would say is wrong; give another, or leave it out"
        )
    if table.crs is None:
        raise SourceError(
            f"{path} has no CRS; write it into the file, e.g. ogr2ogr -a_srs EPSG:4326 {what.split()[0]}.gpkg {path}"
        )
    shapes = shapely.force_2d(np.asarray(table.geometry.array))
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    flat = there & np.isin(shapely.get_type_id(shapes), _POLYGONS)
    if not flat.any():
        raise SourceError(f"{path} holds no polygons, so it is no layer of {what}; give one of polygons")
    wrong = int((~shapely.is_valid(shapes[flat])).sum())
    left_out = int((there & ~flat).sum())
    if wrong or left_out:
        words = [f"{wrong} of its {int(flat.sum())} polygons were invalid and have been mended"] if wrong else []
        words += [f"{left_out} shapes are no polygons and were left out"] if left_out else []
        warnings.warn(f"{path}: {'; '.join(words)}", HeadscarpWarning, stacklevel=2)
    mended = shapely.make_valid(shapes[flat])
    column = next((c for c in table.columns if str(c).lower() in _NAMES), None)
    names = [f"number {i + 1}" for i in range(len(table))] if column is None else [str(v) for v in table[column]]
    areas = Areas(Path(path), mended, tuple(np.array(names, object)[flat]), CRS.from_user_input(table.crs))
    _check_near(areas, what, near)
    return areas


def _check_near(areas: Areas, what: str, near: Sequence[tuple[float, float]]) -> None:
    if not near:
        return
    boxes = shapely.bounds(areas.shapes)
    corners = np.concatenate([boxes[:, [0, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]], boxes[:, [2, 1]]])
    lonlat = _way(areas.crs, _LONLAT)(corners).reshape(4, -1, 2)
    low, high = lonlat.min(axis=0) - _FAR_DEG, lonlat.max(axis=0) + _FAR_DEG
    for x, y in near:
        if ((low <= (x, y)) & ((x, y) <= high)).all(axis=1).any():
            return
    spans = [f"{low[:, k].min() + _FAR_DEG:.2f} to {high[:, k].max() - _FAR_DEG:.2f}" for k in (0, 1)]
    turned = any(((low <= (y, x)) & ((y, x) <= high)).all(axis=1).any() for x, y in near)
    hint = "; with x and y turned round they would: the file has latitude where longitude belongs" if turned else ""
    raise SourceError(
        f"none of the {what} of {areas.path} lies near a site: they cover longitudes {spans[0]} and latitudes "
        f"{spans[1]}{hint}; check the layer and its CRS"
    )


def _way(start: Any, end: Any) -> Any:
    turn = Transformer.from_crs(start, end, always_xy=True)
    return lambda xy: np.stack(turn.transform(xy[:, 0], xy[:, 1]), axis=1)
