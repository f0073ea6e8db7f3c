"""The verb planting: where trees lower the risk of landslides most, as a plan within a budget.

The risk with and without trees comes from the physics of shallow slides (infinite slope with root cohesion), or from a
bundle that judges the picture as it is and as it would be with trees. Only shallow slides count: roots hold nothing
below their depth, and nothing in mapped deep slides. Refuses budgets larger than the open ground.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.errors import BundleError, RecipeError, StackError
from headscarp.core.grid import Grid, footprint_lonlat, true_cell_size_m
from headscarp.core.scenarios import GENERATED
from headscarp.core.stack import VALID, fingerprint, stack_bands, stack_grid
from headscarp.nets import NETS
from headscarp.prediction.frames import frames_before, frames_of
from headscarp.prediction.futures import one_frame, scenario
from headscarp.prediction.plans import choose_cells
from headscarp.prediction.raster import predict
from headscarp.prediction.reforest import (
    NEEDED,
    SEEN,
    TREE_COVER,
    from_futures,
    look_of_woods,
    with_trees,
    woods_and_open,
)
from headscarp.prediction.shallow import Ground, physical_gain
from headscarp.sources.areas import open_areas
from headscarp.terrain import slope
from headscarp.terrain.roots import root_cohesion_kpa, root_growth
from headscarp.terrain.stability import ROOT_DEPTH_M, Soil
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import check_one_place

YEARS = (0, 5, 10, 15, 20, 30, 40)
PHYSICS, LEARNED = "physics", "learned"
PATCH_HA = 0.5
STEEPEST_DEG = 45.0
"""Steeper ground bears no planting."""
GENERATED_FUTURES = 8
_GROWN_DAYS = 3600.0

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Planting:
    """A plan and what it rests on, all (y, x) of the grid. risk: before. gain: less with grown trees on a cell. chosen:
    the plan. open_ground: where planting is allowed. beside: (risk, gain) of the model that did not choose, if any.

    source: "physics" or "learned". cell_ha: of a cell. years: after planting, and the promised share of the risk of the
    place that is taken away then."""

    grid: Grid
    elevation_m: Floats
    risk: Floats
    gain: Floats
    chosen: Bools
    open_ground: Bools
    source: str
    cell_ha: float
    years: tuple[tuple[int, float], ...]
    beside: tuple[Floats, Floats] | None
    settings: Mapping[str, Any]
    fingerprint: str

    @property
    def promised(self) -> float:
        """The share of the risk of the place that grown trees take away, as the model says."""
        return promised_share(self.risk, self.gain, self.chosen)

    @property
    def promised_beside(self) -> float:
        """The same by the model that did not choose; NaN without one."""
        return float("nan") if self.beside is None else promised_share(*self.beside, self.chosen)

    @property
    def ha(self) -> float:
        return float(self.chosen.sum()) * self.cell_ha


def plan_planting(
    stacks: Sequence[xr.Dataset | str | Path],
    *,
    budget_ha: float,
    risk: Bundle | str | Path | None = None,
    generator: Bundle | str | Path | None = None,
    by: str | None = None,
    date: str | None = None,
    candidates: Sequence[str | Path] = (),
    deep: Sequence[str | Path] = (),
    patch_ha: float = PATCH_HA,
    soil: Soil | None = None,
    roots_kpa: float | None = None,
    root_depth_m: float = ROOT_DEPTH_M,
    seed: int = 0,
) -> Planting:
    """A plan of planting for one place.

    stacks: one, with elevation and a picture (green, red, nir) or `tree_cover`; for a forecast those that `forecast`
    reads. risk: a bundle that gives probabilities by pixel, or a forecast, which needs a date. generator: a bundle that
    knows "reforestation"; without one, planted ground is given the look of the woods in the same picture. by:
    "physics" or "learned"; None: learned where there is a bundle. candidates: layers of polygons where planting is
    allowed, see `open_areas`; none: open ground of the picture. Slopes above 45 degrees are never planted. deep: layers
    of deep slides. patch_ha: the least patch. roots_kpa: of grown trees; None: by `root_cohesion_kpa`. root_depth_m:
    deeper slides are not held. Raises RecipeError, StackError, BundleError, SourceError.
    """
    bundle = None if risk is None else checked_risk(risk)
    if by not in (None, PHYSICS, LEARNED):
        raise RecipeError(f"by is {by!r}; plans are made by {PHYSICS} or {LEARNED}")
    if by == LEARNED and bundle is None:
        raise RecipeError("a learned plan needs a bundle that judges risk; give one before the stack, or use physics")
    if generator is not None and bundle is None:
        raise RecipeError("a generator only draws pictures; give a bundle that judges their risk as well")
    if not budget_ha > 0 or not patch_ha >= 0:
        raise RecipeError(f"the budget is {budget_ha} ha and a patch {patch_ha} ha; give numbers above 0")
    stack = _one_stack(stacks, bundle, date)
    grid = stack_grid(stack)
    cell_m = true_cell_size_m(grid)
    cell_ha = cell_m[0] * cell_m[1] / 1e4
    elevation, steep = _elevation(stack, cell_m)
    planes = _planes(stack)
    valid = np.isfinite(elevation) & np.isfinite(steep)
    if VALID in stack:
        valid &= stack[VALID].to_numpy() == 1
    open_ground = valid & (steep <= STEEPEST_DEG) & ~_inside(deep, "deep slides", grid)
    if candidates:
        longitude, latitude = footprint_lonlat(grid).mean(axis=0)
        open_ground &= _inside(candidates, "areas to plant", grid, [(longitude, latitude)])
    else:
        open_ground &= woods_and_open(planes)[1]
    cells, patch = int(budget_ha / cell_ha + 1e-6), max(1, round(patch_ha / cell_ha))
    if open_ground.any() and cells > open_ground.sum():
        raise RecipeError(
            f"the budget is {budget_ha:g} ha, but only {open_ground.sum() * cell_ha:.4g} ha can be planted; give at "
            "most as much"
        )
    kpa = root_cohesion_kpa() if roots_kpa is None else roots_kpa
    options = {"soil": soil or Soil(), "roots_kpa": kpa, "root_depth_m": root_depth_m}
    ground = Ground.of(elevation, np.where(valid, steep, np.nan), float(np.sqrt(cell_m[0] * cell_m[1])), **options)
    physics = physical_gain(ground, seed=seed)
    learned = None if bundle is None else _learned_gain(bundle, stack, planes, open_ground, generator)
    source = by or (PHYSICS if bundle is None else LEARNED)
    used, beside = (physics, learned) if source == PHYSICS or learned is None else (learned, physics)
    chosen = choose_cells(used[1], open_ground, cells=cells, patch_cells=patch)
    settings = {"budget_ha": budget_ha, "by": source, "patch_ha": patch_ha, "roots_kpa": kpa, "date": date}
    settings |= {"root_depth_m": root_depth_m, "risk": None if bundle is None else bundle.net}
    settings |= {"generator": generator is not None}
    years = _years(ground, used, chosen, source, seed)
    before, gain = used
    return Planting(
        grid, elevation, before, gain, chosen, open_ground, source, cell_ha, years, beside, settings, fingerprint(stack)
    )


def checked_risk(risk: Bundle | str | Path) -> Bundle:
    """The bundle, when its net gives probabilities of landslides. Raises BundleError."""
    bundle = as_bundle(risk)
    if bundle.net not in NETS or NETS[bundle.net].makes_pictures or not NETS[bundle.net].needs_labels:
        raise BundleError(
            f"the bundle holds the net {bundle.net!r}, which gives no risk; train one on landslides, such as --net nn, "
            "or a forecast"
        )
    return bundle


def _one_stack(stacks: Sequence[xr.Dataset | str | Path], bundle: Bundle | None, date: str | None) -> xr.Dataset:
    if bundle is not None and NETS[bundle.net].judges_places:
        if date is None:
            raise RecipeError("a forecast judges a place from a day on; say which, such as --date 2014-07-29")
        return frames_before(stacks, date, bands=bundle.bands, frames=frames_of(bundle))
    if len(stacks) != 1:
        raise RecipeError(
            f"{len(stacks)} stacks were given; give the one stack of the place (a forecast reads several)"
        )
    stack = as_stack(stacks[0])
    check_one_place(stack)
    return one_frame(stack, date)[0]


def _elevation(stack: xr.Dataset, cell_m: tuple[float, float]) -> tuple[Floats, Floats]:
    if "elevation" not in stack or stack["elevation"].ndim != 2:
        raise StackError(
            "the stack has no band 'elevation' without frames, which slopes are made of; build it with one"
        )
    elevation = np.ascontiguousarray(stack["elevation"].to_numpy(), np.float32)
    padded = np.pad(elevation, 1, mode="edge")
    return elevation, np.asarray(slope(padded, cell_m)[1:-1, 1:-1])


def _planes(stack: xr.Dataset) -> dict[str, Floats]:
    """The bands that tell of trees, in memory."""
    return {b.name: stack[b.name].to_numpy() for b in stack_bands(stack) if b.name in (*SEEN, *NEEDED, TREE_COVER)}


def _inside(layers: Sequence[str | Path], what: str, grid: Grid, near: Sequence[tuple[float, float]] = ()) -> Bools:
    """(y, x) cells whose middle lies in an area of the layers; see `open_areas`."""
    inside = np.zeros(tuple(grid.shape), np.bool_)
    for path in layers:
        inside |= open_areas(path, what, near).cells(grid)
    return inside


def _learned_gain(
    bundle: Bundle, stack: xr.Dataset, planes: Mapping[str, Floats], open_ground: Bools, generator: Any
) -> tuple[Floats, Floats]:
    """(y, x) risk by the bundle, and how much less it is with trees on all open ground."""
    woods, _ = woods_and_open(planes)
    with tempfile.TemporaryDirectory() as folder:
        if generator is None:
            made = with_trees(planes, open_ground, look_of_woods(planes, woods))
        else:
            if "time" in stack.dims:
                raise RecipeError("a generator draws single pictures, and a forecast reads frames; leave it out")
            drawn = scenario(
                generator, stack, Path(folder) / "futures", task="reforestation", samples=GENERATED_FUTURES,
                after_days=_GROWN_DAYS,
            )  # fmt: skip
            look = look_of_woods(planes, woods) if woods.sum() else None
            made = from_futures(planes, open_ground, [_bands_of(path) for path in drawn.futures], look)
        changed = stack.assign({n: (stack[n].dims, p.astype(np.float32), stack[n].attrs) for n, p in made.items()})
        changed = changed.assign_attrs(fingerprint=f"{fingerprint(stack)} planted")
        before, after = (
            _risk_map(bundle, one, Path(folder) / f"{name}.tif")
            for name, one in (("before", stack), ("after", changed))
        )
    return before, before - after


def _risk_map(bundle: Bundle, stack: xr.Dataset, path: Path) -> Floats:
    predict(bundle, stack, path, block_px=512)
    with rasterio.open(path) as file:
        names = [str(name) for name in file.descriptions]
        hazard = [i for i, name in enumerate(names, start=1) if name.startswith("hazard: ")]
        if not hazard:
            return np.asarray(file.read(1), np.float64)
        where = file.read(names.index("where") + 1)
        return np.asarray(file.read(hazard[-1]) * where, np.float64)


def _bands_of(path: Path) -> dict[str, Floats]:
    with rasterio.open(path) as file:
        return {str(n).removeprefix(f"{GENERATED}: "): p for n, p in zip(file.descriptions, file.read(), strict=True)}


def _years(
    ground: Ground, used: tuple[Floats, Floats], chosen: Bools, source: str, seed: int
) -> tuple[tuple[int, float], ...]:
    """The promise over the years: by the physics with roots of that age; of a learned gain, as roots grow."""
    told = []
    for year in YEARS:
        share = float(root_growth(year))
        gain = share * used[1]
        if source == PHYSICS:
            gain = used[0] - ground.risk(share * ground.roots_kpa, seed)
        told.append((year, promised_share(used[0], gain, chosen)))
    return tuple(told)


def promised_share(risk: Floats, gain: Floats, chosen: Bools) -> float:
    """The share of the risk of a place that a plan takes away by a model; 0 where there is no risk. All (y, x)."""
    total = float(np.nansum(risk))
    return float(np.nansum(gain[chosen])) / total if total > 0 else 0.0
