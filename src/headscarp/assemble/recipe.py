"""The recipe of a stack: a complete TOML file, read into frozen values and checked.

Refuses keys it does not know (naming the nearest one that it does), bands without a source, and names given twice.
It opens none of the files that it names. The sections [train] and [compare] stay plain values for whoever uses them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from headscarp.assemble.keys import as_table, make, nearest, plain
from headscarp.core.errors import RecipeError
from headscarp.core.stack import LABEL, VALID
from headscarp.sources.datasets import dataset_file

DEFAULT_MAX_M = 10_000.0
"""Distances are told up to this where a band names no max_m: further away a fault or road no longer matters."""

KINDS = ("continuous", "direction", "categorical")
RESAMPLINGS = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode", "med", "min", "max")
NEIGHBOUR_TERRAIN = ("slope", "aspect", "plan_curvature", "profile_curvature", "total_curvature")
RADIUS_TERRAIN = ("relief", "topographic_position")
WHOLE_TERRAIN = ("flow_accumulation", "wetness_index")
METHODS = ("horn", "zevenbergen_thorne")
SPLIT_KEYS = ("kind", "block_size_m", "buffer_m", "folds", "fold", "tile_px", "seed", "shares")

_RESERVED = (LABEL, VALID, "x", "y", "time", "sample", "spatial_ref")


@dataclass(frozen=True)
class GridRecipe:
    """Either the grid of a raster (like), or a CRS with a resolution in metres and, optionally, bounds in that CRS."""

    like: str | None = None
    crs: str | None = None
    resolution_m: float | None = None
    bounds: tuple[float, ...] | None = None


@dataclass(frozen=True)
class RasterBand:
    """A band of a raster file. classes: code -> label; codes: a CSV of code,label. nodata: instead of the file's."""

    name: str
    raster: str
    kind: str = "continuous"
    units: str = "1"
    index: int = 1
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    resampling: str | None = None
    classes: Mapping[str, str] | None = None
    codes: str | None = None


@dataclass(frozen=True)
class TerrainBand:
    """A band derived from an elevation band of the same recipe."""

    name: str
    terrain: str
    from_: str
    method: str | None = None
    radius_m: float | None = None


@dataclass(frozen=True)
class VectorBand:
    """A categorical band of polygons by one of their attributes."""

    name: str
    vector: str
    attribute: str
    layer: str | None = None
    where: str | None = None
    all_touched: bool = False
    classes: Mapping[str, str] | None = None
    codes: str | None = None


@dataclass(frozen=True)
class DistanceBand:
    """A continuous band: metres to the nearest feature, at most max_m."""

    name: str
    distance_to: str
    max_m: float = DEFAULT_MAX_M
    layer: str | None = None
    where: str | None = None


BandRecipe = RasterBand | TerrainBand | VectorBand | DistanceBand
_BANDS: dict[str, type] = {
    "raster": RasterBand,
    "terrain": TerrainBand,
    "vector": VectorBand,
    "distance_to": DistanceBand,
}


@dataclass(frozen=True)
class AreaRecipe:
    """The study area: pixels outside these polygons are not valid."""

    polygons: str
    layer: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class LabelRecipe:
    """Landslides, from polygons (all other cells are "not") or from points of presence and absence (all others 255)."""

    polygons: str | None = None
    points: str | None = None
    layer: str | None = None
    where: str | None = None
    all_touched: bool = False
    x: str = "x"
    y: str = "y"
    value: str | None = None
    crs: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a stack, and what to do with it afterwards.

    label: one inventory, or several by the name of their band. folder: what relative paths start from.
    """

    name: str
    grid: GridRecipe
    bands: tuple[BandRecipe, ...]
    seed: int = 0
    area: AreaRecipe | None = None
    label: LabelRecipe | Mapping[str, LabelRecipe] | None = None
    split: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain values; paths stay as they were given."""
        tables = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name not in ("bands", "folder")}
        return {**tables, "band": [plain(band) for band in self.bands]}

    @property
    def labels(self) -> Mapping[str, LabelRecipe]:
        """The inventories by the name of their label band, in order: one from [label], or those of its named tables."""
        if self.label is None:
            return {}
        return {LABEL: self.label} if isinstance(self.label, LabelRecipe) else self.label

    def file(self, reference: str) -> Path:
        """The file behind a path or a "dataset:NAME/FILE" of this recipe. Raises SourceError."""
        if reference.startswith("dataset:"):
            return dataset_file(reference)
        return (self.folder / Path(reference).expanduser()).absolute()


