"""The tables of a recipe as frozen values: what each section may say, and the checks that need no other section.

It reads no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headscarp.assemble.keys import as_table, make, nearest
from headscarp.assemble.wanted import source_name
from headscarp.core.errors import RecipeError
from headscarp.core.stack import LABEL, VALID

DEFAULT_MAX_M = 10_000.0
"""Distances are told up to this where a band names no max_m: further away a fault or road no longer matters."""

KINDS = ("continuous", "direction", "categorical")
RESAMPLINGS = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode", "med", "min", "max")
NEIGHBOUR_TERRAIN = ("slope", "aspect", "plan_curvature", "profile_curvature", "total_curvature")
RADIUS_TERRAIN = ("relief", "topographic_position")
WHOLE_TERRAIN = ("flow_accumulation", "wetness_index")
METHODS = ("horn", "zevenbergen_thorne")
SPLIT_KEYS = ("kind", "block_size_m", "buffer_m", "folds", "fold", "tile_px", "seed", "shares", "validation_share")

RESERVED = (LABEL, VALID, "x", "y", "time", "sample", "spatial_ref")


@dataclass(frozen=True)
class GridRecipe:
    """The grid of a raster (like), or a resolution in metres with a CRS, and optionally bounds in it, or with a place.

    A place is a box in degrees (bbox: west, south, east, north) or the extent of a file of shapes (place); without crs
    it lies in its UTM zone.
    """

    like: str | None = None
    crs: str | None = None
    resolution_m: float | None = None
    bounds: tuple[float, ...] | None = None
    bbox: tuple[float, ...] | None = None
    place: str | None = None


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
    optional: bool = False


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


@dataclass(frozen=True)
class CompositeBand:
    """A band made of the frames of a fetched series: see headscarp.assemble.composite for what the keys mean."""

    name: str
    composite: str
    of: str
    method: str = "median"
    dates: str | None = None
    reference: str | None = None
    percent: float | None = None
    orbit: str | None = None
    clear: tuple[str, ...] | None = None
    grow_px: int = 0
    speckle: str | None = None
    window_px: int = 7
    optional: bool = False


@dataclass(frozen=True)
class SpectralBand:
    """An index, such as ndvi, of bands of the same recipe. prefix: what their names have in front of red, nir, ...

    optional None: as the bands that it is made of.
    """

    name: str
    spectral: str
    prefix: str = ""
    optional: bool | None = None


@dataclass(frozen=True)
class ChangeBand:
    """An index, or a band, after an event minus the same before it. before, after: prefixes of the bands of each date.

    optional None: as the bands that it is made of.
    """

    name: str
    change: str
    before: str = "before_"
    after: str = "after_"
    optional: bool | None = None


@dataclass(frozen=True)
class SeenBand:
    """A categorical band: "seen" where all images whose names begin with one of these prefixes have a value."""

    name: str
    seen: tuple[str, ...]


BandRecipe = RasterBand | TerrainBand | VectorBand | DistanceBand | CompositeBand | SpectralBand | ChangeBand | SeenBand
BANDS: dict[str, type] = {
    "raster": RasterBand,
    "terrain": TerrainBand,
    "vector": VectorBand,
    "distance_to": DistanceBand,
    "composite": CompositeBand,
    "spectral": SpectralBand,
    "change": ChangeBand,
    "seen": SeenBand,
}


@dataclass(frozen=True)
class AreaRecipe:
    """The study area: pixels outside these polygons are not valid."""

    polygons: str
    layer: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class LabelRecipe:
    """Landslides, from polygons (all other cells are "not") or from points of presence and absence (all others 255).

    complete: polygons inside which the inventory is complete; "not" is said only there, all other cells are 255.
    """

    polygons: str | None = None
    points: str | None = None
    complete: str | None = None
    layer: str | None = None
    where: str | None = None
    all_touched: bool = False
    x: str = "x"
    y: str = "y"
    value: str | None = None
    crs: str | None = None


def band_from_table(table: Any, number: int) -> BandRecipe:
    where = f"[[band]] {table.get('name', number + 1)!r}" if isinstance(table, Mapping) else f"[[band]] {number + 1}"
    table = dict(as_table(table, where))
    kinds = [key for key in BANDS if key in table]
    if len(kinds) != 1:
        raise RecipeError(f"{where} has {' and '.join(kinds) or 'no source'}; give it one of {', '.join(BANDS)}")
    if "from" in table:
        table["from_"] = table.pop("from")
    band: BandRecipe = make(BANDS[kinds[0]], table, where)
    return band


def label_from_table(table: Mapping[str, Any]) -> LabelRecipe | dict[str, LabelRecipe]:
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


def check_grid(grid: GridRecipe) -> None:
    """Raises RecipeError unless the grid is said in exactly one way."""
    own = [key for key in ("crs", "resolution_m", "bounds", "bbox", "place") if getattr(grid, key) is not None]
    if grid.like is not None and own:
        raise RecipeError(f"[grid] has like and {', '.join(own)}; give either like, or crs and resolution_m")
    where = [key for key in ("bounds", "bbox", "place") if getattr(grid, key) is not None]
    if len(where) > 1:
        raise RecipeError(f"[grid] has {' and '.join(where)}; give one of them")
    if grid.like is None and (grid.resolution_m is None or (grid.crs is None and not {"bbox", "place"} & {*where})):
        raise RecipeError(
            '[grid] needs like = "some.tif", or resolution_m = 30.0 with crs = "EPSG:32633" or with '
            "bbox = [west, south, east, north]"
        )
    if grid.resolution_m is not None and not 0 < grid.resolution_m < float("inf"):
        raise RecipeError(f"[grid] resolution_m is {grid.resolution_m}; it has to be a positive length in metres")
    if grid.bounds is not None:
        b = grid.bounds
        if len(b) != 4 or not (b[0] < b[2] and b[1] < b[3]):
            raise RecipeError(f"[grid] bounds are {list(b)}; needed: [xmin, ymin, xmax, ymax] in the grid's CRS")


def check_bands(bands: tuple[BandRecipe, ...]) -> None:
    if not bands:
        raise RecipeError("the recipe has no [[band]]; add at least one with raster, vector, terrain or distance_to")
    names = [band.name for band in bands]
    for name in names:
        if names.count(name) > 1 or name in RESERVED or not name:
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
            if band.kind != "continuous" and band.optional:
                raise RecipeError(f"{where} is {band.kind} and optional; holes in it leave cells valid: leave it out")
        if isinstance(band, RasterBand | VectorBand) and band.classes is not None and band.codes is not None:
            raise RecipeError(f"{where} has classes and codes; give one class table")
        if isinstance(band, TerrainBand):
            _check_terrain(band, elevations, where)
        if isinstance(band, CompositeBand) and not source_name(band.composite):
            raise RecipeError(f'{where} has composite = {band.composite!r}; needed: "source:NAME" of a [[source]]')
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
