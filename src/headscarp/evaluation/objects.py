"""How good an inventory is against another one: per object (found, missed, false) and per area, polygons only.

An object of the truth is found when at least a tenth of its area is covered; one of the inventory is false when less
than a tenth of its area lies on true ones; beside that, objects are matched one to one by intersection over union.
Areas are those of unions, so that what overlaps counts once. Knows no files. Refuses tables without a CRS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headscarp.core.errors import GridError, SourceError
from headscarp.evaluation.tables import OBJECT_PARTS

SIZE_EDGES_M2 = (1e3, 1e4, 1e5)
SIZE_CLASSES = OBJECT_PARTS[1:]
FOUND_SHARE = 0.1
"""Share of a true slide that has to be covered for it to be found, and of a mapped one to be no false one."""
MATCH_IOU = 0.5
BLOCK_M = 1000.0

Geometries = NDArray[Any]


@dataclass(frozen=True)
class Rules:
    """found_share, false_share: see the module. iou: from which on a pair is a match. block_m: side of the squares of
    ground that intervals resample."""

    found_share: float = FOUND_SHARE
    false_share: float = FOUND_SHARE
    iou: float = MATCH_IOU
    block_m: float = BLOCK_M


@dataclass(frozen=True)
class ObjectScores:
    """What was counted, object by object and block by block, from which metrics are made.

    truth, mapped: the objects of each. inside each: area_m2 (n,), covered (n,) share of its area on the other's union,
    matched (n,) bool, size (n,) class, block (n,) index. areas: (blocks, 3) m2 mapped, true and both, by block.
    """

    truth: Mapping[str, NDArray[Any]]
    mapped: Mapping[str, NDArray[Any]]
    areas: NDArray[np.float64]
    rules: Rules


def score_objects(
    inventory: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    area: gpd.GeoDataFrame | None = None,
    rules: Rules | None = None,
) -> ObjectScores:
    """Counts of an inventory against the truth, in true square metres.

    area: what was looked at; polygons are cut to it, and what lies outside counts nowhere. Everything is measured in an
    equal-area projection around the truth. Raises GridError for a table without a CRS, SourceError where the truth has
    no polygon in the area.
    """
    rules = rules or Rules()
    crs = equal_area_crs(truth)
    bound = None if area is None else shapely.union_all(_polygons(area, crs))
    true, mapped = _cut(_polygons(truth, crs), bound), _cut(_polygons(inventory, crs), bound)
    if not len(true):
        raise SourceError("the truth has no polygon in the scored area; check the files, their CRS and the area")
    meeting = _pieces(true, mapped)
    true_union, mapped_union = _apart(true), _apart(mapped)
    plain = true_union is true, mapped_union is mapped
    blocks, (true_block, mapped_block) = _blocks_of((true, mapped), rules.block_m)
    both = meeting if all(plain) else _pieces(true_union, mapped_union)
    areas = [_areas_by_block(group, blocks, rules.block_m) for group in (mapped_union, true_union, both.shapes)]
    matched = _matches(true, mapped, meeting, rules.iou)
    on_mapped = _covered(true, (meeting if plain[1] else _pieces(true, mapped_union)).own_areas)
    on_true = _covered(mapped, (meeting if plain[0] else _pieces(true_union, mapped)).other_areas)
    return ObjectScores(
        _objects(true, on_mapped, matched[0], true_block),
        _objects(mapped, on_true, matched[1], mapped_block),
        np.stack(areas, axis=1),
        rules,
    )


def equal_area_crs(table: gpd.GeoDataFrame) -> CRS:
    """Lambert's azimuthal equal-area projection around the middle of a table, in which areas are true.

    Raises GridError where the table has no CRS.
    """
    _check_crs(table)
    west, south, east, north = table.to_crs("EPSG:4326").total_bounds if len(table) else (0.0, 0.0, 0.0, 0.0)
    lon, lat = (round(float(np.nan_to_num(middle)), 6) for middle in ((west + east) / 2, (south + north) / 2))
    return CRS(f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")


def size_class(area_m2: NDArray[np.float64]) -> NDArray[np.int64]:
    """The position in SIZE_CLASSES of each area: (n,). An area on an edge belongs to the larger class."""
    return np.searchsorted(SIZE_EDGES_M2, area_m2, side="right")


def _objects(
    polygons: Geometries, covered: NDArray[np.float64], matched: NDArray[np.bool_], block: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    area_m2 = shapely.area(polygons)
    return {"area_m2": area_m2, "covered": covered, "matched": matched, "size": size_class(area_m2), "block": block}


def _polygons(table: gpd.GeoDataFrame, crs: CRS) -> Geometries:
    """The polygons of a table in a projection, mended, empty ones and other shapes left out; rows stay objects."""
    _check_crs(table)
    shapes = table.geometry.to_crs(crs).to_numpy()
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    broken = ~shapely.is_valid(shapes)
    if broken.any():
        shapes = shapes.copy()
        shapes[broken] = shapely.make_valid(shapes[broken], method="structure", keep_collapsed=False)
    return shapes[(shapely.get_dimensions(shapes) == 2) & (shapely.area(shapes) > 0)]


def _check_crs(table: gpd.GeoDataFrame) -> None:
    if table.crs is None:
        raise GridError("polygons without a coordinate system have no area; write the CRS into the file")


def _cut(polygons: Geometries, bound: Any) -> Geometries:
    if bound is None:
        return polygons
    shapely.prepare(bound)
    polygons = polygons[shapely.intersects(polygons, bound)]
    across = ~shapely.covers(bound, polygons)
    polygons[across] = shapely.intersection(polygons[across], bound)
    return polygons[shapely.area(polygons) > 0]


@dataclass(frozen=True)
class _Pieces:
    """Where two groups of polygons meet: positions in each, and the shape that both hold, pair by pair."""

    own: NDArray[np.int64]
    other: NDArray[np.int64]
    shapes: Geometries

    @property
    def own_areas(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.own, shapely.area(self.shapes)

    @property
    def other_areas(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.other, shapely.area(self.shapes)


def _pieces(polygons: Geometries, others: Geometries) -> _Pieces:
    if not len(polygons) or not len(others):
        none = np.zeros(0, np.int64)
        return _Pieces(none, none, np.zeros(0, object))
    own, other = shapely.STRtree(others).query(polygons, predicate="intersects")
    return _Pieces(own, other, shapely.intersection(polygons[own], others[other]))


def _apart(polygons: Geometries) -> Geometries:
    """The polygons with those that overlap made one, so that no ground is held twice; the very same where none do."""
    if not len(polygons):
        return polygons
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    first, second = first[first < second], second[first < second]
    shared = shapely.area(shapely.intersection(polygons[first], polygons[second])) > 0
    if not shared.any():
        return polygons
    links = coo_array((np.ones(int(shared.sum())), (first[shared], second[shared])), shape=(len(polygons),) * 2)
    group = connected_components(links, directed=False)[1]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    made = [polygons[one[0]] if len(one) == 1 else shapely.union_all(polygons[one]) for one in np.split(order, starts)]
    return np.array(made, object)


def _covered(polygons: Geometries, shared: tuple[NDArray[np.int64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The share of each polygon's area that lies in the pieces, which do not overlap: (n,) in [0, 1]."""
    covered = np.bincount(shared[0], shared[1], minlength=len(polygons))
    return np.clip(covered / shapely.area(polygons), 0, 1) if len(polygons) else np.zeros(0)


