"""The build of a stack: a recipe's layers, block by block, into one Zarr that is whole or not there.

Runs through `run_blocks` on threads or on the workers of a dask cluster, with a journal beside the output, so that a
killed build goes on with `resume` to the same pixels. Memory does not grow with the raster.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headscarp.assemble.chips import build_chips
from headscarp.assemble.grids import make_grid
from headscarp.assemble.layers import Context, Layer, PointLabel, PolygonLabel
from headscarp.assemble.places import grown
from headscarp.assemble.plan import Plan, make_plan, margin_px
from headscarp.assemble.recipe import Recipe, read_recipe
from headscarp.assemble.verdict import judge
from headscarp.assemble.whole import make_whole_layers
from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path
from headscarp.core.band import Band
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.errors import HeadscarpError, HeadscarpWarning, StackError
from headscarp.core.grid import Grid, grid_from_json, grid_to_json
from headscarp.core.provenance import made_by
from headscarp.core.stack import CHUNK, VALID, complete_stack, create_stack, open_stack, stack_arrays
from headscarp.core.tile import Window, windows
from headscarp.sources.vectors import Vector, burn, load_features

BLOCK_PX = 4 * CHUNK
FETCHED = "fetched"
"""Folder beside a stack where the results of its sources stand."""


@dataclass(frozen=True)
class StackBlock:
    """A window of the grid to build."""

    window: Window

    @property
    def id(self) -> str:
        return f"rows {self.window.row}+{self.window.height} columns {self.window.col}+{self.window.width}"


def build(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    block_px: int = BLOCK_PX,
    offline: bool = False,
) -> xr.Dataset:
    """Builds the stack of a recipe as a Zarr folder and returns it opened, lazily.

    workers: threads, by default one a core. scheduler: address of a dask scheduler whose workers do the blocks instead
    (they have to see the same files). resume: go on with an unfinished build of the same recipe and inputs; a finished
    one is returned as it is. block_px: side of a block, a multiple of CHUNK; it does not change the pixels.
    offline: sources come from the cache only. The recipe's sources are fetched first, into the folder `fetched` beside
    `out`, and what is there already is gone on with.
    The stack's attributes hold `recipe`, `made` (inputs with checksums, licence, citation) and `report` (missing
    shares, labels read and lost). Raises RecipeError, SourceError, GridError, StackError, OutputError, JournalError.
    """
    if block_px < CHUNK or block_px % CHUNK:
        raise StackError(f"block_px is {block_px}; it has to be a multiple of {CHUNK}")
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    out = Path(out).absolute()
    if not (resume and out.exists()):
        check_output(out, overwrite=overwrite)
    if recipe.chips is not None:
        with workers_of(workers, scheduler) as pool:
            return build_chips(recipe, out, pool, resume=resume)
    recipe = with_sources(recipe, out.with_name(FETCHED), offline=offline)
    plan = make_plan(recipe)
    made = made_by("build", settings=recipe.resolved(), inputs=plan.inputs, seed=recipe.seed)
    if resume and out.exists() and not overwrite:
        return _finished(out, made)
    bands = _bands(plan)
    job = {
        "recipe": made["settings"],
        "inputs": made["inputs"],
        "version": made["version"],
        "grid": grid_to_json(plan.grid),
        "bands": [band.to_json() for band in bands],
        "block_px": block_px,
    }
    partial, journal, scratch = partial_path(out), _beside(out, "journal"), _beside(out, "scratch")
    finished = _open_journal(partial, journal, job, resume=resume)
    if not finished.done:
        shutil.rmtree(scratch, ignore_errors=True)
        create_stack(partial, plan.grid, bands, attrs={"recipe": recipe.name})
    layers = make_whole_layers(plan.layers, plan.grid, scratch)
    work = BlockBuilder(str(partial), json.dumps(grid_to_json(plan.grid)), layers, plan.labels, plan.area)
    finished.keep(work.still_good)
    blocks = _blocks(plan.grid, block_px)
    with workers_of(workers, scheduler) as pool:
        done = run_blocks(work, blocks, journal=finished, workers=pool, label="build")
    report = judge(plan, [item.facts for item in done.values()])
    attrs = {"fingerprint": _fingerprint(job, done.values()), "made": made, "report": report}
    complete_stack(partial, attrs)
    finish(partial, out)
    journal.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
    return open_stack(out)


def with_sources(recipe: Recipe, folder: Path, *, offline: bool = False) -> Recipe:
    """The recipe with the results of its sources in `folder`: fetched now where they are not there yet.

    The grid is fetched with a margin, so that terrain at its edge knows its neighbours. Raises what `fetch` raises;
    warns of what could not be had.
    """
    if not recipe.sources:
        return recipe
    from headscarp.assemble.fetch import fetch  # heavy, and most recipes have no source

    grid = make_grid(recipe)
    grid = grown(grid, margin_px(recipe, grid))
    found = fetch(grid, recipe.sources, folder, offline=offline, overwrite=True)
    if found.missing:
        warnings.warn(
            f"{len(found.missing)} pieces of the sources could not be had and are missing from the stack, such as "
            f"{found.missing[0].address} ({found.missing[0].why}); see {found.manifest}",
            HeadscarpWarning,
            stacklevel=2,
        )
    return replace(recipe, fetched=folder)


@dataclass(frozen=True)
class BlockBuilder:
    """Makes and writes one block of a stack, wherever it is called; files are opened inside."""

    path: str
    grid: str
    layers: tuple[Layer, ...]
    labels: tuple[PolygonLabel | PointLabel, ...]
    area: Vector | None

    def __call__(self, block: StackBlock) -> Done:
        grid, window = grid_from_json(json.loads(self.grid)), block.window
        arrays = stack_arrays(self.path)
        context = Context(grid, window)
        digest = hashlib.blake2b(digest_size=16)
        facts: dict[str, Any] = {"bands": {}, "labels": {}}
        valid = self._study_area(grid, window)
        seen = np.zeros_like(valid)
        labels: dict[str, np.ndarray] = {}
        for layer in (*self.layers, *self.labels):
            pixels, noticed = layer.read(context)
            pixels = np.ascontiguousarray(pixels, dtype=layer.band.dtype)
            self._write(arrays, layer.band.name, window, pixels)
            digest.update(pixels.tobytes())
            if layer.band.kind == "label":
                labels[layer.band.name] = pixels
                continue
            facts["bands"][layer.band.name] = noticed
            if layer.band.kind == "continuous":
                there = np.isfinite(pixels)
                seen |= there
                valid &= there | layer.band.optional
        if any(layer.band.kind == "continuous" for layer in self.layers):
            valid &= seen  # where nothing at all is there, nothing can be said, however optional all of it is
        mask = valid.astype(np.uint8)
        self._write(arrays, VALID, window, mask)
        digest.update(mask.tobytes())
        facts[VALID] = int(valid.sum())
        for name, label in labels.items():
            facts["labels"][name] = {
                "positive": int((label == 1).sum()),
                "negative": int((label == 0).sum()),
                "positive_valid": int((valid & (label == 1)).sum()),
                "negative_valid": int((valid & (label == 0)).sum()),
            }
        return Done(digest.hexdigest(), facts)

    def still_good(self, block_id: str, done: Done) -> bool:
        """Whether what stands on disk for a finished block is what was written."""
        row, col = (int(part.split("+")[0]) for part in block_id.replace("rows ", "").split(" columns "))
        height, width = (int(part.split("+")[1]) for part in block_id.replace("rows ", "").split(" columns "))
        window = Window(row, col, height, width)
        arrays = stack_arrays(self.path)
        digest = hashlib.blake2b(digest_size=16)
        names = [*(layer.band.name for layer in (*self.layers, *self.labels)), VALID]
        try:
            for name in names:
                digest.update(np.ascontiguousarray(arrays[name][window.slices]).tobytes())
        except Exception:  # a chunk torn by a crash can fail in any way; the block is done again
            return False
        return digest.hexdigest() == done.checksum

    def _study_area(self, grid: Grid, window: Window) -> np.ndarray:
        if self.area is None:
            return np.ones((window.height, window.width), bool)
        features = load_features(self.area, grid)
        return burn(features, np.ones(len(features), np.uint8), window) > 0

    def _write(self, arrays: dict[str, Any], name: str, window: Window, pixels: np.ndarray) -> None:
        with clear_os_errors(self.path):
            arrays[name][window.slices] = pixels


def _bands(plan: Plan) -> tuple[Band, ...]:
    needed = " that are not optional" if any(layer.band.optional for layer in plan.layers) else ""
    source = f"all continuous bands{needed} finite" + (", inside the study area" if plan.area else "")
    return (*(layer.band for layer in (*plan.layers, *plan.labels)), Band(VALID, "mask", "1", source))


def _blocks(grid: Grid, block_px: int) -> list[StackBlock]:
    shape = (grid.shape[0], grid.shape[1])
    return [StackBlock(window.clip(shape)) for window in windows(shape, block_px)]


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")


def _open_journal(partial: Path, path: Path, job: dict[str, Any], *, resume: bool) -> Journal:
    """The journal of this build; empty where there is nothing to go on with."""
    resume = resume and path.exists() and (partial / "zarr.json").exists()
    return Journal(path, job, resume=resume)


def _finished(out: Path, made: dict[str, Any]) -> xr.Dataset:
    """A stack that stands already, when it is the one that was asked for. Raises StackError, OutputError."""
    stack = open_stack(out)
    before = stack.attrs.get("made", {})
    same = json.loads(json.dumps(made, default=str))
    if all(before.get(key) == same[key] for key in ("settings", "inputs", "version")):
        return stack
    check_output(out)
    return stack


def _fingerprint(job: dict[str, Any], done: Sequence[Done] | Any) -> str:
    """A short hash of grid, bands and pixels, from the checksums of the blocks."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([job["grid"], job["bands"], job["block_px"]], sort_keys=True).encode())
    for item in done:
        digest.update(item.checksum.encode())
    return digest.hexdigest()


@contextmanager
def workers_of(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """A number of threads, or a client of the dask scheduler at an address."""
    if scheduler is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        yield cores if workers is None else workers
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise HeadscarpError("--scheduler needs dask.distributed; install headscarp[cluster]") from error
    try:
        client = Client(scheduler, timeout="30s")
    except (OSError, ValueError) as error:
        raise HeadscarpError(f"there is no dask scheduler at {scheduler} ({error}); check --scheduler") from error
    with client:
        yield client
