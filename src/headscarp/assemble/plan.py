"""From a recipe to the grid, the layers and the inputs of a stack: everything that can go wrong early does so here.

Opens every file that the recipe names and reads what is small (extents, class tables, shapes, points), but no raster's
pixels beyond the values of categories that have no class table.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headscarp.assemble.composite import METHODS, Looks, composite_layer
from headscarp.assemble.fetched import describe_fetched
from headscarp.assemble.grids import make_grid
from headscarp.assemble.keys import nearest
from headscarp.assemble.labels import check_shapes, label_layer
from headscarp.assemble.layers import (
    DistanceLayer,
    Layer,
    PointLabel,
    PolygonLabel,
    RasterLayer,
    TerrainLayer,
    VectorLayer,
    WholeLayer,
)
from headscarp.assemble.recipe import Recipe
from headscarp.assemble.spectral import rank, spectral_layer
from headscarp.assemble.tables import (
    NEIGHBOUR_TERRAIN,
    RADIUS_TERRAIN,
    WHOLE_TERRAIN,
    CompositeBand,
    DistanceBand,
    RasterBand,
    TerrainBand,
    VectorBand,
)
from headscarp.assemble.wanted import parse_dates, source_name
from headscarp.core.band import MAX_CLASSES, Band
from headscarp.core.errors import HeadscarpWarning, RecipeError, SourceError
from headscarp.core.grid import Grid, check_metres
from headscarp.core.provenance import describe_input
from headscarp.core.scenarios import GENERATED
from headscarp.core.stack import open_stack
from headscarp.sources.classes import ClassTable, attribute_table, class_table, code_text, read_code_list, values_table
from headscarp.sources.codelists import PREFIX as INSPIRE
from headscarp.sources.codelists import labels_present
from headscarp.sources.datasets import dataset_of
from headscarp.sources.rasters import Raster, grid_crs, prepare_raster, values_present
from headscarp.sources.stacks import StackBand, known_band, prepare_band
from headscarp.sources.vectors import Vector, load_features
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
    labels = tuple(label_layer(recipe, name, wanted, grid, counts) for name, wanted in recipe.labels.items())
    area = None
    if recipe.area is not None:
        area = Vector(str(recipe.file(recipe.area.polygons)), recipe.area.layer, recipe.area.where)
        check_shapes(area, grid, "area", counts)
    return Plan(grid, layers, labels, area, tuple(_inputs(recipe)), counts)


def _layers(recipe: Recipe, grid: Grid, counts: dict[str, Any]) -> list[Layer]:
    pads = {b.name: _pad(recipe, b.name, grid) for b in recipe.bands if isinstance(b, RasterBand)}
    rasters: dict[str, Raster | StackBand] = {}
    for band in recipe.bands:
        if isinstance(band, RasterBand) and source_name(band.raster):
            rasters[band.name] = prepare_band(recipe.file(band.raster), _band_of(band.raster), grid)[0]
        elif isinstance(band, RasterBand):
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
    layers: dict[str, Layer] = {}
    for band in sorted(recipe.bands, key=rank):
        if isinstance(band, RasterBand):
            layers[band.name] = _raster_layer(recipe, band, rasters[band.name], pads[band.name])
        elif isinstance(band, TerrainBand):
            layers[band.name] = _terrain_layer(recipe, band, grid, rasters[band.from_], pads[band.from_])
        elif isinstance(band, VectorBand):
            layers[band.name] = _vector_layer(recipe, band, grid, counts)
        elif isinstance(band, CompositeBand):
            layers[band.name] = _composite_layer(recipe, band)
        elif isinstance(band, DistanceBand):
            layers[band.name] = _distance_layer(recipe, band, grid, counts)
        else:
            layers[band.name] = spectral_layer(band, layers)
    return [layers[band.name] for band in recipe.bands]


def _raster_layer(recipe: Recipe, band: RasterBand, raster: Raster | StackBand, pad_px: int) -> RasterLayer:
    if isinstance(raster, StackBand):
        return _fetched_layer(band, raster, pad_px)
    origin = f"{GENERATED}: {band.raster}" if raster.generated else band.raster
    if band.kind != "categorical":
        made = Band(band.name, _kind(band), band.units, origin, optional=band.optional)
        return RasterLayer(made, raster, None, pad_px)
    table = _given_table(recipe, band, lambda: values_present(raster, limit=MAX_CLASSES))
    if table is None:
        attributes = attribute_table(raster.path, raster.index)
        if attributes is not None:
            table = class_table(attributes, f"the attribute table of {band.raster}")
        else:
            table = values_table(values_present(raster, limit=MAX_CLASSES), f"[[band]] {band.name!r}")
    return RasterLayer(Band(band.name, "categorical", band.units, origin, table.labels), raster, table, pad_px)


def _fetched_layer(band: RasterBand, raster: StackBand, pad_px: int) -> RasterLayer:
    """A band as it was fetched: its kind, units and classes are those of the source."""
    there = known_band(open_stack(raster.path), raster.band, raster.path)
    made = replace(there, name=band.name, source=f"{band.raster}: {there.source}", optional=band.optional)
    table = None
    if there.kind == "categorical":
        labels = {str(code): label for code, label in enumerate(there.classes, start=1)}
        table = class_table(labels, f"the classes of {band.raster}")
        made = replace(made, classes=table.labels)
    return RasterLayer(made, raster, table, pad_px)


def _composite_layer(recipe: Recipe, band: CompositeBand) -> Layer:
    nearest(band.method, METHODS, "method", f"[[band]] {band.name!r}")
    looks = Looks(parse_dates(band.dates), band.orbit, band.clear, band.grow_px, band.speckle, band.window_px)
    layer = composite_layer(
        band.name,
        str(recipe.file(band.composite)),
        band.of,
        band.method,
        looks,
        reference=parse_dates(band.reference),
        options={} if band.percent is None else {"percent": band.percent},
    )
    return replace(layer, band=replace(layer.band, optional=band.optional))


def _band_of(reference: str) -> str:
    name, _, band = reference.partition("/")
    if not band:
        raise RecipeError(f"{reference!r} names no band; needed: {name}/BAND, e.g. {name}/elevation")
    return band


def _terrain_layer(recipe: Recipe, band: TerrainBand, grid: Grid, raster: Raster | StackBand, pad_px: int) -> Layer:
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
    check_shapes(vector, grid, band.name, counts)
    values = [v for v in load_features(vector, grid).values if v is not None]
    table = _given_table(recipe, band, lambda: values) or values_table(values, f"[[band]] {band.name!r}")
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


def _given_table(
    recipe: Recipe, band: RasterBand | VectorBand, values: Callable[[], Iterable[Any]]
) -> ClassTable | None:
    """The class table that the recipe names; of a public code list the part that is among the values."""
    labels: Mapping[str, str] | None = band.classes
    if band.codes is not None and band.codes.startswith(INSPIRE):
        labels = labels_present(band.codes, values())
    elif band.codes is not None:
        labels = read_code_list(recipe.file(band.codes))
    return None if labels is None else class_table(labels, f"the class table of [[band]] {band.name!r}")


def margin_px(recipe: Recipe, grid: Grid) -> int:
    """Cells around the grid that are fetched with it, so that terrain at its edge knows its neighbours."""
    return max((_pad(recipe, band.name, grid) for band in recipe.bands if isinstance(band, RasterBand)), default=0)


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
    inputs = []
    for reference in recipe.references():
        if source_name(reference):
            inputs.append(describe_fetched(recipe.file(reference)))
            continue
        known = dataset_of(reference) if reference.startswith("dataset:") else None
        path: Path = recipe.file(reference)
        inputs.append(
            describe_input(path, licence=known.licence, citation=known.citation) if known else describe_input(path)
        )
    return inputs
