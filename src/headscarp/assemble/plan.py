"""From a recipe to the grid, the layers and the inputs of a stack: everything that can go wrong early does so here.

Opens every file that the recipe names and reads what is small (extents, class tables, shapes, points), but no raster's
pixels beyond the values of categories that have no class table.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headscarp.assemble.grids import make_grid
from headscarp.assemble.layers import (
    DistanceLayer,
    Layer,
    PointLabel,
    PolygonLabel,
    RasterLayer,
    TerrainLayer,
    VectorLayer,
    WholeLayer,
    label_points,
)
from headscarp.assemble.recipe import (
    NEIGHBOUR_TERRAIN,
    RADIUS_TERRAIN,
    WHOLE_TERRAIN,
    DistanceBand,
    LabelRecipe,
    RasterBand,
    Recipe,
    TerrainBand,
    VectorBand,
)
from headscarp.core.band import MAX_CLASSES, Band
from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.core.grid import Grid, check_metres
from headscarp.core.provenance import describe_input
from headscarp.sources.classes import ClassTable, attribute_table, class_table, code_text, read_code_list, values_table
from headscarp.sources.datasets import dataset_of
from headscarp.sources.points import Points
from headscarp.sources.rasters import Raster, grid_crs, prepare_raster, values_present
from headscarp.sources.vectors import Vector, cells_of, check_overlap, check_polygons, load_features
from headscarp.terrain import halo_px

UNITS = {
    "slope": "degree",
    "aspect": "degree",
    "plan_curvature": "1/m",
    "profile_curvature": "1/m",
    "total_curvature": "1/m2",
    "relief": "m",
    "topographic_position": "m",
    "flow_accumulation": "m2",
    "wetness_index": "1",
}


@dataclass(frozen=True)
class Plan:
    """What a build will do. layers: the feature bands in order. labels: a layer for each inventory. counts: shapes and
    points read, lost, mended, by band."""

    grid: Grid
    layers: tuple[Layer, ...]
    labels: tuple[PolygonLabel | PointLabel, ...]
    area: Vector | None
    inputs: tuple[dict[str, Any], ...]
    counts: dict[str, Any] = field(default_factory=dict)


def make_plan(recipe: Recipe) -> Plan:
    """The plan of a recipe. Raises RecipeError, GridError or SourceError; warns of mended shapes and lost labels."""
    grid = make_grid(recipe)
    if not grid_crs(grid).is_geographic:
        check_metres(grid)
    counts: dict[str, Any] = {}
    layers = tuple(_layers(recipe, grid, counts))
    labels = tuple(_label(recipe, name, wanted, grid, counts) for name, wanted in recipe.labels.items())
    area = None
    if recipe.area is not None:
        area = Vector(str(recipe.file(recipe.area.polygons)), recipe.area.layer, recipe.area.where)
        _polygons(area, grid, "area", counts)
    return Plan(grid, layers, labels, area, tuple(_inputs(recipe)), counts)


def _layers(recipe: Recipe, grid: Grid, counts: dict[str, Any]) -> list[Layer]:
    pads = {b.name: _pad(recipe, b.name, grid) for b in recipe.bands if isinstance(b, RasterBand)}
    rasters: dict[str, Raster] = {}
    for band in recipe.bands:
        if isinstance(band, RasterBand):
            rasters[band.name] = prepare_raster(
                recipe.file(band.raster),
                grid,
                kind=band.kind,
                index=band.index,
                nodata=band.nodata,
                scale=band.scale,
                offset=band.offset,
                resampling=band.resampling,
            )
    layers: list[Layer] = []
    for band in recipe.bands:
        if isinstance(band, RasterBand):
            layers.append(_raster_layer(recipe, band, rasters[band.name], pads[band.name]))
        elif isinstance(band, TerrainBand):
            layers.append(_terrain_layer(recipe, band, grid, rasters[band.from_], pads[band.from_]))
        elif isinstance(band, VectorBand):
            layers.append(_vector_layer(recipe, band, grid, counts))
        else:
            layers.append(_distance_layer(recipe, band, grid, counts))
    return layers


def _raster_layer(recipe: Recipe, band: RasterBand, raster: Raster, pad_px: int) -> RasterLayer:
    if band.kind != "categorical":
        return RasterLayer(Band(band.name, _kind(band), band.units, band.raster), raster, None, pad_px)
    table = _given_table(recipe, band)
    if table is None:
        attributes = attribute_table(raster.path, raster.index)
        if attributes is not None:
            table = class_table(attributes, f"the attribute table of {band.raster}")
        else:
            table = values_table(values_present(raster, limit=MAX_CLASSES), f"[[band]] {band.name!r}")
    return RasterLayer(Band(band.name, "categorical", band.units, band.raster, table.labels), raster, table, pad_px)


def _terrain_layer(recipe: Recipe, band: TerrainBand, grid: Grid, raster: Raster, pad_px: int) -> Layer:
    kind: Any = "direction" if band.terrain == "aspect" else "continuous"
    method = band.method or "horn"
    how = f"{band.terrain} of {band.from_}"
    if band.terrain in (*NEIGHBOUR_TERRAIN, "wetness_index"):
        how += f", {method}"
    if band.terrain in RADIUS_TERRAIN:
        how += f", {band.radius_m:g} m"
    made = Band(band.name, kind, UNITS[band.terrain], how)
    if band.terrain in WHOLE_TERRAIN:
        return WholeLayer(made, raster, pad_px, band.terrain, method)
    if band.terrain in RADIUS_TERRAIN:
        return TerrainLayer(made, raster, pad_px, band.terrain, radius_px=_radius_px(band, grid))
    together = dict.fromkeys(
        other.terrain
        for other in recipe.bands
        if isinstance(other, TerrainBand)
        and other.terrain in NEIGHBOUR_TERRAIN
        and (other.from_, other.method or "horn") == (band.from_, method)
    )
    return TerrainLayer(made, raster, pad_px, band.terrain, method, tuple(together))


def _vector_layer(recipe: Recipe, band: VectorBand, grid: Grid, counts: dict[str, Any]) -> VectorLayer:
    vector = Vector(str(recipe.file(band.vector)), band.layer, band.where, band.attribute)
    _polygons(vector, grid, band.name, counts)
    values = [v for v in load_features(vector, grid).values if v is not None]
    table = _given_table(recipe, band) or values_table(values, f"[[band]] {band.name!r}")
    unknown = sorted({code_text(v) for v in values} - set(table.codes))
    if unknown:
        counts[band.name]["unknown"] = unknown
    return VectorLayer(
        Band(band.name, "categorical", "1", f"{band.vector}: {band.attribute}", table.labels),
        vector,
        table,
        band.all_touched,
    )


def _distance_layer(recipe: Recipe, band: DistanceBand, grid: Grid, counts: dict[str, Any]) -> DistanceLayer:
    check_metres(grid)
    vector = Vector(str(recipe.file(band.distance_to)), band.layer, band.where)
    features = load_features(vector, grid)
    if len(features) == 0:
        raise SourceError(f"{vector.path} has no shapes to measure to; check the file, and where")
    if features.outside == len(features):
        warnings.warn(
            f"band {band.name!r}: no feature of {vector.path} touches the grid; check its CRS if that is not so",
            HeadscarpWarning,
            stacklevel=2,
        )
    counts[band.name] = {"features": features.total, "empty": features.empty, "repaired": features.repaired}
    return DistanceLayer(Band(band.name, "continuous", "m", f"distance to {band.distance_to}"), vector, band.max_m)


def _label(
    recipe: Recipe, name: str, wanted: LabelRecipe, grid: Grid, counts: dict[str, Any]
) -> PolygonLabel | PointLabel:
    if wanted.points is not None:
        points = Points(
            str(recipe.file(wanted.points)), wanted.x, wanted.y, wanted.value, wanted.crs, wanted.layer, wanted.where
        )
        cells = label_points(points, grid)
        counts[name] = {"total": cells.total, "outside": cells.outside, "shared": cells.shared}
        _tell(cells.outside, cells.total, f"labelled points of {points.path} lie outside the grid")
        _tell(cells.shared, cells.total, f"labelled points of {points.path} share their cell with another point")
        return PointLabel(Band(name, "label", "1", wanted.points), points)
    vector = Vector(str(recipe.file(str(wanted.polygons))), wanted.layer, wanted.where)
    _polygons(vector, grid, name, counts)
    features = load_features(vector, grid)
    lost = int((cells_of(features, grid, all_touched=wanted.all_touched) == 0).sum()) - features.outside
    counts[name] |= {"lost": lost, "all_touched": wanted.all_touched}
    _tell(features.outside, features.total, f"labels of {vector.path} lie outside the grid")
    hint = "all_touched = true under [label] keeps them, and makes all others a little larger"
    _tell(lost, features.total, f"labels of {vector.path} are smaller than a pixel and cover no cell centre; {hint}")
    return PolygonLabel(Band(name, "label", "1", str(wanted.polygons)), vector, wanted.all_touched)


def _polygons(vector: Vector, grid: Grid, name: str, counts: dict[str, Any]) -> None:
    """Checks a layer of polygons and counts what is in it."""
    features = load_features(vector, grid)
    check_polygons(features, vector)
    check_overlap(features, vector, grid)
    counts[name] = {
        "total": features.total,
        "empty": features.empty,
        "repaired": features.repaired,
        "outside": features.outside,
    }
    _tell(features.repaired, features.total, f"polygons of {vector.path} were invalid and have been mended")
    _tell(features.empty, features.total, f"rows of {vector.path} have no shape and were left out")


def _tell(count: int, total: int, what: str) -> None:
    if count > 0:
        warnings.warn(f"{count} of {total} {what}", HeadscarpWarning, stacklevel=2)


def _given_table(recipe: Recipe, band: RasterBand | VectorBand) -> ClassTable | None:
    labels: Mapping[str, str] | None = band.classes
    if band.codes is not None:
        labels = read_code_list(recipe.file(band.codes))
    return None if labels is None else class_table(labels, f"the class table of [[band]] {band.name!r}")


def _pad(recipe: Recipe, name: str, grid: Grid) -> int:
    """Cells around a window that the terrain bands made from this raster need."""
    pad = 0
    for band in recipe.bands:
        if isinstance(band, TerrainBand) and band.from_ == name and band.terrain not in WHOLE_TERRAIN:
            radius = _radius_px(band, grid) if band.terrain in RADIUS_TERRAIN else 0
            pad = max(pad, halo_px(band.terrain, radius_px=radius))
    return pad


def _radius_px(band: TerrainBand, grid: Grid) -> int:
    check_metres(grid)
    cell_m = (abs(grid.affine.a) + abs(grid.affine.e)) / 2
    radius = round(float(band.radius_m or 0) / cell_m)
    if not 1 <= radius <= 255:
        raise RecipeError(
            f"[[band]] {band.name!r} has radius_m = {band.radius_m:g}, which is {radius} cells of {cell_m:g} m; it has "
            "to be 1 to 255 cells"
        )
    return radius


def _kind(band: RasterBand) -> Any:
    return band.kind


def _inputs(recipe: Recipe) -> list[dict[str, Any]]:
    """Each file that the recipe names, once: its checksum, and where it is registered its licence and citation."""
    references: list[str | None] = [recipe.grid.like]
    for band in recipe.bands:
        references += [getattr(band, key, None) for key in ("raster", "vector", "distance_to", "codes")]
    references += [recipe.area.polygons] if recipe.area else []
    for label in recipe.labels.values():
        references += [label.polygons, label.points]
    inputs = []
    for reference in dict.fromkeys(r for r in references if r):
        known = dataset_of(reference) if reference.startswith("dataset:") else None
        path: Path = recipe.file(reference)
        inputs.append(
            describe_input(path, licence=known.licence, citation=known.citation) if known else describe_input(path)
        )
    return inputs
