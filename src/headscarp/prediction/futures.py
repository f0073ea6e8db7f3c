"""The verb scenario: suites of pictures of what a place would look like after a task, and maps of their spread.

Each future is a map as `predict` makes it, so any size in constant memory and resumable; all say that they were
generated.
Refuses tasks that the bundle does not know, and nets that make no pictures.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr

from headscarp.core.artefact import check_output, finish, partial_path
from headscarp.core.band import Band
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.dates import day_of
from headscarp.core.domains import CLOUD
from headscarp.core.errors import BundleError, HeadscarpWarning, RecipeError, StackError
from headscarp.core.grid import footprint_lonlat
from headscarp.core.provenance import made_by, write_stac_item
from headscarp.core.scenarios import GENERATED, GENERATED_TAG, GENERATED_WORDS, task_code
from headscarp.core.stack import VALID, band_attrs, fingerprint, stack_bands, stack_grid
from headscarp.core.tile import Tile, windows
from headscarp.imagery.clouds import clear_looks
from headscarp.nets import NETS, net_from_bundle
from headscarp.nets.futures import FutureNet
from headscarp.nets.net import Output
from headscarp.prediction.cog import write_cog
from headscarp.prediction.drawing import draw_futures
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.strange import warn_where_strange
from headscarp.prediction.workfile import WorkFile
from headscarp.tiles.dataset import as_stack, raster_shape
from headscarp.tiles.fits import check_one_place

BLOCK_PX = 512
SPREAD = "spread.tif"
_MOST = 1000
_QUALITY = "quality"


@dataclass(frozen=True)
class Futures:
    """What was written: futures, a COG each; spread, one COG; the task."""

    task: str
    futures: tuple[Path, ...]
    spread: Path


def scenario(
    bundle: Bundle | str | Path,
    stack: xr.Dataset | str | Path,
    out: str | Path,
    *,
    task: str,
    samples: int = 16,
    after_days: float | None = None,
    date: str | None = None,
    block_px: int = BLOCK_PX,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Futures:
    """Writes futures of a place under a task into a folder, and how they spread; returns where.

    stack: of one place with the bands of the bundle; of several frames the newest up to `date` is taken. after_days:
    from the task to the picture; None: the net is told that it is unknown, and so for the season where there is no
    date. block_px, workers, resume: as of `predict`. Futures have the bands that the net makes, in their units, and how
    far each pixel is changed (0 to 1); the spread has the share of futures in which a pixel is changed, and mean and
    standard deviation of each band. Warns where the place is unlike those that the net was trained on. Raises
    BundleError, RecipeError, StackError, OutputError.
    """
    bundle = as_bundle(bundle)
    _check_samples(bundle, task, samples, after_days)
    stack, day = one_frame(as_stack(stack), date)
    check_one_place(stack)
    stack = without_clouds(stack)
    out = check_output(out, overwrite=overwrite or resume)
    latitude = float(footprint_lonlat(stack_grid(stack))[:, 1].mean())
    told = {"task": task, "after_days": after_days, "day_of_year": day, "latitude": latitude}
    told_bundle = replace(bundle, arguments={**bundle.arguments, **told})
    net = net_from_bundle(told_bundle)
    assert isinstance(net, FutureNet)
    warn_where_strange(told_bundle, net, stack)
    paths = [out / f"future-{number + 1:03d}.tif" for number in range(samples)]
    draw_futures(
        told_bundle, net, stack, paths,
        block_px=block_px, workers=workers, resume=resume, overwrite=overwrite or resume,
    )  # fmt: skip
    spread = _write_spread(out / SPREAD, paths, stack, told)
    return Futures(task, tuple(paths), spread)


def _check_samples(bundle: Bundle, task: str, samples: int, after_days: float | None) -> None:
    if bundle.net not in NETS or not NETS[bundle.net].makes_pictures:
        makers = ", ".join(name for name, kind in NETS.items() if kind.makes_pictures)
        raise BundleError(f"the bundle holds the net {bundle.net!r}, which makes no pictures; train one of: {makers}")
    net = net_from_bundle(bundle)
    assert isinstance(net, FutureNet)
    task_code(task, net.known_tasks)
    if not 1 <= samples <= _MOST:
        raise RecipeError(f"{samples} futures were asked for; give a number from 1 to {_MOST}, such as --samples 16")
    if samples > 1 and not net.by_chance:
        raise RecipeError(
            f"the net {bundle.net!r} knows one future only, and {samples} were asked for; say --samples 1, or train "
            "one that draws them: --net flow"
        )
    if after_days is not None and not 0 <= after_days < float("inf"):
        raise RecipeError(f"after_days is {after_days}; give the days from the task to the picture, 0 or more")


def one_frame(stack: xr.Dataset, date: str | None) -> tuple[xr.Dataset, float | None]:
    """One picture of the place, and the day of the year that it is of, where that is known."""
    cut = None if date is None else day_of(date)
    if "time" not in stack.dims:
        return stack, None if cut is None else _day_of_year(cut)
    times = stack["time"].to_numpy().astype("datetime64[D]")
    there = np.flatnonzero(times <= cut) if cut is not None else np.arange(len(times))
    if not len(there):
        raise StackError(f"there is no frame up to {date}; the first is of {times.min()}: give a later date")
    chosen = int(there[-1])
    return stack.isel(time=chosen).drop_vars("fingerprint", errors="ignore"), _day_of_year(times[chosen])


def without_clouds(stack: xr.Dataset) -> xr.Dataset:
    """The stack, not valid where a band `quality` or `cloud` says that the ground is not seen; pixels stay lazy.

    Warns of how much that is. A stack without such a band is taken to be clear. Raises StackError where nothing is
    seen.
    """
    quality = next((b for b in stack_bands(stack) if b.kind == "categorical" and b.name in (_QUALITY, CLOUD)), None)
    if quality is None:
        return stack
    chunks = {"y": BLOCK_PX, "x": BLOCK_PX}
    codes = stack[quality.name].chunk(chunks)
    seen = xr.apply_ufunc(
        clear_looks, codes, kwargs={"quality": quality}, dask="parallelized", output_dtypes=[np.bool_]
    )
    share = float(seen.mean().compute())
    if share == 0:
        raise StackError("the picture shows the ground nowhere: it is all clouds; give another --date or a composite")
    if share < 1:
        text = (
            f"{1 - share:.0%} of the picture are clouds, shadows or snow and are left out; take a composite for it all"
        )
        warnings.warn(text, HeadscarpWarning, stacklevel=3)
    made = seen & (stack[VALID].chunk(chunks) == 1) if VALID in stack else seen
    valid = made.astype(np.uint8)
    valid.attrs = band_attrs(Band(VALID, "mask", "1", "where the ground is seen"))
    view = stack.drop_vars(VALID, errors="ignore").assign({VALID: valid})
    if "bands" in view.attrs:
        view.attrs["bands"] = [band.name for band in stack_bands(view)]
    return view.assign_attrs(fingerprint=f"{fingerprint(stack)} clear")


def _day_of_year(day: np.datetime64) -> float:
    return float((day - day.astype("datetime64[Y]")).astype("timedelta64[D]").astype(int))


@dataclass(frozen=True)
class _SpreadWork:
    """Mean, deviation and the share that changed, of one window over all futures; one future in memory at a time."""

    paths: tuple[Path, ...]
    work: WorkFile
    bands: int

    def __call__(self, tile: Tile) -> Done:
        window = tile.window
        mean, squares = (np.zeros((self.bands, window.height, window.width)) for _ in range(2))
        changed = np.zeros((window.height, window.width))
        for count, path in enumerate(self.paths, start=1):
            with rasterio.open(path) as file:
                seen = file.read(window=rasterio.windows.Window.from_slices(*window.slices))
            away = seen[:-1] - mean
            mean += away / count
            squares += away * (seen[:-1] - mean)  # Welford (1962)
            changed += seen[-1] >= 0.5
        deviation = np.sqrt(squares / max(len(self.paths) - 1, 1))
        made = np.concatenate([(changed / len(self.paths))[None], mean, deviation]).astype(np.float32)
        valid = np.asarray(np.isfinite(mean).all(axis=0))
        made[:, ~valid] = np.nan
        facts = finish_block(np.ascontiguousarray(made), valid)
        return Done(self.work.write(window, made), facts)


def _write_spread(path: Path, futures: Sequence[Path], stack: xr.Dataset, told: Mapping[str, Any]) -> Path:
    grid, shape = stack_grid(stack), raster_shape(stack)
    with rasterio.open(futures[0]) as first:
        names, units = list(first.descriptions[:-1]), list(first.units[:-1])
    bare = [str(name).removeprefix(f"{GENERATED}: ") for name in names]
    outputs = [Output(f"{GENERATED}: share of futures that change")]
    for what in ("mean", "standard deviation"):
        outputs += [Output(f"{GENERATED}: {what} of {n}", u or "1") for n, u in zip(bare, units, strict=True)]
    work_path = path.with_name(f".{path.name}.work")
    work = WorkFile(work_path, len(outputs), shape)
    work.create()
    tiles = [Tile(window.clip(shape), 0, id=f"r{window.row}-c{window.col}") for window in windows(shape, BLOCK_PX)]
    done = run_blocks(_SpreadWork(tuple(futures), work, len(names)), tiles, workers=1, label="spread")
    summaries = summarise([block.facts for block in done.values()], work.bands)
    partial = write_cog(
        work, grid, partial_path(path), outputs=outputs, summaries=summaries, about={GENERATED_TAG: GENERATED_WORDS}
    )
    bands = [{"name": o.name, "description": o.name, "unit": o.unit, "nodata": "nan"} for o in outputs]
    made = made_by("scenario", settings={**told, "samples": len(futures)}, inputs=[{"name": p.name} for p in futures])
    write_stac_item(path, grid, made, bands=bands, more={f"headscarp:{GENERATED}": True})
    work_path.unlink(missing_ok=True)
    return finish(partial, path)
