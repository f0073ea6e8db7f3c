"""What labels are there: how many landslides, on how much ground, and how well spread. Counted strip by strip.

It judges nothing; what to do with the labels is said in `train.advice`. Memory is that of one strip of the raster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import label as pieces_of

from headscarp.core.samples import has_samples, stack_resolution_m
from headscarp.core.stack import CHUNK, LABEL, VALID, feature_bands
from headscarp.core.tile import Tile, Window
from headscarp.tiles.dataset import raster_shape, read_window
from headscarp.tiles.partition import PARTS, Split
from headscarp.tiles.reader import TileReader

BLOCK_M = 1000.0
_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True)
class LabelCounts:
    """What is labelled on a stack, or on one part of it.

    valid_px, labelled_px, positive_px: valid cells, those of them with a label, those that are landslides. landslides:
    pieces of landslide cells that touch each other, also by a corner. blocks, labelled_blocks, landslide_blocks:
    squares of ground of about 1 km (or samples) with a valid cell, a label, a landslide. cell_m: side of a cell.
    """

    valid_px: int = 0
    labelled_px: int = 0
    positive_px: int = 0
    landslides: int = 0
    blocks: int = 0
    labelled_blocks: int = 0
    landslide_blocks: int = 0
    cell_m: float = 1.0

    @property
    def negative_px(self) -> int:
        """Cells that are known to be no landslide."""
        return self.labelled_px - self.positive_px

    @property
    def labelled_share(self) -> float:
        """Share of the valid cells that have a label."""
        return self.labelled_px / max(self.valid_px, 1)

    @property
    def prevalence(self) -> float:
        """Share of landslides among the labelled cells; 0 where nothing is labelled."""
        return self.positive_px / max(self.labelled_px, 1)

    @property
    def labelled_km2(self) -> float:
        """Labelled ground in square kilometres."""
        return self.labelled_px * self.cell_m**2 / 1e6


def count_labels(stack: xr.Dataset, *, split: Split | None = None, part: str = "train") -> LabelCounts:
    """What is labelled on a stack, or on one part of a split of it, buffer taken off.

    The stack's label is called "landslide" (`with_label`); a stack without one has no labels. Raises StackError where
    nobody has told how large a pixel is.
    """
    cell_m, shape = stack_resolution_m(stack), raster_shape(stack)
    side = max(shape) if has_samples(stack) else max(1, round(BLOCK_M / cell_m))
    sums, landslides, blocks = np.zeros(3, np.int64), 0, np.zeros(3, np.int64)
    for sample in range(stack.sizes.get("sample", 1)):
        found, pieces = np.zeros((-(-shape[0] // side), -(-shape[1] // side), 3), bool), _Pieces(shape[1])
        for window, valid, label in _strips(stack, sample, split, part):
            kinds = np.stack([valid, valid & (label <= 1), valid & (label == 1)], axis=2)
            sums += kinds.sum(axis=(0, 1), dtype=np.int64)
            pieces.add(kinds[:, :, 2])
            _mark(found, kinds, window.row, side)
        landslides += pieces.count
        blocks += found.sum(axis=(0, 1))
    return LabelCounts(
        valid_px=int(sums[0]),
        labelled_px=int(sums[1]),
        positive_px=int(sums[2]),
        landslides=landslides,
        blocks=int(blocks[0]),
        labelled_blocks=int(blocks[1]),
        landslide_blocks=int(blocks[2]),
        cell_m=cell_m,
    )


def _strips(
    stack: xr.Dataset, sample: int, split: Split | None, part: str
) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    """Strips of rows from top to bottom: where, valid (h, W) bool and of the part, label (h, W) uint8."""
    shape = raster_shape(stack)
    reader = None if VALID in stack else TileReader(stack, feature_bands(stack))
    for row in range(0, shape[0], CHUNK):
        window = Window(row, 0, CHUNK, shape[1]).clip(shape)
        if reader is None:
            valid = read_window(stack[VALID], window, sample=sample) == 1
        else:
            valid = reader.read(Tile(window, sample=sample)).valid
        if split is not None:
            valid = valid & (split.codes(window, sample=sample) == PARTS.index(part) + 1)
        empty = LABEL not in stack
        yield (
            window,
            valid,
            np.full(valid.shape, 255, np.uint8) if empty else read_window(stack[LABEL], window, sample=sample),
        )


def _mark(found: np.ndarray, kinds: np.ndarray, first_row: int, side: int) -> None:
    """Sets which blocks hold a cell of each kind. found: (rows, columns, 3) bool. kinds: (h, W, 3) bool of a strip."""
    rows = np.unique((first_row + np.arange(len(kinds))) // side)
    cuts = np.maximum(rows * side - first_row, 0)
    by_row = np.logical_or.reduceat(kinds, cuts, axis=0)  # (rows met, W, 3)
    found[rows] |= np.logical_or.reduceat(by_row, np.arange(0, kinds.shape[1], side), axis=1)


class _Pieces:
    """Counts pieces of cells that touch each other, from strips that come from top to bottom."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._last = np.zeros(width, np.int64)  # number of the piece in each column of the last row, 0 none

    def add(self, mask: np.ndarray) -> None:
        """mask: (h, W) bool, the next strip."""
        numbers, found = pieces_of(mask, structure=_EIGHT)
        joined = _Joined(int(self._last.max()) + found)
        offset = int(self._last.max())
        top = np.where(numbers[0] > 0, numbers[0] + offset, 0)
        merges = 0
        for shift in (-1, 0, 1):
            above, below = _beside(self._last, top, shift)
            for a, b in zip(above.tolist(), below.tolist(), strict=True):
                merges += joined.join(a, b)
        self.count += found - merges
        bottom = np.where(numbers[-1] > 0, numbers[-1] + offset, 0)
        roots = np.array([joined.root(int(n)) for n in bottom])
        self._last = np.unique(roots, return_inverse=True)[1].astype(np.int64) + (0 if (roots == 0).any() else 1)


def _beside(above: np.ndarray, below: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of pieces that touch between two rows, the lower one shifted by so many columns; each pair once."""
    width = len(above)
    a, b = above[max(0, shift) : width + min(0, shift)], below[max(0, -shift) : width + min(0, -shift)]
    pairs = np.unique(np.stack([a, b])[:, (a > 0) & (b > 0)], axis=1)
    return pairs[0], pairs[1]


class _Joined:
    """Which numbers belong together (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count + 1))

    def root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = number = self._parent[self._parent[number]]
        return number

    def join(self, a: int, b: int) -> bool:
        """Whether the two were apart before."""
        a, b = self.root(a), self.root(b)
        self._parent[max(a, b)] = min(a, b)
        return a != b
