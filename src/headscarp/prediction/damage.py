"""The verb damage: from where slides may start to the ground that they may bury, and what stands on it.

Sources are maps: futures of `scenario`, or one map of probabilities cut at a threshold. Runouts are drawn from them,
each with a travel angle of its own; futures that show all that is buried are taken as they are, and where the net that
drew them also says how likely each cell is, that is its probability. Refuses maps on another grid than the DEM. It says
which ground may be reached: nothing of depth or force, and nothing certain of a single building.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from headscarp.core.artefact import check_output, write_text
from headscarp.core.bundle import Bundle
from headscarp.core.errors import OutputError, RecipeError, SourceError, StackError
from headscarp.core.grid import Grid, true_cell_size_m
from headscarp.core.masks import LEAST, Together, least_rank, likely_counts
from headscarp.core.masks import LEVELS as RANKS
from headscarp.core.progress import progress
from headscarp.core.provenance import made_by
from headscarp.core.scenarios import GENERATED_TAG
from headscarp.core.stack import stack_grid
from headscarp.prediction.burial_files import QUANTILES, outlines_of, totals_table, write_burial, write_layers
from headscarp.prediction.exposed import Layer, People
from headscarp.prediction.futures import Futures, scenario
from headscarp.terrain.runout import runout
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place

DRAWS, SCATTER = 100, 0.1
LEVELS = (0.05, 0.25, 0.5, 0.75)
"""Probabilities from which on the layer `extent` outlines what is buried."""
EXTENT, BEST_MASK = "extent", "best_mask"
_KEPT = 128  # draws that are kept, as a bit a cell
_AREA = "buried area, km2"


@dataclass(frozen=True)
class Damage:
    """What was written: map of burial probability, table of quantiles, layers: `extent`, `best_mask`, what is exposed.

    quantiles: by what is counted, at QUANTILES over the draws."""

    map: Path
    table: Path
    layers: Path
    quantiles: Mapping[str, tuple[float, ...]]


def futures_folder(out: str | Path) -> Path:
    """Where futures are kept that are drawn for a map of burial."""
    out = Path(out)
    return out.with_name(f"{out.stem}-futures")


def damage_of_bundle(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    drawing: Mapping[str, Any],
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> tuple[Damage, Futures]:
    """As `damage`, from futures that a bundle draws of the place, kept in `futures_folder`; and these.

    With as_drawn, the guess of a net that has one is the probability of each cell: `likely` of `damage`. drawing: task,
    samples, after_days, date, workers of `scenario`. Raises what both raise.
    """
    out = _checked(out, overwrite=overwrite)
    _elevation(as_stack(stack))
    folder = futures_folder(out)
    drawn = scenario(bundle, stack, folder, resume=resume, overwrite=overwrite, **drawing)
    likely = drawn.likely if options.get("as_drawn") else None
    return damage(drawn.futures, stack, out, likely=likely, overwrite=overwrite, **options), drawn


def damage(
    sources: str | Path | Sequence[str | Path],
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    exposed: Sequence[str | Path] = (),
    people: str | Path | None = None,
    as_drawn: bool = False,
    likely: str | Path | None = None,
    threshold: float = 0.5,
    angle_deg: float | None = None,
    scatter: float = SCATTER,
    draws: int = DRAWS,
    seed: int = 0,
    overwrite: bool = False,
) -> Damage:
    """Writes the probability that each cell is buried, quantiles of the area, and what is exposed; returns where.

    sources: a folder of futures, or maps; of a map with a band "changed" that one counts, else the first. Draws take
    the maps in turn. stack: of the same grid, with elevation. out: .gpkg or .tif; the others stand beside it. exposed:
    vector layers. people: a raster of people per cell. as_drawn: the maps show all that is buried: each is one draw,
    and nothing runs further. likely: a map of how likely each cell is buried, by who drew these maps; probabilities are
    read from it, totals and what goes together from the draws. threshold: from which on a cell of a map is a source.
    angle_deg: of reach; None: by the area of each slide. scatter: standard deviation of log10 of the tangent of that
    angle, drawn once a draw; 0 for none. Raises RecipeError, StackError, SourceError, OutputError.
    """
    out = _checked(out, overwrite=overwrite)
    if not 1 <= draws <= 10_000:
        raise RecipeError(f"{draws} draws were asked for; give a number from 1 to 10000")
    if not 0 <= scatter <= 1 or not 0 < threshold <= 1:
        raise RecipeError(f"scatter is {scatter} and threshold {threshold}; give 0 to 1, and above 0 to 1")
    if likely is not None and not as_drawn:
        raise RecipeError("a map of how likely cells are buried was given, and slides are to run further; say as_drawn")
    stack = as_stack(stack)
    dem, grid = _elevation(stack), stack_grid(stack)
    guess = None if likely is None else _Source.open(Path(likely), grid).read()
    maps = [_Source.open(path, grid) for path in source_maps(sources)]
    layers = [Layer.open(path, grid) for path in exposed]
    counted: list[Layer | People] = [*layers, *([People.open(people, grid)] if people is not None else [])]
    cell_m = true_cell_size_m(grid)
    rng = np.random.default_rng(seed)

    def runs(start: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return runout(dem, start, cell_m, angle_deg=angle_deg, factor=float(10 ** rng.normal(0.0, scatter)))

    draws = len(maps) if as_drawn else draws
    buried, kept, held = _draw(maps, threshold, draws, None if as_drawn else runs, counted)
    share = (buried / np.float32(draws)).astype(np.float32)
    probability = np.where(np.isfinite(dem), share if guess is None else guess, np.nan).astype(np.float32)
    cell_km2 = cell_m[0] * cell_m[1] / 1e6
    held[_AREA] = [cells * cell_km2 for cells in held[_AREA]]
    generated = any(source.generated for source in maps)
    settings = {"threshold": threshold, "angle_deg": angle_deg, "scatter": scatter, "draws": draws}
    settings |= {"as_drawn": as_drawn, "guess": guess is not None}
    made = made_by("damage", settings=settings, inputs=[{"name": m.path.name} for m in maps], seed=seed)
    quantiles = {what: tuple(float(q) for q in np.quantile(values, QUANTILES)) for what, values in held.items()}
    table = write_text(out.with_suffix(".csv"), totals_table(quantiles, held))
    levels = {EXTENT: LEVELS, BEST_MASK: (_mask_from(kept, guess),)}
    own = {name: outlines_of(probability, at, grid, cell_km2) for name, at in levels.items()}
    own |= {layer.name: layer.with_probability(share, guess) for layer in layers}
    gpkg = write_layers(out.with_suffix(".gpkg"), own)
    map_ = write_burial(out.with_suffix(".tif"), probability, grid, made, generated=generated)
    return Damage(map_, table, gpkg, quantiles)


def _checked(out: str | Path, *, overwrite: bool) -> Path:
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff", ".gpkg"):
        raise OutputError(
            f"what may be buried is written as .gpkg and .tif, but --out is {out}; give one of these names"
        )
    for suffix in (".tif", ".gpkg"):
        check_output(out.with_suffix(suffix), overwrite=overwrite)
    return out


def _elevation(stack: xr.Dataset) -> NDArray[Any]:
    check_one_place(stack)
    if "elevation" not in stack or stack["elevation"].ndim != 2:
        raise StackError("the stack has no band 'elevation' without frames, which slides run down; build it with one")
    return np.asarray(stack["elevation"].to_numpy())


def _draw(
    maps: Sequence["_Source"],
    threshold: float,
    draws: int,
    runs: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None,
    counted: Sequence[Layer | People],
) -> tuple[NDArray[np.uint16], Together, dict[str, list[float]]]:
    """(y, x) how often each cell is buried; up to _KEPT of the draws; by what is counted its number in each draw.

    runs: from the cells where slides start to those that they reach; None: the maps show these already."""
    held: dict[str, list[float]] = {_AREA: []}
    starts: dict[int, NDArray[np.bool_]] = {}
    buried: NDArray[np.uint16] | None = None
    kept: Together | None = None
    keep = set(np.linspace(0, draws - 1, min(draws, _KEPT)).astype(int).tolist())
    with progress("runout", draws) as bar:
        for draw in range(draws):
            at = draw % len(maps)
            if at not in starts:
                starts = {at: maps[at].cells(threshold)}  # one map in memory at a time
            reached = starts[at] if runs is None else runs(starts[at])
            buried = reached.astype(np.uint16) if buried is None else buried + reached
            kept = kept or Together(reached.shape)
            if draw in keep:
                kept.add(reached)
            held[_AREA].append(float(reached.sum()))
            for one in counted:
                for what, number in one.count(reached).items():
                    held.setdefault(what, []).append(number)
            bar.advance()
    assert buried is not None
    assert kept is not None
    return buried, kept, held


def _mask_from(kept: Together, guess: NDArray[np.floating] | None) -> float:
    """The share of draws, or the guess, from which on cells are in the mask that agrees best with all draws, as the
    one mask of `scenario`; see `core.masks`."""
    if guess is None:
        return least_rank(kept.counts()) / kept.many
    return max(least_rank(likely_counts(guess)) / RANKS, LEAST)


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
        return np.asarray(np.nan_to_num(self.read()) >= threshold)

    def read(self) -> NDArray[np.floating]:
        with rasterio.open(self.path) as file:
            return np.asarray(file.read(self.band))
