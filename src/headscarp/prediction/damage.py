"""The verb damage: from where slides may start to the ground that they may bury, and what stands on it.

Sources are maps: futures of `scenario`, or one map of probabilities cut at a threshold. Runouts are drawn from them,
each with a travel angle of its own. Refuses maps on another grid than the DEM. It says which ground may be reached:
nothing of depth or force, and nothing certain of a single building.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.features import rasterize

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path, write_text
from headscarp.core.errors import OutputError, RecipeError, SourceError, StackError
from headscarp.core.grid import Grid, true_cell_size_m
from headscarp.core.progress import progress
from headscarp.core.provenance import made_by, write_stac_item
from headscarp.core.scenarios import GENERATED, GENERATED_TAG, GENERATED_WORDS
from headscarp.core.stack import stack_grid
from headscarp.core.tile import Window
from headscarp.nets.net import Output
from headscarp.prediction.cog import write_cog
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.workfile import WorkFile
from headscarp.sources.formats import Vector, read_table
from headscarp.terrain.runout import runout
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place

DRAWS, SCATTER = 100, 0.1
QUANTILES = (0.05, 0.5, 0.95)
BURIAL = "burial_probability"
_AREA = "buried area, km2"


@dataclass(frozen=True)
class Damage:
    """What was written: map of burial probability, table of quantiles, layers of what is exposed (None without any).

    quantiles: by what is counted, at QUANTILES over the draws."""

    map: Path
    table: Path
    layers: Path | None
    quantiles: Mapping[str, tuple[float, ...]]


def damage(
    sources: str | Path | Sequence[str | Path],
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    exposed: Sequence[str | Path] = (),
    threshold: float = 0.5,
    angle_deg: float | None = None,
    scatter: float = SCATTER,
    draws: int = DRAWS,
    seed: int = 0,
    overwrite: bool = False,
) -> Damage:
    """Writes the probability that each cell is buried, quantiles of the area, and what is exposed; returns where.

    sources: a folder of futures, or maps; of a map with a band "changed" that one counts, else the first. Draws take
    the maps in turn. stack: of the same grid, with elevation. exposed: vector layers. threshold: from which on a cell
    of a map is a source. angle_deg: of reach; None: by the area of each slide. scatter: standard deviation of log10 of
    the tangent of that angle, drawn once a draw; 0 for none. Raises RecipeError, StackError, SourceError, OutputError.
    """
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"the map of burial is a GeoTIFF, but --out is {out}; give a name that ends in .tif")
    if not 1 <= draws <= 10_000:
        raise RecipeError(f"{draws} draws were asked for; give a number from 1 to 10000")
    if not 0 <= scatter <= 1 or not 0 < threshold <= 1:
        raise RecipeError(f"scatter is {scatter} and threshold {threshold}; give 0 to 1, and above 0 to 1")
    stack = as_stack(stack)
    check_one_place(stack)
    if "elevation" not in stack or stack["elevation"].ndim != 2:
        raise StackError("the stack has no band 'elevation' without frames, which slides run down; build it with one")
    grid = stack_grid(stack)
    maps = [_Source.open(path, grid) for path in source_maps(sources)]
    check_output(out, overwrite=overwrite)
    layers = [_Layer.open(path, grid) for path in exposed]
    dem, cell_m = stack["elevation"].to_numpy(), true_cell_size_m(grid)
    rng = np.random.default_rng(seed)
    buried = np.zeros(dem.shape, np.uint16)
    held: dict[str, list[float]] = {_AREA: [], **{f"{layer.name}, reached": [] for layer in layers}}
    starts: dict[int, NDArray[np.bool_]] = {}
    with progress("runout", draws) as bar:
        for draw in range(draws):
            at = draw % len(maps)
            if at not in starts:
                starts = {at: maps[at].cells(threshold)}  # one map in memory at a time
            reached = runout(dem, starts[at], cell_m, angle_deg=angle_deg, factor=float(10 ** rng.normal(0.0, scatter)))
            buried += reached
            held[_AREA].append(float(reached.sum()) * cell_m[0] * cell_m[1] / 1e6)
            for layer in layers:
                held[f"{layer.name}, reached"].append(float(layer.count(reached)))
            bar.advance()
    generated = any(source.generated for source in maps)
    settings = {"threshold": threshold, "angle_deg": angle_deg, "scatter": scatter, "draws": draws}
    made = made_by("damage", settings=settings, inputs=[{"name": m.path.name} for m in maps], seed=seed)
    probability = np.where(np.isfinite(dem), buried / np.float32(draws), np.nan).astype(np.float32)
    quantiles = {what: tuple(float(q) for q in np.quantile(values, QUANTILES)) for what, values in held.items()}
    table = write_text(out.with_suffix(".csv"), _table(quantiles, held))
    gpkg = _write_layers(out.with_suffix(".gpkg"), layers, draws) if layers else None
    return Damage(_write_map(out, probability, grid, made, generated=generated), table, gpkg, quantiles)


def source_maps(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """The maps that are meant: those given, or the futures of a folder. Raises SourceError where there are none."""
    given = [Path(sources)] if isinstance(sources, (str, Path)) else [Path(path) for path in sources]
    found = [map_ for path in given for map_ in (sorted(path.glob("future-*.tif")) if path.is_dir() else [path])]
    if not found:
        raise SourceError(f"{given[0] if given else 'nothing'} holds no futures; draw some with: headscarp scenario")
    return found


@dataclass(frozen=True)
class _Source:
    """A map of where slides start: which band of it counts."""

    path: Path
    band: int
    generated: bool

    @staticmethod
    def open(path: Path, grid: Grid) -> "_Source":
        try:
            with rasterio.open(path) as file:
                if file.shape != tuple(grid.shape) or not file.transform.almost_equals(grid.affine, 1e-6):
                    raise SourceError(f"{path} is not on the grid of the stack; predict it from that stack")
                names = [str(name) for name in file.descriptions]
                band = next((i for i, name in enumerate(names, start=1) if name.endswith(": changed")), 1)
                return _Source(path, band, GENERATED_TAG in file.tags())
        except RasterioError as error:
            raise SourceError(
                f"{path} cannot be read as a raster ({error}); give a map or a folder of futures"
            ) from error

    def cells(self, threshold: float) -> NDArray[np.bool_]:
        with rasterio.open(self.path) as file:
            return np.asarray(np.nan_to_num(file.read(self.band)) >= threshold)


class _Layer:
    """Features that may be buried, each with the cells that it touches, and how often it was reached."""

    def __init__(self, name: str, table: Any, cells: Sequence[NDArray[np.int64]]) -> None:
        self.name, self.table = name, table
        self.there = np.array([len(c) > 0 for c in cells])
        kept = [c for c in cells if len(c)]
        self.cells = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        self.starts = np.concatenate([[0], np.cumsum([len(c) for c in kept])[:-1]]).astype(np.int64) if kept else None
        self.hits = np.zeros(int(self.there.sum()), np.int64)

    @staticmethod
    def open(path: str | Path, grid: Grid) -> "_Layer":
        table = read_table(Vector(str(path)))
        if "geometry" not in table or table.crs is None or not len(table):
            raise SourceError(f"{path} has no shapes with a coordinate system; give a layer of what may be buried")
        return _Layer(Path(path).stem, table, [_cells(shape, grid) for shape in table.to_crs(grid.crs).geometry])

    def count(self, reached: NDArray[np.bool_]) -> int:
        """How many features a runout reaches."""
        if self.starts is None:
            return 0
        hit = np.logical_or.reduceat(reached.ravel()[self.cells], self.starts)
        self.hits += hit
        return int(hit.sum())

    def with_probability(self, draws: int) -> Any:
        probability = np.full(len(self.table), np.nan)
        probability[self.there] = self.hits / draws
        return self.table.assign(**{BURIAL: probability})


def _cells(shape: Any, grid: Grid) -> NDArray[np.int64]:
    """Flat indices of the cells that a shape touches; none where it lies outside."""
    if shape is None or shape.is_empty:
        return np.zeros(0, np.int64)
    left, bottom, right, top = shape.bounds
    corners = [~grid.affine @ corner for corner in ((left, top), (right, bottom), (left, bottom), (right, top))]
    ends = [(math.floor(min(c[k] for c in corners)) - 1, math.ceil(max(c[k] for c in corners)) + 1) for k in (1, 0)]
    window = Window(ends[0][0], ends[1][0], ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]).clip(
        (grid.shape[0], grid.shape[1])
    )
    if not window.height or not window.width:
        return np.zeros(0, np.int64)
    there = grid.affine @ Affine.translation(window.col, window.row)
    mask = rasterize([shape], (window.height, window.width), transform=there, all_touched=True)
    y, x = np.nonzero(mask)
    return np.asarray((y + window.row) * grid.shape[1] + x + window.col, np.int64)


def _table(quantiles: Mapping[str, tuple[float, ...]], held: Mapping[str, Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["what", "mean", *(f"quantile {q:g}" for q in QUANTILES)])
    for what, values in quantiles.items():
        writer.writerow([what, f"{np.mean(held[what]):.6g}", *(f"{v:.6g}" for v in values)])
    return text.getvalue()


def _write_layers(path: Path, layers: Sequence[_Layer], draws: int) -> Path:
    partial = partial_path(path).with_suffix(".gpkg")
    with clear_os_errors(path):
        partial.unlink(missing_ok=True)
        for layer in layers:
            layer.with_probability(draws).to_file(partial, layer=layer.name, driver="GPKG", engine="pyogrio")
    return finish(partial, path)


def _write_map(out: Path, pixels: NDArray[np.float32], grid: Grid, made: Mapping[str, Any], *, generated: bool) -> Path:
    name = f"{GENERATED}: probability of burial" if generated else "probability of burial"
    output = Output(name)
    work = WorkFile(out.with_name(f".{out.name}.work"), 1, (pixels.shape[0], pixels.shape[1]))
    work.create()
    made_pixels = np.ascontiguousarray(pixels[None])
    facts = finish_block(made_pixels, np.isfinite(pixels))
    work.write(Window(0, 0, *work.shape), made_pixels)
    about = {GENERATED_TAG: GENERATED_WORDS} if generated else None
    partial = write_cog(work, grid, partial_path(out), outputs=[output], summaries=summarise([facts], 1), about=about)
    bands = [{"name": name, "description": name, "unit": "1", "nodata": "nan"}]
    write_stac_item(out, grid, made, bands=bands, more={f"headscarp:{GENERATED}": True} if generated else None)
    work.path.unlink(missing_ok=True)
    return finish(partial, out)
