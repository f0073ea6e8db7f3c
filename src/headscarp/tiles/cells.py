"""Landslides, labels and valid pixels in the cells of a lattice: what splits deal out.

Streams through the label bands; of several, a pixel is a landslide where any of them says so. Refuses stacks whose
labels name no landslide.
"""

import numpy as np
import xarray as xr

from headscarp.core.errors import SplitError
from headscarp.core.stack import label_names
from headscarp.core.tile import Window, windows
from headscarp.tiles.dataset import raster_shape, read_valid, read_window

_COUNTING_PX = 1024

Cell = tuple[int, Window, np.ndarray]
"""Sample, window clipped to the raster, and the counts: landslides, labels, valid pixels."""


def label_cells(stack: xr.Dataset, side: tuple[int, int]) -> list[Cell]:
    """The cells of a lattice that have a valid pixel, by sample and row-major.

    A stack without a label band is split by its valid pixels alone, for nets that need no labels; one whose labels name
    no landslide is refused.
    """
    if min(side) < 1:
        raise SplitError(f"a patch of {side[0]} px is too small; needed: 1 px or more")
    shape = raster_shape(stack)
    cells: list[Cell] = []
    for sample in range(stack.sizes.get("sample", 1)):
        counts = _counts(stack, sample, side)  # (rows, columns, 3)
        for i, j in np.argwhere(counts[:, :, 2] > 0):
            window = Window(int(i) * side[0], int(j) * side[1], *side).clip(shape)
            cells.append((sample, window, counts[i, j]))
    if label_names(stack) and not sum(int(cell[2][0]) for cell in cells):
        raise SplitError(
            "no valid pixel of the stack is labelled as a landslide; check that the inventory overlaps the grid, and "
            "all_touched = true where landslides are smaller than a pixel"
        )
    return cells


def _counts(stack: xr.Dataset, sample: int, side: tuple[int, int]) -> np.ndarray:
    """Landslides, labels and valid pixels in each cell of a lattice: (rows, columns, 3) int64, streamed."""
    shape = raster_shape(stack)
    counts = np.zeros((-(-shape[0] // side[0]), -(-shape[1] // side[1]), 3), np.int64)
    for window in windows(shape, _COUNTING_PX):
        window = window.clip(shape)
        positive, labelled = _labels(stack, window, sample)
        valid = read_valid(stack, window, sample=sample)
        rows, row_starts = _cuts(window.row, window.height, side[0])
        cols, col_starts = _cuts(window.col, window.width, side[1])
        for k, counted in enumerate((positive & valid, labelled & valid, valid)):
            sums = np.add.reduceat(counted, row_starts, axis=0, dtype=np.int64)
            counts[rows, cols, k] += np.add.reduceat(sums, col_starts, axis=1)
    return counts


def _labels(stack: xr.Dataset, window: Window, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Where any label band has a landslide, and where any has a label: (height, width) bool each."""
    bands = [read_window(stack[name], window, sample=sample) for name in label_names(stack)]
    if not bands:
        nowhere = np.zeros((window.height, window.width), bool)
        return nowhere, nowhere
    return np.any([band == 1 for band in bands], axis=0), np.any([band <= 1 for band in bands], axis=0)


def _cuts(start: int, length: int, side: int) -> tuple[slice, np.ndarray]:
    """The cells that a run of pixels meets, and where each begins in the run."""
    first, last = start // side, (start + length - 1) // side
    return slice(first, last + 1), np.maximum(np.arange(first, last + 1) * side - start, 0)