def read_recipe(path: str | Path) -> Recipe:
    """A recipe from a TOML file. Raises RecipeError that names the section and key."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the recipe {path} cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error
    return recipe_from_dict(data, folder=path.absolute().parent)


def recipe_from_dict(data: Mapping[str, Any], *, folder: str | Path = ".") -> Recipe:
    """A recipe from plain values, as TOML gives them: see recipes/ for complete ones. Raises RecipeError."""
    public = [f.name for f in fields(Recipe) if f.name not in ("bands", "folder")]
    for key in data:
        nearest(str(key), (*public, "band"), "key", "the recipe")
    data = dict(data)
    bands = tuple(_band(table, number) for number, table in enumerate(as_table(data.pop("band", []), "[[band]]", list)))
    data["bands"] = bands
    data["grid"] = make(GridRecipe, data.get("grid"), "[grid]")
    if data.get("area") is not None:
        data["area"] = make(AreaRecipe, data["area"], "[area]")
    if data.get("label") is not None:
        data["label"] = _label(as_table(data["label"], "[label]"))
    recipe: Recipe = make(Recipe, {**data, "folder": Path(folder)}, "the recipe")
    _check_grid(recipe.grid)
    _check_bands(bands)
    _check_labels(recipe)
    for key in recipe.split:
        nearest(str(key), SPLIT_KEYS, "key", "[split]")
    return recipe


def _band(table: Any, number: int) -> BandRecipe:
    where = f"[[band]] {table.get('name', number + 1)!r}" if isinstance(table, Mapping) else f"[[band]] {number + 1}"
    table = dict(as_table(table, where))
    kinds = [key for key in _BANDS if key in table]
    if len(kinds) != 1:
        raise RecipeError(f"{where} has {' and '.join(kinds) or 'no source'}; give it one of {', '.join(_BANDS)}")
    if "from" in table:
        table["from_"] = table.pop("from")
    band: BandRecipe = make(_BANDS[kinds[0]], table, where)
    return band


def _label(table: Mapping[str, Any]) -> LabelRecipe | dict[str, LabelRecipe]:
    """One inventory, or one for each named table such as [label.scarp]."""
    named = {str(name): value for name, value in table.items() if isinstance(value, Mapping)}
    if not named:
        one: LabelRecipe = make(LabelRecipe, table, "[label]")
        return one
    if len(named) < len(table):
        loose = next(key for key in table if key not in named)
        raise RecipeError(
            f"[label] has the key {loose!r} beside the named table [label.{next(iter(named))}]; give either one "
            "inventory under [label], or a named table for each"
        )
    return {name: make(LabelRecipe, value, f"[label.{name}]") for name, value in named.items()}


def _check_grid(grid: GridRecipe) -> None:
    own = [key for key in ("crs", "resolution_m", "bounds") if getattr(grid, key) is not None]
    if grid.like is not None and own:
        raise RecipeError(f"[grid] has like and {', '.join(own)}; give either like, or crs and resolution_m")
    if grid.like is None and (grid.crs is None or grid.resolution_m is None):
        raise RecipeError('[grid] needs like = "some.tif", or crs = "EPSG:32633" and resolution_m = 30.0')
    if grid.resolution_m is not None and not 0 < grid.resolution_m < float("inf"):
        raise RecipeError(f"[grid] resolution_m is {grid.resolution_m}; it has to be a positive length in metres")
    if grid.bounds is not None:
        b = grid.bounds
        if len(b) != 4 or not (b[0] < b[2] and b[1] < b[3]):
            raise RecipeError(f"[grid] bounds are {list(b)}; needed: [xmin, ymin, xmax, ymax] in the grid's CRS")


def _check_bands(bands: tuple[BandRecipe, ...]) -> None:
    if not bands:
        raise RecipeError("the recipe has no [[band]]; add at least one with raster, vector, terrain or distance_to")
    names = [band.name for band in bands]
    for name in names:
        if names.count(name) > 1 or name in _RESERVED or not name:
            why = "is there twice" if names.count(name) > 1 else "is taken by the stack itself"
            raise RecipeError(f"the band name {name!r} {why}; give each band a name of its own")
    elevations = [b.name for b in bands if isinstance(b, RasterBand) and b.kind == "continuous"]
    for band in bands:
        where = f"[[band]] {band.name!r}"
        if isinstance(band, RasterBand):
            nearest(band.kind, KINDS, "kind", where)
            nearest(band.resampling or "nearest", RESAMPLINGS, "resampling", where)
            if band.kind != "categorical" and (band.classes is not None or band.codes is not None):
                raise RecipeError(f'{where} has classes but is {band.kind}; give it kind = "categorical"')
        if isinstance(band, RasterBand | VectorBand) and band.classes is not None and band.codes is not None:
            raise RecipeError(f"{where} has classes and codes; give one class table")
        if isinstance(band, TerrainBand):
            _check_terrain(band, elevations, where)
        if isinstance(band, DistanceBand) and not 0 < band.max_m < float("inf"):
            raise RecipeError(f"{where} has max_m = {band.max_m}; it has to be a positive length in metres")


def _check_terrain(band: TerrainBand, elevations: list[str], where: str) -> None:
    nearest(band.terrain, (*NEIGHBOUR_TERRAIN, *RADIUS_TERRAIN, *WHOLE_TERRAIN), "terrain", where)
    nearest(band.from_, elevations, "from", where)
    if band.method is not None:
        nearest(band.method, METHODS, "method", where)
        if band.terrain not in (*NEIGHBOUR_TERRAIN, "wetness_index"):
            raise RecipeError(f"{where} has a method, but {band.terrain} has none; leave method out")
    if (band.radius_m is not None) != (band.terrain in RADIUS_TERRAIN):
        needed = "needs radius_m, in metres" if band.terrain in RADIUS_TERRAIN else "has no radius; leave radius_m out"
        raise RecipeError(f"{where}: {band.terrain} {needed}")
    if band.radius_m is not None and not 0 < band.radius_m < float("inf"):
        raise RecipeError(f"{where} has radius_m = {band.radius_m}; it has to be a positive length in metres")


def _check_labels(recipe: Recipe) -> None:
    taken = {*(band.name for band in recipe.bands), *_RESERVED} - {LABEL}
    for name, label in recipe.labels.items():
        where = f"[label.{name}]" if isinstance(recipe.label, Mapping) else "[label]"
        if (label.polygons is None) == (label.points is None):
            raise RecipeError(f"{where} needs either polygons or points")
        if name in taken or not name:
            raise RecipeError(f"{where} makes a band {name!r}, and that name is taken; give the label another name")
