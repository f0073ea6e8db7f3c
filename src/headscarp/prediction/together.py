"""What a suite of futures says together: where they change the place, the one mask of that, mean and deviation.

Each map is read once, block by block, one future in memory at a time; which mask agrees best with all of them is a
question to the whole place, so its band is filled in when all blocks are counted. Refuses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray

from headscarp.core.artefact import finish, partial_path
from headscarp.core.blocks import Done, run_blocks
from headscarp.core.masks import LEVELS, Together, least_rank, likely_counts, ranks_of
from headscarp.core.provenance import made_by, write_stac_item
from headscarp.core.scenarios import GENERATED, GENERATED_TAG, GENERATED_WORDS
from headscarp.core.stack import stack_grid
from headscarp.core.tile import Tile, Window, windows
from headscarp.nets.net import Output
from headscarp.prediction.cog import write_cog
from headscarp.prediction.facts import finish_block, summarise
from headscarp.prediction.workfile import WorkFile
from headscarp.tiles.dataset import raster_shape

BLOCK_PX = 512
SHARE, MASK = f"{GENERATED}: share of futures that change", f"{GENERATED}: best mask"


def write_together(
    path: Path, futures: Sequence[Path], stack: xr.Dataset, told: Mapping[str, Any], *, likely: Path | None = None
) -> Path:
    """Writes a COG with the bands SHARE, mean and standard deviation of each band of the futures, and MASK, 1 or 0.

    likely: a map of how likely each pixel is changed, which the mask is made of; None: of the futures. See
    `core.masks`; the record beside it says from which share or probability on pixels are in the mask. told: settings
    for that record. Raises OutputError.
    """
    grid, shape = stack_grid(stack), raster_shape(stack)
    with rasterio.open(futures[0]) as first:
        names, units = list(first.descriptions[:-1]), list(first.units[:-1])
    bare = [str(name).removeprefix(f"{GENERATED}: ") for name in names]
    outputs = [Output(SHARE)]
    for what in ("mean", "standard deviation"):
        outputs += [Output(f"{GENERATED}: {what} of {n}", u or "1") for n, u in zip(bare, units, strict=True)]
    outputs.append(Output(MASK))
    work_path = path.with_name(f".{path.name}.work")
    work = WorkFile(work_path, len(outputs), shape)
    work.create()
    tiles = [Tile(window.clip(shape), 0, id=f"r{window.row}-c{window.col}") for window in windows(shape, BLOCK_PX)]
    read = run_blocks(_Reading(tuple(futures), likely, work, len(names)), tiles, workers=1, label="spread")
    least = least_rank(np.sum([block.facts["counts"] for block in read.values()], axis=0))
    done = run_blocks(_Masking(work, likely, least, len(futures)), tiles, workers=1, label="mask")
    partial = write_cog(
        work, grid, partial_path(path), outputs=outputs,
        summaries=summarise([block.facts for block in done.values()], work.bands),
        about={GENERATED_TAG: GENERATED_WORDS},
    )  # fmt: skip
    bands = [{"name": o.name, "description": o.name, "unit": o.unit, "nodata": "nan"} for o in outputs]
    settings = {**told, "samples": len(futures), "mask_from": least / (len(futures) if likely is None else LEVELS)}
    made = made_by("scenario", settings=settings, inputs=[{"name": p.name} for p in futures])
    write_stac_item(path, grid, made, bands=bands, more={f"headscarp:{GENERATED}": True})
    work_path.unlink(missing_ok=True)
    return finish(partial, path)


@dataclass(frozen=True)
class _Reading:
    """Share, mean and deviation of one window over all futures; facts: the counts of `Together`, for the mask."""

    paths: tuple[Path, ...]
    likely: Path | None
    work: WorkFile
    bands: int

    def __call__(self, tile: Tile) -> Done:
        window = tile.window
        mean, squares = (np.zeros((self.bands, window.height, window.width)) for _ in range(2))
        changed = Together((window.height, window.width))
        for count, path in enumerate(self.paths, start=1):
            with rasterio.open(path) as file:
                seen = file.read(window=_on_disk(window))
            away = seen[:-1] - mean
            mean += away / count
            squares += away * (seen[:-1] - mean)  # Welford (1962)
            changed.add(seen[-1] >= 0.5)
        deviation = np.sqrt(squares / max(len(self.paths) - 1, 1))
        share = changed.times / len(self.paths)
        made = np.concatenate([share[None], mean, deviation, np.zeros_like(share)[None]]).astype(np.float32)
        made[:, ~np.isfinite(mean).all(axis=0)] = np.nan
        guess = _read_likely(self.likely, window)
        counts = changed.counts() if guess is None else likely_counts(guess)
        return Done(self.work.write(window, made), {"counts": counts.tolist()})


@dataclass(frozen=True)
class _Masking:
    """The mask of one window: pixels of the least rank or above."""

    work: WorkFile
    likely: Path | None
    least: int
    futures: int

    def __call__(self, tile: Tile) -> Done:
        made = self.work.read(tile.window)
        valid = np.isfinite(made[0])
        guess = _read_likely(self.likely, tile.window)
        ranks = np.rint(np.nan_to_num(made[0]) * self.futures) if guess is None else ranks_of(guess)
        made[-1] = ranks >= self.least
        facts = finish_block(made, valid)
        return Done(self.work.write(tile.window, made), facts)


def _read_likely(path: Path | None, window: Window) -> NDArray[np.float32] | None:
    if path is None:
        return None
    with rasterio.open(path) as file:
        return np.asarray(file.read(1, window=_on_disk(window)), np.float32)


def _on_disk(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window.from_slices(*window.slices)
