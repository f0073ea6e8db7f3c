"""The same ground with fewer labels: removed tile by tile from the training part, nested, decided by a seed.

Labels of validation and test are never touched. A tile loses its labels (255), never its landslides (0).
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from headscarp.core.artefact import clear_os_errors
from headscarp.core.band import UNLABELLED
from headscarp.core.stack import LABEL, VALID, fingerprint
from headscarp.core.tile import Window, windows
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.partition import PARTS, Split

_TILES = 400
_SIDES_PX = (8, 256)
_TRAIN = PARTS.index("train") + 1


@dataclass(frozen=True)
class LabelTile:
    """A tile of the training part with labels: how many, and how many of them are landslides."""

    sample: int
    window: Window
    labelled: int
    positive: int


def label_order(stack: xr.Dataset, split: Split, *, seed: int) -> list[LabelTile]:
    """The labelled tiles of the training part, in the order in which somebody labels them.

    Shuffled by the seed, but the first holds a landslide where there is one: nobody begins where none is seen. The side
    of a tile gives about 400 of them, within 8 to 256 pixels.
    """
    pixels = stack.sizes["y"] * stack.sizes["x"] * stack.sizes.get("sample", 1)
    side = int(np.clip(round((pixels / _TILES) ** 0.5), *_SIDES_PX))
    found = [_counted(stack, split, sample, w) for sample in split.samples for w in windows(raster_shape(stack), side)]
    tiles = [tile for tile in found if tile.labelled]
    order = [tiles[i] for i in np.random.default_rng(seed).permutation(len(tiles))]
    first = next((i for i, tile in enumerate(order) if tile.positive), 0)
    return order[first : first + 1] + order[:first] + order[first + 1 :]


def kept_tiles(order: list[LabelTile], share: float) -> list[LabelTile]:
    """The first tiles that together hold at least this share (0 to 1) of the labels; smaller shares are within."""
    wanted, held = share * sum(tile.labelled for tile in order), 0
    kept: list[LabelTile] = []
    for tile in order:
        if held >= wanted:
            break
        kept.append(tile)
        held += tile.labelled
    return kept


def with_share(stack: xr.Dataset, split: Split, order: list[LabelTile], share: float, *, folder: Path) -> xr.Dataset:
    """The stack with this share of its training labels; they are written into `folder`, once.

    stack: from `cache_stack`, its label called "landslide". Its pixels are shared, and it has a fingerprint of its own.
    """
    if share >= 1:
        return stack
    kept = kept_tiles(order, share)
    told = [fingerprint(stack), share, [[tile.sample, *tile.window] for tile in kept]]
    key = hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()
    path = folder / f"{key}.npy"
    if not path.is_file():
        with clear_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write(stack, split, kept, path)
    band = stack[LABEL]
    made = stack.assign({LABEL: (band.dims, np.load(path, mmap_mode="r"), band.attrs)})[list(stack.data_vars)]
    made.attrs = {**stack.attrs, "fingerprint": key}
    return made


def _counted(stack: xr.Dataset, split: Split, sample: int, window: Window) -> LabelTile:
    window = window.clip(raster_shape(stack))
    train = split.codes(window, sample=sample) == _TRAIN
    if train.any():
        if VALID in stack:
            train &= read_window(stack[VALID], window, sample=sample) == 1
        label = read_window(stack[LABEL], window, sample=sample)[train]
        return LabelTile(sample, window, int((label <= 1).sum()), int((label == 1).sum()))
    return LabelTile(sample, window, 0, 0)


def _write(stack: xr.Dataset, split: Split, kept: list[LabelTile], path: Path) -> None:
    """The label band with 255 in the training part outside the tiles that are kept, whole or not at all."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.npy")
    band = stack[LABEL]
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=band.shape)
    shape = raster_shape(stack)
    for sample in range(stack.sizes.get("sample", 1)):
        plane = out[sample] if out.ndim == 3 else out
        for window in windows(shape, 1024):
            window = window.clip(shape)
            label = read_window(band, window, sample=sample)
            train = split.codes(window, sample=sample) == _TRAIN
            plane[window.slices] = np.where(train, UNLABELLED, label)
    for tile in kept:
        plane = out[tile.sample] if out.ndim == 3 else out
        plane[tile.window.slices] = read_window(band, tile.window, sample=tile.sample)
    out.flush()
    del out
    partial.replace(path)
