"""Which tiles cover a raster, for scoring and for training: geometry only. Refuses to read a pixel."""

import numpy as np
import xarray as xr

from headscarp.core.errors import SplitError
from headscarp.core.samples import has_samples
from headscarp.core.tile import Tile, Window, windows
from headscarp.nets.net import Net
from headscarp.tiles.dataset import raster_shape
from headscarp.tiles.partition import PARTS, Split


def halo_of(net: Net) -> int:
    """Context pixels that tiles of this net need on each side: its reach, rounded up to its alignment."""
    return -(-net.reach // net.align) * net.align


def halo_within(halo: int, stack: xr.Dataset, size: int) -> int:
    """The context of tiles of this size: none where a tile holds a whole sample, since there is nothing around it."""
    return 0 if has_samples(stack) and size >= max(raster_shape(stack)) else halo


def score_tiles(shape: tuple[int, int], size: int, halo: int, *, split: str = "") -> tuple[Tile, ...]:
    """Tiles of size x size that cover a raster once, row-major; the last ones hang over its edge.

    split: the part whose pixels keep their labels when the tile is read; "" keeps all.
    """
    return tuple(Tile(window, halo, 0, split, _tile_id(window, 0)) for window in windows(shape, size))


def train_tiles(split: Split, part: str, *, size: int, halo: int) -> tuple[Tile, ...]:
    """Tiles of a regular lattice that hold at least one pixel of a part, buffer taken off, by sample and row-major.

    Raises SplitError where the part has no pixel left.
    """
    code = _code_of(part)
    tiles = []
    for sample in split.samples:
        for window in windows(split.shape, size):
            if (split.codes(window, sample=sample) == code).any():
                tiles.append(Tile(window, halo, sample, part, _tile_id(window, sample)))
    if not tiles:
        raise SplitError(
            f"the {part} part of the split has no pixel left; take a smaller buffer ({split.buffer_px} px now), "
            "smaller blocks or fewer folds"
        )
    return tuple(tiles)


def whole_tile(shape: tuple[int, int], align: int, *, sample: int = 0, name: str = "") -> Tile:
    """All of a sample at once, without context, its sides rounded up to the alignment. shape: (rows, columns)."""
    rows, cols = (-(-side // align) * align for side in shape)
    return Tile(Window(0, 0, rows, cols), 0, sample, id=name)


def _code_of(part: str) -> np.uint8:
    if part not in PARTS:
        raise SplitError(f"there is no part {part!r}; use one of {', '.join(PARTS)}")
    return np.uint8(PARTS.index(part) + 1)


def _tile_id(window: Window, sample: int) -> str:
    return f"s{sample}-r{window.row}-c{window.col}" if sample else f"r{window.row}-c{window.col}"
