"""One block of a map: read with its context, run, calibrated, written into the work file.

The work is small and picklable, so that it may run in a thread here or on a worker elsewhere; what it needs (net,
stack, engine) is opened on first use in each process and kept there until the next job. Refuses to write pixels of
another block.
"""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from headscarp.core.blocks import Done
from headscarp.core.bundle import Bundle, as_bundle
from headscarp.core.calibration import calibration_from_json
from headscarp.core.machine import give_back_growth
from headscarp.core.stack import CHUNK, LABEL
from headscarp.core.tile import Tile, Window, windows
from headscarp.nets import net_from_bundle
from headscarp.nets.batch import Batch
from headscarp.nets.net import Net
from headscarp.prediction.black import leave_out_black
from headscarp.prediction.engines import Engine, largest_change, make_engine, middle
from headscarp.prediction.facts import finish_block
from headscarp.prediction.workfile import WorkFile
from headscarp.tiles.dataset import as_stack
from headscarp.tiles.fits import Fit
from headscarp.tiles.reader import TileReader, make_batch

CHECKED_SIDE = 192
"""Side of the piece that bfloat16 is checked against float32 on, in pixels."""


@dataclass(frozen=True)
class BlockWork:
    """Does one block and returns its Done; equal keys mean the same net on the same stack.

    bundle, stack: paths, or the values themselves. checked: blocks where the engine is compared with torch in float32.
    outputs: names of those of the net that are written; none: all.
    """

    key: str
    bundle: Bundle | Path
    stack: xr.Dataset | Path
    fit: Fit
    work: WorkFile
    engine: str
    precision: str
    threads: int
    checked: frozenset[str] = frozenset()
    outputs: tuple[str, ...] = ()

    def __call__(self, tile: Tile) -> Done:
        torch.set_num_threads(1)  # of the calling thread: blocks run side by side
        opened = _opened(self)
        inside = tile.window.clip(self.work.shape)
        made = np.full((self.work.bands, inside.height, inside.width), np.nan, np.float32)
        valid = np.zeros((inside.height, inside.width), np.bool_)
        black, change = 0, None
        for part in _parts(tile, opened.net):
            window = part.window.clip(self.work.shape)
            place = Window(window.row - inside.row, window.col - inside.col, window.height, window.width).slices
            held, core, there, left_out = read_block(opened.reader, self.fit, part, window)
            valid[place], black = there, black + left_out
            if not there.any():
                continue
            piece = middle(held[0], CHECKED_SIDE) if change is None and tile.id in self.checked else None
            predicted = opened.engine(held.pop())  # held by the engine alone, which lets go of it before the trunk runs
            made[(..., *place)] = opened.calibration.apply(predicted[(opened.chosen, *core)])
            if piece is not None:
                change = largest_change(opened.engine, opened.reference(), piece)
        facts = finish_block(made, valid) | ({"black": black} if black else {})
        if change is not None:
            facts["change"] = change
        done = Done(self.work.write(inside, made), facts)
        give_back_growth()
        return done


def read_block(
    reader: TileReader, fit: Fit, tile: Tile, inside: Window
) -> tuple[list[Batch], tuple[slice, slice], np.ndarray, int]:
    """A block with its context, in a list of one so that who runs it can let go of it; where in it the pixels of
    `inside` stand, which of these are valid (black squares are not), and how many squares are black."""
    pixels = reader.read(tile)
    batch = replace(make_batch([replace(pixels, x=fit.recode(pixels.x))], [tile]), y=None)
    core = (slice(tile.halo, tile.halo + inside.height), slice(tile.halo, tile.halo + inside.width))
    valid = batch.valid[0].numpy()[core].copy()  # nets see black squares in every block, or in none
    black = leave_out_black(batch.x[0].numpy()[(..., *core)], valid, fit.bands)
    return [batch], core, valid, black


def _parts(tile: Tile, net: Net) -> list[Tile]:
    """A block as what is read and run at once: squares of the stack's chunks where a net sees places that see nothing
    of each other, so that frames of a whole block need not be held."""
    if not net.judges_places or tile.halo or CHUNK % net.align:
        return [tile]
    row, col, height, width = tile.window
    inside = (w.clip((height, width)) for w in windows((height, width), CHUNK))
    return [replace(tile, window=Window(row + w.row, col + w.col, w.height, w.width)) for w in inside]


def aligned_tiles(shape: tuple[int, int], block_px: int, halo: int, align: int) -> tuple[Tile, ...]:
    """Blocks that cover a raster, row-major; those on its far edges are cut to it, rounded up to the alignment."""
    rows, cols = (-(-side // align) * align for side in shape)
    tiles = []
    for row in range(0, rows, block_px):
        for col in range(0, cols, block_px):
            window = Window(row, col, min(block_px, rows - row), min(block_px, cols - col))
            tiles.append(Tile(window, halo, id=f"r{row}-c{col}"))
    return tuple(tiles)


class _Opened:
    """What a process keeps open for one job."""

    def __init__(self, work: BlockWork, net: Net | None = None) -> None:
        bundle = as_bundle(work.bundle)
        self.net: Net = (net or net_from_bundle(bundle)).eval()
        stack = as_stack(work.stack).drop_vars(LABEL, errors="ignore")  # labels would be read and not used
        self.reader = TileReader(stack, work.fit.bands)
        self.engine: Engine = make_engine(work.engine, self.net, work.precision, threads=work.threads)
        names = [output.name for output in self.net.outputs]
        self.chosen = [names.index(name) for name in work.outputs] if work.outputs else slice(None)
        self.calibration = calibration_from_json(bundle.calibration)
        self._reference: Engine | None = None

    def reference(self) -> Engine:
        if self._reference is None:
            self._reference = make_engine("torch", self.net)
        return self._reference


_LOCK = threading.Lock()
_OPEN: dict[str, _Opened] = {}


def _opened(work: BlockWork) -> _Opened:
    with _LOCK:
        if work.key not in _OPEN:
            _OPEN.clear()
            _OPEN[work.key] = _Opened(work)
        return _OPEN[work.key]


def open_here(work: BlockWork, net: Net) -> None:
    """Opens a job in this process with a net that is made already."""
    with _LOCK:
        _OPEN.clear()
        _OPEN[work.key] = _Opened(work, net)


def close_opened(key: str) -> None:
    """Lets go of what this process keeps open for a job."""
    with _LOCK:
        _OPEN.pop(key, None)
