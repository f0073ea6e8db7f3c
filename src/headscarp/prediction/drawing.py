"""Futures of a place as maps: each block is read once, and several futures are drawn of it, one in memory at a time.

Blocks, journal, work files and maps are those of `predict`; a future is the same whether it is drawn alone or beside
others. Refuses to touch finished futures of another job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from headscarp.core.artefact import check_output
from headscarp.core.blocks import Done, Journal, run_blocks
from headscarp.core.bundle import Bundle
from headscarp.core.machine import cores
from headscarp.core.provenance import read_made
from headscarp.core.scenarios import GENERATED
from headscarp.core.tile import Tile, Window
from headscarp.nets.futures import FutureNet
from headscarp.nets.guess import Guesses
from headscarp.nets.net import Output
from headscarp.prediction.blockwork import aligned_tiles, read_block
from headscarp.prediction.cutting import Cut
from headscarp.prediction.engines import for_channels_last, single_threaded_torch
from headscarp.prediction.facts import finish_block
from headscarp.prediction.raster import beside, check_net, job_of, short_hash, write_map
from headscarp.prediction.workfile import WorkFile
from headscarp.tiles.dataset import raster_shape
from headscarp.tiles.fits import Fit, check_fits
from headscarp.tiles.reader import TileReader
from headscarp.tiles.tiling import halo_of

GUESS, LIKELY = -1, f"{GENERATED}: how likely it is changed"
AT_ONCE = 16
"""Futures that are drawn from one reading; more are drawn in several goes, so that work files stay few."""


def draw_futures(
    bundle: Bundle,
    net: FutureNet,
    stack: xr.Dataset,
    paths: Sequence[Path],
    *,
    likely: Path | None = None,
    block_px: int,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes future 0 to the first path, future 1 to the second, ...: COGs as `predict` writes them.

    likely: where to write how likely each pixel is changed, of a net that `Guesses`; its number is GUESS. net: of the
    bundle, whose arguments say the task. resume: finished maps are kept, and an interrupted go is gone on with. Raises
    StackError, BundleError, RecipeError, JournalError and OutputError.
    """
    net = for_channels_last(net.eval())
    check_net(bundle, net, block_px)
    fit, job = check_fits(bundle, stack), job_of(bundle, stack, "torch", "float32", block_px)
    wanted = ({} if likely is None else {GUESS: likely}) | dict(enumerate(paths))
    keys = {number: short_hash(f"{sorted(job.items())} future {number}") for number in wanted}
    left = [n for n, path in wanted.items() if not (resume and _is_finished(path, keys[n]))]
    futures, guess = [n for n in left if n != GUESS], [n for n in left if n == GUESS]
    for first in range(0, max(len(futures), len(guess)), AT_ONCE):
        numbers = [*(guess if first == 0 else []), *futures[first : first + AT_ONCE]]
        chosen = [check_output(wanted[n], overwrite=overwrite or resume) for n in numbers]
        _draw(bundle, net, stack, fit, list(zip(numbers, chosen, strict=True)), job=job, keys=keys,
              block_px=block_px, workers=workers, resume=resume)  # fmt: skip


def _draw(
    bundle: Bundle,
    net: FutureNet,
    stack: xr.Dataset,
    fit: Fit,
    futures: Sequence[tuple[int, Path]],
    *,
    job: dict[str, object],
    keys: Mapping[int, str],
    block_px: int,
    workers: int | None,
    resume: bool,
) -> None:
    """One go: all blocks of some futures, then their maps."""
    shape, numbers = raster_shape(stack), tuple(number for number, _ in futures)
    outputs = {number: (Output(LIKELY),) if number == GUESS else net.outputs for number in numbers}
    files = tuple(WorkFile(beside(path, "work"), len(outputs[n]), shape) for n, path in futures)
    tiles = aligned_tiles(shape, block_px, halo_of(net), net.align)
    # Named by its futures: another go over others never takes it for its own.
    name = f".futures-{numbers[0] + 1:03d}-{numbers[-1] + 1:03d}.journal"
    journal = Journal(futures[0][1].with_name(name), {**job, "futures": list(numbers)}, resume=resume)
    window_of = {tile.id: tile.window.clip(shape) for tile in tiles}
    if resume:
        journal.keep(lambda block, done: block in window_of and _checksum(files, window_of[block]) == done.checksum)
    for file in files:
        file.create()
    work = _FutureWork(net, TileReader(stack, fit.bands), fit, files, numbers)
    with single_threaded_torch():
        done = run_blocks(work, tiles, journal=journal, workers=workers or cores(), label="futures")
    cut = Cut(bundle.net, bundle.threshold, net.opening_px)
    for i, (number, path) in enumerate(futures):
        of_one = {block: replace(left, facts=left.facts["futures"][i]) for block, left in done.items()}
        settings = {**job, "future": number, "job": keys[number]}
        write_map(path, files[i], stack, outputs[number], of_one, cut=cut, settings=settings, generated=True)
        files[i].path.unlink(missing_ok=True)
    journal.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _FutureWork:
    """One block of all futures of a go; runs in a thread."""

    net: FutureNet
    reader: TileReader
    fit: Fit
    files: tuple[WorkFile, ...]
    numbers: tuple[int, ...]

    def __call__(self, tile: Tile) -> Done:
        torch.set_num_threads(1)  # of the calling thread: blocks run side by side
        inside = tile.window.clip(self.files[0].shape)
        held, core, valid, black = read_block(self.reader, self.fit, tile, inside)
        said = {"black": black} if black else {}
        batch = self.net.as_picture(held.pop())  # of a series, the frames are let go of here
        valid &= batch.valid[0].numpy()[core]
        if not valid.any():
            nothing = np.full((max(f.bands for f in self.files), inside.height, inside.width), np.nan, np.float32)
            sums = [file.write(inside, nothing[: file.bands]) for file in self.files]
            return Done(" ".join(sums), {"futures": [{"valid": 0, **said}] * len(sums)})
        sums, facts = [], []
        with torch.inference_mode():
            pictures = self.net.pictures(batch, [number for number in self.numbers if number != GUESS])
            for file, number in zip(self.files, self.numbers, strict=True):
                if number == GUESS and isinstance(self.net, Guesses):
                    picture = self.net.likely(batch)
                else:
                    picture = next(pictures)[0]
                made = np.ascontiguousarray(picture.numpy()[(slice(None), *core)], np.float32)
                facts.append({**finish_block(made, valid), **said})
                sums.append(file.write(inside, made))
        return Done(" ".join(sums), {"futures": facts})


def _checksum(files: Sequence[WorkFile], window: Window) -> str:
    return " ".join(file.checksum(window) for file in files)


def _is_finished(path: Path, key: str) -> bool:
    return path.exists() and read_made(path).get("settings", {}).get("job") == key