def _matches(
    true: Geometries, mapped: Geometries, meeting: _Pieces, least: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which true and which mapped objects have a partner, best pairs first, each object once."""
    found = np.zeros(len(true), bool), np.zeros(len(mapped), bool)
    t, m, both = meeting.own, meeting.other, shapely.area(meeting.shapes)
    iou = both / (shapely.area(true)[t] + shapely.area(mapped)[m] - both)
    enough = np.flatnonzero(iou >= least)
    for pair in enough[np.lexsort((m[enough], t[enough], -iou[enough]))].tolist():
        if not found[0][t[pair]] and not found[1][m[pair]]:
            found[0][t[pair]] = found[1][m[pair]] = True
    return found


def _blocks_of(groups: tuple[Geometries, ...], side_m: float) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The squares of ground that hold anything, (blocks, 2) column and row, and which one each centroid is in."""
    places = [np.floor(shapely.get_coordinates(shapely.centroid(group)) / side_m).astype(np.int64) for group in groups]
    reached = [_square_pairs(group, side_m)[1] for group in groups]
    blocks, where = np.unique(np.concatenate([*places, *reached]), axis=0, return_inverse=True)
    cuts = np.cumsum([len(place) for place in places])
    return blocks, np.split(where.reshape(-1)[: cuts[-1]], cuts[:-1])


def _square_pairs(shapes: Geometries, side_m: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each shape with each square that it meets: positions (n,), and columns and rows (n, 2)."""
    bounds = np.floor(shapely.bounds(shapes) / side_m).astype(np.int64)
    wide = (bounds[:, 2] - bounds[:, 0] + 1, bounds[:, 3] - bounds[:, 1] + 1)
    which = np.repeat(np.arange(len(shapes)), wide[0] * wide[1])
    within = np.arange(len(which)) - np.repeat(np.cumsum(wide[0] * wide[1]) - wide[0] * wide[1], wide[0] * wide[1])
    squares = np.stack([within % wide[0][which], within // wide[0][which]], axis=1) + bounds[which, :2]
    several = np.flatnonzero((wide[0] * wide[1])[which] > 1)
    met = np.ones(len(which), bool)
    shapely.prepare(shapes)
    met[several] = shapely.intersects(shapes[which[several]], _boxes(squares[several], side_m))
    return which[met], squares[met]


def _areas_by_block(shapes: Geometries, blocks: NDArray[np.int64], side_m: float) -> NDArray[np.float64]:
    """(blocks,) m2 of shapes that do not overlap, in each of the squares, which are in rising order."""
    shapes = shapes[shapely.area(shapes) > 0]
    which, squares = _square_pairs(shapes, side_m)
    area = shapely.area(shapes)[which]
    across = np.flatnonzero(np.bincount(which, minlength=len(shapes))[which] > 1)
    cut = shapely.intersection(shapes[which[across]], _boxes(squares[across], side_m))
    area[across] = shapely.area(cut)
    width = int(blocks[:, 1].max()) - int(blocks[:, 1].min()) + 1
    keys = [(xy[:, 0] - blocks[0, 0]) * width + xy[:, 1] - blocks[:, 1].min() for xy in (blocks, squares)]
    at = np.minimum(np.searchsorted(keys[0], keys[1]), len(blocks) - 1)
    known = keys[0][at] == keys[1]  # a corner that rounding put across an edge reaches a square with no area of its own
    return np.bincount(at[known], area[known], minlength=len(blocks)).astype(np.float64)


def _boxes(squares: NDArray[np.int64], side_m: float) -> Geometries:
    low = squares * side_m
    return np.asarray(shapely.box(low[:, 0], low[:, 1], low[:, 0] + side_m, low[:, 1] + side_m))
